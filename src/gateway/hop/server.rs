//! One server of a next hop: its connections, kept for reuse, and what it can do.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, error, warn};

use super::Mail;
use super::login::{Login, Verdict};
use super::rest::Rest;
use crate::smtp::client::{Client, ClientError, ClientOptions, Step};
use crate::smtp::next_hop::NextHop;
use crate::smtp::origin::Origin;
use crate::smtp::{Capabilities, Reply};

/// How long an idle connection is kept; below the idle timeouts of common MTAs (Postfix and Dovecot: 5 min and more).
const IDLE: Duration = Duration::from_secs(30);

/// Most idle connections that are kept.
const MAX_IDLE: usize = 16;

/// How long a connection is used, so that a server that was taken out of service, or has a new address, is left.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Most transactions of one connection: what MTAs grant one client without a word (Exim's `smtp_accept_max_per_connection`
/// is 1,000).
const MAX_TRANSACTIONS: u32 = 100;

/// How long capabilities are believed without asking again.
const CAPABILITIES: Duration = Duration::from_secs(60);

/// An MTA, host and port.
pub(super) struct Server {
    options: ClientOptions,
    idle: Mutex<Vec<Connection>>,
    capabilities: Mutex<Option<(Capabilities, Instant)>>,
    /// When it last answered what it can do, or did not; held by whoever asks.
    asked: tokio::sync::Mutex<Option<Instant>>,
    rest: Mutex<Rest>,
    login: Login,
}

/// A connection to a server.
pub(super) struct Connection {
    pub(super) client: Client,
    /// Whom XCLIENT named: the connection is for no other client.
    told: Option<Origin>,
    opened: Instant,
    /// When it was last given back.
    idle_since: Instant,
    transactions: u32,
}

