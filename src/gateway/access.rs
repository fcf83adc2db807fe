//! What a listener grants to whom beside taking mail: logins, certificates, XFORWARD and XCLIENT.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tracing::warn;

use super::authorisation::{Authorisation, Login};
use super::config::Network;
use super::failure::Failure;
use crate::smtp::Capabilities;
use crate::smtp::origin::Extension;
use crate::smtp::server::{Credentials, MECHANISMS};

/// Logins that are checked at once: each takes a processor and some 20 MiB for some tens of milliseconds, and mail must go
/// on meanwhile.
const LOGINS: usize = 2;

/// How long a login waits for its turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pause before a failed login is answered, so that guessing is slow.
const FAILED_LOGIN: Duration = Duration::from_secs(1);

/// The rights of peers at one listener.
pub(super) struct Access {
    /// `None`: the whole world may send.
    authorisation: Option<Authorisation>,
    xforward: Vec<Network>,
    xclient: Vec<Network>,
    logins: Arc<Semaphore>,
}

impl Access {
    pub(super) fn new(
        authorisation: Option<Authorisation>,
        xforward: &[Network],
        xclient: &[Network],
    ) -> Arc<Self> {
        Arc::new(Self {
            authorisation,
            xforward: xforward.to_vec(),
            xclient: xclient.to_vec(),
            logins: Arc::new(Semaphore::new(LOGINS)),
        })
    }

    /// Who may send; `None`: the whole world.
    pub(super) fn authorisation(&self) -> Option<&Authorisation> {
        self.authorisation.as_ref()
    }

    /// Whether a connection from this address is served at all. One that may use XCLIENT is, and then speaks for others.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        self.authorisation.as_ref().is_none_or(|list| list.admits(address))
            || self.xclient.iter().any(|range| range.contains(address))
    }

    /// Whether a peer at this address is an MTA of ours, which may use XFORWARD whether it does or not.
    pub(super) fn is_mta(&self, peer: IpAddr) -> bool {
        self.xforward.iter().any(|range| range.contains(peer))
    }

    /// Whether a peer at this address is asked for a certificate.
    pub(super) fn asks_certificate(&self, address: IpAddr) -> bool {
        let list = self.authorisation.as_ref();
        list.is_some_and(|list| list.certificates(address).next().is_some())
    }

    /// Adds to `offered` what a peer at the address `peer`, which speaks for a client at `client`, may use.
    pub(super) fn offer(
        &self,
        offered: Capabilities,
        peer: IpAddr,
        client: IpAddr,
    ) -> Capabilities {
        let may = |ranges: &[Network], extension: Extension| {
            let listed = ranges.iter().any(|range| range.contains(peer));
            if listed { extension.attributes().to_vec() } else { Vec::new() }
        };
        let login = self.authorisation.as_ref().is_some_and(|list| list.offers_login(client));
        let auth: &[&str] = if login { &MECHANISMS } else { &[] };
        Capabilities {
            auth: auth.iter().map(|mechanism| (*mechanism).to_owned()).collect(),
            xforward: may(&self.xforward, Extension::XForward),
            xclient: may(&self.xclient, Extension::XClient),
            ..offered
        }
    }

    /// Checks a login. The work is done on a thread of its own.
    pub(super) async fn login(
        self: &Arc<Self>,
        client: IpAddr,
        credentials: Credentials,
    ) -> Result<Login, Failure> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.logins).acquire_owned());
        let Ok(Ok(permit)) = turn.await else {
            warn!(%client, "login waits too long for its turn");
            return Err(Failure::LoginBusy);
        };
        let access = Arc::clone(self);
        let check = tokio::task::spawn_blocking(move || {
            // Kept until the work is done, also if nobody waits for it any more.
            let _permit = permit;
            let list = access.authorisation.as_ref()?;
            list.login(client, credentials.name(), credentials.password())
        });
        match check.await {
            Ok(Some(login)) => Ok(login),
            Ok(None) => {
                warn!(%client, "login failed");
                tokio::time::sleep(FAILED_LOGIN).await;
                Err(Failure::LoginWrong)
            }
            Err(_) => Err(Failure::LoginBusy),
        }
    }
}
