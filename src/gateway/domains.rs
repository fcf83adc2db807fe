//! The local domains with the keys in force, which change while connections use them.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::local::LocalKeys;
use crate::core::Domain;

/// The keys of each local domain. Whoever has got some keeps them for what he has begun; when the last one is done, they are wiped.
pub(super) struct LocalDomains(HashMap<Domain, ArcSwap<LocalKeys>>);

impl LocalDomains {
    pub(super) fn new(domains: HashMap<Domain, LocalKeys>) -> Self {
        let shared = |keys| ArcSwap::from_pointee(keys);
        Self(domains.into_iter().map(|(domain, keys)| (domain, shared(keys))).collect())
    }

    /// The keys in force for a local domain.
    pub(super) fn get(&self, domain: &Domain) -> Option<Arc<LocalKeys>> {
        self.0.get(domain).map(ArcSwap::load_full)
    }

    pub(super) fn contains_key(&self, domain: &Domain) -> bool {
        self.0.contains_key(domain)
    }

    /// Puts other keys into force for a domain that is local.
    pub(super) fn replace(&self, domain: &Domain, keys: LocalKeys) {
        if let Some(place) = self.0.get(domain) {
            place.store(Arc::new(keys));
        }
    }
}
