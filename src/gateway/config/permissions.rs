//! Who else may read or write the files that a configuration names.

use std::path::Path;

use super::{Config, NextHop, PublicationWay};
use crate::store::permissions::{PermissionError, command, private, secret, trusted};

/// Names of the files of a ledger in the state directory: the database and what SQLite keeps beside it.
const LEDGER: [&str; 3] = ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"];

impl Config {
    /// Refuses a configuration whose files are open to other users or belong to them: the file itself, that of the partners,
    /// the commands and every secret that it names, and the state directory. Keyrings refuse by themselves when they are read.
    ///
    /// # Errors
    ///
    /// The first file that is not safe, with what to change.
    pub fn check_permissions(&self) -> Result<(), PermissionError> {
        trusted(&self.file)?;
        trusted(&self.partners_file)?;
        for local in &self.domains {
            if let PublicationWay::Hook { command: path } = &local.publication.way {
                command(path)?;
            }
        }
        for path in self.secrets() {
            secret(path)?;
        }
        private(&self.state)?;
        LEDGER.iter().try_for_each(|name| private(&self.state.join(name)))
    }

    /// The files outside keyrings that hold secrets.
    fn secrets(&self) -> Vec<&Path> {
        let mut paths = Vec::new();
        for local in &self.domains {
            if let PublicationWay::Update { tsig, .. } = &local.publication.way {
                paths.push(tsig.as_path());
            }
        }
        for tls in [
            self.outbound.as_ref().and_then(|table| table.tls.as_ref()),
            self.inbound.as_ref().and_then(|table| table.tls.as_ref()),
        ]
        .into_iter()
        .flatten()
        {
            paths.push(tls.key.as_path());
        }
        if let Some(table) = &self.outbound {
            secrets_of(&table.next_hop, &mut paths);
            for shared in &table.shared {
                paths.extend(shared.passwords.as_deref());
                paths.extend(shared.header.as_ref().map(|field| field.secret.as_path()));
            }
        }
        if let Some(table) = &self.inbound {
            secrets_of(&table.next_hop, &mut paths);
        }
        paths
    }
}

fn secrets_of<'a>(hops: &'a [NextHop], paths: &mut Vec<&'a Path>) {
    for hop in hops {
        paths.extend(hop.client_certificate.iter().map(|(_, key)| key.as_path()));
        paths.extend(hop.login.iter().map(|(_, password)| password.as_path()));
    }
}
