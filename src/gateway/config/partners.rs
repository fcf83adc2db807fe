//! Changing the text of the file of partners: comments and the order of other entries stay.

use std::fmt;

use toml_edit::{ArrayOfTables, DocumentMut, Item, RawString, Table, value};

use super::ClearMail;
use crate::core::{Domain, KeyId};
use crate::policy::{Level, Rule};

/// What a new file begins with.
const HEADER: &str = "# Partners made by `mta-seal partner`, beside any [[partner]] of the configuration itself. It may be edited by hand.\n";

/// The key of the tables.
const PARTNER: &str = "partner";

/// Why a text cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("{0}")]
    Syntax(String),
    /// Partners are written as a list in one value, not as tables.
    #[error("`partner` is not written as [[partner]] tables")]
    NotTables,
    /// It has no entry for the domain.
    #[error("no entry for {0}")]
    NoEntry(Domain),
}

/// An entry to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartner {
    /// The domain.
    pub domain: Domain,
    /// Whether mail to it is sealed.
    pub policy: Rule,
    /// The lowest authenticity that counts, if not the default.
    pub minimum_level: Option<Level>,
    /// What happens to clear mail from it, if not the default.
    pub inbound: Option<ClearMail>,
    /// Fingerprint of its identity key, compared out of band.
    pub identity: Option<KeyId>,
}

/// The text of a file of partners while it is changed.
#[derive(Debug, Clone)]
pub struct PartnersText(DocumentMut);

impl PartnersText {
    /// The text of a new file.
    #[must_use]
    pub fn new_file() -> &'static str {
        HEADER
    }

    /// Reads a text that is to be changed.
    ///
    /// # Errors
    ///
    /// It is no TOML, or has its partners in another form than tables.
    pub fn parse(text: &str) -> Result<Self, EditError> {
        let document: DocumentMut = text
            .parse()
            .map_err(|error: toml_edit::TomlError| EditError::Syntax(error.to_string()))?;
        match document.get(PARTNER) {
            None | Some(Item::ArrayOfTables(_)) => Ok(Self(document)),
            Some(_) => Err(EditError::NotTables),
        }
    }

    /// Adds an entry at the end.
    pub fn add(&mut self, partner: &NewPartner) {
        let mut table = Table::new();
        table["domain"] = value(partner.domain.as_str());
        table["policy"] = value(partner.policy.as_str());
        if let Some(level) = partner.minimum_level {
            table["minimum_level"] = value(level.as_str());
        }
        if let Some(inbound) = partner.inbound {
            table["inbound"] = value(inbound.as_str());
        }
        if let Some(identity) = partner.identity {
            table["identity"] = value(identity.to_string());
        }
        // What stands behind the last entry would else stand behind this one.
        let mut before = raw(Some(self.0.trailing()));
        if !before.is_empty() && !before.ends_with('\n') {
            before.push('\n');
        }
        let first = self.tables().is_none_or(ArrayOfTables::is_empty);
        if !(before.ends_with("\n\n") || before.is_empty() && first) {
            before.push('\n');
        }
        table.decor_mut().set_prefix(before);
        self.0.set_trailing("");
        let item = self.0.entry(PARTNER).or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        if let Some(tables) = item.as_array_of_tables_mut() {
            tables.push(table);
        }
    }

    /// Sets the fingerprint of an entry.
    ///
    /// # Errors
    ///
    /// There is no such entry.
    pub fn pin(&mut self, domain: &Domain, identity: KeyId) -> Result<(), EditError> {
        let at = self.position(domain)?;
        let table = self.0.get_mut(PARTNER).and_then(Item::as_array_of_tables_mut);
        let table = table.and_then(|tables| tables.get_mut(at));
        let table = table.ok_or_else(|| EditError::NoEntry(domain.clone()))?;
        match table.get_mut("identity").and_then(Item::as_value_mut) {
            // With what stands around it, such as a comment.
            Some(old) => {
                let decor = old.decor().clone();
                *old = identity.to_string().into();
                *old.decor_mut() = decor;
            }
            None => table["identity"] = value(identity.to_string()),
        }
        Ok(())
    }

    /// Removes an entry, with the comment right above it.
    ///
    /// # Errors
    ///
    /// There is no such entry.
    pub fn remove(&mut self, domain: &Domain) -> Result<(), EditError> {
        let at = self.position(domain)?;
        let no_entry = || EditError::NoEntry(domain.clone());
        let tables = self.0.get_mut(PARTNER).and_then(Item::as_array_of_tables_mut);
        let tables = tables.ok_or_else(no_entry)?;
        let above = raw(tables.get(at).ok_or_else(no_entry)?.decor().prefix());
        // What an empty line parts from the entry belongs to the file.
        let kept = above.rfind("\n\n").and_then(|end| above.get(..=end)).unwrap_or_default();
        let kept = kept.to_owned();
        tables.remove(at);
        if let Some(next) = tables.get_mut(at) {
            let prefix = raw(next.decor().prefix());
            next.decor_mut().set_prefix(format!("{kept}{prefix}"));
        } else {
            let trailing = raw(Some(self.0.trailing()));
            self.0.set_trailing(format!("{kept}{trailing}"));
        }
        Ok(())
    }

    fn tables(&self) -> Option<&ArrayOfTables> {
        self.0.get(PARTNER).and_then(Item::as_array_of_tables)
    }

    fn position(&self, domain: &Domain) -> Result<usize, EditError> {
        let is_it = |table: &Table| {
            let name = table.get("domain").and_then(Item::as_str);
            name.and_then(|name| Domain::parse(name).ok()).as_ref() == Some(domain)
        };
        let found = self.tables().and_then(|tables| tables.iter().position(is_it));
        found.ok_or_else(|| EditError::NoEntry(domain.clone()))
    }
}

