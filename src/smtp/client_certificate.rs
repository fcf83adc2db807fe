//! Certificates of clients (RFC 8446 section 4.3.2): asked for by a listener, judged when it matters.
//!
//! The handshake takes any certificate, or none, and makes sure that the client holds its key. Whether the
//! certificate is worth anything is said later by [`TrustedClients`], so that a client with another one can still use what
//! needs none.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};

use super::tls::{Identity, Roots, TlsError, root_store};

/// The clients with a certificate of one authority for one of some names.
#[derive(Clone)]
pub struct TrustedClients {
    verifier: Arc<dyn ClientCertVerifier>,
    names: Vec<ServerName<'static>>,
}

impl fmt::Debug for TrustedClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedClients({:?})", self.names)
    }
}

impl TrustedClients {
    /// Reads the certificates (PEM) of an authority; `names` are DNS names.
    pub fn load(authority: &Path, names: &[String]) -> Result<Self, TlsError> {
        let roots = root_store(&Roots::File(authority.to_owned()))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        let names = names.iter().map(|name| {
            ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone()))
        });
        Ok(Self { verifier, names: names.collect::<Result<_, _>>()? })
    }

    /// Whether a chain that a client has shown, its own certificate first, is one of theirs at the time `now` (seconds
    /// since 1970).
    #[must_use]
    pub fn include(&self, chain: &[CertificateDer<'_>], now: u64) -> bool {
        let Some((own, intermediates)) = chain.split_first() else { return false };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let Ok(certificate) = ParsedCertificate::try_from(own) else { return false };
        self.verifier.verify_client_cert(own, intermediates, now).is_ok()
            && self.names.iter().any(|name| verify_server_name(&certificate, name).is_ok())
    }

    /// The names of the authority's certificates, by which a client finds the right one of its own.
    fn issuers(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }
}

/// The configuration of a listener that asks for a certificate of these clients, and takes any.
pub fn asking_server_config<'a>(
    identity: Identity,
    clients: impl IntoIterator<Item = &'a TrustedClients>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let issuers = clients.into_iter().flat_map(|trusted| trusted.issuers().to_vec()).collect();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = AnyClient { provider: Arc::clone(&provider), issuers };
    identity.server_config(provider, Some(Arc::new(verifier)))
}

/// Takes any certificate whose key the client holds.
#[derive(Debug)]
struct AnyClient {
    provider: Arc<CryptoProvider>,
    issuers: Vec<DistinguishedName>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.issuers
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
