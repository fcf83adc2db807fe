//! Looks for a private key in everything that lies on a disk.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use mta_seal::core::{SealingPrivateKey, Suite};

/// Octets of a private key, of both suites: an X25519 scalar, the seed of X-Wing.
const LEN: usize = 32;

/// Shortest text that can hold one: in base64, without padding.
const LEAST: usize = 43;

/// The files below `directory` of which any 32 octets in a row would open what is sealed to `key`: as they stand, or decoded from
/// base64 or hexadecimal digits at whatever offset, be the text broken into lines.
pub fn holders(directory: &Path, key: &SealingPrivateKey) -> Vec<PathBuf> {
    let wanted: [u8; LEN] = key.to_bytes().as_slice().try_into().unwrap();
    let wanted = Wanted { octets: wanted, scalar: key.suite() == Suite::X25519 };
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && wanted.is_anywhere_in(&fs::read(&path).unwrap()) {
                found.push(path);
            }
        }
    }
    found
}

struct Wanted {
    octets: [u8; LEN],
    /// An X25519 scalar, five bits of which do not count (RFC 7748 section 5).
    scalar: bool,
}

impl Wanted {
    fn is_anywhere_in(&self, octets: &[u8]) -> bool {
        let packed: Vec<u8> = octets.iter().copied().filter(|o| !o.is_ascii_whitespace()).collect();
        self.is_in(octets)
            || self.is_in_base64(octets)
            || self.is_in_base64(&packed)
            || self.is_in_hex(octets)
            || self.is_in_hex(&packed)
    }

    fn is_in(&self, octets: &[u8]) -> bool {
        // The second octet counts as a whole in either suite.
        octets.windows(LEN).any(|window| window[1] == self.octets[1] && self.is(window))
    }

    fn is(&self, window: &[u8]) -> bool {
        let mut candidate: [u8; LEN] = window.try_into().unwrap();
        let mut wanted = self.octets;
        if self.scalar {
            for octets in [&mut candidate, &mut wanted] {
                octets[0] &= 248;
                octets[31] = octets[31] & 127 | 64;
            }
        }
        candidate == wanted
    }

    fn is_in_base64(&self, text: &[u8]) -> bool {
        let digit = |o: &u8| o.is_ascii_alphanumeric() || b"+/-_".contains(o);
        text.split(|octet| !digit(octet)).filter(|run| run.len() >= LEAST).any(|run| {
            let standard = run.iter().map(|octet| match octet {
                b'-' => b'+',
                b'_' => b'/',
                other => *other,
            });
            let run: Vec<u8> = standard.collect();
            (0..4).any(|offset| {
                let run = run.get(offset..).unwrap_or_default();
                // The last digits need not be a whole octet.
                (0..4).any(|cut| {
                    let part = &run[..run.len().saturating_sub(cut)];
                    BASE64_STANDARD_NO_PAD.decode(part).is_ok_and(|octets| self.is_in(&octets))
                })
            })
        })
    }

    fn is_in_hex(&self, text: &[u8]) -> bool {
        text.split(|octet| !octet.is_ascii_hexdigit()).filter(|run| run.len() >= 2 * LEN).any(
            |run| {
                (0..2).any(|offset| {
                    let value =
                        |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
                    let pairs = run[offset..].chunks_exact(2);
                    let octets: Vec<u8> =
                        pairs.map(|pair| value(pair[0]) << 4 | value(pair[1])).collect();
                    self.is_in(&octets)
                })
            },
        )
    }
}

/// Whatever way the key is written down, [`holders`] finds it.
pub fn finds_each_spelling(key: &SealingPrivateKey) {
    let dir = tempfile::tempdir().unwrap();
    let octets = key.to_bytes();
    let base64 = BASE64_STANDARD_NO_PAD.encode(octets.as_slice());
    let shifted = BASE64_STANDARD_NO_PAD.encode([b"ab", octets.as_slice(), b"cdefg"].concat());
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let spellings: Vec<Vec<u8>> = vec![
        octets.to_vec(),
        [b"before", octets.as_slice(), b"behind"].concat(),
        format!("key: {base64}=\n").into_bytes(),
        format!("\"{}\"", base64.replace('+', "-").replace('/', "_")).into_bytes(),
        format!("x {shifted}").into_bytes(),
        format!("{}\r\n {}\r\n", &shifted[..20], &shifted[20..]).into_bytes(),
        hex.to_uppercase().into_bytes(),
        format!("a{hex}").into_bytes(),
        format!("{}\n{}", &hex[..30], &hex[30..]).into_bytes(),
    ];
    for (at, spelling) in spellings.iter().enumerate() {
        fs::write(dir.path().join(at.to_string()), spelling).unwrap();
    }
    let mut other = octets.to_vec();
    other[1] ^= 1;
    fs::write(dir.path().join("other"), other).unwrap();
    let mut found = holders(dir.path(), key);
    found.sort();
    let all: Vec<PathBuf> =
        (0..spellings.len()).map(|at| dir.path().join(at.to_string())).collect();
    assert_eq!(found, all);
}
