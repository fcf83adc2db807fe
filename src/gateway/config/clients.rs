//! Who may use the inside listener: addresses, and for ranges that strangers use too, proofs.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::clouds;
use super::error::{Source, nearest};
use super::secret_path::SecretPath;
use super::value::{FromText, Text};
use super::{ConfigError, LocalDomain, Network};
use crate::core::Domain;

/// Prefix lengths from which a range counts as a single host: an IPv4 address, and the subnet that an IPv6 host takes its
/// addresses from (RFC 4291 section 2.5.4).
const SINGLE_HOST: (u8, u8) = (32, 64);

/// Fields that every message may have, so that one of them proves nothing, and removing it would harm.
const ORDINARY: [&str; 31] = [
    "authentication-results",
    "auto-submitted",
    "bcc",
    "cc",
    "comments",
    "content-disposition",
    "content-transfer-encoding",
    "content-type",
    "date",
    "delivered-to",
    "dkim-signature",
    "domainkey-signature",
    "errors-to",
    "from",
    "importance",
    "in-reply-to",
    "keywords",
    "message-id",
    "mime-version",
    "organization",
    "precedence",
    "priority",
    "received",
    "received-spf",
    "references",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
    "user-agent",
];

/// Beginnings of such names.
const ORDINARY_FAMILIES: [&str; 5] = ["arc-", "content-", "list-", "mta-seal-", "resent-"];

/// Names in the certificates of clouds, which bear them for every tenant.
const CLOUD_NAMES: [&str; 6] =
    ["outlook.com", "office365.com", "microsoft.com", "google.com", "gmail.com", "amazonses.com"];

/// Ranges that strangers use too, and what a client there must prove: any one of the proofs that are set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedClients {
    /// The ranges; at least one.
    pub clients: Vec<Network>,
    /// The local domains that these clients may send for; at least one.
    pub domains: Vec<Domain>,
    /// File of those who may log in.
    pub passwords: Option<PathBuf>,
    /// The certificate that a client may show.
    pub certificate: Option<ClientCertificate>,
    /// The field that a message may bear.
    pub header: Option<SecretField>,
}

/// A certificate that proves where a client belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The authority (PEM) that issues it.
    pub authority: PathBuf,
    /// The DNS names of which it must bear one.
    pub names: Vec<String>,
}

/// A header field whose value is known to one tenant of a cloud only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretField {
    /// Its name.
    pub name: String,
    /// File with its value.
    pub secret: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    clients: Spanned<Vec<Spanned<Text<Network>>>>,
    domains: Option<Spanned<Vec<Spanned<Text<Domain>>>>>,
    passwords: Option<Spanned<Text<SecretPath>>>,
    client_ca: Option<Spanned<PathBuf>>,
    client_names: Option<Spanned<Vec<Spanned<String>>>>,
    header: Option<Header>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: Spanned<String>,
    secret_file: Text<SecretPath>,
}

pub(super) type Ranges = Spanned<Vec<Spanned<Text<Network>>>>;

/// The ranges that need nothing more than the address.
pub(super) fn own(
    ranges: Option<Ranges>,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigError>,
) -> Result<Vec<Network>, ConfigError> {
    let Some(ranges) = ranges else {
        return Ok(["127.0.0.0/8", "::1/128"]
            .iter()
            .filter_map(|text| Network::from_text(text).ok())
            .collect());
    };
    let span = ranges.span();
    let clients = trusted("clients", ranges, source, warnings)?;
    if clients.is_empty() {
        return Err(source.error(
            span,
            "`clients` is empty: nobody could send",
            "name the ranges of your own MTAs",
        ));
    }
    Ok(clients)
}

/// The ranges of the key `key`, whose hosts are believed on account of their address.
pub(super) fn trusted(
    key: &str,
    ranges: Ranges,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigError>,
) -> Result<Vec<Network>, ConfigError> {
    let (power, instead) = match key {
        "clients" => (
            "whoever sends from there is signed as us",
            "list single hosts, or use [[outbound.shared]] with `passwords`, `client_ca` or `header`",
        ),
        "xclient" => ("whoever connects from there can pretend to be anybody", "list single hosts"),
        _ => (
            "whoever connects from there can write what it likes into logs, and open any number of connections",
            "list single hosts",
        ),
    };
    let mut trusted = Vec::new();
    for range in ranges.into_inner() {
        let span = range.span();
        let range = range.into_inner().0;
        if let Some(cloud) = clouds::of(&range) {
            let what =
                format!("`{key}` admits {range}, where {cloud} sends from for all its customers");
            return Err(source.error(span, what, instead));
        }
        if !range.is_private() {
            let what = format!("`{key}` admits {range}, which is not private: {power}");
            if !range.is_within(SINGLE_HOST) {
                return Err(source.error(span, what, instead));
            }
            warnings.push(source.error(span, what, "list only hosts of this organisation"));
        }
        trusted.push(range);
    }
    Ok(trusted)
}

/// What the shared ranges are checked against.
pub(super) struct Surroundings<'a> {
    pub(super) domains: &'a [LocalDomain],
    /// The ranges of `clients`.
    pub(super) own: &'a [Network],
    /// Whether the listener offers STARTTLS.
    pub(super) tls: bool,
    /// It takes mail under TLS only.
    pub(super) tls_required: bool,
    pub(super) base: &'a Path,
}

