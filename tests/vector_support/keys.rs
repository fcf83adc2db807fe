//! Domains, keys, signatures and lengths.

use mta_seal::core::{
    Domain, IdentityKey, IdentityPublicKey, SealingPrivateKey, SealingPublicKey, SigningKey, Suite,
    VerifyingKey, padding,
};
use mta_seal::gateway::config::parse_fingerprint;
use serde_json::json;

use super::Answer;
use super::fields::Fields;
use super::results::{ed25519_key, fingerprint, sealing_key};

pub fn identity(mut input: Fields) -> Answer {
    let text = input.text("domain");
    input.end();
    let domain = Domain::parse(&text).map_err(|_| ("identity", "none"))?;
    Ok(json!({ "identity": domain.as_str() }))
}

/// The suite of an algorithm; none for Ed25519.
fn suite_of(algorithm: &str) -> Option<Suite> {
    match algorithm {
        "suite-1" => Some(Suite::X25519),
        "suite-2" => Some(Suite::XWing),
        "ed25519" => None,
        other => panic!("algorithm {other}"),
    }
}

pub fn suite(number: u64) -> Suite {
    suite_of(&format!("suite-{number}")).unwrap()
}

pub fn keys(mut input: Fields) -> Answer {
    let (algorithm, private) = (input.text("algorithm"), input.array::<32>("private_key"));
    input.end();
    Ok(match suite_of(&algorithm) {
        Some(suite) => {
            let key = SealingPrivateKey::from_bytes(suite, &private).unwrap();
            sealing_key(key.public())
        }
        None => {
            let (signing, identity) =
                (SigningKey::from_bytes(&private), IdentityKey::from_bytes(&private));
            assert_eq!(signing.public().as_bytes(), identity.public().as_bytes());
            ed25519_key(signing.public(), identity.public())
        }
    })
}

pub fn public_keys(mut input: Fields) -> Answer {
    let (algorithm, public) = (input.text("algorithm"), input.octets("public_key"));
    input.end();
    let refused = |_| ("public-key", "none");
    match suite_of(&algorithm) {
        Some(suite) => SealingPublicKey::from_bytes(suite, &public)
            .map_err(refused)
            .map(|key| sealing_key(&key)),
        None => {
            let (signing, identity) =
                (VerifyingKey::from_bytes(&public), IdentityPublicKey::from_bytes(&public));
            assert_eq!(signing.is_ok(), identity.is_ok());
            Ok(ed25519_key(&signing.map_err(refused)?, &identity.map_err(refused)?))
        }
    }
}

/// As an operator tells the gateway what to pin.
pub fn words(mut input: Fields) -> Answer {
    let text = input.text("text");
    input.end();
    let id = parse_fingerprint(&text).map_err(|_| ("words", "none"))?;
    Ok(fingerprint(&id))
}

pub fn signature(mut input: Fields) -> Answer {
    let key = input.octets("public_key");
    let (message, signature) = (input.octets("message"), input.octets("signature"));
    input.end();
    let refused = ("signature", "none");
    let key = VerifyingKey::from_bytes(&key).map_err(|_| refused)?;
    let signature = signature.try_into().map_err(|_| refused)?;
    if key.verify(&message, &signature) { Ok(json!({})) } else { Err(refused) }
}

pub fn padding(mut input: Fields) -> Answer {
    let length = input.number("length");
    input.end();
    Ok(json!({ "padded": padding::padded(length) }))
}
