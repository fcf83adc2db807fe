//! The server side of SMTP and LMTP, driven over an in-memory pipe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use mta_seal::smtp::data::Violation;
use mta_seal::smtp::server::{
    Command, DataChunk, DataEnd, ServerConnection, ServerOptions, SessionError,
};
use mta_seal::smtp::{Capabilities, Protocol, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

/// What a gateway that accepts everything saw.
#[derive(Debug, Default)]
struct Seen {
    commands: Vec<String>,
    messages: Vec<(Vec<u8>, DataEnd)>,
}

type Server = JoinHandle<(Seen, Result<(), SessionError>)>;

/// Accepts everything but recipients that begin with `no`; size limit 1,000 octets.
async fn accept_all(mut server: ServerConnection, seen: &mut Seen) -> Result<(), SessionError> {
    let ok = Reply::new(250, (2, 0, 0), "ok");
    server.greet().await?;
    loop {
        let command = server.next_command().await?;
        match command {
            Command::Hello { name, .. } => {
                seen.commands.push(format!("hello {name}"));
                let offered = Capabilities { size: Some(1000), ..Capabilities::all() };
                server.accept_hello(&offered).await?;
            }
            Command::Mail { path, parameters } => {
                seen.commands.push(format!("mail {path} {parameters}"));
                server.reply(&ok).await?;
            }
            Command::Rcpt { path, parameters } => {
                seen.commands.push(format!("rcpt {path} {parameters}"));
                let refused = path.to_string().starts_with("<no");
                let no = Reply::new(550, (5, 1, 1), "no");
                server.reply(if refused { &no } else { &ok }).await?;
            }
            Command::Data => {
                server.accept_data(Some(1000)).await?;
                let mut content = Vec::new();
                let end = loop {
                    match server.read_data().await? {
                        DataChunk::Content(part) => content.extend_from_slice(&part),
                        DataChunk::End(end) => break end,
                    }
                };
                seen.messages.push((content, end));
                let reply = match end {
                    DataEnd::Clean => Reply::new(250, (2, 0, 0), "taken"),
                    DataEnd::Violation(_) => Reply::new(550, (5, 6, 0), "bare line end"),
                    DataEnd::TooLarge => Reply::new(552, (5, 3, 4), "too large"),
                };
                while server.pending_replies() > 0 {
                    server.reply(&reply).await?;
                }
            }
            Command::Rset => seen.commands.push("rset".into()),
            Command::StartTls | Command::Auth(_) => return Err(SessionError::OutOfOrder),
            Command::Quit => return Ok(()),
        }
    }
}

fn serve(options: ServerOptions) -> (DuplexStream, Server) {
    let (client, io) = duplex(1 << 20);
    let server = ServerConnection::new(io, Arc::new(options));
    let task = tokio::spawn(async move {
        let mut seen = Seen::default();
        let result = accept_all(server, &mut seen).await;
        (seen, result)
    });
    (client, task)
}

fn smtp() -> ServerOptions {
    ServerOptions::new("mx.example.org", Protocol::Smtp)
}

/// Sends everything at once, closes, and returns the codes of all replies and what was seen.
async fn run(options: ServerOptions, wire: &[u8]) -> (Vec<String>, Seen, Result<(), SessionError>) {
    let (mut client, server) = serve(options);
    client.write_all(wire).await.unwrap();
    client.shutdown().await.unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    let (seen, result) = server.await.unwrap();
    (final_lines(&text), seen, result)
}

fn final_lines(text: &str) -> Vec<String> {
    assert!(text.is_empty() || text.ends_with("\r\n"));
    let last = text.lines().filter(|line| line.as_bytes().get(3) == Some(&b' '));
    last.map(|line| line.chars().take(9).collect()).collect()
}

/// Reads until as many final reply lines came.
async fn replies(client: &mut DuplexStream, count: usize) -> Vec<String> {
    let mut text = String::new();
    while final_lines_so_far(&text) < count {
        let mut buf = [0; 4096];
        let read = client.read(&mut buf).await.unwrap();
        assert!(read > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buf[..read]).unwrap());
    }
    let lines = final_lines(&text);
    assert_eq!(lines.len(), count, "{lines:?}");
    lines
}

