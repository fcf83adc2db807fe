//! Two running gateways while identity keys change: mail goes on where there is proof, and waits where there is none [R-life-11].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::path::Path;

use gateway_support::*;
use mta_seal::core::{IdentityKey, KeyId};
use mta_seal::gateway::rotation::{Desk, Roll};
use mta_seal::lifetime::Schedule;
use mta_seal::smtp::Protocol::Smtp;
use mta_seal::store::keyring::Keyring;
use mta_seal::store::ledger::{Ledger, MAX_ALARMS};

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const MESSAGE: &[u8] = b"From: alice@company1.example\r\nSubject: x\r\n\r\ncanary\r\n";

/// The keyring of an organisation with its identity key, as where its policies are signed.
fn keyring(org: &Org, directory: &Path) {
    org.keys(directory);
    Keyring::load(directory).unwrap().add_identity(org.identity()).unwrap();
}

/// Rolls the identity key over and publishes the policy.
fn roll(world: &World, org: &Org, directory: &Path, roll: Roll) -> KeyId {
    let now = world.clock.now_seconds();
    let mut desk = Desk::open(directory, &org.domain, None, now).unwrap();
    let id = desk.roll_identity(None, roll, &Schedule::default(), now, &mut rng()).unwrap();
    org.publish_text(&world.dns, desk.policy().text());
    id
}

/// The kinds of alarms, once there are `n`.
async fn alarms(gw: &Gw, n: usize) -> Vec<String> {
    soon("alarms", async {
        loop {
            let rows = gw.ledger.alarms(None, MAX_ALARMS).await.unwrap();
            if rows.len() >= n {
                return rows.into_iter().map(|row| row.kind).collect();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

async fn arrives(world: &World) {
    let delivered = world.through(ALICE, &[BOB], MESSAGE).await;
    assert_eq!(delivered.len(), 1);
    assert_eq!(without_trace(&delivered[0].data), MESSAGE);
}

async fn waits(world: &World, reason: &str) {
    let before = world.relay.messages().len();
    let delivery = world.send(ALICE, &[BOB], MESSAGE).await;
    let verdict = delivery.verdict();
    assert_eq!(verdict.code, 451);
    assert!(verdict.text.contains(reason), "{}", verdict.text);
    assert_eq!(world.relay.messages().len(), before, "nothing leaves, and least of all in clear");
}

#[tokio::test]
async fn both_sides_of_a_pair_roll_over_and_mail_goes_on() {
    let world = World::new().await;
    arrives(&world).await;
    let directory = tempfile::tempdir().unwrap();
    let (sender, recipient) = (directory.path().join("1"), directory.path().join("2"));
    keyring(&world.company1, &sender);
    keyring(&world.company2, &recipient);
    world.clock.advance(HOUR);
    roll(&world, &world.company2, &recipient, Roll::default());
    arrives(&world).await;
    assert_eq!(alarms(&world.gw1, 1).await, ["identity-rolled-over"]);
    roll(&world, &world.company1, &sender, Roll::default());
    arrives(&world).await;
    assert_eq!(alarms(&world.gw2, 1).await, ["identity-rolled-over"]);
    // The policy is signed anew with another statement, which changes nothing any more.
    world.clock.advance(HOUR);
    let now = world.clock.now_seconds();
    let mut desk = Desk::open(&recipient, &world.company2.domain, None, now).unwrap();
    let before = desk.policy().record().rollover.clone();
    desk.put(&desk.draft(&Schedule::default(), now), now).unwrap();
    let after = desk.policy().record().rollover.clone();
    assert!(after.is_some() && after != before);
    world.company2.publish_text(&world.dns, desk.policy().text());
    arrives(&world).await;
    assert_eq!(alarms(&world.gw1, 1).await.len(), 1);
}

#[tokio::test]
async fn a_pinned_partner_that_lost_its_key_is_waited_for_until_it_is_pinned_again() {
    let pin =
        |id: &KeyId| format!("[[partner]]\ndomain = \"company2.example\"\nidentity = \"{id}\"\n");
    let company2 = Org::new("company2.example", 20);
    let extra1 = pin(&company2.identity().fingerprint());
    let mut world = World::with(WorldOptions { extra1, ..WorldOptions::default() }).await;
    arrives(&world).await;
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("2");
    // Without its identity key.
    world.company2.keys(&keys);
    world.clock.advance(HOUR);
    let lost = Roll { lost: true, ..Roll::default() };
    let new = roll(&world, &world.company2, &keys, lost);
    // What is remembered seals, as long as that policy lasts.
    arrives(&world).await;
    assert_eq!(alarms(&world.gw1, 1).await, ["pin-mismatch"]);
    world.clock.set(NOW + 30 * DAY);
    let now = world.clock.now_seconds();
    let mut desk = Desk::open(&keys, &world.company2.domain, None, now).unwrap();
    desk.put(&desk.draft(&Schedule::default(), now), now).unwrap();
    world.company2.publish_text(&world.dns, desk.policy().text());
    waits(&world, "pin-mismatch").await;
    // Its operator reads the new fingerprint by telephone, and ours pins it.
    let spec = Spec::new(&world.company1)
        .outbound(Smtp, &world.relay.url)
        .inbound(Smtp, &world.mta1.url)
        .extra(&pin(&new));
    world.gw1 = world.gw1.restart(&spec).await;
    let sent = world.send(ALICE, &[BOB], MESSAGE).await;
    sent.expect("250");
    let carrier = world.relay.messages().pop().unwrap();
    assert!(!contains(&carrier.data, b"canary"));
}

#[tokio::test]
async fn without_proof_another_key_is_not_believed_by_a_running_gateway() {
    let world = World::new().await;
    arrives(&world).await;
    let mut draft = world.company2.draft();
    draft.serial = NOW + 1;
    let other = IdentityKey::from_bytes(&[99; 32]);
    let text = draft.sign(&world.company2.domain, &other).unwrap();
    world.company2.publish_text(&world.dns, &text);
    arrives(&world).await;
    assert_eq!(alarms(&world.gw1, 1).await, ["identity-changed"]);
}
