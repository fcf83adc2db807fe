//! Identities, keys and signatures.

use crate::answer::{Answer, No, not_good, unsupported};
use crate::json::{Id, Octets};
use crate::results;
use mta_seal::core::{
    Domain, IdentityPublicKey, SealingPrivateKey, SealingPublicKey, SigningKey, Suite, SuiteId,
    VerifyingKey,
};
use mta_seal::gateway::config::parse_fingerprint;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
pub(crate) struct Identity {
    domain: String,
}

/// [R-id-01]
pub(crate) fn identity(input: Identity) -> Answer {
    let domain = Domain::parse(&input.domain).map_err(|error| not_good("identity", error))?;
    Ok(json!({ "identity": domain.as_str() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Algorithm {
    #[serde(rename = "suite-1")]
    Suite1,
    #[serde(rename = "suite-2")]
    Suite2,
    Ed25519,
}

/// A suite by its number.
pub(crate) fn suite(number: u16) -> Result<Suite, No> {
    Suite::try_from(SuiteId(number)).map_err(|_| unsupported(format!("suite {number}")))
}

/// The private key of a suite.
pub(crate) fn sealing_key(suite: Suite, seed: &Id) -> Result<SealingPrivateKey, No> {
    SealingPrivateKey::from_bytes(suite, &seed.0).map_err(unsupported)
}

fn ed25519_ids(octets: &[u8]) -> Answer {
    let bad = |error| not_good("public-key", error);
    let signing = VerifyingKey::from_bytes(octets).map_err(bad)?;
    let identity = IdentityPublicKey::from_bytes(octets).map_err(bad)?;
    Ok(results::ed25519_key(&signing, &identity))
}

#[derive(Deserialize)]
pub(crate) struct Private {
    algorithm: Algorithm,
    private_key: Id,
}

/// [R-key-01]
pub(crate) fn private(input: &Private) -> Answer {
    let suite = match input.algorithm {
        Algorithm::Ed25519 => {
            return ed25519_ids(SigningKey::from_bytes(&input.private_key.0).public().as_bytes());
        }
        Algorithm::Suite1 => Suite::X25519,
        Algorithm::Suite2 => Suite::XWing,
    };
    Ok(results::sealing_key(sealing_key(suite, &input.private_key)?.public()))
}

#[derive(Deserialize)]
pub(crate) struct Public {
    algorithm: Algorithm,
    public_key: Octets,
}

/// [R-suite-04], [R-sig-01]
pub(crate) fn public(input: &Public) -> Answer {
    let suite = match input.algorithm {
        Algorithm::Ed25519 => return ed25519_ids(&input.public_key.0),
        Algorithm::Suite1 => Suite::X25519,
        Algorithm::Suite2 => Suite::XWing,
    };
    let key = SealingPublicKey::from_bytes(suite, &input.public_key.0);
    key.map(|key| results::sealing_key(&key)).map_err(|error| not_good("public-key", error))
}

#[derive(Deserialize)]
pub(crate) struct Spoken {
    text: String,
}

/// [R-key-02]
pub(crate) fn words(input: &Spoken) -> Answer {
    let id = parse_fingerprint(&input.text).map_err(|error| not_good("words", error))?;
    Ok(results::fingerprint(&id))
}

#[derive(Deserialize)]
pub(crate) struct Signature {
    public_key: Octets,
    message: Octets,
    signature: Octets,
}

/// [R-sig-01]
pub(crate) fn signature(input: &Signature) -> Answer {
    let bad = || not_good("signature", "does not verify");
    let key = VerifyingKey::from_bytes(&input.public_key.0).map_err(|_| bad())?;
    let signature = input.signature.0.as_slice().try_into().map_err(|_| bad())?;
    if key.verify(&input.message.0, signature) { Ok(json!({})) } else { Err(bad()) }
}
