//! The sealing side's retry memory: nobody is lost, nobody accepted is sent to again on a
//! retry, and another identical message is another delivery.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use mta_seal::core::DeliveryId;
use mta_seal::store::ledger::{
    FinalOutcome, FinalReply, Ledger, LedgerError, OPEN_LEASE, Options, Outcome, Outgoing,
    RetryKey, SqliteLedger, Upstream,
};
use proptest::prelude::*;
use tempfile::TempDir;

const NOW: u64 = 1_800_000_000;
const KEY: RetryKey = RetryKey::from_bytes([7; 32]);
const HASH: Option<[u8; 32]> = Some([9; 32]);

struct Place {
    _directory: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.sqlite");
        Self { _directory: directory, path }
    }

    fn open(&self) -> SqliteLedger {
        SqliteLedger::open(&self.path, &Options::default(), NOW).unwrap()
    }
}

fn id(number: u8) -> DeliveryId {
    DeliveryId::from_bytes([number; 16])
}

fn paths(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn refused() -> FinalReply {
    FinalReply { code: 550, text: "5.1.1 no such user".into() }
}

async fn begin(ledger: &SqliteLedger, names: &[&str], fresh: u8) -> Outgoing {
    ledger.begin_outgoing(KEY, &paths(names), id(fresh), NOW).await.unwrap()
}

async fn finish(
    ledger: &SqliteLedger,
    outgoing: &Outgoing,
    outcomes: &[(&str, Outcome)],
    upstream: Upstream,
) {
    let outcomes: Vec<_> =
        outcomes.iter().map(|(path, outcome)| ((*path).to_owned(), outcome.clone())).collect();
    ledger.finish_outgoing(outgoing, &outcomes, HASH, upstream, NOW, &[]).await.unwrap();
}

#[tokio::test]
async fn a_retry_after_451_skips_those_with_a_final_outcome() {
    let place = Place::new();
    let ledger = place.open();
    let first = begin(&ledger, &["a", "b", "c", "d"], 1).await;
    assert_eq!(first.delivery_id, id(1));
    assert_eq!((first.send.clone(), first.retry), (paths(&["a", "b", "c", "d"]), false));
    let outcomes = [
        ("a", Outcome::Accepted),
        ("b", Outcome::Permanent(refused())),
        ("c", Outcome::Temporary),
        ("d", Outcome::Unknown),
    ];
    finish(&ledger, &first, &outcomes, Upstream::Deferred).await;

    // Also over a restart.
    ledger.close().await;
    let ledger = place.open();
    let retry = begin(&ledger, &["a", "b", "c", "d"], 2).await;
    assert_eq!((retry.delivery_id, retry.message_hash, retry.retry), (id(1), HASH, true));
    assert_eq!(retry.send, paths(&["c", "d"]));
    assert_eq!(
        retry.already,
        [
            ("a".to_owned(), FinalOutcome::Accepted),
            ("b".to_owned(), FinalOutcome::Permanent(refused()))
        ]
    );
    let outcomes = [("c", Outcome::Accepted), ("d", Outcome::Accepted)];
    finish(&ledger, &retry, &outcomes, Upstream::Told).await;

    let another = begin(&ledger, &["a", "b", "c", "d"], 3).await;
    assert_eq!((another.delivery_id, another.already.len()), (id(3), 0));
}

#[tokio::test]
async fn what_was_told_one_by_one_makes_the_whole_list_another_message() {
    let place = Place::new();
    let ledger = place.open();
    let first = begin(&ledger, &["a", "b"], 1).await;
    let outcomes = [("a", Outcome::Accepted), ("b", Outcome::Temporary)];
    finish(&ledger, &first, &outcomes, Upstream::Told).await;
    let another = begin(&ledger, &["a", "b"], 2).await;
    assert_eq!((another.delivery_id, another.send.len()), (id(2), 2));
    // The recipient that is still owed comes back alone, as an LMTP client does it.
    let retry = begin(&ledger, &["b"], 3).await;
    assert_eq!((retry.delivery_id, retry.retry), (id(1), true));
}

#[tokio::test]
async fn concurrent_transactions_get_different_ids_and_keep_them() {
    let place = Place::new();
    let ledger = place.open();
    let one = begin(&ledger, &["a"], 1).await;
    let two = begin(&ledger, &["a"], 2).await;
    let three = begin(&ledger, &["b"], 3).await;
    assert_eq!((two.delivery_id, three.delivery_id), (id(2), id(3)));
    for outgoing in [&one, &two, &three] {
        finish(&ledger, outgoing, &[], Upstream::Deferred).await;
    }
    let b = begin(&ledger, &["b"], 4).await;
    let first = begin(&ledger, &["a"], 5).await.delivery_id;
    let second = begin(&ledger, &["a"], 6).await.delivery_id;
    assert_eq!(b.delivery_id, id(3));
    assert_eq!(BTreeSet::from([first, second]), BTreeSet::from([id(1), id(2)]));
}

#[tokio::test]
async fn regrouped_recipients_keep_their_outcomes_once() {
    let place = Place::new();
    let ledger = place.open();
    let one = begin(&ledger, &["a", "b"], 1).await;
    let two = begin(&ledger, &["c", "d"], 2).await;
    let outcomes = [("a", Outcome::Accepted), ("b", Outcome::Temporary)];
    finish(&ledger, &one, &outcomes, Upstream::Deferred).await;
    let outcomes = [("c", Outcome::Accepted), ("d", Outcome::Unknown)];
    finish(&ledger, &two, &outcomes, Upstream::Deferred).await;

    let all = begin(&ledger, &["a", "b", "c", "d"], 3).await;
    assert_eq!(all.delivery_id, id(2), "the id of the recipient in doubt");
    assert_eq!(all.send, paths(&["b", "d"]));
    // The outcome of `a` is used: a concurrent message to it is a message of its own.
    let other = begin(&ledger, &["a"], 4).await;
    assert_eq!((other.delivery_id, other.send.len()), (id(4), 1));
    // Not finished, but the process goes on: the outcome moved with the entry.
    finish(&ledger, &all, &[("b", Outcome::Accepted)], Upstream::Deferred).await;
    let again = begin(&ledger, &["a", "b", "c", "d"], 5).await;
    assert_eq!((again.delivery_id, again.send), (id(2), paths(&["d"])));
}

#[tokio::test]
async fn an_entry_that_gave_one_outcome_away_keeps_the_others() {
    let place = Place::new();
    let ledger = place.open();
    let one = begin(&ledger, &["a", "b", "c"], 1).await;
    let outcomes = [("a", Outcome::Accepted), ("b", Outcome::Accepted), ("c", Outcome::Temporary)];
    finish(&ledger, &one, &outcomes, Upstream::Deferred).await;
    let two = begin(&ledger, &["d"], 2).await;
    finish(&ledger, &two, &[("d", Outcome::Unknown)], Upstream::Deferred).await;
    let three = begin(&ledger, &["a", "d"], 3).await;
    assert_eq!((three.delivery_id, three.send.clone()), (id(2), paths(&["d"])));
    finish(&ledger, &three, &[("d", Outcome::Temporary)], Upstream::Deferred).await;

    let four = begin(&ledger, &["a", "b"], 4).await;
    assert_eq!((four.send.len(), four.already.len()), (0, 2));
    finish(&ledger, &four, &[], Upstream::Told).await;
    // Both are told now: the first entry must not send to `a` under its id again.
    let five = begin(&ledger, &["a", "c"], 5).await;
    assert_eq!((five.delivery_id, five.send.len()), (id(5), 2));
    let six = begin(&ledger, &["c"], 6).await;
    assert_eq!(six.delivery_id, id(1));
}

#[tokio::test]
async fn a_transaction_that_died_is_in_doubt_and_keeps_its_id() {
    let place = Place::new();
    let ledger = place.open();
    begin(&ledger, &["a"], 1).await;
    assert_eq!(begin(&ledger, &["a"], 2).await.delivery_id, id(2), "still open");
    let later = NOW + OPEN_LEASE;
    let lapsed = ledger.begin_outgoing(KEY, &paths(&["a"]), id(3), later).await.unwrap();
    assert!(lapsed.retry, "a transaction open for a day has vanished");
    ledger.close().await;
    let ledger = place.open();
    assert!(begin(&ledger, &["a"], 4).await.retry);
    assert!(begin(&ledger, &["a"], 5).await.retry);
    assert!(!begin(&ledger, &["a"], 6).await.retry);
}

#[tokio::test]
async fn another_message_under_the_id_is_refused_and_retired() {
    let place = Place::new();
    let ledger = place.open();
    let first = begin(&ledger, &["a"], 1).await;
    finish(&ledger, &first, &[("a", Outcome::Accepted)], Upstream::Deferred).await;
    let retry = begin(&ledger, &["a"], 2).await;
    assert_eq!(retry.message_hash, HASH);
    let wrong = ledger.finish_outgoing(&retry, &[], Some([8; 32]), Upstream::Told, NOW, &[]).await;
    assert_eq!(wrong, Err(LedgerError::MessageDiffers));
    ledger.retire_outgoing(&retry).await.unwrap();
    let fresh = begin(&ledger, &["a"], 3).await;
    assert_eq!((fresh.delivery_id, fresh.message_hash), (id(3), None));
}

#[tokio::test]
async fn a_reply_that_was_not_written_is_taken_back() {
    let place = Place::new();
    let ledger = place.open();
    let first = begin(&ledger, &["a"], 1).await;
    finish(&ledger, &first, &[("a", Outcome::Accepted)], Upstream::Told).await;
    finish(&ledger, &first, &[("a", Outcome::Accepted)], Upstream::Deferred).await;
    let retry = begin(&ledger, &["a"], 2).await;
    assert_eq!(retry.already, [("a".to_owned(), FinalOutcome::Accepted)]);
    assert_eq!((retry.send.len(), retry.message_hash), (0, HASH));
}

#[tokio::test]
async fn an_id_is_not_used_again_for_those_that_were_told_meanwhile() {
    let place = Place::new();
    let ledger = place.open();
    let first = begin(&ledger, &["a", "b"], 1).await;
    let outcomes = [("a", Outcome::Accepted), ("b", Outcome::Temporary)];
    finish(&ledger, &first, &outcomes, Upstream::Told).await;
    // Another client's identical message takes the place of the retry, and is answered.
    let second = begin(&ledger, &["b"], 2).await;
    assert_eq!(second.delivery_id, id(1));
    finish(&ledger, &second, &[("b", Outcome::Accepted)], Upstream::Told).await;
    // Only now the first reply turns out to be lost, and its client repeats everything.
    finish(&ledger, &first, &outcomes, Upstream::Deferred).await;
    let retry = begin(&ledger, &["a", "b"], 3).await;
    assert_eq!(retry.already, [("a".to_owned(), FinalOutcome::Accepted)]);
    assert_eq!(retry.send, paths(&["b"]));
    assert_ne!(retry.delivery_id, id(1), "the far side would take it for a copy");
}

#[tokio::test]
async fn a_second_report_leaves_a_retry_under_way_alone() {
    let place = Place::new();
    let ledger = place.open();
    let first = begin(&ledger, &["a", "b"], 1).await;
    let outcomes = [("a", Outcome::Accepted), ("b", Outcome::Temporary)];
    finish(&ledger, &first, &outcomes, Upstream::Told).await;
    let retry = begin(&ledger, &["b"], 2).await;
    assert_eq!(retry.delivery_id, id(1));
    finish(&ledger, &first, &outcomes, Upstream::Deferred).await;
    let concurrent = begin(&ledger, &["b"], 3).await;
    assert_eq!((concurrent.delivery_id, concurrent.retry), (id(3), false));
    // The retry is answered; only the acceptance of `a` is left to tell.
    finish(&ledger, &retry, &[("b", Outcome::Accepted)], Upstream::Told).await;
    let last = begin(&ledger, &["a"], 4).await;
    assert_eq!(last.already, [("a".to_owned(), FinalOutcome::Accepted)]);
}

#[tokio::test]
async fn misuse_and_excess_are_refused() {
    let place = Place::new();
    let ledger = place.open();
    let first = begin(&ledger, &["a", "a", "b"], 1).await;
    assert_eq!(first.send, paths(&["a", "b"]), "repetitions count once");
    let stray = [("z".to_owned(), Outcome::Accepted)];
    let answer = ledger.finish_outgoing(&first, &stray, HASH, Upstream::Told, NOW, &[]).await;
    assert_eq!(answer, Err(LedgerError::StrayRecipient));
    let other = RetryKey::from_bytes([1; 32]);
    let answer = ledger.begin_outgoing(other, &paths(&["c"]), id(1), NOW).await;
    assert_eq!(answer, Err(LedgerError::Conflict), "a delivery id is never shared");
    let crowd: Vec<String> = (0..=1_000).map(|n| n.to_string()).collect();
    assert!(matches!(
        ledger.begin_outgoing(other, &crowd, id(2), NOW).await,
        Err(LedgerError::Limit(_))
    ));
    // A reply cut in the middle of a character would not come back.
    let long = FinalReply { code: 550, text: "ü".repeat(5_000) };
    let outcomes = [("a", Outcome::Permanent(long))];
    finish(&ledger, &first, &outcomes, Upstream::Deferred).await;
    let retry = begin(&ledger, &["a", "b"], 3).await;
    let [(_, FinalOutcome::Permanent(reply))] = &retry.already[..] else { panic!() };
    assert_eq!((reply.code, reply.text.len()), (550, 2_048));
}

#[tokio::test]
async fn entries_expire_in_bounded_batches() {
    let place = Place::new();
    let ledger = place.open();
    for number in 1..=5 {
        let outgoing = ledger
            .begin_outgoing(RetryKey::from_bytes([number; 32]), &paths(&["a"]), id(number), NOW)
            .await
            .unwrap();
        finish(&ledger, &outgoing, &[], Upstream::Deferred).await;
    }
    let week = 7 * 24 * 3_600;
    assert_eq!(ledger.expire(NOW + week - 1, 100).await, Ok(0));
    let mut batches = Vec::new();
    while let Ok(gone @ 1..) = ledger.expire(NOW + week, 2).await {
        batches.push(gone);
    }
    assert_eq!(batches, [2, 2, 1]);
}

/// What the next hop does with one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hop {
    Accepts,
    Refuses,
    Defers,
    AcceptsUnheard,
    VanishesUnheard,
}

