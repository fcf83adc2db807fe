//! A next hop: its connections, kept for reuse, and what it can do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::failure::Failure;
use super::session::Recipient;
use crate::core::address::ReversePath;
use crate::core::esmtp::MailParameters;
use crate::smtp::client::{Client, ClientError, ClientOptions};
use crate::smtp::next_hop::NextHop;
use crate::smtp::{Capabilities, Protocol, Reply};

/// How long an idle connection is kept; below the idle timeouts of common MTAs (Postfix and Dovecot: 5 min and more).
const IDLE: Duration = Duration::from_secs(30);

/// Most idle connections that are kept.
const MAX_IDLE: usize = 16;

/// How long capabilities are believed without asking again.
const CAPABILITIES: Duration = Duration::from_secs(60);

/// The MTA behind one direction of the gateway.
pub(super) struct Hop {
    next_hop: NextHop,
    options: ClientOptions,
    idle: Mutex<Vec<(Client, Instant)>>,
    capabilities: Mutex<Option<(Capabilities, Instant)>>,
}

impl Hop {
    pub(super) fn new(next_hop: NextHop, options: ClientOptions) -> Self {
        Self { next_hop, options, idle: Mutex::default(), capabilities: Mutex::default() }
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.next_hop.protocol()
    }

    /// What the next hop can do. Without a connection, what it could do when it was last seen; if it never was, the
    /// least that any server can.
    pub(super) async fn capabilities(&self) -> Capabilities {
        let known = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((capabilities, seen)) = &known
            && seen.elapsed() < CAPABILITIES
        {
            return capabilities.clone();
        }
        match self.connect().await {
            Ok(client) => {
                let capabilities = client.capabilities().clone();
                self.give_back(client);
                capabilities
            }
            Err(error) => {
                debug!(next_hop = %self.next_hop, %error, "next hop not reachable for EHLO");
                known.map(|(capabilities, _)| capabilities).unwrap_or_default()
            }
        }
    }

    async fn connect(&self) -> Result<Client, ClientError> {
        let client = Client::connect(&self.next_hop, &self.options).await?;
        let seen = Some((client.capabilities().clone(), Instant::now()));
        *self.capabilities.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(client)
    }

