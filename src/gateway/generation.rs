//! A generation: everything that one reading of the configuration makes, in force as a whole or not at all.
//!
//! A reload puts another generation in its place. A transaction ends with the generation it began with; a connection takes up
//! the one in force at each greeting and each MAIL. What outlives generations is shared by all of them: ledger, clock,
//! the outbox's bell, listeners and connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::access::Access;
use super::aftermath::Aftermath;
use super::alarms::Alarms;
use super::attempts::Attempts;
use super::authorisation::Authorisation;
use super::booking::Underway;
use super::breaker::Breaker;
use super::clock::Clock;
use super::config::{self, Config, NextHop, Recipients};
use super::discovery::Discovery;
use super::domains::LocalDomains;
use super::hop::Hop;
use super::inbound::{Inbound, OneByOne};
use super::local::LocalKeys;
use super::metrics::Metrics;
use super::outbound::Outbound;
use super::session::{Direction, Service};
use super::{Shared, StartError};
use crate::core::Domain;
use crate::dns::Resolver;
use crate::smtp::Protocol;
use crate::smtp::client::ClientOptions;
use crate::smtp::server::ServerOptions;
use crate::store::ledger::SharedLedger;

/// What every generation of a gateway has in common.
pub(super) struct Foundation {
    pub(super) ledger: SharedLedger,
    pub(super) clock: Arc<dyn Clock>,
    /// Messages that are on their way right now.
    pub(super) underway: Arc<Underway>,
    /// Wakes the outbox when something was put into it.
    pub(super) outbox: Arc<Notify>,
    /// How recipients were answered, for the operator.
    pub(super) attempts: Arc<Attempts>,
    /// What an operator must hear of.
    pub(super) alarms: Arc<Alarms>,
    /// What is still to be learned from DNS.
    pub(super) aftermath: Arc<Aftermath>,
    /// What is counted.
    pub(super) metrics: Arc<Metrics>,
}

/// Next hops that stay from one generation to the next.
#[derive(Default)]
pub(super) struct Hops {
    outbound: Option<Arc<Hop>>,
    inbound: Option<Arc<Hop>>,
}

/// One configuration with its keys, next hops and certificates.
pub(super) struct Generation {
    pub(super) shared: Arc<Shared>,
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) outbound: Option<Arc<Service<Outbound>>>,
    pub(super) inbound: Option<Arc<Service<Inbound>>>,
}

impl Generation {
    /// Makes a generation with those of its next hops that are in `hops`; reads the certificates that the configuration names.
    pub(super) fn new(
        foundation: &Foundation,
        config: Config,
        domains: HashMap<Domain, LocalKeys>,
        resolver: Arc<dyn Resolver>,
        hops: Hops,
    ) -> Result<Self, StartError> {
        let discovery = Discovery::new(foundation, &config, Arc::clone(&resolver));
        let breaker = Arc::new(Breaker::new(config.limits.stalled, config.timeouts.stalled));
        let shared = Arc::new(Shared {
            config,
            domains: LocalDomains::new(domains),
            ledger: Arc::clone(&foundation.ledger),
            discovery,
            clock: Arc::clone(&foundation.clock),
            breaker,
            underway: Arc::clone(&foundation.underway),
            outbox: Arc::clone(&foundation.outbox),
            attempts: Arc::clone(&foundation.attempts),
        });
        let config = &shared.config;
        let mut outbound = None;
        if let Some(settings) = &config.outbound {
            let authorisation = Authorisation::load(settings)?;
            let place = "outbound.tls";
            let mut asking = None;
            if let Some(tls) = &settings.tls
                && authorisation.all_certificates().next().is_some()
            {
                let tls = tls
                    .asking_server_config(authorisation.all_certificates())
                    .map_err(|error| StartError::Tls { place, error })?;
                let options =
                    server_options(config, settings.protocol, settings.tls.as_ref(), place)?;
                asking = Some(Arc::new(ServerOptions { tls: Some(tls), ..(*options).clone() }));
            }
            let access = Access::new(Some(authorisation), &settings.xforward, &settings.xclient);
            let direction = Arc::new(Outbound {
                shared: Arc::clone(&shared),
                hop: match hops.outbound {
                    Some(hop) => hop,
                    None => next_hop(config, &settings.next_hop, "outbound.next_hop")?,
                },
                protocol: settings.protocol,
                domain: settings.domain.clone(),
                access,
            });
            let tls = settings.tls.as_ref();
            let options = server_options(config, settings.protocol, tls, place)?;
            outbound = Some(Arc::new(Service { direction, options, asking, ours: false }));
        }
        let mut inbound = None;
        if let Some(settings) = &config.inbound {
            let direction = Arc::new(Inbound {
                shared: Arc::clone(&shared),
                hop: match hops.inbound {
                    Some(hop) => hop,
                    None => next_hop(config, &settings.next_hop, "inbound.next_hop")?,
                },
                protocol: settings.protocol,
                deliver_signed: settings.recipients == Recipients::Signed,
                outgoing_always: settings.outgoing_always,
                forwarders: settings.forwarders.clone(),
                one_by_one: OneByOne::default(),
                access: Access::new(None, &settings.xforward, &settings.xclient),
            });
            let tls = settings.tls.as_ref();
            let options = server_options(config, settings.protocol, tls, "inbound.tls")?;
            inbound = Some(Arc::new(Service { direction, options, asking: None, ours: false }));
        }
        Ok(Self { shared, resolver, outbound, inbound })
    }

