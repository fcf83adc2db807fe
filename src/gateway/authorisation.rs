//! For which local domains a client of the inside listener may send.
//!
//! An address in `clients` may send for all of them, and with foreign reverse-paths. An address in a shared range may
//! send for the domains of every `[[outbound.shared]]` table that contains it and of which it has given one proof:
//! a login, a certificate, or the secret field of the message, which is known last [R-seal-09].

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::{constant_time, digest};
use rustls_pki_types::CertificateDer;

use super::config::{self, Network};
use super::failure::Failure;
use crate::core::Domain;
use crate::core::address::ReversePath;
use crate::mail::header::{Field, Header};
use crate::smtp::client_certificate::TrustedClients;
use crate::smtp::tls::TlsError;
use crate::store::passwords::{Checked, Passwords, PasswordsError};
use crate::store::secret_file::{self, SecretFileError};

/// Fewest octets of a secret: 16 of them at random cannot be guessed.
const MIN_SECRET: usize = 16;

/// Why the proofs of a configuration cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorisationError {
    /// The password file cannot be used.
    #[error(transparent)]
    Passwords(#[from] PasswordsError),
    /// The file of a secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// The secret could be guessed.
    #[error("the secret in {} has fewer than {MIN_SECRET} characters", .0.display())]
    Short(PathBuf),
    /// The secret cannot be the value of a header field.
    #[error("the secret in {} is not one line of printable ASCII", .0.display())]
    Unprintable(PathBuf),
    /// The authority of client certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl AuthorisationError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Passwords(error) => error.hint(),
            Self::Secret(error) => error.hint(),
            Self::Short(path) | Self::Unprintable(path) => {
                Some(format!("openssl rand -hex 32 > {}", path.display()))
            }
            Self::Tls(_) => None,
        }
    }
}

/// Who may use the inside listener.
pub struct Authorisation {
    clients: Vec<Network>,
    shared: Vec<Shared>,
}

/// One table of shared ranges.
struct Shared {
    clients: Vec<Network>,
    domains: Vec<Domain>,
    passwords: Option<Arc<Passwords>>,
    certificate: Option<TrustedClients>,
    field: Option<SecretField>,
}

struct SecretField {
    name: String,
    /// SHA-256 of the secret, so that a comparison tells nothing of its length either.
    hash: [u8; 32],
}

/// Whom a client has logged in as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) name: String,
    pub(super) proof: LoginProof,
}

/// How a login is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LoginProof {
    /// The password was right by these lines.
    Checked(Vec<Checked>),
    /// A peer that may use XCLIENT says so.
    Told,
}

/// What is known of a client at MAIL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'a> {
    /// The gateway itself is the client, with a notice of its own.
    pub(super) ours: bool,
    pub(super) address: IpAddr,
    pub(super) login: Option<&'a Login>,
    /// The chain that it has shown.
    pub(super) certificate: Option<&'a [CertificateDer<'static>]>,
    /// Seconds since 1970.
    pub(super) now: u64,
}

/// What a client may send, as far as that is known at MAIL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    reach: Reach,
    /// Tables whose field would add to the reach.
    pending: Vec<usize>,
}

impl Grant {
    /// Whether anything is proven; otherwise all depends on a field of the header block.
    pub(super) fn is_proven(&self) -> bool {
        match &self.reach {
            Reach::Any => true,
            Reach::Only(domains) => !domains.is_empty(),
        }
    }
}

/// For whom a message may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reach {
    /// For every local domain, and with foreign reverse-paths, which the listener's own domain seals.
    Any,
    /// For these domains, and with the null reverse-path.
    Only(Vec<Domain>),
}

impl Authorisation {
    /// Reads the files that the configuration names. Blocks.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used, or others can read a secret.
    pub fn load(settings: &config::Outbound) -> Result<Self, AuthorisationError> {
        let shared = settings.shared.iter().map(Shared::load).collect::<Result<_, _>>()?;
        Ok(Self { clients: settings.clients.clone(), shared })
    }

