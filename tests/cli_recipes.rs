//! `config check` over every gateway configuration of `docs/recipes`, those that no test runs on its MTA included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cli_support::mta_seal;
use rcgen::{CertificateParams, KeyPair};

/// Stands before each block that belongs into the gateway's configuration.
const MARK: &str = "<!-- file: /etc/mta-seal/mta-seal.toml; block: ";

/// Name and text of each block of a document.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let block = |part| {
        let (name, rest) = str::split_once(part, " -->\n```toml\n").expect("a block behind it");
        (name, rest.split_once("\n```\n").expect("an end of the block").0)
    };
    text.split(MARK).skip(1).map(block).collect()
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Exit code and standard error of `config check` for a block behind a host's own lines.
fn check(gw: &Path, block: &str) -> (Option<i32>, String) {
    let config = gw.join("recipe.toml");
    let own = "hostname = 'gw.company1.example'\nstate = 'state'\n\
               [[domain]]\nname = 'company1.example'\nkeys = 'keys/company1.example'\n";
    fs::write(&config, format!("{own}{block}\n")).unwrap();
    let output = mta_seal(&["config", "check", "--config", config.to_str().unwrap()]);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn every_gateway_of_a_recipe_is_configured_well() {
    let dir = tempfile::tempdir().unwrap();
    let gw = dir.path().join("gw");
    let made = mta_seal(&["init", "--domain", "company1.example", "--dir", gw.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    // What the recipes have the reader provide.
    let key = KeyPair::generate().unwrap();
    let names = vec!["gw.company1.example".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    fs::write(gw.join("gw.pem"), certificate.pem()).unwrap();
    secret(&gw.join("gw.key"), &key.serialize_pem());
    secret(&gw.join("seal.secret"), &"0123456789abcdef".repeat(4));

    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes");
    let mut shared = Vec::new();
    for entry in fs::read_dir(recipes).unwrap() {
        let path = entry.unwrap().path();
        let document = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for (name, block) in blocks(&text) {
            let (code, said) = check(&gw, block);
            // Exim as smart host is on another machine, with an address for documentation.
            let fine =
                said.is_empty() || said.contains("admits 192.0.2.10/32, which is not private");
            assert!(code == Some(0) && fine, "{document}: {name}: {said}");
            let proof = block.lines().find(|line| line.starts_with("header = ")).unwrap_or("");
            if !proof.is_empty() {
                // And it is the block that is read: without the proof it is refused.
                let (code, said) = check(&gw, &block.replace(proof, ""));
                assert_eq!(code, Some(1), "{document}: {said}");
                assert!(said.contains("proof"), "{document}: {said}");
                shared.push(document.to_owned());
            }
        }
    }
    shared.sort();
    assert_eq!(shared, ["google-workspace", "microsoft365"]);
}
