//! What the relay tries on a carrier, and what anybody tries on the receiver.

use super::account::{Account, thousands};
use super::carrier::Carrier;
use super::delivery::forwarded;
use super::hops::{Arrived, hang_up, smuggle, submit};
use super::message::Message;
use super::world::{self, COMPANY1, COMPANY2, GATEWAY2, World};
use super::{ANNA, BRUNO};
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::core::{DeliveryId, ForwardPath, Prefix, ReversePathField, SealTo, seal};
use crate::mail::carrier::{CarrierWriter, Token};
use crate::smtp::Reply;
use rand_core::Rng;
use std::collections::BTreeMap;
use std::time::Instant;

/// Bits turned over, spread over the whole envelope.
const FLIPS: usize = 40;

/// Places at which the envelope is cut off.
const CUTS: usize = 12;

/// Octets that hold the clear part of an envelope, salt, commitment and the beginning of the content.
const FRONT: usize = 1_400;

/// Largest envelope on which every attack is tried that often; larger ones less often, so that
/// the demo does not take long.
const SMALL: usize = 1 << 20;

/// Forms that some server somewhere takes for an end of data.
const SMUGGLED: [&str; 7] = ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r"];

/// What follows the smuggled end: a whole second transaction.
const SECOND: &str = "MAIL FROM:<ceo@company1.example>\r\nRCPT TO:<bruno@company2.example>\r\n\
    DATA\r\nFrom: ceo@company1.example\r\n\r\nPay at once.";

/// The same message again, this time the relay does not just pass it on.
pub(super) async fn on_the_carrier(
    world: &World,
    account: &mut Account,
    message: &Message,
    former: &Arrived,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let reply = submit(world.inside()?, ANNA, BRUNO, &message.content).await?;
    let (outside, before) = (world.outside()?, world.mailbox.count());
    let relayed = world.relay.last().filter(|_| reply.is_positive());
    let Some((relayed, carrier)) =
        relayed.and_then(|r| Carrier::take_apart(&r.content).map(|carrier| (r, carrier)))
    else {
        return Err(Failure::refused(format!("gateway 1 did not take the message again: {reply}")));
    };
    let size = carrier.envelope.len();
    let (flips, cuts) = if size > SMALL { (FLIPS / 8, CUTS / 4) } else { (FLIPS, CUTS) };

    let mut flipped = Replies::default();
    for (n, bit) in (0..flips).zip((0..8).cycle()) {
        // The clear part in front is short, so half of the bits are taken from there.
        let range = if n % 2 == 0 { size } else { size.min(FRONT) };
        let octet = n * (range - 1) / (flips - 1).max(1);
        let altered = carrier.with_flipped(octet, bit);
        flipped.add(submit(outside, ANNA, BRUNO, &altered).await?);
    }
    let mut cut = Replies::default();
    for n in 0..cuts {
        let left = if n == 0 { size - 1 } else { n * size / cuts };
        let short = carrier.envelope.get(..left).unwrap_or_default();
        cut.add(submit(outside, ANNA, BRUNO, &carrier.with(short)).await?);
    }
    let half = relayed.content.get(..relayed.content.len() / 2).unwrap_or_default();
    hang_up(outside, ANNA, BRUNO, half).await?;
    let other = Carrier::take_apart(&former.content).and_then(|former| {
        // The first half of one envelope before the second half of another of the same length.
        let mut envelope = carrier.envelope.clone();
        let at = envelope.len() / 2;
        let (to, from) = (envelope.get_mut(at..)?, former.envelope.get(at..)?);
        if to.len() != from.len() || to == from {
            return None;
        }
        to.copy_from_slice(from);
        Some(carrier.with(&envelope))
    });
    let Some(other) = other else {
        return Err(Failure::refused("the two envelopes cannot be spliced"));
    };
    let spliced = submit(outside, ANNA, BRUNO, &other).await?;
    let mallory = "mallory@company2.example";
    let redirected = submit(outside, ANNA, mallory, &relayed.content).await?;
    let stolen = world.mailbox.count() - before;
    let passed = submit(outside, ANNA, BRUNO, &forwarded(&relayed)).await?;
    let delivered = world.mailbox.count() - before;
    let again = submit(outside, ANNA, BRUNO, &forwarded(&relayed)).await?;
    let old = submit(outside, ANNA, BRUNO, &former.content).await?;
    let replayed = world.mailbox.count() - before - delivered;

    account.heading("4. The relay attacks a second message", Some(begun.elapsed()));
    account.attack(
        flipped.all_permanent(),
        &format!("one bit flipped, {flips} times"),
        &flipped.most_common(),
    );
    for line in flipped.others() {
        account.attack_detail(&line);
    }
    account.attack(cut.all_permanent(), &format!("cut short, {cuts} times"), &cut.most_common());
    for line in cut.others() {
        account.attack_detail(&line);
    }
    account.attack(spliced.is_permanent(), "spliced from two envelopes", &spliced.to_string());
    account.attack(redirected.is_permanent(), "redirected to mallory@", &redirected.to_string());
    account.expect(
        stolen == 0,
        "none of it reached a mailbox, nor did a connection cut in mid-message",
    );
    account.expect(
        passed.is_positive() && delivered == 1,
        "then passed on untouched: delivered, so no attack has used it up",
    );
    let twice = again.is_positive() && old.is_positive() && replayed == 0;
    if account.attack(twice, "replayed, both messages", &again.to_string()) {
        account.attack_detail("taken for a retry, not delivered again");
    }
    Ok(())
}

