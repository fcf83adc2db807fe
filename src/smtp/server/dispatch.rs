//! The rules of sequence, parameters and limits for each command.

use super::{Command, Pending, ServerConnection, SessionError, Transaction};
use crate::core::address::{ForwardPath, ReversePath};
use crate::core::esmtp::{MailParameters, RcptParameters};
use crate::smtp::Reply;
use crate::smtp::command::Parsed;
use crate::smtp::origin::{Extension, Origin};
use crate::smtp::stream::Stream;

impl ServerConnection {
    /// Applies the rules of sequence; `None` if the session has answered by itself.
    pub(super) async fn dispatch(
        &mut self,
        parsed: Parsed,
    ) -> Result<Option<Command>, SessionError> {
        // In a transaction only what carries it on is free.
        let carries_on = match parsed {
            Parsed::Mail { .. } | Parsed::Quit => true,
            Parsed::Rcpt { .. } | Parsed::Data | Parsed::Rset => self.transaction.is_some(),
            _ => false,
        };
        if !carries_on {
            self.count_idle().await?;
        }
        let done = match parsed {
            Parsed::Hello { kind, name } => {
                // RFC 5321 section 4.1.4: a greeting resets like RSET.
                self.transaction = None;
                self.forwarded = None;
                self.replacing = false;
                self.hello = None;
                self.hello_asked = Some((kind, name.clone()));
                self.pending = Pending::Hello;
                return Ok(Some(Command::Hello { kind, name }));
            }
            Parsed::Mail { path, parameters } => return self.mail(path, parameters).await,
            Parsed::Rcpt { path, parameters } => return self.rcpt(path, parameters).await,
            Parsed::Data => return self.data_command().await,
            Parsed::StartTls => {
                return if self.options.tls.is_none() {
                    self.refused(&Reply::new(502, (5, 5, 1), "command not implemented")).await
                } else if matches!(self.stream, Stream::Tls(_)) {
                    self.refused(&Reply::new(503, (5, 5, 1), "TLS is up already")).await
                } else {
                    self.pending = Pending::StartTls;
                    Ok(Some(Command::StartTls))
                };
            }
            Parsed::Auth { mechanism, initial } => {
                let initial = initial.as_ref().map(|response| response.as_bytes());
                return self.auth(&mechanism, initial).await;
            }
            Parsed::Origin { extension, arguments } => {
                return self.origin(extension, &arguments).await;
            }
            Parsed::Quit => {
                // Clients may leave without waiting for the reply.
                let _ = self.close(&Reply::new(221, (2, 0, 0), "goodbye")).await;
                return Ok(Some(Command::Quit));
            }
            Parsed::Rset => {
                self.transaction = None;
                self.forwarded = None;
                self.put(&Reply::new(250, (2, 0, 0), "reset"));
                return Ok(Some(Command::Rset));
            }
            Parsed::Noop => Reply::new(250, (2, 0, 0), "ok"),
            Parsed::Vrfy => Reply::new(252, (2, 5, 0), "send a message to find out"),
            Parsed::Expn => Reply::new(502, (5, 5, 1), "command not implemented"),
            Parsed::Help => Reply::new(214, (2, 0, 0), "see RFC 5321"),
        };
        self.put(&done);
        Ok(None)
    }

    async fn mail(
        &mut self,
        path: ReversePath,
        parameters: MailParameters,
    ) -> Result<Option<Command>, SessionError> {
        let Some(hello) = &self.hello else {
            return self.refused(&Reply::new(503, (5, 5, 1), "greet first")).await;
        };
        if self.options.require_tls && !matches!(self.stream, Stream::Tls(_)) {
            return self.refused(&Reply::new(530, (5, 7, 0), "STARTTLS first")).await;
        }
        if self.transaction.is_some() {
            return self.refused(&Reply::new(503, (5, 5, 1), "nested MAIL")).await;
        }
        let offered = &hello.offered;
        let unknown = (parameters.size.is_some() && offered.size.is_none())
            || (parameters.body.is_some() && !offered.eight_bit_mime)
            || (parameters.smtputf8 && !offered.smtputf8)
            || ((parameters.ret.is_some() || parameters.envid.is_some()) && !offered.dsn);
        if unknown {
            return self.declined(&Reply::new(555, (5, 5, 4), "parameter not offered")).await;
        }
        if !path.is_ascii() && !parameters.smtputf8 {
            // RFC 6531 section 3.5.
            return self.declined(&Reply::new(553, (5, 6, 7), "address needs SMTPUTF8")).await;
        }
        if let (Some(size), Some(limit)) = (parameters.size, offered.size_limit())
            && size > limit
        {
            let reply = Reply::new(552, (5, 3, 4), "message too large");
            return self.declined(&reply).await;
        }
        self.idle_commands = 0;
        self.transaction =
            Some(Transaction { smtputf8: parameters.smtputf8, attempts: 0, accepted: 0 });
        self.pending = Pending::Mail;
        Ok(Some(Command::Mail { path, parameters }))
    }

