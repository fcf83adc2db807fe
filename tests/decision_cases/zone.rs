//! The zones, sound and broken.

use std::fs;
use std::path::Path;

use super::Case;
use crate::dns_support::{Signing, make_zone};
use crate::policy_support::{STRANGER, policy};
use mta_seal::core::Domain;
use mta_seal::records::DnsRecord;

/// A zone that BIND serves, or is told to.
pub struct Zone {
    pub origin: &'static str,
    kind: Kind,
}

enum Kind {
    Unsigned,
    Signed(Signing),
    /// A policy was put in place of another after signing: one of an identity of its own, with a valid signature.
    Tampered,
    /// The parent has the DS record of another key.
    WrongDs,
    /// The parent has a DS record, but the zone is served without signatures.
    Stripped,
    /// BIND cannot read it.
    Unloadable,
}

const ECDSA: Signing = ("ECDSAP256SHA256", &[]);
const EXPIRED: Signing =
    ("ECDSAP256SHA256", &["-P", "-s", "20240101000000", "-e", "20240201000000"]);

pub const ZONES: [Zone; 10] = [
    Zone { origin: "signed.example", kind: Kind::Signed(("ED25519", &["-3", "-"])) },
    Zone { origin: "plain.example", kind: Kind::Unsigned },
    Zone { origin: "tampered.example", kind: Kind::Tampered },
    Zone { origin: "old.example", kind: Kind::Signed(EXPIRED) },
    Zone { origin: "wrongds.example", kind: Kind::WrongDs },
    Zone { origin: "stripped.example", kind: Kind::Stripped },
    Zone { origin: "unloadable.example", kind: Kind::Unloadable },
    Zone { origin: "late.example", kind: Kind::Unsigned },
    Zone { origin: "cut.example", kind: Kind::Unsigned },
    Zone { origin: "stuck.example", kind: Kind::Unsigned },
];

impl Zone {
    /// Makes the file of the zone with the records of its cases; returns its path.
    pub fn make(&self, dir: &Path, cases: &[Case]) -> String {
        let mut text = "$TTL 300\n@ IN SOA ns. hostmaster. 1 3600 600 86400 60\n@ IN NS ns.\n\
                        ready IN TXT \"ready\"\n"
            .to_owned();
        for case in cases.iter().filter(|case| case.zone == self.origin) {
            text += &case.records;
        }
        let signing = match self.kind {
            Kind::Unsigned => None,
            Kind::Signed(signing) => Some(signing),
            Kind::Tampered | Kind::WrongDs | Kind::Stripped => Some(ECDSA),
            Kind::Unloadable => {
                text += "this is no record\n";
                None
            }
        };
        let (mut file, _) = make_zone(dir, self.origin, &text, signing);
        match self.kind {
            Kind::Tampered => {
                let signed = fs::read_to_string(&file).unwrap();
                fs::write(&file, tamper(&signed, self.origin)).unwrap();
            }
            Kind::WrongDs => {
                let path = dir.join(format!("dsset-{}.", self.origin));
                let ds = fs::read_to_string(&path).unwrap();
                let (start, digest) = ds.trim_end().rsplit_once(' ').unwrap();
                let other: String = digest.chars().rev().collect();
                fs::write(&path, format!("{start} {other}\n")).unwrap();
            }
            Kind::Stripped => file = dir.join(self.origin),
            Kind::Unsigned | Kind::Signed(_) | Kind::Unloadable => {}
        }
        file.display().to_string()
    }
}

/// Exchanges the identity key in the zone's policy for a stranger's, who signs it anew.
fn tamper(signed: &str, origin: &str) -> String {
    let domain = Domain::parse(origin).unwrap();
    let strings = |identity| {
        let policy = policy().of(domain.clone()).by(identity).sign();
        let record = DnsRecord::policy(&domain, 300, policy.text());
        record.strings().map(|s| String::from_utf8(s.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    let (own, other) = (strings(crate::policy_support::OWN), strings(STRANGER));
    assert_eq!(own.len(), other.len());
    let mut text = signed.to_owned();
    for (own, other) in own.iter().zip(&other) {
        assert!(text.contains(own.as_str()), "{own} in {text}");
        text = text.replace(own.as_str(), other);
    }
    text
}
