//! `mta-seal bypass`: whether mail leaves, or comes in, past the gateway.

mod exchangers;
mod finding;
mod maps;
mod nexthop;
mod postfix;
mod probe;
mod published;

use super::context::{self, Own};
use super::failure::Failure;
use super::terminal;
use crate::dns::StubResolver;
use finding::Grade;
use std::path::{Path, PathBuf};

/// Options of `bypass`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A host before this gateway that takes our mail on purpose, such as a filter; may be given several times
    #[arg(long, value_name = "HOST")]
    edge: Vec<String>,
    /// Where main.cf and master.cf of the Postfix before the gateway are [default: what `postconf` says, if it is there]
    #[arg(long, value_name = "DIR")]
    postconf_dir: Option<PathBuf>,
    /// Do not look at a Postfix on this host
    #[arg(long, conflicts_with = "postconf_dir")]
    no_postfix: bool,
    /// Send a message that cannot be delivered through the MTA before the gateway, and watch its bounce leave
    #[arg(long, value_name = "smtp://HOST:PORT", requires = "bounce_to")]
    probe: Option<String>,
    /// A mailbox of yours at a partner that seals, to which the bounce goes
    #[arg(long, value_name = "ADDRESS", requires = "probe")]
    bounce_to: Option<String>,
    /// An address that the MTA accepts and cannot deliver to [default: mta-seal-probe-TOKEN at the first domain]
    #[arg(long, value_name = "ADDRESS", requires = "probe")]
    recipient: Option<String>,
    /// How long to watch for the bounce
    #[arg(long, value_name = "TIME", default_value = "1m", requires = "probe")]
    patience: String,
}

pub(super) fn run(args: &Args, config: Option<&Path>) -> Result<(), Failure> {
    let config = context::config(config)?;
    let probe = probe::Plan::new(args, &config)?;
    let mut findings = Vec::new();
    let now = context::now();
    let mut owns = Vec::new();
    for local in &config.domains {
        match Own::load(local) {
            Ok(own) => owns.push(own),
            Err(failure) => findings.push(published::unreadable(&local.name, &failure)),
        }
    }
    let looked_up = context::block_on(async {
        let resolver = StubResolver::new(&config.dns).map_err(Failure::refused)?;
        let mut findings = Vec::new();
        for own in &owns {
            findings.extend(published::check(&resolver, &own.policy, now).await);
        }
        for local in &config.domains {
            let hosts = resolver.mail_hosts(&local.name).await;
            findings.extend(exchangers::check(&config, &local.name, &hosts, &args.edge));
        }
        Ok::<_, Failure>(findings)
    })??;
    findings.extend(looked_up);
    if !args.no_postfix {
        findings.extend(postfix::check(&config, args.postconf_dir.as_deref()));
    }
    if let Some(plan) = probe {
        findings.push(context::block_on(plan.run(&config))?);
    }
    terminal::print(&finding::text(&findings))?;
    let failed = findings.iter().filter(|finding| finding.grade == Grade::Fail).count();
    match failed {
        0 => Ok(()),
        1 => Err(Failure::refused("1 check failed: mail goes, or may go, past the gateway")),
        more => Err(Failure::refused(format!(
            "{more} checks failed: mail goes, or may go, past the gateway"
        ))),
    }
}
