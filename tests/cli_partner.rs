//! Partners as a command: the real program, a DNS server that the test plays, and a gateway that goes on running.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;
mod gateway_support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use cli_support::{Daemon, Said, mta_seal, name, now, program};
use gateway_support::*;
use mta_seal::dns::authority::{Authority, Disturbance, ZoneSpec};
use mta_seal::records::{Mode, PolicyDraft};
use mta_seal::smtp::Protocol::Smtp;
use mta_seal::store::ledger::{Action, Ledger, Options, SqliteLedger};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// A policy of the organisation as it would be signed today.
fn policy(org: &Org) -> PolicyDraft {
    PolicyDraft { serial: now() - 500, expiry: now() + 30 * DAY, ..org.draft() }
}

impl Said {
    /// Everything that was said, times and places left out.
    fn told(&self, home: &Home) -> String {
        home.plain(&format!("exit {}\n{}---\n{}", self.code, self.out, self.err))
    }
}

/// company1 with its configuration, ledger and DNS; company2 publishes a policy, plain.example and the rest do not.
struct Home {
    dir: TempDir,
    dns: Authority,
    company2: Org,
    relay: Sink,
    inside: Sink,
}

impl Home {
    async fn new() -> Self {
        let zones = ["company2.example", "company3.example", "plain.example", "other.example"];
        let specs: Vec<ZoneSpec> =
            zones.iter().map(|zone| ZoneSpec::unsigned(name(zone))).collect();
        let dns = Authority::start(&specs).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let gateway = dir.path().join("gw");
        let made =
            mta_seal(&["init", "--domain", "company1.example", "--dir", gateway.to_str().unwrap()]);
        assert!(made.status.success(), "{made:?}");
        let (relay, inside) = (Sink::smtp().await, Sink::smtp().await);
        let company2 = Org::new("company2.example", 20);
        let home = Self { dir, dns, company2, relay, inside };
        home.configure("");
        home.publish(&home.company2, &policy(&home.company2));
        let ledger = SqliteLedger::open(&home.ledger_path(), &Options::default(), now()).unwrap();
        ledger.close().await;
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("gw").join(name)
    }

    fn ledger_path(&self) -> PathBuf {
        self.at("state").join("ledger.sqlite")
    }

    fn partners(&self) -> PathBuf {
        self.at("partners.toml")
    }

