//! The trail beside a daemon that holds the ledger: verified, exported, and told as stories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;

use cli_support::{Said, configured, mta_seal_with};
use mta_seal::core::{Domain, EnvelopeId};
use mta_seal::records::SignedPolicy;
use mta_seal::store::keyring::Keyring;
use mta_seal::store::ledger::audit::Detail;
use mta_seal::store::ledger::{Event, EventKind, Ledger, Options, Scope, Signer, SqliteLedger};
use serde_json::Value;
use std::path::{Path, PathBuf};

const NOW: u64 = 1_800_000_000;

/// A gateway of company1.example as `init` makes it, with a ledger.
struct Host {
    config: PathBuf,
    signer: Signer,
    ledger: SqliteLedger,
}

impl Host {
    fn new(directory: &Path) -> Self {
        let config = configured(directory);
        let gateway = config.parent().unwrap();
        let keys = gateway.join("keys").join("company1.example");
        let keyring = Keyring::load(&keys).unwrap();
        let domain = Domain::parse("company1.example").unwrap();
        let policy = keyring.policy().unwrap().trim_end().to_owned();
        let verified = SignedPolicy::parse(policy.as_bytes()).unwrap().verify(&domain).unwrap();
        let listed = verified.record().signing_keys.iter().map(|key| key.key_id());
        let key = keyring.signing_key(listed).unwrap().clone();
        let path = gateway.join("state").join("ledger.sqlite");
        let ledger = SqliteLedger::open(&path, &Options::default(), NOW).unwrap();
        Self { config, signer: Signer { domain, key, policy }, ledger }
    }

    fn path(&self) -> PathBuf {
        self.config.with_file_name("state").join("ledger.sqlite")
    }

    fn run(&self, arguments: &[&str]) -> Said {
        mta_seal_with(&self.config, arguments)
    }

    async fn record(&self, events: &[Event]) {
        self.ledger.record_events(events).await.unwrap();
    }

    async fn sign(&self) {
        self.ledger.checkpoint(&self.signer, NOW).await.unwrap().unwrap();
    }
}

fn event(kind: EventKind, after: u64, reason: &str) -> Event {
    Event {
        scope: Some(Scope::Outgoing),
        trace: format!("{after:016x}"),
        sender: "alice@company1.example".to_owned(),
        recipient: "bob@company2.example".to_owned(),
        domain: "company2.example".to_owned(),
        reason: reason.to_owned(),
        ..Event::new(kind, NOW + after)
    }
}

/// Deferred at RCPT, when the message is not known; then sealed.
fn offer() -> [Event; 2] {
    let queue = |detail: Detail| detail.with("queue", "4XyZ12");
    let deferred = event(EventKind::Deferred, 1, "policy-unknown");
    let sealed = event(EventKind::Sealed, 61, "accepted");
    [
        Event { detail: queue(Detail::default().with("reply", "451 4.7.10 later")), ..deferred },
        Event {
            message_id: "<offer-1@company1.example>".to_owned(),
            envelope: Some(EnvelopeId::from_bytes([0xee; 32])),
            token: Some([0xdd; 16]),
            detail: queue(Detail::default().with("level", "dnssec").with("reply", "250 2.0.0 ok")),
            ..sealed
        },
    ]
}

#[tokio::test]
async fn a_whole_trail_and_a_changed_one_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    let verify = |arguments: &[&str]| host.run(&[&["audit", "verify"], arguments].concat());
    assert_eq!((verify(&[]).code, verify(&[]).out.contains("no rows")), (0, true));
    let none = host.run(&["audit", "checkpoint"]);
    assert_eq!(none.code, 1);
    assert!(none.err.contains("hint: a running gateway signs one"), "{}", none.err);

    host.record(&offer()).await;
    let unsigned = verify(&[]);
    assert_eq!(unsigned.code, 1);
    assert!(unsigned.out.contains("WRONG: no checkpoint was ever signed"), "{}", unsigned.out);
    host.sign().await;
    host.record(&offer()).await;
    let whole = verify(&[]);
    assert_eq!(whole.code, 0, "{}", whole.out);
    assert!(whole.out.starts_with("rows 1 to 4: 4 rows\nsigned up to row 2, "), "{}", whole.out);
    assert!(whole.out.ends_with("not signed yet: the last 2 rows\nthe audit trail is whole\n"));

    // A checkpoint that is kept elsewhere.
    host.sign().await;
    let kept = directory.path().join("kept.json");
    let printed = host.run(&["audit", "checkpoint"]);
    assert_eq!(printed.code, 0);
    std::fs::write(&kept, &printed.out).unwrap();
    let kept = kept.to_str().unwrap();
    assert_eq!(verify(&["--checkpoint", kept]).code, 0);
    host.ledger.clone().close().await;
    let connection = rusqlite::Connection::open(host.path()).unwrap();
    connection
        .execute_batch(
            "DROP TRIGGER audit_kept; DROP TRIGGER audit_checkpoint_kept; DROP TRIGGER audit_unchanged;
             DELETE FROM audit WHERE seq > 2; DELETE FROM audit_checkpoint WHERE seq > 2",
        )
        .unwrap();
    assert_eq!(verify(&[]).code, 0, "the file alone does not show it");
    let cut = verify(&["--checkpoint", kept]);
    assert_eq!(cut.code, 1);
    assert!(cut.out.contains("kept elsewhere covers row 4"), "{}", cut.out);
    std::fs::write(kept, "{}").unwrap();
    assert_eq!(verify(&["--checkpoint", kept]).code, 1);

    connection
        .execute("UPDATE audit SET recipient = 'eve@company2.example' WHERE seq = 1", [])
        .unwrap();
    let changed = verify(&["--json"]);
    assert_eq!(changed.code, 1);
    let report: Value = serde_json::from_str(&changed.out).unwrap();
    assert_eq!(report["whole"], false);
    assert_eq!(report["flaws"][0], "row 1 has been changed");
}

