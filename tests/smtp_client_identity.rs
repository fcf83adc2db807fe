//! Who a client is: AUTH, certificates, XFORWARD and XCLIENT at the server side of a connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mta_seal::core::address::ReversePath;
use mta_seal::core::esmtp::MailParameters;
use mta_seal::smtp::client::ClientOptions;
use mta_seal::smtp::client_certificate::{TrustedClients, asking_server_config};
use mta_seal::smtp::origin::{ClientName, Extension, MAX_COMMAND, Origin};
use mta_seal::smtp::server::{Command, MECHANISMS, ServerConnection, ServerOptions, SessionError};
use mta_seal::smtp::tls::{ClientTls, Identity, server_config};
use mta_seal::smtp::{self, Capabilities, Protocol, Reply};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, duplex,
};
use tokio::task::JoinHandle;

trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

/// What the server saw at its end.
#[derive(Debug, Default)]
struct Seen {
    names: Vec<String>,
    trace: Vec<&'static str>,
    forwarded: Vec<Option<String>>,
    chain: Vec<CertificateDer<'static>>,
    replaced: Option<Origin>,
}

type Server = JoinHandle<(Seen, Result<(), SessionError>)>;

/// Accepts the name `mx` with the password `right`, and every message.
async fn accept(mut server: ServerConnection, seen: &mut Seen) -> Result<(), SessionError> {
    let ok = Reply::new(250, (2, 0, 0), "ok");
    server.greet().await?;
    loop {
        let command = server.next_command().await?;
        if let Some(chain) = server.client_certificate() {
            seen.chain = chain.to_vec();
        }
        seen.replaced = server.replaced().cloned();
        match command {
            Command::Hello { name, .. } => {
                let known = name != "stranger";
                let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
                let offered = Capabilities {
                    auth: if known { words(&MECHANISMS) } else { Vec::new() },
                    xforward: if known {
                        Extension::XForward.attributes().to_vec()
                    } else {
                        vec![]
                    },
                    xclient: if known { Extension::XClient.attributes().to_vec() } else { vec![] },
                    ..Capabilities::all()
                };
                server.accept_hello(&offered).await?;
            }
            Command::StartTls => server.start_tls().await?,
            Command::Auth(credentials) => {
                assert!(!format!("{credentials:?}").contains(credentials.password()));
                seen.names.push(credentials.name().to_owned());
                if (credentials.name(), credentials.password()) == ("mx", "right") {
                    server.accept_auth().await?;
                } else if credentials.name() == "busy" {
                    server.reply(&Reply::new(454, (4, 7, 0), "later")).await?;
                } else {
                    server.reply(&Reply::new(535, (5, 7, 8), "wrong")).await?;
                }
            }
            Command::Mail { .. } => {
                seen.trace.push(server.trace_protocol());
                seen.forwarded.push(server.forwarded().and_then(|o| o.ident.clone()));
                server.reply(&ok).await?;
            }
            Command::Rcpt { .. } => server.reply(&ok).await?,
            Command::Data => {
                server.accept_data(None).await?;
                server.discard_data().await?;
                server.reply(&ok).await?;
            }
            Command::Rset => {}
            Command::Quit => return Ok(()),
        }
    }
}

struct Client {
    io: BufReader<Box<dyn Io>>,
}

impl Client {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.io.read_line(&mut line).await.unwrap();
        line
    }

    /// The lines of a reply without their line ends; the last one first.
    async fn reply(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            assert!(line.ends_with("\r\n"), "closed after {lines:?}");
            let last = line.as_bytes()[3] == b' ';
            lines.insert(0, line.trim_end_matches(['\r', '\n']).to_owned());
            if last {
                return lines;
            }
        }
    }

    async fn say(&mut self, line: &str) -> String {
        self.io.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.io.flush().await.unwrap();
        self.reply().await.remove(0)
    }

    /// Says something whose answer begins with `start`.
    #[track_caller]
    fn expects<'a>(&'a mut self, line: &'a str, start: &'a str) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let answer = self.say(line).await;
            assert!(answer.starts_with(start), "{place}: {line}: {answer}");
        }
    }

    async fn start_tls(mut self, config: rustls::ClientConfig) -> Self {
        self.expects("STARTTLS", "220 ").await;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("gw.example").unwrap();
        let io = connector.connect(name, self.io.into_inner()).await.unwrap();
        let mut client = Self { io: BufReader::new(Box::new(io)) };
        client.expects("EHLO client.example", "250 ").await;
        client
    }
}

fn serve(options: ServerOptions) -> (Client, Server) {
    let (io, server): (DuplexStream, DuplexStream) = duplex(1 << 16);
    let server = ServerConnection::new(server, Arc::new(options));
    let task = tokio::spawn(async move {
        let mut seen = Seen::default();
        let result = accept(server, &mut seen).await;
        (seen, result)
    });
    (Client { io: BufReader::new(Box::new(io)) }, task)
}