/// What needs no carrier at all.
pub(super) async fn on_the_receiver(world: &World, account: &mut Account) -> Result<(), Failure> {
    let begun = Instant::now();
    let (inside, outside) = (world.inside()?, world.outside()?);
    let before = world.mailbox.count();
    let clear = "From: ceo@company1.example\r\nTo: bruno@company2.example\r\n\
        Subject: urgent\r\n\r\nPay at once.\r\n";
    let impostor = submit(outside, "ceo@company1.example", BRUNO, clear.as_bytes()).await?;
    let unsealed = world.mailbox.count() - before;

    let forged = format!(
        "Authentication-Results: {GATEWAY2}; mta-seal=pass policy.domain=forged.example\r\n\
         authentication-results : (a comment) \"MX.Company2.Example\" 1;\r\n\
         \tmta-seal=pass policy.level=pinned policy.domain=forged.example\r\n\
         From: eve@elsewhere.example\r\nSubject: trust me\r\n\r\nhello\r\n"
    );
    let outer = submit(outside, "eve@elsewhere.example", BRUNO, forged.as_bytes()).await?;
    let marked = world.mailbox.last().map(|a| a.content).unwrap_or_default();
    let own = forged.replace("eve@elsewhere.example", ANNA);
    let sealed = submit(inside, ANNA, BRUNO, own.as_bytes()).await?;
    let relayed = world.relay.last().map(|a| a.content).unwrap_or_default();
    let inner = submit(outside, ANNA, BRUNO, &relayed).await?;
    let vouched = world.mailbox.last().map(|a| a.content).unwrap_or_default();

    let before = world.mailbox.count();
    let mut smuggled = Vec::new();
    for (listener, from) in [(inside, ANNA), (outside, "eve@elsewhere.example")] {
        for form in SMUGGLED {
            let data = format!("From: {from}\r\n\r\nhello{form}{SECOND}");
            smuggled.push(smuggle(listener, from, BRUNO, data.as_bytes()).await?);
        }
    }
    let mut packed = Replies::default();
    for form in SMUGGLED {
        let data = format!("From: {ANNA}\r\n\r\nhello{form}{SECOND}\r\n");
        let carrier = sealed_by_hand(world, data.as_bytes())?;
        packed.add(submit(outside, ANNA, BRUNO, &carrier).await?);
    }
    let taken = world.mailbox.count() - before;

    account.heading("5. Forged and smuggled mail", Some(begun.elapsed()));
    account.attack(
        impostor.is_permanent() && unsealed == 0,
        "clear mail as company1",
        &impostor.to_string(),
    );
    let removed = outer.is_positive() && holds_only(&marked, "mta-seal=none");
    account.attack(
        removed,
        "forged result, clear mail",
        result(removed, "removed, mail marked mta-seal=none"),
    );
    let removed =
        sealed.is_positive() && inner.is_positive() && holds_only(&vouched, "mta-seal=pass");
    account.attack(
        removed,
        "forged result, sealed mail",
        result(removed, "removed, mail marked with the true result"),
    );
    // One reply to the message and one to QUIT: the second transaction was never one.
    let refused = smuggled.iter().all(|replies| {
        matches!(replies.as_slice(), [message, quit] if message.starts_with('5') && quit.starts_with("221"))
    });
    let first = smuggled.first().and_then(|replies| replies.first()).cloned().unwrap_or_default();
    let forms = thousands(smuggled.len());
    if account.attack(refused, &format!("smuggled end of data, {forms}x"), &first) {
        account.attack_detail("LF.LF and 6 other forms, on both listeners");
    }
    if account.attack(packed.all_permanent(), "the same, sealed inside", &packed.most_common()) {
        account.attack_detail("a partner with good keys cannot do it either");
    }
    account.expect(taken == 0, "none of it reached a mailbox");
    Ok(())
}

