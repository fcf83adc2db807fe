//! Delivering what the gateway itself writes, until the next hop has it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::generation::{Current, Generation};
use super::hop::{Downstream, Hop};
use super::outbound::Outbound;
use super::session::{self, Recipient, Service};
use crate::core::address::{ForwardPath, Mailbox, ReversePath};
use crate::core::esmtp::{MailParameters, RcptParameters};
use crate::smtp::client::{Client, ClientOptions, Outcome};
use crate::smtp::next_hop::NextHop;
use crate::smtp::server::{ServerConnection, ServerOptions};
use crate::smtp::tls::ClientTls;
use crate::smtp::{Protocol, Reply};
use crate::store::ledger::{NewOutboxItem, OutboxItem, Side};

/// How often the outbox is looked at without being woken.
const INTERVAL: Duration = Duration::from_secs(30);

/// Most messages in one go.
const BATCH: usize = 20;

/// First and longest wait between attempts, in seconds.
const BACKOFF: (u64, u64) = (60, 3600);

/// A message is given up after so many seconds: 5 days, as MTAs do.
const LIFETIME: u64 = 5 * 24 * 3600;

/// Size of the pipe to our own sealing side, in octets.
const PIPE: usize = 64 * 1024;

/// Delivers until `stop` is cancelled.
pub(super) async fn run(current: Current, bell: Arc<Notify>, stop: CancellationToken) {
    loop {
        // Each round has one generation, and lets it go before the wait.
        let generation = current.load_full();
        match round(&generation, &stop).await {
            // Each of them is done or postponed, so this comes to an end.
            Ok(BATCH..) => continue,
            Ok(_) => {}
            Err(error) => warn!(%error, "outbox cannot be read"),
        }
        drop(generation);
        tokio::select! {
            () = stop.cancelled() => return,
            () = bell.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Attempts what is due; how many messages that were.
async fn round(
    generation: &Generation,
    stop: &CancellationToken,
) -> Result<usize, crate::store::ledger::LedgerError> {
    let shared = &generation.shared;
    let inside = generation.inbound.as_ref().map(|service| &service.direction.hop);
    let outside = generation.outbound.as_ref().map(|service| &service.direction);
    let now = shared.clock.now();
    let due = shared.ledger.due(now, BATCH).await?;
    let count = due.len();
    for OutboxItem { id, item, attempts } in due {
        if stop.is_cancelled() {
            return Ok(0);
        }
        let reply = match (item.side, inside, outside) {
            (Side::Inside, Some(hop), _) => to_hop(hop, &item).await,
            // Without a way inside, our own sealing side knows the way out.
            (_, _, Some(outbound)) => to_outside(outbound, &item, stop).await,
            (_, Some(hop), None) => to_hop(hop, &item).await,
            (_, None, None) => Err(Reply::new(451, (4, 4, 4), "no way to send")),
        };
        let reply = match reply {
            Ok(()) => {
                info!(to = ?item.recipients, "notice delivered");
                shared.ledger.done(id).await?;
                continue;
            }
            Err(reply) => reply,
        };
        let age = now.saturating_sub(item.created);
        if reply.is_permanent() || age > LIFETIME {
            // A notice has the null reverse-path: there is nobody to tell.
            warn!(to = ?item.recipients, reply = %reply, "notice given up");
            shared.ledger.done(id).await?;
        } else {
            let wait = BACKOFF.0.saturating_mul(1 << attempts.min(10)).min(BACKOFF.1);
            shared.ledger.postpone(id, now.saturating_add(wait)).await?;
        }
    }
    Ok(count)
}

fn recipients(item: &NewOutboxItem) -> Vec<Recipient> {
    let paths = item.recipients.iter().filter_map(|text| Mailbox::parse(text).ok());
    paths
        .map(|mailbox| Recipient {
            path: ForwardPath::Mailbox(mailbox),
            parameters: RcptParameters::default(),
        })
        .collect()
}

fn reverse_path(item: &NewOutboxItem) -> ReversePath {
    Mailbox::parse(&item.reverse_path).map_or(ReversePath::Null, ReversePath::Mailbox)
}

fn needs_utf8(item: &NewOutboxItem) -> bool {
    item.recipients.iter().any(|recipient| !recipient.is_ascii())
}

/// To the MTA behind the unsealing side.
async fn to_hop(hop: &Arc<Hop>, item: &NewOutboxItem) -> Result<(), Reply> {
    let parameters = MailParameters {
        size: Some(item.message.len() as u64),
        smtputf8: needs_utf8(item),
        ..MailParameters::default()
    };
    let mut downstream = Downstream::begin(hop, reverse_path(item), parameters).await?;
    for recipient in recipients(item) {
        let reply = downstream.recipient(recipient).await;
        if !reply.is_positive() {
            downstream.abandon().await;
            return Err(reply);
        }
    }
    downstream.data().await?;
    downstream.write(&item.message).await?;
    settled(downstream.finish().await?)
}

/// Through our own sealing side, as if our MTA had sent it: the same decision, the same sealing.
async fn to_outside(
    outbound: &Arc<Outbound>,
    item: &NewOutboxItem,
    stop: &CancellationToken,
) -> Result<(), Reply> {
    let (near, far) = tokio::io::duplex(PIPE);
    let hostname = outbound.shared.config.hostname.as_str().to_owned();
    let options = ServerOptions {
        protocol: outbound.protocol,
        ..ServerOptions::new(hostname.clone(), Protocol::Smtp)
    };
    let (direction, stop) = (Arc::clone(outbound), stop.clone());
    let server = tokio::spawn(async move {
        let service = Arc::new(Service { direction, options: Arc::new(options) });
        let connection = ServerConnection::new(far, Arc::clone(&service.options));
        let next = || Some(Arc::clone(&service));
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        session::serve(Arc::clone(&service), next, connection, address, &stop).await
    });
    // The address is never connected to.
    let next_hop =
        NextHop::Tcp { protocol: outbound.protocol, host: "localhost".to_owned(), port: 1 };
    let result = submit(near, &ClientOptions::new(next_hop, hostname), item).await;
    server.abort();
    result
}

async fn submit(
    io: tokio::io::DuplexStream,
    options: &ClientOptions,
    item: &NewOutboxItem,
) -> Result<(), Reply> {
    let lost = |error: crate::smtp::client::ClientError| {
        warn!(%error, "notice could not be handed to our own sealing side");
        super::Failure::NextHopLost.reply()
    };
    let mut client = Client::handshake(io, options, &ClientTls::off()).await.map_err(lost)?;
    let parameters = MailParameters { smtputf8: needs_utf8(item), ..MailParameters::default() };
    let reply = client.mail(&reverse_path(item), &parameters).await.map_err(lost)?;
    accept(reply)?;
    for recipient in recipients(item) {
        accept(client.rcpt(&recipient.path, &recipient.parameters).await.map_err(lost)?)?;
    }
    let reply = client.data().await.map_err(lost)?;
    if reply.code() != 354 {
        return Err(reply);
    }
    client.write(&item.message).await.map_err(lost)?;
    settled(client.finish().await.map_err(lost)?.outcomes)
}

fn accept(reply: Reply) -> Result<(), Reply> {
    if reply.is_positive() { Ok(()) } else { Err(reply) }
}

fn settled(outcomes: Vec<Outcome>) -> Result<(), Reply> {
    for outcome in outcomes {
        match outcome {
            Outcome::Reply(reply) => accept(reply)?,
            Outcome::Unknown => return Err(super::Failure::NextHopLost.reply()),
        }
    }
    Ok(())
}
