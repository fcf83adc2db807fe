//! Whether a record is seen everywhere: what each server of its zone says.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::core::Domain;
use crate::dns::Resolver;
use crate::dns::authorities::{Direct, Said, Via, ask_all, zone_soas};
use crate::records::{Selection, select_key_record, select_policy};

/// Time for one server.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Time to live of a denial where no server says, in seconds: what [R-dns-03] allows at most.
const DENIAL: u64 = 3_600;

/// Longest time for which a cache is taken to keep anything, in seconds: 7 days [R-life-02]. One answer, which may be forged, must not
/// hold keys up for years.
const MAX_SETTLE: u64 = 604_800;

/// What one server of the zone has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which one.
    pub server: String,
    /// The TXT records of the name, or why it has not said.
    pub records: Result<Vec<Vec<u8>>, String>,
}

/// What all servers of the zone have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Each of them; none if they are not known.
    pub servers: Vec<Seen>,
    /// How long caches keep what was there before, a denial or a record, in seconds.
    pub settle: u64,
}

impl Sighting {
    /// Whether every server was asked and has this record, with the version that it begins with, and no other of that version.
    #[must_use]
    pub fn shows(&self, value: &str) -> bool {
        !self.servers.is_empty()
            && self.servers.iter().all(|seen| {
                seen.records
                    .as_ref()
                    .is_ok_and(|records| ours(records, value) == Selection::One(value.as_bytes()))
            })
    }

    /// Whether some server has answered without this record, or with another of its version.
    #[must_use]
    pub fn contradicts(&self, value: &str) -> bool {
        self.servers
            .iter()
            .filter_map(|seen| seen.records.as_ref().ok())
            .any(|records| ours(records, value) != Selection::One(value.as_bytes()))
    }

    /// Whether every server was asked and none has this record.
    #[must_use]
    pub fn lacks(&self, value: &str) -> bool {
        !self.servers.is_empty()
            && self.servers.iter().all(|seen| {
                seen.records
                    .as_ref()
                    .is_ok_and(|records| !records.iter().any(|record| record == value.as_bytes()))
            })
    }
}

/// Which of these records counts, of the sort that `value` is.
fn ours<'a>(records: &'a [Vec<u8>], value: &str) -> Selection<'a> {
    match select_policy(&[value.as_bytes().to_vec()]) {
        Selection::None => select_key_record(records),
        Selection::One(_) | Selection::Several => select_policy(records),
    }
}

/// A boxed look at the servers.
pub type SightingFuture<'a> = Pin<Box<dyn Future<Output = Sighting> + Send + 'a>>;

/// Asks every server of the zone that holds a name.
pub trait Sightings: Send + Sync {
    /// The TXT records of `name` at each of them.
    fn look<'a>(&'a self, name: &'a Domain) -> SightingFuture<'a>;
}

/// The servers themselves.
pub struct Authoritative {
    resolver: Arc<dyn Resolver>,
    port: u16,
}

impl Authoritative {
    /// Asks at `port`, which is [`crate::dns::authorities::DNS_PORT`] but in tests.
    #[must_use]
    pub fn new(resolver: Arc<dyn Resolver>, port: u16) -> Self {
        Self { resolver, port }
    }
}

impl Sightings for Authoritative {
    fn look<'a>(&'a self, name: &'a Domain) -> SightingFuture<'a> {
        Box::pin(async move {
            let unknown = Sighting { servers: Vec::new(), settle: DENIAL };
            let Ok(zone) = self.resolver.servers(name).await else { return unknown };
            // Our own zone may have its servers where only we can reach them.
            let direct = Direct::new(self.port, TIMEOUT, true);
            let texts = ask_all(&zone, name, Via::Udp, &direct);
            let (answers, soas) = tokio::join!(texts, zone_soas(&zone, &direct));
            let denial = soas.iter().filter_map(|(_, _, soa)| soa.as_ref().ok());
            let denial = denial.map(|soa| soa.negative.as_secs()).max().unwrap_or(DENIAL);
            let mut settle = denial;
            let answered: HashSet<String> = answers
                .iter()
                .filter(|answer| answer.said.is_answer())
                .map(|answer| answer.server.clone())
                .collect();
            let mut servers = Vec::new();
            for answer in answers {
                let elsewhere = answered.contains(&answer.server);
                let place = match answer.address {
                    Some(address) => format!("{} ({address})", answer.server),
                    None => answer.server,
                };
                let records = match answer.said {
                    Said::Records { records, ttl } => {
                        settle = settle.max(ttl.as_secs());
                        Ok(records)
                    }
                    Said::Denied { .. } => Ok(Vec::new()),
                    // As without IPv6: what the server has is known by its other address.
                    Said::Unreachable if elsewhere => continue,
                    Said::Unreachable if answer.address.is_some() => {
                        Err("cannot be reached from here".to_owned())
                    }
                    other => Err(words(&other)),
                };
                servers.push(Seen { server: place, records });
            }
            Sighting { servers, settle: settle.min(MAX_SETTLE) }
        })
    }
}

fn words(said: &Said) -> String {
    match said {
        Said::Alias { target, .. } => format!("is an alias of {target}"),
        Said::Lame => "does not answer for the zone".to_owned(),
        Said::Refused => "refuses to answer".to_owned(),
        Said::Failed(rcode) => format!("fails with response code {rcode}"),
        Said::Timeout => "does not answer".to_owned(),
        Said::Malformed => "answers against the protocol".to_owned(),
        Said::Unreachable => "has no address".to_owned(),
        Said::NotAsked(_) => "was not asked".to_owned(),
        Said::Records { .. } | Said::Denied { .. } => String::new(),
    }
}
