//! Authentication to a next hop: AUTH PLAIN and LOGIN (RFC 4954, RFC 4616).

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::{Client, ClientError, Step, within};
use crate::smtp::{Reply, Severity};

/// Longest AUTH command in octets with its CRLF; a longer initial response waits for the server's challenge (RFC 4954
/// section 4).
const MAX_COMMAND: usize = 512;

/// Longest user name or password in octets (RFC 4616 section 2 has servers take at least 255).
pub const MAX_SECRET: usize = 1024;

/// A password. It is wiped from memory when it is dropped, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// Why a user name or password cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// There is nothing.
    #[error("empty {0}")]
    Empty(&'static str),
    /// More than [`MAX_SECRET`] octets.
    #[error("{0} longer than {MAX_SECRET} octets")]
    TooLong(&'static str),
    /// A control character, as of a second line.
    #[error("control character in the {0}")]
    Control(&'static str),
}

/// Who the gateway is to a next hop that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: Password,
    /// They may be sent without TLS, since the connection does not leave this machine.
    without_tls: bool,
}

impl Credentials {
    /// A user name and a password; they are sent under TLS only.
    ///
    /// # Errors
    ///
    /// One of them is empty, too long, or has control characters (RFC 4616 section 2 has no NUL, RFC 4013 section 2.3 no
    /// other ones).
    pub fn new(
        user: impl Into<String>,
        password: Zeroizing<String>,
    ) -> Result<Self, CredentialsError> {
        let user = user.into();
        for (text, what) in [(&user, "user name"), (&*password, "password")] {
            if text.is_empty() {
                return Err(CredentialsError::Empty(what));
            }
            if text.len() > MAX_SECRET {
                return Err(CredentialsError::TooLong(what));
            }
            if text.chars().any(char::is_control) {
                return Err(CredentialsError::Control(what));
            }
        }
        Ok(Self { user, password: Password(password), without_tls: false })
    }

    /// Lets them be sent without TLS: for connections that do not leave this machine.
    #[must_use]
    pub fn on_this_machine(self) -> Self {
        Self { without_tls: true, ..self }
    }

    /// The user name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// RFC 4616 section 2: no other identity, user name, password.
    fn plain(&self) -> Zeroizing<String> {
        let Self { user, password, .. } = self;
        let mut message = Zeroizing::new(String::with_capacity(2 + user.len() + password.0.len()));
        for part in ["\0", user, "\0", &password.0] {
            message.push_str(part);
        }
        Zeroizing::new(BASE64_STANDARD.encode(message.as_bytes()))
    }
}

impl Client {
    /// Whether these credentials may be sent over this connection, in a way that the server knows.
    pub(super) fn may_log_in(&self, credentials: &Credentials) -> Result<(), ClientError> {
        // RFC 4954 section 4: neither mechanism hides the password.
        if self.stream.tls().is_none() && !credentials.without_tls {
            return Err(ClientError::NoTls(None));
        }
        if !self.offers("PLAIN") && !self.offers("LOGIN") {
            return Err(ClientError::NoMechanism { offered: self.capabilities.clone().into() });
        }
        Ok(())
    }

    fn offers(&self, mechanism: &str) -> bool {
        self.capabilities.auth.iter().any(|offered| offered == mechanism)
    }

    /// Authenticates by PLAIN, or by LOGIN if that is all there is, before the deadline.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoTls`], [`ClientError::NoMechanism`] and a time-out of [`Step::SetUp`] if nothing was sent. After every
    /// error the connection is closed.
    pub async fn authenticate(
        &mut self,
        credentials: &Credentials,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        if let Err(error) = self.may_log_in(credentials) {
            return self.broken(error);
        }
        if deadline <= Instant::now() {
            return self.broken(ClientError::Timeout(Step::SetUp));
        }
        match timeout_at(deadline, self.log_in(credentials)).await {
            Ok(result) => result,
            Err(_) => self.broken(ClientError::Timeout(Step::Auth)),
        }
    }

    async fn log_in(&mut self, credentials: &Credentials) -> Result<(), ClientError> {
        let reply = if self.offers("PLAIN") {
            self.auth_plain(credentials).await?
        } else {
            self.auth_login(credentials).await?
        };
        match reply.code() {
            235 => Ok(()),
            421 => self.broken(ClientError::Refused { step: Step::Auth, reply }),
            _ => self.broken(ClientError::Auth(reply)),
        }
    }

    async fn auth_plain(&mut self, credentials: &Credentials) -> Result<Reply, ClientError> {
        const VERB: &str = "AUTH PLAIN ";
        let response = credentials.plain();
        if VERB.len() + response.len() + "\r\n".len() <= MAX_COMMAND {
            let mut line = Zeroizing::new(String::with_capacity(VERB.len() + response.len()));
            line.push_str(VERB);
            line.push_str(&response);
            return self.secret(&line).await;
        }
        let reply = self.command(VERB.trim_end(), Step::Auth, self.timeouts.auth).await?;
        if reply.code() != 334 {
            return Ok(reply);
        }
        self.secret(&response).await
    }

    async fn auth_login(&mut self, credentials: &Credentials) -> Result<Reply, ClientError> {
        let mut reply = self.command("AUTH LOGIN", Step::Auth, self.timeouts.auth).await?;
        // First the one, then the other: what the prompts say is not standardised.
        for text in [&credentials.user, &*credentials.password.0] {
            if reply.code() != 334 {
                return Ok(reply);
            }
            let line = Zeroizing::new(BASE64_STANDARD.encode(text));
            reply = self.secret(&line).await?;
        }
        Ok(reply)
    }

    /// Sends a line past the output buffer, which is not wiped, and waits for the reply.
    async fn secret(&mut self, line: &str) -> Result<Reply, ClientError> {
        if !self.input.is_empty() || !self.replies.is_idle() {
            return self.broken(ClientError::Unsolicited(Step::Auth));
        }
        let mut octets = Zeroizing::new(Vec::with_capacity(line.len() + 2));
        octets.extend_from_slice(line.as_bytes());
        octets.extend_from_slice(b"\r\n");
        let resume = std::mem::replace(&mut self.state, super::State::Closed);
        let limit = self.timeouts.write;
        let sent = async {
            within(limit, Step::Auth, self.stream.write_all(&octets)).await?;
            within(limit, Step::Auth, self.stream.flush()).await
        };
        if let Err(error) = sent.await {
            return self.broken(error);
        }
        self.state = resume;
        let reply = self.read_reply(Step::Auth, self.timeouts.auth).await?;
        // RFC 4954 section 4: the server may only ask for what the mechanism has left to say.
        if reply.severity() == Severity::Positive && reply.code() != 235 {
            return self.broken(ClientError::Unsolicited(Step::Auth));
        }
        Ok(reply)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Result<Credentials, CredentialsError> {
        Credentials::new(user, Zeroizing::new(password.to_owned()))
    }

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?}", credentials("tim", "tanstaaftanstaaf").unwrap());
        assert!(printed.contains("tim") && !printed.contains("tanstaaf"), "{printed}");
    }

    #[test]
    fn the_message_of_plain() {
        // RFC 4616 section 4.
        let plain = credentials("tim", "tanstaaftanstaaf").unwrap().plain();
        let message = BASE64_STANDARD.decode(plain.as_bytes()).unwrap();
        assert_eq!(message, b"\0tim\0tanstaaftanstaaf");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let long = "x".repeat(MAX_SECRET + 1);
        for (user, password, error) in [
            ("", "x", CredentialsError::Empty("user name")),
            ("x", "", CredentialsError::Empty("password")),
            (&long, "x", CredentialsError::TooLong("user name")),
            ("x", &long, CredentialsError::TooLong("password")),
            ("a\0b", "x", CredentialsError::Control("user name")),
            ("x", "one\ntwo", CredentialsError::Control("password")),
        ] {
            assert_eq!(credentials(user, password), Err(error));
        }
    }
}
