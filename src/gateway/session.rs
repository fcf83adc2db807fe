//! The dialogue with the MTA before the gateway, the same in both directions.
//!
//! What is done with a sender, a recipient and a message is the matter of a [`Direction`].

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, error_span, field, info, warn};

use super::access::Access;
use super::audit::Names;
use super::authorisation::{Evidence, Login, LoginProof};
use super::ids::TraceId;
use super::queue_id::QueueId;
use super::summary::Summary;
use crate::core::address::ReversePath;
use crate::core::esmtp::MailParameters;
pub(super) use crate::core::smtp_envelope::Recipient;
use crate::smtp::origin::{ClientName, Origin};
use crate::smtp::server::{Command, HelloKind, ServerConnection, ServerOptions, SessionError};
use crate::smtp::{Capabilities, Protocol, Reply};

/// Who is connected, for decisions, trace fields and logs.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// The gateway itself, with a notice of its own.
    pub(super) ours: bool,
    /// Its address, or that of the client it speaks for by XCLIENT; `0.0.0.0` if XCLIENT names none.
    pub(super) address: IpAddr,
    /// Its name in the DNS, which XCLIENT alone says.
    pub(super) name: ClientName,
    /// What it called itself in the greeting.
    pub(super) hello: String,
    /// Whether it greeted with EHLO or LHLO.
    pub(super) extended: bool,
    /// Whether it is an MTA of ours that speaks for itself, so that the topmost Received field is its own. XCLIENT is for
    /// proxies too, which write none.
    pub(super) mta: bool,
    /// Whether the connection is under TLS.
    pub(super) tls: bool,
    /// Whom it has logged in as.
    pub(super) login: Option<Arc<Login>>,
    /// The certificates that it has shown, its own first.
    pub(super) certificate: Option<Arc<[CertificateDer<'static>]>>,
    /// Where the message comes from, as XFORWARD says; for logs and the next hop.
    pub(super) forwarded: Option<Origin>,
}

impl Peer {
    /// What is known of the peer of a connection at MAIL.
    fn of(
        connection: &ServerConnection,
        ours: bool,
        address: IpAddr,
        access: &Access,
        login: Option<&Arc<Login>>,
    ) -> Self {
        let greeting = connection.hello();
        let replaced = connection.replaced();
        let told =
            |login: &String| Arc::new(Login { name: login.clone(), proof: LoginProof::Told });
        let extended = greeting.is_some_and(|hello| hello.kind != HelloKind::Helo);
        Self {
            ours,
            address: client_address(connection, address),
            name: replaced.map(|origin| origin.name.clone()).unwrap_or_default(),
            hello: replaced
                .and_then(|origin| origin.hello.clone())
                .or_else(|| greeting.map(|hello| hello.name.clone()))
                .unwrap_or_default(),
            extended: match replaced.and_then(|origin| origin.protocol.as_deref()) {
                Some(protocol) => !protocol.eq_ignore_ascii_case("SMTP"),
                None => extended,
            },
            mta: replaced.is_none() && access.is_mta(address),
            tls: connection.tls().is_some(),
            login: match login.filter(|_| connection.is_authenticated()) {
                Some(login) => Some(Arc::clone(login)),
                None => replaced.and_then(|origin| origin.login.as_ref()).map(told),
            },
            // It is that of the peer, not of the client that it speaks for.
            certificate: match replaced {
                Some(_) => None,
                None => connection.client_certificate().map(Arc::from),
            },
            forwarded: connection.forwarded().cloned(),
        }
    }

    /// What the authorisation is decided by.
    pub(super) fn evidence(&self, now: u64) -> Evidence<'_> {
        Evidence {
            ours: self.ours,
            address: self.address,
            login: self.login.as_deref(),
            certificate: self.certificate.as_deref(),
            now,
        }
    }
}

/// The client's address for decisions, trace fields and logs.
fn client_address(connection: &ServerConnection, peer: IpAddr) -> IpAddr {
    match connection.replaced() {
        // Somebody whose address is not known must not get the rights of the one who speaks for it.
        Some(origin) => origin.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        None => peer,
    }
}

