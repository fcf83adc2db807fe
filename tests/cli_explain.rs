//! `explain`: what the gateway would do with a message, out of files, in both directions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;

use std::path::{Path, PathBuf};

use cli_support::{mta_seal, name, now};
use mta_seal::core::{
    DeliveryId, EnvelopeId, ForwardPath, IdentityKey, Prefix, ReversePathField, SealTo,
    SealingPrivateKey, SigningKey, Suite, seal,
};
use mta_seal::dns::authority::{Authority, Disturbance, ZoneSpec};
use mta_seal::mail::carrier::{CarrierWriter, Token};
use mta_seal::records::{Mode, PolicyDraft, SealingEntry, SignedPolicy, policy_name};
use mta_seal::store::keyring::Keyring;
use mta_seal::store::ledger::{Claimed, IncomingMessage, Ledger, Options, SqliteLedger};
use rand_core::UnwrapErr;

const HERE: &str = "company1.example";
const THERE: &str = "company2.example";
const DAY: u64 = 86_400;
/// Two hours, and half a minute so that it stays two hours for a while.
const AGE: u64 = 7_230;
const SUBJECT: &str = "the merger";

/// Two organisations that publish their records.
struct World {
    dns: Authority,
    directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let zones = [HERE, THERE, "plain.example", "strict.example"];
        let specs = zones.map(|zone| ZoneSpec::unsigned(name(zone)));
        let world = Self {
            dns: Authority::start(&specs).await.unwrap(),
            directory: tempfile::tempdir().unwrap(),
        };
        for domain in [HERE, THERE] {
            let place = world.place(domain);
            let made = mta_seal(&["init", "--domain", domain, "--dir", place.to_str().unwrap()]);
            assert!(made.status.success(), "{made:?}");
            let config = place.join("mta-seal.toml");
            let zone =
                mta_seal(&["zone", "--format", "json", "--config", config.to_str().unwrap()]);
            let records: Vec<serde_json::Value> = serde_json::from_slice(&zone.stdout).unwrap();
            for record in records {
                let value = record["value"].as_str().unwrap().as_bytes();
                world.dns.set_txt(&name(record["name"].as_str().unwrap()), &[value]).unwrap();
            }
            let text = format!(
                "hostname = 'gw.{domain}'\nstate = 'state'\n\
                 [[domain]]\nname = '{domain}'\nkeys = 'keys/{domain}'\n\
                 [outbound]\nlisten = ['127.0.0.1:0']\nnext_hop = 'smtp://127.0.0.1:1'\n\
                 tls = {{ certificate = 'cert.pem', key = 'key.pem', required = true }}\n\
                 [[outbound.shared]]\nclients = ['192.0.2.0/24']\ndomains = ['{domain}']\n\
                 header = {{ name = 'X-Tenant', secret_file = 'secret' }}\n\
                 [inbound]\nlisten = ['127.0.0.1:0']\nnext_hop = 'smtp://127.0.0.1:1'\n\
                 [dns]\nmode = 'plain'\nservers = ['{}']\ntimeout = '2s'\n\
                 [limits]\nreceived = 3\nheader_size = '2K'\n\
                 [[partner]]\ndomain = 'strict.example'\ninbound = 'require-sealed'\n",
                world.dns.address()
            );
            std::fs::write(&config, text).unwrap();
            let secret = place.join("secret");
            std::fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        world
    }

    fn place(&self, domain: &str) -> PathBuf {
        self.directory.path().join(domain)
    }

    fn keyring(&self, domain: &str) -> Keyring {
        Keyring::load(&self.place(domain).join("keys").join(domain)).unwrap()
    }

    /// A message from HERE to THERE, sealed at a time of choice and signed by a key of choice.
    fn sealed(&self, sealed_at: u64, signing: &SigningKey, message: &str) -> Sealed {
        let mut rng = UnwrapErr(getrandom::SysRng);
        let (from, to) = (name(HERE), name(THERE));
        let reverse =
            ReversePathField::new(format!("anna@{HERE}"), 0, false, 0, String::new()).unwrap();
        let bob = ForwardPath::new(format!("bob@{THERE}"), 0, String::new()).unwrap();
        let delivery = DeliveryId::random(&mut rng);
        let prefix = Prefix::mail(from.clone(), sealed_at, delivery, reverse, vec![bob]);
        let keyring = self.keyring(THERE);
        let stored =
            keyring.sealing_keys().iter().find(|s| s.key.suite() == Suite::X25519).unwrap();
        let to_key = SealTo { recipient_domain: &to, key: stored.key.public() };
        let (envelope, sealed) =
            seal(message.as_bytes(), to_key, prefix, signing, &mut rng).unwrap();
        let mut carrier = Vec::new();
        let mut writer =
            CarrierWriter::new(&from, &to, Token::new([7; 16]), sealed_at, &mut carrier);
        writer.write(&envelope, &mut carrier);
        writer.finish(&mut carrier);
        Sealed { carrier, id: sealed.envelope_id, delivery }
    }

