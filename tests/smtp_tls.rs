//! STARTTLS on both sides, and our client against our server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mta_seal::core::address::{ForwardPath, ReversePath};
use mta_seal::core::esmtp::{MailParameters, RcptParameters};
use mta_seal::smtp::client::{Client, ClientError, ClientOptions, Outcome, Step};
use mta_seal::smtp::server::{
    Command, DataChunk, DataEnd, ServerConnection, ServerOptions, SessionError,
};
use mta_seal::smtp::tls::{ClientTls, Identity, Roots, TlsError, TlsLevel, server_config};
use mta_seal::smtp::{Capabilities, Protocol, Reply};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A self-signed certificate for `mx.example.org`.
struct Certificate {
    _dir: TempDir,
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    fn new() -> Self {
        Self::valid_until(4096)
    }

    /// Until the end of that year.
    fn valid_until(year: i32) -> Self {
        let mut params = rcgen::CertificateParams::new(["mx.example.org".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&signing_key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        Self { _dir: dir, chain, key }
    }

    fn options(&self, protocol: Protocol) -> ServerOptions {
        let identity = Identity::load(&self.chain, &self.key).unwrap();
        ServerOptions {
            tls: Some(server_config(identity).unwrap()),
            ..ServerOptions::new("mx.example.org", protocol)
        }
    }
}

/// What one connection did.
#[derive(Debug, Default)]
struct Seen {
    commands: Vec<String>,
    trace: &'static str,
    content: Vec<u8>,
}

async fn accept_all(mut server: ServerConnection, seen: &mut Seen) -> Result<(), SessionError> {
    let ok = Reply::new(250, (2, 0, 0), "ok");
    server.greet().await?;
    loop {
        let command = server.next_command().await?;
        seen.commands.push(format!("{command:?}"));
        match command {
            Command::Hello { .. } => server.accept_hello(&Capabilities::all()).await?,
            Command::StartTls => server.start_tls().await?,
            Command::Data => {
                seen.trace = server.trace_protocol();
                server.accept_data(None).await?;
                let end = loop {
                    match server.read_data().await? {
                        DataChunk::Content(part) => seen.content.extend_from_slice(&part),
                        DataChunk::End(end) => break end,
                    }
                };
                assert_eq!(end, DataEnd::Clean);
                while server.pending_replies() > 0 {
                    server.reply(&ok).await?;
                }
            }
            Command::Rset => {}
            Command::Quit => return Ok(()),
            Command::Auth(_) => server.accept_auth().await?,
            Command::Mail { .. } | Command::Rcpt { .. } => server.reply(&ok).await?,
        }
    }
}

/// Serves `connections` connections; the last one is what is returned.
async fn serve(options: ServerOptions, connections: usize) -> (String, JoinHandle<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let options = Arc::new(options);
    let task = tokio::spawn(async move {
        let mut seen = Seen::default();
        for _ in 0..connections {
            let (io, _) = listener.accept().await.unwrap();
            seen = Seen::default();
            let _ = accept_all(ServerConnection::new(io, Arc::clone(&options)), &mut seen).await;
        }
        seen
    });
    (address, task)
}

fn client_options(next_hop: &str, tls: ClientTls) -> ClientOptions {
    ClientOptions { tls, ..ClientOptions::new(next_hop.parse().unwrap(), "gw.example") }
}

fn client_tls(level: TlsLevel, name: &str, roots: &Path) -> ClientTls {
    ClientTls::new(level, name, &Roots::File(roots.to_owned()), None).unwrap()
}

#[tokio::test]
async fn a_message_passes_under_tls_at_every_level() {
    let certificate = Certificate::new();
    let content = [b"Subject: x\r\n\r\n".to_vec(), b".dots\r\n..\r\n".repeat(50_000)].concat();
    for (level, protocol, scheme, trace) in [
        (TlsLevel::Off, Protocol::Smtp, "smtp", "ESMTP"),
        (TlsLevel::Opportunistic, Protocol::Smtp, "smtp", "ESMTPS"),
        (TlsLevel::Required, Protocol::Smtp, "smtp", "ESMTPS"),
        (TlsLevel::Verified, Protocol::Smtp, "smtp", "ESMTPS"),
        (TlsLevel::Verified, Protocol::Lmtp, "lmtp", "LMTPS"),
    ] {
        let (address, server) = serve(certificate.options(protocol), 1).await;
        let tls = client_tls(level, "mx.example.org", &certificate.chain);
        let options = client_options(&format!("{scheme}://{address}"), tls);
        let mut client = Client::connect(&options).await.unwrap();
        assert_eq!(client.tls().is_some(), level != TlsLevel::Off);
        assert!(client.capabilities().dsn);
        assert_eq!(client.capabilities().starttls, level == TlsLevel::Off);
        let from = ReversePath::parse("<a@example.com>").unwrap();
        client.mail(&from, &MailParameters::default()).await.unwrap();
        for path in ["<b@example.org>", "<c@example.org>"] {
            let path = ForwardPath::parse(path).unwrap();
            client.rcpt(&path, &RcptParameters::default()).await.unwrap();
        }
        assert_eq!(client.data().await.unwrap().code(), 354);
        client.write(&content).await.unwrap();
        let finished = client.finish().await.unwrap();
        assert!(!finished.crlf_added);
        let expected = if protocol == Protocol::Lmtp { 2 } else { 1 };
        assert_eq!(finished.outcomes.len(), expected);
        assert!(
            finished.outcomes.iter().all(|o| matches!(o, Outcome::Reply(r) if r.is_positive()))
        );
        client.quit().await;
        let seen = server.await.unwrap();
        assert_eq!(seen.trace, trace);
        assert!(seen.content == content);
    }
}

#[tokio::test]
async fn verified_means_verified() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let expired = Certificate::valid_until(2001);
    for (certificate, name, roots) in [
        (&certificate, "other.example.org", &certificate.chain),
        (&certificate, "mx.example.org", &other.chain),
        (&expired, "mx.example.org", &expired.chain),
    ] {
        let (address, _server) = serve(certificate.options(Protocol::Smtp), 1).await;
        let tls = client_tls(TlsLevel::Verified, name, roots);
        let result = Client::connect(&client_options(&format!("smtp://{address}"), tls)).await;
        let Err(error) = result else { panic!("{name} connected") };
        assert!(matches!(error, ClientError::Tls(_)), "{error:?}");
    }
}

/// A server that knows its clients by their certificate gets ours, and nobody else in.
#[tokio::test]
async fn client_certificates_are_shown() {
    let (server, ours, other) = (Certificate::new(), Certificate::new(), Certificate::new());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut clients = RootCertStore::empty();
    clients.add(CertificateDer::from_pem_file(&ours.chain).unwrap()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(clients),
        Arc::clone(&provider),
    );
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&server.chain).unwrap()],
            PrivateKeyDer::from_pem_file(&server.key).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    for (identity, welcome) in [(Some(&ours), true), (Some(&other), false), (None, false)] {
        let options =
            ServerOptions { tls: Some(Arc::clone(&config)), ..server.options(Protocol::Smtp) };
        let (address, _server) = serve(options, 1).await;
        let identity = identity.map(|shown| Identity::load(&shown.chain, &shown.key).unwrap());
        let roots = Roots::File(server.chain.clone());
        let tls = ClientTls::new(TlsLevel::Verified, "mx.example.org", &roots, identity).unwrap();
        let result = Client::connect(&client_options(&format!("smtp://{address}"), tls)).await;
        assert_eq!(result.is_ok(), welcome, "{:?}", result.err());
    }
}

