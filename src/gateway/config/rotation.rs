//! The `rotation` table of a domain: how long its keys and policies live.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use super::error::Source;
use super::publish::{Publication, PublicationWay};
use super::value::Text;
use crate::core::Domain;
use crate::lifetime::{Schedule, ScheduleError};

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Table {
    sealing: Option<Text<Duration>>,
    signing: Option<Text<Duration>>,
    policy: Option<Text<Duration>>,
    sign: Option<Text<Duration>>,
    ahead: Option<Text<Duration>>,
    warn: Option<Text<Duration>>,
}

/// The lengths for `domain`; none if nothing is to be done by itself: records that are published by hand, and no table.
pub(super) fn check(
    domain: &Domain,
    table: Option<Spanned<Table>>,
    publication: &Publication,
    source: &Source<'_>,
) -> Result<Option<Schedule>, ConfigError> {
    let Some(table) = table else {
        let by_itself = publication.way != PublicationWay::Manual;
        return Ok(by_itself.then(Schedule::default));
    };
    let (span, table) = (table.span(), table.into_inner());
    let usual = Schedule::default();
    let or = |length: Option<Text<Duration>>, usual: u64| {
        length.map_or(usual, |Text(length)| length.as_secs())
    };
    let schedule = Schedule {
        sealing: or(table.sealing, usual.sealing),
        signing: or(table.signing, usual.signing),
        policy: or(table.policy, usual.policy),
        sign: or(table.sign, usual.sign),
        ahead: or(table.ahead, usual.ahead),
        warn: or(table.warn, usual.warn),
    };
    let error = match schedule.check() {
        Ok(()) if u64::from(publication.ttl) < schedule.ahead => return Ok(Some(schedule)),
        Ok(()) => ScheduleError::Order { shorter: "publish.ttl", longer: "ahead" },
        Err(error) => error,
    };
    let hint = "the defaults are sealing 7d, signing 30d, policy 30d, sign 7d, ahead 2d, warn 14d";
    Err(source.error(span, format!("`rotation` of {domain}: {error}"), hint))
}
