//! What becomes of each recipient, laid down beforehand; a queue that retries; and the account of both.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use mta_seal::smtp::Protocol;
use tokio::task::JoinSet;

use super::{Act, Client, Delivery, Message, Sink, Step, stuff};

/// One answer of the next hop; `None`: it accepts.
pub type Fate = Option<(Step, Act)>;

const fn reply(step: Step, line: &'static str) -> Fate {
    Some((step, Act::Reply(line)))
}

pub const RCPT_LATER: Fate = reply(Step::Rcpt, "450 4.2.1 later");
pub const RCPT_NEVER: Fate = reply(Step::Rcpt, "550 5.1.1 never");
pub const RCPT_LOST: Fate = Some((Step::Rcpt, Act::Close));
pub const DATA_LATER: Fate = reply(Step::Data, "452 4.3.1 later");
pub const DATA_NEVER: Fate = reply(Step::Data, "554 5.3.4 never");
pub const DATA_LOST: Fate = Some((Step::Data, Act::Close));
pub const MIDDLE_LOST: Fate = Some((Step::Middle, Act::Close));
pub const DOT_LATER: Fate = reply(Step::Dot, "450 4.2.0 later");
pub const DOT_NEVER: Fate = reply(Step::Dot, "554 5.7.1 never");
/// Not taken, and no reply.
pub const DOT_LOST: Fate = Some((Step::Dot, Act::Close));
/// Taken, and no reply.
pub const DOT_TAKEN: Fate = Some((Step::Dot, Act::TakeAndClose));

/// All of them.
pub const FATES: [Fate; 12] = [
    None,
    RCPT_LATER,
    RCPT_NEVER,
    RCPT_LOST,
    DATA_LATER,
    DATA_NEVER,
    DATA_LOST,
    MIDDLE_LOST,
    DOT_LATER,
    DOT_NEVER,
    DOT_LOST,
    DOT_TAKEN,
];

/// The classes of reply to the final dot.
pub const DOTS: [Fate; 3] = [None, DOT_LATER, DOT_NEVER];

/// Those, and the two ways to lose the connection.
pub const DOTS_AND_LOSSES: [Fate; 5] = [None, DOT_LATER, DOT_NEVER, DOT_LOST, DOT_TAKEN];

/// `number` written with the digits `set`, `length` of them.
fn digits<T: Clone>(set: &[T], length: usize, number: usize) -> Vec<T> {
    let mut rest = number;
    let mut next = || {
        let digit = set[rest % set.len()].clone();
        rest /= set.len();
        digit
    };
    (0..length).map(|_| next()).collect()
}

/// The words of this length that are tried: all with `MTA_SEAL_TEST_COMBINATIONS=all`, else those whose digits add up to a multiple
/// of their count, so that at any places but one there is every combination; and those of one digit only.
pub fn words<T: Clone>(set: &[T], length: u32) -> impl Iterator<Item = Vec<T>> {
    let all = std::env::var_os("MTA_SEAL_TEST_COMBINATIONS").is_some_and(|value| value == "all");
    let (base, length) = (set.len(), length as usize);
    let places: Vec<usize> = (0..base).collect();
    (0..base.pow(u32::try_from(length).unwrap()))
        .map(move |number| digits(&places, length, number))
        .filter(move |word| {
            all || word.iter().sum::<usize>() % base == 0 || word.iter().all(|d| *d == word[0])
        })
        .map(move |word| word.into_iter().map(|digit| set[digit].clone()).collect())
}

/// Numbers that look random and are always the same.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: usize) -> Self {
        Self(seed as u64 + 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }
}

/// How a queue makes transactions of what it still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// All recipients together, in the same order.
    Whole,
    /// Otherwise at each attempt: fewer, more, in another order, over several connections at once.
    Shuffled(usize),
}

impl Grouping {
    fn groups(self, attempt: usize, waiting: &[String]) -> Vec<Vec<String>> {
        let Self::Shuffled(seed) = self else { return vec![waiting.to_vec()] };
        let mut dice = Dice::new(seed * 64 + attempt);
        let mut rest = waiting.to_vec();
        for at in (1..rest.len()).rev() {
            rest.swap(at, dice.below(at + 1));
        }
        if dice.below(4) == 0 && rest.len() > 1 {
            // Some wait for the next attempt.
            rest.truncate(1 + dice.below(rest.len() - 1));
        }
        let mut groups = vec![Vec::new(); 1 + dice.below(3)];
        for recipient in rest {
            let at = dice.below(groups.len());
            groups[at].push(recipient);
        }
        groups.retain(|group| !group.is_empty());
        groups
    }
}

