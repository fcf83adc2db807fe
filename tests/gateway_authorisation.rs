//! Who may send through the inside listener, and for which of several local domains.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gateway_support::*;
use mta_seal::dns::Scripted;
use mta_seal::smtp::Protocol::Smtp;
use mta_seal::store::ledger::Scope;
use mta_seal::store::passwords;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

const BOB: &str = "<bob@company2.example>";
const PLAIN: &str = "<eve@plain.example>";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A gateway of company1 and company3 whose clients come from a shared range, and what it needs.
struct House {
    gw: Gw,
    relay: Sink,
    mta: Sink,
    company1: Org,
    company2: Org,
    company3: Org,
    files: TempDir,
}

impl House {
    /// `outbound` goes into the table `[outbound]`, `tables` behind everything. `@` stands for the directory of the files.
    async fn new(outbound: &str, tables: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        certificate(files.path(), "gw.company1.example");
        authority(files.path(), &["mx.cloud.example", "mx.other.example"]);
        secret(files.path(), "secret", &format!("{SECRET}\n"));
        let line = passwords::line("mx", "right", &mut rng()).unwrap();
        secret(files.path(), "senders", &format!("# who may send\n{line}\n"));
        let (dns, clock) = (Arc::new(Scripted::new()), TestClock::new());
        let company1 = Org::new("company1.example", 10);
        let company2 = Org::new("company2.example", 20);
        let company3 = Org::new("company3.example", 30);
        for org in [&company1, &company2, &company3] {
            org.publish(&dns);
        }
        let attributes = "XFORWARD NAME ADDR PROTO HELO IDENT SOURCE";
        let relay = SinkOptions::new(Smtp).with(attributes).start().await;
        let mta = Sink::smtp().await;
        let here = files.path().display().to_string();
        let mut spec = Spec::new(&company1)
            .outbound(Smtp, &relay.url)
            .inbound(Smtp, &mta.url)
            .extra(&tables.replace('@', &here));
        spec.orgs.push(company3.clone());
        spec.outbound_extra = outbound.replace('@', &here);
        let gw = Gw::start(&spec, &dns, &clock).await;
        Self { gw, relay, mta, company1, company2, company3, files }
    }

    async fn client(&self) -> Client {
        Client::greeted(self.gw.outbound(), Smtp).await
    }

    /// A client under TLS, with a certificate if it has one.
    async fn under_tls(&self, own: Option<&str>) -> Client {
        let mut client = self.client().await;
        assert_eq!(client.command("STARTTLS").await.code, 220);
        let config = client_config(self.files.path(), own);
        let mut client = client.start_tls(config, "gw.company1.example").await;
        client.hello(Smtp).await;
        client
    }

    async fn send(&self, from: &str, to: &str, fields: &str) -> Delivery {
        self.client().await.transact(Smtp, from, &[to], &message(fields)).await
    }

    fn nothing_sent(&self) {
        assert!(self.relay.messages().is_empty());
        assert!(self.relay.commands("DATA").is_empty());
    }
}

fn message(fields: &str) -> Vec<u8> {
    format!("From: alice@company1.example\r\n{fields}Subject: canary\r\n\r\nbody\r\n").into_bytes()
}