fn final_lines_so_far(text: &str) -> usize {
    if text.ends_with("\r\n") { final_lines(text).len() } else { 0 }
}

const OPEN: &[u8] = b"EHLO client.example\r\nMAIL FROM:<a@example.com>\r\n";

#[tokio::test]
async fn a_pipelined_transaction_is_answered_in_order() {
    let (mut client, server) = serve(smtp());
    let wire = [
        OPEN,
        b"RCPT TO:<b@example.org> NOTIFY=NEVER\r\nRCPT TO:<no@example.org>\r\nNOOP\r\n",
        b"RCPT TO:<\"c d\"@example.org>\r\nDATA\r\n",
    ];
    client.write_all(&wire.concat()).await.unwrap();
    assert_eq!(
        replies(&mut client, 8).await,
        [
            "220 mx.ex",
            "250 ENHAN",
            "250 2.0.0",
            "250 2.0.0",
            "550 5.1.1",
            "250 2.0.0",
            "250 2.0.0",
            "354 end d"
        ]
    );
    client.write_all(b"Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n").await.unwrap();
    assert_eq!(replies(&mut client, 2).await, ["250 2.0.0", "221 2.0.0"]);
    let (seen, result) = server.await.unwrap();
    result.unwrap();
    assert_eq!(
        seen.commands,
        [
            "hello client.example",
            "mail <a@example.com> ",
            "rcpt <b@example.org> NOTIFY=NEVER",
            "rcpt <no@example.org> ",
            "rcpt <\"c d\"@example.org> "
        ]
    );
    assert_eq!(seen.messages, [(b"Subject: x\r\n\r\n.dot\r\n".to_vec(), DataEnd::Clean)]);
}

#[tokio::test]
async fn replies_to_pipelined_commands_leave_in_one_write() {
    let (mut client, server) = serve(smtp());
    replies(&mut client, 1).await;
    let group = [OPEN, &b"RCPT TO:<b@example.org>\r\n".repeat(20)].concat();
    client.write_all(&group).await.unwrap();
    let mut buf = [0; 65_536];
    let read = client.read(&mut buf).await.unwrap();
    let text = std::str::from_utf8(&buf[..read]).unwrap();
    assert_eq!(final_lines(text).len(), 22);
    drop(client);
    server.await.unwrap().1.unwrap_err();
}

#[tokio::test]
async fn sequence_and_syntax_are_answered_by_the_session() {
    for (wire, expected) in [
        (&b"MAIL FROM:<a@example.com>\r\n"[..], "503 5.5.1"),
        (b"RCPT TO:<a@example.com>\r\n", "503 5.5.1"),
        (b"DATA\r\n", "503 5.5.1"),
        (b"FOO\r\n", "500 5.5.2"),
        (b"XCLIENT ADDR=192.0.2.1\r\n", "503 5.5.1"),
        (b"BDAT 1 LAST\r\n", "502 5.5.1"),
        (b"AUTH PLAIN\r\n", "503 5.5.1"),
        (b"STARTTLS\r\n", "502 5.5.1"),
        (b"VRFY a\r\n", "252 2.5.0"),
        (b"EXPN a\r\n", "502 5.5.1"),
        (b"HELP\r\n", "214 2.0.0"),
        (b"NOOP\nMAIL FROM:<a@example.com>\r\n", "500 5.5.2"),
        (b"NOOP\rRSET\r\n", "500 5.5.2"),
        (b"NO\0OP\r\n", "500 5.5.2"),
        (b"LHLO x\r\n", "500 5.5.1"),
        (b"EHLO\r\n", "501 5.5.4"),
    ] {
        let (lines, seen, _) = run(smtp(), wire).await;
        assert_eq!(lines[1..], [expected], "{wire:?}");
        assert!(seen.commands.is_empty(), "{wire:?}");
    }
    for (wire, expected) in [
        (&b"MAIL FROM:<b@example.com>\r\n"[..], "503 5.5.1"),
        (b"DATA\r\n", "503 5.5.1"),
        (b"RCPT TO:<b@localhost>\r\n", "501 5.1.3"),
        (b"RCPT TO:<b@example.org> FOO=1\r\n", "555 5.5.4"),
        ("RCPT TO:<döner@example.org>\r\n".as_bytes(), "553 5.6.7"),
        (b"RSET\r\nMAIL FROM:<> SIZE=1001\r\n", "552 5.3.4"),
        (b"RSET\r\nMAIL FROM:<> SIZE=1 SIZE=1\r\n", "501 5.5.4"),
        ("RSET\r\nMAIL FROM:<döner@example.org>\r\n".as_bytes(), "553 5.6.7"),
        (b"RSET\r\nMAIL FROM:<a b@example.org>\r\n", "501 5.1.7"),
    ] {
        let (lines, _, _) = run(smtp(), &[OPEN, wire].concat()).await;
        assert_eq!(lines.last().unwrap(), expected, "{wire:?}");
    }
}

