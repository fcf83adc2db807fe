//! Domains, keys, signatures and lengths.

use mta_seal::core::{
    Domain, IdentityKey, IdentityPublicKey, SealingPrivateKey, SealingPublicKey, SigningKey, Suite,
    VerifyingKey, padding,
};
use serde_json::{Value, json};

use super::Answer;
use super::fields::{Fields, b64};

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

fn sealing_ids(key: &SealingPublicKey) -> Value {
    json!({ "public_key": b64(key.as_bytes()), "key_id": b64(key.key_id().as_bytes()) })
}

fn signing_ids(signing: &VerifyingKey, identity: &IdentityPublicKey) -> Value {
    assert_eq!(signing.as_bytes(), identity.as_bytes());
    json!({
        "public_key": b64(signing.as_bytes()),
        "signing_key_id": b64(signing.key_id().as_bytes()),
        "fingerprint": b64(identity.fingerprint().as_bytes()),
    })
}

pub fn keys(mut input: Fields) -> Answer {
    let (algorithm, private) = (input.text("algorithm"), input.array::<32>("private_key"));
    input.end();
    Ok(match suite_of(&algorithm) {
        Some(suite) => {
            let key = SealingPrivateKey::from_bytes(suite, &private).unwrap();
            sealing_ids(key.public())
        }
        None => {
            let (signing, identity) =
                (SigningKey::from_bytes(&private), IdentityKey::from_bytes(&private));
            signing_ids(signing.public(), identity.public())
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
            .map(|key| sealing_ids(&key)),
        None => {
            let (signing, identity) =
                (VerifyingKey::from_bytes(&public), IdentityPublicKey::from_bytes(&public));
            assert_eq!(signing.is_ok(), identity.is_ok());
            Ok(signing_ids(&signing.map_err(refused)?, &identity.map_err(refused)?))
        }
    }
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