fn secret(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// An authority, and certificates for names: `ca.pem`, `NAME.pem` and `NAME.key`.
fn authority(directory: &Path, names: &[&str]) {
    let mut parameters = CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    std::fs::write(directory.join("ca.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(parameters, key);
    for name in names {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![(*name).to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &issuer).unwrap();
        std::fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn client_config(directory: &Path, own: Option<&str>) -> rustls::ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("cert.pem")).unwrap()).unwrap();
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
    let Some(name) = own else { return builder.with_no_client_auth() };
    let at = |end: &str| directory.join(format!("{name}.{end}"));
    let chain = vec![CertificateDer::from_pem_file(at("pem")).unwrap()];
    builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(at("key")).unwrap()).unwrap()
}

fn plain(name: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", BASE64_STANDARD.encode(format!("\0{name}\0{password}")))
}

const ELSEWHERE: &str = "clients = [\"10.0.0.0/8\"]\n";
const TLS: &str = "tls = { certificate = \"@/cert.pem\", key = \"@/key.pem\" }\n";
const HEADER: &str = "[[outbound.shared]]\nclients = [\"127.0.0.0/8\"]\n\
                      header = { name = \"X-Company-Seal\", secret_file = \"@/secret\" }\n";

#[tokio::test]
async fn a_secret_field_proves_and_goes_no_further() {
    // [R-seal-09]
    let house = House::new(ELSEWHERE, HEADER).await;
    let from = "<alice@company1.example>";
    for fields in [
        "",
        "X-Company-Seal: 0123456789abcdef0123456789abcdee\r\n",
        "X-Company-Seal:\r\n",
        &format!("X-Company-Seals: {SECRET}\r\n"),
        &format!("X-Company-Seal: {SECRET} \"\r\n"),
    ] {
        for to in [BOB, PLAIN] {
            let sent = house.send(from, to, fields).await;
            sent.expect("550 5.7.1 message bears no proof");
        }
    }
    house.nothing_sent();
    for fields in [
        format!("X-Company-Seal: {SECRET}\r\n"),
        format!("x-company-seal :\r\n\t{SECRET} \r\nX-COMPANY-SEAL: wrong\r\n"),
    ] {
        house.send(from, PLAIN, &fields).await.expect("250");
        house.send(from, BOB, &fields).await.expect("250");
        let sent = house.relay.messages();
        let clear = &sent[sent.len() - 2].data;
        assert_eq!(after_field(clear), message(""), "{}", text(clear));
        let (inner, accepted) = open(&sent[sent.len() - 1].data, &house.company1, &house.company2);
        assert_eq!(inner, message(""));
        assert_eq!(accepted.prefix.sender_domain, house.company1.domain);
    }
    assert!(!contains(&house.relay.raw(), SECRET.as_bytes()));
    assert!(!contains(&house.relay.raw().to_ascii_lowercase(), b"x-company-seal"));
}

#[tokio::test]
async fn a_secret_is_removed_from_whoever_sends_it() {
    let house = House::new("", &HEADER.replace("127.0.0.0/8", "10.9.0.0/16")).await;
    let fields = format!("X-Company-Seal: {SECRET}\r\n");
    house.send("<alice@company1.example>", PLAIN, &fields).await.expect("250");
    assert_eq!(after_field(&house.relay.only().data), message(""));
}

/// Strangers in the range must not choose the moment at which a partner's key is seen for the first time.
#[tokio::test]
async fn nothing_is_learned_for_a_client_without_proof() {
    let house = House::new(ELSEWHERE, HEADER).await;
    let from = "<alice@company1.example>";
    house.send(from, BOB, "").await.expect("550 5.7.1 message bears no proof");
    assert!(!house.gw.ledger_knows(Scope::Outgoing, &house.company2).await);
    house.send(from, BOB, &format!("X-Company-Seal: {SECRET}\r\n")).await.expect("250");
    assert!(house.gw.ledger_knows(Scope::Outgoing, &house.company2).await);
}

#[tokio::test]
async fn a_shared_client_sends_for_its_own_domains_only() {
    let tables = HEADER.replace("header =", "domains = [\"company3.example\"]\nheader =");
    let house = House::new(ELSEWHERE, &tables).await;
    let right = format!("X-Company-Seal: {SECRET}\r\n");
    for path in ["<alice@company1.example>", "<eve@plain.example>"] {
        let sent = house.send(path, BOB, &right).await;
        assert!(sent.mail.is("550 5.7.1 client may not send"), "{path}: {sent:?}");
    }
    house.nothing_sent();
    house.send("<carol@company3.example>", BOB, &right).await.expect("250");
    // Not even a bounce is signed as another domain, though company1 is the listener's own.
    house.send("<>", BOB, &right).await.expect("250");
    house.send("<>", BOB, "").await.expect("550 5.7.1");
    let sent = house.relay.messages();
    assert_eq!(sent.len(), 2);
    for carrier in &sent {
        let (_, accepted) = open(&carrier.data, &house.company3, &house.company2);
        assert_eq!(accepted.prefix.sender_domain, house.company3.domain);
    }
}

#[tokio::test]
async fn two_tenants_of_one_cloud_have_their_own_secrets() {
    let other = "fedcba9876543210fedcba9876543210";
    let table = |domain: &str, file: &str| {
        format!(
            "[[outbound.shared]]\nclients = [\"127.0.0.0/8\"]\ndomains = [\"{domain}\"]\n\
             header = {{ name = \"X-Company-Seal\", secret_file = \"@/{file}\" }}\n"
        )
    };
    let tables = table("company1.example", "secret") + &table("company3.example", "other");
    // The file has to be there before the gateway starts.
    let files = tempfile::tempdir().unwrap();
    secret(files.path(), "other", other);
    let tables = tables.replace("@/other", &files.path().join("other").display().to_string());
    let house = House::new(ELSEWHERE, &tables).await;
    for (path, value, answer) in [
        ("<a@company1.example>", SECRET, "250"),
        ("<a@company3.example>", other, "250"),
        ("<a@company1.example>", other, "550 5.7.1"),
        ("<a@company3.example>", SECRET, "550 5.7.1"),
    ] {
        let sent = house.send(path, BOB, &format!("X-Company-Seal: {value}\r\n")).await;
        sent.expect(answer);
    }
    assert_eq!(house.relay.messages().len(), 2);
}

#[tokio::test]
async fn a_login_proves() {
    let tables = "[[outbound.shared]]\nclients = [\"127.0.0.0/8\"]\npasswords = \"@/senders\"\n";
    let house = House::new(&format!("{ELSEWHERE}{TLS}"), tables).await;
    let mail = "MAIL FROM:<alice@company1.example>";
    let mut client = house.client().await;
    assert!(client.command(mail).await.is("530 5.7.0"));
    assert!(client.command(&plain("mx", "right")).await.is("538 5.7.11"));
    let mut client = house.under_tls(None).await;
    assert!(client.hello(Smtp).await.text.contains("\nAUTH PLAIN LOGIN"));
    assert!(client.command(mail).await.is("530 5.7.0"));
    // Whether there is such a name makes no difference.
    let wrong = client.command(&plain("mx", "wrong")).await;
    assert!(wrong.is("535 5.7.8"), "{wrong:?}");
    assert_eq!(client.command(&plain("nobody", "right")).await, wrong);
    assert!(client.command(mail).await.is("530 5.7.0"));
    assert!(client.command(&plain("mx", "right")).await.is("235 2.7.0"));
    let sent = client.transact(Smtp, "<alice@company1.example>", &[PLAIN], &message("")).await;
    sent.expect("250");
    let relayed = text(&house.relay.only().data);
    assert!(relayed.split("Subject").next().unwrap().contains("ESMTPSA"), "{relayed}");
    // A login is of its connection.
    assert!(house.under_tls(None).await.command(mail).await.is("530 5.7.0"));
}

#[tokio::test]
async fn own_clients_need_no_login_and_strangers_get_no_service() {
    let tables = "[[outbound.shared]]\nclients = [\"192.0.2.0/24\"]\npasswords = \"@/senders\"\n";
    let house = House::new(TLS, tables).await;
    let mut client = house.under_tls(None).await;
    assert!(!client.hello(Smtp).await.text.contains("AUTH"));
    assert!(client.command(&plain("mx", "right")).await.is("502 5.5.1"));
    assert_eq!(client.command("MAIL FROM:<alice@company1.example>").await.code, 250);

    let house = House::new(&format!("{ELSEWHERE}{TLS}"), tables).await;
    let mut client = Client::silent(house.gw.outbound()).await;
    assert!(client.reply().await.is("554 5.7.1"));
}

#[tokio::test]
async fn a_certificate_proves() {
    let tables = "[[outbound.shared]]\nclients = [\"127.0.0.0/8\"]\n\
                  client_ca = \"@/ca.pem\"\nclient_names = [\"mx.cloud.example\"]\n";
    let house = House::new(&format!("{ELSEWHERE}{TLS}"), tables).await;
    let mail = "MAIL FROM:<alice@company1.example>";
    assert!(house.client().await.command(mail).await.is("530 5.7.0"));
    assert!(house.under_tls(None).await.command(mail).await.is("530 5.7.0"));
    let mut other = house.under_tls(Some("mx.other.example")).await;
    assert!(other.command(mail).await.is("530 5.7.0"));
    let mut right = house.under_tls(Some("mx.cloud.example")).await;
    right.transact(Smtp, "<alice@company1.example>", &[BOB], &message("")).await.expect("250");
}

#[tokio::test]
async fn xclient_speaks_for_another_client() {
    let outbound = format!("{ELSEWHERE}xclient = [\"127.0.0.1\"]\n{TLS}");
    let tables = "[[outbound.shared]]\nclients = [\"192.0.2.0/24\"]\npasswords = \"@/senders\"\n";
    let house = House::new(&outbound, tables).await;
    let mail = "MAIL FROM:<alice@company1.example>";
    for (said, answer) in [
        // Who speaks for nobody has no rights of its own.
        ("", "554 5.7.1"),
        ("ADDR=10.1.2.3", "250"),
        ("ADDR=203.0.113.1", "554 5.7.1"),
        ("ADDR=[UNAVAILABLE]", "554 5.7.1"),
        ("NAME=mx.company1.example", "554 5.7.1"),
        ("ADDR=192.0.2.1", "530 5.7.0"),
        ("ADDR=192.0.2.1 LOGIN=mx", "250"),
        ("ADDR=192.0.2.1 LOGIN=nobody", "530 5.7.0"),
    ] {
        let mut client = house.client().await;
        if !said.is_empty() {
            assert_eq!(client.command(&format!("XCLIENT {said}")).await.code, 220, "{said}");
            assert!(client.hello(Smtp).await.text.contains("XCLIENT NAME ADDR"), "{said}");
        }
        let reply = client.command(mail).await;
        assert!(reply.is(answer), "{said}: {reply:?}");
    }
    // What comes after a greeting is about another client than what came before, and the log says what it lacks.
    let log = Log::of_this_process(tracing::Level::WARN);
    let warned =
        || log.lines("XCLIENT without ADDR: its client has no address, and no rights").len();
    let before = warned();
    let mut client = house.client().await;
    client.command("XCLIENT ADDR=10.1.2.3").await;
    client.command("XCLIENT NAME=mx.company1.example").await;
    client.hello(Smtp).await;
    assert!(client.command(mail).await.is("250"));
    client.command("RSET").await;
    client.command("XCLIENT ADDR=[UNAVAILABLE]").await;
    client.hello(Smtp).await;
    assert!(client.command(mail).await.is("554 5.7.1"));
    assert_eq!(warned(), before);
    client.command("XCLIENT NAME=mx.company1.example").await;
    client.hello(Smtp).await;
    assert!(client.command(mail).await.is("554 5.7.1"));
    assert_eq!(warned(), before + 1);
    let mut client = house.client().await;
    client.command("XCLIENT ADDR=10.1.2.3 HELO=front.company1.example PROTO=SMTP").await;
    client.hello(Smtp).await;
    client.transact(Smtp, "<alice@company1.example>", &[PLAIN], &message("")).await.expect("250");
    let relayed = text(&house.relay.only().data);
    assert!(relayed.starts_with("Received: from front.company1.example ([10.1.2.3])"), "{relayed}");
}

#[tokio::test]
async fn xforward_is_passed_on_and_gives_no_rights() {
    let house = House::new(&format!("{ELSEWHERE}xforward = [\"127.0.0.1\"]\n"), HEADER).await;
    let mut client = house.client().await;
    let offered = client.hello(Smtp).await.text;
    assert!(offered.contains("XFORWARD") && !offered.contains("XCLIENT"), "{offered}");
    assert_eq!(client.command("XFORWARD ADDR=10.1.2.3 IDENT=4ABC").await.code, 250);
    let sent = client.transact(Smtp, "<alice@company1.example>", &[BOB], &message("")).await;
    sent.expect("550 5.7.1");
    assert_eq!(
        client.command("XFORWARD ADDR=10.1.2.3 IDENT=5ABC HELO=mua.example").await.code,
        250
    );
    let proven = message(&format!("X-Company-Seal: {SECRET}\r\n"));
    client.transact(Smtp, "<alice@company1.example>", &[PLAIN], &proven).await.expect("250");
    let told = house.relay.commands("XFORWARD").pop().unwrap();
    assert!(
        told.contains(" ADDR=10.1.2.3 ") && told.contains(" HELO=mua.example IDENT=5ABC"),
        "{told}"
    );
    // The trace field tells of the connection.
    assert!(
        text(&house.relay.only().data).starts_with("Received: from client.example ([127.0.0.1])")
    );
    // On the other listener nobody is trusted.
    let mut client = Client::greeted(house.gw.inbound(), Smtp).await;
    assert!(client.command("XFORWARD ADDR=10.1.2.3").await.is("550 5.7.0"));
    assert!(client.command("XCLIENT ADDR=10.1.2.3").await.is("550 5.7.0"));
}

#[tokio::test]
async fn tls_may_be_required() {
    let required = TLS.replace(" }", ", required = true }");
    let house = House::new(&required, "").await;
    let mail = "MAIL FROM:<alice@company1.example>";
    assert!(house.client().await.command(mail).await.is("530 5.7.0"));
    assert_eq!(house.under_tls(None).await.command(mail).await.code, 250);
}

#[tokio::test]
async fn each_local_domain_has_its_own_keys() {
    let house = House::new("", "").await;
    let (one, two, three) = (&house.company1, &house.company2, &house.company3);
    // Each is signed by its own key, and the null and foreign reverse-path by that of the listener's domain.
    for (path, signer) in [
        ("<a@company1.example>", one),
        ("<a@company3.example>", three),
        ("<>", one),
        ("<eve@plain.example>", one),
    ] {
        house.send(path, BOB, "").await.expect("250");
        let carrier = house.relay.messages().pop().unwrap();
        let (_, accepted) = open(&carrier.data, signer, two);
        assert_eq!(accepted.prefix.sender_domain, signer.domain, "{path}");
    }
    // Between the two it is sealed as to anybody.
    let sent = house.send("<a@company1.example>", "<c@company3.example>", "").await;
    sent.expect("250");
    let carrier = house.relay.messages().pop().unwrap();
    assert!(!contains(&carrier.data, b"canary"));
    let (_, accepted) = open(&carrier.data, one, three);
    assert_eq!(accepted.prefix.sender_domain, one.domain);
    forward(house.gw.inbound(), Smtp, &carrier).await.expect("250");
    assert!(contains(&house.mta.only().data, b"canary"));
    // Both kinds of recipients in one transaction.
    let mut client = house.client().await;
    let to = ["<b@company1.example>", "<c@company3.example>"];
    client.transact(Smtp, "<a@company3.example>", &to, &message("")).await.expect("250");
    let mut carriers = house.relay.messages();
    for carrier in carriers.split_off(carriers.len() - 2) {
        forward(house.gw.inbound(), Smtp, &carrier).await.expect("250");
    }
    assert_eq!(house.mta.messages().len(), 3);
}

#[tokio::test]
async fn an_envelope_for_one_local_domain_reaches_no_other() {
    let house = House::new("", "").await;
    let (one, two, three) = (&house.company1, &house.company2, &house.company3);
    let inbound = house.gw.inbound();
    let deliver_to = async |carrier: &[u8], to: &str| {
        deliver(inbound, Smtp, "<alice@company2.example>", &[to], carrier).await
    };
    let right = Forgery::new(two, three).signed_for(&["bob@company3.example"]);
    deliver_to(&right.carrier(), "<bob@company3.example>").await.expect("250");
    // Sealed to company1, with a recipient of company3.
    let crossed = Forgery::new(two, one).signed_for(&["bob@company3.example"]);
    deliver_to(&crossed.carrier(), "<bob@company3.example>").await.expect("550");
    // Sealed to company3's key, though its header says company1.
    let mut wrong_key = Forgery::new(two, one);
    wrong_key.key = Forgery::new(two, three).key;
    deliver_to(&wrong_key.carrier(), "<bob@company1.example>").await.expect("550");
    assert_eq!(house.mta.messages().len(), 1);
}
