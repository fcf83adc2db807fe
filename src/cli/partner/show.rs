//! `mta-seal partner show`: what holds for one domain, what is remembered of it, and what was done about it.

use std::path::Path;

use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::moment::{length, utc};
use super::super::{context, fingerprint, table};
use super::overrides::{self, name};
use super::{Recalled, domain, print, recall};
use crate::core::{Domain, KeyId};
use crate::gateway::config::{ClearMail, Config};
use crate::policy::{Hold, Memory};
use crate::store::ledger::{Action, Allowance, Ledger, MAX_ACTIONS, MAX_ALLOWANCES, Scope};

/// Options of `partner show`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The partner's domain
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// JSON
    #[arg(long)]
    json: bool,
}

/// All that is known of a domain.
struct Known {
    domain: Domain,
    scopes: Vec<(Scope, Option<Recalled>)>,
    allowances: Vec<Allowance>,
    actions: Vec<Action>,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let domain = domain(&args.domain)?;
    let config = context::config(config)?;
    let ledger = context::ledger_if_any(&config)?;
    let mut known =
        Known { scopes: Vec::new(), allowances: Vec::new(), actions: Vec::new(), domain };
    for scope in [Scope::Outgoing, Scope::Incoming] {
        known.scopes.push((scope, recall(ledger.as_ref(), scope, &known.domain)?));
    }
    if let Some(ledger) = &ledger {
        known.allowances = context::block_on(ledger.allowances(MAX_ALLOWANCES))?
            .map_err(context::ledger_failure)?;
        known.allowances.retain(|allowance| allowance.domain == known.domain.as_str());
        known.actions = context::block_on(ledger.actions(Some(&known.domain), MAX_ACTIONS))?
            .map_err(context::ledger_failure)?;
    }
    let now = context::now();
    print(&if args.json { known.json(&config, now)? } else { known.text(&config, now) })
}

fn row(name: &str, text: impl Into<String>) -> Vec<String> {
    vec![name.to_owned(), text.into()]
}

/// A row with a fingerprint, behind the rows of `table::lines`.
fn identity(name: &str, id: &KeyId) -> String {
    let indent = " ".repeat(14);
    format!("  {name:<12}{}\n", fingerprint::lines(id, &indent))
}

impl Known {
    fn text(&self, config: &Config, now: u64) -> String {
        let (domain, treatment) = (&self.domain, config.treatment(&self.domain));
        let partner = config.partner(domain);
        let defined = match partner {
            Some(partner) => format!("defined at {}", partner.place),
            None if config.local(domain).is_some() => "a domain of this gateway".to_owned(),
            None => "no partner: the defaults hold".to_owned(),
        };
        let clear_mail = match treatment.inbound {
            ClearMail::Mark => "taken, and marked",
            ClearMail::RequireSealed => "refused",
        };
        let mut rows = vec![
            row("policy", treatment.policy.as_str()),
            row("least level", treatment.minimum_level.as_str()),
            row("clear mail", clear_mail),
        ];
        if partner.is_some_and(|partner| partner.allow_weaker_suite) {
            rows.push(row("weaker suite", "allowed"));
        }
        let mut text = format!("{domain}: {defined}\n{}", lines(&rows));
        let pin = config.pin(domain);
        match pin {
            Some(pin) => text.push_str(&identity("pinned to", &pin)),
            None => text.push_str("  not pinned\n"),
        }
        for (scope, kept) in &self.scopes {
            text.push_str(&remembered(*scope, kept.as_ref(), pin.as_ref(), now));
        }
        if self.allowances.iter().any(|allowance| allowance.holds(now)) {
            text.push_str("\nmail to it that cannot be sealed leaves in clear, by an override\n");
        }
        if !self.allowances.is_empty() {
            text.push_str(&format!("\noverrides\n{}", overrides::text(&self.allowances, now)));
        }
        if !self.actions.is_empty() {
            let head = ["TIME", "BY", "ACTION", "DETAIL"].map(str::to_owned).to_vec();
            let rows = self.actions.iter().map(|action| {
                let Action { at, by, action, detail, .. } = action;
                vec![utc(*at), name(by), action.clone(), detail.clone()]
            });
            let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
            text.push_str(&format!("\nactions\n{}", table::lines("", &rows)));
        }
        text
    }

