//! Keys made by the program itself, and a verifier that reads their records from its own zone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use assert_cmd::Command;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::{
    AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt,
};

/// A key file and its record.
pub struct Key {
    pub selector: String,
    pub file: PathBuf,
    /// Owner name and text, as `mta-seal dkim` printed them.
    pub record: (String, String),
}

impl Key {
    /// Runs `mta-seal dkim` with `options`.
    pub fn make(directory: &Path, domain: &str, selector: &str, options: &[&str]) -> Self {
        let file = directory.join(format!("{selector}.pem"));
        let output = Command::new(env!("CARGO_BIN_EXE_mta-seal"))
            .args(["dkim", "--domain", domain, "--selector", selector, "--out"])
            .arg(&file)
            .args(options)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        let record = record(&String::from_utf8(output.stdout).unwrap());
        Self { selector: selector.to_owned(), file, record }
    }

    /// The table of the configuration.
    pub fn table(&self) -> String {
        format!("{{ selector = \"{}\", key = \"{}\" }}", self.selector, self.file.display())
    }

    pub fn pem(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }
}

/// The one `_domainkey` record in lines of a master file.
pub fn record(master_file: &str) -> (String, String) {
    let start = master_file.lines().skip_while(|line| !line.contains("._domainkey."));
    let mut lines = start.take_while(|line| !line.is_empty());
    let first = lines.next().expect("a record");
    let (name, rest) = first.split_once(". 3600 IN TXT ").expect("a TXT record");
    let strings: String = [rest].into_iter().chain(lines).collect();
    (name.to_owned(), strings.split('"').skip(1).step_by(2).collect())
}

/// DNS of the verifier.
#[derive(Default)]
pub struct Zone(Mutex<HashMap<Box<str>, Txt>>);

impl ResolverCache<Box<str>, Txt> for Zone {
    fn get<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
    {
        self.0.lock().unwrap().get(name).cloned()
    }

    fn remove<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
    {
        self.0.lock().unwrap().remove(name)
    }

    fn insert(&self, name: Box<str>, txt: Txt, _: Instant) {
        self.0.lock().unwrap().insert(name, txt);
    }
}

impl Zone {
    pub fn of(keys: &[&Key]) -> Self {
        let zone = Self::default();
        for key in keys {
            let (name, text) = &key.record;
            let parsed = Arc::new(DomainKey::parse(text.as_bytes()).expect(text));
            zone.insert(format!("{name}.").into(), Txt::DomainKey(parsed), Instant::now());
        }
        zone
    }

    /// Whether each signature verifies, in the order of the fields.
    pub async fn verify(&self, message: &[u8]) -> Vec<bool> {
        let message = AuthenticatedMessage::parse(message).expect("a message");
        let parameters = Parameters::new(&message).with_txt_cache(self);
        let authenticator = MessageAuthenticator::new_google().unwrap();
        let outputs = authenticator.verify_dkim(parameters).await;
        outputs.iter().map(|output| output.result() == &DkimResult::Pass).collect()
    }
}
