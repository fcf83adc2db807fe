//! Authentication of clients (RFC 4954): the mechanisms PLAIN (RFC 4616) and LOGIN, under TLS only.
//!
//! Whether name and password are right is the gateway's to say; the session does the exchange.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::{Command, Pending, ServerConnection, SessionError};
use crate::smtp::Reply;
use crate::smtp::line::LineError;
use crate::smtp::stream::Stream;

/// The mechanisms that a listener may offer.
pub const MECHANISMS: [&str; 2] = ["PLAIN", "LOGIN"];

/// Longest name and longest password, in octets of UTF-8.
const MAX_FIELD: usize = 255;

/// Base64 of `Username:` and `Password:`, the prompts of LOGIN that clients expect word for word.
const LOGIN_NAME: &str = "VXNlcm5hbWU6";
const LOGIN_PASSWORD: &str = "UGFzc3dvcmQ6";

/// What a client proves itself with; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    name: String,
    password: Zeroizing<String>,
}

impl Credentials {
    /// The client's name: 1 to 255 octets of UTF-8 without control characters.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The password: 1 to 255 octets of UTF-8.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    fn new(name: &str, password: &str) -> Option<Self> {
        let fits = |text: &str| !text.is_empty() && text.len() <= MAX_FIELD;
        let plain = !name.chars().any(char::is_control);
        (fits(name) && fits(password) && plain)
            .then(|| Self { name: name.to_owned(), password: Zeroizing::new(password.to_owned()) })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials(redacted)")
    }
}

/// An exchange that waits for the client's next line.
pub(super) enum Exchange {
    Plain,
    LoginName,
    LoginPassword(String),
}

/// Where an exchange stands after a response.
enum Step {
    Challenge(Exchange, &'static str),
    Done(Credentials),
}

impl Exchange {
    fn begin(mechanism: &str) -> Option<Self> {
        match mechanism {
            "PLAIN" => Some(Self::Plain),
            "LOGIN" => Some(Self::LoginName),
            _ => None,
        }
    }

    fn challenge(self) -> Step {
        let text = match self {
            Self::Plain => "",
            Self::LoginName => LOGIN_NAME,
            Self::LoginPassword(_) => LOGIN_PASSWORD,
        };
        Step::Challenge(self, text)
    }

    /// Takes a response in base64; `None`: it is malformed.
    fn step(self, response: &[u8]) -> Option<Step> {
        let octets = Zeroizing::new(BASE64_STANDARD.decode(response).ok()?);
        let text = std::str::from_utf8(&octets).ok()?;
        match self {
            Self::Plain => {
                // RFC 4616 section 2: authorization identity, name, password.
                let mut fields = text.split('\0');
                let (authorization, name, password) =
                    (fields.next()?, fields.next()?, fields.next()?);
                // Nobody may act for another here.
                let own = authorization.is_empty() || authorization == name;
                let credentials = Credentials::new(name, password)?;
                (own && fields.next().is_none()).then_some(Step::Done(credentials))
            }
            Self::LoginName => Some(Self::LoginPassword(text.to_owned()).challenge()),
            Self::LoginPassword(name) => Credentials::new(&name, text).map(Step::Done),
        }
    }
}

impl ServerConnection {
    /// AUTH: the exchange begins, or is refused.
    pub(super) async fn auth(
        &mut self,
        mechanism: &str,
        initial: Option<&[u8]>,
    ) -> Result<Option<Command>, SessionError> {
        let refusal = if self.hello.is_none() {
            Reply::new(503, (5, 5, 1), "greet first")
        } else if !self.auth_offered {
            Reply::new(502, (5, 5, 1), "command not implemented")
        } else if self.authenticated {
            Reply::new(503, (5, 5, 1), "already authenticated")
        } else if self.transaction.is_some() {
            Reply::new(503, (5, 5, 1), "not during a transaction")
        } else if !matches!(self.stream, Stream::Tls(_)) {
            Reply::new(538, (5, 7, 11), "encryption required for authentication")
        } else {
            match (Exchange::begin(mechanism), initial) {
                (None, _) => Reply::new(504, (5, 5, 4), "mechanism not offered"),
                (Some(exchange), None) => return self.exchanged(Some(exchange.challenge())).await,
                (Some(exchange), Some(response)) => {
                    // RFC 4954 section 4: `=` stands for an empty response.
                    let response = if response == b"=" { b"" } else { response };
                    return self.exchanged(exchange.step(response)).await;
                }
            }
        };
        self.refuse(&refusal).await.map(|()| None)
    }

