//! Everything that the configuration says of one domain, and what a change of it means.

use super::{ClearMail, Config, Treatment};
use crate::core::{Domain, KeyId};
use crate::policy::{Level, Rule};

/// What holds for a domain, whether it has an entry or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How its mail is treated.
    pub treatment: Treatment,
    /// Fingerprint of its identity key, compared out of band.
    pub identity: Option<KeyId>,
    /// Whether a less preferred suite will do [R-dec-17].
    pub allow_weaker_suite: bool,
}

/// One difference between what holds for a domain before a change and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Whether mail to it is sealed.
    Rule {
        /// Before.
        was: Rule,
        /// After.
        is: Rule,
    },
    /// The lowest authenticity that counts.
    MinimumLevel {
        /// Before.
        was: Level,
        /// After.
        is: Level,
        /// A denial of its policy now lets mail to it go clear, and did not before.
        clear_on_denial: bool,
    },
    /// The pinned identity key.
    Identity {
        /// Before.
        was: Option<KeyId>,
        /// After.
        is: Option<KeyId>,
        /// A denial of its policy now lets mail to it go clear, and did not before.
        clear_on_denial: bool,
    },
    /// What happens to clear mail from it.
    ClearMail {
        /// Before.
        was: ClearMail,
        /// After.
        is: ClearMail,
    },
    /// Whether its sealed mail must be in its own name [R-uns-11].
    RequireAligned {
        /// After.
        is: bool,
    },
    /// Whether a less preferred suite will do [R-dec-17].
    AllowWeakerSuite {
        /// After.
        is: bool,
    },
}

impl Standing {
    /// What lets mail go clear when its policy is denied without DNSSEC, and with it [R-dec-16]: whether it may then.
    fn clear_on_denial(&self) -> [bool; 2] {
        let level = self.treatment.minimum_level;
        let open = self.treatment.policy == Rule::Prefer && self.identity.is_none();
        [open && level < Level::Dnssec, open && level < Level::Pinned]
    }

    /// Every difference to what holds after a change.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let (was, is) = (&self.treatment, &after.treatment);
        let [unsigned, signed] = self.clear_on_denial();
        let [unsigned_now, signed_now] = after.clear_on_denial();
        let clear_on_denial = unsigned_now && !unsigned || signed_now && !signed;
        let mut changes = Vec::new();
        if was.policy != is.policy {
            changes.push(Change::Rule { was: was.policy, is: is.policy });
        }
        if was.minimum_level != is.minimum_level {
            let (was, is) = (was.minimum_level, is.minimum_level);
            changes.push(Change::MinimumLevel { was, is, clear_on_denial });
        }
        if self.identity != after.identity {
            let (was, is) = (self.identity, after.identity);
            changes.push(Change::Identity { was, is, clear_on_denial });
        }
        if was.inbound != is.inbound {
            changes.push(Change::ClearMail { was: was.inbound, is: is.inbound });
        }
        if was.require_aligned != is.require_aligned {
            changes.push(Change::RequireAligned { is: is.require_aligned });
        }
        if self.allow_weaker_suite != after.allow_weaker_suite {
            changes.push(Change::AllowWeakerSuite { is: after.allow_weaker_suite });
        }
        changes
    }
}

impl Change {
    /// Whether less is demanded after it.
    #[must_use]
    pub fn weakens(&self) -> bool {
        match self {
            Self::Rule { was, is } => *was == Rule::Require || *is == Rule::Never,
            Self::MinimumLevel { was, is, .. } => is < was,
            Self::Identity { is, .. } => is.is_none(),
            Self::ClearMail { is, .. } => *is == ClearMail::Mark,
            Self::RequireAligned { is } => !is,
            Self::AllowWeakerSuite { is } => *is,
        }
    }

    /// What it means for the mail of `domain`, in a sentence.
    #[must_use]
    pub fn meaning(&self, domain: &Domain) -> String {
        let denial = |clear: bool| match clear {
            true => "; a denial of its policy, true or forged, now lets mail to it go clear",
            false => "",
        };
        match self {
            Self::Rule { is: Rule::Require, .. } => {
                format!("mail to {domain} is sealed or refused from now on")
            }
            Self::Rule { is: Rule::Prefer, .. } => {
                format!("mail to {domain} leaves in clear from now on if it publishes no policy")
            }
            Self::Rule { is: Rule::Never, .. } => {
                format!("mail to {domain} leaves in clear from now on")
            }
            Self::MinimumLevel { was, is, clear_on_denial } => format!(
                "the least level of {domain} that counts is {is} instead of {was}{}",
                denial(*clear_on_denial)
            ),
            Self::Identity { was: Some(_), is: None, clear_on_denial } => format!(
                "the identity key of {domain} is no longer pinned: whoever holds its DNS can change it{}",
                denial(*clear_on_denial)
            ),
            Self::Identity { is, .. } => match is {
                Some(is) => format!("the identity key of {domain} is pinned to {is}"),
                None => format!("the identity key of {domain} is not pinned"),
            },
            Self::ClearMail { is: ClearMail::Mark, .. } => {
                format!("clear mail that claims to be from {domain} is taken from now on")
            }
            Self::ClearMail { is: ClearMail::RequireSealed, .. } => {
                format!("clear mail that claims to be from {domain} is refused from now on")
            }
            Self::RequireAligned { is: false } => {
                format!("sealed mail of {domain} may name other authors from now on")
            }
            Self::RequireAligned { is: true } => {
                format!("sealed mail of {domain} must have one author, of that domain, from now on")
            }
            Self::AllowWeakerSuite { is: true } => {
                format!("a less preferred suite of {domain} will do from now on")
            }
            Self::AllowWeakerSuite { is: false } => {
                format!(
                    "mail to {domain} waits from now on where only a less preferred suite can be had"
                )
            }
        }
    }

