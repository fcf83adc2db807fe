//! The structures of the draft, read out of its text, and the encoding that they state (RFC 8446 section 3).
//!
//! Comments are read as well, since they state labels, fixed values, and what the numbers of a field stand for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::DRAFT;

/// How many octets or elements a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// `[48]`
    Fixed(usize),
    /// `[Nenc]`: a column of the table of suites.
    Named(&'static str),
    /// `[]`: up to what follows.
    Open,
    /// `<1..253>`, in octets, with a length in front.
    Vector { min: usize, max: usize },
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `uint16`: so many octets.
    Uint(usize),
    /// `opaque`.
    Opaque(Extent),
    /// Another structure, or several.
    Structure(&'static str, Option<Extent>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// On one line.
    pub comment: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    pub name: &'static str,
    pub fields: Vec<Field>,
}

/// What a test puts into a field.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    Number(u64),
    Octets(&'a [u8]),
    /// Octets of a number that the field need not allow.
    Any(&'a [u8]),
    /// What the comment states.
    Stated,
    /// One of the labels that the comment states.
    Label(&'a str),
    /// The sum of the numbers that have these names in the comment.
    Words(&'a [&'a str]),
    One(&'a Given<'a>),
    Many(&'a [Fields<'a>]),
}

/// The values of a structure's fields by name, in any order.
pub type Given<'a> = [(&'a str, Value<'a>)];
pub type Fields<'a> = Vec<(&'a str, Value<'a>)>;

impl Structure {
    /// The structures that a text consists of.
    pub fn parse_all(text: &'static str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (structure, after) = Self::parse(rest);
            found.push(structure);
            rest = after.trim_start();
        }
        found
    }

    fn parse(text: &'static str) -> (Self, &'static str) {
        let mut rest = text.strip_prefix("struct {").unwrap_or_else(|| {
            panic!("neither enum nor select nor anything but a structure can be read here: {text}")
        });
        let mut fields = Vec::new();
        loop {
            rest = rest.trim_start();
            if let Some(end) = rest.strip_prefix('}') {
                let (name, after) = end.split_once(';').expect("the name of a structure");
                return (Self { name: name.trim(), fields }, after);
            }
            let (declaration, after) = rest.split_once(';').expect("the end of a field");
            let mut field = Field::parse(declaration);
            rest = after.trim_start();
            if let Some(comment) = rest.strip_prefix("/*") {
                let (comment, after) = comment.split_once("*/").expect("the end of a comment");
                field.comment = comment.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
                rest = after;
            }
            fields.push(field);
        }
    }
}

impl Extent {
    /// The extent at the end of a declaration, from its bracket on.
    fn parse(text: &'static str) -> Self {
        if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return match inner {
                "" => Self::Open,
                digits if digits.starts_with(|c: char| c.is_ascii_digit()) => {
                    Self::Fixed(number(digits))
                }
                name => Self::Named(name),
            };
        }
        let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
        let (min, max) = inner.and_then(|inner| inner.split_once("..")).expect(text);
        Self::Vector { min: number(min), max: number(max) }
    }
}

/// `253`, `2^20` or `2^16-1`.
fn number(text: &str) -> usize {
    let (power, less) = text.split_once('-').unwrap_or((text, "0"));
    let value = match power.split_once('^') {
        Some((base, exponent)) => {
            base.parse::<usize>().unwrap().pow(exponent.parse::<u32>().unwrap())
        }
        None => power.parse().unwrap(),
    };
    value - less.parse::<usize>().unwrap()
}

