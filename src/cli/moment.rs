//! Times as an operator reads them: in UTC, and how long ago.

use time::OffsetDateTime;

/// Unix seconds as `2026-11-22 09:53 UTC`.
pub(super) fn utc(seconds: u64) -> String {
    let moment =
        i64::try_from(seconds).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    let Some(at) = moment else { return format!("{seconds} s") };
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

/// A length of time in its two largest units: `3h 5m`.
pub(super) fn length(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let Some(at) = UNITS.iter().position(|(size, _)| seconds >= *size) else {
        return "0s".to_owned();
    };
    let (size, unit) = UNITS[at];
    let whole = format!("{}{unit}", seconds / size);
    match UNITS.get(at + 1) {
        Some((smaller, name)) if (seconds % size) / smaller > 0 => {
            format!("{whole} {}{name}", (seconds % size) / smaller)
        }
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_plain() {
        assert_eq!(utc(1_800_000_000), "2027-01-15 08:00 UTC");
        assert_eq!(utc(u64::MAX), format!("{} s", u64::MAX));
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m 1s"),
            (14_400, "4h"),
            (90_061, "1d 1h"),
            (86_460, "1d"),
        ] {
            assert_eq!(length(seconds), text);
        }
    }
}
