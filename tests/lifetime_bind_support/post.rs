//! Mail from one organisation to the other: the MTA inside, which keeps what is not accepted, and a hop outside, which takes its time.

use mta_seal::core::KeyId;
use mta_seal::smtp::Protocol::Smtp;

use super::super::gateway_support::{Message, contains, deliver, forward, sealed_to, text};
use super::node::Node;

/// One way.
#[derive(Default)]
pub struct Post {
    sent: usize,
    /// Messages that the MTA inside still has.
    inside: Vec<usize>,
    /// Carriers that are held back, and until when.
    held: Vec<(u64, Message)>,
    /// How many carriers of the relay have been taken.
    taken: usize,
    /// The first carrier to each key, and when it was sealed.
    pub first: Vec<(KeyId, Message)>,
    /// Refusals for now, of either gateway.
    pub put_off: usize,
    /// Longest time for which a carrier was held that was delivered, in seconds.
    pub longest: u64,
}

fn canary(from: &Node, number: usize) -> String {
    format!("canary {number} of {}", from.domain())
}

impl Post {
    /// Sends one more message, and all that has waited. `delay`: how long its carrier is held, in seconds.
    pub async fn send(&mut self, from: &Node, to: &Node, delay: u64) {
        self.inside.push(self.sent);
        self.sent += 1;
        if !from.is_running() {
            return;
        }
        let paths = (format!("<alice@{}>", from.domain()), format!("<bob@{}>", to.domain()));
        for number in std::mem::take(&mut self.inside) {
            let text = canary(from, number);
            let message = format!(
                "Received: by mta id {number}\r\nFrom: alice@{}\r\n\r\n<{text}>\r\n",
                from.domain()
            );
            let (address, octets) = (from.outbound(), message.as_bytes());
            let sent = deliver(address, Smtp, &paths.0, &[&paths.1], octets).await;
            let verdict = sent.verdict();
            if verdict.code != 250 {
                assert!((400..500).contains(&verdict.code), "{text}: {sent:?}");
                self.put_off += 1;
                self.inside.push(number);
                continue;
            }
            let carriers = from.relay.messages().split_off(self.taken);
            self.taken += carriers.len();
            assert_eq!(carriers.len(), 1, "{text}");
            for carrier in carriers {
                assert!(!contains(&carrier.data, b"canary"), "{text} left in clear");
                let key = sealed_to(&carrier.data);
                let listed = to.policy().sealing_keys;
                let listed = listed.iter().any(|entry| entry.key_id() == Some(key));
                assert!(listed || to.holds(&key), "{text}: sealed to {key}, which opens nothing");
                if self.first.iter().all(|(known, _)| *known != key) {
                    self.first.push((key, carrier.clone()));
                }
                let now = from.now();
                self.held.push((now + delay, carrier));
                self.longest = self.longest.max(delay);
            }
        }
    }

    /// Hands on what has been held for long enough.
    pub async fn arrive(&mut self, to: &Node) {
        if !to.is_running() {
            return;
        }
        let now = to.now();
        for (at, carrier) in std::mem::take(&mut self.held) {
            if at > now {
                self.held.push((at, carrier));
                continue;
            }
            let delivered = forward(to.inbound(), Smtp, &carrier).await;
            let verdict = delivered.verdict();
            if verdict.code != 250 {
                assert!((400..500).contains(&verdict.code), "a carrier is lost: {delivered:?}");
                self.put_off += 1;
                self.held.push((at, carrier));
            }
        }
    }

    /// When the next carrier is to be handed on.
    pub fn next(&self) -> Option<u64> {
        self.held.iter().map(|(at, _)| *at).min()
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.inside.is_empty() && self.held.is_empty()
    }

    /// Every message has come, once and as it was, and none was in clear on its way.
    pub fn nothing_is_lost(&self, from: &Node, to: &Node) {
        assert!(self.is_empty());
        let mut come: Vec<String> = Vec::new();
        for message in to.mta.messages() {
            let message = text(&message.data);
            let (_, rest) = message.split_once("\r\n\r\n<").unwrap();
            come.push(rest.strip_suffix(">\r\n").unwrap().to_owned());
        }
        come.retain(|text| text.starts_with("canary"));
        let mut sent: Vec<String> = (0..self.sent).map(|number| canary(from, number)).collect();
        come.sort();
        sent.sort();
        assert_eq!(come, sent);
        assert!(!text(&from.relay.raw()).contains("canary"));
    }

    pub fn sent(&self) -> usize {
        self.sent
    }
}