/// How a transaction ends on the gateway's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    ClientLeft,
    ClientLeftEarly,
    DiesBeforeRecord,
    DiesBeforeAnswer,
    ReplyLost,
}

#[derive(Debug, Clone)]
enum Step {
    Message {
        recipients: u8,
        lmtp: bool,
    },
    Begin {
        message: usize,
        group: u8,
    },
    End {
        transaction: usize,
        hop: [Hop; 3],
        end: End,
    },
    /// The gateway notices that a reply was not written; the client may be back before.
    NoticeLoss {
        report: usize,
    },
}

struct Report {
    outgoing: Outgoing,
    outcomes: Vec<(String, Outcome)>,
    hash: Option<[u8; 32]>,
}

struct Message {
    owed: BTreeSet<&'static str>,
    lmtp: bool,
}

#[derive(Debug)]
struct Transaction {
    message: usize,
    outgoing: Outgoing,
}

/// Clients with identical messages, one gateway with a ledger, and a next hop that remembers
/// (delivery id, recipient) as an unsealing gateway does.
struct World {
    place: Place,
    ledger: Option<SqliteLedger>,
    runtime: tokio::runtime::Runtime,
    messages: Vec<Message>,
    open: Vec<Transaction>,
    unread: Vec<Report>,
    ids: u8,
    seen: HashSet<(DeliveryId, String)>,
    delivered: BTreeMap<String, u32>,
    told: BTreeMap<String, u32>,
    /// Recipients whose acceptance the gateway has recorded.
    heard: BTreeSet<String>,
}

