//! Carriers through a real gateway in this process, which knows nobody before each of them.

use std::collections::HashMap;
use std::sync::Arc;

use mta_seal::core::Domain;
use mta_seal::core::address::Mailbox;
use mta_seal::dns::{Authenticity, Scripted};
use mta_seal::gateway::config::Config;
use mta_seal::gateway::{Failure, Gateway, LocalKeys, Parts};
use mta_seal::store::ledger::{Options, SqliteLedger};
use serde_json::{Value, json};

use super::Vector;
use super::envelopes::{ALIGNED, Before, OwnKeys, Task};
use super::fields::Fields;
use super::records::publish;
use super::results::b64;
use super::world::{config_of, keys_of, write_keyring};
use crate::gateway_support::{Client, Message, Sink, TestClock, stuff, without_trace};

/// What a gateway is given beside the lines of the client.
#[derive(Default)]
pub(super) struct Given {
    pub(super) own: Vec<OwnKeys>,
    pub(super) records: Vec<Fields>,
    pub(super) now: u64,
    pub(super) window: u64,
    pub(super) deliver_signed: bool,
    pub(super) claims: Vec<Before>,
    pub(super) carrier: Vec<u8>,
    /// More of its configuration.
    pub(super) config: String,
}

/// The replies to the lines and, if it came to that, to the final dot; and what the next hop got.
pub(super) struct Answered {
    pub(super) replies: Vec<String>,
    pub(super) delivered: Vec<Message>,
}

impl Answered {
    /// The notices to the sender, and the other messages.
    fn delivered(self) -> (Vec<Message>, Vec<Message>) {
        let is_notice =
            |message: &Message| message.from.starts_with("<>") && message.to == ["<u@a.example>"];
        self.delivered.into_iter().partition(is_notice)
    }
}

/// Speaks the lines, and waits for so many messages at the next hop.
pub(super) async fn converse(given: Given, lines: &[String], messages: usize) -> Answered {
    let directory = tempfile::tempdir().unwrap();
    let sink = Sink::smtp().await;
    for own in &given.own {
        write_keyring(directory.path(), own, given.window, given.now);
    }
    let recipients = if given.deliver_signed { "signed" } else { "intersection" };
    let rest = format!(
        "[inbound]\nlisten = [\"127.0.0.1:0\"]\nnext_hop = \"{}\"\nrecipients = \"{recipients}\"\n{}",
        sink.url, given.config
    );
    let toml = config_of(&given.own, &rest);
    let config = Config::parse(&toml, &directory.path().join("mta-seal.toml")).unwrap();
    let local =
        |domain: &Domain| LocalKeys::load(&directory.path().join(keys_of(domain)), domain).unwrap();
    let domains: HashMap<Domain, LocalKeys> =
        given.own.iter().map(|own| (own.domain.clone(), local(&own.domain))).collect();
    let path = directory.path().join("ledger.sqlite");
    let ledger = SqliteLedger::open(&path, &Options::default(), given.now).unwrap();
    for before in given.claims {
        before.record(&ledger, given.now).await;
    }
    let (dns, clock) = (Arc::new(Scripted::new()), TestClock::new());
    publish(&dns, given.records, Authenticity::Insecure);
    clock.set(given.now);
    let ledger = Arc::new(ledger);
    let parts =
        Parts { config, domains, ledger: ledger.clone(), resolver: dns, clock, authority_port: 53 };
    let gateway = Gateway::start(parts).await.unwrap();

    let mut client = Client::connect(gateway.inbound()[0]).await;
    let mut replies = Vec::new();
    for line in lines {
        let reply = client.command(line).await;
        replies.push(format!("{} {}", reply.code, reply.text));
    }
    if replies.last().is_some_and(|reply| reply.starts_with("354")) {
        client.send(&stuff(&given.carrier)).await;
        let reply = client.reply().await;
        replies.push(format!("{} {}", reply.code, reply.text));
    }
    if replies.last().is_some_and(|reply| reply.starts_with("250")) {
        sink.wait(messages).await;
    }
    client.command("QUIT").await;
    gateway.stop().await;
    sink.wait_closed().await;
    Answered { replies, delivered: sink.messages() }
}

/// The reply of a row of the draft's table, with this domain where it names one.
pub fn reply_of(failure: &str, about: &str) -> String {
    let domain = Domain::parse(about).unwrap();
    let row = Failure::all(&domain).into_iter().find(|row| row.name() == failure);
    let reply = row.unwrap_or_else(|| panic!("no row {failure}")).reply();
    let line = reply.lines().next().unwrap();
    format!("{} {} {line}", reply.code(), reply.enhanced().unwrap())
}

/// The path of a MAIL or RCPT command, without angle brackets.
fn path_of(command: &str) -> String {
    let mut quoted = false;
    let end = command.find(|c| {
        quoted ^= c == '"';
        c == '>' && !quoted
    });
    command[1..end.unwrap()].to_owned()
}

/// The message that was sealed, as it must arrive: with an end of its last line, and with an empty line before what is no
/// header field [R-uns-06].
pub(super) fn arrived(delivered: &Message, sealed: &[u8]) -> bool {
    let mut sealed = sealed.to_vec();
    if !sealed.is_empty() && !sealed.ends_with(b"\r\n") {
        sealed.extend_from_slice(b"\r\n");
    }
    let rest = without_trace(&delivered.data);
    rest == sealed || rest.strip_prefix(b"\r\n") == Some(sealed.as_slice())
}