/// A message in the queue of the MTA before the gateway, and what the MTA behind it will answer.
pub struct Case {
    pub from: String,
    /// With angle brackets; no two cases share a recipient.
    pub to: Vec<String>,
    pub message: Vec<u8>,
    /// An MTA has marked the message with its queue id, so that no other one is like it.
    pub marked: bool,
    pub grouping: Grouping,
    /// For each recipient: answers to RCPT, and to the final dot over LMTP.
    pub recipients: BTreeMap<String, Vec<Fate>>,
    /// For each domain of the case: answers to its transactions.
    pub domains: BTreeMap<String, Vec<Fate>>,
    /// The gateway's client leaves at the first attempt.
    pub leaves: Option<Leave>,
}

/// When the client goes away without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leave {
    BeforeData,
    InTheMiddle,
    AfterTheDot,
}

/// What the sender's MTA knows of a recipient in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Accepted,
    Refused,
}

/// What came of a case, as the sender's MTA saw it.
#[derive(Debug, Clone, Default)]
pub struct End {
    pub told: BTreeMap<String, Told>,
    /// Where the client left in fact. It may not have come as far as it was to.
    pub left: Option<Leave>,
}

/// `c7@company2.example`: the domain of one case.
fn domain_key(address: &str) -> String {
    let (local, domain) = address.trim_matches(['<', '>']).split_once('@').unwrap();
    format!("{}@{domain}", local.split('r').next().unwrap())
}

#[derive(Default)]
struct Book {
    recipients: BTreeMap<String, VecDeque<Fate>>,
    domains: BTreeMap<String, VecDeque<Fate>>,
    /// How often a recipient's message was taken without a reply.
    taken: BTreeMap<String, usize>,
    /// What has come to pass, as it is written.
    happened: BTreeSet<String>,
}

/// The script of a next hop: the fates of all cases.
#[derive(Clone)]
pub struct Plan {
    book: Arc<Mutex<Book>>,
    lmtp: bool,
}

impl Plan {
    /// Makes `sink` answer by the fates of `cases`.
    pub fn rule(sink: &Sink, protocol: Protocol, cases: &[Case]) -> Self {
        let mut book = Book::default();
        for case in cases {
            let queue = |fates: &Vec<Fate>| fates.iter().cloned().collect::<VecDeque<_>>();
            book.recipients.extend(case.recipients.iter().map(|(to, f)| (to.clone(), queue(f))));
            for (domain, fates) in &case.domains {
                let one = case.to.iter().find(|to| to.contains(domain.as_str())).unwrap();
                book.domains.insert(domain_key(one), queue(fates));
            }
        }
        let plan = Self { book: Arc::new(Mutex::new(book)), lmtp: protocol == Protocol::Lmtp };
        let script = plan.clone();
        sink.script(move |step, about| script.act(step, about));
        plan
    }

    fn act(&self, step: Step, about: &str) -> Option<Act> {
        let addresses: Vec<String> = about
            .split(['<', '>'])
            .filter(|part| part.contains('@'))
            .map(|address| format!("<{address}>"))
            .collect();
        let first = addresses.first()?;
        let mut book = self.book.lock().unwrap();
        let alone = step == Step::Rcpt || (step == Step::Dot && self.lmtp);
        let queue = match (alone, step) {
            (true, _) => book.recipients.get_mut(first)?,
            (false, Step::Data | Step::Middle | Step::Dot) => {
                book.domains.get_mut(&domain_key(first))?
            }
            _ => return None,
        };
        let act = match queue.front()? {
            Some((when, act)) if *when == step => act.clone(),
            // Accepted to the end, which ends this attempt.
            None if step == Step::Dot || (self.lmtp && step == Step::Data) => {
                queue.pop_front();
                return None;
            }
            _ => return None,
        };
        let fate = queue.pop_front();
        book.happened.extend(fate.map(|fate| format!("{fate:?}")));
        if matches!(act, Act::TakeAndClose) {
            for address in &addresses {
                *book.taken.entry(address.clone()).or_default() += 1;
            }
        }
        Some(act)
    }

