//! A next hop: its connections, kept for reuse, and what it can do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::failure::Failure;
use super::session::Recipient;
use crate::core::address::ReversePath;
use crate::core::esmtp::MailParameters;
use crate::smtp::client::{Client, ClientError, ClientOptions, Missing, Outcome, Step};
use crate::smtp::{Capabilities, Protocol, Reply};

/// How long an idle connection is kept; below the idle timeouts of common MTAs (Postfix and Dovecot: 5 min and more).
const IDLE: Duration = Duration::from_secs(30);

/// Most idle connections that are kept.
const MAX_IDLE: usize = 16;

/// How long capabilities are believed without asking again.
const CAPABILITIES: Duration = Duration::from_secs(60);

/// The MTA behind one direction of the gateway.
pub(super) struct Hop {
    options: ClientOptions,
    idle: Mutex<Vec<(Client, Instant)>>,
    capabilities: Mutex<Option<(Capabilities, Instant)>>,
}

impl Hop {
    pub(super) fn new(options: ClientOptions) -> Self {
        Self { options, idle: Mutex::default(), capabilities: Mutex::default() }
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.options.next_hop.protocol()
    }

    /// What the next hop can do. Without a connection, what it could do when it was last seen.
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
                debug!(next_hop = %self.options.next_hop, %error, "next hop not reachable for EHLO");
                known.map_or_else(everything, |(capabilities, _)| capabilities)
            }
        }
    }

    async fn connect(&self) -> Result<Client, ClientError> {
        let client = Client::connect(&self.options).await?;
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
        if !client.is_open() {
            return;
        }
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
                Err(error @ ClientError::Missing(_)) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        let mut client = self.connect().await?;
        let reply = client.mail(path, parameters).await?;
        Ok((client, reply))
    }
}

/// What is supposed of a next hop that was never seen. RCPT is answered 451 meanwhile; had less been offered, mail that needs
/// more would be refused for good by the MTA before us.
fn everything() -> Capabilities {
    Capabilities { eight_bit_mime: true, smtputf8: true, dsn: true, ..Capabilities::default() }
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
    /// Some recipient was refused: the next hop may slow this connection down, so nobody else gets it.
    disliked: bool,
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
        Ok(Self { hop: Arc::clone(hop), client, sender, recipients: Vec::new(), disliked: false })
    }

    /// What this connection can do.
    pub(super) fn capabilities(&self) -> &Capabilities {
        self.client.capabilities()
    }

    /// Whether the next hop sends the notices of delivery that a sender asked for (RFC 3461).
    pub(super) fn reports(&self) -> bool {
        self.capabilities().dsn
    }

    /// Whom MAIL named, and its parameters.
    pub(super) fn sender(&self) -> &(ReversePath, MailParameters) {
        &self.sender
    }

    /// Sends RCPT.
    pub(super) async fn recipient(&mut self, recipient: Recipient) -> Reply {
        match self.client.rcpt(&recipient.path, &recipient.parameters).await {
            Ok(reply) => {
                if reply.is_positive() {
                    self.recipients.push(recipient);
                } else {
                    self.disliked = true;
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
            Ok(reply) => Err(pass_on(reply)),
            Err(error) => Err(refusal(&self.hop, &error)),
        }
    }

    /// Sends content. After an error the message cannot be completed.
    pub(super) async fn write(&mut self, content: &[u8]) -> Result<(), Reply> {
        self.client.write(content).await.map_err(|error| refusal(&self.hop, &error))
    }

    /// Sends the final dot and waits for the outcome of each recipient, in the order in which they were accepted.
    ///
    /// The error is the reply for a message whose final dot was not sent.
    pub(super) async fn finish(mut self) -> Result<Vec<Outcome>, Reply> {
        let finished = self.client.finish().await.map_err(|error| refusal(&self.hop, &error))?;
        if let Some(error) = &finished.lost {
            warn!(next_hop = %self.hop.options.next_hop, %error, "no reply to the final dot");
        }
        let mut outcomes: Vec<Outcome> = finished.outcomes.into_iter().map(known).collect();
        if self.hop.protocol() == Protocol::Smtp
            && let Some(only) = outcomes.first().cloned()
        {
            outcomes = vec![only; self.recipients.len()];
        }
        if !self.disliked {
            self.hop.give_back(self.client);
        }
        Ok(outcomes)
    }

    /// Ends the transaction before DATA; the connection can be used again.
    pub(super) async fn abandon(mut self) {
        if !self.disliked && self.client.rset().await.is_ok_and(|reply| reply.is_positive()) {
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
    reply.relayed()
}

fn known(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Reply(reply) => Outcome::Reply(pass_on(reply)),
        Outcome::Unknown => Outcome::Unknown,
    }
}

/// The reply for the client before us when the next hop fails; the failure itself is logged.
fn refusal(hop: &Hop, error: &ClientError) -> Reply {
    warn!(next_hop = %hop.options.next_hop, %error, "next hop failed");
    match error {
        ClientError::Missing(Missing::SmtpUtf8) => Failure::NeedsSmtpUtf8.reply(),
        ClientError::Missing(Missing::EightBitMime) => Failure::NeedsEightBit.reply(),
        ClientError::Content(_) => Failure::BareLineEnd.reply(),
        // Whatever it may mean, no reply before the final dot says that the message was taken.
        ClientError::EarlyReply(reply) if !reply.is_positive() => pass_on(reply.clone()),
        ClientError::Io { step: Step::Connect, .. }
        | ClientError::Timeout(Step::Connect | Step::Greeting | Step::Hello | Step::StartTls)
        | ClientError::Closed(Step::Greeting | Step::Hello | Step::StartTls)
        | ClientError::NoTls(_)
        | ClientError::Tls(_)
        // A next hop that refuses to talk at all is not at fault for this message.
        | ClientError::Refused { .. } => Failure::NextHop.reply(),
        _ => Failure::NextHopLost.reply(),
    }
}
