//! `mta-seal explain`: what the gateway would do with one message, step by step. It is not sent, and nothing is learned.
//!
//! Neither the text of a message nor its subject is shown.

mod carrier;
mod clear;
mod outgoing;
mod recipients;

use super::context;
use super::failure::Failure;
use super::steps::{Step, Steps};
use crate::core::Domain;
use crate::core::address::ReversePath;
use crate::dns::StubResolver;
use crate::gateway::config::Config;
use crate::gateway::{Failure as Refusal, Sources, SystemClock, scan_failure};
use crate::mail::address;
use crate::mail::carrier::{LOCAL_PART, Limits, MEDIA_TYPE, ScanError, Scanner, State};
use crate::mail::header::Header;
use crate::store::ledger::{Ledger, SqliteLedger};
use recipients::Recipients;
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most octets of a message that is read: more than a gateway takes.
const MAX_MESSAGE: u64 = 256 << 20;

/// Options of `explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A message as it would be sent, or "-" for standard input
    #[arg(value_name = "MESSAGE")]
    message: PathBuf,
    /// The sender, as in MAIL FROM; "<>" for a bounce [default: the author in From]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// A recipient, as in RCPT TO; may be repeated [default: those in To and Cc]
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<String>,
    /// The message arrives from outside; a carrier is known to without it
    #[arg(long)]
    inbound: bool,
    /// The SIZE that the next hop offers, in octets
    #[arg(long, value_name = "OCTETS")]
    size_limit: Option<u64>,
    /// JSON, with a stable name for each step
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, given: Option<&Path>) -> Result<(), Failure> {
    let from = args.from.as_deref().map(recipients::reverse_path).transpose()?;
    let to = recipients::forward_paths(&args.to)?;
    let config = context::config(given)?;
    let (octets, name) = read(&args.message)?;
    let ledger = context::ledger_if_any(&config)?;
    let mut steps = Steps::default();
    let message = Message::of(octets, &config, &mut steps);
    let (mut direction, mut id) = ("unreadable", None);
    if let Some(message) = message {
        let outer = Outer::of(&message.header, from, to);
        let carried = context::block_on(async {
            let resolver = StubResolver::new(&config.dns).map_err(Failure::refused)?;
            let desk =
                Desk { config: &config, ledger: ledger.as_ref(), resolver, now: context::now() };
            Ok::<_, Failure>(match &message.envelope {
                Some(envelope) => {
                    let id = carrier::explain(&desk, &message, envelope, &outer, &mut steps).await;
                    ("carrier", id)
                }
                None if args.inbound => {
                    clear::explain(&desk, &message, &outer, &mut steps).await;
                    ("inbound", None)
                }
                None => {
                    outgoing::explain(&desk, &message, &outer, args.size_limit, &mut steps).await;
                    ("outbound", None)
                }
            })
        })??;
        (direction, id) = carried;
    }
    let facts = json!({
        "message": name, "direction": direction, "envelope_id": id, "time": context::now(),
    });
    let what = match direction {
        "carrier" => "a sealed message that arrives",
        "inbound" => "an ordinary message that arrives",
        "outbound" => "a message that is to be sent",
        _ => "no message that a gateway takes",
    };
    steps.conclude(&format!("{name}: {what} ({})", config.file.display()), facts, args.json)
}

/// What every part needs.
struct Desk<'a> {
    config: &'a Config,
    ledger: Option<&'a SqliteLedger>,
    resolver: StubResolver,
    now: u64,
}

impl Desk<'_> {
    fn sources(&self) -> Sources<'_> {
        Sources {
            resolver: &self.resolver,
            ledger: self.ledger.map(|ledger| ledger as &dyn Ledger),
            clock: &SystemClock,
            budget: self.config.dns.timeout,
        }
    }
}

/// The octets of the message, and what they are called.
fn read(path: &Path) -> Result<(Vec<u8>, String), Failure> {
    let (name, mut input): (String, Box<dyn Read>) = if path.as_os_str() == "-" {
        ("standard input".to_owned(), Box::new(std::io::stdin().lock()))
    } else {
        let file = std::fs::File::open(path).map_err(|e| Failure::reading_file(path, &e))?;
        (path.display().to_string(), Box::new(file))
    };
    let mut octets = Vec::new();
    let taken = input.by_ref().take(MAX_MESSAGE + 1).read_to_end(&mut octets);
    taken.map_err(|error| Failure::reading(&name, &error))?;
    if octets.len() as u64 > MAX_MESSAGE {
        return Err(Failure::refused(format!("{name} is larger than {} MiB", MAX_MESSAGE >> 20)));
    }
    Ok((octets, name))
}

/// A message whose header block is within its limits.
struct Message {
    octets: Vec<u8>,
    header: Header,
    /// The octets of the envelope, if it is a carrier.
    envelope: Option<Vec<u8>>,
}