/// What MAIL says, and what the message is called in the logs.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) path: ReversePath,
    pub(super) parameters: MailParameters,
    pub(super) peer: Peer,
    pub(super) trace: TraceId,
    /// When MAIL came, in seconds since 1970.
    pub(super) arrived: u64,
    /// The queue id of the MTA before us, once it is known.
    pub(super) queue: Option<QueueId>,
    /// What else the message is called, once it is known.
    pub(super) names: Arc<Names>,
    /// Puts trace id and queue id on every line of the transaction's log.
    pub(super) span: Span,
}

impl Sender {
    /// Notes the queue id of the MTA before us; the first one that is known stays.
    pub(super) fn note_queue_id(&mut self, id: QueueId) {
        if self.queue.is_none() {
            self.span.record("queue", id.as_str());
            self.queue = Some(id);
        }
    }

    /// Where the message comes from, for the next hop: as XFORWARD says, else the peer itself. `protocol` is that of the
    /// listener.
    pub(super) fn origin(&self, protocol: Protocol) -> Origin {
        let peer = &self.peer;
        if let Some(origin) = &peer.forwarded {
            return origin.clone();
        }
        let spoken = match (protocol, peer.extended) {
            (Protocol::Lmtp, _) => "LMTP",
            (Protocol::Smtp, true) => "ESMTP",
            (Protocol::Smtp, false) => "SMTP",
        };
        Origin {
            name: peer.name.clone(),
            address: Some(peer.address).filter(|address| !address.is_unspecified()),
            protocol: Some(spoken.to_owned()),
            hello: Some(peer.hello.clone()),
            ident: Some(self.trace.to_string()),
            login: peer.login.as_ref().map(|login| login.name.clone()),
            ..Origin::default()
        }
    }

    /// Logs where a message comes from that a trusted peer passes on, and notes its queue id there.
    fn note_origin(&mut self, connection: &ServerConnection, protocol: Protocol) {
        if connection.forwarded().is_none() && connection.replaced().is_none() {
            return;
        }
        let origin = self.origin(protocol);
        let ident = self.peer.forwarded.as_ref().and_then(|origin| origin.ident.as_ref());
        if let Some(id) = ident.and_then(|id| QueueId::parse(id.as_bytes())) {
            self.note_queue_id(id);
        }
        let name = match &origin.name {
            ClientName::Known(name) => Some(name),
            ClientName::Unavailable | ClientName::Temporary => None,
        };
        self.span.in_scope(|| {
            info!(
                name,
                address = origin.address.map(field::display),
                hello = origin.hello,
                login = origin.login,
                "message is passed on"
            );
        });
    }
}

/// What the peer is told about a message.
pub(super) struct Answer<B> {
    /// One reply (SMTP), or one for each accepted recipient in their order (LMTP).
    pub(super) replies: Vec<Reply>,
    /// What to take back if the replies cannot be delivered.
    pub(super) booking: B,
}

/// A direction of one generation, and how its listeners speak.
pub(super) struct Service<D> {
    pub(super) direction: Arc<D>,
    pub(super) options: Arc<ServerOptions>,
    /// The same for those who are asked for a certificate.
    pub(super) asking: Option<Arc<ServerOptions>>,
    /// The gateway itself is the client.
    pub(super) ours: bool,
}

impl<D: Direction> Service<D> {
    /// How a connection from this address is spoken to.
    pub(super) fn options_for(&self, address: IpAddr) -> &Arc<ServerOptions> {
        match &self.asking {
            Some(asking) if self.direction.access().asks_certificate(address) => asking,
            _ => &self.options,
        }
    }
}

