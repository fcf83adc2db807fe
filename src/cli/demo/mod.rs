//! `mta-seal demo`: the whole protocol on loopback, attacks included.
//!
//! Two gateways run as `mta-seal serve` would run them, between them a relay that does what it
//! likes, behind them a mailbox, beside them a DNS server with a private signed root. Nothing is
//! installed, nothing outside this process is asked, and nothing is left behind.

mod account;
mod attacks;
mod carrier;
mod delivery;
mod forgery;
mod hops;
mod message;
mod world;

use super::failure::Failure;
use account::Account;
use message::Message;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use world::World;

/// The sender, as in MAIL FROM.
const ANNA: &str = "anna@company1.example";
/// The recipient, as in RCPT TO.
const BRUNO: &str = "bruno@company2.example";
/// The recipient at the domain whose zone is not signed.
const BRANCH_BRUNO: &str = "bruno@branch.example";

/// Longest time for everything; a run takes one or two seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the demo with the message in a file, or with its own.
pub(super) fn run(message: Option<PathBuf>) -> Result<(), Failure> {
    let message = match message {
        Some(path) => Message::read(&path)?,
        None => Message::built_in(),
    };
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::refused(format!("cannot start: {error}")))?;
    let mut account = Account::new();
    let begun = Instant::now();
    let played = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, play(&message, &mut account))
            .await
            .unwrap_or_else(|_| Err(Failure::refused("the demo hangs")))
    });
    if played.is_ok() {
        account.close(begun.elapsed());
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    played?;
    let sum = account.sum();
    if let Some(error) = sum.broken {
        return Err(Failure::writing("standard output", &error));
    }
    match sum.failed {
        0 => Ok(()),
        failed => {
            let all = sum.held + failed;
            Err(Failure::refused(format!("{failed} of {all} expectations did not hold")))
        }
    }
}

async fn play(message: &Message, account: &mut Account) -> Result<(), Failure> {
    let begun = Instant::now();
    let world = World::start().await?;
    delivery::scene(account, begun.elapsed());
    let carrier = delivery::first(&world, account, message).await?;
    attacks::on_the_carrier(&world, account, message, &carrier).await?;
    attacks::on_the_receiver(&world, account).await?;
    forgery::of_dns(&world, account).await?;
    let orderly = world.stop().await;
    account.gap();
    account.expect(orderly, "both gateways stopped in order, nothing left open");
    Ok(())
}