    fn json(&self, config: &Config, now: u64) -> Result<String, Failure> {
        let treatment = config.treatment(&self.domain);
        let partner = config.partner(&self.domain);
        let pin = config.pin(&self.domain);
        let mut value = json!({
            "domain": self.domain.as_str(),
            "partner": partner.is_some(),
            "file": partner.map(|partner| partner.place.file.display().to_string()),
            "line": partner.map(|partner| partner.place.line),
            "policy": treatment.policy.as_str(),
            "minimum_level": treatment.minimum_level.as_str(),
            "inbound": treatment.inbound.as_str(),
            "allow_weaker_suite": partner.is_some_and(|partner| partner.allow_weaker_suite),
            "identity": pin.map(|pin| pin.to_string()),
            "identity_words": pin.map(|pin| pin.words()),
            "overrides": self.allowances.iter().map(|allowance| override_json(allowance, now)).collect::<Vec<_>>(),
            "actions": self.actions.iter().map(action_json).collect::<Vec<_>>(),
        });
        for (scope, kept) in &self.scopes {
            let kept = kept.as_ref().map(|known| remembered_json(known, pin.as_ref()));
            value[format!("remembered_{}", scope.as_str())] = kept.unwrap_or(Value::Null);
        }
        table::json(&value)
    }
}

fn lines(rows: &[Vec<String>]) -> String {
    // Names as wide as the longest that there is.
    let wide = |row: &Vec<String>| {
        let mut row = row.clone();
        if let Some(name) = row.first_mut() {
            *name = format!("{name:<10}");
        }
        row
    };
    table::lines("  ", &rows.iter().map(wide).collect::<Vec<_>>())
}

/// The paragraph about what is remembered in one direction.
fn remembered(scope: Scope, known: Option<&Recalled>, pin: Option<&KeyId>, now: u64) -> String {
    let title = match scope {
        Scope::Outgoing => "remembered for mail to it",
        Scope::Incoming => "remembered for mail from it",
    };
    let Some(Recalled { kept, memory }) = known else {
        return format!("\n{title}: nothing\n");
    };
    let Some(memory) = memory else {
        return format!("\n{title}: damaged, and not used\n");
    };
    let over = if now < kept.until { "" } else { " (over)" };
    let record = memory.policy.record();
    let hold = match memory.hold {
        Hold::Firm => "as long as the domain asks".to_owned(),
        Hold::Growing { seconds, .. } => format!("{} after it was last seen", length(seconds)),
    };
    let mut rows = vec![
        row("mode", record.mode.as_str()),
        row("level", memory.level(pin).as_str()),
        row("serial", utc(kept.serial)),
        row("policy ends", utc(memory.policy_until())),
        row("held", hold),
        row("until", utc(kept.until)),
    ];
    if let Some(until) = kept.enforce_until {
        let over = if now < until { "" } else { " (over)" };
        rows.push(row("enforce", format!("no clear mail until {}{over}", utc(until))));
    }
    rows.push(row("first seen", utc(kept.first_seen)));
    rows.push(row("last seen", utc(kept.last_observed)));
    let id = memory.identity().fingerprint();
    format!("\n{title}{over}\n{}{}", lines(&rows), identity("identity", &id))
}

fn remembered_json(Recalled { kept, memory }: &Recalled, pin: Option<&KeyId>) -> Value {
    let memory = memory.as_ref();
    let id = memory.map(|memory| memory.identity().fingerprint());
    json!({
        "usable": memory.is_some(),
        "mode": memory.map(|memory| memory.policy.record().mode.as_str()),
        "level": memory.map(|memory| memory.level(pin).as_str()),
        "serial": kept.serial,
        "policy_until": memory.map(Memory::policy_until),
        "hold": kept.hold,
        "until": kept.until,
        "enforce_until": kept.enforce_until,
        "first_seen": kept.first_seen,
        "last_seen": kept.last_observed,
        "identity": id.map(|id| id.to_string()),
        "identity_words": id.map(|id| id.words()),
    })
}

fn override_json(allowance: &Allowance, now: u64) -> Value {
    json!({
        "id": allowance.id,
        "holds": allowance.holds(now),
        "created": allowance.created,
        "until": allowance.until,
        "ended": allowance.ended.as_ref().map(|(at, _)| at),
        "uid": allowance.by.uid,
        "login": allowance.by.login,
        "why": allowance.why,
    })
}

fn action_json(action: &Action) -> Value {
    json!({
        "id": action.id,
        "time": action.at,
        "uid": action.by.uid,
        "login": action.by.login,
        "action": action.action,
        "detail": action.detail,
    })
}