const NAMES: [&str; 3] = ["a@example.org", "b@example.org", "B@example.org"];

fn named(mask: u8) -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().enumerate().filter(move |(bit, _)| mask >> bit & 1 == 1).map(|(_, name)| name)
}

impl World {
    fn new() -> Self {
        let place = Place::new();
        Self {
            ledger: Some(place.open()),
            place,
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            messages: Vec::new(),
            open: Vec::new(),
            unread: Vec::new(),
            ids: 0,
            seen: HashSet::new(),
            delivered: BTreeMap::new(),
            told: BTreeMap::new(),
            heard: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Message { recipients, lmtp } => {
                let owed = named(*recipients).collect();
                self.messages.push(Message { owed, lmtp: *lmtp });
            }
            Step::Begin { message, group } => {
                if !self.messages.is_empty() {
                    self.begin(message % self.messages.len(), *group);
                }
            }
            Step::End { transaction, hop, end } => {
                if !self.open.is_empty() {
                    let transaction = self.open.swap_remove(transaction % self.open.len());
                    self.end(transaction, *hop, *end);
                }
            }
            Step::NoticeLoss { report } => {
                if !self.unread.is_empty() {
                    let at = report % self.unread.len();
                    let Report { outgoing, outcomes, hash } = self.unread.swap_remove(at);
                    self.finish(&outgoing, &outcomes, hash, Upstream::Deferred);
                }
            }
        }
    }