fn result(removed: bool, text: &str) -> &str {
    if removed { text } else { "not removed, or the mail was refused" }
}

/// Whether a message has this result of ours and nothing of the forged ones.
fn holds_only(message: &[u8], result: &str) -> bool {
    let text = String::from_utf8_lossy(message);
    let own = text.matches(GATEWAY2).count() >= 1 && text.contains(result);
    own && text.matches("mta-seal=").count() == 1 && !text.contains("forged.example")
}

/// A carrier that company1's own key has sealed, with content that no gateway would take in.
fn sealed_by_hand(world: &World, content: &[u8]) -> Result<Vec<u8>, Failure> {
    let (own, partner) = (world.genuine(COMPANY1)?, world.genuine(COMPANY2)?);
    let (Some(signing), Some(key)) = (own.signing_key(), partner.sealing_key()) else {
        return Err(Failure::refused("a key is missing"));
    };
    let (sender, recipient) = (world::domain(COMPANY1)?, world::domain(COMPANY2)?);
    let unusable = |_| Failure::refused("an address cannot be sealed");
    let from = ReversePathField::new(ANNA.to_owned(), 0, false, 0, String::new());
    let to = ForwardPath::new(BRUNO.to_owned(), 0, String::new()).map_err(unusable)?;
    let mut rng = context::rng();
    let id = DeliveryId::random(&mut rng);
    let now = context::now();
    let prefix = Prefix::mail(sender.clone(), now, id, from.map_err(unusable)?, vec![to]);
    let seal_to = SealTo { recipient_domain: &recipient, key };
    let (envelope, _) =
        seal(content, seal_to, prefix, signing, &mut rng).map_err(Failure::refused)?;
    let mut token = [0; 16];
    rng.fill_bytes(&mut token);
    let mut text = Vec::new();
    let mut carrier = CarrierWriter::new(&sender, &recipient, Token::new(token), now, &mut text);
    carrier.write(&envelope, &mut text);
    carrier.finish(&mut text);
    Ok(text)
}

/// The replies to many attempts.
#[derive(Default)]
struct Replies {
    counted: BTreeMap<String, usize>,
    /// Whether one of them was not 5yz.
    mild: bool,
}

impl Replies {
    fn add(&mut self, reply: Reply) {
        self.mild |= !reply.is_permanent();
        *self.counted.entry(reply.to_string()).or_default() += 1;
    }

    fn all_permanent(&self) -> bool {
        !self.mild && !self.counted.is_empty()
    }

    fn sorted(&self) -> Vec<(&String, usize)> {
        let mut replies: Vec<_> = self.counted.iter().map(|(text, n)| (text, *n)).collect();
        replies.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        replies
    }

    fn most_common(&self) -> String {
        match self.sorted().as_slice() {
            [] => String::new(),
            [(text, _)] => (*text).clone(),
            [(text, n), ..] => format!("{n}x {text}"),
        }
    }

    fn others(&self) -> Vec<String> {
        self.sorted().iter().skip(1).map(|(text, n)| format!("{n}x {text}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_result_that_stays_is_noticed() {
        let ours = "Authentication-Results: mx.company2.example; mta-seal=none\r\n";
        let forged = "Authentication-Results: x; mta-seal=pass policy.domain=forged.example\r\n";
        assert!(holds_only(ours.as_bytes(), "mta-seal=none"));
        assert!(!holds_only(ours.as_bytes(), "mta-seal=pass"));
        assert!(!holds_only(forged.as_bytes(), "mta-seal=pass"));
        assert!(!holds_only(format!("{ours}{forged}").as_bytes(), "mta-seal=none"));
    }

    #[test]
    fn one_mild_reply_is_enough() {
        let refused = || Reply::new(550, (5, 7, 7), "no");
        let mut replies = Replies::default();
        assert!(!replies.all_permanent());
        replies.add(refused());
        assert!(replies.all_permanent());
        replies.add(Reply::new(250, (2, 0, 0), "ok"));
        replies.add(refused());
        assert!(!replies.all_permanent());
        assert_eq!(replies.most_common(), "2x 550 5.7.7 no");
        assert_eq!(replies.others(), ["1x 250 2.0.0 ok"]);
    }
}
