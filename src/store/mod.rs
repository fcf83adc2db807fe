//! What survives a restart: the ledger and the keyring.

pub mod keyring;
pub mod ledger;
pub mod permissions;
pub mod secret_file;
