//! A recording MTA that answers and fails as it is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use mta_seal::smtp::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::client::Io;
use super::soon;

/// Where in the dialogue an [`Act`] takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Greeting,
    Hello,
    Auth,
    XClient,
    Mail,
    Rcpt,
    Data,
    /// After 354, once the first octets have come.
    Middle,
    /// The final dot has come; for LMTP once for each recipient.
    Dot,
    Rset,
}

/// What the sink does instead of accepting.
#[derive(Debug, Clone)]
pub enum Act {
    Reply(&'static str),
    /// Writes these octets and goes on.
    Raw(&'static [u8]),
    ReplyAndClose(&'static str),
    Close,
    /// Takes the message and closes without a word.
    TakeAndClose,
    /// Says nothing until the client leaves.
    Stall,
    /// Waits until [`Sink::release`], then accepts.
    Hold,
    /// The same, and then closes without a word.
    HoldAndClose,
}

struct Rule {
    step: Step,
    about: String,
    times: usize,
    act: Act,
}

/// One message whose final dot was answered 250 for at least one recipient.
#[derive(Debug, Clone)]
pub struct Message {
    /// `<path> parameters` of MAIL.
    pub from: String,
    /// The same of each RCPT that was accepted to the end.
    pub to: Vec<String>,
    /// Without stuffed dots and final dot.
    pub data: Vec<u8>,
    pub tls: bool,
}

/// Says what happens at a step, given the line or the recipients.
type Script = Box<dyn FnMut(Step, &str) -> Option<Act> + Send>;

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    script: Option<Script>,
    messages: Vec<Message>,
    /// Data of transactions that did not end in a final dot.
    broken: Vec<Vec<u8>>,
    /// Every octet that came in, connection by connection.
    raw: Vec<Vec<u8>>,
    /// Command lines in order.
    log: Vec<String>,
    held: usize,
    early: usize,
    open: usize,
    /// What the client did against the protocol.
    faults: Vec<String>,
}

pub enum Listen {
    Tcp,
    Unix(PathBuf),
}

pub struct SinkOptions {
    pub protocol: Protocol,
    pub listen: Listen,
    pub ehlo: Vec<String>,
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl SinkOptions {
    pub fn new(protocol: Protocol) -> Self {
        let ehlo = ["PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "DSN"];
        Self { protocol, listen: Listen::Tcp, ehlo: ehlo.map(str::to_owned).to_vec(), tls: None }
    }

    /// Takes an extension out of the reply to EHLO.
    pub fn without(mut self, keyword: &str) -> Self {
        self.ehlo.retain(|line| !line.starts_with(keyword));
        self
    }

    /// Adds a line to the reply to EHLO.
    pub fn with(mut self, line: &str) -> Self {
        self.ehlo.push(line.to_owned());
        self
    }

    pub async fn start(self) -> Sink {
        let shared = Arc::new(Shared::default());
        let url;
        let mut tcp = None;
        let mut unix = None;
        let scheme = if self.protocol == Protocol::Smtp { "smtp" } else { "lmtp" };
        match &self.listen {
            Listen::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                url = format!("{scheme}://{}", listener.local_addr().unwrap());
                tcp = Some(listener);
            }
            Listen::Unix(path) => {
                url = format!("lmtp+unix:{}", path.display());
                unix = Some(UnixListener::bind(path).unwrap());
            }
        }
        let address = tcp.as_ref().map(|l| l.local_addr().unwrap());
        let (options, state) = (Arc::new(self), Arc::clone(&shared));
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let io: Box<dyn Io> = match (&tcp, &unix) {
                    (Some(listener), _) => {
                        let stream = listener.accept().await.unwrap().0;
                        // A reply is there when it was written, not 40 ms later.
                        stream.set_nodelay(true).unwrap();
                        Box::new(stream)
                    }
                    (_, Some(listener)) => Box::new(listener.accept().await.unwrap().0),
                    _ => return,
                };
                let (options, state) = (Arc::clone(&options), Arc::clone(&state));
                sessions.spawn(async move { Session::new(options, state, io).run().await });
            }
        });
        Sink { url, address, shared, task: Some(task) }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    released: Notify,
}

impl Shared {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap());
        self.changed.notify_waiters();
        result
    }

    /// Waits to be let go.
    async fn hold(self: Arc<Self>) {
        let released = self.released.notified();
        tokio::pin!(released);
        released.as_mut().enable();
        self.with(|state| state.held += 1);
        released.await;
    }
}