impl fmt::Display for PartnersText {
    /// The text as it is to be written: never empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        f.write_str(if text.trim().is_empty() { HEADER } else { &text })
    }
}

/// White space and comments around a table.
fn raw(text: Option<&RawString>) -> String {
    text.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    fn partner(name: &str) -> NewPartner {
        NewPartner {
            domain: domain(name),
            policy: Rule::Require,
            minimum_level: None,
            inbound: None,
            identity: None,
        }
    }

    fn edited(text: &str, edit: impl FnOnce(&mut PartnersText)) -> String {
        let mut text = PartnersText::parse(text).unwrap();
        edit(&mut text);
        text.to_string()
    }

    const BY_HAND: &str = "# Ours.\n\n# Of the lawyers.\n[[partner]]\ndomain = \"A.example\" # A\npolicy = 'require'\n\n\
        # Ask Bob.\n[[partner]]\nidentity = 'x' # compared 2026-11-01\ndomain = \"b.example\"\n# the end\n";

    #[test]
    fn entries_are_added_behind_everything() {
        let full = NewPartner {
            minimum_level: Some(Level::Dnssec),
            inbound: Some(ClearMail::RequireSealed),
            identity: Some(KeyId::from_bytes([7; 32])),
            ..partner("c.example")
        };
        let first = edited(HEADER, |text| text.add(&full));
        let pin = "07".repeat(32);
        let entry = format!(
            "\n[[partner]]\ndomain = \"c.example\"\npolicy = \"require\"\nminimum_level = \"dnssec\"\n\
             inbound = \"require-sealed\"\nidentity = \"{pin}\"\n"
        );
        assert_eq!(first, format!("{HEADER}{entry}"));
        let second = edited(&first, |text| text.add(&partner("d.example")));
        let simple = "\n[[partner]]\ndomain = \"d.example\"\npolicy = \"require\"\n";
        assert_eq!(second, format!("{first}{simple}"));
        assert_eq!(
            edited(BY_HAND, |text| text.add(&partner("d.example"))),
            format!("{BY_HAND}{simple}")
        );
        let unended = BY_HAND.trim_end();
        let added = edited(unended, |text| text.add(&partner("d.example")));
        assert_eq!(added, format!("{BY_HAND}{simple}"));
    }

    #[test]
    fn a_removed_entry_takes_its_own_comment_with_it() {
        let without_a = edited(BY_HAND, |text| text.remove(&domain("a.example")).unwrap());
        assert_eq!(
            without_a,
            "# Ours.\n\n# Ask Bob.\n[[partner]]\nidentity = 'x' # compared 2026-11-01\ndomain = \"b.example\"\n# the end\n"
        );
        let without_b = edited(BY_HAND, |text| text.remove(&domain("b.example")).unwrap());
        assert_eq!(
            without_b,
            "# Ours.\n\n# Of the lawyers.\n[[partner]]\ndomain = \"A.example\" # A\npolicy = 'require'\n# the end\n"
        );
        let only = edited("[[partner]]\ndomain = \"a.example\"\n", |text| {
            text.remove(&domain("a.example")).unwrap();
        });
        assert_eq!(only, HEADER);
    }

    #[test]
    fn a_pin_is_set_where_it_stands() {
        let id = KeyId::from_bytes([1; 32]);
        let pinned = edited(BY_HAND, |text| text.pin(&domain("b.example"), id).unwrap());
        let expected = BY_HAND.replace("'x'", &format!("\"{id}\""));
        assert_eq!(pinned, expected);
        let pinned = edited(BY_HAND, |text| text.pin(&domain("a.example"), id).unwrap());
        assert!(pinned.contains(&format!("policy = 'require'\nidentity = \"{id}\"\n")), "{pinned}");
    }

    #[test]
    fn what_cannot_be_changed_is_refused() {
        let mut text = PartnersText::parse(BY_HAND).unwrap();
        let none = domain("z.example");
        assert_eq!(text.remove(&none), Err(EditError::NoEntry(none.clone())));
        assert_eq!(text.pin(&none, KeyId::from_bytes([0; 32])), Err(EditError::NoEntry(none)));
        let inline = PartnersText::parse("partner = [{ domain = 'a.example' }]\n").unwrap_err();
        assert_eq!(inline, EditError::NotTables);
        assert!(matches!(PartnersText::parse("[["), Err(EditError::Syntax(_))));
    }
}