#[tokio::test]
async fn required_needs_an_offer_and_opportunistic_does_not() {
    let certificate = Certificate::new();
    for level in [TlsLevel::Opportunistic, TlsLevel::Required, TlsLevel::Verified] {
        let plain = ServerOptions::new("mx.example.org", Protocol::Smtp);
        let (address, _server) = serve(plain, 1).await;
        let tls = client_tls(level, "mx.example.org", &certificate.chain);
        match Client::connect(&client_options(&format!("smtp://{address}"), tls)).await {
            Ok(client) => {
                assert_eq!(level, TlsLevel::Opportunistic);
                assert!(client.tls().is_none());
                client.quit().await;
            }
            Err(error) => {
                assert_ne!(level, TlsLevel::Opportunistic);
                assert!(matches!(error, ClientError::NoTls(None)), "{error:?}");
            }
        }
    }
}

/// A server that answers each line of a fixed dialogue and then sends no TLS but garbage.
async fn broken_tls(start_tls_reply: &'static str, connections: usize) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        for _ in 0..connections {
            let (mut io, _) = listener.accept().await.unwrap();
            io.write_all(b"220 mx\r\n").await.unwrap();
            let mut seen = Vec::new();
            let mut buf = [0; 4096];
            while let Ok(read @ 1..) = io.read(&mut buf).await {
                seen.extend_from_slice(&buf[..read]);
                let answer = if seen.ends_with(b"STARTTLS\r\n") {
                    start_tls_reply
                } else if seen.ends_with(b"EHLO gw.example\r\n") {
                    "250-mx\r\n250 STARTTLS\r\n"
                } else if seen.ends_with(b"QUIT\r\n") {
                    "221 bye\r\n"
                } else {
                    "this is no TLS record\r\n"
                };
                if io.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    (address, task)
}

#[tokio::test]
async fn a_failed_handshake_is_an_error_unless_opportunistic() {
    let certificate = Certificate::new();
    let connect = async |level, reply, connections| {
        let (address, server) = broken_tls(reply, connections).await;
        let tls = client_tls(level, "mx.example.org", &certificate.chain);
        let options = client_options(&format!("smtp://{address}"), tls);
        let result = Client::connect(&options).await;
        (result, server)
    };
    let (result, server) = connect(TlsLevel::Opportunistic, "220 go\r\n", 2).await;
    let client = result.unwrap();
    assert!(client.tls().is_none());
    client.quit().await;
    server.await.unwrap();

    let (result, _server) = connect(TlsLevel::Required, "220 go\r\n", 1).await;
    assert!(matches!(result.err(), Some(ClientError::Tls(_))));

    let (result, _server) = connect(TlsLevel::Required, "454 4.7.0 not now\r\n", 1).await;
    assert!(matches!(result.err(), Some(ClientError::NoTls(Some(reply))) if reply.code() == 454));

    let (result, _server) = connect(TlsLevel::Opportunistic, "454 4.7.0 not now\r\n", 1).await;
    assert!(result.unwrap().tls().is_none());
}

#[tokio::test]
async fn replies_behind_starttls_are_an_injection() {
    let certificate = Certificate::new();
    for reply in ["220 go\r\n250 2.0.0 injected\r\n", "220 go\r\n250-half"] {
        let (address, _server) = broken_tls(reply, 1).await;
        let tls = client_tls(TlsLevel::Opportunistic, "mx.example.org", &certificate.chain);
        let result = Client::connect(&client_options(&format!("smtp://{address}"), tls)).await;
        assert!(matches!(result.err(), Some(ClientError::Unsolicited(Step::StartTls))), "{reply}");
    }
}

#[tokio::test]
async fn commands_behind_starttls_are_dropped() {
    let certificate = Certificate::new();
    for injected in [&b""[..], b"MAIL FROM:<evil@example.com>\r\n", b"EHLO evil.example\r\nMAIL FR"]
    {
        let (address, server) = serve(certificate.options(Protocol::Smtp), 1).await;
        let mut io = TcpStream::connect(&address).await.unwrap();
        let mut buf = [0; 4096];
        assert!(io.read(&mut buf).await.unwrap() > 0);
        io.write_all(&[b"STARTTLS\r\n", injected].concat()).await.unwrap();
        let mut reply = vec![0; b"220 2.0.0 ready for TLS\r\n".len()];
        io.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply, b"220 2.0.0 ready for TLS\r\n");

        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&certificate.chain).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "mx.example.org".try_into().unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut tls = connector.connect(name, io).await.unwrap();
        tls.write_all(b"RCPT TO:<b@example.org>\r\nEHLO inside.example\r\nQUIT\r\n").await.unwrap();
        let mut text = String::new();
        tls.read_to_string(&mut text).await.unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.as_bytes()[3] == b' ').collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].starts_with("503 ") && lines[2].starts_with("221 "), "{text}");
        assert!(!text.contains("STARTTLS"), "{text}");
        let seen = server.await.unwrap().commands.join("\n");
        assert!(seen.contains("inside.example") && !seen.contains("evil"), "{seen}");
    }
}

