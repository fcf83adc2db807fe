//! The next hop of one direction: one MTA, or several of which the first that can be had is used.
//!
//! A [`server`] is one of them with its connections; a [`downstream`] is one transaction with one of them.

mod downstream;
mod login;
mod rest;
mod server;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use super::failure::Failure;
use crate::core::address::ReversePath;
use crate::core::esmtp::MailParameters;
use crate::smtp::client::{ClientError, ClientOptions, Missing, Step};
use crate::smtp::origin::Origin;
use crate::smtp::{Capabilities, Protocol, Reply};
use server::{Connection, LOGIN_HINT, Server};

pub(super) use downstream::Downstream;

/// How long the reply to EHLO waits for servers that are not heard from while others are.
const PATIENCE: Duration = Duration::from_secs(5);

/// The MTA behind one direction of the gateway, and those that stand in for it.
pub(super) struct Hop {
    protocol: Protocol,
    servers: Vec<Arc<Server>>,
}

/// What MAIL says to a next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mail {
    pub(super) path: ReversePath,
    pub(super) parameters: MailParameters,
    /// Whom the message is from, for a next hop that asks (XFORWARD, XCLIENT).
    pub(super) origin: Origin,
}

/// A server, a connection to it, and its reply to MAIL.
type Opened = (Arc<Server>, Connection, Reply);

impl Hop {
    /// Servers in the order in which they are tried, which all speak one protocol.
    pub(super) fn new(servers: Vec<ClientOptions>) -> Self {
        let protocol = servers.first().map_or(Protocol::Smtp, |first| first.next_hop.protocol());
        let servers = servers.into_iter().map(|options| Arc::new(Server::new(options))).collect();
        Self { protocol, servers }
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// What every server can do, as far as they are known: what it could do when it was last seen, if that is all. Whichever
    /// will be used, no more may be promised to the client before us.
    pub(super) async fn capabilities(&self) -> Capabilities {
        let mut asked = JoinSet::new();
        let nobody = self.servers.iter().all(|server| server.known().is_none());
        for server in self.servers.iter().filter(|server| server.is_due(nobody)) {
            let server = Arc::clone(server);
            asked.spawn(async move { server.ask().await });
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !asked.is_empty() {
            let anybody = self.servers.iter().any(|server| server.known().is_some());
            let next = asked.join_next();
            if anybody {
                if tokio::time::timeout_at(deadline, next).await.is_err() {
                    break;
                }
            } else {
                next.await;
            }
        }
        // What they say later counts for the next client.
        asked.detach_all();
        let known = self.servers.iter().filter_map(|server| server.known());
        known.reduce(|all, one| all.intersection(&one)).unwrap_or_else(everything)
    }

    /// Sends MAIL to the first server that can be had, those that failed lately last; the error is the reply for the client
    /// before us.
    async fn mail(&self, mail: &Mail) -> Result<Opened, Reply> {
        let mut refused = Failure::NextHop.reply();
        let mut later = Vec::new();
        for server in &self.servers {
            if server.is_resting() {
                later.push(server);
                continue;
            }
            match self.mail_to(server, mail).await {
                ControlFlow::Break(outcome) => return outcome,
                ControlFlow::Continue(reply) => refused = reply,
            }
        }
        for server in later {
            match self.mail_to(server, mail).await {
                ControlFlow::Break(outcome) => return outcome,
                ControlFlow::Continue(reply) => refused = reply,
            }
        }
        Err(refused)
    }

    /// Sends MAIL to one server; goes on with the reply if another one is worth asking.
    async fn mail_to(
        &self,
        server: &Arc<Server>,
        mail: &Mail,
    ) -> ControlFlow<Result<Opened, Reply>, Reply> {
        match server.mail(mail).await {
            Ok((connection, reply)) => {
                ControlFlow::Break(Ok((Arc::clone(server), connection, reply)))
            }
            Err(error) => {
                let reply = self.refusal(server, &error);
                // Refused for the sake of the client: it is not to try its luck with all of them.
                if matches!(error, ClientError::Refused { step: Step::Origin, .. }) {
                    ControlFlow::Break(Err(reply))
                } else {
                    ControlFlow::Continue(reply)
                }
            }
        }
    }

    /// The reply for the client before us when a server fails; the failure itself is logged.
    fn refusal(&self, server: &Server, failure: &ClientError) -> Reply {
        let next_hop = server.next_hop();
        if let ClientError::Login(failure) = failure {
            debug!(%next_hop, error = %failure, "next hop does not let us in");
            return self.reply(failure);
        }
        let hint = match failure {
            ClientError::Auth(_) => LOGIN_HINT,
            ClientError::NoMechanism { .. } => {
                "this next hop takes no passwords now: check its TLS, or remove `user`"
            }
            _ => "",
        };
        if hint.is_empty() {
            warn!(%next_hop, error = %failure, "next hop failed");
        } else {
            error!(%next_hop, error = %failure, hint, "next hop does not let us in; mail waits");
        }
        self.reply(failure)
    }

    fn reply(&self, failure: &ClientError) -> Reply {
        match failure {
            // Another server may do what this one cannot, and was promised to.
            ClientError::Missing(missing) if self.may_offer(*missing) => Failure::NextHop.reply(),
            ClientError::Missing(Missing::SmtpUtf8) => Failure::NeedsSmtpUtf8.reply(),
            ClientError::Missing(Missing::EightBitMime) => Failure::NeedsEightBit.reply(),
            ClientError::Auth(_) | ClientError::NoMechanism { .. } => Failure::NextHopLogin.reply(),
            ClientError::Content(_) => Failure::BareLineEnd.reply(),
            // Whatever it may mean, no reply before the final dot says that the message was taken.
            ClientError::EarlyReply(reply) if !reply.is_positive() => reply.clone().relayed(),
            ClientError::Io { step: Step::Connect, .. }
            | ClientError::Timeout(
                Step::Connect
                | Step::Greeting
                | Step::Hello
                | Step::StartTls
                | Step::Auth
                | Step::SetUp,
            )
            | ClientError::Closed(Step::Greeting | Step::Hello | Step::StartTls | Step::Auth)
            | ClientError::NoTls(_)
            | ClientError::Tls(_)
            // A next hop that refuses to talk at all is not at fault for this message.
            | ClientError::Refused { .. } => Failure::NextHop.reply(),
            _ => Failure::NextHopLost.reply(),
        }
    }

    /// Whether some server offers it, or may for all that is known.
    fn may_offer(&self, missing: Missing) -> bool {
        self.servers.iter().any(|server| {
            server.known().is_none_or(|known| match missing {
                Missing::SmtpUtf8 => known.smtputf8,
                Missing::EightBitMime => known.eight_bit_mime,
            })
        })
    }
}

/// What is supposed of a next hop that was never seen. RCPT is answered 451 meanwhile; had less been offered, mail that needs
/// more would be refused for good by the MTA before us.
fn everything() -> Capabilities {
    Capabilities { eight_bit_mime: true, smtputf8: true, dsn: true, ..Capabilities::default() }
}
