//! What goes to standard output, and to standard error beside errors: colours, questions and a progress line, on a terminal only.

use std::io::{self, BufRead, IsTerminal, Read, Write, stderr, stdin, stdout};
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::failure::Failure;

/// Input from which a progress line is worth its place, in octets.
const LARGE: u64 = 8 << 20;

/// Most octets read as a password or passphrase, with its line end: more than can be one.
const MAX_SECRET: u64 = 1_100;

/// Whether standard error may be coloured.
fn colours() -> bool {
    stderr().is_terminal() && wanted()
}

/// Whether standard output may be coloured.
pub(super) fn colours_of_output() -> bool {
    stdout().is_terminal() && wanted()
}

/// Whether the reader has nothing against colours (<https://no-color.org>).
fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a text to standard output.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    stdout().write_all(text.as_bytes()).map_err(|error| Failure::writing("standard output", &error))
}

/// Writes a line to standard error; if that is closed there is nobody left to tell.
pub(super) fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// Writes `label` in the given colour and `text` behind it.
fn labelled(label: &str, colour: &str, text: &str) {
    if colours() {
        say(&format!("\x1b[{colour}m{label}\x1b[0m {text}"));
    } else {
        say(&format!("{label} {text}"));
    }
}

pub(super) fn error(text: &str) {
    labelled("mta-seal:", "1;31", text);
}

pub(super) fn warning(text: &str) {
    labelled("mta-seal: warning:", "1;33", text);
}

pub(super) fn hint(text: &str) {
    labelled("hint:", "1;36", text);
}

/// Whether there is somebody to ask.
pub(super) fn can_ask() -> bool {
    stdin().is_terminal()
}

/// Asks, and says whether the answer is yes; anything else, and the end of the input, is no.
pub(super) fn ask(question: &str) -> io::Result<bool> {
    // What was typed before the question was seen is no answer to it.
    tcflush(stdin(), QueueSelector::IFlush)?;
    // If nobody sees the question, the answer is no.
    write!(stderr(), "{question} [y/N] ")?;
    stderr().flush()?;
    is_yes(&mut stdin().lock())
}

/// Whether a line of input is a yes.
pub(super) fn is_yes(input: &mut impl BufRead) -> io::Result<bool> {
    let mut line = String::new();
    io::Read::take(input, 64).read_line(&mut line)?;
    Ok(["y", "yes"].iter().any(|yes| line.trim().eq_ignore_ascii_case(yes)))
}

/// Reads a password or passphrase that is being chosen: twice from the terminal, else a line of standard input.
pub(super) fn new_secret(what: &str) -> Result<Zeroizing<String>, Failure> {
    if !can_ask() {
        return secret_line();
    }
    let first = ask_secret(&format!("{what}: "))?;
    if *first != *ask_secret("once more: ")? {
        return Err(Failure::refused("the two differ"));
    }
    Ok(first)
}

/// Reads a line from the terminal without showing it.
pub(super) fn ask_secret(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: io::Error| Failure::reading("the terminal", &error);
    let before = tcgetattr(stdin()).map_err(|error| failed(error.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    // If nobody sees the prompt, the answer is awaited all the same.
    let _ = write!(stderr(), "{prompt}");
    let _ = stderr().flush();
    tcsetattr(stdin(), OptionalActions::Flush, &silent).map_err(|error| failed(error.into()))?;
    let read = secret_line();
    let restored = tcsetattr(stdin(), OptionalActions::Flush, &before);
    let _ = writeln!(stderr());
    restored.map_err(|error| failed(error.into()))?;
    read
}

/// Reads one line from standard input; its end does not belong to it.
pub(super) fn secret_line() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(2_048));
    let mut input = stdin().lock().take(MAX_SECRET);
    input.read_line(&mut text).map_err(|error| Failure::reading("standard input", &error))?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

/// A line that says how far a stream is, once there is a terminal and much to do.
pub(super) struct Progress {
    verb: &'static str,
    total: Option<u64>,
    done: u64,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// `total` octets are expected, if that is known.
    pub(super) fn new(verb: &'static str, total: Option<u64>) -> Self {
        Self { verb, total, done: 0, shown: None, terminal: stderr().is_terminal() }
    }

    pub(super) fn advance(&mut self, octets: usize) {
        self.done += octets as u64;
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= Duration::from_millis(200));
        if !self.terminal || self.total.unwrap_or(self.done) < LARGE || !due {
            return;
        }
        self.shown = Some(Instant::now());
        let done = self.done >> 20;
        let line = match self.total {
            Some(total) if total > 0 => {
                let percent = (self.done.saturating_mul(100) / total).min(100);
                format!("{} {done} of {} MiB ({percent} %)", self.verb, total >> 20)
            }
            _ => format!("{} {done} MiB", self.verb),
        };
        let _ = write!(stderr(), "\r\x1b[K{line}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (line, yes) in [
            ("y\n", true),
            (" Yes \r\n", true),
            ("YES", true),
            ("\n", false),
            ("", false),
            ("yep\n", false),
        ] {
            assert_eq!(is_yes(&mut line.as_bytes()).unwrap(), yes, "{line:?}");
        }
    }
}