    /// The client submits those of the group that it has no answer for and not under way.
    fn begin(&mut self, message: usize, group: u8) {
        let busy: HashSet<&str> = (self.open.iter())
            .filter(|transaction| transaction.message == message)
            .flat_map(|t| t.outgoing.send.iter().chain(t.outgoing.already.iter().map(|(p, _)| p)))
            .map(String::as_str)
            .collect();
        let group: Vec<String> = named(group)
            .filter(|name| self.messages[message].owed.contains(name) && !busy.contains(name))
            .map(str::to_owned)
            .collect();
        if group.is_empty() {
            return;
        }
        self.ids += 1;
        let begun = self.ledger.as_ref().unwrap().begin_outgoing(KEY, &group, id(self.ids), NOW);
        let outgoing = self.runtime.block_on(begun).unwrap();
        let covered: BTreeSet<&String> =
            outgoing.send.iter().chain(outgoing.already.iter().map(|(path, _)| path)).collect();
        assert_eq!(covered, group.iter().collect(), "somebody is neither sent nor answered");
        assert_eq!(outgoing.send.len() + outgoing.already.len(), group.len());
        for other in &self.open {
            assert_ne!(
                other.outgoing.delivery_id, outgoing.delivery_id,
                "an id used twice at once"
            );
        }
        self.open.push(Transaction { message, outgoing });
    }