impl Field {
    fn parse(declaration: &'static str) -> Self {
        let (kind, rest) = declaration.trim().split_once(' ').expect(declaration);
        let rest = rest.trim();
        let (name, extent) = match rest.find(['[', '<']) {
            Some(at) => (&rest[..at], Some(Extent::parse(&rest[at..]))),
            None => (rest, None),
        };
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b)),
            "{name}"
        );
        let kind = match (kind, extent) {
            ("opaque", Some(extent)) => Kind::Opaque(extent),
            (uint, None) if uint.starts_with("uint") => {
                let bits: usize = uint["uint".len()..].parse().unwrap();
                assert!([8, 16, 24, 32, 64].contains(&bits), "{declaration}");
                Kind::Uint(bits / 8)
            }
            (name, extent) if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
                Kind::Structure(name, extent)
            }
            _ => panic!("no field: {declaration}"),
        };
        Self { name, kind, comment: String::new() }
    }

    /// The labels in the comment.
    pub fn labels(&self) -> Vec<&str> {
        self.comment.split('"').skip(1).step_by(2).collect()
    }

    /// The numbers in the comment with the names behind them. Those behind "the sum of" can be added up.
    fn listed(&self) -> Vec<(u64, &str, bool)> {
        let mut sum = false;
        let parts = self.comment.split([',', ';']).flat_map(|part| part.split(" or "));
        let parts = parts.map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| {
                let part = part.strip_prefix("else ").unwrap_or(part);
                let part = part.strip_prefix("the sum of ").map_or(part, |part| {
                    sum = true;
                    part
                });
                let (digits, name) = part.split_once(' ').unwrap_or((part, ""));
                let value = match digits.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16),
                    None => digits.parse(),
                };
                let name = name.split(" (").next().unwrap();
                (value.unwrap_or_else(|_| panic!("no number: {:?}", self.comment)), name, sum)
            })
            .collect()
    }

    /// The numbers that the comment allows.
    pub fn allowed(&self) -> BTreeSet<u64> {
        let listed = self.listed();
        let mut sums = BTreeSet::from([0]);
        for (value, _, _) in listed.iter().filter(|(_, _, sum)| *sum) {
            sums.extend(sums.clone().iter().map(|before| before + value));
        }
        // The sum of none is no sum.
        sums.remove(&0);
        sums.extend(listed.iter().filter(|(_, _, sum)| !sum).map(|(value, _, _)| value));
        sums
    }

    /// The number that has this name in the comment.
    pub fn named(&self, word: &str) -> u64 {
        let listed = self.listed();
        let mut found = listed.iter().filter(|(_, name, _)| *name == word);
        let (Some((value, _, _)), None) = (found.next(), found.next()) else {
            panic!("{word:?} is not once in {:?}", self.comment);
        };
        *value
    }

    /// The octets that the comment states: one label, or octets in hexadecimal and then as text.
    fn stated(&self) -> Vec<u8> {
        let labels = self.labels();
        let [text] = labels[..] else { panic!("not one label: {}", self.comment) };
        let Some((octets, spelt)) = self.comment.split_once(": ") else {
            assert_eq!(self.comment, format!("\"{text}\""));
            return text.as_bytes().to_vec();
        };
        let hex = |digits: &str| u8::from_str_radix(digits, 16).expect(digits);
        let first = spelt.strip_prefix("0x").and_then(|spelt| spelt.split_once(" \""));
        let (first, _) = first.expect("an octet before the text");
        let octets: Vec<u8> = octets.split(' ').map(hex).collect();
        assert_eq!(octets, [&[hex(first)], text.as_bytes()].concat(), "{}", self.comment);
        octets
    }
}

/// The structures of the draft.
pub struct Structures {
    all: BTreeMap<&'static str, Structure>,
    constants: BTreeMap<&'static str, usize>,
    used: RefCell<BTreeSet<&'static str>>,
}

impl Structures {
    /// Reads all of them. A figure that has one has nothing else.
    pub fn read() -> Self {
        let begins = ["struct {", "enum {", "select ("];
        let mut all = BTreeMap::new();
        let figures = DRAFT.split("\n~~~").skip(1).step_by(2);
        for figure in figures.filter(|figure| begins.iter().any(|word| figure.contains(word))) {
            for structure in Structure::parse_all(figure) {
                let name = structure.name;
                assert!(all.insert(name, structure).is_none(), "{name} is defined twice");
            }
        }
        let begun: usize = begins.iter().map(|word| DRAFT.matches(word).count()).sum();
        assert_eq!(all.len(), begun, "one stands outside of a figure");
        Self { all, constants: BTreeMap::new(), used: RefCell::default() }
    }

