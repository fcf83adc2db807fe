//! `mta-seal init`: keys, records and configuration of a new domain.

use super::context;
use super::failure::Failure;
use super::fingerprint;
use super::terminal;
use super::zone;
use crate::core::{Domain, IdentityKey, KeyId, SealingPrivateKey, SigningKey, Suite};
use crate::records::{DEFAULT_WINDOW, Mode, PolicyDraft, SealingEntry, Selector};
use crate::store::keyring::{Keyring, StoredKey};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How long a policy is signed for, in seconds: 30 days.
const LIFETIME: u64 = 2_592_000;

/// How long senders remember `enforce` after they last saw it, in seconds: 30 days.
const MAX_AGE: u64 = 2_592_000;

/// Options of `init`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domain of the mailboxes, right of the "@"
    #[arg(long, value_name = "DOMAIN")]
    domain: String,
    /// The directory to make everything in
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The gateway's own host name [default: mta-seal.DOMAIN]
    #[arg(long, value_name = "HOST")]
    hostname: Option<String>,
    /// The directory of the ledger, relative to --dir; made if it is not there [default: state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The address at which mail from the world arrives; 0.0.0.0:25 for a gateway that is the MX
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:10027")]
    outside: SocketAddr,
    /// What senders are asked for: "testing" seals if it works, "enforce" forbids clear mail
    #[arg(long, value_name = "MODE", value_parser = ["testing", "enforce"], default_value = "testing")]
    mode: String,
    /// The selector of the first key record, where its name is an alias: the first of `selectors` in [domain.publish]
    /// [default: one of its own]
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let domain = Domain::parse(&args.domain).map_err(|error| {
        Failure::usage(format!("--domain `{}`: {error}", args.domain))
            .hint("write a domain name such as company1.example")
    })?;
    let mut sealing = sealing_keys()?;
    if let Some(selector) = &args.selector {
        let selector: Selector = selector
            .parse()
            .map_err(|error| Failure::usage(format!("--selector `{selector}`: {error}")))?;
        for stored in sealing.iter_mut().filter(|stored| !stored.key.suite().is_inline()) {
            selector.as_str().clone_into(&mut stored.selector);
        }
    }
    zone::check_names(&domain, &entries(&sealing)?)?;
    let hostname = match &args.hostname {
        Some(name) => Domain::parse(name)
            .map_err(|error| Failure::usage(format!("--hostname `{name}`: {error}")))?,
        None => Domain::parse(&format!("mta-seal.{domain}")).map_err(|_| {
            Failure::usage("the domain is too long for a host name; give --hostname")
        })?,
    };
    let config = args.dir.join("mta-seal.toml");
    let zone_file = args.dir.join(format!("{domain}.zone"));
    let keys = args.dir.join("keys").join(domain.as_str());
    let state = args.state.as_deref().unwrap_or(Path::new("state"));
    for path in [&config, &zone_file, &keys] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::refused(format!("{} exists already", path.display()))
                .hint("nothing is overwritten; choose another --dir, or move it away"));
        }
    }

    let now = context::now();
    let mut keyring = Keyring::create(&keys)?;
    fill(
        &mut keyring,
        sealing,
        &domain,
        if args.mode == "enforce" { Mode::Enforce } else { Mode::Testing },
        now,
    )?;
    let zone = zone::master_file(&zone::records(&domain, &keyring)?);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(args.dir.join(state))
        .map_err(|error| Failure::writing(state.display(), &error))?;
    write_new(&zone_file, &zone)?;
    write_new(&config, &configuration(&domain, &hostname, state, args.outside))?;
    let identity = zone::identity(&keyring)?;
    announce(&domain, &identity, &config, &keys, &zone_file, &zone)
}

/// Makes a sealing key of each suite.
pub(super) fn sealing_keys() -> Result<Vec<StoredKey>, Failure> {
    let mut rng = context::rng();
    // X-Wing first: the order is the order of preference [R-rec-02].
    [Suite::XWing, Suite::X25519]
        .into_iter()
        .map(|suite| SealingPrivateKey::generate(suite, &mut rng).map(StoredKey::new))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::refused(format!("cannot make a key: {error}")))
}