pub struct Sink {
    /// As `next_hop` of a configuration.
    pub url: String,
    address: Option<SocketAddr>,
    shared: Arc<Shared>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop();
        let faults = self.shared.with(|state| state.faults.clone());
        if !std::thread::panicking() {
            assert!(faults.is_empty(), "the gateway broke the protocol: {faults:?}");
        }
    }
}

impl Sink {
    pub async fn smtp() -> Self {
        SinkOptions::new(Protocol::Smtp).start().await
    }

    pub async fn lmtp() -> Self {
        SinkOptions::new(Protocol::Lmtp).start().await
    }

    pub async fn speaking(protocol: Protocol) -> Self {
        SinkOptions::new(protocol).start().await
    }

    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// No more connections, and those that are open end.
    pub fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// The next `times` commands at `step` whose line contains `about` are treated like this.
    pub fn rule(&self, step: Step, about: &str, times: usize, act: Act) {
        let rule = Rule { step, about: about.to_owned(), times, act };
        self.shared.with(|state| state.rules.push(rule));
    }

    /// Asks `script` at each step, before the rules. It is given the command line; from DATA on, the recipients.
    pub fn script(&self, script: impl FnMut(Step, &str) -> Option<Act> + Send + 'static) {
        self.shared.with(|state| state.script = Some(Box::new(script)));
    }

    pub fn clear_rules(&self) {
        self.shared.with(|state| state.rules.clear());
    }

    /// Lets go on what was held.
    pub fn release(&self) {
        self.clear_rules();
        self.shared.released.notify_waiters();
    }

    /// Lets go on what was held, and leaves the rules that wait.
    pub fn let_go(&self) {
        self.shared.released.notify_waiters();
    }

    pub fn messages(&self) -> Vec<Message> {
        self.shared.with(|state| state.messages.clone())
    }

    pub fn log(&self) -> Vec<String> {
        self.shared.with(|state| state.log.clone())
    }

    /// Command lines with this verb.
    pub fn commands(&self, verb: &str) -> Vec<String> {
        self.log().into_iter().filter(|line| line.starts_with(verb)).collect()
    }

    /// Data that did not end in a final dot.
    pub fn broken(&self) -> Vec<Vec<u8>> {
        self.shared.with(|state| state.broken.clone())
    }

    /// Connections so far, those that ended included.
    pub fn connections(&self) -> usize {
        self.shared.with(|state| state.raw.len())
    }

    /// Everything that was ever written to the sink.
    pub fn raw(&self) -> Vec<u8> {
        self.shared.with(|state| state.raw.concat())
    }

