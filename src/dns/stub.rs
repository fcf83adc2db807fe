//! The resolver of the gateway: walks the chain, keeps the weakest link, minds the budget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::base::Name;
use tokio::time::timeout;

use super::MAX_TTL;
use super::cache::{Cache, Clock};
use super::config::{ConfigError, DnsConfig, Trust};
use super::delegation::{self, NoServers};
use super::message::{self, Asking, End};
use super::mx::{self, MailHosts};
use super::outcome::{Authenticity, Denial, Found, Lookup, MAX_CHAIN};
use super::resolver::{LookupFuture, QueryName, Resolver, ServersFuture};
use super::transport::Transport;
use super::validate::{Validator, Verdict};

/// Looks up TXT records at recursive resolvers, as [`DnsConfig`] says, with a cache in front.
///
/// Cheap to clone; clones share the cache. Must be used within a Tokio runtime.
#[derive(Debug, Clone)]
pub struct StubResolver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Arc<Engine>,
    cache: Cache,
}

#[derive(Debug)]
struct Engine {
    transport: Arc<Transport>,
    trust: Trust,
    budget: Duration,
}

impl StubResolver {
    /// Sets a resolver up; sends nothing yet.
    pub fn new(config: &DnsConfig) -> Result<Self, ConfigError> {
        Self::with_clock(config, Arc::new(Instant::now))
    }

    /// Sets a resolver up whose cache ages by `clock`. Signatures and time-outs stay on the
    /// system's clocks.
    pub fn with_clock(config: &DnsConfig, clock: Clock) -> Result<Self, ConfigError> {
        let settled = config.settle()?;
        let engine = Engine {
            transport: Arc::new(Transport::new(&settled.servers, config.timeout)),
            trust: settled.trust,
            budget: config.timeout,
        };
        let cache = Cache::new(config.cache_entries, clock);
        Ok(Self { inner: Arc::new(Inner { engine: Arc::new(engine), cache }) })
    }
}

impl StubResolver {
    /// Looks up which hosts take the mail of `domain`, afresh and without regard to DNSSEC: for advice to an operator, never for
    /// a decision about mail.
    pub async fn mail_hosts(&self, domain: &QueryName) -> MailHosts {
        let engine = &self.inner.engine;
        let asked = mx::mail_hosts(&engine.transport, domain, engine.asking());
        timeout(engine.budget, asked).await.unwrap_or(MailHosts::Unknown)
    }
}

impl Resolver for StubResolver {
    fn txt<'a>(&'a self, name: &'a QueryName) -> LookupFuture<'a> {
        Box::pin(self.inner.cache.get(name, || {
            let engine = self.inner.engine.clone();
            let name = name.clone();
            async move { engine.resolve(&name).await }
        }))
    }

    fn forget(&self, name: &QueryName) {
        self.inner.cache.forget(name);
    }

    fn servers<'a>(&'a self, name: &'a QueryName) -> ServersFuture<'a> {
        let engine = &self.inner.engine;
        Box::pin(async move {
            let found = delegation::zone_servers(&engine.transport, name, engine.asking());
            let late = Err(NoServers::Failed(Lookup::Timeout));
            timeout(engine.budget, found).await.unwrap_or(late)
        })
    }
}

/// The way from the query name so far.
struct Way {
    name: Name<Bytes>,
    chain: Vec<Name<Bytes>>,
    authenticity: Authenticity,
    ttl: Duration,
}

impl Engine {
    async fn resolve(&self, name: &QueryName) -> Lookup {
        timeout(self.budget, self.walk(name)).await.unwrap_or(Lookup::Timeout)
    }

    async fn walk(&self, name: &QueryName) -> Lookup {
        let Ok(name) = name.as_str().parse::<Name<Bytes>>() else { return Lookup::Malformed };
        let mut validator = match &self.trust {
            Trust::Validate(anchors) => Some(Validator::new(anchors, self.transport.clone())),
            Trust::AdBit | Trust::Plain => None,
        };
        let mut way =
            Way { name, chain: Vec::new(), authenticity: Authenticity::Secure, ttl: MAX_TTL };
        loop {
            match self.step(&mut way, validator.as_mut()).await {
                Ok(None) => {}
                Ok(Some(outcome)) | Err(outcome) => return outcome,
            }
        }
    }

    /// Asks for the name reached so far; `None` if its answer ends at another name.
    async fn step(
        &self,
        way: &mut Way,
        validator: Option<&mut Validator>,
    ) -> Result<Option<Lookup>, Lookup> {
        let question = message::question(&way.name, self.asking())?;
        let reply = self.transport.exchange(&question).await?;
        let reading = message::read(&reply, &way.name)?;
        let verdict = match (&self.trust, validator) {
            (_, Some(validator)) => validator.judge(&reply, &reading).await?,
            (Trust::AdBit, None) if reply.header().ad() => Verdict::unlimited(Authenticity::Secure),
            (_, None) => Verdict::unlimited(Authenticity::Insecure),
        };
        way.authenticity = way.authenticity.min(verdict.authenticity);
        way.ttl = way.ttl.min(reading.ttl).min(verdict.ttl);
        for name in reading.names.into_iter().skip(1) {
            if name == way.name || way.chain.contains(&name) || way.chain.len() >= MAX_CHAIN {
                return Err(Lookup::CnameLoop);
            }
            way.chain.push(name);
        }
        Ok(match reading.end {
            End::Txt(records) => Some(Lookup::Found(Found {
                records,
                authenticity: way.authenticity,
                ttl: way.ttl,
                chain: way.chain.iter().map(delegation::text).collect(),
            })),
            End::Denied { nxdomain, soa } => {
                let ttl = way.ttl.min(soa.unwrap_or_default());
                let denial = Denial { authenticity: way.authenticity, ttl };
                Some(if nxdomain { Lookup::NxDomain(denial) } else { Lookup::NoData(denial) })
            }
            End::Open => {
                if let Some(last) = way.chain.last() {
                    way.name = last.clone();
                }
                None
            }
        })
    }

    fn asking(&self) -> Asking {
        match self.trust {
            Trust::Validate(_) => {
                Asking { dnssec_ok: true, checking_disabled: true, authentic_data: false }
            }
            Trust::AdBit => {
                Asking { dnssec_ok: true, checking_disabled: false, authentic_data: true }
            }
            Trust::Plain => {
                Asking { dnssec_ok: false, checking_disabled: false, authentic_data: false }
            }
        }
    }
}
