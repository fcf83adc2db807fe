//! `mta-seal partner add`: looks a partner up, lets its fingerprint be compared, and adds it.

use std::path::Path;

use super::super::failure::Failure;
use super::super::terminal;
use super::book::{Book, by_hand};
use super::compare::{Comparison, compare, given, somebody_to_ask};
use super::{domain, print, reason};
use crate::gateway::config::{ClearMail, Config, NewPartner};
use crate::policy::{Level, LocalPolicy, Rule};
use crate::store::ledger::{ActionKind, NewAction};

/// Options of `partner add`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The partner's domain
    #[arg(value_name = "DOMAIN")]
    domain: String,
    #[command(flatten)]
    policy: Policy,
    /// The weakest level that counts: first-use, remembered, dnssec or pinned
    #[arg(long, value_name = "LEVEL")]
    minimum_level: Option<Level>,
    /// Clear mail from it: "mark" or "require-sealed"
    #[arg(long, value_name = "WHAT", value_parser = ["mark", "require-sealed"])]
    inbound: Option<String>,
    /// The fingerprint that the partner has told you, in digits or words; it is compared instead of asking
    #[arg(long, value_name = "FINGERPRINT", conflicts_with_all = ["no_pin", "never"])]
    pin: Option<String>,
    /// Do not compare or pin: whoever holds the domain's DNS can change the key
    #[arg(long)]
    no_pin: bool,
    /// With --pin: look nothing up, for a partner that publishes later
    #[arg(long, requires = "pin")]
    offline: bool,
    /// Why; it stays in the ledger, with your name. Needed with --never
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// Whether mail to a partner is sealed.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Policy {
    /// Mail to it is sealed or not sent (the default)
    #[arg(long)]
    require: bool,
    /// Mail to it is sealed if that is possible
    #[arg(long)]
    prefer: bool,
    /// Mail to it is never sealed; nothing is looked up
    #[arg(long)]
    never: bool,
}

impl Policy {
    fn rule(&self) -> Rule {
        match self {
            Self { prefer: true, .. } => Rule::Prefer,
            Self { never: true, .. } => Rule::Never,
            _ => Rule::Require,
        }
    }
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let domain = domain(&args.domain)?;
    let rule = args.policy.rule();
    let why = args.why.as_deref().map(reason).transpose()?;
    if rule == Rule::Never && why.is_none() {
        return Err(Failure::usage("--never needs --why").hint(
            "all mail to the partner will leave in clear; whoever audits the ledger will ask",
        ));
    }
    let given = args.pin.as_deref().map(given).transpose()?;
    let how = match given {
        Some(id) => Comparison::Given(id),
        None if args.no_pin => Comparison::None,
        None => Comparison::Asked,
    };
    if args.minimum_level == Some(Level::Pinned) && (args.no_pin || rule == Rule::Never) {
        return Err(Failure::usage("--minimum-level pinned needs a fingerprint")
            .hint("without --no-pin and --never it is looked up and compared"));
    }
    let (book, config) = Book::open(config)?;
    let new = |config: &Config| {
        if config.local(&domain).is_some() {
            return Err(Failure::refused(format!("{domain} is a domain of this gateway")));
        }
        match config.partner(&domain) {
            None => Ok(()),
            Some(partner) if *partner.place.file == *config.partners_file => {
                Err(Failure::refused(format!("{domain} is a partner already, at {}", partner.place))
                    .hint(format!("`mta-seal partner pin {domain}` changes its fingerprint; other changes are made in the file")))
            }
            Some(partner) => Err(by_hand(partner)),
        }
    };
    // Before anybody is asked, and again once nobody else can change the file.
    new(&config)?;
    let identity = if rule == Rule::Never {
        terminal::warning(&format!("mail to {domain} will leave in clear, whatever it asks for"));
        None
    } else if args.offline {
        given
    } else {
        somebody_to_ask(
            how,
            "give the one that the partner has told you with --pin, or use --no-pin",
        )?;
        let minimum_level = args.minimum_level.unwrap_or(config.defaults.minimum_level);
        let local = LocalPolicy { rule, minimum_level, ..LocalPolicy::default() };
        compare(&config, &domain, local, how)?
    };
    let partner = NewPartner {
        domain: domain.clone(),
        policy: rule,
        minimum_level: args.minimum_level,
        inbound: args.inbound.as_deref().map(|text| match text {
            "require-sealed" => ClearMail::RequireSealed,
            _ => ClearMail::Mark,
        }),
        identity,
    };
    let config = book.change(|config, text| {
        new(config)?;
        text.add(&partner);
        let detail = match why {
            Some(why) => format!("{}: {why}", detail(&partner)),
            None => detail(&partner),
        };
        Ok(vec![NewAction { kind: ActionKind::Add, domain: domain.clone(), detail }])
    })?;
    let place = config.partner(&domain).map(|added| added.place.to_string()).unwrap_or_default();
    print(&format!("added {domain} at {place}: {}\n", detail(&partner)))?;
    book.tell()
}

/// The entry in words.
fn detail(partner: &NewPartner) -> String {
    let mut text = format!("policy {}", partner.policy);
    if let Some(level) = partner.minimum_level {
        text.push_str(&format!(", minimum_level {level}"));
    }
    if let Some(inbound) = partner.inbound {
        text.push_str(&format!(", inbound {}", inbound.as_str()));
    }
    match &partner.identity {
        Some(id) => text.push_str(&format!(", identity {id}")),
        None => text.push_str(", not pinned"),
    }
    text
}
