//! The answers to bad configurations, word for word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use assert_cmd::Command;
use std::fs;
use std::path::Path;

fn mta_seal() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mta-seal"));
    command.env_remove("MTA_SEAL_CONFIG");
    command
}

/// Every file in `tests/configs/bad` has its snapshot; none is listed by hand.
#[test]
fn bad_configurations_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/bad");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 15);
    let mut answers = String::new();
    for name in names {
        let output = mta_seal()
            .current_dir(&folder)
            .args(["config", "check", "--config", &name])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(output.stdout.is_empty(), "{name}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let place = format!("mta-seal: {name}:");
        assert!(stderr.starts_with(&place), "{name}: {stderr}");
        answers.push_str(&stderr);
        answers.push('\n');
    }
    insta::assert_snapshot!("bad_configurations", answers);
}

#[test]
fn missing_configuration_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let output = mta_seal()
        .current_dir(dir.path())
        .args(["config", "check", "--config", "none.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @r"
    mta-seal: none.toml: cannot read the configuration: no such file or directory
    hint: make one with `mta-seal init`, or name one with --config FILE
    ");
}

/// A directory with a configuration, whose text is changed by `change`.
fn configured(change: impl Fn(String) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    mta_seal()
        .current_dir(dir.path())
        .args(["init", "--domain", "company1.example", "--dir", "gw"])
        .assert()
        .success();
    let config = dir.path().join("gw/mta-seal.toml");
    fs::write(&config, change(fs::read_to_string(&config).unwrap())).unwrap();
    dir
}

/// Exit code and standard error of `config check`.
fn check(dir: &tempfile::TempDir) -> (Option<i32>, String) {
    let gw = dir.path().join("gw");
    let output = mta_seal().current_dir(gw).args(["config", "check"]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn public_hosts_are_warned_of() {
    assert_eq!(check(&configured(|text| text)), (Some(0), String::new()));
    let dir = configured(|text| text.replace("\"127.0.0.0/8\"", "\"203.0.113.7\""));
    let (code, said) = check(&dir);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(said);
}

#[test]
fn what_public_peers_may_do_is_said() {
    for (key, may) in [
        ("xforward", "can write what it likes into logs, and open any number of connections"),
        ("xclient", "can pretend to be anybody"),
    ] {
        let set = format!("[inbound]\n{key} = [\"203.0.113.7\"]\n");
        let (code, said) = check(&configured(|text| text.replace("[inbound]\n", &set)));
        assert_eq!(code, Some(0), "{said}");
        let told =
            format!("203.0.113.7/32, which is not private: whoever connects from there {may}\n");
        assert!(said.contains(&told), "{said}");
    }
}

#[test]
fn servers_with_different_tls_are_warned_of() {
    let hops = |servers: &'static str| {
        configured(move |text| {
            let line = text.lines().find(|line| line.starts_with("next_hop = ")).unwrap();
            text.replacen(line, &format!("next_hop = [{servers}]"), 1)
        })
    };
    let verified = r#"{ url = "smtp://a.example", tls = "verified" }"#;
    for (servers, warned) in [
        (r#"{ url = "smtp://a.example", tls = "verified" }, "smtp://b.example""#, true),
        (
            r#"{ url = "smtp://a.example", tls = "verified" }, { url = "smtp://b.example", tls = "required" }"#,
            true,
        ),
        (
            r#"{ url = "smtp://a.example", tls = "verified" }, { url = "smtp://b.example", tls = "verified" }"#,
            false,
        ),
        (r#"{ url = "smtp://a.example", tls = "verified" }, "smtp://127.0.0.1:10099""#, false),
    ] {
        assert!(servers.starts_with(verified));
        let (code, said) = check(&hops(servers));
        assert_eq!(code, Some(0), "{said}");
        let expected = "smtp://a.example:25 is \"verified\", smtp://b.example:25 is ";
        assert_eq!(said.contains(expected), warned, "{servers}: {said}");
        assert_eq!(said.is_empty(), !warned, "{servers}: {said}");
    }
}

#[test]
fn timeouts_that_never_come_are_warned_of() {
    let with = |set: &str| check(&configured(|text| format!("{text}\n[timeouts]\n{set}\n")));
    for quiet in ["", "set_up = \"60s\"", "greeting = \"2m\"", "mail = \"10m\"\nwrite = \"10m\""] {
        assert_eq!(with(quiet), (Some(0), String::new()), "{quiet}");
    }
    for (set, named) in [
        ("greeting = \"121s\"", "`greeting`"),
        ("connect = \"5m\"\nhello = \"5m\"\nauth = \"5m\"", "`connect`, `hello`, `auth`"),
        ("set_up = \"59s\"", "`greeting`, `hello`, `handshake`, `auth`"),
    ] {
        let (code, said) = with(set);
        assert_eq!(code, Some(0), "{said}");
        let expected = format!(": {named} of [timeouts] exceed `set_up`, which ends first\n");
        assert!(said.contains(&expected) && said.contains("hint: raise `set_up`"), "{said}");
    }
}

#[test]
fn a_list_that_takes_longer_than_clients_wait_is_warned_of() {
    let with = |servers: usize, set: &str| {
        let urls: Vec<String> =
            (0..servers).map(|at| format!("\"smtp://127.0.0.{}:10099\"", at + 2)).collect();
        check(&configured(|text| {
            let line = text.lines().find(|line| line.starts_with("next_hop = ")).unwrap();
            let text = text.replacen(line, &format!("next_hop = [{}]", urls.join(", ")), 1);
            format!("{text}\n[timeouts]\n{set}\n")
        }))
    };
    for (servers, set) in
        [(1, "set_up = \"6m\""), (2, ""), (2, "set_up = \"150s\""), (3, "set_up = \"100s\"")]
    {
        assert_eq!(with(servers, set), (Some(0), String::new()), "{servers} {set}");
    }
    for (servers, set, told) in [
        (2, "set_up = \"151s\"", "2 servers of `next_hop` with 151 s for each"),
        (3, "", "3 servers of `next_hop` with 120 s for each"),
    ] {
        let (code, said) = with(servers, set);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(told) && said.contains("hint: lower `set_up`"), "{said}");
    }
}

#[test]
fn wide_ranges_of_forwarders_are_warned_of() {
    let with = |ranges: &str| {
        configured(|text| {
            let set = format!("[inbound]\nxforward = [\"127.0.0.1\"]\nforwarders = [{ranges}]\n");
            text.replace("[inbound]\n", &set)
        })
    };
    let quiet = "\"192.0.2.0/24\", \"2001:db8::/48\", \"203.0.113.7\", \"10.0.0.0/8\"";
    assert_eq!(check(&with(quiet)), (Some(0), String::new()));
    let (code, said) = check(&with("\"203.0.112.0/23\", \"2001:db8::/47\", \"40.92.0.0/24\""));
    assert_eq!(code, Some(0), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn forwarders_that_may_be_the_mta_before_the_gateway_are_warned_of() {
    let with = |set: &str| {
        check(&configured(|text| text.replace("[inbound]\n", &format!("[inbound]\n{set}\n"))))
    };
    let mut told = String::new();
    for set in [
        "forwarders = [\"10.0.0.5\"]",
        "xforward = [\"10.0.0.5\", \"::1\"]\nforwarders = [\"10.0.0.0/24\", \"192.0.2.7\"]",
        "xclient = [\"10.0.0.0/24\"]\nforwarders = [\"10.0.0.5\"]",
    ] {
        let (code, said) = with(set);
        assert_eq!(code, Some(0), "{said}");
        told.push_str(&said);
    }
    insta::assert_snapshot!(told);
    for quiet in ["forwarders = []", "xforward = [\"10.0.0.5\"]\nforwarders = [\"10.0.0.6\"]"] {
        assert_eq!(with(quiet), (Some(0), String::new()), "{quiet}");
    }
}

#[test]
fn a_range_that_is_shared_and_trusted_is_warned_of() {
    let dir = configured(|text| {
        text + "\n[[outbound.shared]]\nclients = [\"127.1.0.0/16\"]\n\
                header = { name = \"X-Seal\", secret_file = \"secret\" }\n"
    });
    write_secret(&dir, "secret", "0123456789abcdef", 0o600);
    let (code, said) = check(&dir);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("127.1.0.0/16 is shared, but 127.0.0.0/8 in `clients`"), "{said}");
}

fn write_secret(dir: &tempfile::TempDir, name: &str, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.path().join("gw").join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_secret_field_needs_a_secret() {
    let dir = configured(|text| {
        text + "\n[[outbound.shared]]\nclients = [\"10.92.0.0/16\"]\n\
                header = { name = \"X-Seal\", secret_file = \"secret\" }\n"
    });
    let refused = |dir, why: &str| {
        let (code, said) = check(dir);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(!said.contains("0123456789"), "{said}");
    };
    refused(&dir, "No such file");
    write_secret(&dir, "secret", "0123456789abcdef\n", 0o640);
    refused(
        &dir,
        "secret is open to other users (mode 0640): the secret in it counts as known to them\nhint: chmod 600 ",
    );
    write_secret(&dir, "secret", "0123456789abcde\n", 0o600);
    refused(&dir, "has fewer than 16 characters\nhint: ");
    write_secret(&dir, "secret", "0123456789abcdef\nX-Other: x\n", 0o600);
    refused(&dir, "not one line of printable ASCII");
    write_secret(&dir, "secret", "0123456789abcdef\n", 0o600);
    assert_eq!(check(&dir), (Some(0), String::new()));
}

#[test]
fn password_prints_a_line_that_counts() {
    let made = rcgen::generate_simple_self_signed(["gw.company1.example".to_owned()]).unwrap();
    let dir = configured(|text| {
        // The last key of the table [outbound].
        let hop = text.find("next_hop").unwrap();
        let (before, after) = text.split_at(hop);
        format!(
            "{before}tls = {{ certificate = \"cert.pem\", key = \"key.pem\" }}\n{after}\n\
             [[outbound.shared]]\nclients = [\"192.0.2.0/24\"]\npasswords = \"senders\"\n"
        )
    });
    write_secret(&dir, "cert.pem", &made.cert.pem(), 0o600);
    write_secret(&dir, "key.pem", &made.signing_key.serialize_pem(), 0o600);
    let line = |name: &str, password: &str| {
        let output =
            mta_seal().args(["password", name]).write_stdin(password.to_owned()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, first) = line("mx", "correct horse\n");
    assert_eq!(code, Some(0));
    assert!(first.starts_with("mx:$argon2id$v=19$m=") && !first.contains("horse"), "{first}");
    // The salt is another one each time.
    assert_ne!(line("mx", "correct horse").1, first);
    assert_eq!(line("m:x", "correct horse\n"), (Some(2), String::new()));
    assert_eq!(line("mx", "\n"), (Some(1), String::new()));
    assert_eq!(line("mx", &"x".repeat(256)), (Some(1), String::new()));
    for (text, mode, why) in [
        (first.as_str(), 0o604, "senders is open to other users"),
        ("", 0o600, "names nobody"),
        ("mx\n", 0o600, "senders:1: not `name:hash`"),
        ("#\nmx:correct horse\n", 0o600, "senders:2: the hash is no usable argon2id"),
        (&first.replace("argon2id", "argon2i"), 0o600, "the hash is no usable argon2id"),
        (&first.replace("m=19456", "m=4194304"), 0o600, "the hash is no usable argon2id"),
        (&format!("{first}{first}"), 0o600, "senders:2: the name stands twice"),
    ] {
        write_secret(&dir, "senders", text, mode);
        let (code, said) = check(&dir);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(why) && said.contains("\nhint: "), "{said}");
        assert!(!said.contains("argon2id$") && !said.contains("horse"), "{said}");
    }
    write_secret(&dir, "senders", &format!("# those who may send\n\n{first}"), 0o600);
    assert_eq!(check(&dir), (Some(0), String::new()));
}

/// A configuration whose domain is published as `table` says.
fn published(table: &str) -> tempfile::TempDir {
    configured(|text| {
        let (before, after) = text.split_once("[outbound]").unwrap();
        format!("{before}[domain.publish]\n{table}\n\n[outbound]{after}")
    })
}

#[test]
fn a_command_that_publishes_must_be_safe_to_run() {
    use std::os::unix::fs::PermissionsExt;
    let commands = tempfile::tempdir().unwrap();
    let command = commands.path().join("publish");
    let dir = published(&format!("hook = \"{}\"", command.display()));
    let refused = |why: &str| {
        let (code, said) = check(&dir);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused("`publish` of company1.example: ");
    refused("publish: No such file");
    for (mode, why) in [
        (0o600, "publish: Permission denied"),
        (0o777, "publish is open to other users (mode 0777)"),
        (0o720, "hint: chmod go-w "),
    ] {
        fs::write(&command, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&command, fs::Permissions::from_mode(mode)).unwrap();
        refused(why);
    }
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(check(&dir), (Some(0), String::new()));
}

#[test]
fn a_key_for_updates_must_be_private_and_of_its_form() {
    let dir = published("server = \"192.0.2.53\"\ntsig = \"update.key\"");
    let secret = "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvbmx5";
    let key = format!("key \"k\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{secret}\";\n}};\n");
    let refused = |why: &str| {
        let (code, said) = check(&dir);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(!said.contains("c2VjcmV0"), "{said}");
    };
    refused("update.key: No such file");
    write_secret(&dir, "update.key", &key, 0o640);
    refused("update.key is open to other users (mode 0640)");
    write_secret(&dir, "update.key", &key.replace("sha256", "md5"), 0o600);
    refused("`publish` of company1.example: ");
    refused(
        "update.key: line 2: the algorithm is none of hmac-sha256, hmac-sha384 and hmac-sha512",
    );
    refused("hint: let BIND's `tsig-keygen NAME` write the file");
    write_secret(&dir, "update.key", &key.replace("c2Vj", "c2Vj!"), 0o600);
    refused("update.key: line 3: the secret is no base64");
    write_secret(&dir, "update.key", &key, 0o600);
    assert_eq!(check(&dir), (Some(0), String::new()));
}
