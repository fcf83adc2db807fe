//! The program on files, with the time of each vector.
//!
//! The program takes its time from the system. `MTA_SEAL_TEST_FAKETIME` names the library of Debian's package `libfaketime`, which gives it
//! another one; without it only what is decided before the time counts can be run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use mta_seal::core::Domain;
use mta_seal::records::DnsRecord;
use serde_json::{Value, json};

use super::Vector;
use super::envelopes::{OwnKeys, Task};
use super::fields::{Fields, octets};
use super::gateway::reply_of;
use super::results::b64;
use super::world::{config_of, write_keyring};

/// Stages that come before anything depends on the time, if it is the first chunk that is not authentic.
const TIMELESS: [&str; 8] =
    ["recognition", "limits", "domain", "key", "hpke", "commitment", "body", "prefix"];

/// What the program leaves to the gateway, since it has no SMTP envelope and no ledger, and gives back any octets.
const OF_THE_GATEWAY: [&str; 3] = ["delivered", "recipients", "bytes"];

pub fn faketime() -> Option<PathBuf> {
    std::env::var_os("MTA_SEAL_TEST_FAKETIME").map(PathBuf::from)
}

/// Whether the program can be given a time; says so if not.
pub fn is_timed(test: &str) -> bool {
    let timed = faketime().is_some();
    if !timed {
        // Not by `eprintln`, which the test harness swallows when a test passes.
        let notice = "needs MTA_SEAL_TEST_FAKETIME, the path of libfaketime.so.1";
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test} {notice}");
    }
    timed
}

fn mta_seal(now: u64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mta-seal"));
    command.env_remove("MTA_SEAL_CONFIG");
    if let Some(library) = faketime() {
        let stamp = time::OffsetDateTime::from_unix_timestamp(i64::try_from(now).unwrap()).unwrap();
        let (date, time) = (stamp.date(), stamp.time());
        let time = format!("{date} {:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
        command.env("LD_PRELOAD", library).env("FAKETIME", time).env("TZ", "UTC");
    }
    command
}

fn json_of(octets: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(octets).map_err(|_| String::from_utf8_lossy(octets).into_owned())
}

fn hex(value: &Value) -> Value {
    let mut text = String::new();
    for octet in octets(value.as_str().unwrap()) {
        write!(text, "{octet:02x}").unwrap();
    }
    Value::String(text)
}

/// Exit code 1 and nothing on standard output.
fn refused(output: &Output) -> Result<(), String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(1) if output.stdout.is_empty() && said.starts_with("mta-seal: ") => Ok(()),
        code => {
            Err(format!("exit code {code:?}, {} octets of output, {said}", output.stdout.len()))
        }
    }
}

/// What is wrong about what `inspect` shows of a carrier.
pub fn inspect(carrier: &[u8], expected: &Value) -> Result<(), String> {
    let output = mta_seal(0).args(["inspect", "--json"]).write_stdin(carrier).output().unwrap();
    if expected["result"] == "refused" {
        return refused(&output);
    }
    let shown = json_of(&output.stdout)?;
    for (name, wanted) in [
        ("suite", expected["suite"].clone()),
        ("key_id", hex(&expected["key_id"])),
        ("envelope_id", hex(&expected["envelope_id"])),
        ("recipient_domain", expected["recipient_domain"].clone()),
        ("form", json!("carrier")),
    ] {
        if shown[name] != wanted {
            return Err(format!("{name} is {}, not {wanted}", shown[name]));
        }
    }
    for name in ["extensions", "envelope_octets"] {
        if expected.get(name).is_some_and(|wanted| shown[name] != *wanted) {
            return Err(format!("{name} is {}, not {}", shown[name], expected[name]));
        }
    }
    Ok(())
}

/// The same for a vector of kind `inspect`.
pub fn inspect_vector(vector: &Vector) -> Result<(), String> {
    let mut input = vector.input();
    let carrier = input.octets("carrier");
    input.end();
    inspect(&carrier, &vector.expected)
}

/// Of a vector of kind `unseal`, what can be seen of its carrier without a key.
pub fn inspect_unsealed(vector: &Vector) -> Result<(), String> {
    let carrier = vector.input().octets("carrier");
    match vector.stage() {
        Some("recognition" | "limits") | None => inspect(&carrier, &vector.expected),
        // Whatever is wrong behind it, the header can be shown.
        Some(_) => {
            let output = mta_seal(0).args(["inspect", "--json"]).write_stdin(carrier).output();
            json_of(&output.unwrap().stdout).map(|_| ())
        }
    }
}

/// Whether the program can be asked about a vector.
pub fn is_asked(vector: &Vector) -> bool {
    let stage = vector.stage();
    // A set of records is written as a zone file, which can hold any text but no name without records or with two.
    let records = vector.input["records"].as_array().unwrap().len() == 1;
    let later_chunk =
        matches!(vector.twin.as_deref(), Some("unseal/done/long" | "unseal/done/empty-chunk"));
    let timeless = stage.is_some_and(|stage| TIMELESS.contains(&stage)) && !later_chunk;
    records
        && !stage.is_some_and(|stage| OF_THE_GATEWAY.contains(&stage))
        // Nor does it require anything of the sender.
        && vector.failure() != Some("not-aligned")
        && (timeless || faketime().is_some())
        && vector.input["claims"].as_array().unwrap().is_empty()
}