#[tokio::test]
async fn helo_offers_nothing_and_greetings_reset() {
    let wire = b"HELO old.example\r\nMAIL FROM:<a@example.com> SIZE=1\r\n\
        MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nEHLO new.example\r\n\
        RCPT TO:<b@example.org>\r\nQUIT\r\n";
    let (lines, _, result) = run(smtp(), wire).await;
    assert_eq!(
        lines[1..],
        ["250 mx.ex", "555 5.5.4", "250 2.0.0", "250 2.0.0", "250 ENHAN", "503 5.5.1", "221 2.0.0"]
    );
    result.unwrap();
}

#[tokio::test]
async fn lmtp_gives_one_reply_per_accepted_recipient() {
    let (mut client, server) = serve(ServerOptions::new("mx.example.org", Protocol::Lmtp));
    client
        .write_all(
            b"EHLO x\r\nLHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\n\
              RCPT TO:<no@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n",
        )
        .await
        .unwrap();
    replies(&mut client, 8).await;
    client.write_all(b".\r\nMAIL FROM:<>\r\nDATA\r\n").await.unwrap();
    assert_eq!(replies(&mut client, 4).await, ["250 2.0.0", "250 2.0.0", "250 2.0.0", "503 5.5.1"]);
    drop(client);
    assert_eq!(server.await.unwrap().0.messages, [(Vec::new(), DataEnd::Clean)]);
}

#[tokio::test]
async fn refused_messages_keep_the_connection_in_step() {
    let envelope = [OPEN, b"RCPT TO:<b@example.org>\r\nDATA\r\n"].concat();
    let violation = DataEnd::Violation(Violation::BareLf);
    for (data, reply, end) in [
        (&b"a\r\n.\nMAIL FROM:<x@example.org>\r\n.\r\n"[..], "550 5.6.0", violation),
        (&[&b"x".repeat(1001)[..], b"\r\n.\r\n"].concat(), "552 5.3.4", DataEnd::TooLarge),
        (&[&b"x".repeat(998)[..], b"\r\n.\r\n"].concat(), "250 2.0.0", DataEnd::Clean),
    ] {
        let (mut client, server) = serve(smtp());
        client.write_all(&envelope).await.unwrap();
        replies(&mut client, 5).await;
        client.write_all(data).await.unwrap();
        assert_eq!(replies(&mut client, 1).await, [reply]);
        client.write_all(b"MAIL FROM:<>\r\nQUIT\r\n").await.unwrap();
        assert_eq!(replies(&mut client, 2).await, ["250 2.0.0", "221 2.0.0"]);
        let (seen, _) = server.await.unwrap();
        assert_eq!(seen.messages.last().unwrap().1, end);
        assert!(!seen.commands.iter().any(|c| c.contains("x@example.org")));
    }
}

#[tokio::test]
async fn content_behind_data_closes_the_connection() {
    // The second form leaves what follows DATA outside the first reads.
    for noops in [0, 50] {
        let noops = format!("NOOP {}\r\n", "x".repeat(500)).repeat(noops).into_bytes();
        for filler in 0..8 {
            let rcpt = b"RCPT TO:<b@example.org>\r\n";
            let noop = format!("NOOP {}\r\n", "x".repeat(filler * 300)).into_bytes();
            let wire = [OPEN, rcpt, &noops, &noop, b"DATA\r\nRSET\r\n"].concat();
            let (lines, seen, result) = run(smtp(), &wire).await;
            assert_eq!(lines.last().unwrap(), "421 4.5.0");
            assert!(matches!(result, Err(SessionError::EarlyData)));
            assert!(!seen.commands.contains(&"rset".to_owned()));
        }
    }
}