    /// Sets a length that has a name.
    pub fn set(&mut self, name: &'static str, length: usize) {
        self.constants.insert(name, length);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Structure> {
        self.all.values()
    }

    /// A field of a structure.
    pub fn field(&self, structure: &str, name: &str) -> &Field {
        let fields = &self.all[structure].fields;
        fields.iter().find(|field| field.name == name).expect("the field")
    }

    /// The names of those that nothing was encoded by.
    pub fn unused(&self) -> Vec<&'static str> {
        let used = self.used.borrow();
        self.all.keys().copied().filter(|name| !used.contains(name)).collect()
    }

    /// Encodes values as the draft states the structure. Each field must be given, and nothing else.
    pub fn encode(&self, name: &str, given: &Given<'_>) -> Vec<u8> {
        let Some(structure) = self.all.get(name) else { panic!("the draft has no {name}") };
        self.used.borrow_mut().insert(structure.name);
        let mut out = Vec::new();
        for field in &structure.fields {
            let mut values = given.iter().filter(|(name, _)| *name == field.name);
            let (Some((_, value)), None) = (values.next(), values.next()) else {
                panic!("{name}.{} is not given once", field.name);
            };
            self.put(&mut out, field, value);
        }
        assert_eq!(given.len(), structure.fields.len(), "{name} has not all that is given");
        out
    }

    fn put(&self, out: &mut Vec<u8>, field: &Field, value: &Value<'_>) {
        match field.kind {
            Kind::Uint(octets) => {
                let value = match value {
                    Value::Number(value) => *value,
                    Value::Words(words) => words.iter().map(|word| field.named(word)).sum(),
                    Value::Stated => field.comment.parse().expect("a number"),
                    other => panic!("{}: {other:?}", field.name),
                };
                let (above, within) = (value.to_be_bytes(), 8 - octets);
                assert!(above[..within].iter().all(|octet| *octet == 0), "{}", field.name);
                out.extend_from_slice(&above[within..]);
            }
            Kind::Opaque(extent) => match value {
                Value::Octets(octets) => self.opaque(out, field, extent, octets, true),
                Value::Any(octets) => self.opaque(out, field, extent, octets, false),
                Value::Stated => self.opaque(out, field, extent, &field.stated(), true),
                Value::Label(label) => {
                    assert!(field.labels().contains(label), "{label} is not stated");
                    self.opaque(out, field, extent, label.as_bytes(), true);
                }
                other => panic!("{}: {other:?}", field.name),
            },
            // The body is defined by another document.
            Kind::Structure("Body", None) => match value {
                Value::Octets(octets) => out.extend_from_slice(octets),
                other => panic!("{}: {other:?}", field.name),
            },
            Kind::Structure(name, None) => match value {
                Value::One(given) => out.extend_from_slice(&self.encode(name, given)),
                other => panic!("{}: {other:?}", field.name),
            },
            Kind::Structure(name, Some(extent)) => match value {
                Value::Many(elements) => {
                    let octets: Vec<u8> =
                        elements.iter().flat_map(|given| self.encode(name, given)).collect();
                    self.opaque(out, field, extent, &octets, true);
                }
                other => panic!("{}: {other:?}", field.name),
            },
        }
    }

    fn opaque(&self, out: &mut Vec<u8>, field: &Field, extent: Extent, octets: &[u8], check: bool) {
        let (len, name) = (octets.len(), field.name);
        match extent {
            Extent::Fixed(fixed) => assert_eq!(len, fixed, "{name}"),
            Extent::Named(constant) => assert_eq!(len, self.constants[constant], "{name}"),
            Extent::Open => {}
            Extent::Vector { min, max } => {
                assert!(!check || (min..=max).contains(&len), "{name}: {len} octets");
                let width = width(max);
                out.extend_from_slice(&len.to_be_bytes()[size_of::<usize>() - width..]);
            }
        }
        out.extend_from_slice(octets);
    }
}

/// Octets of the length in front of a vector: as many as its greatest length needs.
pub fn width(max: usize) -> usize {
    (1..).find(|octets| max >> (8 * octets) == 0).unwrap()
}