/// One direction of the gateway.
pub(super) trait Direction: Send + Sync + 'static {
    /// An open transaction.
    type Transaction: Send;
    /// What was written to the ledger in the expectation that the peer learns the replies.
    type Booking: Send;

    /// What peers may do beside sending.
    fn access(&self) -> &Arc<Access>;

    /// Whether a client at this address may use the listener at all.
    fn admits(&self, client: IpAddr) -> bool {
        self.access().admits(client)
    }

    /// The time, in seconds since 1970.
    fn now(&self) -> u64;

    /// What may be advertised in the reply to EHLO.
    fn capabilities(&self) -> impl Future<Output = Capabilities> + Send;

    /// Opens a transaction for MAIL.
    fn begin(
        &self,
        sender: Sender,
    ) -> impl Future<Output = Result<Self::Transaction, Reply>> + Send;

    /// Answers RCPT.
    fn recipient(
        &self,
        transaction: &mut Self::Transaction,
        recipient: Recipient,
    ) -> impl Future<Output = Reply> + Send;

    /// Reads the message and passes it on. DATA waits for its answer on `connection`.
    ///
    /// An error means that the connection is over; the transaction has been cleaned up.
    fn message(
        &self,
        transaction: Self::Transaction,
        connection: &mut ServerConnection,
    ) -> impl Future<Output = Result<Answer<Self::Booking>, SessionError>> + Send;

    /// The peer will not send this message, or not in this transaction.
    fn abandon(&self, transaction: Self::Transaction) -> impl Future<Output = ()> + Send;

    /// The peer has gone on to its next command, so it has read the replies. Does not wait.
    fn confirm(&self, booking: Self::Booking);

    /// The replies did not reach the peer.
    fn take_back(&self, booking: Self::Booking) -> impl Future<Output = ()> + Send;
}

/// Serves one connection until it ends. When `stop` is cancelled, an open transaction is finished first.
///
/// `next` is asked at each greeting and each MAIL for the service in force; `None` ends the connection.
pub(super) async fn serve<D: Direction>(
    service: Arc<Service<D>>,
    next: impl Fn() -> Option<Arc<Service<D>>> + Send + Sync,
    mut connection: ServerConnection,
    address: IpAddr,
    stop: &CancellationToken,
) -> Result<(), SessionError> {
    connection.greet().await?;
    let mut open: Option<Open<D>> = None;
    let result = dialogue(service, next, &mut connection, address, stop, &mut open).await;
    if let Some(open) = open {
        open.abandon().await;
    }
    let farewell = match result {
        Ok(End::Stopped) => "shutting down",
        Ok(End::Outdated) => "configuration has changed, please connect again",
        Ok(End::Quit) => return Ok(()),
        Err(error) => return Err(error),
    };
    connection.close_with(&Reply::new(421, (4, 3, 2), farewell)).await
}

/// A transaction with the direction that it began with, and the span that puts its trace id on every line of the log.
struct Open<D: Direction> {
    direction: Arc<D>,
    transaction: D::Transaction,
    span: Span,
    summary: Summary,
}

impl<D: Direction> Open<D> {
    async fn recipient(&mut self, recipient: Recipient) -> Reply {
        let path = recipient.path.clone();
        let answer = self.direction.recipient(&mut self.transaction, recipient);
        let reply = answer.instrument(self.span.clone()).await;
        self.span.in_scope(|| self.summary.recipient(&path, &reply));
        reply
    }

    /// The message, from DATA until the client has its answer.
    /// Reads the message and answers. What was booked is to be confirmed once the peer is known to have read the replies.
    async fn message(
        self,
        connection: &mut ServerConnection,
    ) -> Result<(Arc<D>, D::Booking), SessionError> {
        let Self { direction, transaction, span, summary } = self;
        let answer = direction.message(transaction, connection).instrument(span.clone()).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                span.in_scope(|| summary.lost(&error));
                return Err(error);
            }
        };
        for reply in &answer.replies {
            if let Err(error) = connection.reply(reply).await {
                span.in_scope(|| summary.lost(&error));
                direction.take_back(answer.booking).instrument(span).await;
                return Err(error);
            }
        }
        span.in_scope(|| summary.answered(&answer.replies));
        Ok((direction, answer.booking))
    }

    async fn abandon(self) {
        self.direction.abandon(self.transaction).instrument(self.span).await;
    }
}

enum End {
    Quit,
    Stopped,
    /// The service in force has no place for this connection.
    Outdated,
}

