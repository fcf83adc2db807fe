//! The tag list grammar that both records share (draft section "Policy record", ABNF).

use super::RecordError;

/// Longest name of a tag in octets.
const MAX_NAME: usize = 8;

/// One `name=value` of a record, as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    /// The name, compared case-sensitively [R-rec-02].
    pub name: &'a str,
    /// The value without the white space around it; may be empty.
    pub value: &'a str,
    /// Offset of the first octet of the name in the record's text.
    pub start: usize,
}

/// The tags of a record in order, the version tag excluded; no name occurs twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagList<'a> {
    tags: Vec<Tag<'a>>,
}

impl<'a> TagList<'a> {
    /// Splits the text of a record that begins with `version`, such as `v=MTASEAL1`.
    ///
    /// `limit` is the greatest length of the text in octets.
    pub fn parse(text: &'a [u8], version: &str, limit: usize) -> Result<Self, RecordError> {
        if text.len() > limit {
            return Err(RecordError::TooLong { length: text.len(), limit });
        }
        if !begins_with_version(text, version) {
            return Err(RecordError::Version);
        }
        if let Some(offset) = text.iter().position(|&b| !matches!(b, b'\t' | 0x20..=0x7e)) {
            return Err(RecordError::Octet { offset });
        }
        let text = std::str::from_utf8(text).map_err(|_| RecordError::Octet { offset: 0 })?;

        let mut tags: Vec<Tag<'a>> = Vec::new();
        let mut offset = version.len();
        // White space may follow the version, but nothing else may before the first ";".
        let (gap, mut rest) = match text[offset..].split_once(';') {
            Some((gap, rest)) => (gap, Some(rest)),
            None => (&text[offset..], None),
        };
        if !trim(gap).is_empty() {
            return Err(RecordError::Tag { offset });
        }
        offset += gap.len() + 1;
        while let Some(list) = rest {
            let (part, tail) = match list.split_once(';') {
                Some((part, tail)) => (part, Some(tail)),
                None => (list, None),
            };
            if tail.is_none() && trim(part).is_empty() {
                // The one optional ";" at the end of the text.
                break;
            }
            let tag = Self::tag(part, offset)?;
            if tag.name == "v" || tags.iter().any(|t| t.name == tag.name) {
                return Err(RecordError::Duplicate { tag: tag.name.to_owned() });
            }
            tags.push(tag);
            offset += part.len() + 1;
            rest = tail;
        }
        Ok(Self { tags })
    }

    fn tag(part: &'a str, offset: usize) -> Result<Tag<'a>, RecordError> {
        let start = offset + (part.len() - part.trim_start_matches(WHITE).len());
        let (name, value) = part.split_once('=').ok_or(RecordError::Tag { offset: start })?;
        let (name, value) = (trim(name), trim(value));
        let named = name.len() <= MAX_NAME
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric());
        if !named || value.contains(WHITE) {
            return Err(RecordError::Tag { offset: start });
        }
        Ok(Tag { name, value, start })
    }

    /// The value of the tag `name`, if present.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.tags.iter().find(|t| t.name == name).map(|t| t.value)
    }

    /// The value of the tag `name`, which must be present.
    pub fn require(&self, name: &'static str) -> Result<&'a str, RecordError> {
        self.get(name).ok_or(RecordError::Missing { tag: name })
    }

    /// The tag that stands last.
    #[must_use]
    pub fn last(&self) -> Option<Tag<'a>> {
        self.tags.last().copied()
    }

    /// The tags in order.
    pub fn iter(&self) -> impl Iterator<Item = &Tag<'a>> {
        self.tags.iter()
    }
}

/// White space of the grammar: `WSP` (RFC 5234).
const WHITE: [char; 2] = [' ', '\t'];

fn trim(text: &str) -> &str {
    text.trim_matches(WHITE)
}

/// Whether the text is a record of this version [R-rec-01]: the version tag, then the end, `;` or
/// white space.
pub(super) fn begins_with_version(text: &[u8], version: &str) -> bool {
    text.strip_prefix(version.as_bytes())
        .is_some_and(|rest| matches!(rest.first(), None | Some(b';' | b' ' | b'\t')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TagList<'_>, RecordError> {
        TagList::parse(text.as_bytes(), "v=T1", 200)
    }

    #[test]
    fn reads_names_values_and_offsets() {
        let text = "v=T1 ;a = 1;\tb=;c==/+==;";
        let list = parse(text).unwrap();
        let got: Vec<_> = list.iter().map(|t| (t.name, t.value)).collect();
        assert_eq!(got, [("a", "1"), ("b", ""), ("c", "=/+==")]);
        assert!(list.iter().all(|t| text[t.start..].starts_with(t.name)));
        assert!(parse("v=T1").unwrap().last().is_none());
        assert!(parse("v=T1;").unwrap().last().is_none());
        assert!(parse("v=T1 ; ").unwrap().last().is_none());
    }

    #[test]
    fn refuses_what_the_grammar_does_not_allow() {
        for (text, expected) in [
            ("v=T1;;a=1", RecordError::Tag { offset: 5 }),
            ("v=T1;a=1;;", RecordError::Tag { offset: 9 }),
            ("v=T1 a=1", RecordError::Tag { offset: 4 }),
            ("v=T1;a", RecordError::Tag { offset: 5 }),
            ("v=T1; =1", RecordError::Tag { offset: 6 }),
            ("v=T1;a=1 2", RecordError::Tag { offset: 5 }),
            ("v=T1;a b=1", RecordError::Tag { offset: 5 }),
            ("v=T1;1a=1", RecordError::Tag { offset: 5 }),
            ("v=T1;abcdefghi=1", RecordError::Tag { offset: 5 }),
            ("v=T1;a=1;a=1", RecordError::Duplicate { tag: "a".into() }),
            ("v=T1;v=T1", RecordError::Duplicate { tag: "v".into() }),
            ("v=T1;a=\u{e9}", RecordError::Octet { offset: 7 }),
            ("v=T1;a=1\n", RecordError::Octet { offset: 8 }),
            ("v=T1;a=\0", RecordError::Octet { offset: 7 }),
            (" v=T1;a=1", RecordError::Version),
            ("v=T12;a=1", RecordError::Version),
            ("V=T1;a=1", RecordError::Version),
            ("v = T1;a=1", RecordError::Version),
        ] {
            assert_eq!(parse(text), Err(expected), "{text:?}");
        }
        // Names are case-sensitive: these are two tags.
        assert!(parse("v=T1;a=1;A=1").is_ok());
        let long = format!("v=T1;a={}", "x".repeat(200));
        assert!(matches!(parse(&long), Err(RecordError::TooLong { .. })));
    }
}
