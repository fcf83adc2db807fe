//! Times as an operator reads them: in UTC, and how long ago.

pub(super) use crate::mail::date::utc;

/// The same to the second.
pub(super) fn utc_exact(seconds: u64) -> String {
    utc(seconds).replace(" UTC", &format!(":{:02} UTC", seconds % 60))
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
