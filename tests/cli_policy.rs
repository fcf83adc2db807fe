//! `mta-seal policy sign`: a policy lives on, and nothing but the identity key can make it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use mta_seal::core::{Domain, IdentityKey};
use mta_seal::records::{Mode, PolicyDraft, SealingEntry, SignedPolicy, VerifiedPolicy};

fn run(directory: &Path, words: &[&str]) -> Output {
    let mut command = Command::cargo_bin("mta-seal").unwrap();
    command.current_dir(directory).args(words).output().unwrap()
}

fn policy(directory: &Path) -> VerifiedPolicy {
    let text =
        std::fs::read_to_string(directory.join("d/keys/company1.example/policy.txt")).unwrap();
    let domain = Domain::parse("company1.example").unwrap();
    SignedPolicy::parse(text.trim_end().as_bytes()).unwrap().verify(&domain).unwrap()
}

#[test]
fn a_policy_is_signed_anew_with_its_keys() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    let made = run(directory, &["init", "--domain", "company1.example", "--dir", "d"]);
    assert!(made.status.success(), "{made:?}");
    let before = policy(directory);
    assert_eq!(before.record().mode, Mode::Testing);

    let config = ["--config", "d/mta-seal.toml"];
    let signed = run(
        directory,
        &[&config[..], &["policy", "sign", "--mode", "enforce", "--days", "7"]].concat(),
    );
    assert!(signed.status.success(), "{signed:?}");
    let after = policy(directory);
    assert_eq!(after.record().mode, Mode::Enforce);
    assert!(after.record().serial > before.record().serial);
    assert!(after.record().expiry.abs_diff(after.record().serial) <= 7 * 86_400);
    assert_eq!(after.identity(), before.identity());
    assert_eq!(after.record().signing_keys, before.record().signing_keys);
    assert_eq!(after.record().sealing_keys, before.record().sealing_keys);
    // What was printed is what `zone` prints from now on.
    let zone = run(directory, &[&config[..], &["zone"]].concat());
    assert_eq!(zone.stdout, signed.stdout);

    // A promise is made, kept by what does not speak of it, and taken back.
    for (words, promised) in [
        (&["--outgoing-always", "yes"][..], true),
        (&["--mode", "testing"], true),
        (&["--outgoing-always", "no"], false),
    ] {
        let signed = run(directory, &[&config[..], &["policy", "sign"], words].concat());
        assert!(signed.status.success(), "{signed:?}");
        assert_eq!(policy(directory).record().outgoing_always, promised, "{words:?}");
    }
    let after = policy(directory);

    // Where the identity key is kept elsewhere, nothing changes.
    std::fs::remove_file(directory.join("d/keys/company1.example/identity.pem")).unwrap();
    let refused = run(directory, &[&config[..], &["policy", "sign"]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hint: "), "{refused:?}");
    assert_eq!(policy(directory).text(), after.text());
}

/// The names of a domain's records have at most 253 octets, so not every domain can have them.
#[test]
fn a_domain_that_is_too_long_is_told_so() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    let init = |domain: &str| {
        run(directory, &["init", "--domain", domain, "--hostname", "gw.example", "--dir", "d"])
    };
    let refused = |done: &Output, most: usize| {
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(told.contains(" is too long: it has "), "{told}");
        assert!(told.contains(&format!(" have room for one of {most}\n")), "{told}");
        assert!(told.contains("hint: "), "{told}");
    };
    // A label of at most 63 octets, three of 60, and a last one.
    let domain = |length: usize| {
        let label = "a".repeat(60);
        format!("{}.{label}.{label}.{label}", "b".repeat(length - 183))
    };
    for length in [230, 244] {
        refused(&init(&domain(length)), 229);
        assert!(!directory.join("d").exists(), "nothing is made");
    }
    let domain = domain(229);
    let made = init(&domain);
    assert!(made.status.success(), "{made:?}");

    // A selector of one octet more.
    let keys = directory.join("d/keys").join(&domain);
    let file = keys.join("policy.txt");
    let text = std::fs::read_to_string(&file).unwrap();
    let name = Domain::parse(&domain).unwrap();
    let before = SignedPolicy::parse(text.trim_end().as_bytes()).unwrap().verify(&name).unwrap();
    let identity =
        IdentityKey::from_pem(&std::fs::read_to_string(keys.join("identity.pem")).unwrap());
    let mut draft = PolicyDraft::from(before.record());
    for entry in &mut draft.sealing_keys {
        if let SealingEntry::Listed { selector, .. } = entry {
            *selector = "k".repeat(14).parse().unwrap();
        }
    }
    let longer = draft.sign(&name, &identity.unwrap()).unwrap();
    std::fs::write(&file, &longer).unwrap();
    for words in [&["zone"][..], &["policy", "sign"], &["config", "check"]] {
        refused(&run(directory, &[&["--config", "d/mta-seal.toml"], words].concat()), 228);
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), longer, "nothing was signed");
}