    /// A line of the client in an exchange.
    pub(super) async fn auth_response(
        &mut self,
        exchange: Exchange,
        line: Result<bytes::Bytes, LineError>,
    ) -> Result<Option<Command>, SessionError> {
        match line {
            Ok(line) if *line == *b"*" => {
                let reply = Reply::new(501, (5, 7, 0), "authentication cancelled");
                self.refuse(&reply).await.map(|()| None)
            }
            Ok(line) => self.exchanged(exchange.step(&line)).await,
            Err(LineError::TooLong) => {
                // RFC 4954 section 4.
                let reply = Reply::new(500, (5, 5, 6), "authentication line too long");
                self.refuse(&reply).await.map(|()| None)
            }
            Err(_) => self.exchanged(None).await,
        }
    }

    async fn exchanged(&mut self, step: Option<Step>) -> Result<Option<Command>, SessionError> {
        match step {
            None => {
                let reply = Reply::new(501, (5, 5, 2), "malformed response");
                self.refuse(&reply).await.map(|()| None)
            }
            Some(Step::Challenge(exchange, text)) => {
                self.exchange = Some(exchange);
                self.put(&Reply::plain(334, text));
                Ok(None)
            }
            Some(Step::Done(credentials)) => {
                self.pending = Pending::Auth;
                Ok(Some(Command::Auth(credentials)))
            }
        }
    }

    /// Answers AUTH with 235.
    pub async fn accept_auth(&mut self) -> Result<(), SessionError> {
        if self.pending != Pending::Auth {
            return Err(SessionError::OutOfOrder);
        }
        self.pending = Pending::Nothing;
        self.authenticated = true;
        self.put(&Reply::new(235, (2, 7, 0), "authenticated"));
        self.flush_if_waiting().await
    }

    /// Counts a login that failed; too many of them end the connection.
    pub(super) async fn auth_failed(&mut self, reply: &Reply) -> Result<(), SessionError> {
        self.pending = Pending::Nothing;
        if reply.is_permanent() {
            self.auth_failures += 1;
        }
        if self.auth_failures > self.options.limits.auth_failures {
            let reply = Reply::new(421, (4, 7, 0), "too many failed logins");
            return self.fail(&reply, SessionError::TooManyErrors).await;
        }
        self.put(reply);
        self.flush_if_waiting().await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn plain(octets: &str) -> Option<(String, String)> {
        match Exchange::Plain.step(BASE64_STANDARD.encode(octets).as_bytes())? {
            Step::Done(done) => Some((done.name().to_owned(), done.password().to_owned())),
            Step::Challenge(..) => panic!("a challenge"),
        }
    }

    #[test]
    fn plain_has_three_fields() {
        let right = Some(("mx".to_owned(), "s e c".to_owned()));
        assert_eq!(plain("\0mx\0s e c"), right);
        assert_eq!(plain("mx\0mx\0s e c"), right);
        let long = "x".repeat(256);
        for bad in [
            "",
            "\0",
            "\0mx",
            "\0mx\0",
            "\0\0pw",
            "mx\0pw",
            "other\0mx\0pw",
            "\0mx\0pw\0",
            "\0m\nx\0pw",
            &format!("\0{long}\0pw"),
            &format!("\0mx\0{long}"),
        ] {
            assert_eq!(plain(bad), None, "{bad:?}");
        }
        assert!(
            Exchange::Plain.step(&BASE64_STANDARD.encode(b"\0mx\0\xff").into_bytes()).is_none()
        );
    }

    #[test]
    fn base64_is_strict() {
        for bad in ["AG14AHB3=", "AG14 AHB3", "AG14AHB", "AG14AHB3\r\n", "AG14-HB3", "*"] {
            assert!(Exchange::Plain.step(bad.as_bytes()).is_none(), "{bad:?}");
        }
        assert!(Exchange::Plain.step(b"AG14AHB3").is_some());
    }

    #[test]
    fn nothing_of_credentials_is_shown() {
        let credentials = Credentials::new("mx", "hunter2").unwrap();
        let shown = format!("{:?}", Command::Auth(credentials));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
