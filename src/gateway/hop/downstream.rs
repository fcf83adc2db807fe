//! One transaction with the next hop.

use std::sync::Arc;

use tracing::{info, warn};

use super::server::{self, Connection, Server};
use super::{Hop, Mail};
use crate::gateway::session::Recipient;
use crate::smtp::client::{ClientError, Outcome};
use crate::smtp::{Capabilities, Protocol, Reply};

/// One transaction with a server of the next hop.
///
/// A server that fails before a recipient is accepted is replaced by another one, silently. After that, and until DATA is
/// answered, a connection that is lost is opened anew once, to the same server.
///
/// Dropped without [`Downstream::finish`], it closes the connection: a message whose data were begun is
/// not delivered (RFC 5321 section 4.1.1.10).
pub(in crate::gateway) struct Downstream {
    hop: Arc<Hop>,
    server: Arc<Server>,
    connection: Connection,
    mail: Mail,
    recipients: Vec<Recipient>,
    /// Some recipient was refused: the next hop may slow this connection down, so nobody else gets it.
    disliked: bool,
    /// The connection was opened anew, and is not again.
    reopened: bool,
}

impl Downstream {
    /// Sends MAIL; the error is the reply for the client before us.
    pub(in crate::gateway) async fn begin(hop: &Arc<Hop>, mail: Mail) -> Result<Self, Reply> {
        let (server, connection, reply) = hop.mail(&mail).await?;
        if !reply.is_positive() {
            server.give_back(connection);
            return Err(reply.relayed());
        }
        Ok(Self {
            hop: Arc::clone(hop),
            server,
            connection,
            mail,
            recipients: Vec::new(),
            disliked: false,
            reopened: false,
        })
    }

    /// What this connection can do.
    pub(in crate::gateway) fn capabilities(&self) -> &Capabilities {
        self.connection.client.capabilities()
    }

    /// Whether the next hop sends the notices of delivery that a sender asked for (RFC 3461).
    pub(in crate::gateway) fn reports(&self) -> bool {
        self.capabilities().dsn
    }

    /// What MAIL said.
    pub(in crate::gateway) fn mail(&self) -> &Mail {
        &self.mail
    }

    /// Recipients that were accepted.
    pub(in crate::gateway) fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// Sends RCPT.
    pub(in crate::gateway) async fn recipient(&mut self, recipient: Recipient) -> Reply {
        let mut result = self.send_recipient(&recipient).await;
        if is_lost(&result) && self.reopen().await {
            result = self.send_recipient(&recipient).await;
        }
        match result {
            Ok(reply) => {
                if reply.is_positive() {
                    self.recipients.push(recipient);
                } else {
                    self.disliked = true;
                }
                reply.relayed()
            }
            Err(error) => self.refusal(&error),
        }
    }

    async fn send_recipient(&mut self, recipient: &Recipient) -> Result<Reply, ClientError> {
        let reply = self.connection.client.rcpt(&recipient.path, &recipient.parameters).await?;
        server::about_the_message(reply)
    }

    async fn send_data(&mut self) -> Result<Reply, ClientError> {
        server::about_the_message(self.connection.client.data().await?)
    }

    /// Replaces a connection that was lost, with the same sender and recipients; whether that worked. No content has been
    /// sent, so nothing can be delivered twice.
    async fn reopen(&mut self) -> bool {
        if std::mem::replace(&mut self.reopened, true) {
            return false;
        }
        info!(next_hop = %self.server.next_hop(), "connection lost before DATA; opened anew");
        let opened = if self.recipients.is_empty() {
            self.server.failed();
            self.hop.mail(&self.mail).await
        } else {
            // What another server thinks of the recipients was not asked.
            let opened = self.server.mail_anew(&self.mail).await;
            opened
                .map(|(connection, reply)| (Arc::clone(&self.server), connection, reply))
                .map_err(|error| self.refusal(&error))
        };
        let Ok((server, connection, reply)) = opened else { return false };
        (self.server, self.connection) = (server, connection);
        let mut same = reply.is_positive();
        for recipient in self.recipients.clone() {
            same = same && self.send_recipient(&recipient).await.is_ok_and(|r| r.is_positive());
        }
        if !same {
            // Or the message could go to some of the recipients and count for all.
            self.connection.client.close();
        }
        same
    }

