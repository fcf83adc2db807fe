//! DNSSEC trust anchors: the root's, built in, or a private root's from a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use domain::base::iana::Class;
use domain::base::{Name, Rtype, ToName};
use domain::dnssec::validator::anchor::TrustAnchors;
use domain::zonefile::inplace::{Entry, Zonefile};

/// The root zone's key-signing keys of 2017 and 2024 as IANA publishes them in `root-anchors.xml`
/// (RFC 9718): SHA-256 digests.
const ROOT: &str = "\
. 86400 IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n\
. 86400 IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16\n";

/// Longest anchor file that is read, in octets.
const MAX_FILE: u64 = 64 * 1024;

/// Why trust anchors cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// The file cannot be read.
    #[error("cannot read the trust anchors in {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file is no zone file, or holds other records than DS and DNSKEY.
    #[error("trust anchors must be DS or DNSKEY records in zone-file format")]
    Malformed,
    /// The file holds no record.
    #[error("there is no trust anchor in the file")]
    Empty,
}

/// Checked trust anchors.
#[derive(Debug, Clone)]
pub struct Anchors {
    text: Arc<str>,
    owners: Vec<Name<Bytes>>,
}

impl Anchors {
    /// The anchors of the public root zone.
    pub fn root() -> Result<Self, AnchorError> {
        Self::from_text(ROOT)
    }

    /// Reads anchors from a file of DS or DNSKEY records; they stand alone, so a file for a
    /// private root names the public root too if that is wanted.
    pub fn from_file(path: &Path) -> Result<Self, AnchorError> {
        let read = |source| AnchorError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(read)?.len() > MAX_FILE {
            return Err(AnchorError::Malformed);
        }
        Self::from_text(&std::fs::read_to_string(path).map_err(read)?)
    }

    /// Reads anchors from a text of DS or DNSKEY records.
    pub fn from_text(text: &str) -> Result<Self, AnchorError> {
        let mut zone = Zonefile::new();
        zone.set_default_class(Class::IN);
        zone.extend_from_slice(text.as_bytes());
        zone.extend_from_slice(b"\n");
        let mut owners: Vec<Name<Bytes>> = Vec::new();
        for entry in zone {
            let Ok(Entry::Record(record)) = entry else {
                return Err(AnchorError::Malformed);
            };
            if !matches!(record.rtype(), Rtype::DS | Rtype::DNSKEY) || record.class() != Class::IN {
                return Err(AnchorError::Malformed);
            }
            let owner = record.owner().to_name();
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        if owners.is_empty() {
            return Err(AnchorError::Empty);
        }
        let anchors = Self { text: text.into(), owners };
        anchors.build()?;
        Ok(anchors)
    }

    /// The anchors in the validator's own form.
    pub(super) fn build(&self) -> Result<TrustAnchors, AnchorError> {
        TrustAnchors::from_u8(self.text.as_bytes()).map_err(|_| AnchorError::Malformed)
    }

    /// These anchors and those in `text`.
    pub(super) fn with(&self, text: &str) -> Result<Self, AnchorError> {
        Self::from_text(&format!("{}\n{text}", self.text))
    }

    /// Whether there is an anchor for exactly this zone.
    pub(super) fn stands_at(&self, zone: &Name<Bytes>) -> bool {
        self.owners.contains(zone)
    }

    /// The longest anchor at or above `name`.
    pub(super) fn covering(&self, name: &Name<Bytes>) -> Option<&Name<Bytes>> {
        self.owners.iter().filter(|o| name.ends_with(*o)).max_by_key(|o| o.label_count())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use hickory_proto::dnssec::rdata::DS;
    use hickory_proto::dnssec::{DigestType, PublicKey, TrustAnchors as Independent};

    use super::*;

    #[test]
    fn root_anchors_are_the_digests_of_the_root_keys() {
        let keys = Independent::default();
        let root = hickory_proto::rr::Name::root();
        let mut lines = Vec::new();
        for at in 0..keys.len() {
            let key = keys.get(at).unwrap();
            let ds = DS::from_key(key as &dyn PublicKey, &root, DigestType::SHA256).unwrap();
            lines.push(format!(". 86400 IN DS {ds}"));
        }
        let ours: Vec<_> = ROOT.lines().collect();
        assert_eq!(ours, lines);
        assert!(Anchors::root().is_ok());
    }

    #[test]
    fn the_longest_anchor_covers_a_name() {
        let key = "DS 1 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";
        let text = format!(". 1 IN {key}\ncorp.example. 1 IN {key}\n");
        let anchors = Anchors::from_text(&text).unwrap();
        let name = |text: &str| text.parse::<Name<Bytes>>().unwrap();
        for (inside, anchor) in [
            ("a.CORP.example", "corp.example"),
            ("corp.example", "corp.example"),
            ("notcorp.example", "."),
            ("example", "."),
        ] {
            assert_eq!(anchors.covering(&name(inside)), Some(&name(anchor)), "{inside}");
        }
    }
}