    fn hop(&mut self, delivery: DeliveryId, path: &str, does: Hop) -> Outcome {
        let known = (delivery, path.to_owned());
        let mut accept = || {
            if self.seen.insert(known.clone()) {
                *self.delivered.entry(path.to_owned()).or_default() += 1;
            }
        };
        match does {
            Hop::Accepts => {
                accept();
                Outcome::Accepted
            }
            Hop::AcceptsUnheard => {
                accept();
                Outcome::Unknown
            }
            Hop::VanishesUnheard => Outcome::Unknown,
            Hop::Refuses => Outcome::Permanent(refused()),
            Hop::Defers => Outcome::Temporary,
        }
    }

    fn end(&mut self, transaction: Transaction, hop: [Hop; 3], end: End) {
        let Transaction { message, outgoing } = transaction;
        let mut outcomes = Vec::new();
        if end != End::ClientLeftEarly {
            for path in &outgoing.send {
                let at = NAMES.iter().position(|name| name == path).unwrap();
                outcomes.push((path.clone(), self.hop(outgoing.delivery_id, path, hop[at])));
            }
        } else {
            outcomes.extend(outgoing.send.iter().map(|path| (path.clone(), Outcome::Temporary)));
        }
        if end == End::DiesBeforeRecord {
            return self.restart();
        }
        let accepted = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Accepted);
        self.heard.extend(accepted.map(|(path, _)| path.clone()));
        let open = |outcome: &Outcome| matches!(outcome, Outcome::Temporary | Outcome::Unknown);
        let deferred = outcomes.iter().any(|(_, o)| open(o)) && !self.messages[message].lmtp;
        let left = matches!(end, End::ClientLeft | End::ClientLeftEarly);
        let upstream = if deferred || left { Upstream::Deferred } else { Upstream::Told };
        let hash = HASH.filter(|_| end != End::ClientLeftEarly);
        self.finish(&outgoing, &outcomes, hash, upstream);
        match end {
            End::DiesBeforeAnswer => return self.restart(),
            _ if upstream == Upstream::Deferred => return,
            End::ReplyLost => return self.unread.push(Report { outgoing, outcomes, hash }),
            _ => {}
        }
        let settled = outcomes.into_iter().filter(|(_, outcome)| !open(outcome));
        let settled = settled.map(|(path, outcome)| (path, outcome == Outcome::Accepted));
        let already = outgoing.already.into_iter();
        let already = already.map(|(path, outcome)| (path, outcome == FinalOutcome::Accepted));
        for (path, accepted) in settled.chain(already) {
            assert!(self.messages[message].owed.remove(path.as_str()));
            *self.told.entry(path).or_default() += u32::from(accepted);
        }
    }

    fn finish(
        &self,
        outgoing: &Outgoing,
        outcomes: &[(String, Outcome)],
        hash: Option<[u8; 32]>,
        upstream: Upstream,
    ) {
        let ledger = self.ledger.as_ref().unwrap();
        let finished = ledger.finish_outgoing(outgoing, outcomes, hash, upstream, NOW, &[]);
        self.runtime.block_on(finished).unwrap();
    }

    fn restart(&mut self) {
        self.open.clear();
        self.unread.clear();
        self.runtime.block_on(self.ledger.take().unwrap().close());
        self.ledger = Some(self.place.open());
    }

    /// Every delivery a client counts on has happened.
    fn nobody_lost(&self) {
        for (path, told) in &self.told {
            let delivered = self.delivered.get(path).copied().unwrap_or(0);
            assert!(delivered >= *told, "{path}: told {told}, delivered {delivered}");
        }
    }

    /// For worlds with one message: who is known to have it gets it no more.
    fn nobody_accepted_is_sent_again(&self) {
        let mut sent = self.open.iter().flat_map(|transaction| &transaction.outgoing.send);
        assert!(!sent.any(|path| self.heard.contains(path)), "sent again: {:?}", self.open);
    }

    /// Lets every client come back until it has all its answers.
    fn drain(&mut self) {
        while let Some(transaction) = self.open.pop() {
            self.end(transaction, [Hop::Defers; 3], End::Answered);
        }
        while !self.unread.is_empty() {
            self.step(&Step::NoticeLoss { report: 0 });
        }
        for message in 0..self.messages.len() {
            self.begin(message, 7);
            while let Some(transaction) = self.open.pop() {
                self.end(transaction, [Hop::Accepts; 3], End::Answered);
            }
            assert!(self.messages[message].owed.is_empty(), "a client that waits for ever");
            self.nobody_lost();
        }
    }
}

