//! Every combination of outcomes, sealing and unsealing, until the queue before the gateway is empty: nobody is lost, nobody gets a message
//! twice, and whoever is refused is reported once. A share of the combinations, see [`words`]; all of them by `interop/combinations/run`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gateway_support::plan::*;
use gateway_support::*;
use mta_seal::dns::Scripted;
use mta_seal::smtp::Protocol::{self, Lmtp, Smtp};

const ALICE: &str = "<alice@company1.example>";

/// Sealed to, sealed to, and clear.
const DOMAINS: [&str; 3] = ["@company2.example", "@company3.example", "@plain.example"];

/// A case in the making.
fn case(number: usize, recipients: &[&str]) -> Case {
    let to = recipients.iter().enumerate();
    let to: Vec<String> = to.map(|(n, domain)| format!("<c{number}r{n}{domain}>")).collect();
    let marked = Dice::new(number + 1_000_000).below(2) == 0;
    Case {
        from: ALICE.to_owned(),
        to,
        message: message(number, marked),
        marked,
        grouping: Grouping::Whole,
        recipients: BTreeMap::new(),
        domains: BTreeMap::new(),
        leaves: None,
    }
}

/// Its Received field has a queue id, or only something like it.
fn message(number: usize, marked: bool) -> Vec<u8> {
    let trace = if marked { format!("id {number};") } else { format!("; id {number}") };
    format!(
        "Received: from a by b {trace} today\r\nFrom: alice@company1.example\r\n\r\ncanary {number}\r\n"
    )
    .into_bytes()
}

impl Case {
    /// The next attempts at this domain end so.
    fn domain(&mut self, domain: &str, fates: &[Fate]) {
        let at_rcpt = |fate: &&Fate| matches!(fate, Some((Step::Rcpt, _)));
        let early: Vec<Fate> = fates.iter().filter(at_rcpt).cloned().collect();
        if !early.is_empty() {
            let first = self.to.iter().find(|to| to.contains(domain)).unwrap().clone();
            self.recipients.insert(first, early);
        }
        let later = fates.iter().filter(|fate| !at_rcpt(fate)).cloned().collect();
        self.domains.insert(domain.to_owned(), later);
    }

    /// The next answers to this recipient.
    fn recipient(&mut self, at: usize, fates: &[Fate]) {
        self.recipients.insert(self.to[at].clone(), fates.to_vec());
    }
}

