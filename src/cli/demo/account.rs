//! What the demo tells, on standard output, and the count of what held.

use std::io::{self, IsTerminal, Write, stdout};
use std::time::Duration;

/// Columns of the account.
const WIDTH: usize = 80;

/// Column at which the outcome of an attack begins.
const OUTCOME: usize = 32;

/// Tells what happens and counts what held.
pub(super) struct Account {
    colours: bool,
    held: usize,
    failed: usize,
    /// Why nothing can be told any more.
    broken: Option<io::Error>,
}

/// What is left to say at the end.
pub(super) struct Sum {
    pub(super) held: usize,
    pub(super) failed: usize,
    pub(super) broken: Option<io::Error>,
}

impl Account {
    pub(super) fn new() -> Self {
        // <https://no-color.org>
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colours = wanted && stdout().is_terminal();
        Self { colours, held: 0, failed: 0, broken: None }
    }

    pub(super) fn sum(self) -> Sum {
        Sum { held: self.held, failed: self.failed, broken: self.broken }
    }

    /// Words in a colour or weight (SGR), if the terminal has them.
    fn painted(&self, sgr: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn tell(&mut self, line: &str) {
        if self.broken.is_none()
            && let Err(error) = writeln!(stdout(), "{line}")
        {
            self.broken = Some(error);
        }
    }

    pub(super) fn title(&mut self, text: &str) {
        let line = self.painted("1", text);
        self.tell(&line);
        self.gap();
    }

    pub(super) fn gap(&mut self) {
        self.tell("");
    }

    /// A heading; how long it took stands at the end of the line.
    pub(super) fn heading(&mut self, text: &str, took: Option<Duration>) {
        self.gap();
        let time = took.map(milliseconds).unwrap_or_default();
        let room = WIDTH.saturating_sub(text.chars().count() + time.len());
        let line = self.painted("1;36", text) + &" ".repeat(room) + &self.painted("2", &time);
        self.tell(line.trim_end());
    }

    pub(super) fn line(&mut self, text: &str) {
        self.tell(&format!("  {text}"));
    }

    /// A remark beside the matter.
    pub(super) fn remark(&mut self, text: &str) {
        let line = self.painted("2", text);
        self.tell(&format!("    {line}"));
    }

    /// A line of a message, with whatever would disturb the terminal made visible, cut to the width.
    pub(super) fn quote(&mut self, text: &str) {
        let bar = self.painted("36", "│");
        let line = format!("  {bar} {}", shown(text, WIDTH - 4));
        self.tell(line.trim_end());
    }

    /// Something that must hold; returns whether it does.
    pub(super) fn expect(&mut self, holds: bool, text: &str) -> bool {
        if holds {
            self.held += 1;
            let mark = self.painted("32", "✓");
            self.tell(&format!("  {mark} {text}"));
        } else {
            self.failed += 1;
            let mark = self.painted("1;31", "✗ DOES NOT HOLD:");
            self.tell(&format!("  {mark} {text}"));
        }
        holds
    }

    /// More about the attack above.
    pub(super) fn attack_detail(&mut self, text: &str) {
        for line in wrapped(text, WIDTH - OUTCOME) {
            let line = self.painted("2", &line);
            self.tell(&format!("{}{line}", " ".repeat(OUTCOME)));
        }
    }

    /// The last line.
    pub(super) fn close(&mut self, took: Duration) {
        self.gap();
        let (held, all) = (self.held, self.held + self.failed);
        let seconds = took.as_secs_f64();
        let line = match self.failed {
            0 => self.painted("1;32", &format!("All {all} expectations held")),
            failed => self
                .painted("1;31", &format!("{held} of {all} expectations held, {failed} did not")),
        };
        self.tell(&format!("{line} ({seconds:.1} s)."));
    }

    /// An attack that must fail, and how it was answered; returns whether it fails.
    pub(super) fn attack(&mut self, fails: bool, what: &str, outcome: &str) -> bool {
        let room = OUTCOME.saturating_sub(what.chars().count() + 4).max(1);
        let mut lines = wrapped(outcome, WIDTH - OUTCOME).into_iter();
        let first = self.painted("33", &lines.next().unwrap_or_default());
        self.expect(fails, &format!("{what}{}{first}", " ".repeat(room)));
        for line in lines {
            let line = self.painted("33", &line);
            self.tell(&format!("{}{line}", " ".repeat(OUTCOME)));
        }
        fails
    }
}

/// Printable lines of at most `width` characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            *line = shown(word, width);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(&shown(word, width));
        } else {
            lines.push(shown(word, width));
        }
    }
    lines
}

/// Printable and at most `width` characters long.
pub(super) fn shown(text: &str, width: usize) -> String {
    let visible = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() || is_directional(c) => '·',
        c => c,
    };
    let mut line: String = text.chars().map(visible).collect();
    if line.chars().count() > width {
        line = line.chars().take(width.saturating_sub(1)).collect();
        line.push('…');
    }
    line
}

/// Characters that turn the writing direction, and could turn it beyond their own line.
fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn milliseconds(took: Duration) -> String {
    format!("{:.0} ms", took.as_secs_f64() * 1000.0)
}

/// A number with its thousands apart.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_moves_the_terminal() {
        assert_eq!(shown("a\x1b[2Jb\u{202e}c", 80), "a·[2Jb·c");
        assert_eq!(shown("Grüße aus Köln", 6), "Grüße…");
    }

    #[test]
    fn long_replies_go_on_below() {
        let text = "550 5.7.1 recipient is not among the sealed recipients";
        let lines = wrapped(text, 30);
        assert_eq!(lines, ["550 5.7.1 recipient is not", "among the sealed recipients"]);
    }

    #[test]
    fn what_does_not_hold_is_counted() {
        let mut account = Account::new();
        account.expect(true, "this holds");
        account.expect(false, "this does not");
        account.attack(false, "nor does", "this");
        let sum = account.sum();
        assert_eq!((sum.held, sum.failed), (1, 2));
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(12_345_678), "12,345,678");
    }
}
