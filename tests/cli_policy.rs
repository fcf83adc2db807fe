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

/// Runs with the configuration; must succeed.
fn done(directory: &Path, words: &[&str]) -> Output {
    let output = run(directory, &[&["--config", "d/mta-seal.toml"], words].concat());
    assert!(output.status.success(), "{words:?}: {output:?}");
    output
}

/// The same; must be refused, with a hint.
fn refused(directory: &Path, words: &[&str]) -> String {
    let output = run(directory, &[&["--config", "d/mta-seal.toml"], words].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{words:?}: {told}");
    assert!(told.contains("hint: "), "{words:?}: {told}");
    told
}

fn init(directory: &Path) {
    let made = run(directory, &["init", "--domain", "company1.example", "--dir", "d"]);
    assert!(made.status.success(), "{made:?}");
}

const KEYS: &str = "d/keys/company1.example";

/// A wrong clock has signed it, and nobody has believed it: nothing is built upon it [R-life-09].
#[test]
fn a_serial_that_lies_ahead_is_not_built_upon() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    init(directory);
    let before = policy(directory);
    let keys = directory.join(KEYS);
    let pem = std::fs::read_to_string(keys.join("identity.pem")).unwrap();
    let mut draft = PolicyDraft::from(before.record());
    draft.serial += 400 * 86_400;
    draft.expiry += 400 * 86_400;
    let ahead = draft.sign(before.domain(), &IdentityKey::from_pem(&pem).unwrap()).unwrap();
    std::fs::write(keys.join("policy.txt"), ahead).unwrap();
    done(directory, &["policy", "sign"]);
    let after = policy(directory);
    assert!(after.record().serial - before.record().serial < 86_400);
    // How long its keys live is written down.
    let book = std::fs::read_to_string(keys.join("lifetimes.json")).unwrap();
    for entry in &after.record().sealing_keys {
        assert!(book.contains(&entry.key_id().unwrap().to_string()), "{book}");
    }
    // A key that is not the domain's signs nothing.
    let other = IdentityKey::generate(&mut rand_core::UnwrapErr(getrandom::SysRng));
    std::fs::write(keys.join("identity.pem"), other.to_pem().unwrap().as_bytes()).unwrap();
    let output = run(directory, &["--config", "d/mta-seal.toml", "policy", "sign"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("neither the one that the policy names"), "{told}");
    assert_eq!(policy(directory).text(), after.text());
}

/// The identity key never comes back to the gateway [R-life-13] [R-life-14].
#[test]
fn policies_are_signed_where_the_identity_key_is_kept() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    init(directory);
    let told = refused(directory, &["policy", "request"]);
    assert!(told.contains("the gateway signs by itself"), "{told}");
    let before = policy(directory);
    std::fs::rename(directory.join(KEYS).join("identity.pem"), directory.join("identity.pem"))
        .unwrap();

    done(
        directory,
        &["policy", "request", "--weeks", "3", "--mode", "enforce", "--out", "request"],
    );
    let request = std::fs::read_to_string(directory.join("request")).unwrap();
    assert_eq!(request.lines().filter(|line| line.starts_with("policy: ")).count(), 3);
    // Nothing in it is secret.
    for entry in std::fs::read_dir(directory.join(KEYS)).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("key: ")) {
            assert!(!request.contains(line));
        }
    }
    // Without any configuration.
    let sign = ["policy", "sign", "--request", "request", "--identity", "identity.pem"];
    let signed = run(directory, &[&sign[..], &["--out", "signed"]].concat());
    assert!(signed.status.success(), "{signed:?}");
    let words = String::from_utf8(signed.stderr).unwrap();
    assert!(words.contains("3 policies of company1.example"), "{words}");
    assert!(words.contains(&before.identity().fingerprint().words()[..20]), "{words}");
    assert_eq!(words.matches(": enforce, mail may be under way for 14d").count(), 3, "{words}");

    let installed = done(directory, &["policy", "install", "signed"]);
    let told = String::from_utf8(installed.stdout).unwrap();
    assert_eq!(told.lines().filter(|line| line.starts_with("from ")).count(), 3, "{told}");
    assert!(told.contains("needs no identity key"), "{told}");
    let ahead = std::fs::read_to_string(directory.join(KEYS).join("ahead.txt")).unwrap();
    assert_eq!(ahead.lines().filter(|line| line.starts_with("v=MTASEAL1")).count(), 3);
    // The first begins in a week.
    assert_eq!(policy(directory).text(), before.text());
    refused(directory, &["policy", "request", "--weeks", "3"]);

    // At once, with the keys that are listed already.
    done(directory, &["policy", "request", "--weeks", "1", "--anew", "--out", "request2"]);
    let told = run(
        directory,
        &[
            "policy",
            "sign",
            "--request",
            "request2",
            "--identity",
            "identity.pem",
            "--out",
            "signed2",
        ],
    );
    assert!(told.status.success(), "{told:?}");
    let told = refused(directory, &["policy", "install", "signed2"]);
    assert!(told.contains("--replace"), "{told}");
    done(directory, &["policy", "install", "--replace", "signed2"]);
}

