//! JSON objects that are taken apart, so that a member that nobody has read is noticed.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mta_seal::core::KeyId;
use serde_json::{Map, Value};

/// The members of an object that are still unread.
pub struct Fields {
    at: String,
    members: Map<String, Value>,
}

impl Fields {
    pub fn new(at: &str, value: Value) -> Self {
        let Value::Object(members) = value else { panic!("{at}: no object") };
        Self { at: at.to_owned(), members }
    }

    /// Takes a member.
    pub fn take(&mut self, name: &str) -> Value {
        self.members.remove(name).unwrap_or_else(|| panic!("{}: no member {name}", self.at))
    }

    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    pub fn text(&mut self, name: &str) -> String {
        let value = self.take(name);
        value.as_str().unwrap_or_else(|| panic!("{}: {name} is no text", self.at)).to_owned()
    }

    pub fn number(&mut self, name: &str) -> u64 {
        let value = self.take(name);
        value.as_u64().unwrap_or_else(|| panic!("{}: {name} is no number", self.at))
    }

    pub fn flag(&mut self, name: &str) -> bool {
        let value = self.take(name);
        value.as_bool().unwrap_or_else(|| panic!("{}: {name} is no boolean", self.at))
    }

    pub fn octets(&mut self, name: &str) -> Vec<u8> {
        octets(&self.text(name))
    }

    pub fn array<const N: usize>(&mut self, name: &str) -> [u8; N] {
        self.octets(name).try_into().unwrap_or_else(|_| panic!("{}: length of {name}", self.at))
    }

    pub fn id(&mut self, name: &str) -> KeyId {
        KeyId::from_bytes(self.array(name))
    }

    pub fn object(&mut self, name: &str) -> Self {
        Self::new(&format!("{}.{name}", self.at), self.take(name))
    }

    /// An object, or none if it is `null`.
    pub fn optional(&mut self, name: &str) -> Option<Self> {
        match self.take(name) {
            Value::Null => None,
            value => Some(Self::new(&format!("{}.{name}", self.at), value)),
        }
    }

    pub fn list(&mut self, name: &str) -> Vec<Value> {
        match self.take(name) {
            Value::Array(values) => values,
            _ => panic!("{}: {name} is no list", self.at),
        }
    }

    pub fn objects(&mut self, name: &str) -> Vec<Self> {
        let at = format!("{}.{name}", self.at);
        self.list(name).into_iter().map(|value| Self::new(&at, value)).collect()
    }

    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let text = |value: Value| value.as_str().expect("a text").to_owned();
        self.list(name).into_iter().map(text).collect()
    }

    /// Every member has been read.
    pub fn end(self) {
        let unread: Vec<&String> = self.members.keys().collect();
        assert!(unread.is_empty(), "{}: {unread:?} read by nobody", self.at);
    }
}

pub fn octets(text: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
