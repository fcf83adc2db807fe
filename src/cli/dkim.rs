//! `mta-seal dkim`: a key that signs carriers, and its record.

use super::context;
use super::failure::{Failure, words};
use super::terminal;
use super::zone::TTL;
use crate::core::{Domain, SigningKey};
use crate::gateway::config::LocalDomain;
use crate::gateway::dkim::{DkimStartError, keys};
use crate::mail::dkim::{DkimKey, Selector};
use crate::records::DnsRecord;
use crate::store::keyring::write_secret;
use crate::store::secret_file::SecretFileError;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use ed25519_dalek::pkcs8::SecretDocument;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Options of `dkim`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domain whose carriers are to be signed
    #[arg(long, value_name = "DOMAIN")]
    domain: String,
    /// The label under which the record is published
    #[arg(long, value_name = "LABEL", default_value = "mta-seal")]
    selector: String,
    /// The file to make
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// An Ed25519 key instead of RSA, as a second signature: many receivers know RSA only
    #[arg(long)]
    ed25519: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let domain = Domain::parse(&args.domain)
        .map_err(|error| Failure::usage(format!("--domain `{}`: {error}", args.domain)))?;
    let bad = |what: &dyn std::fmt::Display| {
        Failure::usage(format!("--selector `{}`: {what}", args.selector))
            .hint("write a DNS label such as mta-seal")
    };
    let selector: Selector = args.selector.parse().map_err(|error| bad(&error))?;
    let name = selector.record_name(&domain).ok_or_else(|| bad(&"too long for this domain"))?;
    let failed = || Failure::refused("cannot make a key");
    let pem = generate(args.ed25519).ok_or_else(failed)?;
    let key = DkimKey::from_pem(&pem).map_err(|_| failed())?;
    write_secret(&args.out, &pem)?;
    let record = DnsRecord::txt(name.as_str(), TTL, key.record()).master_file();
    let out = args.out.display();
    let text = format!(
        "made {out} (readable by its owner only)\n\n\
         Publish in the zone of {domain}:\n\n{record}\n\
         Then add to its [[domain]]:\n\ndkim = {{ selector = \"{selector}\", key = \"{out}\" }}\n",
    );
    terminal::print(&text)
}

/// A new private key, PKCS#8 in PEM. RSA has 2048 bits: a larger key makes records that some DNS panels refuse.
fn generate(ed25519: bool) -> Option<Zeroizing<String>> {
    if ed25519 {
        return SigningKey::generate(&mut context::rng()).to_pem().ok();
    }
    let key = KeyPair::generate(KeySize::Rsa2048).ok()?;
    let der: Pkcs8V1Der<'_> = key.as_der().ok()?;
    let document = SecretDocument::try_from(der.as_ref()).ok()?;
    document.to_pem("PRIVATE KEY", LineEnding::LF).ok()
}

/// The records of the keys that `dkim` of a domain names.
pub(super) fn records(local: &LocalDomain) -> Result<Vec<DnsRecord>, Failure> {
    let keys = keys(local)?;
    let names = local.dkim.iter().filter_map(|entry| entry.selector.record_name(&local.name));
    Ok(names
        .zip(keys)
        .map(|(name, key)| DnsRecord::txt(name.as_str(), TTL, key.record()))
        .collect())
}

impl From<DkimStartError> for Failure {
    fn from(error: DkimStartError) -> Self {
        match &error {
            DkimStartError::Read(SecretFileError::Io { path, source }) => {
                Self::refused(format!("dkim: {}: {}", path.display(), words(source)))
            }
            other => Self::refused(other),
        }
        .hint_if(error.hint())
    }
}
