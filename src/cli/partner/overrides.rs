//! The operator's overrides, which let mail to a domain go clear for a while [R-dec-18].

use super::super::context;
use super::super::failure::Failure;
use super::super::moment::{length, utc};
use super::super::operator;
use super::super::table;
use super::super::terminal;
use super::{domain, print};
use crate::gateway::LEDGER_FILE;
use crate::gateway::config::{Config, parse_duration};
use crate::policy::Rule;
use crate::store::ledger::{
    Allowance, Ledger, MAX_ALLOWANCE, MAX_ALLOWANCES, Operator, OperatorLedger,
};
use std::path::Path;

/// Options of `partner allow-clear`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AllowArgs {
    /// The partner's domain
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// For how long: "30m", "4h", "2d"; at most 7 days
    #[arg(long = "for", value_name = "TIME")]
    time: String,
    /// Why; it stays in the ledger, with your name
    #[arg(long, value_name = "TEXT")]
    why: String,
}

/// Options of `partner disallow-clear`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DisallowArgs {
    /// The partner's domain
    #[arg(value_name = "DOMAIN")]
    domain: String,
}

/// Options of `partner overrides`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    /// Only overrides that hold now
    #[arg(long)]
    current: bool,
}

pub(super) fn allow(args: &AllowArgs, config: Option<&Path>) -> Result<(), Failure> {
    let domain = domain(&args.domain)?;
    let time = parse_duration(&args.time)
        .map_err(|what| Failure::usage(format!("--for: {what}")).hint("write \"4h\" or \"2d\""))?;
    let seconds = time.as_secs();
    if seconds == 0 || seconds > MAX_ALLOWANCE {
        return Err(Failure::usage(format!("--for {}: not between 1s and 7d", args.time))
            .hint("an override ends by itself; if the partner needs longer, it is given anew, with a reason"));
    }
    let why =
        operator::reason(&args.why, "whoever audits the ledger will ask why mail went unsealed")?;
    let config = context::config(config)?;
    if config.local(&domain).is_some() {
        return Err(Failure::refused(format!("{domain} is a domain of this gateway"))
            .hint("an override is about mail to a partner"));
    }
    if config.destination(&domain).rule == Rule::Require {
        return Err(Failure::refused(format!("mail to {domain} must be sealed: its policy is \"require\""))
            .hint("an override does not lift that; set policy = \"prefer\" for it and reload, and set it back afterwards"));
    }
    let ledger = open(&config)?;
    let now = context::now();
    let given = ledger
        .allow(&domain, now, now.saturating_add(seconds), why, &operator::current())
        .map_err(context::ledger_failure)?;
    terminal::warning(&format!(
        "until {} mail to {domain} that cannot be sealed leaves in clear",
        utc(given.until)
    ));
    terminal::hint(&format!("end it early with `mta-seal partner disallow-clear {domain}`"));
    print(&format!("override {} for {domain}, {}\n", given.id, length(seconds)))
}

pub(super) fn disallow(args: &DisallowArgs, config: Option<&Path>) -> Result<(), Failure> {
    let domain = domain(&args.domain)?;
    let config = context::config(config)?;
    let ledger = open(&config)?;
    let ended = ledger
        .disallow(&domain, context::now(), &operator::current())
        .map_err(context::ledger_failure)?;
    if ended.is_empty() {
        return Err(Failure::refused(format!("no override of {domain} holds"))
            .hint("`mta-seal partner overrides` shows them all"));
    }
    let mut text = String::new();
    for Allowance { id, .. } in ended {
        text.push_str(&format!("override {id} for {domain} ended\n"));
    }
    print(&text)
}

pub(super) fn list(args: &ListArgs, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let ledger = context::ledger(&config)?;
    let now = context::now();
    let mut all =
        context::block_on(ledger.allowances(MAX_ALLOWANCES))?.map_err(context::ledger_failure)?;
    if args.current {
        all.retain(|allowance| allowance.holds(now));
    }
    print(&text(&all, now))
}

fn open(config: &Config) -> Result<OperatorLedger, Failure> {
    OperatorLedger::open(&config.state.join(LEDGER_FILE)).map_err(context::ledger_failure)
}

/// The overrides as a table.
pub(super) fn text(all: &[Allowance], now: u64) -> String {
    if all.is_empty() {
        return "no overrides\n".to_owned();
    }
    let head = ["ID", "DOMAIN", "STATE", "FROM", "UNTIL", "BY", "WHY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for allowance in all {
        let state = match &allowance.ended {
            Some((at, by)) => format!("ended {} by {}", utc(*at), name(by)),
            None if allowance.holds(now) => {
                format!("holds, {} left", length(allowance.until.saturating_sub(now)))
            }
            None => "over".to_owned(),
        };
        rows.push(vec![
            allowance.id.to_string(),
            allowance.domain.clone(),
            state,
            utc(allowance.created),
            utc(allowance.until),
            name(&allowance.by),
            allowance.why.clone(),
        ]);
    }
    table::lines("", &rows)
}

/// A person as the audit trail has it.
pub(super) fn name(operator: &Operator) -> String {
    format!("{} (uid {})", operator.login, operator.uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_and_past_overrides_are_told_apart() {
        const NOW: u64 = 1_800_000_000;
        let by = |uid, login: &str| Operator { uid, login: login.to_owned() };
        let allowance = |id, until, ended| Allowance {
            id,
            domain: "company2.example".to_owned(),
            created: NOW - 7_200,
            until,
            why: "their key expired, ticket 4711".to_owned(),
            by: by(0, "alice"),
            ended,
        };
        let all = [
            allowance(3, NOW + 7_200, None),
            allowance(2, NOW + 7_200, Some((NOW - 60, by(1_000, "bob")))),
            allowance(1, NOW, None),
        ];
        insta::assert_snapshot!(text(&all, NOW));
        assert_eq!(text(&[], NOW), "no overrides\n");
    }
}
