//! The dialogue with the MTA before the gateway, the same in both directions.
//!
//! What is done with a sender, a recipient and a message is the matter of a [`Direction`].

use std::net::IpAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, info_span};

use super::ids::TraceId;
use crate::core::address::{ForwardPath, ReversePath};
use crate::core::esmtp::{MailParameters, RcptParameters};
use crate::smtp::server::{Command, HelloKind, ServerConnection, ServerOptions, SessionError};
use crate::smtp::{Capabilities, Reply};

/// Who is connected, for decisions, trace fields and logs.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Its address.
    pub(super) address: IpAddr,
    /// What it called itself in the greeting.
    pub(super) hello: String,
    /// Whether it greeted with EHLO or LHLO.
    pub(super) extended: bool,
    /// Whether the connection is under TLS.
    pub(super) tls: bool,
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
}

/// One recipient that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipient {
    pub(super) path: ForwardPath,
    pub(super) parameters: RcptParameters,
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
}

/// One direction of the gateway.
pub(super) trait Direction: Send + Sync + 'static {
    /// An open transaction.
    type Transaction: Send;
    /// What was written to the ledger in the expectation that the peer learns the replies.
    type Booking: Send;

    /// Whether a client at this address may use the listener at all.
    fn admits(&self, client: IpAddr) -> bool;

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
}

impl<D: Direction> Open<D> {
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
    loop {
        let command = tokio::select! {
            biased;
            () = stop.cancelled(), if open.is_none() => return Ok(End::Stopped),
            command = connection.next_command() => command?,
        };
        // Every command but RCPT and DATA ends a transaction that is open, or is refused by the session itself.
        let transaction = open.take();
        match command {
            Command::Rcpt { path, parameters } => {
                let reply = match transaction {
                    Some(Open { direction, mut transaction, span }) => {
                        let recipient = Recipient { path, parameters };
                        let answer = direction.recipient(&mut transaction, recipient);
                        let reply = answer.instrument(span.clone()).await;
                        *open = Some(Open { direction, transaction, span });
                        reply
                    }
                    None => Reply::new(503, (5, 5, 1), "MAIL first"),
                };
                connection.reply(&reply).await?;
                continue;
            }
            Command::Data => {
                let Some(Open { direction, transaction, span }) = transaction else {
                    connection.reply(&Reply::new(503, (5, 5, 1), "MAIL first")).await?;
                    continue;
                };
                let answer =
                    direction.message(transaction, connection).instrument(span.clone()).await?;
                for reply in &answer.replies {
                    if let Err(error) = connection.reply(reply).await {
                        direction.take_back(answer.booking).instrument(span).await;
                        return Err(error);
                    }
                }
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
                    connection.set_options(Arc::clone(&newer.options));
                    service = newer;
                }
                Some(_) => {}
            }
        }
        let direction = &service.direction;
        match command {
            Command::Hello { .. } => {
                let offered = direction.capabilities().await;
                connection.accept_hello(&offered).await?;
            }
            Command::StartTls => connection.start_tls().await?,
            // Asked for since the greeting (RFC 3207 section 4).
            Command::Mail { .. } if service.options.require_tls && connection.tls().is_none() => {
                connection.reply(&Reply::new(530, (5, 7, 0), "STARTTLS first")).await?;
            }
            Command::Mail { path, parameters } => {
                let greeting = connection.hello();
                let peer = Peer {
                    address,
                    hello: greeting.map(|hello| hello.name.clone()).unwrap_or_default(),
                    extended: greeting.is_some_and(|hello| hello.kind != HelloKind::Helo),
                    tls: connection.tls().is_some(),
                };
                let trace = TraceId::random(&mut super::system_rng());
                let arrived = direction.now();
                let sender = Sender { path, parameters, peer, trace, arrived };
                let span = info_span!("transaction", %trace);
                let reply = match direction.begin(sender).instrument(span.clone()).await {
                    Ok(transaction) => {
                        let direction = Arc::clone(direction);
                        *open = Some(Open { direction, transaction, span });
                        Reply::new(250, (2, 1, 0), "sender ok")
                    }
                    Err(reply) => reply,
                };
                connection.reply(&reply).await?;
            }
            Command::Quit => return Ok(End::Quit),
            Command::Rset | Command::Rcpt { .. } | Command::Data => {}
        }
    }
}
