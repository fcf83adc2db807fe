//! Carriers that leave a gateway with `dkim` are signed, and others leave as before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dkim_support;
mod gateway_support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dkim_support::{Key, Zone};
use gateway_support::*;
use mta_seal::smtp::Protocol::{Lmtp, Smtp};
use tempfile::TempDir;

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";
const CAROL: &str = "<carol@clear.example>";

fn message(octets: usize) -> Vec<u8> {
    let line = [&[b'x'; 70][..], b"\r\n"].concat();
    let mut message = b"From: alice@company1.example\r\nSubject: canary-subject\r\n\r\n".to_vec();
    message.extend(line.iter().cycle().take(octets.next_multiple_of(72)));
    message
}

struct Signed {
    world: World,
    zone: Zone,
    /// Both keys: RSA, then Ed25519.
    _keys: TempDir,
}

impl Signed {
    async fn with(mut options: WorldOptions) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let rsa = Key::make(keys.path(), "company1.example", "mta-seal", &[]);
        let ed25519 = Key::make(keys.path(), "company1.example", "ed", &["--ed25519"]);
        options.dkim1 = format!("[{}, {}]", rsa.table(), ed25519.table());
        let world = World::with(options).await;
        Self { world, zone: Zone::of(&[&rsa, &ed25519]), _keys: keys }
    }

    async fn new() -> Self {
        let signed = Self::with(WorldOptions::default()).await;
        std::fs::create_dir(signed.world.gw1.directory().join("state")).unwrap();
        signed
    }

    fn state(&self) -> PathBuf {
        self.world.gw1.directory().join("state")
    }

    /// The file without a name in the state directory, by which this process has it open.
    fn nameless(&self) -> Option<PathBuf> {
        let open = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
        let mut paths = open.map(|entry| entry.path());
        paths.find(|path| {
            std::fs::read_link(path).is_ok_and(|to| {
                to.starts_with(self.state()) && to.to_string_lossy().ends_with(" (deleted)")
            })
        })
    }
}

#[tokio::test]
async fn carriers_verify_and_open() {
    let Signed { world, zone, .. } = &Signed::new().await;
    // In memory, at its border, and in a file.
    for octets in [0, 10_000, 180_000, 190_000, 200_000, 3_000_000] {
        let message = message(octets);
        let out = world.through(ALICE, &[BOB], &message).await;
        assert!(without_trace(&out[0].data) == message, "{octets}");
        let carrier = world.relay.messages().pop().unwrap();
        assert!(carrier.data.starts_with(b"DKIM-Signature: v=1; a=rsa-sha256;"));
        assert_eq!(zone.verify(&carrier.data).await, [true, true], "{octets}");
    }
}

