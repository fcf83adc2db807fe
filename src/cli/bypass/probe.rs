//! A message that cannot be delivered, and the way its bounce takes: the MTA before the gateway must send it through the
//! gateway like all other mail.

use super::Args;
use super::finding::Finding;
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::moment::length;
use crate::core::address::{ForwardPath, Mailbox, ReversePath};
use crate::core::esmtp::{MailParameters, RcptParameters};
use crate::core::hex::Hex;
use crate::gateway::LEDGER_FILE;
use crate::gateway::config::{Config, parse_duration};
use crate::mail::date;
use crate::smtp::Reply;
use crate::smtp::client::{Client, ClientError, ClientOptions, Outcome};
use crate::smtp::next_hop::NextHop;
use crate::store::ledger::{Ledger, MAX_PROBE, OperatorLedger, ProbeId, Sighting};
use rand_core::Rng;
use std::time::Duration;
use tokio::time::Instant;

/// How long each step of the dialogue with the MTA may take.
const STEP: Duration = Duration::from_secs(30);

/// How often the ledger is looked at.
const LOOK: Duration = Duration::from_millis(200);

const SUBJECT: &str = "probe";

/// A probe that was asked for.
pub(super) struct Plan {
    front: NextHop,
    bounce_to: Mailbox,
    recipient: Mailbox,
    token: String,
    patience: Duration,
}

impl Plan {
    /// Reads the options; `None` without `--probe`.
    pub(super) fn new(args: &Args, config: &Config) -> Result<Option<Self>, Failure> {
        let (Some(front), Some(bounce_to)) = (&args.probe, &args.bounce_to) else {
            return Ok(None);
        };
        let front =
            front.parse().map_err(|error| Failure::usage(format!("--probe `{front}`: {error}")))?;
        let mailbox = |option: &str, text: &str| {
            Mailbox::parse(text)
                .map_err(|error| Failure::usage(format!("{option} `{text}`: {error}")))
        };
        let bounce_to = mailbox("--bounce-to", bounce_to)?;
        let partner = bounce_to.domain().filter(|domain| config.local(domain).is_none());
        if partner.is_none() {
            return Err(Failure::usage(format!(
                "--bounce-to {bounce_to} is not at another domain"
            ))
            .hint(
                "name a mailbox of yours at a partner that seals, so that the bounce must leave",
            ));
        }
        let mut octets = [0; 8];
        context::rng().fill_bytes(&mut octets);
        let token = Hex(&octets).to_string();
        let recipient = match (&args.recipient, config.domains.first()) {
            (Some(recipient), _) => mailbox("--recipient", recipient)?,
            (None, Some(own)) => {
                mailbox("--recipient", &format!("mta-seal-probe-{token}@{}", own.name))?
            }
            (None, None) => return Err(Failure::usage("--recipient is needed")),
        };
        let patience = parse_duration(&args.patience)
            .map_err(|what| Failure::usage(format!("--patience: {what}")))?;
        if patience > Duration::from_secs(MAX_PROBE) {
            return Err(Failure::usage(format!("--patience {} is above 1h", args.patience)));
        }
        Ok(Some(Self { front, bounce_to, recipient, token, patience }))
    }

    /// Sends the message and watches for its bounce.
    pub(super) async fn run(self, config: &Config) -> Finding {
        let path = config.state.join(LEDGER_FILE);
        let seconds = self.patience.as_secs().saturating_add(1);
        // Before the message: the bounce may be quick.
        let watched = OperatorLedger::open(&path)
            .and_then(|ledger| ledger.watch(&self.bounce_to.to_string(), context::now(), seconds));
        let ledger = context::ledger(config);
        let (probe, ledger) = match (watched, ledger) {
            (Ok(probe), Ok(ledger)) => (probe, ledger),
            (Err(error), _) => return unusable(&context::ledger_failure(error)),
            (_, Err(failure)) => return unusable(&failure),
        };
        match self.send(config).await {
            Ok(reply) if reply.is_positive() => {}
            Ok(reply) => {
                return Finding::warning(
                    SUBJECT,
                    format!("{} was refused, so that there is no bounce: {reply}", self.recipient),
                    "name an address with --recipient that is taken and fails later, such as an alias `probe: \"|exit 67\"`",
                );
            }
            Err(error) => {
                let what = format!("the MTA before the gateway did not take the message: {error}");
                return Finding::fail(SUBJECT, what, "see whether it listens where --probe says");
            }
        }
        let started = Instant::now();
        let seen = watch(&ledger, probe, self.patience).await;
        self.judge(seen, started.elapsed().as_secs())
    }

