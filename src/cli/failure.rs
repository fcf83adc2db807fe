//! How a command fails: exit code, text, hint.

use crate::gateway::config::ConfigError;
use crate::store::keyring::{KeyringError, PassphraseError};
use crate::store::permissions::PermissionError;
use crate::store::secret_file::SecretFileError;
use std::fmt::Display;
use std::io;
use std::path::Path;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// Refused or failed: exit code 1.
    Refused(Message),
    /// Wrong usage: exit code 2.
    Usage(Message),
    /// Worth trying again later: exit code 75 (EX_TEMPFAIL of sysexits).
    Temporary(Message),
    /// Whoever read the output has gone: exit code 1, without a word.
    BrokenPipe,
    /// What was looked for is there, and was printed: exit code 1.
    Found,
    /// It stands in the log already: this exit code.
    Logged(u8),
}

/// What is told.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) text: String,
    pub(super) hint: Option<String>,
}

impl Failure {
    pub(super) fn refused(text: impl Display) -> Self {
        Self::Refused(Message { text: text.to_string(), hint: None })
    }

    pub(super) fn usage(text: impl Display) -> Self {
        Self::Usage(Message { text: text.to_string(), hint: None })
    }

    pub(super) fn temporary(text: impl Display) -> Self {
        Self::Temporary(Message { text: text.to_string(), hint: None })
    }

    /// Adds what the reader can do.
    pub(super) fn hint(mut self, hint: impl Display) -> Self {
        if let Self::Refused(message) | Self::Usage(message) | Self::Temporary(message) = &mut self
        {
            message.hint = Some(hint.to_string());
        }
        self
    }

    /// Adds what the reader can do, if something can be done.
    pub(super) fn hint_if(self, hint: Option<impl Display>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    pub(super) fn reading(name: impl Display, error: &io::Error) -> Self {
        Self::refused(format!("cannot read {name}: {}", words(error)))
    }

    pub(super) fn reading_file(path: &Path, error: &io::Error) -> Self {
        Self::reading(path.display(), error)
    }

    pub(super) fn writing(name: impl Display, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::refused(format!("cannot write {name}: {}", words(error))),
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::BrokenPipe | Self::Found => 1,
            Self::Usage(_) => 2,
            Self::Temporary(_) => 75,
            Self::Logged(code) => *code,
        }
    }

    pub(super) fn message(&self) -> Option<&Message> {
        match self {
            Self::Refused(message) | Self::Usage(message) | Self::Temporary(message) => {
                Some(message)
            }
            Self::BrokenPipe | Self::Found | Self::Logged(_) => None,
        }
    }
}

/// The operating system's words in lower case, without its error number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::refused(error.summary()).hint_if(error.hint())
    }
}

impl From<PermissionError> for Failure {
    fn from(error: PermissionError) -> Self {
        let text = match &error {
            PermissionError::Io { path, source } => {
                format!("{}: {}", path.display(), words(source))
            }
            other => other.to_string(),
        };
        Self::refused(text).hint_if(error.hint())
    }
}

impl From<KeyringError> for Failure {
    fn from(error: KeyringError) -> Self {
        let text = match &error {
            KeyringError::Io { path, source }
            | KeyringError::Passphrase(PassphraseError::File(SecretFileError::Io {
                path,
                source,
            })) => {
                format!("{}: {}", path.display(), words(source))
            }
            other => other.to_string(),
        };
        Self::refused(text).hint_if(error.hint())
    }
}

impl From<SecretFileError> for Failure {
    fn from(error: SecretFileError) -> Self {
        match &error {
            SecretFileError::Io { path, source } => Self::reading_file(path, source),
            _ => Self::refused(&error).hint_if(error.hint()),
        }
    }
}