/// What waits on disk is ciphertext, has no name, is its owner's alone, and goes with the transaction.
#[tokio::test]
async fn what_waits_is_ciphertext_in_a_file_without_a_name() {
    let signed = Signed::new().await;
    let world = &signed.world;
    let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
    client.begin_data(ALICE, &[BOB]).await;
    client.send(&message(1_000_000)).await;
    soon("the file", async {
        while signed.nameless().is_none_or(|path| std::fs::read(path).unwrap().is_empty()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let path = signed.nameless().unwrap();
    let (content, metadata) = (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap());
    assert!(content.starts_with(b"Date: ") && !contains(&content, &[b'x'; 70]));
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(std::fs::read_dir(signed.state()).unwrap().count(), 0);
    drop(client);
    soon("the file to go", async {
        while signed.nameless().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn clear_mail_and_domains_without_a_key_are_left_alone() {
    let signed = Signed::new().await;
    let world = &signed.world;
    let clear = message(100);
    world.send(ALICE, &[CAROL], &clear).await.expect("250");
    let relayed = world.relay.messages().pop().unwrap().data;
    assert!(relayed.ends_with(&clear) && !contains(&relayed, b"DKIM-Signature"));
    // The other gateway has no key.
    let reply = message(300_000);
    let sent = deliver(world.gw2.outbound(), Smtp, BOB, &[ALICE], &reply).await;
    sent.expect("250");
    let carrier = world.relay.messages().pop().unwrap().data;
    assert!(carrier.starts_with(b"Date: "));
}

/// The next hop sees DATA when the signed carrier is ready, never one that breaks off.
#[tokio::test]
async fn an_unfinished_message_is_never_begun_at_the_next_hop() {
    let signed = Signed::new().await;
    let world = &signed.world;
    let mut client = Client::greeted(world.gw1.outbound(), Smtp).await;
    client.begin_data(ALICE, &[BOB]).await;
    client.send(&message(1_000_000)).await;
    drop(client);
    // A message after it, so that the first has had its time.
    world.carrier(&message(10)).await;
    assert!(world.relay.broken().is_empty());
    assert_eq!(world.relay.messages().len(), 1);
}

#[tokio::test]
async fn without_room_for_the_file_the_client_keeps_the_message() {
    // There is no state directory to make the file in.
    let signed = Signed::with(WorldOptions::default()).await;
    let world = &signed.world;
    let sent = world.send(ALICE, &[BOB], &message(1_000_000)).await;
    sent.expect("452 4.3.1");
    assert!(world.relay.messages().is_empty() && world.relay.broken().is_empty());
    // What fits into memory needs no file.
    world.carrier(&message(1000)).await;
    std::fs::create_dir(world.gw1.directory().join("state")).unwrap();
    let out = world.through(ALICE, &[BOB], &message(1_000_000)).await;
    assert_eq!(out.len(), 1);
}

/// Refusals at each step reach the client, and a retry sends what is due, once.
#[tokio::test]
async fn refusals_at_data_and_dot_are_passed_on() {
    for step in [Step::Data, Step::Dot] {
        for (line, code) in [("451 4.0.0 later", "451"), ("554 5.0.0 never", "554")] {
            let signed = Signed::new().await;
            let world = &signed.world;
            world.relay.rule(step, "", 1, Act::Reply(line));
            world.send(ALICE, &[BOB], &message(400_000)).await.expect(code);
            assert!(world.relay.messages().is_empty());
            if code == "451" {
                world.send(ALICE, &[BOB], &message(400_000)).await.expect("250");
                let carrier = world.relay.messages().pop().unwrap();
                assert_eq!(signed.zone.verify(&carrier.data).await, [true, true]);
            }
        }
    }
}

#[tokio::test]
async fn a_next_hop_that_leaves_in_the_middle_loses_nothing() {
    let signed = Signed::new().await;
    let world = &signed.world;
    world.relay.rule(Step::Middle, "", 1, Act::Close);
    world.send(ALICE, &[BOB], &message(2_000_000)).await.expect("451");
    let out = world.through(ALICE, &[BOB], &message(2_000_000)).await;
    assert_eq!(out.len(), 1);
}

/// The limit of the next hop holds for the carrier with its signatures [R-seal-05].
#[tokio::test]
async fn signatures_count_for_the_size() {
    let keys = tempfile::tempdir().unwrap();
    let key = Key::make(keys.path(), "company1.example", "mta-seal", &[]);
    let case = message(5000);
    let mut size = 0;
    // Without signature to learn the length of the carrier, then with a limit that has room for it but not for both.
    for (limit, dkim, expected) in
        [(1_000_000, false, "250"), (0, false, "250"), (0, true, "552"), (2000, true, "250")]
    {
        let world = World::with(WorldOptions {
            dkim1: if dkim { key.table() } else { String::new() },
            size: Some(size + limit),
            ..WorldOptions::default()
        })
        .await;
        world.send(ALICE, &[BOB], &case).await.expect(expected);
        if size == 0 {
            size = world.relay.messages()[0].data.len() as u64;
        }
        let taken = world.relay.messages();
        assert!(taken.iter().all(|carrier| carrier.data.len() as u64 <= size + limit));
    }
}

#[tokio::test]
async fn several_domains_and_lmtp() {
    let options = WorldOptions { inside: Lmtp, ..WorldOptions::default() };
    let signed = Signed::with(options).await;
    let world = &signed.world;
    std::fs::create_dir(world.gw1.directory().join("state")).unwrap();
    let sent = world.send(ALICE, &[BOB, CAROL], &message(500_000)).await;
    assert!(sent.codes().iter().all(|code| *code == 250), "{:?}", sent.codes());
    let messages = world.relay.messages();
    assert_eq!(messages.len(), 2);
    let carrier = messages.iter().find(|m| m.to == [BOB]).unwrap();
    assert_eq!(signed.zone.verify(&carrier.data).await, [true, true]);
}

/// Keys come and go with a reload.
#[tokio::test]
async fn a_reload_takes_up_the_keys() {
    let mut signed = Signed::new().await;
    let with = signed.world.gw1.spec.clone();
    let without = Spec { dkim: String::new(), ..with.clone() };
    for (spec, signatures) in [(without, 0), (with, 2)] {
        signed.world.gw1.reload(&spec).await.unwrap();
        let carrier = signed.world.carrier(&message(300_000)).await;
        assert_eq!(signed.zone.verify(&carrier.data).await, vec![true; signatures]);
    }
}