    /// Whether every kind of answer that comes first somewhere has been given.
    fn every_kind_happened(&self, cases: &[Case]) {
        let fates = cases.iter().flat_map(|c| c.recipients.values().chain(c.domains.values()));
        let book = self.book.lock().unwrap();
        for fate in fates.filter_map(|fates| fates.first()).filter(|fate| fate.is_some()) {
            let fate = format!("{fate:?}");
            assert!(book.happened.contains(&fate), "{fate} has not happened");
        }
    }

    fn taken(&self, recipient: &str) -> usize {
        self.book.lock().unwrap().taken.get(recipient).copied().unwrap_or_default()
    }
}

/// More attempts than any plan needs.
const ATTEMPTS: usize = 24;

impl Case {
    /// Sends the message until nobody waits for it.
    async fn run(&self, address: SocketAddr, protocol: Protocol) -> End {
        let mut end = End::default();
        let mut waiting = self.to.clone();
        for attempt in 0..ATTEMPTS {
            if attempt == 0
                && let Some(leave) = self.leaves
            {
                end.left = Some(self.leave(address, protocol, leave).await);
                continue;
            }
            let mut sending = JoinSet::new();
            for group in self.grouping.groups(attempt, &waiting) {
                let (from, message) = (self.from.clone(), self.message.clone());
                sending.spawn(async move {
                    let to: Vec<&str> = group.iter().map(String::as_str).collect();
                    let mut client = Client::greeted(address, protocol).await;
                    let sent = client.transact(protocol, &from, &to, &message).await;
                    answers(&sent, &group)
                });
            }
            for (recipient, code) in sending.join_all().await.concat() {
                let told = match code {
                    200..300 => Told::Accepted,
                    500..600 => Told::Refused,
                    _ => continue,
                };
                waiting.retain(|to| *to != recipient);
                end.told.insert(recipient, told);
            }
            if waiting.is_empty() {
                return end;
            }
        }
        panic!("{waiting:?} of {} still wait after {ATTEMPTS} attempts", self.describe());
    }

    /// Leaves at this point, or before it if there is no way to it; which one it was.
    async fn leave(&self, address: SocketAddr, protocol: Protocol, leave: Leave) -> Leave {
        let mut client = Client::greeted(address, protocol).await;
        client.command(&format!("MAIL FROM:{}", self.from)).await;
        let mut accepted = 0;
        for recipient in &self.to {
            let reply = client.command(&format!("RCPT TO:{recipient}")).await;
            accepted += usize::from(reply.code == 250);
        }
        if leave == Leave::BeforeData || accepted == 0 || client.command("DATA").await.code != 354 {
            return Leave::BeforeData;
        }
        let octets = stuff(&self.message);
        let end = if leave == Leave::InTheMiddle { octets.len() - 3 } else { octets.len() };
        // The next hop may have failed already.
        let sent = client.try_send(&octets[..end]).await;
        if sent.is_ok() { leave } else { Leave::InTheMiddle }
    }

    pub fn describe(&self) -> String {
        format!(
            "{:?} (recipients {:?}, domains {:?}, {:?}, {:?})",
            self.to, self.recipients, self.domains, self.grouping, self.leaves
        )
    }
}

/// The code that each recipient of a transaction was answered with.
fn answers(sent: &Delivery, group: &[String]) -> Vec<(String, u16)> {
    if sent.mail.code != 250 {
        return group.iter().map(|to| (to.clone(), sent.mail.code)).collect();
    }
    let mut ends = sent.end.iter();
    let mut last = None;
    let code = |reply: &super::Reply| {
        if reply.code >= 300 {
            return reply.code;
        }
        last = ends.next().or(last);
        last.unwrap().code
    };
    let codes: Vec<u16> = sent.rcpt.iter().map(code).collect();
    group.iter().cloned().zip(codes).collect()
}

