//! The text of a sealing key file.
//!
//! ~~~ text
//! # mta-seal sealing key: keep secret, keep out of backups
//! suite: 2
//! selector: k0123456789ab
//! key: <base64 of 32 octets>
//! ~~~

use super::StoredKey;
use crate::core::{SealingPrivateKey, Suite, SuiteId};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// The text of a file for `key`.
pub(super) fn print(key: &StoredKey) -> Zeroizing<String> {
    let secret = key.key.to_bytes();
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(secret.as_slice()));
    Zeroizing::new(format!(
        "# mta-seal sealing key: keep secret, keep out of backups\nsuite: {}\nselector: {}\nkey: {}\n",
        key.key.suite().id(),
        key.selector,
        encoded.as_str()
    ))
}

/// Reads such a text; the error says what is wrong, never what stands there.
pub(super) fn parse(text: &str) -> Result<StoredKey, &'static str> {
    let (mut suite, mut selector, mut secret) = (None, None, None);
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or("a line without `:`")?;
        let slot = match name {
            "suite" => &mut suite,
            "selector" => &mut selector,
            "key" => &mut secret,
            _ => return Err("an unknown line; valid are `suite`, `selector` and `key`"),
        };
        if slot.replace(value.trim()).is_some() {
            return Err("a line stands twice");
        }
    }
    let suite: u16 = suite.and_then(|s| s.parse().ok()).ok_or("no number after `suite:`")?;
    let suite = Suite::try_from(SuiteId(suite)).map_err(|_| "an unknown suite")?;
    let selector = selector.filter(|s| is_label(s)).ok_or("no DNS label after `selector:`")?;
    let secret = secret.ok_or("no line `key:`")?;
    let octets = BASE64_STANDARD.decode(secret).map_err(|_| "`key:` is no base64")?;
    let octets = Zeroizing::new(octets);
    let key = SealingPrivateKey::from_bytes(suite, &octets)
        .map_err(|_| "`key:` is no key of its suite")?;
    Ok(StoredKey { selector: selector.to_owned(), key })
}

/// One label of a selector: lower-case letters, digits and inner hyphens [R-rec-02].
pub(super) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}
