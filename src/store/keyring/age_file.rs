//! Texts encrypted in the format of age (<https://age-encryption.org/v1>), armoured: what the `age` program opens too.

use std::io::{self, Read, Write};
use std::iter;

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, Identity, Recipient, scrypt};
use zeroize::Zeroizing;

/// Work of deriving a key from a passphrase that people choose, as the power of two in scrypt: that of the `age` program. It
/// takes 256 MiB and about a second.
pub(super) const PEOPLES: u8 = 18;

/// For a secret of 256 bits, which no work makes harder to guess.
pub(super) const RANDOM: u8 = 1;

/// Most work that a file may ask of us; one of ours asks for [`PEOPLES`] at most.
const MAX_WORK: u8 = 20;

/// Why a text cannot be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// It is encrypted to something else: the passphrase is wrong, or the identity.
    Key,
    /// It is no whole file of that format.
    Format,
}

/// Encrypts to a passphrase or a secret.
pub(super) fn encrypt(secret: SecretString, work: u8, text: &str) -> io::Result<String> {
    let mut recipient = scrypt::Recipient::new(secret);
    recipient.set_work_factor(work);
    encrypt_to(iter::once(&recipient as &dyn Recipient), text)
}

/// Encrypts to any recipients.
pub(super) fn encrypt_to<'a>(
    recipients: impl Iterator<Item = &'a dyn Recipient>,
    text: &str,
) -> io::Result<String> {
    let encryptor = Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
    let armour = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armour)?;
    writer.write_all(text.as_bytes())?;
    let octets = writer.finish()?.finish()?;
    String::from_utf8(octets).map_err(io::Error::other)
}

/// Decrypts what [`encrypt`] has made, armoured or not.
pub(super) fn decrypt(secret: SecretString, octets: &[u8]) -> Result<Zeroizing<String>, Failed> {
    let mut identity = scrypt::Identity::new(secret);
    identity.set_max_work_factor(MAX_WORK);
    decrypt_by(iter::once(&identity as &dyn Identity), octets)
}

/// Decrypts with any identities.
pub(super) fn decrypt_by<'a>(
    identities: impl Iterator<Item = &'a dyn Identity>,
    octets: &[u8],
) -> Result<Zeroizing<String>, Failed> {
    let failed = |error| match error {
        DecryptError::NoMatchingKeys
        | DecryptError::DecryptionFailed
        | DecryptError::KeyDecryptionFailed => Failed::Key,
        _ => Failed::Format,
    };
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(octets)).map_err(failed)?;
    let mut reader = decryptor.decrypt(identities).map_err(failed)?;
    // The text is shorter than its encryption, so that the buffer need not grow and leave copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(octets.len() + 1));
    reader.read_to_end(&mut text).map_err(|_| Failed::Format)?;
    let text = std::str::from_utf8(&text).map_err(|_| Failed::Format)?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Whether a passphrase is what opens a file.
pub(super) fn asks_for_passphrase(octets: &[u8]) -> Result<bool, Failed> {
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(octets));
    decryptor.map(|decryptor| decryptor.is_scrypt()).map_err(|_| Failed::Format)
}