#[test]
fn a_request_is_signed_as_it_is_shown_or_not_at_all() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    init(directory);
    std::fs::rename(directory.join(KEYS).join("identity.pem"), directory.join("identity.pem"))
        .unwrap();
    done(directory, &["policy", "request", "--weeks", "2", "--out", "request"]);
    let request = std::fs::read_to_string(directory.join("request")).unwrap();
    let sign = |text: &str, words: &[&str]| {
        std::fs::write(directory.join("changed"), text).unwrap();
        let sign = ["policy", "sign", "--request", "changed", "--identity", "identity.pem"];
        run(directory, &[&sign[..], words].concat())
    };
    assert!(sign(&request, &[]).status.success());
    let expiry =
        |line: &str| line.split("x=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    let first = expiry(request.lines().find(|line| line.starts_with("policy: ")).unwrap());
    let later = (first.parse::<u64>().unwrap() + 100 * 86_400).to_string();
    for (changed, why) in [
        // Tags that would not be shown.
        (request.replace("; a=", "; zz=1; a="), "not written as mta-seal writes it"),
        (request.replace("policy: v=", "policy:  v="), "line "),
        (request.replacen(&first, &later, 1), "more than 90 days"),
        (request.replace("domain: ", "dominion: "), "none of a policy request"),
        (String::new(), "no line `domain:`"),
    ] {
        let output = sign(&changed, &[]);
        assert_eq!(output.status.code(), Some(1), "{why}");
        assert!(output.stdout.is_empty());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(why), "{told}");
    }
    // Another key signs only as successor.
    done(directory, &["policy", "request", "--weeks", "2", "--anew", "--out", "request"]);
    let request = std::fs::read_to_string(directory.join("request")).unwrap();
    std::fs::rename(directory.join("identity.pem"), directory.join("old.pem")).unwrap();
    let other = IdentityKey::generate(&mut rand_core::UnwrapErr(getrandom::SysRng));
    mta_seal::store::keyring::write_secret(
        &directory.join("identity.pem"),
        &other.to_pem().unwrap(),
    )
    .unwrap();
    let told = String::from_utf8(sign(&request, &[]).stderr).unwrap();
    assert!(told.contains("this is not the present identity key"), "{told}");
    let signed = sign(&request, &["--former", "old.pem"]);
    assert!(signed.status.success(), "{signed:?}");
    assert!(String::from_utf8_lossy(&signed.stderr).contains("states that this key succeeds"));
    std::fs::write(directory.join("signed"), &signed.stdout).unwrap();
    done(directory, &["policy", "install", "signed"]);
    // And open to others it signs nothing.
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(directory.join("identity.pem"), open).unwrap();
    assert_eq!(sign(&request, &["--former", "old.pem"]).status.code(), Some(1));
}

#[test]
fn an_identity_key_is_prepared_rolled_over_and_shown() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path();
    init(directory);
    let old = policy(directory).identity().fingerprint();
    let shown = String::from_utf8(done(directory, &["identity", "show"]).stdout).unwrap();
    assert!(shown.contains(&format!("identity key, in the keyring\n    {old}")), "{shown}");
    assert!(shown.contains("next: none is announced"), "{shown}");

    let prepared = done(directory, &["identity", "prepare"]);
    let told = String::from_utf8(prepared.stdout).unwrap();
    assert!(told.contains("Take it off this machine now"), "{told}");
    let next = policy(directory).record().next_identity.unwrap();
    assert!(told.contains(&next.to_string()), "{told}");
    let told = refused(directory, &["identity", "prepare"]);
    assert!(told.contains("announces a next identity key already"), "{told}");
    let keys = directory.join(KEYS);
    std::fs::rename(keys.join("identity-next.pem"), directory.join("next.pem")).unwrap();
    let told = refused(directory, &["identity", "roll"]);
    assert!(told.contains("--next FILE"), "{told}");
    assert!(!keys.join("identity-former.pem").exists());

    let rolled = done(directory, &["identity", "roll", "--next", "next.pem"]);
    let told = String::from_utf8(rolled.stdout).unwrap();
    assert!(told.contains("follow by themselves, if they look before the rollover ends"), "{told}");
    let after = policy(directory);
    assert_eq!(after.identity().fingerprint(), next);
    assert!(after.record().rollover.is_some());
    assert_eq!(after.record().next_identity, None);
    assert!(keys.join("identity-former.pem").exists());
    // Signed anew by hand, it carries another statement.
    done(directory, &["policy", "sign", "--mode", "enforce"]);
    let again = policy(directory);
    assert!(again.record().rollover.is_some());
    assert_ne!(again.record().rollover, after.record().rollover);
    // Not twice.
    let told = refused(directory, &["identity", "roll"]);
    assert!(told.contains("was rolled over already") && told.contains("not before "), "{told}");
    let shown = String::from_utf8(done(directory, &["identity", "show"]).stdout).unwrap();
    assert!(shown.contains("its first policy is not yet seen everywhere"), "{shown}");
    assert!(shown.contains(&old.to_string()), "{shown}");

    // Lost: only when asked for.
    std::fs::remove_file(keys.join("identity.pem")).unwrap();
    refused(directory, &["identity", "roll"]);
    let lost = done(directory, &["identity", "roll", "--lost"]);
    let told = String::from_utf8(lost.stdout).unwrap();
    assert!(told.contains("Nothing shows partners that this key is yours"), "{told}");
    assert!(told.contains("identity-changed") && told.contains("pin-mismatch"), "{told}");
    // A key by which nobody has been succeeded is of no use any more.
    assert!(!keys.join("identity-former.pem").exists());
}