fn hops(unheard: bool) -> impl Strategy<Value = [Hop; 3]> {
    let mut hops = vec![Hop::Accepts, Hop::Accepts, Hop::Refuses, Hop::Defers, Hop::Defers];
    if unheard {
        hops.extend([Hop::AcceptsUnheard, Hop::AcceptsUnheard, Hop::VanishesUnheard]);
    }
    prop::array::uniform3(prop::sample::select(hops))
}

fn any_step() -> impl Strategy<Value = Step> {
    let mut ends = vec![End::Answered; 6];
    ends.extend([End::ClientLeft, End::ClientLeftEarly, End::ReplyLost]);
    ends.extend([End::DiesBeforeRecord, End::DiesBeforeAnswer]);
    let message =
        (1_u8..8, any::<bool>()).prop_map(|(recipients, lmtp)| Step::Message { recipients, lmtp });
    let begin =
        (any::<usize>(), 1_u8..8).prop_map(|(message, group)| Step::Begin { message, group });
    let end = (any::<usize>(), hops(true), prop::sample::select(ends))
        .prop_map(|(transaction, hop, end)| Step::End { transaction, hop, end });
    let notice = any::<usize>().prop_map(|report| Step::NoticeLoss { report });
    prop_oneof![2 => message, 4 => begin, 4 => end, 1 => notice]
}