    /// XFORWARD and XCLIENT, for those to whom the greeting's answer offered them.
    async fn origin(
        &mut self,
        extension: Extension,
        arguments: &str,
    ) -> Result<Option<Command>, SessionError> {
        let allowed = match (&self.hello, extension) {
            (Some(hello), Extension::XForward) => !hello.offered.xforward.is_empty(),
            (Some(hello), Extension::XClient) => !hello.offered.xclient.is_empty(),
            (None, Extension::XClient) if self.replacing => true,
            (None, _) => {
                return self.refused(&Reply::new(503, (5, 5, 1), "greet first")).await;
            }
        };
        if !allowed {
            return self.refused(&Reply::new(550, (5, 7, 0), "not allowed from here")).await;
        }
        if self.options.require_tls && !matches!(self.stream, Stream::Tls(_)) {
            return self.refused(&Reply::new(530, (5, 7, 0), "STARTTLS first")).await;
        }
        if self.transaction.is_some() {
            return self.refused(&Reply::new(503, (5, 5, 1), "not during a transaction")).await;
        }
        let place = match extension {
            Extension::XForward => &mut self.forwarded,
            Extension::XClient => &mut self.replaced,
        };
        let mut told = match (&self.hello, extension) {
            // Another client, who has no part in what was said of the one before.
            (Some(_), Extension::XClient) => Origin::default(),
            _ => place.clone().unwrap_or_default(),
        };
        if let Err(error) = told.apply(extension, arguments) {
            return self.refused(&Reply::new(501, (5, 5, 4), error.to_string())).await;
        }
        *place = Some(told);
        match extension {
            Extension::XForward => self.put(&Reply::new(250, (2, 0, 0), "ok")),
            Extension::XClient => {
                let names = |word: &str| {
                    word.split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case("ADDR"))
                };
                self.addressed &= self.hello.is_none();
                self.addressed |= arguments.split(' ').any(names);
                self.hello = None;
                self.replacing = true;
                self.forwarded = None;
                self.auth_offered = false;
                self.authenticated = false;
                self.put(&self.greeting());
            }
        }
        Ok(None)
    }

    async fn rcpt(
        &mut self,
        path: ForwardPath,
        parameters: RcptParameters,
    ) -> Result<Option<Command>, SessionError> {
        let dsn = self.hello.as_ref().is_some_and(|hello| hello.offered.dsn);
        let Some(transaction) = &mut self.transaction else {
            return self.refused(&Reply::new(503, (5, 5, 1), "MAIL first")).await;
        };
        transaction.attempts += 1;
        if transaction.attempts > self.options.limits.recipients {
            self.put(&Reply::new(452, (4, 5, 3), "too many recipients"));
            return Ok(None);
        }
        if (parameters.notify.is_some() || parameters.orcpt.is_some()) && !dsn {
            return self.declined(&Reply::new(555, (5, 5, 4), "parameter not offered")).await;
        }
        if !path.is_ascii() && !transaction.smtputf8 {
            return self.declined(&Reply::new(553, (5, 6, 7), "address needs SMTPUTF8")).await;
        }
        self.pending = Pending::Rcpt;
        Ok(Some(Command::Rcpt { path, parameters }))
    }

    async fn data_command(&mut self) -> Result<Option<Command>, SessionError> {
        // RFC 2920 section 3.1 forbids sending behind DATA. If DATA were refused, content would
        // be taken for commands.
        if self.has_more_input().await {
            let reply = Reply::new(421, (4, 5, 0), "data sent before the reply to DATA");
            return self.fail(&reply, SessionError::EarlyData).await;
        }
        match &self.transaction {
            None => self.refused(&Reply::new(503, (5, 5, 1), "MAIL first")).await,
            // RFC 2033 section 4.2 requires 503, RFC 2920 section 3.1 permits it.
            Some(transaction) if transaction.accepted == 0 => {
                self.put(&Reply::new(503, (5, 5, 1), "no valid recipients"));
                Ok(None)
            }
            Some(_) => {
                self.pending = Pending::Data;
                Ok(Some(Command::Data))
            }
        }
    }

    /// Answers a command that is well formed but cannot be served.
    pub(super) async fn decline(&mut self, reply: &Reply) -> Result<(), SessionError> {
        self.count_idle().await?;
        self.put(reply);
        Ok(())
    }

    async fn declined(&mut self, reply: &Reply) -> Result<Option<Command>, SessionError> {
        self.decline(reply).await.map(|()| None)
    }

    async fn count_idle(&mut self) -> Result<(), SessionError> {
        self.idle_commands += 1;
        if self.idle_commands > self.options.limits.idle_commands {
            let reply = Reply::new(421, (4, 7, 0), "too many commands without a message");
            return self.fail(&reply, SessionError::TooManyErrors).await;
        }
        Ok(())
    }

    async fn refused(&mut self, reply: &Reply) -> Result<Option<Command>, SessionError> {
        self.refuse(reply).await.map(|()| None)
    }

    /// Answers a bad command and counts it.
    pub(super) async fn refuse(&mut self, reply: &Reply) -> Result<(), SessionError> {
        self.errors += 1;
        if self.errors > self.options.limits.errors {
            let reply = Reply::new(421, (4, 7, 0), "too many errors");
            return self.fail(&reply, SessionError::TooManyErrors).await;
        }
        self.put(reply);
        Ok(())
    }
}