#[tokio::test]
async fn only_the_keys_of_our_own_identity_count() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    let other = tempfile::tempdir().unwrap();
    let stranger = Host::new(other.path());
    host.record(&offer()).await;
    host.ledger.checkpoint(&stranger.signer, NOW).await.unwrap().unwrap();
    let verify = |arguments: &[&str]| host.run(&[&["audit", "verify"], arguments].concat());
    let foreign = verify(&[]);
    assert_eq!(foreign.code, 1);
    assert!(foreign.out.contains("is not that of company1.example"), "{}", foreign.out);
    let policy = SignedPolicy::parse(stranger.signer.policy.as_bytes()).unwrap();
    let identity = policy.verify(&stranger.signer.domain).unwrap().identity().fingerprint();
    assert_eq!(verify(&["--identity", &identity.to_string()]).code, 0);
    assert_eq!(verify(&["--identity", "x"]).code, 2);
}

#[tokio::test]
async fn rows_are_exported_within_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    host.record(&offer()).await;
    let export = |arguments: &[&str]| host.run(&[&["audit", "export"], arguments].concat());
    let lines = |output: &Said| {
        output.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let all = lines(&export(&[]));
    assert_eq!(all.len(), 2);
    assert_eq!(all[1]["message_id"], "<offer-1@company1.example>");
    assert_eq!(all[1]["detail"]["level"], "dnssec");
    let late = lines(&export(&["--since", "2027-01-15T08:01:00Z"]));
    assert_eq!((late.len(), &late[0]["kind"]), (1, &Value::from("sealed")));
    let early = lines(&export(&["--until", "2027-01-15T08:01:00Z"]));
    assert_eq!((early.len(), &early[0]["kind"]), (1, &Value::from("deferred")));
    let csv = export(&["--format", "csv"]);
    assert_eq!(csv.out.lines().count(), 3);
    assert!(csv.out.starts_with("seq,at,kind,direction,"), "{}", csv.out);
    assert_eq!(export(&["--since", "yesterday"]).code, 2);
}

#[tokio::test]
async fn a_message_is_found_by_all_its_names() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::new(directory.path());
    host.record(&offer()).await;
    let other = Event {
        message_id: "<other@company1.example>".to_owned(),
        recipient: "dave@company3.example".to_owned(),
        domain: "company3.example".to_owned(),
        ..event(EventKind::Clear, 100, "no-policy")
    };
    host.record(&[other, Event::new(EventKind::Started, NOW + 200)]).await;
    let story = host.run(&["trace", "<offer-1@company1.example>"]);
    assert_eq!(story.code, 0, "{}", story.err);
    insta::assert_snapshot!(story.out);
    let (token, envelope) = ("dd".repeat(16), "ee".repeat(32));
    let carrier = format!("<{token}@company1.example>");
    for name in [
        "offer-1@company1.example",
        "bob@company2.example",
        "company2.example",
        "000000000000003d",
        token.as_str(),
        carrier.as_str(),
        envelope.as_str(),
    ] {
        assert_eq!(host.run(&["trace", name]).out, story.out, "{name}");
    }
    let both = host.run(&["trace", "alice@company1.example"]).out;
    assert!(both.contains("<other@company1.example>") && both.contains("<offer-1@"), "{both}");
    let json: Value =
        serde_json::from_str(&host.run(&["trace", "company3.example", "--json"]).out).unwrap();
    assert_eq!(json[0]["message_id"], "<other@company1.example>");
    assert_eq!(json[0]["rows"][0]["reason"], "no-policy");
    let late = host.run(&["trace", "--since", "2027-01-15T08:03:00Z"]).out;
    assert!(late.contains("started") && !late.contains("message"), "{late}");
    let unknown = host.run(&["trace", "carol@company2.example"]);
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.err.contains("nothing is on record about `carol@company2.example`"),
        "{}",
        unknown.err
    );
    assert_eq!(host.run(&["trace"]).code, 2);
    assert_eq!(host.run(&["trace", "no such thing"]).code, 2);
}