    /// The only message so far.
    #[track_caller]
    pub fn only(&self) -> Message {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1, "messages: {messages:?}");
        messages.remove(0)
    }

    /// Waits for this many messages and returns them.
    pub async fn wait(&self, count: usize) -> Vec<Message> {
        self.until("messages", |state| state.messages.len() >= count).await;
        self.messages()
    }

    /// Waits until this many transactions are held.
    pub async fn wait_held(&self, count: usize) {
        self.until("held transactions", |state| state.held >= count).await;
    }

    /// Waits until this many commands with this verb have come.
    pub async fn wait_commands(&self, verb: &str, count: usize) {
        let come = |state: &State| state.log.iter().filter(|line| line.starts_with(verb)).count();
        self.until(verb, |state| come(state) >= count).await;
    }

    /// Waits until this many messages were answered in their middle.
    pub async fn wait_early(&self, count: usize) {
        self.until("early answers", |state| state.early >= count).await;
    }

    /// Waits until a transaction was broken off.
    pub async fn wait_broken(&self, count: usize) -> Vec<Vec<u8>> {
        self.until("broken transactions", |state| state.broken.len() >= count).await;
        self.broken()
    }

    /// Waits until no connection is open.
    pub async fn wait_closed(&self) {
        self.until("closed connections", |state| state.open == 0).await;
    }

    async fn until(&self, what: &str, done: impl Fn(&State) -> bool) {
        soon(what, async {
            loop {
                let changed = self.shared.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if done(&self.shared.state.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }
}

struct Session {
    options: Arc<SinkOptions>,
    shared: Arc<Shared>,
    io: Box<dyn Io>,
    input: Vec<u8>,
    raw: usize,
    tls: bool,
}

/// The connection is over.
struct Over;

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.with(|state| state.open -= 1);
    }
}

impl Session {
    fn new(options: Arc<SinkOptions>, shared: Arc<Shared>, io: Box<dyn Io>) -> Self {
        let raw = shared.with(|state| {
            state.open += 1;
            state.raw.push(Vec::new());
            state.raw.len() - 1
        });
        Self { options, shared, io, input: Vec::new(), raw, tls: false }
    }

    async fn run(mut self) {
        let _ = self.dialogue().await;
    }

    /// Something that no client may do.
    fn forbid(&self, is: bool, what: &str) -> Result<(), Over> {
        if is {
            self.shared.with(|state| state.faults.push(what.to_owned()));
            return Err(Over);
        }
        Ok(())
    }

    fn act(&self, step: Step, about: &str) -> Option<Act> {
        self.shared.with(|state| {
            if let Some(script) = &mut state.script
                && let Some(act) = script(step, about)
            {
                return Some(act);
            }
            let applies = |rule: &&mut Rule| {
                rule.step == step && rule.times > 0 && about.contains(&rule.about)
            };
            let rule = state.rules.iter_mut().find(applies)?;
            rule.times -= 1;
            Some(rule.act.clone())
        })
    }

    /// Answers one step; whether it was accepted.
    async fn answer(&mut self, step: Step, about: &str, usual: &str) -> Result<bool, Over> {
        match self.act(step, about) {
            None => {
                self.say(usual).await?;
                Ok(true)
            }
            Some(Act::Reply(line)) => {
                self.say(line).await?;
                Ok(line.starts_with(['2', '3']))
            }
            Some(Act::Raw(octets)) => {
                self.write(octets).await?;
                Ok(false)
            }
            Some(Act::ReplyAndClose(line)) => {
                self.say(line).await?;
                Err(Over)
            }
            Some(Act::Close | Act::TakeAndClose) => Err(Over),
            Some(Act::Stall) => {
                while self.fill().await.is_ok() {}
                Err(Over)
            }
            Some(Act::Hold) => {
                Arc::clone(&self.shared).hold().await;
                self.say(usual).await?;
                Ok(true)
            }
            Some(Act::HoldAndClose) => {
                Arc::clone(&self.shared).hold().await;
                Err(Over)
            }
        }
    }

    async fn dialogue(&mut self) -> Result<(), Over> {
        let lmtp = self.options.protocol == Protocol::Lmtp;
        self.answer(Step::Greeting, "", "220 sink.example").await?;
        let mut from: Option<String> = None;
        let mut to: Vec<String> = Vec::new();
        loop {
            let line = self.line().await?;
            self.shared.with(|state| state.log.push(line.clone()));
            let verb = line.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" | "LHLO" => {
                    self.forbid((verb == "LHLO") != lmtp, "wrong greeting")?;
                    let mut lines = vec!["sink.example".to_owned()];
                    lines.extend(self.options.ehlo.iter().cloned());
                    if self.options.tls.is_some() && !self.tls {
                        lines.push("STARTTLS".to_owned());
                    }
                    let last = lines.len() - 1;
                    let reply: Vec<String> = lines
                        .iter()
                        .enumerate()
                        .map(|(at, l)| format!("250{}{l}", if at == last { ' ' } else { '-' }))
                        .collect();
                    (from, to) = (None, Vec::new());
                    self.answer(Step::Hello, &line, &reply.join("\r\n")).await?;
                }
                "HELO" => self.say("250 sink.example").await?,
                "AUTH" => {
                    self.answer(Step::Auth, &line, "235 2.7.0 welcome").await?;
                }
                "XFORWARD" => {
                    self.forbid(from.is_some(), "XFORWARD in a transaction")?;
                    self.say("250 2.0.0 ok").await?;
                }
                "XCLIENT" => {
                    self.forbid(from.is_some(), "XCLIENT in a transaction")?;
                    self.answer(Step::XClient, &line, "220 sink.example").await?;
                }
                "STARTTLS" => {
                    self.say("220 go").await?;
                    let config = self.options.tls.clone().unwrap();
                    let (near, _) = tokio::io::duplex(1);
                    let io = std::mem::replace(&mut self.io, Box::new(near));
                    let acceptor = tokio_rustls::TlsAcceptor::from(config);
                    self.io = Box::new(acceptor.accept(io).await.map_err(|_| Over)?);
                    self.tls = true;
                }
                "MAIL" => {
                    self.forbid(from.is_some(), "nested MAIL")?;
                    if self.answer(Step::Mail, &line, "250 2.1.0 ok").await? {
                        from = Some(line["MAIL FROM:".len()..].to_owned());
                    }
                }
                "RCPT" => {
                    self.forbid(from.is_none(), "RCPT without MAIL")?;
                    if self.answer(Step::Rcpt, &line, "250 2.1.5 ok").await? {
                        to.push(line["RCPT TO:".len()..].to_owned());
                    }
                }
                "DATA" => {
                    self.forbid(to.is_empty(), "DATA without RCPT")?;
                    if self.answer(Step::Data, &to.join(" "), "354 go on").await? {
                        let from = from.take().unwrap();
                        self.message(from, std::mem::take(&mut to), lmtp).await?;
                    }
                }
                "RSET" => {
                    (from, to) = (None, Vec::new());
                    self.answer(Step::Rset, &line, "250 2.0.0 reset").await?;
                }
                "QUIT" => {
                    self.say("221 2.0.0 bye").await?;
                    return Ok(());
                }
                _ => self.say("250 2.0.0 ok").await?,
            }
        }
    }

    async fn message(&mut self, mut from: String, to: Vec<String>, lmtp: bool) -> Result<(), Over> {
        let mut data = Vec::new();
        let mut middle = false;
        let mut answered = false;
        loop {
            let line = match self.octets_line().await {
                Ok(line) => line,
                Err(over) => {
                    self.shared.with(|state| state.broken.push(data));
                    return Err(over);
                }
            };
            if line == b".\r\n" {
                break;
            }
            data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            if !middle {
                middle = true;
                match self.act_in_the_middle(&to.join(" ")).await {
                    Ok(early) => {
                        answered = early;
                        self.shared.with(|state| state.early += usize::from(early));
                    }
                    Err(over) => {
                        self.shared.with(|state| state.broken.push(data));
                        return Err(over);
                    }
                }
            }
        }
        if answered {
            // There is one answer to a message, and this one had it.
            self.shared.with(|state| state.broken.push(data));
            return Ok(());
        }
        let tls = self.tls;
        let groups: Vec<_> =
            if lmtp { to.into_iter().map(|one| vec![one]).collect() } else { vec![to] };
        let last = groups.len() - 1;
        let mut accepted = Vec::new();
        for (at, group) in groups.into_iter().enumerate() {
            let act = self.act(Step::Dot, &group.join(" "));
            if matches!(act, Some(Act::Hold | Act::HoldAndClose)) {
                Arc::clone(&self.shared).hold().await;
            }
            let (takes, ends) = match &act {
                None | Some(Act::Hold) => (true, false),
                Some(Act::Reply(line)) => (line.starts_with('2'), false),
                Some(Act::ReplyAndClose(line)) => (line.starts_with('2'), true),
                Some(Act::TakeAndClose) => (true, true),
                Some(Act::Raw(_)) => (false, false),
                Some(Act::Close | Act::HoldAndClose | Act::Stall) => (false, true),
            };
            if takes {
                accepted.extend(group);
            }
            // The message counts as taken before the last reply is read: it may be lost on the way.
            if (ends || at == last) && !accepted.is_empty() {
                let (from, data) = (std::mem::take(&mut from), std::mem::take(&mut data));
                let message = Message { from, to: std::mem::take(&mut accepted), data, tls };
                self.shared.with(|state| state.messages.push(message));
            }
            match act {
                None | Some(Act::Hold) => self.say("250 2.0.0 taken").await?,
                Some(Act::Reply(line) | Act::ReplyAndClose(line)) => self.say(line).await?,
                Some(Act::Raw(octets)) => self.write(octets).await?,
                Some(Act::Stall) => while self.fill().await.is_ok() {},
                Some(Act::Close | Act::TakeAndClose | Act::HoldAndClose) => {}
            }
            if ends {
                return Err(Over);
            }
        }
        Ok(())
    }

    /// Whether the message was answered before its end.
    async fn act_in_the_middle(&mut self, to: &str) -> Result<bool, Over> {
        match self.act(Step::Middle, to) {
            None => Ok(false),
            Some(Act::Reply(line)) => {
                self.say(line).await?;
                Ok(true)
            }
            Some(Act::Raw(octets)) => {
                self.write(octets).await?;
                Ok(true)
            }
            Some(Act::ReplyAndClose(line)) => {
                self.say(line).await?;
                Err(Over)
            }
            Some(Act::Close | Act::TakeAndClose) => Err(Over),
            Some(Act::Stall | Act::Hold | Act::HoldAndClose) => {
                // Not even reading: the client must give up writing or waiting.
                self.shared.released.notified().await;
                Err(Over)
            }
        }
    }

    async fn line(&mut self) -> Result<String, Over> {
        let line = self.octets_line().await?;
        let line = line.strip_suffix(b"\r\n").unwrap_or(&line);
        self.forbid(std::str::from_utf8(line).is_err(), "no UTF-8 in a command")?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    /// The next line with its LF; strict about CR and LF.
    async fn octets_line(&mut self) -> Result<Vec<u8>, Over> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.input[searched..].iter().position(|&o| o == b'\n') {
                let rest = self.input.split_off(searched + at + 1);
                let line = std::mem::replace(&mut self.input, rest);
                self.forbid(!line.ends_with(b"\r\n"), "bare LF")?;
                self.forbid(line[..line.len() - 2].contains(&b'\r'), "bare CR")?;
                self.forbid(line.contains(&0), "NUL")?;
                return Ok(line);
            }
            searched = self.input.len();
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Over> {
        let mut buffer = [0; 16384];
        match self.io.read(&mut buffer).await {
            Ok(0) | Err(_) => Err(Over),
            Ok(n) => {
                self.input.extend_from_slice(&buffer[..n]);
                let raw = self.raw;
                self.shared.with(|state| state.raw[raw].extend_from_slice(&buffer[..n]));
                Ok(())
            }
        }
    }

    async fn say(&mut self, line: &str) -> Result<(), Over> {
        self.write(format!("{line}\r\n").as_bytes()).await
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), Over> {
        self.io.write_all(octets).await.map_err(|_| Over)?;
        self.io.flush().await.map_err(|_| Over)
    }
}
