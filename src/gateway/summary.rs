//! One line of the log for each message: who sent it, where to, and what the client was told.

use std::net::IpAddr;

use tracing::info;

use crate::core::Domain;
use crate::core::address::{ForwardPath, ReversePath};
use crate::smtp::Reply;
use crate::smtp::server::SessionError;

/// Most recipient domains that are named.
const MAX_DOMAINS: usize = 16;

/// What is said of a transaction when it has ended.
#[derive(Debug)]
pub(super) struct Summary {
    client: IpAddr,
    from: ReversePath,
    domains: Vec<Domain>,
    recipients: usize,
}

impl Summary {
    pub(super) fn new(client: IpAddr, from: &ReversePath) -> Self {
        Self { client, from: from.clone(), domains: Vec::new(), recipients: 0 }
    }

    /// Takes the answer to RCPT in; a refusal is logged, since the message may end with it.
    pub(super) fn recipient(&mut self, path: &ForwardPath, reply: &Reply) {
        if !reply.is_positive() {
            let (client, from) = (self.client, &self.from);
            info!(%client, %from, to = %path, result = result(reply), %reply, "recipient refused");
            return;
        }
        self.recipients += 1;
        if let Some(domain) = path.domain()
            && self.domains.len() < MAX_DOMAINS
            && !self.domains.contains(domain)
        {
            self.domains.push(domain.clone());
        }
    }

    /// The client has these replies.
    pub(super) fn answered(&self, replies: &[Reply]) {
        let Some(reply) = replies.first() else { return };
        let same = replies.iter().all(|other| result(other) == result(reply));
        self.log(if same { result(reply) } else { "mixed" }, &reply.to_string());
    }

    /// The client has left without a reply, or is gone before it could read one; it will try again.
    pub(super) fn lost(&self, error: &SessionError) {
        self.log("lost", &error.to_string());
    }

    fn log(&self, result: &str, reply: &str) {
        let Self { client, from, domains, recipients } = self;
        let to = domains.iter().map(Domain::as_str).collect::<Vec<_>>().join(",");
        info!(%client, %from, to, recipients, result, reply, "message");
    }
}

fn result(reply: &Reply) -> &'static str {
    if reply.is_positive() {
        "accepted"
    } else if reply.is_permanent() {
        "refused"
    } else {
        "deferred"
    }
}
