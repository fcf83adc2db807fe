//! What Postfix's lookup tables say, as far as they are text that can be read (DATABASE_README).

use std::path::Path;

/// Types of tables whose source is a text file under their own name.
const TEXT: [&str; 10] =
    ["hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "texthash", "cidr", "regexp", "pcre"];

/// Reads a file.
pub(super) type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// The entries of some tables.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Maps {
    /// Patterns with what is found under them.
    pub(super) entries: Vec<(String, String)>,
    /// Tables that cannot be read here.
    pub(super) unread: Vec<String>,
}

/// Reads every table of a parameter such as `transport_maps`.
pub(super) fn read(parameter: &str, read: Read<'_>) -> Maps {
    let mut maps = Maps::default();
    for table in split(parameter) {
        let name = table.strip_prefix("proxy:").unwrap_or(&table);
        let (kind, place) = name.split_once(':').unwrap_or(("hash", name));
        match kind {
            "inline" => maps.entries.extend(inline(place)),
            "static" => {
                let value = place.trim_start_matches('{').trim_end_matches('}').trim();
                maps.entries.push(("*".to_owned(), value.to_owned()));
            }
            "regexp" | "pcre" => match read(Path::new(place)) {
                Some(text) => maps.entries.extend(patterns(&text)),
                None => maps.unread.push(table),
            },
            kind if TEXT.contains(&kind) => match read(Path::new(place)) {
                Some(text) => maps.entries.extend(lines(&text)),
                None => maps.unread.push(table),
            },
            _ => maps.unread.push(table),
        }
    }
    maps
}

/// Splits at commas and spaces outside braces.
fn split(list: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut depth = 0_u32;
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' | ' ' | '\t' | '\n' if depth == 0 => {
                words.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// `{ key = value, { key = value with spaces } }`.
fn inline(text: &str) -> Vec<(String, String)> {
    let inner = text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    // Spaces around an equals sign do not end an entry, but for those in braces of their own.
    let joined = inner.replace(" =", "=").replace("= ", "=");
    let entry = |word: String| {
        let word = word.trim_start_matches('{').trim_end_matches('}');
        word.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
    };
    split(&joined).into_iter().filter_map(entry).collect()
}

/// The logical lines of a table: comments go, continued lines are joined (postmap(1)).
fn logical(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(content);
            }
            _ => lines.push(content.to_owned()),
        }
    }
    lines
}

fn lines(text: &str) -> Vec<(String, String)> {
    let entry = |line: String| {
        let (key, value) = line.split_once([' ', '\t'])?;
        Some((key.to_owned(), value.trim().to_owned()))
    };
    logical(text).into_iter().filter_map(entry).collect()
}

/// A pattern may have spaces, a transport has none.
fn patterns(text: &str) -> Vec<(String, String)> {
    let entry = |line: String| {
        if line.starts_with("if ") || line.starts_with("endif") {
            return None;
        }
        let (key, value) = line.rsplit_once([' ', '\t'])?;
        Some((key.trim().to_owned(), value.to_owned()))
    };
    logical(text).into_iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(parameter: &str) -> Vec<(String, String)> {
        let file = |path: &Path| match path.to_str() {
            Some("/etc/postfix/transport") => {
                Some("# partners\nb.example  smtp:[gw]:10025\nc.example\n\tsmtp:[x]\n".to_owned())
            }
            Some("/etc/postfix/patterns") => Some("/^a b$/ smtp:[x]\nif /x/\nendif\n".to_owned()),
            _ => None,
        };
        let maps = read(parameter, &file);
        assert!(maps.unread.is_empty(), "{maps:?}");
        maps.entries
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn tables_of_text_are_read() {
        let transport = pairs(&[("b.example", "smtp:[gw]:10025"), ("c.example", "smtp:[x]")]);
        assert_eq!(entries("hash:/etc/postfix/transport"), transport);
        assert_eq!(entries("proxy:lmdb:/etc/postfix/transport"), transport);
        assert_eq!(entries("regexp:/etc/postfix/patterns"), pairs(&[("/^a b$/", "smtp:[x]")]));
        assert_eq!(entries("static:smtp:[x]"), pairs(&[("*", "smtp:[x]")]));
        let inline = "inline:{ b.example=smtp:[x]:1, {c.example = lmtp:y} }, static:{z}";
        let three = pairs(&[("b.example", "smtp:[x]:1"), ("c.example", "lmtp:y"), ("*", "z")]);
        assert_eq!(entries(inline), three);
        assert_eq!(entries(""), []);
    }

    #[test]
    fn others_are_named() {
        let maps = read("ldap:/etc/postfix/x.cf hash:/gone", &|_| None);
        assert_eq!(maps.unread, ["ldap:/etc/postfix/x.cf", "hash:/gone"]);
        assert_eq!(maps.entries, []);
    }
}
