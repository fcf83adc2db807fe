//! A message through both gateways comes out as it went in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use gateway_support::*;

const ALICE: &str = "<alice@company1.example>";
const BOB: &str = "<bob@company2.example>";

#[tokio::test]
async fn plain_message() {
    let world = World::new().await;
    let message = b"From: alice@company1.example\r\nSubject: canary-subject\r\n\r\ncanary-body\r\n";
    let out = world.through(ALICE, &[BOB], message).await;
    assert_eq!(out.len(), 1);
    assert_eq!(text(without_trace(&out[0].data)), text(message));
    assert_eq!((out[0].from.as_str(), out[0].to.as_slice()), (ALICE, &[BOB.to_owned()][..]));
    // Nothing of it is seen between the gateways.
    assert!(!contains(&world.relay.raw(), b"canary"));
}