    fn partners_text(&self) -> String {
        fs::read_to_string(self.partners()).unwrap_or_default()
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "hostname = 'gw.company1.example'\nstate = 'state'\n\
             [[domain]]\nname = 'company1.example'\nkeys = 'keys/company1.example'\n\
             [outbound]\nlisten = ['127.0.0.1:0']\nnext_hop = '{}'\n\
             [inbound]\nlisten = ['127.0.0.1:0']\nnext_hop = '{}'\n\
             [dns]\nmode = 'plain'\nservers = ['{}']\ntimeout = '2s'\n\
             [log]\nformat = 'json'\n{more}",
            self.relay.url,
            self.inside.url,
            self.dns.address()
        );
        fs::write(self.at("mta-seal.toml"), text).unwrap();
    }

    fn publish(&self, org: &Org, draft: &PolicyDraft) {
        let text = draft.sign(&org.domain, &org.identity()).unwrap();
        self.dns.set_txt(&org.policy_name(), &[text.as_bytes()]).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .env("MTA_SEAL_CONFIG", self.at("mta-seal.toml"))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    async fn run(&self, mut command: Command) -> Said {
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        soon("the command", run).await.unwrap().into()
    }

    async fn partner(&self, arguments: &[&str]) -> Said {
        self.run(self.command(&[&["partner"], arguments].concat())).await
    }

    async fn actions(&self) -> Vec<Action> {
        let ledger = SqliteLedger::open_read_only(&self.ledger_path()).unwrap();
        let mut actions = ledger.actions(None, 1_000).await.unwrap();
        actions.reverse();
        actions
    }

    /// Text for a snapshot: no times, no directory, nobody's name, columns of no width.
    fn plain(&self, text: &str) -> String {
        let mut text = text.replace(self.dir.path().to_str().unwrap(), "DIR");
        for by in self.operators() {
            text = text.replace(&by, "OPERATOR");
        }
        let lines = text.lines().map(|line| {
            let indent = line.len() - line.trim_start().len();
            let words: Vec<&str> = line.split("  ").map(str::trim).collect();
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            format!("{}{}", " ".repeat(indent), without_times(&words.join("  ")))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Whoever has given commands, as they are shown.
    fn operators(&self) -> Vec<String> {
        let ledger = rusqlite::Connection::open(self.ledger_path()).unwrap();
        let mut query = ledger.prepare("SELECT DISTINCT login, uid FROM operator_action").unwrap();
        let name = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
            Ok(format!("{} (uid {})", row.get::<_, String>(0)?, row.get::<_, u32>(1)?))
        };
        query.query_map([], name).unwrap().collect::<Result<_, _>>().unwrap()
    }
}

/// `2026-11-22 09:53 UTC` as TIME, and what is left until then as LEFT.
fn without_times(line: &str) -> String {
    let is_time = |text: &str| {
        text.len() == 20
            && text.bytes().zip(b"0000-00-00 00:00 UTC").all(|(is, form)| match form {
                b'0' => is.is_ascii_digit(),
                form => is == *form,
            })
    };
    let mut out = line.to_owned();
    while let Some(at) = (0..out.len()).find(|at| out.get(*at..at + 20).is_some_and(is_time)) {
        out.replace_range(at..at + 20, "TIME");
    }
    match out.split_once(", ") {
        Some((before, after)) if after.ends_with(" left") && before.ends_with("TIME") => {
            format!("{before}, LEFT")
        }
        _ => out,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_is_looked_up_compared_and_added() {
    let home = Home::new().await;
    let identity = home.company2.identity().public().fingerprint();
    let (hex, words) = (identity.to_string(), identity.words());

    // Nobody to ask.
    let output = home.partner(&["add", "company2.example"]).await;
    insta::assert_snapshot!("add_without_a_terminal", output.told(&home));
    // Another key than the partner has told us.
    let other = "00".repeat(32);
    let output = home.partner(&["add", "company2.example", "--pin", &other]).await;
    insta::assert_snapshot!("add_of_another_key", output.told(&home));
    let slip = words.split_once(' ').unwrap().1;
    let output = home.partner(&["add", "company2.example", "--pin", slip]).await;
    assert_eq!(output.code, 2);
    assert!(output.err.contains("word 1, "), "{}", output.err);
    assert!(!home.partners().exists());
    assert_eq!(home.actions().await, []);

    let output = home.partner(&["add", "company2.example", "--pin", &words.to_uppercase()]).await;
    insta::assert_snapshot!("add_with_words", output.told(&home));
    let text = home.partners_text();
    assert!(text.starts_with("# Partners made by"), "{text}");
    assert!(text.ends_with(&format!("policy = \"require\"\nidentity = \"{hex}\"\n")), "{text}");
    let actions = home.actions().await;
    assert_eq!(actions.len(), 1);
    assert_eq!(
        (actions[0].action.as_str(), actions[0].domain.as_str()),
        ("add", "company2.example")
    );
    assert!(actions[0].detail.contains(&hex) && !actions[0].by.login.is_empty(), "{actions:?}");

    let again = home.partner(&["add", "company2.example", "--pin", &hex]).await;
    assert_eq!(again.code, 1);
    assert!(again.err.contains("partners.toml:4\nhint: `mta-seal partner pin"), "{}", again.err);
    // It is pinned: clear mail is not an option any more.
    let check = home.run(home.command(&["config", "check"])).await;
    assert!(check.out.ends_with("mta-seal.toml: ok (1 domain, 1 partner)\n"), "{}", check.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_when_mail_could_not_be_sealed() {
    let home = Home::new().await;
    let company3 = Org::new("company3.example", 30);
    let add = || home.partner(&["add", "company3.example", "--no-pin"]);
    let mut told = String::new();
    told.push_str(&add().await.told(&home));
    for draft in [
        PolicyDraft { mode: Mode::None, ..policy(&company3) },
        PolicyDraft { serial: now() - 900, expiry: now() - 60, ..policy(&company3) },
        PolicyDraft { serial: now() + DAY, expiry: now() + 2 * DAY, ..policy(&company3) },
    ] {
        home.publish(&company3, &draft);
        told.push_str(&format!("\n\n{}", add().await.told(&home)));
    }
    home.publish(&company3, &policy(&company3));
    home.dns.disturb(&company3.policy_name(), Some(Disturbance::ServFail)).unwrap();
    let failed = add().await;
    assert_eq!(failed.code, 75);
    told.push_str(&format!("\n\n{}", failed.told(&home)));
    home.dns.disturb(&company3.policy_name(), None).unwrap();
    let arguments = ["add", "company3.example", "--no-pin", "--minimum-level", "dnssec"];
    told.push_str(&format!("\n\n{}", home.partner(&arguments).await.told(&home)));
    insta::assert_snapshot!("add_refused", told);
    for arguments in [
        &["add", "company1.example", "--no-pin"][..],
        &["add", "-", "--no-pin"],
        &["add", "company3.example", "--offline"],
        &["add", "company3.example", "--no-pin", "--minimum-level", "pinned"],
        &["add", "company3.example", "--require", "--never", "--why", "x"],
        &["add", "company3.example", "--never"],
        &["add", "company3.example", "--never", "--why", " "],
        &["add", "company3.example", "--pin", "abc"],
        &["add", "company3.example", "--never", "--why", "x", "--pin", &"00".repeat(32)],
    ] {
        let output = home.partner(arguments).await;
        assert!(matches!(output.code, 1 | 2), "{arguments:?}");
        assert!(output.err.starts_with("mta-seal: "), "{}", output.err);
    }
    assert!(!home.partners().exists());
    assert_eq!(home.actions().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_the_configuration_is_left_to_its_owner() {
    let home = Home::new().await;
    home.configure("[[partner]]\ndomain = 'company2.example'\n");
    let hex = "00".repeat(32);
    for arguments in [
        &["add", "company2.example", "--no-pin"][..],
        &["pin", "company2.example", &hex, "--offline"],
        &["forget", "company2.example", "--why", "x"],
    ] {
        let output = home.partner(arguments).await;
        assert_eq!(output.code, 1, "{arguments:?}");
        let place = "is defined in the configuration, at ";
        assert!(output.err.contains(place), "{}", output.err);
        assert!(output.err.contains("mta-seal.toml:19\nhint: change it there"), "{}", output.err);
    }
    fs::write(home.partners(), "# x\n[[partner]]\ndomain = \"Company2.example\"\n").unwrap();
    let output = home.run(home.command(&["config", "check"])).await;
    insta::assert_snapshot!("a_partner_in_both_files", output.told(&home));
    fs::write(home.partners(), "[[partner]]\ndomain = \"b.example\"\npolicy = \"always\"\n")
        .unwrap();
    let output = home.run(home.command(&["config", "check"])).await;
    insta::assert_snapshot!("a_mistake_in_the_file_of_partners", output.told(&home));
    // Cut off rather than meant.
    fs::write(home.partners(), "").unwrap();
    let output = home.run(home.command(&["config", "check"])).await;
    insta::assert_snapshot!("an_empty_file_of_partners", output.told(&home));
    // A file that others can write is not taken.
    use std::os::unix::fs::PermissionsExt;
    fs::write(home.partners(), "# nobody\n").unwrap();
    fs::set_permissions(home.partners(), fs::Permissions::from_mode(0o664)).unwrap();
    for arguments in [&["config", "check"][..], &["partner", "add", "other.example", "--no-pin"]] {
        let output = home.run(home.command(arguments)).await;
        assert_eq!(output.code, 1);
        assert!(output.err.contains("is open to other users (mode 0664)"), "{}", output.err);
    }
    // Another place for it.
    let elsewhere = fs::read_to_string(home.at("mta-seal.toml")).unwrap();
    let elsewhere = format!("partners = 'more/partners'\n{elsewhere}");
    fs::write(home.at("mta-seal.toml"), elsewhere).unwrap();
    fs::create_dir(home.at("more")).unwrap();
    // One that is named must be there.
    for arguments in
        [&["config", "check"][..], &["partner", "add", "b.example", "--never", "--why", "x"]]
    {
        let output = home.run(home.command(arguments)).await;
        assert_eq!(output.code, 1);
        let what = "more/partners: cannot read the partners: no such file";
        assert!(output.err.contains(what), "{}", output.err);
        assert!(output.err.contains("hint: restore it from a backup"), "{}", output.err);
    }
    fs::write(home.at("more/partners"), "# nobody yet\n").unwrap();
    let added = home.partner(&["add", "b.example", "--never", "--why", "x"]).await;
    assert_eq!(added.code, 0, "{}", added.err);
    assert!(fs::read_to_string(home.at("more/partners")).unwrap().contains("b.example"));
}

#[tokio::test(flavor = "multi_thread")]
async fn partners_are_listed_shown_pinned_and_forgotten() {
    let home = Home::new().await;
    home.configure("[[partner]]\ndomain = 'other.example'\npolicy = 'prefer'\n");
    assert!(home.partner(&["list"]).await.out.contains("other.example"));
    let identity = home.company2.identity().public().fingerprint();
    let by_hand = "# Ours.\n\n# Of the lawyers.\n[[partner]]\ndomain = \"plain.example\" # soon\n";
    fs::write(home.partners(), by_hand).unwrap();
    let added =
        home.partner(&["add", "company2.example", "--no-pin", "--inbound", "require-sealed"]).await;
    assert_eq!(added.code, 0, "{}", added.err);
    assert!(home.partners_text().starts_with(by_hand), "{}", home.partners_text());

    // Set, compared with what is published.
    let wrong = home.partner(&["pin", "company2.example", &"11".repeat(32)]).await;
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("in DNS is "), "{}", wrong.err);
    let words = identity.words();
    let words: Vec<&str> = words.split(' ').collect();
    let pinned = home.partner(&[&["pin", "company2.example"], &words[..]].concat()).await;
    insta::assert_snapshot!("pin", pinned.told(&home));
    let same = home.partner(&["pin", "company2.example", &identity.to_string()]).await;
    assert!(same.out.ends_with("nothing to change\n"), "{}", same.out);
    // Changed: only with a reason.
    let new = "ab".repeat(32);
    let without = home.partner(&["pin", "company2.example", &new, "--offline"]).await;
    assert_eq!(without.code, 2);
    let why = ["pin", "company2.example", &new, "--offline", "--why", "key lost\u{1b}[2J, #4711"];
    let changed = home.partner(&why).await;
    insta::assert_snapshot!("pin_changed", changed.told(&home));
    assert_eq!(home.partner(&["pin", "z.example", &new]).await.code, 1);

    let given = ["allow-clear", "plain.example", "--for", "4h", "--why", "key expired"];
    assert_eq!(home.partner(&given).await.code, 0);
    insta::assert_snapshot!("list", home.partner(&["list"]).await.told(&home));
    let json = home.partner(&["list", "--json"]).await.out;
    let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!((&rows[0]["identity"], &rows[0]["line"]), (&Value::from(new), &Value::from(8)));
    assert!(rows[2]["override_until"].is_u64() && rows[0]["override_until"].is_null());
    insta::assert_snapshot!("show", home.partner(&["show", "company2.example"]).await.told(&home));
    let unknown = home.partner(&["show", "z.example"]).await;
    insta::assert_snapshot!("show_of_a_stranger", unknown.told(&home));
    let json = home.partner(&["show", "company2.example", "--json"]).await.out;
    let shown: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(shown["actions"].as_array().unwrap().len(), 3);
    assert_eq!(shown["actions"][0]["action"], "pin");
    assert_eq!(shown["remembered_outgoing"], Value::Null);

    let forgotten = home.partner(&["forget", "company2.example", "--why", "merged"]).await;
    insta::assert_snapshot!("forget", forgotten.told(&home));
    assert_eq!(home.partners_text(), by_hand);
    assert_eq!(home.partner(&["forget", "company2.example", "--why", "x"]).await.code, 1);
    let kinds: Vec<String> = home.actions().await.into_iter().map(|action| action.action).collect();
    assert_eq!(kinds, ["add", "pin", "pin", "allow-clear", "forget"]);
}

/// Whatever an entry demands is shown, and said and kept on record when it goes.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_with_an_entry_without_a_word() {
    let home = Home::new().await;
    let entry = "[[partner]]\ndomain = \"plain.example\"\nminimum_level = \"dnssec\"\nrequire_aligned = true\n\
         allow_weaker_suite = true\n";
    fs::write(home.partners(), entry).unwrap();
    let shown = home.partner(&["show", "plain.example"]).await.out;
    assert!(shown.contains("must be of this domain in sealed mail"), "{shown}");
    for arguments in [&["show", "plain.example", "--json"][..], &["list", "--json"]] {
        let shown = home.partner(arguments).await.out;
        assert!(shown.contains("\"require_aligned\": true"), "{shown}");
    }
    let forgotten = home.partner(&["forget", "plain.example", "--why", "merged"]).await;
    insta::assert_snapshot!("forget_of_one_with_demands", forgotten.told(&home));
    let actions = home.actions().await;
    assert_eq!(
        actions[0].detail,
        "policy prefer, minimum_level dnssec, inbound mark, require_aligned, allow_weaker_suite, not pinned; \
         minimum_level dnssec -> first-use, require_aligned true -> false, allow_weaker_suite true -> false: merged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_forced_tls_is_imported_whole_or_not_at_all() {
    let home = Home::new().await;
    home.configure("[[partner]]\ndomain = 'other.example'\npolicy = 'prefer'\n");
    let file = home.at("tls_policy");
    let text = "# forced\ncompany2.example encrypt\nplain.example secure\n    match=plain.example\n\
        .plain.example encrypt\n[mx.example]:25 encrypt\nother.example verify\n\
        company1.example encrypt\nlax\u{1b}.example may\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let mut told = String::new();
    for arguments in [
        &["import", file, "--dry-run"][..],
        &["import", file, "--check"],
        &["import", file, "--check", "--prefer", "--dry-run"],
    ] {
        told.push_str(&format!("{}\n\n", home.partner(arguments).await.told(&home)));
        assert!(!home.partners().exists());
        assert_eq!(home.actions().await, []);
    }
    told.push_str(&home.partner(&["import", file]).await.told(&home));
    insta::assert_snapshot!("import", told);
    let actions = home.actions().await;
    assert_eq!(actions.len(), 2);
    assert!(actions[1].detail.ends_with("tls_policy:3"), "{actions:?}");
    let before = home.partners_text();
    assert_eq!(before.matches("policy = \"require\"").count(), 2, "{before}");
    let again = home.partner(&["import", file]).await;
    assert!(
        again.out.ends_with("3 partners left alone: there already\nnothing to add\n"),
        "{}",
        again.out
    );
    assert_eq!(home.partners_text(), before);
}

const ALICE: &str = "<alice@company1.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: one\r\n\r\nHello\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_takes_partners_up_by_itself() {
    let home = Home::new().await;
    let daemon = Daemon::start(home.command(&["serve"]));
    let mut client = Client::greeted(daemon.outbound, Smtp).await;
    let to = ["<carol@plain.example>"];
    client.transact(Smtp, ALICE, &to, MESSAGE).await.expect("250");
    let list = home.at("list");
    fs::write(&list, "plain.example\n").unwrap();
    let imported = home.partner(&["import", list.to_str().unwrap()]).await;
    assert_eq!(imported.code, 0, "{}", imported.err);
    assert_eq!(daemon.logged("reloaded")["partners"], 1);
    // The next message, on the connection that was open all the time.
    client.transact(Smtp, ALICE, &to, MESSAGE).await.expect("550 5.7.10");

    // A slip by hand is logged and changes nothing.
    let good = home.partners_text();
    fs::write(home.partners(), format!("{good}polcy = \"never\"\n")).unwrap();
    let refused = daemon.logged("reload refused");
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("partners.toml:6: unknown key `polcy`"), "{refused}");
    client.transact(Smtp, ALICE, &to, MESSAGE).await.expect("550 5.7.10");
    // The commands refuse to build on it.
    let forget = ["forget", "plain.example", "--why", "no longer a partner"];
    let stopped = home.partner(&forget).await;
    assert_eq!(stopped.code, 1);
    assert!(stopped.err.contains("unknown key `polcy`"), "{}", stopped.err);
    // Nor does mail go clear when the file goes.
    fs::remove_file(home.partners()).unwrap();
    let gone = daemon.logged("the file of partners has gone");
    assert_eq!(gone["level"], "ERROR");
    client.transact(Smtp, ALICE, &to, MESSAGE).await.expect("550 5.7.10");
    fs::write(home.partners(), &good).unwrap();
    assert_eq!(daemon.logged("reloaded")["partners"], 1);

    let forgotten = home.partner(&forget).await;
    assert!(forgotten.err.contains("leaves in clear from now on"), "{}", forgotten.err);
    assert_eq!(daemon.logged("reloaded")["partners"], 0);
    client.transact(Smtp, ALICE, &to, MESSAGE).await.expect("250");
    assert_eq!(home.relay.messages().len(), 2);

    // Sealed by the pinned key; what was learned is shown, and stays when the entry goes.
    let hex = home.company2.identity().public().fingerprint().to_string();
    let added = home.partner(&["add", "company2.example", "--pin", &hex]).await;
    assert_eq!(added.code, 0, "{}", added.err);
    daemon.logged("reloaded");
    client.transact(Smtp, ALICE, &["<bob@company2.example>"], MESSAGE).await.expect("250");
    assert!(!contains(&home.relay.wait(3).await[2].data, b"Hello"));
    let shown = home.partner(&["show", "company2.example"]).await;
    insta::assert_snapshot!("show_of_one_that_is_remembered", shown.told(&home));
    let forgotten = home.partner(&["forget", "company2.example", "--why", "merged"]).await;
    assert!(
        forgotten
            .out
            .contains("company2.example stays, and clear mail to it stays forbidden until"),
        "{}",
        forgotten.out
    );
}

/// The file of partners is lost: no command, reload or start takes that for "no partners", which would let mail go clear.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_file_of_partners_is_no_empty_one() {
    let home = Home::new().await;
    let daemon = Daemon::start(home.command(&["serve"]));
    let list = home.at("list");
    fs::write(&list, "plain.example\n").unwrap();
    let list = list.to_str().unwrap();
    assert_eq!(home.partner(&["import", list]).await.code, 0);
    daemon.logged("reloaded");
    fs::write(list, "plain.example\nother.example\n").unwrap();
    fs::remove_file(home.partners()).unwrap();
    daemon.logged("the file of partners has gone");

    let what = "partners.toml, is missing, though plain.example was made a partner by command";
    let pin = "00".repeat(32);
    let commands = [
        &["partner", "add", "other.example", "--never", "--why", "x"][..],
        &["partner", "pin", "plain.example", &pin, "--offline"],
        &["partner", "forget", "plain.example", "--why", "x"],
        &["partner", "import", list],
        &["config", "check"],
    ];
    for arguments in commands {
        let output = home.run(home.command(arguments)).await;
        assert_eq!(output.code, 1, "{arguments:?}");
        assert!(output.err.contains(what), "{}", output.err);
        assert!(output.err.contains("\nhint: restore it from a backup; "), "{}", output.err);
        assert!(!home.partners().exists());
    }
    assert_eq!(home.actions().await.len(), 1);

    daemon.signal(Signal::HUP);
    let refused = daemon.logged("reload refused");
    assert!(refused["reason"].as_str().unwrap().contains(what), "{refused}");
    let mut client = Client::greeted(daemon.outbound, Smtp).await;
    let to = ["<carol@plain.example>"];
    client.transact(Smtp, ALICE, &to, MESSAGE).await.expect("550 5.7.10");
    drop(daemon);
    let start = home.run(home.command(&["serve"])).await;
    assert_eq!(start.code, 1);
    assert!(start.err.contains(what), "{}", start.err);

    // White space is no sign of will either; a comment is.
    fs::write(home.partners(), " \n\n").unwrap();
    let start = home.run(home.command(&["serve"])).await;
    assert!(start.err.contains("the file is empty"), "{}", start.err);
    fs::write(home.partners(), "# nobody\n").unwrap();
    let daemon = Daemon::start(home.command(&["serve"]));
    let mut client = Client::greeted(daemon.outbound, Smtp).await;
    client.transact(Smtp, ALICE, &to, MESSAGE).await.expect("250");
}

/// DNS begins to serve another identity key once one is remembered: nobody adds it without having compared it.
#[tokio::test(flavor = "multi_thread")]
async fn another_key_than_the_remembered_one_needs_a_comparison() {
    let home = Home::new().await;
    let daemon = Daemon::start(home.command(&["serve"]));
    let mut client = Client::greeted(daemon.outbound, Smtp).await;
    client.transact(Smtp, ALICE, &["<bob@company2.example>"], MESSAGE).await.expect("250");
    drop(daemon);
    let known = home.company2.identity().public().fingerprint().to_string();
    let other = Org::new("company2.example", 40);
    let seen = other.identity().public().fingerprint().to_string();
    home.publish(&other, &policy(&other));
    let mut told = String::new();
    for how in [&["--no-pin"][..], &["--pin", &known]] {
        let output = home.partner(&[&["add", "company2.example"], how].concat()).await;
        assert_eq!(output.code, 1, "{}", output.out);
        told.push_str(&format!("{}\n\n", output.told(&home)));
    }
    insta::assert_snapshot!("add_of_a_changed_key", told);
    assert!(!home.partners().exists());
    // The partner itself has read the new one out.
    let output = home.partner(&["add", "company2.example", "--pin", &seen]).await;
    assert_eq!(output.code, 0, "{}", output.err);
    assert!(output.err.contains("remembers another identity key"), "{}", output.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_all_count() {
    let home = Home::new().await;
    let pin = "00".repeat(32);
    let names: Vec<String> = (0..8).map(|n| format!("p{n}.example")).collect();
    let started: Vec<Child> = names
        .iter()
        .map(|name| {
            let arguments = ["partner", "add", name, "--offline", "--pin", &pin];
            let mut command = home.command(&arguments);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in started {
        assert!(child.wait().unwrap().success());
    }
    let text = home.partners_text();
    for name in &names {
        assert_eq!(text.matches(&format!("\"{name}\"")).count(), 1, "{text}");
    }
    let mut recorded: Vec<String> =
        home.actions().await.into_iter().map(|action| action.domain).collect();
    recorded.sort();
    assert_eq!(recorded, names);
}

/// The kernel kills the command in the middle of writing the new file: the record is there already, the old file still.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_the_old_file_and_the_record() {
    let home = Home::new().await;
    let mut old = "# Long.\n".repeat(200_000);
    old.push_str("[[partner]]\ndomain = \"a.example\"\n");
    fs::write(home.partners(), &old).unwrap();
    let program = env!("CARGO_BIN_EXE_mta-seal");
    let mut limited = Command::new("sh");
    // Files of at most 1 MiB: more than the ledger needs, less than the partners.
    limited
        .args([
            "-c",
            "ulimit -c 0; ulimit -f 2048; exec \"$0\" partner add b.example --never --why x",
        ])
        .arg(program)
        .env("MTA_SEAL_CONFIG", home.at("mta-seal.toml"))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || limited.output().unwrap()).await.unwrap();
    assert_eq!(output.status.signal(), Some(Signal::XFSZ.as_raw()), "{output:?}");
    assert!(home.partners_text() == old);
    let actions = home.actions().await;
    assert_eq!(actions.len(), 1);
    assert_eq!((actions[0].action.as_str(), actions[0].domain.as_str()), ("add", "b.example"));
    assert!(home.at(".partners.toml.new").exists());
    assert_eq!(actions[0].detail, "policy never, not pinned: x");
    // What was left behind is in nobody's way.
    let added = home.partner(&["add", "b.example", "--never", "--why", "x"]).await;
    assert_eq!(added.code, 0, "{}", added.err);
    assert!(home.partners_text().starts_with(&old));
    assert!(!home.at(".partners.toml.new").exists());
    let kinds: Vec<String> = home.actions().await.into_iter().map(|action| action.action).collect();
    assert_eq!(kinds, ["add", "add"]);
}