#[tokio::test]
async fn bad_and_idle_commands_are_limited() {
    let (lines, _, result) = run(smtp(), &b"FOO\r\n".repeat(30)).await;
    assert_eq!(lines.len(), 22);
    assert_eq!(lines.last().unwrap(), "421 4.7.0");
    assert!(matches!(result, Err(SessionError::TooManyErrors)));

    let (lines, _, result) = run(smtp(), &b"NOOP\r\n".repeat(200)).await;
    assert_eq!(lines.len(), 102);
    assert_eq!(lines.last().unwrap(), "421 4.7.0");
    assert!(matches!(result, Err(SessionError::TooManyErrors)));

    // A queue full of refused mail is no misbehaviour.
    let refused = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<no@example.org>\r\n\
        RCPT TO:<x@localhost>\r\nRSET\r\n"
        .repeat(200);
    let (_, _, result) = run(smtp(), &[b"EHLO x\r\n", &refused[..], b"QUIT\r\n"].concat()).await;
    result.unwrap();
}

#[tokio::test]
async fn recipients_are_limited() {
    let mut options = smtp();
    options.limits.recipients = 3;
    let wire = [OPEN, &b"RCPT TO:<b@example.org>\r\n".repeat(4), b"QUIT\r\n"].concat();
    let (lines, seen, _) = run(options, &wire).await;
    assert_eq!(lines[lines.len() - 3..], ["250 2.0.0", "452 4.5.3", "221 2.0.0"]);
    assert_eq!(seen.commands.len(), 5);
}

#[tokio::test]
async fn over_long_lines_are_dropped_whole() {
    let wire = [&b"NOOP "[..], &b"x".repeat(5000), b"\nRSET\r\nNOOP\r\nQUIT\r\n"].concat();
    let (lines, seen, _) = run(smtp(), &wire).await;
    assert_eq!(lines[1..], ["500 5.5.2", "250 2.0.0", "221 2.0.0"]);
    assert!(seen.commands.is_empty());
}