    fn take_idle(&self) -> Option<Client> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        idle.pop().map(|(client, _)| client)
    }

    fn give_back(&self, client: Client) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push((client, Instant::now()));
        }
    }

    /// Opens a connection and sends MAIL. A kept connection that turns out to be dead, or answers 421, is replaced
    /// once, silently.
    async fn mail(
        &self,
        path: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<(Client, Reply), ClientError> {
        if let Some(mut client) = self.take_idle() {
            match client.mail(path, parameters).await {
                Ok(reply) if reply.code() != 421 => return Ok((client, reply)),
                Ok(_) | Err(ClientError::Lost(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut client = self.connect().await?;
        let reply = client.mail(path, parameters).await?;
        Ok((client, reply))
    }
}

/// What became of a message at the next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Delivery {
    /// One reply for each recipient, in the order in which they were accepted.
    Answered(Vec<Reply>),
    /// The final dot may have been sent, and no reply came.
    Unknown(Reply),
}

/// One transaction with the next hop.
///
/// Dropped without [`Downstream::finish`], it closes the connection: a message whose data were begun is
/// not delivered (RFC 5321 section 4.1.1.10).
pub(super) struct Downstream {
    hop: Arc<Hop>,
    client: Client,
    sender: (ReversePath, MailParameters),
    recipients: Vec<Recipient>,
}

impl Downstream {
    /// Sends MAIL; the error is the reply for the client before us.
    pub(super) async fn begin(
        hop: &Arc<Hop>,
        path: ReversePath,
        parameters: MailParameters,
    ) -> Result<Self, Reply> {
        let (client, reply) =
            hop.mail(&path, &parameters).await.map_err(|error| refusal(hop, &error))?;
        if !reply.is_positive() {
            hop.give_back(client);
            return Err(pass_on(reply));
        }
        let sender = (path, parameters);
        Ok(Self { hop: Arc::clone(hop), client, sender, recipients: Vec::new() })
    }

    /// What this connection can do.
    pub(super) fn capabilities(&self) -> &Capabilities {
        self.client.capabilities()
    }

    /// The recipients that the next hop has accepted.
    pub(super) fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// Sends RCPT.
    pub(super) async fn recipient(&mut self, recipient: Recipient) -> Reply {
        match self.client.rcpt(&recipient.path, &recipient.parameters).await {
            Ok(reply) => {
                if reply.is_positive() {
                    self.recipients.push(recipient);
                }
                pass_on(reply)
            }
            Err(error) => refusal(&self.hop, &error),
        }
    }

    /// Makes the transaction one with this sender and these recipients: by RSET, MAIL and RCPT anew,
    /// unless it is that already. The replies are those to the recipients.
    pub(super) async fn become_one(
        &mut self,
        path: ReversePath,
        parameters: MailParameters,
        recipients: Vec<Recipient>,
    ) -> Result<Vec<Reply>, Reply> {
        let sender = (path, parameters);
        if sender == self.sender && recipients == self.recipients {
            let ok = Reply::new(250, (2, 1, 5), "recipient ok");
            return Ok(vec![ok; recipients.len()]);
        }
        let hop = Arc::clone(&self.hop);
        let lost = |error: ClientError| refusal(&hop, &error);
        self.client.rset().await.map_err(lost)?;
        let reply = self.client.mail(&sender.0, &sender.1).await.map_err(lost)?;
        if !reply.is_positive() {
            return Err(pass_on(reply));
        }
        self.sender = sender;
        self.recipients.clear();
        let mut replies = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            replies.push(self.recipient(recipient).await);
        }
        Ok(replies)
    }

    /// Sends DATA; the error is the reply for the client before us.
    pub(super) async fn data(&mut self) -> Result<(), Reply> {
        match self.client.data().await {
            Ok(reply) if reply.code() == 354 => Ok(()),
            Ok(reply) if reply.is_positive() => Err(Failure::NextHopLost.reply()),
            Ok(reply) => Err(pass_on(reply)),
            Err(error) => Err(refusal(&self.hop, &error)),
        }
    }

    /// Sends content. After an error the message cannot be completed.
    pub(super) async fn write(&mut self, content: &[u8]) -> Result<(), Reply> {
        self.client.write(content).await.map_err(|error| refusal(&self.hop, &error))
    }

    /// Sends the final dot and waits for the replies.
    pub(super) async fn finish(mut self) -> Delivery {
        match self.client.finish().await {
            Ok(replies) => {
                let n = self.recipients.len();
                let replies: Vec<Reply> = replies.into_iter().map(pass_on).collect();
                self.hop.give_back(self.client);
                Delivery::Answered(match (replies.len(), self.hop.protocol()) {
                    (1, Protocol::Smtp) => vec![replies[0].clone(); n],
                    _ => replies,
                })
            }
            Err(error) => Delivery::Unknown(refusal(&self.hop, &error)),
        }
    }

    /// Ends the transaction before DATA; the connection can be used again.
    pub(super) async fn abandon(mut self) {
        if self.client.rset().await.is_ok_and(|reply| reply.is_positive()) {
            self.hop.give_back(self.client);
        }
    }
}

/// A reply of the next hop as the client before us sees it. The upstream connection is never closed for it, so 421 becomes 451.
fn pass_on(reply: Reply) -> Reply {
    if reply.code() == 421 || !(reply.is_positive() || reply.is_transient() || reply.is_permanent())
    {
        return Failure::NextHopLost.reply();
    }
    reply.with_status()
}

fn refusal(hop: &Hop, error: &ClientError) -> Reply {
    let failure = match error {
        ClientError::NeedsSmtpUtf8 => Failure::NeedsSmtpUtf8,
        ClientError::NeedsEightBitMime => Failure::NeedsEightBit,
        ClientError::Violation(_) => Failure::BareLineEnd,
        ClientError::Refused(reply) => return pass_on(reply.clone()),
        ClientError::Connect(_) | ClientError::Tls(_) => Failure::NextHop,
        ClientError::Lost(_) => Failure::NextHopLost,
    };
    warn!(next_hop = %hop.next_hop, %error, reason = failure.name(), "next hop failed");
    failure.reply()
}
