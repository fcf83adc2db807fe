//! Values as they are written in a configuration file.

use super::error::with_hint;
use serde::de::{Deserializer, Error, Visitor};
use std::fmt;
use std::time::Duration;

/// A value written as a string that has a grammar of its own.
pub(super) trait FromText: Sized {
    /// What a reader of an error message is told to write.
    const EXPECTED: &'static str;

    /// Reads the text; the error says what is wrong with it, without repeating it.
    fn from_text(text: &str) -> Result<Self, String>;
}

/// Lets serde read a [`FromText`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: FromText> serde::Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(std::marker::PhantomData<T>);
        impl<T: FromText> Visitor<'_> for TextVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
                T::from_text(text)
                    .map_err(|what| E::custom(with_hint(what, &format!("write {}", T::EXPECTED))))
            }
        }
        deserializer.deserialize_str(TextVisitor(std::marker::PhantomData)).map(Self)
    }
}

impl FromText for crate::core::Domain {
    const EXPECTED: &'static str = "a domain name such as \"company1.example\"";

    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| format!("`{text}`: {error}"))
    }
}

impl FromText for std::net::SocketAddr {
    const EXPECTED: &'static str = "an address and port such as \"127.0.0.1:25\" or \"[::1]:25\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is no address with a port"))
    }
}

impl FromText for Duration {
    const EXPECTED: &'static str =
        "a number with a unit: \"500ms\", \"30s\", \"5m\", \"2h\" or \"1d\"";

    fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| format!("`{text}` is no duration"))?;
        let milliseconds = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            "d" => number.checked_mul(86_400_000),
            "" => return Err(format!("`{text}` has no unit")),
            _ => return Err(format!("unknown unit `{unit}` in `{text}`")),
        };
        match milliseconds {
            None | Some(0) => Err(format!("`{text}` is out of range")),
            // A year is beyond every timer in the gateway.
            Some(ms) if ms > 366 * 86_400_000 => Err(format!("`{text}` is out of range")),
            Some(ms) => Ok(Self::from_millis(ms)),
        }
    }
}

/// Reads a [`Duration`] for `deserialize_with`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    <Text<Duration> as serde::Deserialize>::deserialize(deserializer).map(|text| text.0)
}

/// Reads a number of octets for `deserialize_with`: an integer, or a string with the unit `K`, `M`
/// or `G` (powers of 1,024).
pub(super) fn octets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct OctetsVisitor;
    impl Visitor<'_> for OctetsVisitor {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number of octets such as 10240000 or \"50M\"")
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
            if number == 0 {
                Err(E::custom(with_hint("0 is out of range", "write at least 1")))
            } else {
                Ok(number)
            }
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
            match u64::try_from(number) {
                Ok(number) => self.visit_u64(number),
                Err(_) => Err(E::custom(with_hint(
                    format!("{number} is out of range"),
                    "write at least 1",
                ))),
            }
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
            let bad = || {
                let what = format!("`{text}` is no size");
                E::custom(with_hint(
                    what,
                    "write a number of octets such as 10240000, \"256K\" or \"50M\"",
                ))
            };
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = text.split_at(digits);
            let number: u64 = number.parse().map_err(|_| bad())?;
            let shift = match unit {
                "" => 0,
                "K" => 10,
                "M" => 20,
                "G" => 30,
                _ => return Err(bad()),
            };
            let octets = number.checked_mul(1 << shift).ok_or_else(bad)?;
            self.visit_u64(octets)
        }
    }
    deserializer.deserialize_any(OctetsVisitor)
}

/// Reads a count of at least one for `deserialize_with`.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let number = <i64 as serde::Deserialize>::deserialize(deserializer)?;
    usize::try_from(number).ok().filter(|n| *n > 0).ok_or_else(|| {
        D::Error::custom(with_hint(format!("{number} is out of range"), "write at least 1"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(Duration::from_text("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(Duration::from_text("5m").unwrap(), Duration::from_secs(300));
        for bad in ["", "5", "s", "-5s", "5 s", "0s", "1y", "99999999999999999999s", "400d"] {
            assert!(Duration::from_text(bad).is_err(), "{bad}");
        }
    }
}