    /// Whether a connection from this address is served at all.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        contains(&self.clients, address) || self.tables(address).next().is_some()
    }

    /// Whether a login would help a client at this address.
    pub(super) fn offers_login(&self, address: IpAddr) -> bool {
        !contains(&self.clients, address)
            && self.tables(address).any(|(_, table)| table.passwords.is_some())
    }

    /// Those whose certificates help a client at this address.
    pub(super) fn certificates(&self, address: IpAddr) -> impl Iterator<Item = &TrustedClients> {
        let own = contains(&self.clients, address);
        let tables = self.tables(address).filter(move |_| !own);
        tables.filter_map(|(_, table)| table.certificate.as_ref())
    }

    /// All whose certificates help anybody.
    pub(super) fn all_certificates(&self) -> impl Iterator<Item = &TrustedClients> {
        self.shared.iter().filter_map(|table| table.certificate.as_ref())
    }

    /// Compares a password with every file that counts at this address. Blocks for some tens of milliseconds.
    pub(super) fn login(&self, address: IpAddr, name: &str, password: &str) -> Option<Login> {
        let mut checked = Vec::new();
        for (_, table) in self.tables(address) {
            let found = table.passwords.as_ref().and_then(|file| file.verify(name, password));
            checked.extend(found);
        }
        let proof = LoginProof::Checked(checked);
        let right = matches!(&proof, LoginProof::Checked(lines) if !lines.is_empty());
        right.then(|| Login { name: name.to_owned(), proof })
    }

    /// What a client may send, before anything of the message is known.
    pub(super) fn at_mail(&self, evidence: Evidence<'_>) -> Result<Grant, Failure> {
        if evidence.ours || contains(&self.clients, evidence.address) {
            return Ok(Grant { reach: Reach::Any, pending: Vec::new() });
        }
        let mut domains = Vec::new();
        let mut pending = Vec::new();
        let mut known = false;
        for (at, table) in self.tables(evidence.address) {
            known = true;
            if table.is_proven(&evidence) {
                domains.extend_from_slice(&table.domains);
            } else if table.field.is_some() {
                pending.push(at);
            }
        }
        match (known, domains.is_empty() && pending.is_empty()) {
            (false, _) => Err(Failure::SenderNotAllowed),
            (true, true) => Err(Failure::NotAuthenticated),
            (true, false) => Ok(Grant { reach: Reach::Only(domains), pending }),
        }
    }

    /// Whether a message with this reverse-path may still come of the grant.
    pub(super) fn may_begin(&self, grant: &Grant, path: &ReversePath) -> Result<(), Failure> {
        let pending = grant.pending.iter().filter_map(|&at| self.shared.get(at));
        let hoped_for = pending.flat_map(|table| &table.domains);
        let possible = match (&grant.reach, path.domain()) {
            (Reach::Any, _) => true,
            (Reach::Only(_), _) if path.is_null() => true,
            (Reach::Only(_), None) => false,
            (Reach::Only(domains), Some(domain)) => {
                domains.iter().chain(hoped_for).any(|d| d == domain)
            }
        };
        if possible { Ok(()) } else { Err(Failure::SenderDomain) }
    }

    /// The local domain that signs a message with this header block, or why it is refused. `default` signs null and
    /// foreign reverse-paths where it may.
    pub(super) fn signer(
        &self,
        grant: &Grant,
        header: &Header,
        path: &ReversePath,
        default: &Domain,
        is_local: impl Fn(&Domain) -> bool,
    ) -> Result<Domain, Failure> {
        let own = path.domain().filter(|domain| is_local(domain));
        let mut domains = match &grant.reach {
            Reach::Any => return Ok(own.unwrap_or(default).clone()),
            Reach::Only(domains) => domains.clone(),
        };
        let pending = grant.pending.iter().filter_map(|&at| self.shared.get(at));
        for table in pending.filter(|table| table.field.as_ref().is_some_and(|f| f.is_in(header))) {
            domains.extend_from_slice(&table.domains);
        }
        let may = |domain: &&Domain| domains.contains(domain);
        let signer = if path.is_null() {
            // A client of one domain gets nothing signed as another, not even a bounce.
            Some(default).filter(may).or(domains.first())
        } else {
            own.filter(may)
        };
        signer.cloned().ok_or(Failure::NotProven)
    }

    /// Whether a field of this name may hold a secret, whoever sent it: it goes no further than here.
    #[must_use]
    pub fn is_secret(&self, field: &Field<'_>) -> bool {
        let mut fields = self.shared.iter().filter_map(|table| table.field.as_ref());
        fields.any(|secret| field.is(&secret.name))
    }

    fn tables(&self, address: IpAddr) -> impl Iterator<Item = (usize, &Shared)> {
        let tables = self.shared.iter().enumerate();
        tables.filter(move |(_, table)| contains(&table.clients, address))
    }
}

impl Shared {
    fn load(settings: &config::SharedClients) -> Result<Self, AuthorisationError> {
        let passwords = settings.passwords.as_deref().map(Passwords::load).transpose()?;
        let certificate = settings
            .certificate
            .as_ref()
            .map(|certificate| TrustedClients::load(&certificate.authority, &certificate.names));
        Ok(Self {
            clients: settings.clients.clone(),
            domains: settings.domains.clone(),
            passwords: passwords.map(Arc::new),
            certificate: certificate.transpose()?,
            field: settings.header.as_ref().map(SecretField::load).transpose()?,
        })
    }

    /// Whether login or certificate is what the table asks for.
    fn is_proven(&self, evidence: &Evidence<'_>) -> bool {
        let login = match (&self.passwords, evidence.login) {
            (Some(file), Some(Login { name, proof: LoginProof::Checked(lines) })) => {
                lines.iter().any(|line| file.holds(name, line))
            }
            (Some(file), Some(Login { name, proof: LoginProof::Told })) => file.knows(name),
            _ => false,
        };
        let certificate = match (&self.certificate, evidence.certificate) {
            (Some(trusted), Some(chain)) => trusted.include(chain, evidence.now),
            _ => false,
        };
        login || certificate
    }
}

impl SecretField {
    fn load(settings: &config::SecretField) -> Result<Self, AuthorisationError> {
        let text = secret_file::read(&settings.secret)?;
        let value = text.trim();
        if value.len() < MIN_SECRET {
            return Err(AuthorisationError::Short(settings.secret.clone()));
        }
        if !value.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(AuthorisationError::Unprintable(settings.secret.clone()));
        }
        Ok(Self { name: settings.name.clone(), hash: hash(value.as_bytes()) })
    }

    /// Whether the header block bears the secret. A second field with another value does not harm.
    fn is_in(&self, header: &Header) -> bool {
        let mut found = false;
        for field in header.find(&self.name) {
            let value = hash(&field.unfolded());
            found |= constant_time::verify_slices_are_equal(&value, &self.hash).is_ok();
        }
        found
    }
}

fn hash(octets: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = digest::digest(&digest::SHA256, octets);
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

fn contains(ranges: &[Network], address: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(address))
}