    /// Makes the transaction one with this sender and these recipients: by RSET, MAIL and RCPT anew,
    /// unless it is that already. The replies are those to the recipients.
    pub(in crate::gateway) async fn become_one(
        &mut self,
        mail: Mail,
        recipients: Vec<Recipient>,
    ) -> Result<Vec<Reply>, Reply> {
        if mail == self.mail && recipients == self.recipients {
            let ok = Reply::new(250, (2, 1, 5), "recipient ok");
            return Ok(vec![ok; recipients.len()]);
        }
        self.mail = mail;
        self.recipients.clear();
        let mut result = self.reset().await;
        if is_lost(&result) && !self.reopened {
            self.reopened = true;
            // Nothing is left of the old transaction, so any server will do.
            let (server, connection, reply) = self.hop.mail(&self.mail).await?;
            (self.server, self.connection) = (server, connection);
            result = Ok(reply);
        }
        match result {
            Ok(reply) if reply.is_positive() => {}
            Ok(reply) => return Err(reply.relayed()),
            Err(error) => return Err(self.refusal(&error)),
        }
        let mut replies = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            replies.push(self.recipient(recipient).await);
        }
        Ok(replies)
    }

    /// Sends RSET and MAIL.
    async fn reset(&mut self) -> Result<Reply, ClientError> {
        self.connection.client.rset().await?;
        self.server.begin(&mut self.connection, &self.mail).await
    }

    /// Sends DATA; the error is the reply for the client before us.
    pub(in crate::gateway) async fn data(&mut self) -> Result<(), Reply> {
        let mut result = self.send_data().await;
        if is_lost(&result) && self.reopen().await {
            result = self.send_data().await;
        }
        match result {
            Ok(reply) if reply.code() == 354 => Ok(()),
            Ok(reply) => Err(reply.relayed()),
            Err(error) => Err(self.refusal(&error)),
        }
    }

    /// Sends content. After an error the message cannot be completed.
    pub(in crate::gateway) async fn write(&mut self, content: &[u8]) -> Result<(), Reply> {
        let result = self.connection.client.write(content).await;
        result.map_err(|error| self.refusal(&error))
    }

    /// Sends the final dot and waits for the outcome of each recipient, in the order in which they were accepted.
    ///
    /// The error is the reply for a message whose final dot was not sent.
    pub(in crate::gateway) async fn finish(mut self) -> Result<Vec<Outcome>, Reply> {
        let finished = self.connection.client.finish().await;
        let finished = finished.map_err(|error| self.refusal(&error))?;
        if let Some(error) = &finished.lost {
            warn!(next_hop = %self.server.next_hop(), %error, "no reply to the final dot");
        }
        let mut outcomes: Vec<Outcome> = finished.outcomes.into_iter().map(known).collect();
        if self.hop.protocol() == Protocol::Smtp
            && let Some(only) = outcomes.first().cloned()
        {
            outcomes = vec![only; self.recipients.len()];
        }
        if !self.disliked {
            self.server.give_back(self.connection);
        }
        Ok(outcomes)
    }

    /// Ends the transaction before DATA; the connection can be used again.
    pub(in crate::gateway) async fn abandon(mut self) {
        let reset = self.connection.client.rset().await;
        if !self.disliked && reset.is_ok_and(|reply| reply.is_positive()) {
            self.server.give_back(self.connection);
        }
    }

    /// Closes the connection; whatever is tried after this fails for now.
    pub(in crate::gateway) fn close(&mut self) {
        self.connection.client.close();
    }

    fn refusal(&self, error: &ClientError) -> Reply {
        self.hop.refusal(&self.server, error)
    }
}

/// Whether the command is worth another connection. A server that keeps silent is not asked again: the client before us would
/// have to wait twice.
fn is_lost(result: &Result<Reply, ClientError>) -> bool {
    result.as_ref().is_err_and(ClientError::is_loss)
}

fn known(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Reply(reply) => Outcome::Reply(reply.relayed()),
        Outcome::Unknown => Outcome::Unknown,
    }
}
