//! Telling the next hop whom a message comes from: XFORWARD and XCLIENT.

use super::{Client, ClientError, State, Step};
use crate::smtp::Reply;
use crate::smtp::origin::{Extension, Origin};

impl Client {
    /// Sends XFORWARD for the next transaction, as far as the next hop takes it; it forgets it at the end of that transaction
    /// and at RSET. The reply is the refusal, if it was refused: only the next hop's logs suffer.
    pub async fn xforward(&mut self, origin: &Origin) -> Result<Option<Reply>, ClientError> {
        if self.state != State::Ready {
            return Err(ClientError::OutOfOrder);
        }
        for line in origin.commands(Extension::XForward, &self.capabilities.xforward) {
            let reply = self.command(&line, Step::Origin, self.timeouts.hello).await?;
            if !self.is_open() {
                return self.broken(ClientError::Refused { step: Step::Origin, reply });
            }
            if !reply.is_positive() {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// Sends XCLIENT, as far as the next hop takes it, and greets anew. It holds for all transactions that follow.
    ///
    /// A refusal closes the connection: without it the next hop would grant the message what it grants this gateway.
    pub async fn xclient(&mut self, origin: &Origin, hello_name: &str) -> Result<(), ClientError> {
        if self.state != State::Ready {
            return Err(ClientError::OutOfOrder);
        }
        let lines = origin.commands(Extension::XClient, &self.capabilities.xclient);
        if lines.is_empty() {
            return Ok(());
        }
        for line in lines {
            let reply = self.command(&line, Step::Origin, self.timeouts.hello).await?;
            // 220, the greeting of the new session; 250 from older servers.
            if !reply.is_positive() {
                return self.broken(ClientError::Refused { step: Step::Origin, reply });
            }
        }
        self.hello(hello_name).await
    }
}
