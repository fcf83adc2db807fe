//! DKIM signatures (RFC 6376) of carriers, for a gateway with no signer behind it.
//!
//! The canonical forms, the field and the arithmetic are mail-auth's. What is chosen here: the signed fields are those that a
//! carrier has, `From` once more than it stands there so that none can be added (RFC 6376 section 8.15), relaxed/relaxed, and
//! no `l=`.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mail_auth::common::crypto::{DkimKey as Inner, Ed25519Key, RsaKey};
use mail_auth::dkim::{DkimSigner, DkimSigningStream, Done};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroize;

use super::carrier::{CarrierWriter, FIELDS, Token};
use crate::core::Domain;

/// How long a signature is valid, in seconds: 15 days, a day more than the window in which an envelope is accepted.
pub const VALIDITY: u64 = 1_296_000;

/// Why a text is no key to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DkimKeyError {
    /// There is no `-----BEGIN PRIVATE KEY-----` or `-----BEGIN RSA PRIVATE KEY-----` in it.
    #[error("no private key in PEM")]
    NotPem,
    /// It is a key of another kind, damaged, or an RSA key that receivers refuse (RFC 8301 section 3.2).
    #[error("neither an RSA key of 2048 to 8192 bits nor an Ed25519 key")]
    NotUsable,
}

/// A signature could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the DKIM signature could not be made")]
pub struct DkimError;

/// The labels before `_domainkey` (RFC 6376 section 3.1), in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selector(String);

/// The text is no [`Selector`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one or more DNS labels")]
pub struct SelectorError;

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        // A domain name has the same labels, and one more.
        let name = text.is_ascii().then(|| Domain::parse(&format!("{text}.example")));
        name.and_then(Result::ok).ok_or(SelectorError)?;
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Selector {
    /// The name of the key record in `domain`; `None` if it is too long for one.
    #[must_use]
    pub fn record_name(&self, domain: &Domain) -> Option<Domain> {
        Domain::parse(&format!("{self}._domainkey.{domain}")).ok()
    }
}

/// A private key for DKIM.
pub struct DkimKey {
    inner: Inner,
    record: String,
}

impl DkimKey {
    /// Reads the PEM text of an RSA key (PKCS#8 or PKCS#1, 2048 to 8192 bits) or an Ed25519 key (PKCS#8).
    ///
    /// # Errors
    ///
    /// The text holds no such key. What it holds is not told.
    pub fn from_pem(text: &str) -> Result<Self, DkimKeyError> {
        let mut der =
            PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| DkimKeyError::NotPem)?;
        let key = Self::from_der(&der);
        der.zeroize();
        key.ok_or(DkimKeyError::NotUsable)
    }

    fn from_der(der: &PrivateKeyDer<'_>) -> Option<Self> {
        // Borrowed, so that no copy is left behind in memory.
        let (rsa, borrowed) = match der {
            PrivateKeyDer::Pkcs1(der) => {
                let der = der.secret_pkcs1_der();
                (RsaKeyPair::from_der(der), PrivateKeyDer::Pkcs1(der.into()))
            }
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                if let Ok(key) = Ed25519Key::from_pkcs8_maybe_unchecked_der(der) {
                    // RFC 8463 section 4: the bare 32 octets.
                    let record = record("ed25519", &key.public_key());
                    return Some(Self { inner: key.into(), record });
                }
                (RsaKeyPair::from_pkcs8(der), PrivateKeyDer::Pkcs8(der.into()))
            }
            _ => return None,
        };
        // Refuses less than 2048 and more than 8192 bits.
        let public = rsa.ok()?.public_key().clone();
        let info: PublicKeyX509Der<'_> = public.as_der().ok()?;
        let inner = RsaKey::from_key_der(borrowed).ok()?.into();
        Some(Self { inner, record: record("rsa", info.as_ref()) })
    }

    /// The text of the key record (RFC 6376 section 3.6.1).
    #[must_use]
    pub fn record(&self) -> &str {
        &self.record
    }
}

fn record(kind: &str, public: &[u8]) -> String {
    format!("v=DKIM1; k={kind}; p={}", BASE64_STANDARD.encode(public))
}

impl fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimKey").field("record", &self.record).finish_non_exhaustive()
    }
}

/// Signs the carriers of one domain with one key.
pub struct CarrierSigner {
    signer: DkimSigner<Inner, Done>,
    field_len: u64,
}

impl CarrierSigner {
    /// A signer that has made a signature already, so that a key that cannot sign is found now.
    ///
    /// # Errors
    ///
    /// No signature can be made with the key.
    pub fn new(domain: &Domain, selector: &Selector, key: DkimKey) -> Result<Self, DkimError> {
        let signer = DkimSigner::from_key(key.inner)
            .domain(domain.as_str())
            .selector(selector.to_string())
            .headers(FIELDS.into_iter().chain(["From"]))
            .expiration(VALIDITY);
        let mut signer = Self { signer, field_len: 0 };
        let mut carrier = Vec::new();
        CarrierWriter::new(domain, domain, Token::new([0; 16]), 0, &mut carrier)
            .finish(&mut carrier);
        let mut signing = signer.begin();
        signing.write(&carrier);
        signer.field_len = signing.finish()?.len() as u64;
        Ok(signer)
    }

    /// Length in octets of every field that this signer makes: all parts that differ between carriers have a fixed length.
    #[must_use]
    pub fn field_len(&self) -> u64 {
        self.field_len
    }

    /// Begins the signature of a carrier. Memory is constant.
    #[must_use]
    pub fn begin(&self) -> Signing<'_> {
        Signing(self.signer.sign_streaming())
    }
}

impl fmt::Debug for CarrierSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let template = &self.signer.template;
        f.debug_struct("CarrierSigner")
            .field("domain", &template.d)
            .field("selector", &template.s)
            .finish_non_exhaustive()
    }
}

/// A signature being made.
pub struct Signing<'a>(DkimSigningStream<'a, Inner>);

impl Signing<'_> {
    /// Takes the next octets of the carrier, header first.
    pub fn write(&mut self, octets: &[u8]) {
        self.0.write(octets);
    }

    /// The field to put before the carrier, with its CRLF. It is dated by the system's clock, which mail-auth reads itself.
    ///
    /// # Errors
    ///
    /// The key does not sign.
    pub fn finish(self) -> Result<Vec<u8>, DkimError> {
        let signature = self.0.finish().map_err(|_| DkimError)?;
        let mut field = Vec::with_capacity(1024);
        signature.write(&mut field, true);
        Ok(field)
    }
}