/// What is wrong about what a gateway does with a vector of kind `unseal`.
pub async fn unseal(vector: &Vector) -> Result<(), String> {
    let task = Task::read(vector.input());
    let own = task.own[0].domain.clone();
    let is_own = |mailbox: &str| {
        let domain = Mailbox::parse(mailbox).ok().and_then(|m| m.domain().cloned());
        domain.is_some_and(|domain| task.own.iter().any(|own| own.domain == domain))
    };
    // What is of no domain of the gateway's is not taken at all, and the whole list needs somebody to be sent to.
    let outer: Vec<String> = match &task.recipients {
        None => vec![format!("anybody@{own}")],
        Some(outer) => outer
            .iter()
            .map(|one| if is_own(one) { one.clone() } else { format!("anybody@{own}") })
            .collect(),
    };
    let smtputf8 = if outer.iter().all(|one| one.is_ascii()) { "" } else { " SMTPUTF8" };
    let mut lines =
        vec!["EHLO client.example".to_owned(), format!("MAIL FROM:<u@a.example>{smtputf8}")];
    lines.extend(outer.iter().map(|one| format!("RCPT TO:<{one}>")));
    lines.push("DATA".to_owned());
    let given = Given {
        deliver_signed: task.recipients.is_none(),
        own: task.own,
        records: task.records,
        now: task.now,
        window: task.window,
        claims: task.claims,
        carrier: task.carrier,
        config: if task.aligned { ALIGNED.to_owned() } else { String::new() },
    };
    let refused_some =
        vector.expected["refused_recipients"].as_array().is_some_and(|r| !r.is_empty());
    let messages = if vector.is_refused() { 0 } else { 1 + usize::from(refused_some) };
    let answered = converse(given, &lines, messages).await;
    let last = answered.replies.last().unwrap();
    let expected = match vector.failure() {
        None | Some("delivered-before") => "250 2.0.0".to_owned(),
        Some(failure) => reply_of(failure, "a.example"),
    };
    if !last.starts_with(&expected) {
        return Err(format!("{last}, not {expected}"));
    }
    if vector.is_refused() {
        let none = answered.delivered.is_empty();
        return if none { Ok(()) } else { Err("delivered all the same".to_owned()) };
    }
    let expected = &vector.expected;
    let (notices, delivered) = answered.delivered();
    // Who was refused while others were delivered to is reported to the sender [R-uns-10].
    if notices.is_empty() == refused_some {
        return Err(format!("{} notices", notices.len()));
    }
    let [delivered] = delivered.as_slice() else {
        return Err(format!("{} messages were delivered", delivered.len()));
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    if !arrived(delivered, &super::fields::octets(&text(&expected["message"]))) {
        return Err("another message was delivered".to_owned());
    }
    let same =
        |one: &str, other: &str| one == other || Mailbox::parse(one) == Mailbox::parse(other);
    let from = text(&expected["reverse_path"]["mailbox"]);
    if !same(&path_of(&delivered.from), &from) {
        return Err(format!("from {}, not {from}", delivered.from));
    }
    let to: Vec<String> = expected["forward_paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| text(&path["mailbox"]))
        .collect();
    let right = delivered.to.len() == to.len()
        && delivered.to.iter().zip(&to).all(|(one, other)| same(&path_of(one), other));
    if right { Ok(()) } else { Err(format!("to {:?}, not {to:?}", delivered.to)) }
}

/// What is wrong about what a gateway says in a dialog.
pub async fn dialog(vector: &Vector) -> Result<(), String> {
    let mut input = vector.input();
    let given = Given {
        carrier: input.octets("carrier"),
        own: input.objects("own_keys").into_iter().map(OwnKeys::read).collect(),
        records: input.objects("records"),
        now: input.number("now"),
        window: input.number("window"),
        ..Given::default()
    };
    let lines = input.texts("dialog");
    input.end();
    // A recipient who is not signed is reported to the sender, beside a message for others [R-uns-10].
    let outer = lines.iter().filter(|line| line.starts_with("RCPT TO:")).count();
    let replies = vector.expected["replies"].as_array().unwrap();
    let relayed = replies.iter().filter(|reply| reply.as_str().unwrap().starts_with("550")).count();
    let delivered = vector.expected["delivered"]["rcpt_to"].as_array().map_or(0, Vec::len);
    let notice = !vector.is_refused() && outer - relayed > delivered;
    let messages = usize::from(!vector.is_refused()) + usize::from(notice);
    let answered = converse(given, &lines, messages).await;
    let mut expected = Fields::new(&vector.name, vector.expected.clone());
    let wanted = expected.texts("replies");
    let begin = answered.replies.len() == wanted.len()
        && answered.replies.iter().zip(&wanted).all(|(reply, wanted)| reply.starts_with(wanted));
    if !begin {
        return Err(format!("{:?}, not {wanted:?}", answered.replies));
    }
    if expected.text("result") == "refused" {
        let failure = expected.text("failure");
        assert!(!expected.text("stage").is_empty());
        let reply = reply_of(&failure, "a.example");
        if !wanted.last().unwrap().starts_with(&reply) {
            return Err(format!("{wanted:?} does not end with {reply}"));
        }
        if !answered.delivered.is_empty() {
            return Err("delivered all the same".to_owned());
        }
    } else {
        let (notices, delivered) = answered.delivered();
        if notices.len() != usize::from(notice) {
            return Err(format!("{} notices", notices.len()));
        }
        let [message] = delivered.as_slice() else {
            return Err(format!("{} messages were delivered", delivered.len()));
        };
        let to: Vec<String> = message.to.iter().map(|to| path_of(to)).collect();
        let data = b64(without_trace(&message.data));
        let delivered =
            json!({ "mail_from": path_of(&message.from), "rcpt_to": to, "message": data });
        if delivered != expected.take("delivered") {
            return Err(format!("delivered {delivered}"));
        }
    }
    expected.end();
    Ok(())
}