#[tokio::test]
async fn listeners_can_require_tls() {
    let certificate = Certificate::new();
    let options = ServerOptions { require_tls: true, ..certificate.options(Protocol::Smtp) };
    let (address, _server) = serve(options, 1).await;
    let options = client_options(&format!("smtp://{address}"), ClientTls::off());
    let mut client = Client::connect(&options).await.unwrap();
    let reply = client.mail(&ReversePath::Null, &MailParameters::default()).await.unwrap();
    assert_eq!((reply.code(), reply.status().to_string()), (530, "5.7.0".to_owned()));
    client.quit().await;
}

#[test]
fn bad_configuration_is_told_apart() {
    let certificate = Certificate::new();
    let missing = certificate.chain.with_file_name("missing.pem");
    assert!(matches!(
        Identity::load(&missing, &certificate.key),
        Err(TlsError::File { path, .. }) if path == missing
    ));
    assert!(matches!(
        Identity::load(&certificate.key, &certificate.key),
        Err(TlsError::NoCertificate(_))
    ));
    assert!(matches!(
        Identity::load(&certificate.chain, &certificate.chain),
        Err(TlsError::File { path, .. }) if path == certificate.chain
    ));
    let mixed = Identity::load(&certificate.chain, &Certificate::new().key).unwrap();
    assert!(!format!("{mixed:?}").contains("PRIVATE"));
    assert!(matches!(server_config(mixed), Err(TlsError::Rustls(_))));
    let roots = Roots::File(certificate.chain.clone());
    assert!(matches!(
        ClientTls::new(TlsLevel::Verified, "not a name", &roots, None),
        Err(TlsError::Name(_))
    ));
    assert!(matches!("maybe".parse::<TlsLevel>(), Err(TlsError::Level)));
    for level in ["off", "opportunistic", "required", "verified"] {
        assert_eq!(level.parse::<TlsLevel>().unwrap().to_string(), level);
    }
}
