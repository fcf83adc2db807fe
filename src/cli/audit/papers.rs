//! Which keys may have signed the trail: those that a policy of ours lists, signed by our identity key or one that it succeeded.

use crate::cli::context;
use crate::cli::failure::Failure;
use crate::core::{Domain, KeyId, VerifyingKey, sha256};
use crate::gateway::config::Config;
use crate::gateway::verified;
use crate::records::VerifiedPolicy;
use crate::store::ledger::Trail;
use crate::store::ledger::audit::{Checkpoint, SigningKeys};
use std::collections::{HashMap, HashSet};

/// The policies in the ledger, by the digests that checkpoints name.
pub(super) struct Papers {
    policies: HashMap<[u8; 32], VerifiedPolicy>,
    /// Of each domain the identity keys that are believed.
    believed: HashSet<(Domain, KeyId)>,
}

impl Papers {
    /// Believes the identity keys of the domains in the configuration, and those that `given` names.
    pub(super) fn new(trail: &Trail, config: &Config, given: &[KeyId]) -> Result<Self, Failure> {
        let mut policies = HashMap::new();
        for (domain, text) in trail.policies().map_err(context::ledger_failure)? {
            let digest = sha256(text.as_bytes());
            if let Ok(domain) = Domain::parse(&domain)
                && let Ok(policy) = verified(&text, &domain)
            {
                policies.insert(digest, policy);
            }
        }
        let mut ours = Vec::new();
        for local in &config.domains {
            let text = std::fs::read_to_string(local.keys.join("policy.txt")).unwrap_or_default();
            ours.extend(verified(text.trim_end(), &local.name));
        }
        let known =
            |policy: &VerifiedPolicy| (policy.domain().clone(), policy.identity().fingerprint());
        let mut believed: HashSet<(Domain, KeyId)> = ours.iter().map(known).collect();
        let all: Vec<&VerifiedPolicy> = policies.values().chain(&ours).collect();
        believed
            .extend(all.iter().map(|policy| known(policy)).filter(|(_, id)| given.contains(id)));
        // A policy that carries the proof of a succession makes its predecessor ours too.
        loop {
            let former = |policy: &&&VerifiedPolicy| {
                !believed.contains(&known(policy))
                    && all.iter().any(|later| {
                        let announced = policy.record().next_identity.as_ref();
                        believed.contains(&known(later))
                            && later.domain() == policy.domain()
                            && later.succeeds(policy.identity(), announced, later.record().serial)
                    })
            };
            let Some(found) = all.iter().find(former).map(|policy| known(policy)) else { break };
            believed.insert(found);
        }
        Ok(Self { policies, believed })
    }
}

impl SigningKeys for Papers {
    fn find(&mut self, checkpoint: &Checkpoint) -> Result<VerifyingKey, String> {
        let policy = self
            .policies
            .get(&checkpoint.policy)
            .ok_or("the policy record that lists its key is not in the ledger")?;
        if policy.domain().as_str() != checkpoint.domain {
            return Err("the policy record that it names is of another domain".to_owned());
        }
        let identity = policy.identity().fingerprint();
        if !self.believed.contains(&(policy.domain().clone(), identity)) {
            return Err(format!("identity {identity} is not that of {}", checkpoint.domain));
        }
        let mut keys = policy.record().signing_keys.iter();
        keys.find(|key| key.key_id() == checkpoint.key)
            .cloned()
            .ok_or_else(|| "its key is not in the policy record that it names".to_owned())
    }
}
