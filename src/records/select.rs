//! Which of several TXT records at a name is ours [R-rec-01].

use super::tags::begins_with_version;
use super::{key::KEY_VERSION, policy::POLICY_VERSION};

/// What stands among the TXT records of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection<'a> {
    /// No record has our version tag: the same as NODATA (a wildcard SPF record, for instance).
    None,
    /// Exactly one record, its strings joined.
    One(&'a [u8]),
    /// Two or more: an error, and none is used.
    Several,
}

/// Finds the policy record among the TXT records of a name; each element is one record with its
/// strings joined as octets.
#[must_use]
pub fn select_policy(records: &[Vec<u8>]) -> Selection<'_> {
    select(records, POLICY_VERSION)
}

/// Finds the key record among the TXT records of a name [R-rec-07].
#[must_use]
pub fn select_key_record(records: &[Vec<u8>]) -> Selection<'_> {
    select(records, KEY_VERSION)
}

fn select<'a>(records: &'a [Vec<u8>], version: &str) -> Selection<'a> {
    let mut ours = records.iter().filter(|record| begins_with_version(record, version));
    match (ours.next(), ours.next()) {
        (None, _) => Selection::None,
        (Some(record), None) => Selection::One(record),
        (Some(_), Some(_)) => Selection::Several,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|t| t.as_bytes().to_vec()).collect()
    }

    #[test]
    fn only_records_with_the_version_count() {
        let spf = "v=spf1 -all";
        assert_eq!(select_policy(&[]), Selection::None);
        assert_eq!(
            select_policy(&records(&[spf, "v=MTASEAL10; m=none", " v=MTASEAL1", "V=MTASEAL1"])),
            Selection::None
        );
        for ours in ["v=MTASEAL1", "v=MTASEAL1;", "v=MTASEAL1 ;", "v=MTASEAL1\t"] {
            assert_eq!(select_policy(&records(&[spf, ours])), Selection::One(ours.as_bytes()));
        }
        // Even two equal records are two; even a broken one counts.
        assert_eq!(
            select_policy(&records(&["v=MTASEAL1;", spf, "v=MTASEAL1; rubbish"])),
            Selection::Several
        );
        assert_eq!(select_policy(&records(&["v=MTASEALKEY1; k=2"])), Selection::None);
        assert_eq!(
            select_key_record(&records(&["v=MTASEAL1;", "v=MTASEALKEY1;"])),
            Selection::One(b"v=MTASEALKEY1;")
        );
    }
}