#[tokio::test(start_paused = true)]
async fn silent_clients_are_told_and_closed() {
    let begun = tokio::time::Instant::now();
    let (mut client, server) = serve(smtp());
    client.write_all(b"EHLO x\r\nMAIL FR").await.unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(final_lines(&text).last().unwrap(), "421 4.4.2");
    assert!(matches!(server.await.unwrap().1, Err(SessionError::Timeout)));
    assert_eq!(begun.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_trickle_of_one_command_gains_no_time() {
    let begun = tokio::time::Instant::now();
    let (mut client, server) = serve(smtp());
    let feeder = tokio::spawn(async move {
        for _ in 0..40 {
            let _ = client.write_all(b"x").await;
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        client
    });
    assert!(matches!(server.await.unwrap().1, Err(SessionError::Timeout)));
    assert_eq!(begun.elapsed().as_secs(), 300);
    let mut text = String::new();
    feeder.await.unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(final_lines(&text), ["220 mx.ex", "421 4.4.2"]);
}

#[tokio::test(start_paused = true)]
async fn silent_and_trickling_data_time_out() {
    let mut options = smtp();
    options.timeouts.data = Duration::from_secs(1000);
    let envelope = [OPEN, b"RCPT TO:<b@example.org>\r\nDATA\r\n"].concat();
    for (pause, octets, expected) in [(500, 1, 180), (100, 20, 1000)] {
        let begun = tokio::time::Instant::now();
        let (mut client, server) = serve(options.clone());
        client.write_all(&envelope).await.unwrap();
        let feeder = tokio::spawn(async move {
            for _ in 0..octets {
                let _ = client.write_all(b"x").await;
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
            client
        });
        assert!(matches!(server.await.unwrap().1, Err(SessionError::Timeout)));
        assert_eq!(begun.elapsed().as_secs(), expected);
        let mut text = String::new();
        feeder.await.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(final_lines(&text).last().unwrap(), "421 4.4.2");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_do_not_read_are_dropped() {
    let (mut client, io) = duplex(64);
    let server = ServerConnection::new(io, Arc::new(smtp()));
    let task = tokio::spawn(async move { accept_all(server, &mut Seen::default()).await });
    let writer = tokio::spawn(async move {
        let _ = client.write_all(&b"NOOP\r\n".repeat(90)).await;
        // Holds the pipe open without reading.
        std::future::pending::<()>().await;
        drop(client);
    });
    assert!(matches!(task.await.unwrap(), Err(SessionError::Timeout)));
    writer.abort();
}

#[tokio::test]
async fn a_reply_in_the_middle_of_data_waits_for_its_end() {
    let (mut client, io) = duplex(1 << 16);
    let mut server = ServerConnection::new(io, Arc::new(smtp()));
    let task = tokio::spawn(async move {
        server.greet().await?;
        loop {
            match server.next_command().await? {
                Command::Hello { .. } => server.accept_hello(&Capabilities::all()).await?,
                Command::Data => {
                    server.accept_data(None).await?;
                    server.read_data().await?;
                    server.reply(&Reply::new(451, (4, 3, 0), "changed my mind")).await?;
                }
                Command::Quit => return Ok::<_, SessionError>(()),
                _ => server.reply(&Reply::new(250, (2, 0, 0), "ok")).await?,
            }
        }
    });
    client.write_all(&[OPEN, b"RCPT TO:<b@example.org>\r\nDATA\r\n"].concat()).await.unwrap();
    replies(&mut client, 5).await;
    client.write_all(b"first\r\n").await.unwrap();
    client.write_all(b"QUIT\r\nsecond\r\n.\r\nQUIT\r\n").await.unwrap();
    assert_eq!(replies(&mut client, 2).await, ["451 4.3.0", "221 2.0.0"]);
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refused_message_may_not_go_on_for_ever() {
    let mut options = smtp();
    options.limits.swallow = 10_000;
    let (mut client, server) = serve(options);
    client.write_all(&[OPEN, b"RCPT TO:<b@example.org>\r\nDATA\r\n"].concat()).await.unwrap();
    replies(&mut client, 5).await;
    client.write_all(&b"bare\nline\r\n".repeat(10_000)).await.unwrap();
    assert_eq!(replies(&mut client, 1).await, ["421 4.7.0"]);
    assert!(matches!(server.await.unwrap().1, Err(SessionError::Endless)));
}

#[tokio::test]
async fn the_fate_of_a_message_is_told_before_the_next_command_is_served() {
    let (mut client, io) = duplex(1 << 16);
    let mut server = ServerConnection::new(io, Arc::new(smtp()));
    let task = tokio::spawn(async move {
        let ok = Reply::new(250, (2, 0, 0), "ok");
        let mut mails = 0;
        server.greet().await.unwrap();
        loop {
            match server.next_command().await.unwrap() {
                Command::Hello { .. } => server.accept_hello(&Capabilities::all()).await.unwrap(),
                Command::Data => {
                    server.accept_data(None).await.unwrap();
                    server.discard_data().await.unwrap();
                    server.reply(&ok).await.unwrap();
                }
                Command::Mail { .. } if mails == 1 => std::future::pending().await,
                Command::Mail { .. } => {
                    mails += 1;
                    server.reply(&ok).await.unwrap();
                }
                _ => server.reply(&ok).await.unwrap(),
            }
        }
    });
    client.write_all(&[OPEN, b"RCPT TO:<b@example.org>\r\nDATA\r\n"].concat()).await.unwrap();
    replies(&mut client, 5).await;
    client.write_all(b"x\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\n").await.unwrap();
    assert_eq!(replies(&mut client, 1).await, ["250 2.0.0"]);
    task.abort();
}

#[tokio::test]
async fn waiting_for_a_command_may_be_cancelled() {
    let (client, io) = duplex(32);
    let mut server = ServerConnection::new(io, Arc::new(smtp()));
    let task = tokio::spawn(async move {
        let mut seen = Vec::new();
        server.greet().await.unwrap();
        loop {
            let command = tokio::select! {
                biased;
                command = server.next_command() => command.unwrap(),
                () = tokio::task::yield_now() => continue,
            };
            match command {
                Command::Quit => return seen,
                Command::Hello { name, .. } => {
                    seen.push(name);
                    server.accept_hello(&Capabilities::all()).await.unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    });
    let names: Vec<String> = (0..50).map(|n| format!("client{n}.example")).collect();
    let mut wire: Vec<u8> =
        names.iter().flat_map(|n| format!("EHLO {n}\r\n").into_bytes()).collect();
    wire.extend_from_slice(b"QUIT\r\n");
    let (mut read, mut write) = tokio::io::split(client);
    let writer = tokio::spawn(async move {
        for piece in wire.chunks(5) {
            write.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        write
    });
    let mut text = String::new();
    read.read_to_string(&mut text).await.unwrap();
    assert_eq!(final_lines(&text).len(), 52);
    assert_eq!(task.await.unwrap(), names);
    writer.await.unwrap();
}

#[tokio::test]
async fn methods_out_of_order_are_refused() {
    let (mut client, io) = duplex(1 << 16);
    let mut server = ServerConnection::new(io, Arc::new(smtp()));
    let ok = Reply::new(250, (2, 0, 0), "ok");
    assert!(matches!(server.next_command().await, Err(SessionError::OutOfOrder)));
    server.greet().await.unwrap();
    client.write_all(b"EHLO x\r\n").await.unwrap();
    server.next_command().await.unwrap();
    assert!(matches!(server.next_command().await, Err(SessionError::OutOfOrder)));
    assert!(matches!(server.reply(&ok).await, Err(SessionError::OutOfOrder)));
    assert!(matches!(server.accept_data(None).await, Err(SessionError::OutOfOrder)));
    assert!(matches!(server.read_data().await, Err(SessionError::OutOfOrder)));
    assert!(matches!(server.start_tls().await, Err(SessionError::OutOfOrder)));
    server.accept_hello(&Capabilities::all()).await.unwrap();
    assert!(matches!(server.reply(&ok).await, Err(SessionError::OutOfOrder)));
    assert_eq!(server.hello().unwrap().name, "x");
    assert_eq!(server.trace_protocol(), "ESMTP");
}

mod hostile {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const PARTS: &[&[u8]] = &[
        b"EHLO x\r\n",
        b"HELO x\r\n",
        b"MAIL FROM:<a@example.com>\r\n",
        b"RCPT TO:<b@example.org>\r\n",
        b"RCPT TO:<no@example.org>\r\n",
        b"DATA\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"STARTTLS\r\n",
        b"AUTH PLAIN\r\n",
        b"XCLIENT NAME=x\r\n",
        b"XFORWARD ADDR=192.0.2.1\r\n",
        b"QUIT\r\n",
        b".\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        b"text",
        b" SIZE=1",
        b"<>",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Whatever comes in whatever pieces, the session ends, and answers whole reply lines.
        #[test]
        fn any_input_is_answered_by_replies(parts in vec(select(PARTS), 0..40), step in 1usize..60) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let wire = parts.concat();
            let text = runtime.block_on(async {
                let (mut client, io) = duplex(1 << 16);
                let server = ServerConnection::new(io, Arc::new(smtp()));
                let peer = async {
                    for piece in wire.chunks(step) {
                        let _ = client.write_all(piece).await;
                        tokio::task::yield_now().await;
                    }
                    let _ = client.shutdown().await;
                    let mut text = String::new();
                    client.read_to_string(&mut text).await.unwrap();
                    text
                };
                let mut seen = Seen::default();
                tokio::join!(accept_all(server, &mut seen), peer).1
            });
            prop_assert!(text.ends_with("\r\n"));
            for line in text.split_terminator("\r\n") {
                prop_assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{:?}", line);
                prop_assert!(line[..3].bytes().all(|b| b.is_ascii_digit()), "{:?}", line);
            }
        }
    }
}
