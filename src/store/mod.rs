//! What survives a restart: the ledger and the keyring; and the secrets that the operator keeps.

pub mod credential;
pub mod keyring;
pub mod ledger;
pub mod passwords;
pub mod permissions;
pub mod replace;
pub mod secret_file;
