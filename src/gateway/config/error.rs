//! Errors of a configuration file: where, what, and what would be right.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A mistake in a configuration file.
///
/// Shown as `file:line: what`, followed by the valid values and a `hint:` line where there are
/// any.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    file: PathBuf,
    line: Option<usize>,
    what: String,
    valid: Vec<String>,
    hint: Option<String>,
}

/// What to do about a file of partners that is missing or empty.
pub const RESTORE_PARTNERS: &str =
    "restore it from a backup; if there are to be no partners, write a comment line into it";

/// Something in a configuration file that works but is probably not meant.
pub type ConfigWarning = ConfigError;

impl ConfigError {
    /// The file the mistake is in.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line of the mistake, from 1; none when the file could not be read at all.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// What would help, without the word `hint:`.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// `file:line: what` and the valid values, without the hint.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = self.file.display().to_string();
        if let Some(line) = self.line {
            text.push_str(&format!(":{line}"));
        }
        text.push_str(&format!(": {}", self.what));
        if !self.valid.is_empty() {
            text.push_str(&format!(" (valid: {})", self.valid.join(", ")));
        }
        text
    }

    pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        let hint = (error.kind() == std::io::ErrorKind::NotFound)
            .then(|| "make one with `mta-seal init`, or name one with --config FILE".to_owned());
        Self { hint, ..Self::of(file, format!("cannot read the configuration: {}", reason(error))) }
    }

    pub(super) fn unreadable_partners(file: &Path, error: &std::io::Error) -> Self {
        let hint =
            (error.kind() == std::io::ErrorKind::NotFound).then(|| RESTORE_PARTNERS.to_owned());
        Self { hint, ..Self::of(file, format!("cannot read the partners: {}", reason(error))) }
    }

    /// A file of partners with nothing in it: more likely cut off than meant, and no partners mean that mail may go clear.
    pub(super) fn empty_partners(file: &Path) -> Self {
        let hint = Some(RESTORE_PARTNERS.to_owned());
        Self { hint, ..Self::of(file, "the file is empty".to_owned()) }
    }

    fn of(file: &Path, what: String) -> Self {
        Self { file: file.to_owned(), line: None, what, valid: Vec::new(), hint: None }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The operating system's words without its error number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

/// The text of a configuration file and its name: turns offsets into errors with a line.
pub(super) struct Source<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

/// Counts lines from one offset to the next, so that a file with many entries is counted once.
pub(super) struct Lines<'a> {
    text: &'a [u8],
    offset: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of an offset, from 1.
    pub(super) fn at(&mut self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        if offset < self.offset {
            (self.offset, self.line) = (0, 1);
        }
        let between = self.text.get(self.offset..offset).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', between).count();
        self.offset = offset;
        self.line
    }
}

impl Source<'_> {
    /// A mistake at `span` with a hint.
    pub(super) fn error(
        &self,
        span: Range<usize>,
        what: impl Into<String>,
        hint: &str,
    ) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            line: Some(self.line(span.start)),
            what: what.into(),
            valid: Vec::new(),
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.lines().at(offset)
    }

    /// The lines of many offsets.
    pub(super) fn lines(&self) -> Lines<'_> {
        Lines { text: self.text.as_bytes(), offset: 0, line: 1 }
    }

    /// Rewords what the TOML reader reports.
    pub(super) fn toml(&self, error: &toml::de::Error) -> ConfigError {
        let mut start = error.span().map_or(0, |span| span.start);
        // The parser points past the end of the line for what is missing on it.
        if error.span().is_some_and(|span| span.is_empty())
            && self.text.as_bytes().get(..start).is_some_and(|t| t.ends_with(b"\n"))
        {
            start = start.saturating_sub(1);
        }
        let message = error.message().trim().to_owned();
        let (message, own_hint) = match message.split_once(HINT) {
            Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
            None => (message, None),
        };
        let (what, valid, hint) = reword(&message);
        ConfigError {
            file: self.file.to_owned(),
            line: Some(self.line(start)),
            what,
            valid,
            hint: own_hint.or(hint),
        }
    }
}

/// Separates message and hint inside the one string that serde lets through.
const HINT: &str = "\u{1f}hint:";

/// An error text for serde that carries a hint.
pub(super) fn with_hint(what: impl fmt::Display, hint: &str) -> String {
    format!("{what}{HINT}{hint}")
}

/// Serde's wording into ours: text, valid values, hint.
fn reword(message: &str) -> (String, Vec<String>, Option<String>) {
    for (theirs, ours) in
        [("unknown field ", "unknown key "), ("unknown variant ", "unknown value ")]
    {
        let Some(rest) = message.strip_prefix(theirs) else { continue };
        let mut quoted = rest.split('`').skip(1).step_by(2).map(str::to_owned);
        let given = quoted.next().unwrap_or_default();
        let valid: Vec<String> = quoted.collect();
        let hint = nearest(&given, &valid).map(|best| format!("did you mean `{best}`?"));
        return (format!("{ours}`{given}`"), valid, hint);
    }
    let hint = |text: &str| Some(text.to_owned());
    if let Some(rest) = message.strip_prefix("missing field ") {
        let hint = hint("add it to the table that begins here");
        return (format!("missing key {rest}"), Vec::new(), hint);
    }
    if message.starts_with("invalid type: ")
        && let Some((what, expected)) = message.split_once(", expected ")
    {
        return (what.to_owned(), Vec::new(), hint(&format!("write {expected}")));
    }
    let line: Vec<&str> = message.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let hint = match message {
        "duplicate key" => hint("keep it once in its table"),
        _ => hint("strings stand in quotes, lists in [ ], and a table begins with [name]"),
    };
    (line.join(", "), Vec::new(), hint)
}

/// The candidate with the fewest edits, if it is near enough to be a slip.
pub(super) fn nearest<'a>(given: &str, candidates: &'a [String]) -> Option<&'a str> {
    let limit = 1 + given.chars().count() / 3;
    candidates
        .iter()
        .map(|candidate| (edits(given, candidate), candidate.as_str()))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance; `-` and `_` count as the same.
fn edits(a: &str, b: &str) -> usize {
    let fold = |text: &str| text.to_ascii_lowercase().replace('-', "_").chars().collect::<Vec<_>>();
    let (a, b) = (fold(a), fold(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX);
            let cell = (diagonal + usize::from(x != y)).min(left + 1).min(above.saturating_add(1));
            diagonal = above;
            if let Some(slot) = row.get_mut(j) {
                *slot = left;
            }
            left = cell;
        }
        if let Some(slot) = row.last_mut() {
            *slot = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_levenshteins() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("next-hop", "next_hop"), 0);
    }

    #[test]
    fn far_names_are_not_suggested() {
        let names = ["listen".to_owned(), "clients".to_owned()];
        assert_eq!(nearest("lisen", &names), Some("listen"));
        assert_eq!(nearest("zzzzzz", &names), None);
    }
}