/// Runs all cases, many at once.
pub async fn run(cases: &Arc<Vec<Case>>, address: SocketAddr, protocol: Protocol) -> Vec<End> {
    const AT_ONCE: usize = 24;
    let next = Arc::new(Mutex::new(0));
    let ends = Arc::new(Mutex::new(vec![End::default(); cases.len()]));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (cases, next, ends) = (Arc::clone(cases), Arc::clone(&next), Arc::clone(&ends));
        workers.spawn(async move {
            loop {
                let at = {
                    let mut next = next.lock().unwrap();
                    *next += 1;
                    *next - 1
                };
                let Some(case) = cases.get(at) else { return };
                let end = case.run(address, protocol).await;
                ends.lock().unwrap()[at] = end;
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    let ends = ends.lock().unwrap();
    ends.clone()
}

/// What arrived for one recipient: each copy with its delivery id, if it was sealed.
pub type Copies = BTreeMap<String, Vec<Option<[u8; 16]>>>;

/// Counts what a next hop took; `look` checks a message and returns its delivery id.
pub fn copies(messages: &[Message], look: impl Fn(&Message) -> Option<[u8; 16]>) -> Copies {
    let mut copies = Copies::new();
    for message in messages {
        let id = look(message);
        for to in &message.to {
            let address = to.split(' ').next().unwrap().to_owned();
            copies.entry(address).or_default().push(id);
        }
    }
    copies
}

/// How often each recipient is named as failed by delivery reports.
pub fn reported(reports: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for report in reports {
        let mut last = None;
        for line in report.lines() {
            if let Some(address) = line.strip_prefix("Final-Recipient: rfc822; ") {
                last = Some(format!("<{address}>"));
            }
            if line == "Action: failed" {
                *counts.entry(last.take().expect("Action without Final-Recipient")).or_default() +=
                    1;
            }
        }
    }
    counts
}

/// How often clients left where, with messages that are marked or not.
pub fn departures(cases: &[Case], ends: &[End]) -> BTreeMap<(Leave, bool), usize> {
    let mut counts = BTreeMap::new();
    for (case, end) in cases.iter().zip(ends) {
        if let Some(left) = end.left {
            *counts.entry((left, case.marked)).or_default() += 1;
        }
    }
    counts
}

/// Every recipient is delivered to exactly once or refused exactly once, by a reply or by a report; only where the
/// outcome was lost a second copy may come. Messages with and without the mark of an MTA must have occurred, and every kind of answer.
pub fn settle_accounts(
    cases: &[Case],
    ends: &[End],
    copies: &Copies,
    reported: &BTreeMap<String, usize>,
    plan: &Plan,
    may_report: bool,
) {
    for marked in [true, false] {
        let occurred =
            cases.iter().zip(ends).any(|(c, e)| c.marked == marked && !e.told.is_empty());
        assert!(occurred, "no message was sent that is marked: {marked}");
    }
    plan.every_kind_happened(cases);
    let mut wrong = Vec::new();
    for (case, end) in cases.iter().zip(ends) {
        for to in &case.to {
            let none = Vec::new();
            let copies = copies.get(to).unwrap_or(&none);
            let reports = reported.get(to).copied().unwrap_or_default();
            // The retry of a marked message waits for the attempt that its client has left, and then finds its outcome.
            let left = end.left == Some(Leave::AfterTheDot) && !case.marked;
            let doubt = plan.taken(to) + usize::from(left);
            let told = end.told.get(to).copied();
            let fine = match (told, reports) {
                (Some(Told::Accepted), 0) => (1..=1 + doubt).contains(&copies.len()),
                (Some(Told::Accepted), 1) => may_report && copies.len() <= doubt,
                (Some(Told::Refused), 0) => copies.len() <= doubt,
                _ => false,
            };
            // In one transaction at a time what may have arrived comes again under its own delivery id.
            let ids: BTreeSet<_> = copies.iter().collect();
            let sealed = copies.first().is_some_and(Option::is_some);
            let same = !sealed || ids.len() <= 1 || case.grouping != Grouping::Whole || left;
            if !fine || !same {
                wrong.push(format!(
                    "{to}: told {told:?}, {} copies ({} ids), {reports} reports, {doubt} doubts: {}",
                    copies.len(),
                    ids.len(),
                    case.describe()
                ));
            }
        }
    }
    let some: Vec<_> = wrong.iter().take(5).collect();
    assert!(wrong.is_empty(), "{} accounts are wrong, such as {some:#?}", wrong.len());
}