/// Sends all cases through a sealing gateway and settles the accounts. Returns how often clients left where.
async fn sealing(
    inside: Protocol,
    between: Protocol,
    mut cases: Vec<Case>,
) -> BTreeMap<(Leave, bool), usize> {
    let limits = "[limits]\nconnections_per_client = 1000\n".to_owned();
    let options = WorldOptions { inside, between, extra1: limits, ..WorldOptions::default() };
    let world = World::with(options).await;
    let company3 = Org::new("company3.example", 70);
    company3.publish(&world.dns);
    let last = cases.len();
    cases.push(case(9_999_999, &[DOMAINS[0], DOMAINS[2]]));
    let number_of = |to: &str| to[2..to.find('r').unwrap()].parse::<usize>().unwrap();
    // The last one is sent alone, after all others.
    let mut bad = cases.pop().unwrap();
    let never = [DOT_NEVER];
    bad.recipient(1, &never);
    bad.domains.insert(DOMAINS[2].to_owned(), never.to_vec());
    let cases = Arc::new(cases);
    let plan = Plan::rule(&world.relay, between, &cases);
    let ends = run(&cases, world.gw1.outbound(), inside).await;
    assert_eq!(ends.len(), last);
    if inside == Smtp {
        // Its report is the last one.
        let bad = Arc::new(vec![bad]);
        Plan::rule(&world.relay, between, &bad);
        run(&bad, world.gw1.outbound(), inside).await;
        let is_last = |m: &Message| contains(&m.data, b"c9999999r1@");
        soon("the last report", async {
            while !world.mta1.messages().iter().any(is_last) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let messages: BTreeMap<usize, &Vec<u8>> =
        cases.iter().map(|case| (number_of(&case.to[0]), &case.message)).collect();
    let copies = copies(&world.relay.messages(), |copy| {
        let to = &copy.to[0];
        let number = number_of(to);
        let expected = messages.get(&number).copied();
        let org = [&world.company2, &company3]
            .into_iter()
            .find(|org| to.split(' ').next().unwrap().ends_with(&format!("@{}>", org.domain)));
        let Some(org) = org else {
            assert!(expected.is_none_or(|m| after_field(&copy.data) == *m), "{}", text(&copy.data));
            return None;
        };
        let (inside, accepted) = open(&copy.data, &world.company1, org);
        assert!(expected.is_none_or(|m| inside == *m));
        let signed: Vec<_> = accepted.prefix.forward_paths.iter().map(|p| p.mailbox()).collect();
        for to in &copy.to {
            let mailbox = to.split(' ').next().unwrap().trim_matches(['<', '>']);
            assert!(signed.contains(&mailbox), "{to} is not signed");
        }
        Some(*accepted.prefix.delivery_id.as_bytes())
    });
    let reports = world.mta1.messages();
    assert!(reports.iter().all(|report| report.from.starts_with("<>") && report.to == [ALICE]));
    let reports: Vec<String> = reports.iter().map(|report| text(&report.data)).collect();
    assert!(reports.iter().all(|report| !report.contains("canary")));
    settle_accounts(&cases, &ends, &copies, &reported(&reports), &plan, inside == Smtp);
    departures(&cases, &ends)
}

/// Later attempts: a few fates that differ from case to case.
fn later(number: usize, length: usize) -> Vec<Fate> {
    let mut dice = Dice::new(number);
    (0..dice.below(length + 1)).map(|_| FATES[dice.below(FATES.len())].clone()).collect()
}

#[test]
fn any_places_but_one_have_every_combination() {
    for (base, length) in [(3, 2), (3, 4), (3, 5), (3, 6), (4, 3), (5, 3), (5, 4), (12, 3)] {
        let digits: Vec<usize> = (0..base).collect();
        let words: Vec<_> = words(&digits, length).collect();
        for without in 0..length as usize {
            let rest: BTreeSet<Vec<usize>> = words
                .iter()
                .map(|word| [&word[..without], &word[without + 1..]].concat())
                .collect();
            assert_eq!(rest.len(), base.pow(length - 1));
        }
        assert!((0..base).all(|digit| words.contains(&vec![digit; length as usize])));
    }
}

fn three_domains(set: &[Fate]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, fates) in words(set, 3).enumerate() {
        let [a, b, c] = DOMAINS;
        let mut case = case(number, &[a, b, a, c, c]);
        for (n, (domain, fate)) in DOMAINS.iter().zip(fates).enumerate() {
            case.domain(domain, &[vec![fate], later(number * 3 + n, 2)].concat());
        }
        cases.push(case);
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_domains_over_smtp() {
    sealing(Smtp, Smtp, three_domains(&FATES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_domains_from_lmtp() {
    sealing(Lmtp, Smtp, three_domains(&DOTS_AND_LOSSES)).await;
}

/// A reply for each recipient behind the gateway.
fn six_recipients() -> Vec<Case> {
    let [a, b, c] = DOMAINS;
    let mut cases = four_recipients();
    for fates in words(&DOTS, 6) {
        let number = cases.len();
        let mut case = case(number, &[a, b, c, c, b, a]);
        for (n, fate) in fates.into_iter().enumerate() {
            let second = DOTS_AND_LOSSES[Dice::new(number * 6 + n).below(5)].clone();
            case.recipient(n, &[fate, second]);
        }
        cases.push(case);
    }
    cases
}

/// The same with losses.
fn four_recipients() -> Vec<Case> {
    let [a, b, c] = DOMAINS;
    let mut cases = Vec::new();
    for fates in words(&DOTS_AND_LOSSES, 4) {
        let number = cases.len();
        let mut case = case(number, &[a, b, a, c]);
        for (n, fate) in fates.into_iter().enumerate() {
            let second = DOTS[Dice::new(number * 4 + n).below(3)].clone();
            case.recipient(n, &[fate, second]);
        }
        cases.push(case);
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_recipients_towards_lmtp() {
    sealing(Smtp, Lmtp, six_recipients()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_recipients_through_lmtp() {
    sealing(Lmtp, Lmtp, four_recipients()).await;
}

/// Refusals at RCPT, together with every outcome of those that were accepted.
fn refused_at_rcpt() -> Vec<Case> {
    let [a, b, c] = DOMAINS;
    let mut cases = Vec::new();
    for fates in words(&[None, RCPT_LATER, RCPT_NEVER], 4) {
        for end in words(&DOTS, 2) {
            let mut case = case(cases.len(), &[a, b, c, a]);
            for (n, fate) in fates.iter().enumerate() {
                if fate.is_some() {
                    case.recipient(n, std::slice::from_ref(fate));
                }
            }
            case.domains.insert(a.to_owned(), vec![end[0].clone()]);
            case.domains.insert(c.to_owned(), vec![end[1].clone()]);
            cases.push(case);
        }
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipients_refused_at_once() {
    sealing(Smtp, Smtp, refused_at_rcpt()).await;
    sealing(Lmtp, Smtp, refused_at_rcpt().into_iter().step_by(4).collect()).await;
}

/// Retries with fewer recipients, more, in another order, and over several connections at once.
fn regrouped(lmtp: bool) -> Vec<Case> {
    let [a, b, c] = DOMAINS;
    let mut cases = Vec::new();
    for mut fates in words(&DOTS, 5) {
        fates.push(DOTS[cases.len() % 3].clone());
        let number = cases.len();
        let mut case = case(number, &[a, a, a, b, b, c, c, c]);
        case.grouping = Grouping::Shuffled(number);
        let mut dice = Dice::new(number);
        if lmtp {
            for n in 0..8 {
                let third = DOTS_AND_LOSSES[dice.below(5)].clone();
                case.recipient(n, &[fates[n % 6].clone(), fates[(n + 3) % 6].clone(), third]);
            }
        } else {
            for (n, domain) in DOMAINS.iter().enumerate() {
                let third = FATES[dice.below(FATES.len())].clone();
                case.domain(domain, &[fates[n].clone(), fates[n + 3].clone(), third]);
            }
        }
        cases.push(case);
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_in_other_groups() {
    for inside in [Smtp, Lmtp] {
        for between in [Smtp, Lmtp] {
            sealing(inside, between, regrouped(between == Lmtp)).await;
        }
    }
}

/// The client leaves at the first attempt, at whatever point.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave() {
    let [a, b, c] = DOMAINS;
    for inside in [Smtp, Lmtp] {
        let mut cases = Vec::new();
        let kinds = [
            (Leave::BeforeData, true),
            (Leave::InTheMiddle, true),
            (Leave::AfterTheDot, true),
            (Leave::AfterTheDot, false),
        ];
        for (leave, marked) in kinds {
            for fates in words(&DOTS_AND_LOSSES, 3) {
                let number = cases.len();
                let mut case = case(number, &[a, b, c, a]);
                case.leaves = Some(leave);
                (case.message, case.marked) = (message(number, marked), marked);
                for (domain, fate) in DOMAINS.iter().zip(fates) {
                    case.domain(domain, &[fate]);
                }
                cases.push(case);
            }
        }
        let departures = sealing(inside, Smtp, cases).await;
        for kind in kinds {
            assert!(departures.contains_key(&kind), "nobody left so: {kind:?} of {departures:?}");
        }
    }
}

/// Delivers all cases through an unsealing gateway with two domains, and settles the accounts.
async fn unsealing(between: Protocol, behind: Protocol, sealed: bool) {
    let (dns, clock) = (Arc::new(Scripted::new()), TestClock::new());
    let [one, two, four] =
        [("company1.example", 10), ("company2.example", 20), ("company4.example", 40)]
            .map(|(name, seed)| Org::new(name, seed));
    for org in [&one, &two, &four] {
        org.publish(&dns);
    }
    let (relay, mta) = (Sink::smtp().await, Sink::speaking(behind).await);
    let mut spec = Spec::new(&two)
        .outbound(Smtp, &relay.url)
        .inbound(between, &mta.url)
        .extra("[limits]\nconnections_per_client = 1000\n");
    spec.orgs.push(four.clone());
    let gw = Gw::start(&spec, &dns, &clock).await;
    let domains = if sealed {
        ["@company2.example"; 3]
    } else {
        ["@company2.example", "@company4.example", "@company2.example"]
    };
    let mut cases = incoming(&domains, behind);
    let plain: Vec<Vec<u8>> = cases.iter().map(|case| case.message.clone()).collect();
    let seal = |case: &mut Case, signed: usize| {
        let mut forgery = Forgery::new(&one, &two);
        let names: Vec<&str> =
            case.to[..signed].iter().map(|to| to.trim_matches(['<', '>'])).collect();
        forgery = forgery.signed_for(&names);
        forgery.message = case.message.clone();
        case.message = forgery.carrier();
    };
    if sealed {
        cases.iter_mut().for_each(|case| seal(case, 3));
    }
    let cases = Arc::new(cases);
    let plan = Plan::rule(&mta, behind, &cases);
    let ends = run(&cases, gw.inbound(), between).await;
    if sealed && between == Smtp {
        // The report about one who is not signed is the last one.
        let mut bad = case(9_999_999, &["@company2.example"; 2]);
        seal(&mut bad, 1);
        run(&Arc::new(vec![bad]), gw.inbound(), between).await;
        soon("the last report", async {
            let is_last = |m: &Message| contains(&open(&m.data, &two, &one).0, b"c9999999r1@");
            let mut seen = 0;
            loop {
                let messages = relay.wait(seen + 1).await;
                if messages[seen..].iter().any(is_last) {
                    return;
                }
                seen = messages.len();
            }
        })
        .await;
    }
    let copies = copies(&mta.messages(), |copy| {
        let to = &copy.to[0];
        let number: usize = to[2..to.find('r').unwrap()].parse().unwrap();
        assert!(plain.get(number).is_none_or(|message| without_trace(&copy.data) == *message));
        None
    });
    let reports: Vec<String> = relay
        .messages()
        .iter()
        .map(|report| {
            assert!(report.from.starts_with("<>") && report.to == [ALICE]);
            text(&open(&report.data, &two, &one).0)
        })
        .collect();
    assert!(reports.iter().all(|report| !report.contains("canary")));
    let may_report = sealed && between == Smtp;
    assert!(may_report || reports.is_empty());
    settle_accounts(&cases, &ends, &copies, &reported(&reports), &plan, may_report);
}

/// Three recipients, in all combinations at RCPT and after it.
fn incoming(domains: &[&str], behind: Protocol) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |recipients: &[Vec<Fate>], domain: Vec<Fate>| {
        let mut case = case(cases.len(), domains);
        for (n, fates) in recipients.iter().enumerate() {
            case.recipient(n, fates);
        }
        for name in domains {
            case.domains.insert((*name).to_owned(), domain.clone());
        }
        if cases.len() % 3 == 2 {
            case.grouping = Grouping::Shuffled(cases.len());
        }
        cases.push(case);
    };
    let rcpt = [None, RCPT_LATER, RCPT_NEVER, RCPT_LOST];
    if behind == Smtp {
        for at_rcpt in words(&rcpt, 3) {
            let at_rcpt: Vec<_> = at_rcpt.into_iter().map(|fate| vec![fate]).collect();
            let later = FATES.iter().filter(|fate| !matches!(fate, Some((Step::Rcpt, _))));
            for (n, end) in later.enumerate() {
                add(&at_rcpt, vec![end.clone(), DOTS_AND_LOSSES[n % 5].clone()]);
            }
        }
        return cases;
    }
    for ends in words(&DOTS_AND_LOSSES, 3) {
        for second in 0..2 {
            let fates = ends
                .iter()
                .enumerate()
                .map(|(n, fate)| vec![fate.clone(), DOTS[(n + second) % 3].clone()]);
            add(&fates.collect::<Vec<_>>(), vec![None, DATA_LOST]);
        }
    }
    for at_rcpt in words(&rcpt, 3) {
        for end in [DATA_LATER, DATA_NEVER, DATA_LOST, MIDDLE_LOST] {
            let fates: Vec<_> = at_rcpt.iter().map(|fate| vec![fate.clone(), DOT_NEVER]).collect();
            add(&fates, vec![end]);
        }
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn carriers_to_every_kind_of_hop() {
    for between in [Smtp, Lmtp] {
        for behind in [Smtp, Lmtp] {
            unsealing(between, behind, true).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_mail_to_every_kind_of_hop() {
    for between in [Smtp, Lmtp] {
        for behind in [Smtp, Lmtp] {
            unsealing(between, behind, false).await;
        }
    }
}
