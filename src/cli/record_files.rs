//! Records of a domain read from files, for work without DNS.
//!
//! A file holds either the plain text of one record, or lines of a master file as `mta-seal init`
//! and `mta-seal zone` write them.

use super::failure::Failure;
use crate::core::Domain;
use crate::dns::{Authenticity, Scripted};
use crate::records::{KeyRecord, SealingEntry, SignedPolicy, key_record_name, policy_name};
use std::path::{Path, PathBuf};

/// Most octets of such a file.
const MAX_FILE: u64 = 1 << 20;

/// Texts of records, with their owner names if they came from a master file.
pub(super) struct Records(Vec<Record>);

struct Record {
    file: PathBuf,
    name: Option<String>,
    text: String,
}

impl Records {
    /// Reads the files; none if there are none.
    pub(super) fn read<'a>(
        files: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Result<Option<Self>, Failure> {
        let mut records = Vec::new();
        let mut any = false;
        for file in files {
            any = true;
            let before = records.len();
            let text = read(file)?;
            let trimmed = text.trim();
            if trimmed.starts_with("v=") {
                records.push(Record { file: file.clone(), name: None, text: trimmed.to_owned() });
            } else {
                for (name, text) in master_file(&text) {
                    records.push(Record { file: file.clone(), name: Some(name), text });
                }
            }
            if records.len() == before {
                let text =
                    format!("{}: neither a record nor a zone file with TXT lines", file.display());
                return Err(Failure::refused(text)
                    .hint("`mta-seal zone` prints both; a plain record begins with v=MTASEAL"));
            }
        }
        Ok(any.then_some(Self(records)))
    }

    /// Puts the records of `domain` where a look-up finds them.
    pub(super) fn publish(&self, domain: &Domain, script: &Scripted) -> Result<(), Failure> {
        let wanted = policy_name(domain);
        let policy = self.0.iter().find(|record| match &record.name {
            Some(name) => *name == wanted,
            None => !record.text.starts_with("v=MTASEALKEY"),
        });
        let Some(policy) = policy else {
            return Err(Failure::refused(format!(
                "no policy record of {domain} in the files given"
            ))
            .hint(format!("it stands at {wanted}")));
        };
        put(script, &wanted, &policy.text);
        let signed = SignedPolicy::parse(policy.text.as_bytes())
            .map_err(|error| Failure::refused(format!("{}: {error}", policy.file.display())))?;
        for entry in &signed.unverified().sealing_keys {
            let SealingEntry::Listed { selector, key_id, .. } = entry else { continue };
            let name = key_record_name(selector, domain);
            let record = self.0.iter().find(|record| match &record.name {
                Some(owner) => *owner == name,
                // A plain key record has no name: it is the one that the policy lists.
                None => KeyRecord::parse(record.text.as_bytes())
                    .is_ok_and(|key| key.unverified().key_id() == *key_id),
            });
            if let Some(record) = record {
                put(script, &name, &record.text);
            }
        }
        Ok(())
    }
}

fn put(script: &Scripted, name: &str, text: &str) {
    if let Ok(name) = Domain::parse(name) {
        script.set_txt(name, &[text.as_bytes()], Authenticity::Insecure);
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
        .map_err(|error| Failure::reading_file(path, &error))?;
    Ok(text)
}

/// The TXT entries of a master file: owner name without trailing dot, and joined strings.
///
/// Reads what we write ourselves: one owner name at the beginning of a line, quoted strings, and
/// parentheses around several lines.
fn master_file(text: &str) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let begins =
            line.starts_with(|c: char| !c.is_whitespace() && c != ';' && c != '"' && c != ')');
        if begins {
            let head = line.split('"').next().unwrap_or_default();
            let mut words = head.split_whitespace();
            let Some(name) = words.next() else { continue };
            inside = words.any(|word| word.eq_ignore_ascii_case("TXT"));
            if inside {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                entries.push((name, String::new()));
            }
        }
        if inside && let Some((_, joined)) = entries.last_mut() {
            joined.extend(line.split('"').skip(1).step_by(2));
        }
    }
    entries.retain(|(_, text)| text.starts_with("v=MTASEAL"));
    entries
}