    /// The MTA's last reply.
    async fn send(&self, config: &Config) -> Result<Reply, ClientError> {
        let mut options = ClientOptions::new(self.front.clone(), config.hostname.as_str());
        let timeouts = &mut options.timeouts;
        for step in [
            &mut timeouts.connect,
            &mut timeouts.greeting,
            &mut timeouts.hello,
            &mut timeouts.mail,
            &mut timeouts.rcpt,
            &mut timeouts.data,
            &mut timeouts.write,
            &mut timeouts.dot,
        ] {
            *step = STEP;
        }
        let mut client = Client::connect(&options).await?;
        let from = ReversePath::Mailbox(self.bounce_to.clone());
        let to = ForwardPath::Mailbox(self.recipient.clone());
        let mut reply = client.mail(&from, &MailParameters::default()).await?;
        if reply.is_positive() {
            reply = client.rcpt(&to, &RcptParameters::default()).await?;
        }
        if reply.is_positive() {
            reply = client.data().await?;
            if reply.code() == 354 {
                client.write(self.message(config).as_bytes()).await?;
                let finished = client.finish().await?;
                reply = match finished.outcomes.into_iter().next() {
                    Some(Outcome::Reply(reply)) => reply,
                    _ => Reply::new(451, (4, 4, 2), "no reply to the message"),
                };
            }
        }
        client.quit().await;
        Ok(reply)
    }

    fn message(&self, config: &Config) -> String {
        let Self { bounce_to, recipient, token, .. } = self;
        let hostname = &config.hostname;
        format!(
            "From: <{bounce_to}>\r\nTo: <{recipient}>\r\nSubject: mta-seal probe {token}\r\nDate: {}\r\n\
             Message-ID: <{token}@{hostname}>\r\nAuto-Submitted: auto-generated\r\n\r\n\
             This message looks where the bounces of {hostname} go. It cannot be delivered.\r\n",
            date::rfc5322(context::now())
        )
    }

    fn judge(&self, seen: Option<Sighting>, after: u64) -> Finding {
        let to = &self.bounce_to;
        let domain = to.domain().map(ToString::to_string).unwrap_or_default();
        match seen {
            None => Finding::fail(
                SUBJECT,
                format!(
                    "no bounce for {to} came to the gateway in {}",
                    length(self.patience.as_secs())
                ),
                "see the log of the MTA: either it sends bounces past the gateway, or it made none",
            ),
            Some(Sighting { how, reply, .. }) => match how.as_str() {
                "sealed" => {
                    Finding::ok(SUBJECT, format!("the bounce left sealed, after {}", length(after)))
                }
                "clear" => Finding::fail(
                    SUBJECT,
                    "the bounce came to the gateway and left in clear",
                    format!(
                        "see what the log says of {domain}, or take a mailbox at a partner that seals"
                    ),
                ),
                "deferred" => Finding::warning(
                    SUBJECT,
                    format!("the bounce came to the gateway and waits: {reply}"),
                    "`mta-seal deferred` says why, and what to do",
                ),
                _ => Finding::warning(
                    SUBJECT,
                    "the bounce came to the gateway and was refused",
                    format!("does {to} exist? See the log"),
                ),
            },
        }
    }
}

fn unusable(failure: &Failure) -> Finding {
    let message = failure.message();
    let what = message.map_or_else(String::new, |message| message.text.clone());
    let hint = message.and_then(|message| message.hint.clone());
    Finding::fail(SUBJECT, what, hint.unwrap_or_else(|| "is the gateway running?".to_owned()))
}

/// What the gateway notes about the probe until `patience` is over.
async fn watch(ledger: &impl Ledger, probe: ProbeId, patience: Duration) -> Option<Sighting> {
    let end = Instant::now() + patience;
    loop {
        // A ledger that cannot be read for a moment can be read again.
        if let Ok(Some(seen)) = ledger.sighting(probe).await {
            return Some(seen);
        }
        if Instant::now() >= end {
            return None;
        }
        tokio::time::sleep(LOOK.min(patience)).await;
    }
}
