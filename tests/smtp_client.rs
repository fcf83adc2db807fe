//! The client side of SMTP and LMTP against scripted servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use mta_seal::core::address::{ForwardPath, ReversePath};
use mta_seal::core::esmtp::{MailParameters, RcptParameters};
use mta_seal::smtp::Reply;
use mta_seal::smtp::client::{
    Client, ClientError, ClientOptions, ClientTimeouts, Credentials, Missing, Outcome, Step,
};
use mta_seal::smtp::data::Violation;
use mta_seal::smtp::origin::{Extension, Origin};
use mta_seal::smtp::tls::ClientTls;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

/// One exchange: what is awaited from the client, and what it is answered.
type Exchange = (&'static str, &'static str);

const GREETING: Exchange = ("", "220 mx ESMTP\r\n");
const EHLO: Exchange = (
    "EHLO gw.example\r\n",
    "250-mx\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n",
);
const MAIL: Exchange = ("MAIL FROM:<a@example.com>\r\n", "250 2.1.0 ok\r\n");
const RCPT: Exchange = ("RCPT TO:<b@example.org>\r\n", "250 2.1.5 ok\r\n");
const DATA: Exchange = ("DATA\r\n", "354 go on\r\n");

/// Plays the script, in replies of `step` octets; then returns what else the client sent until
/// it closed.
fn play(mut io: DuplexStream, script: Vec<Exchange>, step: usize) -> JoinHandle<String> {
    tokio::spawn(async move {
        for (expected, answer) in script {
            let mut heard = vec![0; expected.len()];
            io.read_exact(&mut heard).await.unwrap();
            assert_eq!(String::from_utf8(heard).unwrap(), expected);
            for part in answer.as_bytes().chunks(step) {
                io.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        let mut rest = Vec::new();
        io.read_to_end(&mut rest).await.unwrap();
        String::from_utf8(rest).unwrap()
    })
}

fn options(next_hop: &str) -> ClientOptions {
    ClientOptions::new(next_hop.parse().unwrap(), "gw.example")
}

/// A client of the scripted server.
async fn client(
    next_hop: &str,
    script: &[Exchange],
) -> (Result<Client, ClientError>, JoinHandle<String>) {
    let (io, peer) = duplex(1 << 16);
    let server = play(peer, script.to_vec(), usize::MAX);
    (Client::handshake(io, &options(next_hop), &ClientTls::off()).await, server)
}

async fn smtp(script: &[Exchange]) -> (Client, JoinHandle<String>) {
    let (client, server) = client("smtp://mx", script).await;
    (client.unwrap(), server)
}

fn from(path: &str) -> ReversePath {
    ReversePath::parse(path).unwrap()
}

fn to(path: &str) -> ForwardPath {
    ForwardPath::parse(path).unwrap()
}

async fn mail(client: &mut Client, path: &str, parameters: &str) -> Result<Reply, ClientError> {
    client.mail(&from(path), &MailParameters::parse(parameters).unwrap()).await
}

async fn rcpt(client: &mut Client, path: &str, parameters: &str) -> Result<Reply, ClientError> {
    client.rcpt(&to(path), &RcptParameters::parse(parameters).unwrap()).await
}

/// Up to 354, for `<b@example.org>`.
async fn up_to_data(client: &mut Client) {
    assert!(mail(client, "<a@example.com>", "").await.unwrap().is_positive());
    assert!(rcpt(client, "<b@example.org>", "").await.unwrap().is_positive());
    assert_eq!(client.data().await.unwrap().code(), 354);
}

#[tokio::test]
async fn a_message_is_delivered_whatever_way_replies_are_cut() {
    let script = [
        GREETING,
        EHLO,
        ("MAIL FROM:<a@example.com> SIZE=9 BODY=8BITMIME RET=HDRS ENVID=x\r\n", "250 ok\r\n"),
        ("RCPT TO:<b@example.org> NOTIFY=NEVER\r\n", "250-2.1.5 ok\r\n250 2.1.5 really\r\n"),
        DATA,
        ("a\r\n..b\r\nc\r\n.\r\n", "250 2.6.0 taken\r\n"),
        ("QUIT\r\n", "221 bye\r\n"),
    ];
    for step in [1, 2, 3, 7, 1000] {
        let (io, peer) = duplex(1 << 16);
        let server = play(peer, script.to_vec(), step);
        let mut client =
            Client::handshake(io, &options("smtp://mx"), &ClientTls::off()).await.unwrap();
        assert_eq!(client.capabilities().size_limit(), Some(1000));
        let parameters = "SIZE=9 BODY=8BITMIME RET=HDRS ENVID=x";
        mail(&mut client, "<a@example.com>", parameters).await.unwrap();
        let reply = rcpt(&mut client, "<b@example.org>", "NOTIFY=NEVER").await.unwrap();
        assert_eq!(reply.lines().collect::<Vec<_>>(), ["ok", "really"]);
        assert_eq!(client.data().await.unwrap().code(), 354);
        for part in [&b"a\r"[..], b"\n.", b"b\r\nc"] {
            client.write(part).await.unwrap();
        }
        let finished = client.finish().await.unwrap();
        assert_eq!(finished.outcomes, [Outcome::Reply(Reply::new(250, (2, 6, 0), "taken"))]);
        assert!(finished.crlf_added && finished.lost.is_none());
        client.quit().await;
        assert_eq!(server.await.unwrap(), "");
    }
}

#[tokio::test]
async fn what_is_not_offered_is_left_out_or_refused() {
    let plain = ("EHLO gw.example\r\n", "250 mx\r\n");
    let script = [GREETING, plain, MAIL, RCPT];
    let (mut client, server) = smtp(&script).await;
    for (path, parameters, expected) in [
        ("<a@example.com>", "SMTPUTF8", Missing::SmtpUtf8),
        ("<döner@example.com>", "", Missing::SmtpUtf8),
        ("<a@example.com>", "BODY=8BITMIME", Missing::EightBitMime),
    ] {
        match mail(&mut client, path, parameters).await {
            Err(ClientError::Missing(missing)) => assert_eq!(missing, expected),
            other => panic!("{other:?}"),
        }
        assert!(client.is_open());
    }
    mail(&mut client, "<a@example.com>", "SIZE=1 BODY=7BIT RET=FULL ENVID=x").await.unwrap();
    assert!(matches!(
        rcpt(&mut client, "<döner@example.org>", "").await,
        Err(ClientError::Missing(Missing::SmtpUtf8))
    ));
    rcpt(&mut client, "<b@example.org>", "NOTIFY=SUCCESS ORCPT=rfc822;b").await.unwrap();
    client.abort();
    assert_eq!(server.await.unwrap(), "");
}

#[tokio::test]
async fn lmtp_outcomes_are_per_accepted_recipient() {
    let script = [
        ("", "220 mx LMTP\r\n"),
        ("LHLO gw.example\r\n", "250 mx\r\n"),
        MAIL,
        RCPT,
        ("RCPT TO:<no@example.org>\r\n", "550 5.1.1 no\r\n"),
        ("RCPT TO:<c@example.org>\r\n", "250 ok\r\n"),
        ("RCPT TO:<d@example.org>\r\n", "250 ok\r\n"),
        DATA,
        (".\r\n", "250 2.0.0 b\r\n452 4.2.2 c\r\n"),
    ];
    for (last, expected) in [
        ("550 5.2.1 d\r\n", Outcome::Reply(Reply::new(550, (5, 2, 1), "d"))),
        ("", Outcome::Unknown),
        ("what?\r\n", Outcome::Unknown),
        ("25", Outcome::Unknown),
    ] {
        let (io, peer) = duplex(1 << 16);
        let script = [&script[..], &[("", last)]].concat();
        let server = tokio::spawn(async move {
            let mut io = peer;
            for (expected, answer) in script {
                let mut heard = vec![0; expected.len()];
                io.read_exact(&mut heard).await.unwrap();
                assert_eq!(String::from_utf8(heard).unwrap(), expected);
                io.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let mut client =
            Client::handshake(io, &options("lmtp://mx"), &ClientTls::off()).await.unwrap();
        mail(&mut client, "<a@example.com>", "").await.unwrap();
        for path in ["<b@example.org>", "<no@example.org>", "<c@example.org>", "<d@example.org>"] {
            rcpt(&mut client, path, "").await.unwrap();
        }
        assert_eq!(client.accepted_recipients(), 3);
        client.data().await.unwrap();
        let finished = client.finish().await.unwrap();
        assert_eq!(
            finished.outcomes,
            [
                Outcome::Reply(Reply::new(250, (2, 0, 0), "b")),
                Outcome::Reply(Reply::new(452, (4, 2, 2), "c")),
                expected.clone(),
            ]
        );
        assert_eq!(finished.lost.is_some(), expected == Outcome::Unknown);
        assert_eq!(client.is_open(), expected != Outcome::Unknown);
        server.await.unwrap();
    }
}

#[tokio::test]
async fn an_aborted_message_has_no_final_dot() {
    let (mut client, server) = smtp(&[GREETING, EHLO, MAIL, RCPT, DATA]).await;
    up_to_data(&mut client).await;
    client.write(b"Subject: x\r\n\r\n.\r\nhalf\r\n").await.unwrap();
    client.flush().await.unwrap();
    client.quit().await;
    assert_eq!(server.await.unwrap(), "Subject: x\r\n\r\n..\r\nhalf\r\n");
}

#[tokio::test]
async fn dangerous_content_is_never_sent() {
    for (content, violation) in [
        (&b"a\n.\nMAIL"[..], Violation::BareLf),
        (b"a\r.\rMAIL", Violation::BareCr),
        (b"a\0MAIL", Violation::Nul),
        (b"a\r", Violation::BareCr),
    ] {
        let (mut client, server) = smtp(&[GREETING, EHLO, MAIL, RCPT, DATA]).await;
        up_to_data(&mut client).await;
        let result = match client.write(content).await {
            Ok(()) => client.finish().await.map(|_| ()),
            result => result,
        };
        assert!(matches!(result, Err(ClientError::Content(found)) if found == violation));
        assert!(!client.is_open());
        let sent = server.await.unwrap();
        assert!(!sent.contains("MAIL") && !sent.contains(".\r\n"), "{sent:?}");
    }
}

#[tokio::test]
async fn an_early_reply_is_noticed_while_writing() {
    let full = ("line 0\r\n", "452 4.3.1 disk full\r\n");
    let (mut client, server) = smtp(&[GREETING, EHLO, MAIL, RCPT, DATA, full]).await;
    up_to_data(&mut client).await;
    let mut number = 0;
    let error = loop {
        let line = format!("line {number}\r\n");
        number += 1;
        client.write(line.as_bytes()).await.unwrap();
        match client.flush().await {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
        assert!(number < 100_000, "never noticed");
    };
    let ClientError::EarlyReply(reply) = &error else { panic!("{error:?}") };
    assert_eq!(reply.code(), 452);
    assert!(!client.is_open());
    assert!(!server.await.unwrap().contains("\r\n.\r\n"));
}

#[tokio::test]
async fn a_next_hop_that_leaves_in_the_middle_of_data_is_noticed() {
    for farewell in ["", "421 4.3.2 shutting down\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let next_hop = format!("smtp://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut io, _) = listener.accept().await.unwrap();
            for (expected, answer) in [GREETING, EHLO, MAIL, RCPT, DATA] {
                io.read_exact(&mut vec![0; expected.len()]).await.unwrap();
                io.write_all(answer.as_bytes()).await.unwrap();
            }
            io.read_exact(&mut [0; 100_000]).await.unwrap();
            io.write_all(farewell.as_bytes()).await.unwrap();
        });
        let mut client = Client::connect(&options(&next_hop)).await.unwrap();
        up_to_data(&mut client).await;
        let chunk = b"0123456789abcdef\r\n".repeat(1000);
        let error = loop {
            if let Err(error) = client.write(&chunk).await {
                break error;
            }
        };
        match error {
            ClientError::EarlyReply(ref reply) => assert_eq!(reply.code(), 421),
            ClientError::Closed(Step::Write) | ClientError::Io { step: Step::Write, .. } => {}
            other => panic!("{other:?}"),
        }
        assert!(!client.is_open());
        server.await.unwrap();
    }
}

#[tokio::test]
async fn garbage_and_unsolicited_replies_close_the_connection() {
    for greeting in ["HTTP/1.1 400 Bad Request\r\n", "\r\n", "220-a\r\n250 b\r\n", "garbage\n"] {
        let (result, server) = client("smtp://mx", &[("", greeting)]).await;
        assert!(
            matches!(result, Err(ClientError::Garbage { step: Step::Greeting, .. })),
            "{greeting:?}"
        );
        server.await.unwrap();
    }
    // A second reply to one command would be taken for the reply to the next.
    let twice = ("EHLO gw.example\r\n", "250 mx\r\n250 2.1.0 sender accepted\r\n");
    let (mut smtp_client, server) = smtp(&[GREETING, twice]).await;
    let result = mail(&mut smtp_client, "<a@example.com>", "").await;
    assert!(matches!(result, Err(ClientError::Unsolicited(Step::Mail))), "{result:?}");
    assert_eq!(server.await.unwrap(), "");

    let (mut client, _server) =
        smtp(&[GREETING, EHLO, MAIL, RCPT, ("DATA\r\n", "250 ok\r\n")]).await;
    mail(&mut client, "<a@example.com>", "").await.unwrap();
    rcpt(&mut client, "<b@example.org>", "").await.unwrap();
    assert!(matches!(client.data().await, Err(ClientError::Unsolicited(Step::Data))));
    assert!(!client.is_open());

    let (mut client, _server) =
        smtp(&[GREETING, EHLO, ("MAIL FROM:<a@example.com>\r\n", "354 go on\r\n")]).await;
    let result = mail(&mut client, "<a@example.com>", "").await;
    assert!(matches!(result, Err(ClientError::Unsolicited(Step::Mail))));
}

#[tokio::test]
async fn refusals_are_passed_on_or_typed() {
    let (result, _server) = client("smtp://mx", &[("", "554 5.7.1 go away\r\n")]).await;
    let Err(error) = result else { panic!("connected") };
    assert!(
        matches!(&error, ClientError::Refused { step: Step::Greeting, reply } if reply.code() == 554)
    );

    // An idle connection that the server closed by 421 before MAIL.
    let (mut client, _server) =
        smtp(&[GREETING, ("EHLO gw.example\r\n", "250 mx\r\n421 4.4.2 idle\r\n")]).await;
    assert_eq!(mail(&mut client, "<a@example.com>", "").await.unwrap().code(), 421);
    assert!(!client.is_open());

    let (mut client, server) = smtp(&[
        GREETING,
        ("EHLO gw.example\r\n", "502 5.5.1 what?\r\n"),
        ("HELO gw.example\r\n", "250 mx\r\n"),
        ("MAIL FROM:<>\r\n", "451 4.7.1 greylisted\r\n"),
        ("MAIL FROM:<>\r\n", "250 ok\r\n"),
        ("RCPT TO:<postmaster>\r\n", "550 5.1.1 no\r\n"),
        ("RSET\r\n", "250 ok\r\n"),
        ("QUIT\r\n", "221 bye\r\n"),
    ])
    .await;
    assert_eq!(mail(&mut client, "<>", "").await.unwrap().status().to_string(), "4.7.1");
    assert!(matches!(client.data().await, Err(ClientError::OutOfOrder)));
    assert!(mail(&mut client, "<>", "").await.unwrap().is_positive());
    assert!(rcpt(&mut client, "<postmaster>", "").await.unwrap().is_permanent());
    assert!(matches!(client.data().await, Err(ClientError::OutOfOrder)));
    assert!(matches!(mail(&mut client, "<>", "").await, Err(ClientError::OutOfOrder)));
    client.rset().await.unwrap();
    client.quit().await;
    assert_eq!(server.await.unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn every_step_has_its_timeout() {
    let script = [GREETING, EHLO, MAIL, RCPT, DATA];
    for (answered, step, seconds) in [
        (0, Step::Greeting, 60),
        (1, Step::Hello, 60),
        (2, Step::Mail, 300),
        (3, Step::Rcpt, 300),
        (4, Step::Data, 120),
    ] {
        let (io, peer) = duplex(1 << 16);
        let server = play(peer, script[..answered].to_vec(), usize::MAX);
        let begun = tokio::time::Instant::now();
        let outcome = async {
            let mut client =
                Client::handshake(io, &options("smtp://mx"), &ClientTls::off()).await?;
            mail(&mut client, "<a@example.com>", "").await?;
            rcpt(&mut client, "<b@example.org>", "").await?;
            client.data().await
        };
        let error = outcome.await.unwrap_err();
        assert!(matches!(error, ClientError::Timeout(found) if found == step), "{error:?}");
        assert_eq!(begun.elapsed().as_secs(), seconds);
        server.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn silence_after_the_dot_leaves_the_outcome_unknown() {
    let (mut client, server) = smtp(&[GREETING, EHLO, MAIL, RCPT, DATA]).await;
    up_to_data(&mut client).await;
    client.write(b"x\r\n").await.unwrap();
    let begun = tokio::time::Instant::now();
    let finished = client.finish().await.unwrap();
    assert_eq!(finished.outcomes, [Outcome::Unknown]);
    assert!(matches!(finished.lost, Some(ClientError::Timeout(Step::Dot))));
    assert_eq!(begun.elapsed().as_secs(), 540);
    assert_eq!(server.await.unwrap(), "x\r\n.\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_next_hop_that_does_not_read_times_out() {
    let (io, mut peer) = duplex(4096);
    tokio::spawn(async move {
        for (expected, answer) in [GREETING, EHLO, MAIL, RCPT, DATA] {
            peer.read_exact(&mut vec![0; expected.len()]).await.unwrap();
            peer.write_all(answer.as_bytes()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(100_000)).await;
        drop(peer);
    });
    let mut client = Client::handshake(io, &options("smtp://mx"), &ClientTls::off()).await.unwrap();
    up_to_data(&mut client).await;
    let begun = tokio::time::Instant::now();
    let result = client.write(&[b'x'; 200_000]).await;
    assert!(matches!(result, Err(ClientError::Timeout(Step::Write))), "{result:?}");
    assert_eq!(begun.elapsed().as_secs(), 180);
}

#[test]
fn clients_can_be_used_from_any_task() {
    fn is_send<T: Send>(_: T) {}
    is_send(async {
        let mut client = Client::connect(&options("smtp://mx")).await.unwrap();
        mail(&mut client, "<>", "").await.unwrap();
        rcpt(&mut client, "<postmaster>", "").await.unwrap();
        client.data().await.unwrap();
        client.write(b"").await.unwrap();
        client.finish().await.unwrap();
        client.quit().await;
    });
}

#[tokio::test]
async fn unix_sockets_and_refused_ports() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lmtp");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut io, _) = listener.accept().await.unwrap();
        for (expected, answer) in
            [("", "220 mx\r\n"), ("LHLO gw.example\r\n", "250 mx\r\n"), ("QUIT\r\n", "221 x\r\n")]
        {
            io.read_exact(&mut vec![0; expected.len()]).await.unwrap();
            io.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let next_hop = format!("lmtp+unix://{}", path.display());
    Client::connect(&options(&next_hop)).await.unwrap().quit().await;
    server.await.unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let next_hop = format!("smtp://{}", listener.local_addr().unwrap());
    drop(listener);
    let Err(error) = Client::connect(&options(&next_hop)).await else { panic!("connected") };
    assert!(matches!(error, ClientError::Io { step: Step::Connect, .. }));
}

fn credentials(password: &str) -> Credentials {
    Credentials::new("gw", Zeroizing::new(password.to_owned())).unwrap()
}

/// A client that authenticates without TLS, as on this machine.
async fn authenticated(
    credentials: Credentials,
    script: &[Exchange],
) -> (Result<Client, ClientError>, String) {
    let (io, peer) = duplex(1 << 16);
    let server = play(peer, script.to_vec(), usize::MAX);
    let options = ClientOptions { credentials: Some(credentials), ..options("smtp://mx") };
    let result = Client::handshake(io, &options, &ClientTls::off()).await;
    let error = match result {
        Ok(client) => {
            assert!(client.is_open());
            client.abort();
            None
        }
        Err(error) => Some(error),
    };
    let rest = server.await.unwrap();
    match error {
        None => (Err(ClientError::OutOfOrder), rest),
        Some(error) => (Err(error), rest),
    }
}

fn offering(auth: &'static str) -> Exchange {
    ("EHLO gw.example\r\n", auth)
}

#[tokio::test]
async fn passwords_are_sent_by_plain_or_login() {
    let local = || credentials("pässword").on_this_machine();
    // The commands themselves are checked by the script; `OutOfOrder` stands for success.
    for script in [
        &[
            GREETING,
            offering("250-mx\r\n250 AUTH LOGIN PLAIN\r\n"),
            ("AUTH PLAIN AGd3AHDDpHNzd29yZA==\r\n", "235 2.7.0 ok\r\n"),
        ][..],
        &[
            GREETING,
            offering("250-mx\r\n250 AUTH XOAUTH2 login\r\n"),
            ("AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n"),
            ("Z3c=\r\n", "334 UGFzc3dvcmQ6\r\n"),
            ("cMOkc3N3b3Jk\r\n", "235 2.7.0 ok\r\n"),
        ],
    ] {
        let (result, rest) = authenticated(local(), script).await;
        assert!(matches!(result, Err(ClientError::OutOfOrder)), "{:?}", result.err());
        assert_eq!(rest, "");
    }
}

/// RFC 4954 section 4: what does not fit into a command waits for the challenge.
#[tokio::test]
async fn a_long_password_waits_for_the_challenge() {
    let password = "x".repeat(600);
    let script =
        [GREETING, offering("250-mx\r\n250 AUTH PLAIN\r\n"), ("AUTH PLAIN\r\n", "334 \r\n")];
    let (io, mut peer) = duplex(1 << 16);
    let server = tokio::spawn(async move {
        for (expected, answer) in script {
            let mut heard = vec![0; expected.len()];
            peer.read_exact(&mut heard).await.unwrap();
            assert_eq!(String::from_utf8(heard).unwrap(), expected);
            peer.write_all(answer.as_bytes()).await.unwrap();
        }
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(peer.read_u8().await.unwrap());
        }
        peer.write_all(b"235 ok\r\n").await.unwrap();
        line
    });
    let credentials = credentials(&password).on_this_machine();
    let options = ClientOptions { credentials: Some(credentials), ..options("smtp://mx") };
    Client::handshake(io, &options, &ClientTls::off()).await.unwrap();
    let line = server.await.unwrap();
    let sent = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, &line[..line.len() - 2]);
    assert_eq!(sent.unwrap(), format!("\0gw\0{password}").into_bytes());
}

#[tokio::test]
async fn refused_passwords_end_the_connection() {
    let plain = "AUTH PLAIN AGd3AHg=\r\n";
    for reply in ["535 5.7.8 no\r\n", "454 4.7.0 later\r\n", "530 5.7.0 STARTTLS\r\n", "334 \r\n"] {
        let script = [GREETING, offering("250-mx\r\n250 AUTH PLAIN\r\n"), (plain, reply)];
        let (result, rest) = authenticated(credentials("x").on_this_machine(), &script).await;
        let Err(ClientError::Auth(refusal)) = result else { panic!("{:?}", result.err()) };
        assert_eq!(refusal.code().to_string(), reply[..3]);
        assert!(!refusal.to_string().contains("AGd3"));
        assert_eq!(rest, "");
    }
    let script = [GREETING, offering("250-mx\r\n250 AUTH CRAM-MD5\r\n")];
    let (result, rest) = authenticated(credentials("x").on_this_machine(), &script).await;
    assert!(
        matches!(&result, Err(ClientError::NoMechanism { offered }) if offered.auth == ["CRAM-MD5"])
    );
    assert_eq!(rest, "");
    // Without TLS it is not even begun.
    let script = [GREETING, offering("250-mx\r\n250 AUTH PLAIN\r\n")];
    let (result, rest) = authenticated(credentials("x"), &script).await;
    assert!(matches!(result, Err(ClientError::NoTls(None))), "{:?}", result.err());
    assert_eq!(rest, "");
}

/// A password that is sent and not answered is a try that tells nothing.
#[tokio::test(start_paused = true)]
async fn auth_is_not_begun_without_time_for_an_answer() {
    let seconds = std::time::Duration::from_secs;
    for (hello, in_time) in [(34, true), (36, false)] {
        let (io, mut peer) = duplex(1 << 16);
        let server = tokio::spawn(async move {
            tokio::time::sleep(seconds(40)).await;
            peer.write_all(b"220 mx\r\n").await.unwrap();
            peer.read_exact(&mut [0; 17]).await.unwrap();
            tokio::time::sleep(seconds(hello)).await;
            // The client may have gone.
            let _ = peer.write_all(b"250-mx\r\n250 AUTH PLAIN\r\n").await;
            let mut line = [0; 21];
            let begun = peer.read_exact(&mut line).await.is_ok();
            tokio::time::sleep(seconds(20)).await;
            let _ = peer.write_all(b"235 ok\r\n").await;
            begun
        });
        let credentials = Some(credentials("x").on_this_machine());
        let mut options = ClientOptions { credentials, ..options("smtp://mx") };
        options.timeouts.set_up = seconds(100);
        let result = Client::handshake(io, &options, &ClientTls::off()).await;
        match result {
            Ok(_) => assert!(in_time),
            Err(error) => {
                assert!(!in_time && matches!(error, ClientError::Timeout(Step::SetUp)), "{error}");
            }
        }
        assert_eq!(server.await.unwrap(), in_time);
    }
}

fn somebody() -> Origin {
    let mut origin = Origin::default();
    let said = "ADDR=IPV6:2001:db8::1 HELO=mx.example.com NAME=[TEMPUNAVAIL]";
    origin.apply(Extension::XClient, said).unwrap();
    origin
}

#[tokio::test]
async fn xclient_greets_anew() {
    for code in ["220 mx ESMTP\r\n", "250 2.0.0 ok\r\n"] {
        let script = [
            GREETING,
            offering("250-mx\r\n250-DSN\r\n250 XCLIENT NAME ADDR FUTURE\r\n"),
            ("XCLIENT NAME=[TEMPUNAVAIL] ADDR=IPV6:2001:db8::1\r\n", code),
            offering("250-mx\r\n250 SMTPUTF8\r\n"),
        ];
        let (mut client, _server) = smtp(&script).await;
        client.xclient(&somebody(), "gw.example").await.unwrap();
        assert!(client.capabilities().smtputf8 && !client.capabilities().dsn);
    }
    let script = [
        GREETING,
        offering("250-mx\r\n250 XCLIENT ADDR\r\n"),
        ("XCLIENT ADDR=IPV6:2001:db8::1\r\n", "550 5.7.0 no\r\n"),
    ];
    let (mut client, _server) = smtp(&script).await;
    let result = client.xclient(&somebody(), "gw.example").await;
    assert!(matches!(result, Err(ClientError::Refused { step: Step::Origin, .. })));
    assert!(!client.is_open());
    // What is not offered is not sent.
    let (mut client, server) = smtp(&[GREETING, EHLO]).await;
    client.xclient(&somebody(), "gw.example").await.unwrap();
    assert!(client.xforward(&somebody()).await.unwrap().is_none());
    client.abort();
    assert_eq!(server.await.unwrap(), "");
}

#[tokio::test]
async fn refused_xforward_does_no_harm() {
    let script = [
        GREETING,
        offering("250-mx\r\n250 XFORWARD ADDR HELO\r\n"),
        ("XFORWARD ADDR=IPV6:2001:db8::1 HELO=mx.example.com\r\n", "550 5.7.0 no\r\n"),
        MAIL,
    ];
    let (mut client, _server) = smtp(&script).await;
    assert_eq!(client.xforward(&somebody()).await.unwrap().unwrap().code(), 550);
    assert!(mail(&mut client, "<a@example.com>", "").await.unwrap().is_positive());
    assert!(matches!(client.xforward(&somebody()).await, Err(ClientError::OutOfOrder)));
}

/// Each step has its own timeout, and each is obeyed.
#[tokio::test(start_paused = true)]
async fn every_timeout_is_obeyed() {
    let auth = ("AUTH PLAIN AGd3AHg=\r\n", "235 ok\r\n");
    let dialogue = [
        (Step::Greeting, GREETING),
        (Step::Hello, offering("250-mx\r\n250-AUTH PLAIN\r\n250 XFORWARD ADDR\r\n")),
        (Step::Auth, auth),
        (Step::Origin, ("XFORWARD ADDR=IPV6:2001:db8::1\r\n", "250 ok\r\n")),
        (Step::Mail, MAIL),
        (Step::Rcpt, RCPT),
        (Step::Data, DATA),
    ];
    for silent in 0..dialogue.len() {
        let (step, (command, _)) = dialogue[silent];
        let mut script: Vec<Exchange> = dialogue[..silent].iter().map(|&(_, e)| e).collect();
        script.push((command, ""));
        let timeouts = ClientTimeouts {
            greeting: Duration::from_secs(1),
            hello: Duration::from_secs(2),
            auth: Duration::from_secs(3),
            mail: Duration::from_secs(5),
            rcpt: Duration::from_secs(6),
            data: Duration::from_secs(7),
            ..ClientTimeouts::default()
        };
        let limit = [1, 2, 3, 2, 5, 6, 7][silent];
        let (io, peer) = duplex(1 << 16);
        let _server = play(peer, script, usize::MAX);
        let options = ClientOptions {
            timeouts,
            credentials: Some(credentials("x").on_this_machine()),
            ..options("smtp://mx")
        };
        let begun = tokio::time::Instant::now();
        let result = async {
            let mut client = Client::handshake(io, &options, &ClientTls::off()).await?;
            client.xforward(&somebody()).await?;
            mail(&mut client, "<a@example.com>", "").await?;
            rcpt(&mut client, "<b@example.org>", "").await?;
            client.data().await
        };
        let error = result.await.err();
        assert!(matches!(&error, Some(ClientError::Timeout(at)) if *at == step), "{error:?}");
        assert_eq!(begun.elapsed().as_secs(), limit, "{step:?}");
    }
}

/// `localhost` has an IPv6 address on most machines, where nothing listens here.
#[tokio::test]
async fn all_addresses_of_a_host_are_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let next_hop = format!("smtp://localhost:{}", listener.local_addr().unwrap().port());
    let server = tokio::spawn(async move {
        let (mut io, _) = listener.accept().await.unwrap();
        io.write_all(b"220 mx\r\n").await.unwrap();
        io.read_exact(&mut [0; 17]).await.unwrap();
        io.write_all(b"250 mx\r\n").await.unwrap();
    });
    Client::connect(&options(&next_hop)).await.unwrap();
    server.await.unwrap();
}

/// A server may be quick enough at each step and too slow all together.
#[tokio::test]
async fn the_set_up_has_a_deadline_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let next_hop = format!("smtp://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut io, _) = listener.accept().await.unwrap();
        // The greeting, a line at a time and never the last one.
        while io.write_all(b"220-patience\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut options = options(&next_hop);
    options.timeouts.set_up = Duration::from_millis(300);
    let result = Client::connect(&options).await;
    assert!(matches!(result, Err(ClientError::Timeout(Step::SetUp))), "{:?}", result.err());
    server.await.unwrap();
}