    /// Its next hops.
    pub(super) fn hops(&self) -> Hops {
        Hops {
            outbound: self.outbound.as_ref().map(|side| Arc::clone(&side.direction.hop)),
            inbound: self.inbound.as_ref().map(|side| Arc::clone(&side.direction.hop)),
        }
    }

    pub(super) fn config(&self) -> &Config {
        &self.shared.config
    }
}

/// The generation in force.
pub(super) type Current = Arc<ArcSwap<Generation>>;

/// One side of the gateway, whichever generation is in force.
pub(super) struct Side<D> {
    pub(super) current: Current,
    pub(super) of: fn(&Generation) -> Option<&Arc<Service<D>>>,
}

impl<D> Clone for Side<D> {
    fn clone(&self) -> Self {
        Self { current: Arc::clone(&self.current), of: self.of }
    }
}

impl<D: Direction> Side<D> {
    /// The service in force; `None` if the configuration no longer has this side.
    pub(super) fn service(&self) -> Option<Arc<Service<D>>> {
        (self.of)(&self.current.load()).cloned()
    }

    /// The service in force for a connection that was begun under an earlier one; `None` if it has to go: this side,
    /// its protocol or its clients are others now.
    pub(super) fn next(&self, client: IpAddr, protocol: Protocol) -> Option<Arc<Service<D>>> {
        self.service().filter(|service| {
            service.options.protocol == protocol && service.direction.admits(client)
        })
    }
}

fn next_hop(
    config: &Config,
    servers: &[NextHop],
    place: &'static str,
) -> Result<Arc<Hop>, StartError> {
    let options = |server: &NextHop| {
        let mut options = ClientOptions::new(server.address.clone(), config.hostname.as_str());
        options.tls = server.client_tls().map_err(|error| StartError::Tls { place, error })?;
        options.credentials =
            server.credentials().map_err(|error| StartError::Password { place, error })?;
        options.timeouts = config.timeouts.client();
        Ok(options)
    };
    let servers: Result<Vec<_>, StartError> = servers.iter().map(options).collect();
    Ok(Arc::new(Hop::new(servers?)))
}

fn server_options(
    config: &Config,
    protocol: Protocol,
    tls: Option<&config::ListenerTls>,
    place: &'static str,
) -> Result<Arc<ServerOptions>, StartError> {
    let mut options = ServerOptions::new(config.hostname.as_str(), protocol);
    options.limits = config.limits.server();
    options.timeouts = config.timeouts.server();
    if let Some(tls) = tls {
        let config = tls.server_config().map_err(|error| StartError::Tls { place, error })?;
        options.tls = Some(config);
        options.require_tls = tls.required;
    }
    Ok(Arc::new(options))
}