/// An authority with a certificate for each name: `NAME.pem` and `NAME.key`, beside `ca.pem`.
fn authority(directory: &Path, names: &[&str]) {
    let mut parameters = CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    std::fs::write(directory.join("ca.pem"), certificate.pem()).unwrap();
    let issuer = Issuer::new(parameters, key);
    for name in names {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![(*name).to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &issuer).unwrap();
        std::fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn identity(directory: &Path, name: &str) -> Identity {
    let at = |end: &str| directory.join(format!("{name}.{end}"));
    Identity::load(&at("pem"), &at("key")).unwrap()
}

fn client_config(directory: &Path, own: Option<(&Path, &str)>) -> rustls::ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("ca.pem")).unwrap()).unwrap();
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
    match own {
        None => builder.with_no_client_auth(),
        Some((directory, name)) => {
            let at = |end: &str| directory.join(format!("{name}.{end}"));
            let chain = vec![CertificateDer::from_pem_file(at("pem")).unwrap()];
            let key = PrivateKeyDer::from_pem_file(at("key")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// A client under TLS that has greeted.
async fn under_tls() -> (Client, Server) {
    let directory = tempfile::tempdir().unwrap();
    authority(directory.path(), &["gw.example"]);
    let identity = identity(directory.path(), "gw.example");
    let (mut client, server) = serve(ServerOptions {
        tls: Some(server_config(identity).unwrap()),
        ..ServerOptions::new("gw.example", Protocol::Smtp)
    });
    client.reply().await;
    client.expects("EHLO client.example", "250 ").await;
    (client.start_tls(client_config(directory.path(), None)).await, server)
}

fn plain(name: &str, password: &str) -> String {
    BASE64_STANDARD.encode(format!("\0{name}\0{password}"))
}

#[tokio::test]
async fn auth_is_offered_under_tls_only() {
    let directory = tempfile::tempdir().unwrap();
    authority(directory.path(), &["gw.example"]);
    let (mut client, _server) = serve(ServerOptions {
        tls: Some(server_config(identity(directory.path(), "gw.example")).unwrap()),
        ..ServerOptions::new("gw.example", Protocol::Smtp)
    });
    client.reply().await;
    client.expects("AUTH PLAIN", "503 ").await;
    client.io.write_all(b"EHLO client.example\r\n").await.unwrap();
    let offered = client.reply().await;
    assert!(!offered.iter().any(|line| line.contains("AUTH")), "{offered:?}");
    client.expects(&format!("AUTH PLAIN {}", plain("mx", "right")), "538 5.7.11 ").await;
    let mut client = client.start_tls(client_config(directory.path(), None)).await;
    client.io.write_all(b"EHLO client.example\r\n").await.unwrap();
    let offered = client.reply().await;
    assert!(offered.iter().any(|line| &line[4..] == "AUTH PLAIN LOGIN"), "{offered:?}");
    client.expects(&format!("AUTH PLAIN {}", plain("mx", "right")), "235 2.7.0 ").await;
    // It is not offered again, and not to those whom it does not help.
    client.io.write_all(b"EHLO client.example\r\n").await.unwrap();
    let offered = client.reply().await;
    assert!(!offered.iter().any(|line| line.contains("AUTH")), "{offered:?}");
    client.expects("AUTH PLAIN", "503 5.5.1 ").await;
}

#[tokio::test]
async fn every_form_of_an_exchange() {
    let (mut client, server) = under_tls().await;
    client.expects("EHLO stranger", "250 ").await;
    client.expects("AUTH PLAIN", "502 5.5.1 ").await;
    client.expects("HELO old.example", "250 ").await;
    client.expects("AUTH PLAIN", "502 5.5.1 ").await;
    client.expects("EHLO client.example", "250 ").await;
    for (lines, answers) in [
        (vec!["AUTH"], vec!["501 5.5.4 "]),
        (vec!["AUTH CRAM-MD5"], vec!["504 5.5.4 "]),
        (vec!["AUTH PLAIN ="], vec!["501 5.5.2 "]),
        (vec!["AUTH PLAIN AG14AHJpZ2h0 more"], vec!["501 5.5.2 "]),
        (vec!["AUTH PLAIN", "*"], vec!["334 ", "501 5.7.0 "]),
        (vec!["AUTH PLAIN", "AG14AHJpZ2h0="], vec!["334 ", "501 5.5.2 "]),
        (vec!["auth login", "*"], vec!["334 VXNlcm5hbWU6", "501 5.7.0 "]),
        (
            vec!["AUTH LOGIN", "bXg=", "*"],
            vec!["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "501 5.7.0 "],
        ),
        (vec!["AUTH LOGIN bXg=", "cmlnaHQ"], vec!["334 UGFzc3dvcmQ6", "501 5.5.2 "]),
        // In an exchange a command is a response.
        (vec!["AUTH LOGIN", "QUIT!"], vec!["334 VXNlcm5hbWU6", "501 5.5.2 "]),
        (vec!["NOOP"], vec!["250 "]),
        (vec!["AUTH PLAIN", "AGJ1c3kAeA=="], vec!["334 ", "454 4.7.0 "]),
        (
            vec!["MAIL FROM:<a@example.org>", "AUTH PLAIN", "RSET"],
            vec!["250 ", "503 5.5.1 ", "250 "],
        ),
        (vec!["AUTH LOGIN bXg=", "d3Jvbmc="], vec!["334 UGFzc3dvcmQ6", "535 5.7.8 "]),
        (vec!["AUTH LOGIN bXg=", "cmlnaHQ="], vec!["334 UGFzc3dvcmQ6", "235 2.7.0 "]),
        (vec!["MAIL FROM:<a@example.org> AUTH=<>"], vec!["250 "]),
    ] {
        for (line, answer) in lines.iter().zip(&answers) {
            client.expects(line, answer).await;
        }
    }
    client.expects("QUIT", "221 ").await;
    let (seen, result) = server.await.unwrap();
    result.unwrap();
    assert_eq!(seen.names, ["busy", "mx", "mx"]);
    assert_eq!(seen.trace, ["ESMTPS", "ESMTPSA"]);
}

#[tokio::test]
async fn an_exchange_has_short_lines() {
    let (mut client, _server) = under_tls().await;
    client.expects("AUTH PLAIN", "334 ").await;
    client.expects(&"A".repeat(4_000), "500 5.5.6 ").await;
    client.expects("NOOP", "250 ").await;
    client.expects("AUTH PLAIN", "334 ").await;
    client.expects(&plain(&"n".repeat(256), "x"), "501 5.5.2 ").await;
}

#[tokio::test]
async fn guessing_ends_the_connection() {
    let (mut client, server) = under_tls().await;
    let wrong = format!("AUTH PLAIN {}", plain("mx", "wrong"));
    for _ in 0..3 {
        client.expects(&wrong, "535 5.7.8 ").await;
        // What lies between does not help.
        client.expects("MAIL FROM:<a@example.org>", "250 ").await;
        client.expects("RSET", "250 ").await;
    }
    client.expects(&wrong, "421 4.7.0 ").await;
    assert_eq!(client.line().await, "");
    assert!(matches!(server.await.unwrap().1, Err(SessionError::TooManyErrors)));
}

#[tokio::test]
async fn certificates_are_asked_for_and_judged_later() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = tempfile::tempdir().unwrap();
    authority(directory.path(), &["gw.example", "mx.cloud.example", "mx.other.example"]);
    authority(foreign.path(), &["mx.cloud.example"]);
    let trusted =
        TrustedClients::load(&directory.path().join("ca.pem"), &["mx.cloud.example".to_owned()])
            .unwrap();
    for (own, right) in [
        (Some((directory.path(), "mx.cloud.example")), true),
        (Some((directory.path(), "mx.other.example")), false),
        (Some((foreign.path(), "mx.cloud.example")), false),
        (None, false),
    ] {
        let tls =
            asking_server_config(identity(directory.path(), "gw.example"), [&trusted]).unwrap();
        let (mut client, server) = serve(ServerOptions {
            tls: Some(tls),
            ..ServerOptions::new("gw.example", Protocol::Smtp)
        });
        client.reply().await;
        client.expects("EHLO client.example", "250 ").await;
        // A client picks by the authority's name, which the foreign one shares here.
        let mut client = client.start_tls(client_config(directory.path(), own)).await;
        client.expects("QUIT", "221 ").await;
        let (seen, result) = server.await.unwrap();
        result.unwrap();
        assert_eq!(seen.chain.is_empty(), own.is_none(), "{own:?}");
        assert_eq!(trusted.include(&seen.chain, 1_800_000_000), right, "{own:?}");
        // A certificate is worth nothing outside its time.
        assert!(!trusted.include(&seen.chain, 1), "{own:?}");
    }
}

#[tokio::test]
async fn xforward_is_about_one_transaction() {
    let (mut client, server) = serve(ServerOptions::new("gw.example", Protocol::Smtp));
    client.reply().await;
    client.expects("XFORWARD IDENT=Q1", "503 ").await;
    client.expects("EHLO stranger", "250 ").await;
    client.expects("XFORWARD IDENT=Q1", "550 5.7.0 ").await;
    client.expects("XCLIENT ADDR=192.0.2.1", "550 5.7.0 ").await;
    client.io.write_all(b"EHLO client.example\r\n").await.unwrap();
    let offered = client.reply().await;
    assert!(offered.iter().any(|l| &l[4..] == "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"));
    client.expects("XFORWARD LOGIN=x", "501 5.5.4 ").await;
    client.expects("XFORWARD", "501 5.5.4 ").await;
    client.expects("XFORWARD NAME=mx.example IDENT=Q1", "250 ").await;
    client.expects("XFORWARD ADDR=192.0.2.1", "250 ").await;
    client.expects("MAIL FROM:<a@example.org>", "250 ").await;
    client.expects("XFORWARD IDENT=Q2", "503 ").await;
    client.expects("RCPT TO:<b@example.org>", "250 ").await;
    client.expects("DATA", "354 ").await;
    client.expects(".", "250 ").await;
    client.expects("MAIL FROM:<a@example.org>", "250 ").await;
    client.expects("RSET", "250 ").await;
    client.expects("XFORWARD IDENT=Q3", "250 ").await;
    client.expects("MAIL FROM:<a@example.org>", "250 ").await;
    client.expects("QUIT", "221 ").await;
    let (seen, _) = server.await.unwrap();
    assert_eq!(seen.forwarded, [Some("Q1".to_owned()), None, Some("Q3".to_owned())]);
}

#[tokio::test]
async fn xclient_begins_the_session_anew() {
    let (mut client, server) = under_tls().await;
    client.expects(&format!("AUTH PLAIN {}", plain("mx", "right")), "235 ").await;
    client.expects("XCLIENT ADDR=192.0.2.300", "501 5.5.4 ").await;
    client.expects("MAIL FROM:<a@example.org>", "250 ").await;
    client.expects("XCLIENT ADDR=192.0.2.1", "503 ").await;
    client.expects("RSET", "250 ").await;
    client.expects("XCLIENT ADDR=192.0.2.1 LOGIN=mx", "220 gw.example ESMTP").await;
    client.expects("MAIL FROM:<a@example.org>", "503 ").await;
    client.expects("EHLO client.example", "250 ").await;
    client.expects("MAIL FROM:<a@example.org>", "250 ").await;
    client.expects("RSET", "250 ").await;
    // The next client of the same connection, in two commands.
    client.expects("XCLIENT ADDR=192.0.2.2", "220 ").await;
    client.expects("XCLIENT NAME=mx.example", "220 ").await;
    client.expects("EHLO client.example", "250 ").await;
    client.expects("MAIL FROM:<a@example.org>", "250 ").await;
    client.expects("QUIT", "221 ").await;
    let (seen, _) = server.await.unwrap();
    let replaced = seen.replaced.unwrap();
    assert_eq!(replaced.address, Some("192.0.2.2".parse().unwrap()));
    assert_eq!(replaced.name, ClientName::Known("mx.example".to_owned()));
    assert_eq!(replaced.login, None);
    // The login was of the one before.
    assert_eq!(seen.trace, ["ESMTPSA", "ESMTPS", "ESMTPS"]);
}

/// What does not fit into one command is said in several, without a greeting in between, as other clients do it too.
#[tokio::test]
async fn a_long_origin_is_told_in_several_commands() {
    let origin = Origin {
        name: ClientName::Known(format!("{}.example", "n".repeat(200))),
        address: Some("2001:db8::1".parse().unwrap()),
        port: Some(65_000),
        hello: Some("h".repeat(250)),
        login: Some("l".repeat(250)),
        ..Origin::default()
    };
    let lines = origin.commands(Extension::XClient, Extension::XClient.attributes());
    assert!(lines.len() > 1 && lines.iter().all(|line| line.len() + 2 <= MAX_COMMAND), "{lines:?}");
    let (client, server) = serve(ServerOptions::new("gw.example", Protocol::Smtp));
    let options = ClientOptions::new("smtp://mx".parse().unwrap(), "client.example");
    let io = client.io.into_inner();
    let mut client =
        smtp::client::Client::handshake(io, &options, &ClientTls::off()).await.unwrap();
    client.xclient(&origin, "client.example").await.unwrap();
    let path = ReversePath::parse("<a@example.org>").unwrap();
    assert!(client.mail(&path, &MailParameters::default()).await.unwrap().is_positive());
    client.quit().await;
    assert_eq!(server.await.unwrap().0.replaced, Some(origin));

    // Only right behind the first one.
    let (mut client, _server) = serve(ServerOptions::new("gw.example", Protocol::Smtp));
    client.reply().await;
    client.expects("XCLIENT ADDR=192.0.2.1", "503 ").await;
    client.expects("EHLO client.example", "250 ").await;
    client.expects("XCLIENT ADDR=192.0.2.1", "220 ").await;
    client.expects("XFORWARD IDENT=Q1", "503 ").await;
    client.expects("XCLIENT LOGIN=mx", "220 ").await;
    client.expects("EHLO stranger", "250 ").await;
    client.expects("XCLIENT LOGIN=other", "550 5.7.0 ").await;
}