    /// The setting and its values, for the record.
    #[must_use]
    pub fn record(&self) -> String {
        let pin = |id: &Option<KeyId>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        match self {
            Self::Rule { was, is } => format!("policy {was} -> {is}"),
            Self::MinimumLevel { was, is, .. } => format!("minimum_level {was} -> {is}"),
            Self::Identity { was, is, .. } => format!("identity {} -> {}", pin(was), pin(is)),
            Self::ClearMail { was, is } => {
                format!("inbound {} -> {}", was.as_str(), is.as_str())
            }
            Self::RequireAligned { is } => format!("require_aligned {} -> {is}", !is),
            Self::AllowWeakerSuite { is } => format!("allow_weaker_suite {} -> {is}", !is),
        }
    }
}

impl Config {
    /// Everything that holds for `domain`.
    #[must_use]
    pub fn standing(&self, domain: &Domain) -> Standing {
        let partner = self.partner(domain);
        Standing {
            treatment: self.treatment(domain).clone(),
            identity: partner.and_then(|partner| partner.identity),
            allow_weaker_suite: partner.is_some_and(|partner| partner.allow_weaker_suite),
        }
    }

    /// Everything that holds for a domain without an entry.
    #[must_use]
    pub fn standing_of_strangers(&self) -> Standing {
        let treatment = self.defaults.clone();
        Standing { treatment, identity: None, allow_weaker_suite: false }
    }

    /// What `after` no longer demands of the partners of either, in the order of those of `self`, then the others.
    #[must_use]
    pub fn weakened(&self, after: &Self) -> Vec<(Domain, Change)> {
        let new = after.partners.iter().filter(|partner| self.partner(&partner.domain).is_none());
        let mut weakened = Vec::new();
        for domain in self.partners.iter().chain(new).map(|partner| &partner.domain) {
            let changes = self.standing(domain).changes(&after.standing(domain));
            let lost = changes.into_iter().filter(Change::weakens);
            weakened.extend(lost.map(|change| (domain.clone(), change)));
        }
        weakened
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;

    fn config(more: &str) -> Config {
        let text = format!(
            "hostname = 'gw.a.example'\n[[domain]]\nname = 'a.example'\nkeys = 'k'\n\
             [inbound]\nlisten = ['127.0.0.1:25']\nnext_hop = 'lmtp://[::1]:24'\n{more}"
        );
        Config::parse(&text, Path::new("mta-seal.toml")).unwrap()
    }

    const PIN: &str = "0707070707070707070707070707070707070707070707070707070707070707";

    #[test]
    fn every_demand_that_goes_is_named() {
        let strict = config(&format!(
            "[[partner]]\ndomain = 'b.example'\npolicy = 'require'\nminimum_level = 'pinned'\ninbound = 'require-sealed'\n\
             require_aligned = true\nidentity = '{PIN}'\n"
        ));
        let none = config("");
        let records = |before: &Config, after: &Config| -> Vec<String> {
            before.weakened(after).iter().map(|(_, change)| change.record()).collect()
        };
        assert_eq!(
            records(&strict, &none),
            [
                "policy require -> prefer",
                "minimum_level pinned -> first-use",
                &format!("identity {PIN} -> none"),
                "inbound require-sealed -> mark",
                "require_aligned true -> false"
            ]
        );
        assert!(records(&none, &strict).is_empty() && records(&strict, &strict).is_empty());
        let weaker = config("[[partner]]\ndomain = 'b.example'\nallow_weaker_suite = true\n");
        assert_eq!(records(&none, &weaker), ["allow_weaker_suite false -> true"]);
    }

    #[test]
    fn a_denial_that_now_means_clear_mail_is_said() {
        let (with, none) = (
            |key: &str| config(&format!("[[partner]]\ndomain = 'b.example'\n{key}\n")),
            config(""),
        );
        let clear = |before: &Config| {
            let weakened = before.weakened(&none);
            let (domain, change) = weakened.first().unwrap();
            change.meaning(domain).contains("now lets mail to it go clear")
        };
        assert!(clear(&with(&format!("identity = '{PIN}'"))));
        assert!(clear(&with("minimum_level = 'dnssec'")));
        // It was so before.
        assert!(!clear(&with("minimum_level = 'remembered'")));
    }
}
