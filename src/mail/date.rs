//! Date-time of Internet messages (RFC 5322 section 3.3), in UTC.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Length in octets of every text that [`rfc5322`] returns.
pub const DATE_LEN: usize = 31;

/// 9999-12-31T23:59:59Z, the last second with a year of four digits.
const LAST: i64 = 253_402_300_799;

/// Writes a time as `Thu, 01 Jan 1970 00:00:00 +0000`: always [`DATE_LEN`] octets, so that the
/// length of a carrier does not depend on the clock [R-car-03].
///
/// `unix` is in seconds since 1970-01-01T00:00:00Z; a time beyond the year 9999 is written as the
/// last second of that year.
#[must_use]
pub fn rfc5322(unix: u64) -> String {
    let seconds = i64::try_from(unix).unwrap_or(LAST).min(LAST);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc2822).ok())
        .unwrap_or_else(|| "Thu, 01 Jan 1970 00:00:00 +0000".to_owned())
}

/// Writes a time, in seconds since 1970-01-01T00:00:00Z, for people: `2026-11-22 09:53 UTC`.
#[must_use]
pub fn utc(unix: u64) -> String {
    let moment = i64::try_from(unix).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    let Some(at) = moment else { return format!("{unix} s") };
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02} UTC",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute()
    )
}

#[cfg(test)]
mod tests {
    use super::{DATE_LEN, rfc5322, utc};
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        assert_eq!(rfc5322(0), "Thu, 01 Jan 1970 00:00:00 +0000");
        assert_eq!(rfc5322(1_784_635_537), "Tue, 21 Jul 2026 12:05:37 +0000");
        assert_eq!(rfc5322(u64::MAX), "Fri, 31 Dec 9999 23:59:59 +0000");
        assert_eq!(utc(1_800_000_000), "2027-01-15 08:00 UTC");
        assert_eq!(utc(u64::MAX), format!("{} s", u64::MAX));
    }

    proptest! {
        #[test]
        fn length_is_fixed(unix in 0u64..=300_000_000_000) {
            prop_assert_eq!(rfc5322(unix).len(), DATE_LEN);
        }
    }
}
