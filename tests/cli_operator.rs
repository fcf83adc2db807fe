//! The operator's commands beside a daemon that holds the ledger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;

use cli_support::{configured, mta_seal_with, now};
use mta_seal::store::ledger::{
    Attempt, Cause, Fate, Ledger, Occurrence, Options, Scope, SqliteLedger,
};
use std::path::Path;

/// The ledger as the daemon of this configuration holds it.
fn daemon(config: &Path) -> SqliteLedger {
    let path = config.with_file_name("state").join("ledger.sqlite");
    SqliteLedger::open(&path, &Options::default(), now()).unwrap()
}

#[tokio::test]
async fn overrides_are_given_listed_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path());
    let partner = |arguments: &[&str]| mta_seal_with(&config, &[&["partner"], arguments].concat());
    let give = |time: &str, why: &str| {
        partner(&["allow-clear", "company2.example", "--for", time, "--why", why])
    };
    let early = give("4h", "x");
    assert_eq!(early.code, 1);
    assert!(early.err.contains("hint: there is none yet"), "{}", early.err);

    let ledger = daemon(&config);
    for (time, why) in [("8d", "x"), ("4", "x"), ("0s", "x"), ("100ms", "x"), ("4h", "  ")] {
        assert_eq!(give(time, why).code, 2, "{time} {why}");
    }
    let missing = partner(&["allow-clear", "company2.example", "--for", "4h"]);
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("--why"), "{}", missing.err);
    let own = partner(&["allow-clear", "company1.example", "--for", "4h", "--why", "x"]);
    assert_eq!(own.code, 1);
    assert_eq!(partner(&["overrides"]).out, "no overrides\n");

    let given = give("4h", "key lost, ticket 4711");
    assert_eq!((given.code, given.out.as_str()), (0, "override 1 for company2.example, 4h\n"));
    assert!(given.err.contains("leaves in clear"), "{}", given.err);
    let name = mta_seal::core::Domain::parse("company2.example").unwrap();
    let seen = ledger.allowance(&name, now()).await.unwrap().unwrap();
    assert_eq!(seen.until - seen.created, 4 * 3_600);
    assert!(!seen.by.login.is_empty());
    let list = partner(&["overrides", "--current"]).out;
    assert!(list.contains("holds, ") && list.contains("key lost, ticket 4711"), "{list}");

    let ended = partner(&["disallow-clear", "company2.example"]);
    assert_eq!(ended.out, "override 1 for company2.example ended\n");
    assert_eq!(ledger.allowance(&name, now()).await, Ok(None));
    assert_eq!(partner(&["disallow-clear", "company2.example"]).code, 1);
    assert_eq!(partner(&["overrides", "--current"]).out, "no overrides\n");
    assert!(partner(&["overrides"]).out.contains("ended "));
}

#[tokio::test]
async fn what_waits_is_shown_beside_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path());
    let ledger = daemon(&config);
    assert_eq!(mta_seal_with(&config, &["deferred"]).out, "nothing waits\n");
    let cause = Cause {
        reason: "policy-unknown".to_owned(),
        words: "the look-up timed out".to_owned(),
        ..Cause::default()
    };
    let attempt = |domain: &str, ago: u64, fate: Fate| Attempt {
        scope: Scope::Outgoing,
        domain: domain.to_owned(),
        sender: "alice@company1.example".to_owned(),
        recipient: format!("bob@{domain}"),
        at: now() - ago,
        fate,
    };
    let deferred = || Fate::Deferred(Box::new(cause.clone()));
    let attempts = [
        attempt("company2.example", 60, deferred()),
        attempt("b.example", 60, deferred()),
        attempt("old.example", 8 * 86_400, deferred()),
    ];
    ledger.record_attempts(&attempts, &[]).await.unwrap();
    let shown = mta_seal_with(&config, &["deferred"]);
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
    for part in ["b.example: mail to it waits", "bob@company2.example", "allow-clear b.example"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    assert!(!shown.out.contains("old.example"), "{}", shown.out);
    let one = mta_seal_with(&config, &["deferred", "--domain", "B.example", "--json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&one.out).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["recipient"], "bob@b.example");
    assert_eq!(mta_seal_with(&config, &["deferred", "--domain", "-"]).code, 2);
}

#[tokio::test]
async fn alarms_are_shown_and_acknowledged_beside_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path());
    let ledger = daemon(&config);
    let alarms = |arguments: &[&str]| mta_seal_with(&config, &[&["alarms"], arguments].concat());
    let none = alarms(&[]);
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "no alarms\n", ""));
    let raise = async |kind: &str, words: &str| {
        let occurrence = Occurrence {
            scope: Scope::Outgoing,
            domain: "company2.example".to_owned(),
            kind: kind.to_owned(),
            words: words.to_owned(),
            partner: false,
            asks: true,
            first: now() - 60,
            last: now() - 60,
            count: 3,
        };
        ledger.record_alarms(&[occurrence]).await.unwrap();
    };
    raise("identity-changed", "from A to B").await;
    raise("serial-back", "from 7 to 5").await;
    let shown = alarms(&[]);
    assert_eq!((shown.code, shown.err.as_str()), (1, ""));
    for part in ["identity-changed (critical, outgoing mail)", "from 7 to 5", "3 times", "hint: "] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    let json = alarms(&["--json", "--domain", "company2.example"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, rows.len()), (1, 2));
    let other = alarms(&["--domain", "company3.example"]);
    assert_eq!((other.code, other.out.as_str()), (0, "no alarms\n"));

    let ack = |arguments: &[&str]| alarms(&[&["ack"], arguments].concat());
    assert_eq!(ack(&["company2.example"]).code, 2);
    assert_eq!(ack(&["company2.example", "--why", " "]).code, 2);
    let unknown = ack(&["company2.example", "--kind", "x", "--why", "y"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("serial-back"), "{}", unknown.err);
    assert_eq!(ack(&["company3.example", "--why", "y"]).code, 1);
    let one = ack(&["company2.example", "--kind", "serial-back", "--why", "a name server lagged"]);
    assert_eq!(
        (one.code, one.out.as_str()),
        (0, "serial-back about company2.example, outgoing: acknowledged\n")
    );
    let left = alarms(&[]);
    assert!(left.code == 1 && !left.out.contains("serial-back"), "{}", left.out);
    assert_eq!(ack(&["company2.example", "--why", "by telephone"]).code, 0);
    assert_eq!(alarms(&[]).code, 0);
    let all = alarms(&["--all"]);
    assert_eq!(all.code, 0);
    assert!(all.out.contains("a name server lagged") && all.out.contains("by telephone"));
    // Other words are news.
    raise("identity-changed", "from A to C").await;
    assert_eq!(alarms(&[]).code, 1);
}
