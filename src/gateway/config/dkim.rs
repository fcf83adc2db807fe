//! The `dkim` setting of a domain: one table, or a list of tables.

use super::secret_path::SecretPath;
use super::value::{FromText, Text};
use crate::mail::dkim::Selector;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::path::PathBuf;
use toml::Spanned;

/// A key that signs carriers, for a gateway with no DKIM signer behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimEntry {
    /// Where its record is published.
    pub selector: Selector,
    /// File of the private key (PEM).
    pub key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub(super) selector: Spanned<Text<Selector>>,
    pub(super) key: Text<SecretPath>,
}

/// The tables, in the order of the file.
#[derive(Default)]
pub(super) struct Tables(pub(super) Vec<Table>);

impl FromText for Selector {
    const EXPECTED: &'static str = "a DNS label such as \"mta-seal\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| format!("`{text}`: {error}"))
    }
}

impl<'de> Deserialize<'de> for Tables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TablesVisitor)
    }
}

struct TablesVisitor;

impl<'de> Visitor<'de> for TablesVisitor {
    type Value = Tables;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table with `selector` and `key`, or a list of such tables")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tables, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(map)).map(|table| Tables(vec![table]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tables, A::Error> {
        let mut tables = Vec::new();
        while let Some(table) = list.next_element()? {
            tables.push(table);
        }
        Ok(Tables(tables))
    }
}