/// What to do about a server that refuses the password.
pub(super) const LOGIN_HINT: &str =
    "check `user`, `password_file` and `tls` of this next hop; a reload tries at once";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    pub(super) fn new(options: ClientOptions) -> Self {
        Self {
            options,
            idle: Mutex::default(),
            capabilities: Mutex::default(),
            asked: tokio::sync::Mutex::default(),
            rest: Mutex::default(),
            login: Login::new(),
        }
    }

    /// Where it is, for logs.
    pub(super) fn next_hop(&self) -> &NextHop {
        &self.options.next_hop
    }

    /// What it could do when it was last seen.
    pub(super) fn known(&self) -> Option<Capabilities> {
        lock(&self.capabilities).as_ref().map(|(capabilities, _)| capabilities.clone())
    }

    fn is_known_freshly(&self) -> bool {
        lock(&self.capabilities).as_ref().is_some_and(|(_, seen)| seen.elapsed() < CAPABILITIES)
    }

    /// Whether it is to be asked what it can do: now and then, but not while it rests, unless it `must` be.
    pub(super) fn is_due(&self, must: bool) -> bool {
        !self.is_known_freshly() && (must || !lock(&self.rest).holds(Instant::now()))
    }

    /// Whether others are to be tried before it, as it failed lately.
    pub(super) fn is_resting(&self) -> bool {
        lock(&self.rest).holds_unless_probing(Instant::now())
    }

    /// Leaves it in peace for a while, as far as there are others.
    pub(super) fn failed(&self) {
        lock(&self.rest).failed(Instant::now());
    }

    /// Asks what it can do; those who ask at the same time wait for one answer.
    pub(super) async fn ask(&self) {
        let now = Instant::now();
        let mut asked = self.asked.lock().await;
        if self.is_known_freshly() || asked.is_some_and(|asked| asked >= now) {
            return;
        }
        match self.connect().await {
            Ok(connection) => self.give_back(connection),
            Err(error) => {
                debug!(next_hop = %self.options.next_hop, %error, "next hop not reachable for EHLO");
            }
        }
        *asked = Some(Instant::now());
    }

    /// Opens a connection and authenticates, before one deadline, however long others try the password meanwhile.
    async fn connect(&self) -> Result<Connection, ClientError> {
        if self.options.credentials.is_some()
            && let Some(failure) = self.login.pause(Instant::now())
        {
            return Err(ClientError::Login(failure.into()));
        }
        match self.set_up().await {
            Ok(client) => {
                lock(&self.rest).over();
                let now = Instant::now();
                Ok(Connection { client, told: None, opened: now, idle_since: now, transactions: 0 })
            }
            Err(error) => {
                self.failed();
                Err(error)
            }
        }
    }

    async fn set_up(&self) -> Result<Client, ClientError> {
        let deadline = tokio::time::Instant::now() + self.options.timeouts.set_up;
        let mut client = self.greet(deadline).await?;
        let Some(credentials) = &self.options.credentials else { return Ok(client) };
        let login_by = self.options.login_by(deadline);
        let turn = match self.login.turn(Instant::now(), login_by).await {
            Ok(turn) => turn,
            Err(error) => {
                tokio::spawn(client.quit());
                return Err(error);
            }
        };
        let mut result = client.authenticate(credentials, deadline).await;
        // A server may have given up a connection that was silent so long. Not because of the password, for all we know.
        if turn.has_waited() && result.as_ref().is_err_and(ClientError::is_loss) {
            client = self.greet(deadline).await?;
            result = client.authenticate(credentials, deadline).await;
        }
        // Nothing was sent.
        if let Err(error @ ClientError::Timeout(Step::SetUp)) = result {
            return Err(error);
        }
        let verdict = turn.tried(result.as_ref().err(), Instant::now());
        result.map(|()| client).map_err(|error| {
            self.log_failed_login(&error, verdict);
            ClientError::Login(error.into())
        })
    }

    async fn greet(&self, deadline: tokio::time::Instant) -> Result<Client, ClientError> {
        let greeted = Client::greet(&self.options, deadline).await;
        let can = match &greeted {
            Ok(client) => client.capabilities(),
            // Known even of a server that does not let us in: it may tomorrow.
            Err(ClientError::NoMechanism { offered }) => offered,
            Err(_) => return greeted,
        };
        *lock(&self.capabilities) = Some((can.clone(), Instant::now()));
        greeted
    }

    fn log_failed_login(&self, error: &ClientError, verdict: Verdict) {
        let next_hop = self.next_hop();
        match error {
            ClientError::Auth(reply) if reply.is_permanent() && verdict == Verdict::Pause => {
                error!(%next_hop, %error, hint = LOGIN_HINT, "next hop does not take our password; mail waits");
            }
            ClientError::Auth(reply) if reply.is_permanent() => {
                warn!(%next_hop, %error, "next hop refuses a password that it took before; it is tried again");
            }
            _ => {
                let hint = "this says nothing about the password: see what ails that server";
                warn!(%next_hop, %error, hint, "next hop failed at AUTH");
            }
        }
    }

    /// An idle connection for the client `session`.
    fn take_idle(&self, session: Option<&Origin>) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        idle.retain(|connection| connection.idle_since.elapsed() < IDLE);
        // What XCLIENT said stays in force, so nobody else's message may follow.
        let fits = |connection: &Connection| {
            connection.told.is_none() || connection.told.as_ref() == session
        };
        let at = idle.iter().rposition(fits)?;
        Some(idle.swap_remove(at))
    }

    /// Keeps a connection between two transactions.
    pub(super) fn give_back(&self, mut connection: Connection) {
        if !connection.client.is_open() {
            return;
        }
        let worn =
            connection.transactions >= MAX_TRANSACTIONS || connection.opened.elapsed() >= MAX_AGE;
        connection.idle_since = Instant::now();
        {
            let mut idle = lock(&self.idle);
            if !worn && idle.len() < MAX_IDLE {
                idle.push(connection);
                return;
            }
        }
        tokio::spawn(connection.client.quit());
    }

    /// Opens a transaction. A kept connection that turns out to be dead, or answers 421, is replaced once, silently.
    pub(super) async fn mail(&self, mail: &Mail) -> Result<(Connection, Reply), ClientError> {
        let session = self.session(&mail.origin);
        if let Some(mut connection) = self.take_idle(session.as_ref()) {
            match self.begin(&mut connection, mail).await {
                Ok(reply) => return Ok((connection, reply)),
                Err(error @ ClientError::Missing(_)) => {
                    self.give_back(connection);
                    return Err(error);
                }
                Err(error @ ClientError::Refused { step: Step::Origin, .. }) => return Err(error),
                // A silent server is not asked twice.
                Err(error @ ClientError::Timeout(_)) => {
                    self.failed();
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        self.mail_anew(mail).await
    }

    /// Opens a transaction on a new connection.
    pub(super) async fn mail_anew(&self, mail: &Mail) -> Result<(Connection, Reply), ClientError> {
        let mut connection = self.connect().await?;
        match self.begin(&mut connection, mail).await {
            Ok(reply) => Ok((connection, reply)),
            Err(error @ ClientError::Missing(_)) => {
                self.give_back(connection);
                Err(error)
            }
            Err(error @ ClientError::Refused { step: Step::Origin, .. }) => Err(error),
            Err(error) => {
                self.failed();
                Err(error)
            }
        }
    }

    /// Sends MAIL, and before it whom the message is from. What the server refuses for the sake of that client is an error of
    /// [`Step::Origin`], and no failure of the server.
    pub(super) async fn begin(
        &self,
        connection: &mut Connection,
        mail: &Mail,
    ) -> Result<Reply, ClientError> {
        let client = &mut connection.client;
        if connection.told.is_none()
            && !client.capabilities().xclient.is_empty()
            && let Some(session) = self.session(&mail.origin)
        {
            let told = client.xclient(&session, &self.options.hello_name).await;
            told.map_err(about_the_client)?;
            connection.told = Some(session);
        }
        if let Some(refusal) = client.xforward(&mail.origin).await? {
            debug!(next_hop = %self.options.next_hop, reply = %refusal, "XFORWARD refused");
        }
        let reply = client.mail(&mail.path, &mail.parameters).await?;
        connection.transactions += 1;
        let answered = about_the_message(reply);
        if connection.told.is_some() { answered.map_err(about_the_client) } else { answered }
    }

    /// The part of an origin that XCLIENT tells, if it is told at all: not for messages of our own, and not to a server that
    /// wants a password, which lets in us and nobody else.
    fn session(&self, origin: &Origin) -> Option<Origin> {
        let told = *origin != Origin::default() && self.options.credentials.is_none();
        told.then(|| Origin { ident: None, source: None, ..origin.clone() })
    }
}

fn about_the_client(error: ClientError) -> ClientError {
    match error {
        ClientError::Refused { reply, .. } => ClientError::Refused { step: Step::Origin, reply },
        other => other,
    }
}

/// Makes errors of replies that are about us and not about the message.
pub(super) fn about_the_message(reply: Reply) -> Result<Reply, ClientError> {
    match reply.code() {
        // RFC 5321 section 3.8: it closes the connection.
        421 => Err(ClientError::Refused { step: Step::Mail, reply }),
        // RFC 3207 section 4, RFC 4954 section 6: it wants TLS, or another password, from us.
        530 | 534 | 535 | 538 => Err(ClientError::Auth(reply)),
        _ => Ok(reply),
    }
}