pub(super) fn shared(
    table: Spanned<Table>,
    around: &Surroundings<'_>,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigError>,
) -> Result<SharedClients, ConfigError> {
    let span = table.span();
    let table = table.into_inner();
    let ranges_span = table.clients.span();
    let mut clients = Vec::new();
    for range in table.clients.into_inner() {
        let span = range.span();
        let range = range.into_inner().0;
        if let Some(own) = around.own.iter().find(|own| own.overlaps(&range)) {
            let what = format!(
                "{range} is shared, but {own} in `clients` admits some of it without any proof"
            );
            warnings.push(source.error(span, what, "take the range out of one of the two"));
        }
        clients.push(range);
    }
    if clients.is_empty() {
        let hint = "name the ranges that the cloud sends from";
        return Err(source.error(ranges_span, "`clients` is empty: nobody could send", hint));
    }
    let domains = local_domains(table.domains, around, source)?;
    let no_tls = |span: Range<usize>, key: &str| {
        let what = format!("`{key}` without TLS: the listener could not ask for it");
        source.error(
            span,
            what,
            "add tls = { certificate = \"cert.pem\", key = \"key.pem\" } to [outbound]",
        )
    };
    let passwords = match table.passwords {
        Some(path) if !around.tls => return Err(no_tls(path.span(), "passwords")),
        Some(path) => Some(path.into_inner().0.at(around.base)),
        None => None,
    };
    let certificate = match (table.client_ca, table.client_names) {
        (Some(authority), _) if !around.tls => return Err(no_tls(authority.span(), "client_ca")),
        (Some(authority), Some(names)) => Some(ClientCertificate {
            names: certificate_names(names, source)?,
            authority: around.base.join(authority.into_inner()),
        }),
        (Some(authority), None) => {
            let what = "`client_ca` without `client_names`: whoever has a certificate of that CA could send";
            return Err(source.error(authority.span(), what, "name the hosts that may send"));
        }
        (None, Some(names)) => {
            let what = "`client_names` without `client_ca`: names in a certificate that nobody vouches for";
            return Err(source.error(names.span(), what, "name the CA's certificate too"));
        }
        (None, None) => None,
    };
    let at = table.header.as_ref().map(|header| header.name.span());
    let header =
        table.header.map(|header| secret_field(header, around.base, source)).transpose()?;
    if let Some(span) = at
        && !around.tls_required
        && !clients.iter().all(Network::is_private)
    {
        let what = "`header` without TLS: whoever reads the secret on the way could send as us";
        let hint = "set `required = true` in tls of [outbound]";
        return Err(source.error(span, what, hint));
    }
    if passwords.is_none() && certificate.is_none() && header.is_none() {
        let what = "[[outbound.shared]] asks for no proof: strangers would be signed as us";
        return Err(source.error(span, what, "add `passwords`, `client_ca` or `header`"));
    }
    Ok(SharedClients { clients, domains, passwords, certificate, header })
}

fn local_domains(
    names: Option<Spanned<Vec<Spanned<Text<Domain>>>>>,
    around: &Surroundings<'_>,
    source: &Source<'_>,
) -> Result<Vec<Domain>, ConfigError> {
    let Some(names) = names else {
        return Ok(around.domains.iter().map(|local| local.name.clone()).collect());
    };
    let span = names.span();
    let mut domains = Vec::new();
    for name in names.into_inner() {
        let span = name.span();
        let name = name.into_inner().0;
        if !around.domains.iter().any(|local| local.name == name) {
            let locals: Vec<String> =
                around.domains.iter().map(|local| local.name.to_string()).collect();
            let hint = match nearest(name.as_str(), &locals) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => format!("one of: {}", locals.join(", ")),
            };
            return Err(source.error(span, format!("{name} has no [[domain]]"), &hint));
        }
        domains.push(name);
    }
    if domains.is_empty() {
        let hint = "leave it out to allow every local domain";
        return Err(source.error(span, "`domains` is empty: nobody could send", hint));
    }
    Ok(domains)
}

fn certificate_names(
    names: Spanned<Vec<Spanned<String>>>,
    source: &Source<'_>,
) -> Result<Vec<String>, ConfigError> {
    let span = names.span();
    let mut checked = Vec::new();
    for name in names.into_inner() {
        let span = name.span();
        let name = name.into_inner();
        let Ok(domain) = Domain::parse(&name) else {
            let hint = "write a host name such as \"mx.company1.example\"";
            return Err(source.error(span, format!("`{name}` is no DNS name"), hint));
        };
        let name = domain.to_string();
        let below = |cloud: &str| {
            name.strip_suffix(cloud).is_some_and(|n| n.is_empty() || n.ends_with('.'))
        };
        if CLOUD_NAMES.into_iter().any(below) {
            let what =
                format!("a certificate for {name} is shown for every customer of that cloud");
            let hint = "use `header` with a secret that a rule of your own tenant adds";
            return Err(source.error(span, what, hint));
        }
        checked.push(name);
    }
    if checked.is_empty() {
        let hint = "name the hosts that may send";
        return Err(source.error(span, "`client_names` is empty: no certificate would do", hint));
    }
    Ok(checked)
}

fn secret_field(
    header: Header,
    base: &Path,
    source: &Source<'_>,
) -> Result<SecretField, ConfigError> {
    let span = header.name.span();
    let name = header.name.into_inner();
    let hint = "choose one such as \"X-Company1-Seal\"";
    // `ftext` of RFC 5322 section 3.6.8.
    let is_ftext = |octet: u8| octet.is_ascii_graphic() && octet != b':';
    if name.is_empty() || name.len() > 76 || !name.bytes().all(is_ftext) {
        return Err(source.error(span, format!("`{name}` is no name of a header field"), hint));
    }
    let lower = name.to_ascii_lowercase();
    if ORDINARY.contains(&lower.as_str())
        || ORDINARY_FAMILIES.iter().any(|family| lower.starts_with(family))
    {
        let what = format!("`{name}` is an ordinary header field: every message would lose it");
        return Err(source.error(span, what, hint));
    }
    Ok(SecretField { name, secret: header.secret_file.0.at(base) })
}
