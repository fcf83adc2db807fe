//! TLS for listeners and next hops (RFC 3207), on rustls with the aws-lc-rs provider.
//!
//! The provider is passed explicitly: with two providers in the dependency tree rustls has no
//! default and would panic at first use.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

/// How much a next hop's TLS is asked for; later levels are stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsLevel {
    /// Never, even if offered.
    Off,
    /// If it is offered; no certificate is checked, and a failed handshake leads to a clear
    /// connection.
    Opportunistic,
    /// Always; no certificate is checked, so only a passive listener is shut out.
    Required,
    /// Always, with a certificate that is valid for the server's name.
    Verified,
}

impl FromStr for TlsLevel {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "opportunistic" => Ok(Self::Opportunistic),
            "required" => Ok(Self::Required),
            "verified" => Ok(Self::Verified),
            _ => Err(TlsError::Level),
        }
    }
}

impl fmt::Display for TlsLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Opportunistic => "opportunistic",
            Self::Required => "required",
            Self::Verified => "verified",
        })
    }
}

/// Why TLS cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The word names no [`TlsLevel`].
    #[error("TLS level must be off, opportunistic, required or verified")]
    Level,
    /// A file cannot be read, or holds no PEM.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A file holds no certificate.
    #[error("no certificate in {0}")]
    NoCertificate(PathBuf),
    /// The operating system has no root certificates.
    #[error("no root certificates on this system")]
    NoRoots,
    /// The name is neither a DNS name nor an IP address.
    #[error("not a name that a certificate can hold: {0}")]
    Name(String),
    /// Certificate and key do not fit, or rustls cannot use them.
    #[error("unusable certificate or key: {0}")]
    Rustls(#[from] rustls::Error),
    /// The roots cannot be used for verification.
    #[error("unusable root certificates: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// A certificate chain and its private key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates, key redacted)", self.chain.len())
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Identity {
    /// Reads a chain, leaf first, and its key from PEM files; both may be the same file.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let loaded = PrivateKeyDer::from_pem_file(key)
            .map_err(|source| TlsError::File { path: key.to_owned(), source })?;
        Ok(Self { chain: load_certificates(chain)?, key: loaded })
    }

    /// TLS 1.2 and 1.3 with this identity; clients are asked for certificates if there is a `verifier`.
    pub(super) fn server_config(
        self,
        provider: Arc<CryptoProvider>,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(builder.with_single_cert(self.chain, self.key)?))
    }
}

/// Whom a client trusts at [`TlsLevel::Verified`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// The operating system's root certificates.
    System,
    /// The certificates of a PEM file.
    File(PathBuf),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File { path: path.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(certificates)
}

/// The configuration of a listener: TLS 1.2 and 1.3, no client certificates.
pub fn server_config(identity: Identity) -> Result<Arc<ServerConfig>, TlsError> {
    identity.server_config(provider(), None)
}

/// How a client uses TLS towards one next hop.
#[derive(Clone)]
pub struct ClientTls {
    level: TlsLevel,
    /// Absent exactly at [`TlsLevel::Off`].
    session: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientTls({})", self.level)
    }
}

impl ClientTls {
    /// No TLS.
    #[must_use]
    pub fn off() -> Self {
        Self { level: TlsLevel::Off, session: None }
    }

    /// TLS at `level` towards a server that is called `name` (a host name or an IP address).
    ///
    /// `roots` are used at [`TlsLevel::Verified`] only; `identity` is shown to a server that asks
    /// for a client certificate.
    pub fn new(
        level: TlsLevel,
        name: &str,
        roots: &Roots,
        identity: Option<Identity>,
    ) -> Result<Self, TlsError> {
        let provider = provider();
        let verifier: Arc<dyn ServerCertVerifier> = match level {
            TlsLevel::Off => return Ok(Self::off()),
            TlsLevel::Opportunistic | TlsLevel::Required => {
                Arc::new(AnyCertificate(Arc::clone(&provider)))
            }
            TlsLevel::Verified => WebPkiServerVerifier::builder_with_provider(
                Arc::new(root_store(roots)?),
                Arc::clone(&provider),
            )
            .build()?,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match identity {
            Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key)?,
            None => builder.with_no_client_auth(),
        };
        let name =
            ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?;
        Ok(Self { level, session: Some((Arc::new(config), name)) })
    }

    /// The level asked for.
    #[must_use]
    pub fn level(&self) -> TlsLevel {
        self.level
    }

    pub(super) fn session(&self) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
        self.session.clone()
    }
}

pub(super) fn root_store(roots: &Roots) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            // Some systems carry certificates that webpki cannot read; the rest still counts.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Roots::File(path) => {
            for certificate in load_certificates(path)? {
                store.add(certificate)?;
            }
        }
    }
    if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
}

/// Accepts any certificate for the levels that only shut out passive listeners. The handshake's
/// signature is still checked, so the peer holds the key of what it shows.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
