//! Moments as an operator writes them: how long ago, or a date in UTC.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::failure::Failure;
use super::table::printable;
use crate::gateway::config::parse_duration;

/// Which rows of the audit trail are meant.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Range {
    /// Not before: `4h` or `30d` ago, `2026-11-27`, or `2026-11-27T04:00:00Z`
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Before, likewise
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

impl Range {
    /// The two ends, Unix seconds.
    pub(super) fn read(&self, now: u64) -> Result<(Option<u64>, Option<u64>), Failure> {
        let end = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => read(text, now).map(Some).ok_or_else(|| {
                Failure::usage(format!("--{name} `{}`: no moment", printable(text))).hint(
                    "write `4h` or `30d` for so long ago, `2026-11-27`, or `2026-11-27T04:00:00Z`",
                )
            }),
        };
        Ok((end("since", &self.since)?, end("until", &self.until)?))
    }

    /// Whether an end is named.
    pub(super) const fn is_given(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }
}

fn read(text: &str, now: u64) -> Option<u64> {
    if let Ok(ago) = parse_duration(text) {
        return Some(now.saturating_sub(ago.as_secs()));
    }
    let moment = match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(moment) => moment,
        Err(_) => {
            let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
            day.midnight().assume_utc()
        }
    };
    u64::try_from(moment.unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_ago_or_dates() {
        let now = 1_800_000_000;
        for (text, moment) in [
            ("4h", Some(now - 14_400)),
            ("2026-11-27", Some(1_795_737_600)),
            ("2026-11-27T04:00:00Z", Some(1_795_752_000)),
            ("2026-11-27T05:00:00+01:00", Some(1_795_752_000)),
            ("yesterday", None),
            ("1900-01-01", None),
            ("", None),
        ] {
            assert_eq!(read(text, now), moment, "{text}");
        }
    }
}
