//! Keyrings made by `mta-seal init`, and the format of age by nothing but the library of age.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::iter;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::SecretString;
use assert_cmd::Command;
use mta_seal::store::keyring::Passphrase;

pub const PASSPHRASE: &str = "correct horse battery staple";

pub fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE.to_owned().into()).unwrap()
}

pub fn mta_seal(directory: &Path, arguments: &[&str]) -> Output {
    mta_seal_with(directory, arguments, &[], "")
}

/// With variables of the environment and standard input.
pub fn mta_seal_with(
    directory: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
    input: &str,
) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mta-seal"));
    for name in ["MTA_SEAL_CONFIG", "MTA_SEAL_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied()).current_dir(directory).args(arguments);
    // A gateway that starts where it must refuse would not end.
    command.write_stdin(input).timeout(Duration::from_secs(300)).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command that must refuse says.
pub fn refusal(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty());
    stderr
}

/// Makes the gateway of company1.example in `base`, and says where.
pub fn init(base: &Path) -> PathBuf {
    let arguments = ["init", "--domain", "company1.example", "--dir", "gw"];
    stdout(&mta_seal(base, &arguments));
    base.join("gw")
}

/// Puts lines below the only [[domain]], in place of those put there before.
pub fn configure(gw: &Path, lines: &str) {
    let config = gw.join("mta-seal.toml");
    let text = fs::read_to_string(&config).unwrap();
    let keys = "keys = \"keys/company1.example\"\n";
    let (before, rest) = text.split_once(keys).unwrap();
    let (_, after) = rest.split_once("# The inside listener").unwrap();
    fs::write(config, format!("{before}{keys}{lines}\n# The inside listener{after}")).unwrap();
}

pub fn secret_file(path: &Path, text: &str) {
    let mut file =
        fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Name and content of every file, each of which must be of mode 0600.
pub fn files(directory: &Path) -> BTreeMap<String, String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

/// By the decryptor of age that knows no more than a passphrase.
pub fn decrypt(passphrase: &str, text: &str) -> String {
    let identity = age::scrypt::Identity::new(SecretString::from(passphrase));
    let decryptor = age::Decryptor::new(ArmoredReader::new(text.as_bytes())).unwrap();
    let mut clear = String::new();
    let mut reader = decryptor.decrypt(iter::once(&identity as &dyn age::Identity)).unwrap();
    reader.read_to_string(&mut clear).unwrap();
    clear
}

/// To a passphrase, with little work.
pub fn encrypt(passphrase: &str, text: &str) -> String {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase));
    recipient.set_work_factor(2);
    let recipients = iter::once(&recipient as &dyn age::Recipient);
    let armour = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).unwrap();
    let mut writer =
        age::Encryptor::with_recipients(recipients).unwrap().wrap_output(armour).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    String::from_utf8(writer.finish().unwrap().finish().unwrap()).unwrap()
}
