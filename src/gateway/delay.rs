//! Telling our own senders that their mail is still waiting, where the MTA before us cannot (RFC 3464, action
//! `delayed`): once a day for each sender and domain.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Shared;
use super::generation::Current;
use super::ids::TraceId;
use super::system_rng;
use crate::core::address::Mailbox;
use crate::mail::notice::{Action, Dsn, Recipient};
use crate::smtp::EnhancedStatus;
use crate::store::ledger::{Deferral, Event, EventKind, LedgerError, NewOutboxItem, Scope, Side};

/// Least time between two looks at the ledger, so that a flood of deferrals does not mean a flood of searches.
const PAUSE: Duration = Duration::from_millis(500);

/// Most recipients that one notice names.
const MAX_NAMED: usize = 100;

/// Tells senders until `stop` is cancelled, as the configuration in force says, whenever `waiting` rings. A message is
/// looked at when it was deferred once more, so nobody is told of one that is no longer tried.
pub(super) async fn run(current: Current, waiting: Arc<Notify>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = waiting.notified() => {}
        }
        let generation = current.load_full();
        let outbound = generation.config().outbound.as_ref();
        if let Some(delay) = outbound.and_then(|table| table.delay_notice)
            && let Err(error) = round(&generation.shared, delay).await
        {
            warn!(%error, "senders could not be told of a delay");
        }
        drop(generation);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn round(shared: &Shared, delay: Duration) -> Result<(), LedgerError> {
    let now = shared.clock.now();
    let waiting = shared.ledger.delayed(delay.as_secs(), now, usize::MAX).await?;
    let same = |a: &Deferral, b: &Deferral| (&a.sender, &a.domain) == (&b.sender, &b.domain);
    for group in waiting.chunk_by(same) {
        let [first, ..] = group else { continue };
        if let Some(notice) = notice(shared, group, now) {
            let event = Event {
                scope: Some(Scope::Outgoing),
                recipient: first.sender.clone(),
                domain: first.domain.clone(),
                reason: Action::Delayed.as_str().to_owned(),
                ..Event::new(EventKind::Notice, now)
            };
            let (sender, domain) = (&first.sender, &first.domain);
            shared.ledger.tell_delay(&notice, sender, domain, &[event]).await?;
            info!(to = first.sender, about = first.domain, "sender is told of a delay");
            shared.outbox.notify_one();
        }
    }
    Ok(())
}

/// The notice about mail of one sender to one domain; `None` if the sender is not one of ours.
fn notice(shared: &Shared, waiting: &[Deferral], now: u64) -> Option<NewOutboxItem> {
    let first = waiting.first()?;
    let sender = Mailbox::parse(&first.sender).ok()?;
    let from = sender.domain().filter(|domain| shared.domains.contains_key(domain))?;
    let told = &waiting[..waiting.len().min(MAX_NAMED)];
    let reasons: Vec<String> = told
        .iter()
        .map(|deferral| format!("{}. The server keeps trying.", deferral.cause.words))
        .collect();
    let recipients: Vec<Recipient<'_>> = told
        .iter()
        .zip(&reasons)
        .map(|(deferral, reason)| Recipient {
            address: &deferral.recipient,
            original: deferral.cause.original.as_deref(),
            action: Action::Delayed,
            status: status(&deferral.cause.reply),
            diagnostic: Some(&deferral.cause.reply),
            reason,
        })
        .collect();
    let id = TraceId::random(&mut system_rng()).to_string();
    // One message has one ENVID; several were not one submission.
    let envid = match told {
        [only] => only.cause.envid.as_deref(),
        _ => None,
    };
    let notice = Dsn {
        reporting_mta: shared.config.hostname.as_str(),
        from,
        id: &id,
        sender: &first.sender,
        envid,
        arrival: told.iter().map(|deferral| deferral.first_seen).min()?,
        translated: None,
        date: now,
        recipients: &recipients,
        returned: None,
    };
    Some(NewOutboxItem {
        reverse_path: String::new(),
        recipients: vec![first.sender.clone()],
        message: notice.build(),
        side: Side::Inside,
        created: now,
    })
}

/// The enhanced status of a reply as it stands in the ledger: `451 4.7.5 ...`.
fn status(reply: &str) -> (u8, u16, u16) {
    let status = reply.split_ascii_whitespace().nth(1).and_then(EnhancedStatus::parse);
    status.map_or((4, 0, 0), |status| (status.class(), status.subject(), status.detail()))
}
