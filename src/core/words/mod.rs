//! Octets as words that two people can compare by telephone: the PGP word list [R-key-02].
//!
//! Octets at even positions, the first among them, are words of two syllables, the others words of three, so that a word
//! that was left out, said twice or exchanged with its neighbour is noticed at once.

use std::sync::LazyLock;

/// A line for each octet, in order: its word at even positions, and at odd ones. The list of P. Juola and P. Zimmermann,
/// "Whole-Word Phonetic Distances and the PGPfone Alphabet", 1996.
const LIST: &str = include_str!("list.txt");

/// The words of [`LIST`] by octet.
static WORDS: LazyLock<Vec<[&str; 2]>> = LazyLock::new(|| {
    LIST.lines().filter_map(|line| line.split_once(' ')).map(|(even, odd)| [even, odd]).collect()
});

/// Why a text is not made of such words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A word that is in neither list.
    #[error("word {place}, `{word}`, is not in the word list")]
    Unknown {
        /// Which word, from 1.
        place: usize,
        /// As it was given.
        word: String,
    },
    /// A word of the other list.
    #[error(
        "word {place}, `{word}`, cannot stand there: one before it is missing, doubled or out of place"
    )]
    Misplaced {
        /// Which word, from 1.
        place: usize,
        /// As it was given.
        word: String,
    },
}

/// The words of the octets, in order.
pub fn of(octets: &[u8]) -> impl Iterator<Item = &'static str> {
    let word = |(position, octet): (usize, &u8)| {
        WORDS.get(usize::from(*octet)).map(|pair| pair[position % 2])
    };
    octets.iter().enumerate().filter_map(word)
}

/// The octets of words in letters of either case, between any white space.
///
/// # Errors
///
/// The first word that is unknown, or cannot stand where it stands.
pub fn read(text: &str) -> Result<Vec<u8>, WordsError> {
    let octet = |(position, word): (usize, &str)| {
        let (place, found) = (position + 1, |list: usize| {
            WORDS.iter().position(|pair| pair[list].eq_ignore_ascii_case(word))
        });
        match (found(position % 2), found(1 - position % 2)) {
            (Some(octet), _) => Ok(u8::try_from(octet).unwrap_or(u8::MAX)),
            (None, Some(_)) => Err(WordsError::Misplaced { place, word: word.to_owned() }),
            (None, None) => Err(WordsError::Unknown { place, word: word.to_owned() }),
        }
    };
    text.split_whitespace().enumerate().map(octet).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    fn spoken(octets: &[u8]) -> String {
        of(octets).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_list_is_whole() {
        assert_eq!((LIST.lines().count(), WORDS.len()), (256, 256));
        let distinct: BTreeSet<String> =
            WORDS.iter().flatten().map(|word| word.to_ascii_lowercase()).collect();
        assert_eq!(distinct.len(), 512);
        assert!(distinct.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase())));
        // In alphabetical order, but for the places 9 and 10 of the second list, which are as published.
        assert!(WORDS.is_sorted_by_key(|pair| pair[0].to_ascii_lowercase()));
        let mut odd: Vec<String> = WORDS.iter().map(|pair| pair[1].to_ascii_lowercase()).collect();
        odd.swap(9, 10);
        assert!(odd.is_sorted());
    }

    /// The example that descriptions of the list have in common: the fingerprint of a key of P. Zimmermann's.
    #[test]
    fn published_examples() {
        let fingerprint = [
            0xe5, 0x82, 0x94, 0xf2, 0xe9, 0xa2, 0x27, 0x48, 0x6e, 0x8b, 0x06, 0x1b, 0x31, 0xcc,
            0x52, 0x8f, 0xd7, 0xfa, 0x3f, 0x19,
        ];
        let words = "topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator goldfish Medusa \
                     afflict bravado chatter revolver Dupont midsummer stopwatch whimsical cowbell bottomless";
        assert_eq!(spoken(&fingerprint), words);
        assert_eq!(read(words).unwrap(), fingerprint);
        assert_eq!(spoken(&[0, 0, 255, 255]), "aardvark adroitness Zulu Yucatan");
        assert_eq!(read(" TOPMOST\tistanbul\n").unwrap(), [0xe5, 0x82]);
        assert_eq!(read(""), Ok(Vec::new()));
    }

    #[test]
    fn every_octet_returns() {
        let octets: Vec<u8> = (0..=255).flat_map(|octet| [octet, octet]).collect();
        assert_eq!(read(&spoken(&octets)).unwrap(), octets);
    }

    #[test]
    fn slips_of_a_reader_are_noticed() {
        let misplaced =
            |place, word: &str| Err(WordsError::Misplaced { place, word: word.to_owned() });
        // Left out, doubled, exchanged.
        assert_eq!(read("topmost Pluto vagabond"), misplaced(2, "Pluto"));
        assert_eq!(read("topmost topmost Istanbul"), misplaced(2, "topmost"));
        assert_eq!(read("Istanbul topmost"), misplaced(1, "Istanbul"));
        let unknown = WordsError::Unknown { place: 2, word: "Istambul".to_owned() };
        assert_eq!(read("topmost Istambul"), Err(unknown));
    }
}