/// Whether `seal` can be asked about a set of records: a file has one record at each name.
pub fn is_record_file(vector: &Vector) -> bool {
    let records = vector.input["records"].as_array().unwrap();
    let names: BTreeSet<_> = records.iter().map(|record| record["name"].as_str()).collect();
    !records.is_empty() && names.len() == records.len()
}

/// What is wrong about what `seal` makes of a set of records.
pub fn seal(vector: &Vector) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let mut input = vector.input();
    let (recipient, now) = (input.text("domain"), input.number("now"));
    let own = OwnKeys {
        domain: Domain::parse("sender.example").unwrap(),
        sealing: Vec::new(),
        destroyed: Vec::new(),
    };
    write_world(directory.path(), &[own], input.objects("records"), 1_209_600, now);
    input.end();
    let output = mta_seal(now)
        .arg("--config")
        .arg(directory.path().join("mta-seal.toml"))
        .args(["seal", "--json", "--mail-from", "u@sender.example", "--rcpt-to"])
        .arg(format!("v@{recipient}"))
        .arg("--policy")
        .arg(directory.path().join("zone"))
        .write_stdin("Subject: x\r\n\r\nx\r\n")
        .output()
        .unwrap();
    let expected = &vector.expected;
    if vector.is_refused() {
        // A file that is no record is not the answer of a server that may change.
        let code = output.status.code();
        let right = matches!(code, Some(1 | 75)) && output.stdout.is_empty();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return if right { Ok(()) } else { Err(format!("exit code {code:?}: {said}")) };
    }
    let report = json_of(&output.stderr)?;
    for (name, wanted) in [
        ("result", json!("sealed")),
        ("recipient_domain", json!(recipient)),
        ("suite", expected["suite"].clone()),
        ("key_id", hex(&expected["key_id"])),
    ] {
        if report[name] != wanted {
            return Err(format!("{name} is {}, not {wanted}", report[name]));
        }
    }
    Ok(())
}

fn write_world(directory: &Path, own: &[OwnKeys], records: Vec<Fields>, window: u64, now: u64) {
    for own in own {
        write_keyring(directory, own, window, now);
    }
    let rest = "[inbound]\nlisten = [\"127.0.0.1:0\"]\nnext_hop = \"smtp://127.0.0.1:1\"\n";
    std::fs::write(directory.join("mta-seal.toml"), config_of(own, rest)).unwrap();
    let mut zone = String::new();
    for mut record in records {
        let text = String::from_utf8(record.octets("text")).unwrap();
        zone.push_str(&DnsRecord::txt(record.text("name"), 300, text).master_file());
        record.end();
    }
    std::fs::write(directory.join("zone"), zone).unwrap();
}

/// What is wrong about what `unseal` makes of a carrier.
pub fn unseal(vector: &Vector) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let task = Task::read(vector.input());
    write_world(directory.path(), &task.own, task.records, task.window, task.now);
    let output = mta_seal(task.now)
        .arg("--config")
        .arg(directory.path().join("mta-seal.toml"))
        .args(["unseal", "--json", "--output"])
        .arg(directory.path().join("message"))
        .arg("--sender-policy")
        .arg(directory.path().join("zone"))
        .write_stdin(task.carrier)
        .output()
        .unwrap();
    let message = directory.path().join("message");
    let expected = &vector.expected;
    if vector.is_refused() {
        if message.exists() {
            return Err("a message was written".to_owned());
        }
        // A file with a malformed record is refused as such, not as an answer that may change.
        let lasting = vector.name == "unseal/refused/policy-malformed";
        let temporary =
            reply_of(vector.failure().unwrap(), "a.example").starts_with('4') && !lasting;
        return match output.status.code() {
            Some(75) if temporary => Ok(()),
            code if temporary => Err(format!("exit code {code:?} for what may change")),
            _ => refused(&output),
        };
    }
    let report = json_of(&output.stderr)?;
    let written = std::fs::read(&message).map_err(|error| error.to_string())?;
    if b64(&written) != expected["message"] {
        return Err("another message was written".to_owned());
    }
    for (name, wanted) in [
        ("result", json!("pass")),
        ("sender_domain", expected["sender_domain"].clone()),
        ("recipient_domain", expected["recipient_domain"].clone()),
        ("suite", expected["suite"].clone()),
        ("key_id", hex(&expected["key_id"])),
        ("envelope_id", hex(&expected["envelope_id"])),
        ("signing_key_id", hex(&expected["signing_key_id"])),
        ("sealed_at", expected["sealed_at"].clone()),
        ("foreign_mail_from", expected["foreign"].clone()),
        ("mail_from", expected["reverse_path"]["mailbox"].clone()),
        ("octets", json!(written.len())),
        ("level", json!("first-use")),
    ] {
        if report[name] != wanted {
            return Err(format!("{name} is {}, not {wanted}", report[name]));
        }
    }
    // The program delivers to nobody, and tells all that are signed.
    let told = report["rcpt_to"].as_array().unwrap();
    let paths = expected["forward_paths"].as_array().unwrap();
    let missing = paths.iter().find(|path| !told.contains(&path["mailbox"]));
    missing.map_or(Ok(()), |path| Err(format!("{path} is not told of")))
}