async fn dialogue<D: Direction>(
    mut service: Arc<Service<D>>,
    next: impl Fn() -> Option<Arc<Service<D>>> + Send + Sync,
    connection: &mut ServerConnection,
    address: IpAddr,
    stop: &CancellationToken,
    open: &mut Option<Open<D>>,
) -> Result<End, SessionError> {
    let mut login: Option<Arc<Login>> = None;
    let mut unconfirmed: Option<(Arc<D>, D::Booking)> = None;
    loop {
        let command = tokio::select! {
            biased;
            () = stop.cancelled(), if open.is_none() => return Ok(End::Stopped),
            command = connection.next_command() => command?,
        };
        if let Some((direction, booking)) = unconfirmed.take() {
            direction.confirm(booking);
        }
        // Every command but RCPT and DATA ends a transaction that is open, or is refused by the session itself.
        let transaction = open.take();
        match command {
            Command::Rcpt { path, parameters } => {
                let reply = match transaction {
                    Some(mut transaction) => {
                        let reply = transaction.recipient(Recipient { path, parameters }).await;
                        *open = Some(transaction);
                        reply
                    }
                    None => Reply::new(503, (5, 5, 1), "MAIL first"),
                };
                connection.reply(&reply).await?;
                continue;
            }
            Command::Data => {
                let Some(transaction) = transaction else {
                    connection.reply(&Reply::new(503, (5, 5, 1), "MAIL first")).await?;
                    continue;
                };
                unconfirmed = Some(transaction.message(connection).await?);
                continue;
            }
            _ => {}
        }
        if let Some(open) = transaction {
            open.abandon().await;
        }
        if matches!(command, Command::Hello { .. } | Command::Mail { .. }) {
            match next() {
                None => return Ok(End::Outdated),
                Some(newer) if !Arc::ptr_eq(&newer, &service) => {
                    connection.set_options(Arc::clone(newer.options_for(address)));
                    service = newer;
                }
                Some(_) => {}
            }
        }
        let direction = &service.direction;
        match command {
            Command::Hello { .. } => {
                let client = client_address(connection, address);
                if connection.lacks_address() {
                    warn!(peer = %address, "XCLIENT without ADDR: its client has no address, and no rights");
                }
                let offered = direction.capabilities().await;
                let offered = direction.access().offer(offered, address, client);
                connection.accept_hello(&offered).await?;
            }
            Command::StartTls => connection.start_tls().await?,
            // Asked for since the greeting (RFC 3207 section 4).
            Command::Mail { .. } if service.options.require_tls && connection.tls().is_none() => {
                connection.reply(&Reply::new(530, (5, 7, 0), "STARTTLS first")).await?;
            }
            Command::Mail { path, parameters } => {
                let access = direction.access();
                let peer = Peer::of(connection, service.ours, address, access, login.as_ref());
                let trace = TraceId::random(&mut super::system_rng());
                // Of the highest level, or the lines of a log that shows errors only would lack it.
                let span = error_span!("transaction", %trace, queue = field::Empty);
                let summary = Summary::new(peer.address, &path);
                let (arrived, queue, names) = (direction.now(), None, Arc::default());
                let own = span.clone();
                let mut sender =
                    Sender { path, parameters, peer, trace, arrived, queue, names, span: own };
                sender.note_origin(connection, service.options.protocol);
                let reply = match direction.begin(sender).instrument(span.clone()).await {
                    Ok(transaction) => {
                        let direction = Arc::clone(direction);
                        *open = Some(Open { direction, transaction, span, summary });
                        Reply::new(250, (2, 1, 0), "sender ok")
                    }
                    Err(reply) => reply,
                };
                connection.reply(&reply).await?;
            }
            Command::Auth(credentials) => {
                let client = client_address(connection, address);
                match direction.access().login(client, credentials).await {
                    Ok(found) => {
                        info!(%client, name = found.name, "logged in");
                        login = Some(Arc::new(found));
                        connection.accept_auth().await?;
                    }
                    Err(failure) => connection.reply(&failure.reply()).await?,
                }
            }
            Command::Quit => return Ok(End::Quit),
            Command::Rset | Command::Rcpt { .. } | Command::Data => {}
        }
    }
}