/// Attempts of one message, one after another, with the recipients that each one names.
fn attempts(unheard: bool) -> impl Strategy<Value = Vec<(u8, [Hop; 3], End)>> {
    let mut ends = vec![End::Answered; 4];
    ends.extend([End::ClientLeft, End::ClientLeftEarly]);
    if unheard {
        ends.extend([End::DiesBeforeRecord, End::ReplyLost]);
    }
    prop::collection::vec((1_u8..8, hops(unheard), prop::sample::select(ends)), 1..12)
}

/// Each case opens files and waits for the disk: few by default, PROPTEST_CASES for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: cases.unwrap_or(24), failure_persistence: None, ..Default::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Whatever happens, also to identical messages at the same time: each 250 has its delivery.
    #[test]
    fn every_250_is_backed_by_a_delivery(steps in prop::collection::vec(any_step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.nobody_lost();
        }
        world.drain();
    }

    /// One message whose client repeats what it has no answer for: at most one delivery each,
    /// whatever is unheard on the way, and however the gateway dies before it records.
    #[test]
    fn a_retried_message_is_delivered_once(attempts in attempts(true), lmtp: bool) {
        let mut world = World::new();
        world.step(&Step::Message { recipients: 7, lmtp });
        for (_, hop, end) in attempts {
            world.step(&Step::Begin { message: 0, group: 7 });
            world.nobody_accepted_is_sent_again();
            world.step(&Step::End { transaction: 0, hop, end });
            world.step(&Step::NoticeLoss { report: 0 });
        }
        world.drain();
        prop_assert!(world.delivered.values().all(|count| *count == 1), "{:?}", world.delivered);
    }

    /// The same where the client groups recipients anew each time, as long as replies are heard.
    #[test]
    fn regrouping_sends_nobody_twice(attempts in attempts(false), lmtp: bool) {
        let mut world = World::new();
        world.step(&Step::Message { recipients: 7, lmtp });
        for (group, hop, end) in attempts {
            world.step(&Step::Begin { message: 0, group });
            world.nobody_accepted_is_sent_again();
            world.step(&Step::End { transaction: 0, hop, end });
        }
        world.drain();
        prop_assert!(world.delivered.values().all(|count| *count == 1), "{:?}", world.delivered);
    }

    /// The same over two connections at once: each has a part of the recipients.
    #[test]
    fn parts_at_the_same_time_send_nobody_twice(
        attempts in prop::collection::vec((attempts(false), any::<bool>()), 1..4),
        lmtp: bool,
    ) {
        let mut world = World::new();
        world.step(&Step::Message { recipients: 7, lmtp });
        for (attempts, swap) in attempts {
            for pair in attempts.chunks(2) {
                let part = pair[0].0 & 7;
                for group in [part, 7 & !part] {
                    if group != 0 {
                        world.step(&Step::Begin { message: 0, group });
                        world.nobody_accepted_is_sent_again();
                    }
                }
                for &(_, hop, end) in pair.iter().cycle().take(2) {
                    world.step(&Step::End { transaction: usize::from(swap), hop, end });
                }
            }
        }
        world.drain();
        prop_assert!(world.delivered.values().all(|count| *count == 1), "{:?}", world.delivered);
    }
}