/// How a policy lists these keys.
fn entries(sealing: &[StoredKey]) -> Result<Vec<SealingEntry>, Failure> {
    sealing
        .iter()
        .map(|stored| {
            let selector: Selector = stored.selector.parse()?;
            Ok(SealingEntry::of(stored.key.public(), &selector))
        })
        .collect::<Result<_, crate::records::ValueError>>()
        .map_err(Failure::refused)
}

/// Makes the other keys and signs the policy that lists them all.
pub(super) fn fill(
    keyring: &mut Keyring,
    sealing: Vec<StoredKey>,
    domain: &Domain,
    mode: Mode,
    now: u64,
) -> Result<(), Failure> {
    let mut rng = context::rng();
    let identity = IdentityKey::generate(&mut rng);
    let signing = SigningKey::generate(&mut rng);
    let entries = entries(&sealing)?;
    let draft = PolicyDraft {
        mode,
        serial: now,
        expiry: now + LIFETIME,
        max_age: MAX_AGE,
        window: DEFAULT_WINDOW,
        signing_keys: vec![signing.public().clone()],
        sealing_keys: entries,
        outgoing_always: false,
        rollover: None,
        next_identity: None,
    };
    let policy = draft
        .sign(domain, &identity)
        .map_err(|error| Failure::refused(format!("cannot sign the policy: {error}")))?;
    keyring.add_identity(identity)?;
    keyring.add_signing(signing)?;
    for stored in sealing {
        keyring.add_sealing(stored)?;
    }
    Ok(keyring.set_policy(&policy)?)
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let written = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::writing(path.display(), &error))
}

fn configuration(domain: &Domain, hostname: &Domain, state: &Path, outside: SocketAddr) -> String {
    // A path may hold quotes and backslashes.
    let state = toml::Value::from(state.to_string_lossy().as_ref());
    format!(
        r#"# Gateway of {domain}. Paths are relative to this file. Check it with
# `mta-seal config check --config FILE`.

# Name in EHLO and Received fields, and authserv-id of Authentication-Results.
hostname = "{hostname}"
# Directory of the ledger.
state = {state}

[[domain]]
name = "{domain}"
keys = "keys/{domain}"

# The inside listener: takes mail of this organisation and seals it.
[outbound]
listen = ["127.0.0.1:10025"]
# By LMTP each recipient has a status of its own; "smtp" for an MTA that cannot speak it.
protocol = "lmtp"
# Who may use it. Whoever sends from there is signed as {domain}.
clients = ["127.0.0.0/8", "::1/128"]
# The MTA that takes carriers and clear mail to the world.
next_hop = "smtp://127.0.0.1:10026"

# The outside listener: takes mail from the world and unseals it.
[inbound]
listen = ["{outside}"]
# The MTA that delivers: "smtp://HOST:PORT", "lmtp://HOST:PORT" or "lmtp+unix:/PATH".
next_hop = "smtp://127.0.0.1:10028"

[dns]
# Who validates DNSSEC: this process ("validate"), a resolver on loopback ("ad"), nobody ("plain").
mode = "validate"

# What holds for destinations without an entry of their own.
[defaults]
policy = "prefer"

# Partners whose mail must be sealed are added by `mta-seal partner add DOMAIN`, which writes them to partners.toml beside
# this file.
"#
    )
}

fn announce(
    domain: &Domain,
    identity: &KeyId,
    config: &Path,
    keys: &Path,
    zone_file: &Path,
    zone: &str,
) -> Result<(), Failure> {
    let (config, keys, zone_file) = (config.display(), keys.display(), zone_file.display());
    let text = format!(
        "made {config}\nmade {keys} (keys, readable by their owner only)\nmade {zone_file}\n\n\
         The records of {domain}:\n\n{zone}\n\
         Its identity key, as partners hear it from you by telephone (`config check` prints it again):\n\n  {}\n\n\
         Next steps:\n\
         1. Set the listeners and next hops in {config}, then run `mta-seal config check --config {config}`.\n\
         2. Run `mta-seal serve --config {config}` and route mail through it, incoming mail above all.\n\
         3. Then publish the records, for from then on partners seal; `mta-seal zone --config {config} --format values` prints them for a DNS panel.\n\
         4. The policy is signed for 30 days: run `mta-seal policy sign` before they end. The gateway itself does not need identity.pem: keep a copy off this machine.\n",
        fingerprint::lines(identity, "  ")
    );
    terminal::print(&text)
}