impl Message {
    /// Line ends, carrier or not, header block and Received fields: what both directions look at first.
    fn of(octets: Vec<u8>, config: &Config, steps: &mut Steps) -> Option<Self> {
        let octets = line_ends(octets, steps)?;
        let limit = usize::try_from(config.limits.header_size).unwrap_or(usize::MAX);
        let mut scanner = Scanner::new(Limits { header: limit, ..Limits::default() });
        let mut envelope = Vec::new();
        let scanned =
            scanner.push(&octets, &mut envelope).and_then(|_| scanner.finish(&mut envelope));
        let state = match scanned {
            Ok(state) => state,
            Err(error) => {
                let step = if matches!(error, ScanError::Header(_)) { "header" } else { "carrier" };
                steps.push(refused(step, &error.to_string(), &scan_failure(error)));
                return None;
            }
        };
        let (header, _) = Header::split(&octets);
        steps.push(Step::pass("carrier", recognised(state, &header)));
        let size = header.raw().len();
        let what = format!(
            "{size} octets in {} fields; the limit is {limit} octets",
            header.fields().count()
        );
        steps.push(Step::pass("header", what));
        let (received, most) = (header.received_count(), config.limits.received);
        let what = format!("{received} Received fields; the limit is {most}");
        steps.push(if received > most {
            refused("received", &what, &Refusal::Loop)
        } else {
            Step::pass("received", what)
        });
        let envelope = (state == State::Carrier).then_some(envelope);
        Some(Self { octets, header, envelope })
    }
}

/// How a carrier was recognised, or why it is none [R-car-04].
fn recognised(state: State, header: &Header) -> String {
    match (state, address::author(header)) {
        (State::Carrier, Some(author)) => {
            format!(
                "a carrier: From is {LOCAL_PART}@{}, and a part holds an envelope",
                author.domain
            )
        }
        (State::Carrier, None) => "a carrier".to_owned(),
        (_, Some(author)) if author.local == LOCAL_PART.as_bytes() => {
            format!(
                "no carrier: From is {LOCAL_PART}@{}, but no part ({MEDIA_TYPE}) holds an envelope",
                author.domain
            )
        }
        (_, Some(_)) => format!("no carrier: the author in From is not {LOCAL_PART}@ a domain"),
        (_, None) => "no carrier: From does not name exactly one author".to_owned(),
    }
}

/// CRLF line ends, as they are sent. A file that has none of them was saved with those of the system.
fn line_ends(octets: Vec<u8>, steps: &mut Steps) -> Option<Vec<u8>> {
    let size = octets.len();
    let pairs = memchr::memmem::find_iter(&octets, b"\r\n").count();
    let feeds = memchr::memchr_iter(b'\n', &octets).count();
    let returns = memchr::memchr_iter(b'\r', &octets).count();
    let nul = memchr::memchr(0, &octets).is_some();
    if !nul && pairs == 0 && returns == 0 && feeds > 0 {
        let mut sent = Vec::with_capacity(size + feeds);
        for line in octets.split_inclusive(|&octet| octet == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    sent.extend_from_slice(text);
                    sent.extend_from_slice(b"\r\n");
                }
                None => sent.extend_from_slice(line),
            }
        }
        let what =
            format!("{} octets as sent, with CRLF: the file has line feeds alone", sent.len());
        steps.push(Step::pass("line-ends", what));
        return Some(sent);
    }
    if nul || pairs != feeds || pairs != returns {
        steps.push(refused(
            "line-ends",
            "a CR or LF stands alone, or there is a NUL",
            &Refusal::BareLineEnd,
        ));
        return None;
    }
    steps.push(Step::pass("line-ends", format!("{size} octets, each line ends in CRLF")));
    Some(octets)
}

/// A refusal of the gateway, with the reply that the client would see.
fn refused(step: &'static str, why: &str, refusal: &Refusal) -> Step {
    let text = format!("{why}; refused: {}", refusal.reply());
    if refusal.is_temporary() { Step::unknown(step, text) } else { Step::fail(step, text) }
}

/// The SMTP envelope.
struct Outer {
    from: ReversePath,
    to: Recipients,
}

impl Outer {
    /// As given, else as the header has it.
    fn of(header: &Header, from: Option<ReversePath>, to: Recipients) -> Self {
        let from = from.unwrap_or_else(|| recipients::author(header));
        let to = if to.is_empty() { recipients::in_header(header) } else { to };
        Self { from, to }
    }
}

/// Words for a number of recipients.
fn counted(n: usize) -> String {
    if n == 1 { "1 recipient".to_owned() } else { format!("{n} recipients") }
}

/// The local domain with this name, or none.
fn is_local(config: &Config, domain: &Domain) -> bool {
    config.local(domain).is_some()
}