    fn signing(&self) -> SigningKey {
        let keyring = self.keyring(HERE);
        let policy = SignedPolicy::parse(keyring.policy().unwrap().trim().as_bytes()).unwrap();
        let listed = policy.unverified().signing_keys.iter().map(|key| key.key_id());
        keyring.signing_key(listed).unwrap().clone()
    }

    async fn run(&self, domain: &str, message: &[u8], more: &[&str]) -> (i32, String) {
        let file = self.directory.path().join("message.eml");
        std::fs::write(&file, message).unwrap();
        let config = self.place(domain).join("mta-seal.toml");
        let mut arguments = vec!["explain".to_owned(), file.to_str().unwrap().to_owned()];
        arguments.extend(["--config".to_owned(), config.to_str().unwrap().to_owned()]);
        arguments.extend(more.iter().map(|a| (*a).to_owned()));
        let output = tokio::task::spawn_blocking(move || {
            mta_seal(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let output = output.await.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!text.contains(SUBJECT), "{text}");
        assert!(!text.contains("Lorem"), "{text}");
        (output.status.code().unwrap(), text)
    }

    /// What is told, each step on one line, without times and fresh keys.
    async fn told(&self, domain: &str, message: &[u8], more: &[&str]) -> String {
        let (code, text) = self.run(domain, message, more).await;
        format!("exit {code}\n{}", constant(&text, self.directory.path()))
    }
}

struct Sealed {
    carrier: Vec<u8>,
    id: EnvelopeId,
    delivery: DeliveryId,
}

fn constant(text: &str, directory: &Path) -> String {
    let text = text.replace(directory.to_str().unwrap(), "DIR");
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let words = line.trim_start();
        match lines.last_mut() {
            Some(last) if line.starts_with(' ') && !words.starts_with("hint: ") => {
                last.push(' ');
                last.push_str(words);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ';', ':']);
        let hex = bare.len() == 64 && bare.bytes().all(|b| b.is_ascii_hexdigit());
        let digits = |at: usize, sign: u8| bare.as_bytes().get(at) == Some(&sign);
        if hex {
            word.replace(bare, "ID")
        } else if bare.len() == 10 && digits(4, b'-') && digits(7, b'-') {
            word.replace(bare, "DATE")
        } else if bare.len() == 5 && digits(2, b':') {
            word.replace(bare, "TIME")
        } else {
            word.to_owned()
        }
    };
    lines.iter().map(|l| l.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n").collect()
}

fn message(more: &str) -> Vec<u8> {
    format!(
        "{more}From: Anna <anna@{HERE}>\r\nTo: bob@{THERE}, \"Carol, C\" <carol@{THERE}>\r\n\
         Cc: dave@plain.example\r\nSubject: {SUBJECT}\r\n\r\nLorem ipsum\r\n"
    )
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_be_sent() {
    let world = World::new().await;
    let mut told = String::new();
    let mut say = |title: &str, text: String| told.push_str(&format!("== {title}: {text}\n"));
    say("ordinary", world.told(HERE, &message(""), &[]).await);
    let demand = message("MTA-Seal-Required: yes\r\nX-Tenant: 0123456789abcdef\r\n");
    say("demanded, with a secret", world.told(HERE, &demand, &["--size-limit", "100000"]).await);
    let to = ["--from", "<>", "--to", "bob@company2.example", "--size-limit", "1000"];
    say("a bounce, too large once sealed", world.told(HERE, &message(""), &to).await);
    let foreign = ["--from", "x@elsewhere.example", "--to", "a@[192.0.2.1]"];
    say("foreign, to an address literal", world.told(HERE, &message(""), &foreign).await);
    let wrong = message("MTA-Seal-Required: maybe\r\n");
    say("a malformed demand", world.told(HERE, &wrong, &[]).await);
    let unix = String::from_utf8(message("")).unwrap().replace("\r\n", "\n").into_bytes();
    say("line feeds alone", world.told(HERE, &unix, &["--to", "bob@company2.example"]).await);
    let bare = [message(""), b"x\ny\r\n".to_vec()].concat();
    say("a bare line feed", world.told(HERE, &bare, &[]).await);
    let looping = message(&"Received: by x.example\r\n".repeat(4));
    say("a loop", world.told(HERE, &looping, &["--to", "bob@company2.example"]).await);
    let long = message(&format!("X-Long: {}\r\n", "x ".repeat(2_000)));
    say("a long header", world.told(HERE, &long, &[]).await);
    let policy = name(&policy_name(&name(THERE)));
    world.dns.disturb(&policy, Some(Disturbance::ServFail)).unwrap();
    say("no answer", world.told(HERE, &message(""), &["--to", "bob@company2.example"]).await);
    insta::assert_snapshot!("outgoing", told);
    assert!(!world.place(HERE).join("state/ledger.sqlite").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordinary_message_that_arrives() {
    let world = World::new().await;
    let mut told = String::new();
    for (title, from) in [
        ("fine", "eve@plain.example"),
        ("must be sealed", "eve@strict.example"),
        ("disguised", "\"eve@strict.example\" eve@plain.example"),
        ("a gateway's address", "mta-seal@plain.example"),
    ] {
        let text =
            format!("From: {from}\r\nTo: anna@{HERE}\r\nSubject: {SUBJECT}\r\n\r\nLorem\r\n");
        let said = world.told(HERE, text.as_bytes(), &["--inbound"]).await;
        told.push_str(&format!("== {title}: {said}\n"));
    }
    let identity = IdentityKey::from_bytes(&[1; 32]);
    let sealing = SealingPrivateKey::from_bytes(Suite::X25519, &[4; 32]).unwrap();
    let draft = PolicyDraft {
        mode: Mode::Testing,
        serial: now() - DAY,
        expiry: now() + 30 * DAY,
        max_age: 30 * DAY,
        window: 14 * DAY,
        signing_keys: vec![SigningKey::from_bytes(&[2; 32]).public().clone()],
        sealing_keys: vec![SealingEntry::of(sealing.public(), &"s1".parse().unwrap())],
        outgoing_always: true,
        rollover: None,
        next_identity: None,
    };
    let (domain, at) = (name("plain.example"), name("_mta-seal.plain.example"));
    let policy = draft.sign(&domain, &identity).unwrap();
    world.dns.set_txt(&at, &[policy.as_bytes()]).unwrap();
    let text = format!("From: eve@plain.example\r\nTo: anna@{HERE}\r\n\r\nLorem\r\n");
    let said = world.told(HERE, text.as_bytes(), &["--inbound"]).await;
    told.push_str(&format!("== promised to be sealed: {said}\n"));
    insta::assert_snapshot!("inbound_clear", told);
}

/// By the rule that the gateway has, and `everybody_must_seal` and others test there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_mail_of_nobody_and_of_too_many() {
    let world = World::new().await;
    let told = async |from: &str| {
        let text = format!("{from}To: anna@{HERE}\r\nSubject: {SUBJECT}\r\n\r\nLorem\r\n");
        world.told(HERE, text.as_bytes(), &["--inbound", "--from", "<>"]).await
    };
    let authors = |count: usize| {
        let all: Vec<String> = (0..count).map(|n| format!("x@d{n}.plain.example")).collect();
        format!("From: {}\r\n", all.join(", "))
    };
    let (none, expected) = ("mta-seal=none\n", "mta-seal=none policy.expected=sealed\n");
    let taken = "pass     must-be-sealed  no: clear mail from there is taken\n";
    let too_many = "warn     must-be-sealed  it comes in the name of more domains than are looked up: it is marked\n";
    for (from, ruling, result) in
        [(String::new(), taken, none), (authors(4), taken, none), (authors(5), too_many, expected)]
    {
        let said = told(&from).await;
        assert!(said.starts_with("exit 0\n"), "{said}");
        assert!(said.contains(ruling) && said.ends_with(result), "{said}");
    }

    let config = world.place(HERE).join("mta-seal.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let strict = format!("{text}[defaults]\ninbound = 'require-sealed'\n");
    std::fs::write(&config, strict).unwrap();
    for (from, whom) in [
        (String::new(), "nobody in particular"),
        ("From: nobody\r\n".to_owned(), "nobody in particular"),
        (authors(5), "d0.plain.example"),
        // Whoever is named in the configuration may be among them.
        (authors(70), "strict.example"),
    ] {
        let said = told(&from).await;
        let refused = format!(
            "FAIL     must-be-sealed  the configuration takes no clear mail from {whom}, unless"
        );
        assert!(said.starts_with("exit 1\n") && said.contains(&refused), "{said}");
        assert!(said.contains("; refused: 550 5.7.10 clear mail from "), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_arrives() {
    let world = World::new().await;
    let mut told = String::new();
    let mut say = |title: &str, text: String| told.push_str(&format!("== {title}: {text}\n"));
    let (signing, inner) = (world.signing(), String::from_utf8(message("")).unwrap());
    let good = world.sealed(now() - AGE, &signing, &inner);
    say("fine", world.told(THERE, &good.carrier, &[]).await);
    let elsewhere = ["--to", "bob@company2.example", "--to", "mallory@company2.example"];
    say("to somebody who is not signed", world.told(THERE, &good.carrier, &elsewhere).await);
    say("at another gateway", world.told(HERE, &good.carrier, &[]).await);
    let old = world.sealed(now() - 15 * DAY - 1_800, &signing, &inner);
    say("too old", world.told(THERE, &old.carrier, &[]).await);
    let early = world.sealed(now() + 2 * DAY, &signing, &inner);
    say("in the future", world.told(THERE, &early.carrier, &[]).await);
    let stranger = SigningKey::from_bytes(&[9; 32]);
    let forged = world.sealed(now() - AGE, &stranger, &inner);
    say("another signing key", world.told(THERE, &forged.carrier, &[]).await);
    let passed_on = inner.replace("anna@company1", "ceo@plain");
    let passed_on = world.sealed(now() - AGE, &signing, &passed_on);
    say("another author", world.told(THERE, &passed_on.carrier, &[]).await);
    let config = world.place(THERE).join("mta-seal.toml");
    let lenient = std::fs::read_to_string(&config).unwrap();
    let table = format!("[[partner]]\ndomain = '{HERE}'\nrequire_aligned = true\n");
    std::fs::write(&config, format!("{lenient}{table}")).unwrap();
    say("another author, which is refused", world.told(THERE, &passed_on.carrier, &[]).await);
    std::fs::write(&config, lenient).unwrap();
    let text = String::from_utf8(good.carrier.clone()).unwrap();
    let at = text.find(".mtaseal\"\r\n\r\n").unwrap() + 1_000;
    let mut damaged = good.carrier.clone();
    damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
    say("damaged", world.told(THERE, &damaged, &[]).await);
    let policy = name(&policy_name(&name(HERE)));
    world.dns.disturb(&policy, Some(Disturbance::ServFail)).unwrap();
    say("the sender's policy is not known", world.told(THERE, &good.carrier, &[]).await);
    world.dns.disturb(&policy, None).unwrap();

    let path = world.place(THERE).join("state/ledger.sqlite");
    let ledger = SqliteLedger::open(&path, &Options::default(), now()).unwrap();
    let sealed = IncomingMessage {
        envelope_id: good.id,
        sender_domain: name(HERE),
        delivery_id: good.delivery,
    };
    let bob = ["bob@company2.example".to_owned()];
    let claims = ledger.claim(&sealed, &bob, now()).await.unwrap();
    let claims: Vec<_> = claims
        .into_iter()
        .map(|claimed| match claimed {
            Claimed::Claimed(claim) => claim,
            other => panic!("{other:?}"),
        })
        .collect();
    ledger.delivered(&claims, now() + 20 * DAY, &[]).await.unwrap();
    ledger.close().await;
    let before = std::fs::read(&path).unwrap();
    say("delivered before", world.told(THERE, &good.carrier, &[]).await);
    assert!(before == std::fs::read(&path).unwrap(), "the ledger has changed");
    insta::assert_snapshot!("carrier", told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_has_stable_names() {
    let world = World::new().await;
    let documented = std::fs::read_to_string("docs/steps.md").unwrap();
    let inner = String::from_utf8(message("")).unwrap();
    let carrier = world.sealed(now() - AGE, &world.signing(), &inner);
    for (domain, octets, more, direction) in [
        (HERE, message(""), &["--json"][..], "outbound"),
        (HERE, message(""), &["--json", "--inbound"], "inbound"),
        (THERE, carrier.carrier, &["--json"], "carrier"),
    ] {
        let (code, text) = world.run(domain, &octets, more).await;
        assert_eq!(code, 0, "{text}");
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["direction", "envelope_id", "message", "result", "steps", "time"]);
        assert_eq!(report["direction"], direction);
        for step in report["steps"].as_array().unwrap() {
            let step = step["step"].as_str().unwrap();
            assert!(documented.contains(&format!("| `{step}` |")), "{step}");
        }
    }
    for wrong in [&["--from", "nobody"][..], &["--to", "nobody"], &["--size-limit", "x"]] {
        assert_eq!(world.run(HERE, &message(""), wrong).await.0, 2, "{wrong:?}");
    }
}
