//! What an operator can do about mail that waits, and about alarms.

use crate::policy::AlarmKind;
use crate::store::ledger::{AlarmRow, Deferral, Scope};

/// What to do about a deferral, by the name of its row and by where the mail is going.
pub(super) fn about(deferral: &Deferral) -> String {
    let domain = &deferral.domain;
    let fixed = match deferral.cause.reason.as_str() {
        "policy-unknown" => {
            return format!(
                "look up `_mta-seal.{domain}` (TXT) from this host: if it fails for others too, tell its postmaster; \
                 if only here, see [dns]. If the mail must go now, unsealed: mta-seal partner allow-clear {domain} --for 4h --why TEXT"
            );
        }
        "policy-unusable" => {
            return format!(
                "tell the postmaster of {domain} the reason above, by telephone if it may be an attack. If the mail must go \
                 now, unsealed: mta-seal partner allow-clear {domain} --for 4h --why TEXT"
            );
        }
        "sender-unknown" => {
            return format!(
                "the records of {domain} cannot be verified from here: see [dns], and tell its postmaster; the mail waits \
                 there"
            );
        }
        "in-future" => "compare the clocks of both sides; this gateway's with `timedatectl`",
        "in-progress" => {
            "nothing, if it passes within the hour: another connection is still delivering the message"
        }
        "too-many-domains" | "too-many-recipients" => {
            "nothing: the MTA before the gateway sends the rest in a transaction of its own"
        }
        "mixed" => "nothing: only the recipients that were refused for now are sent again",
        "ledger" | "spool" => "see the log, and the room left on the disk of the `state` directory",
        "stalled" => {
            "nothing, if it passes: DNS or the next hop has stopped answering for this domain, and its mail waits so that no \
             other has to"
        }
        "login-busy" => "nothing, if it passes: more clients log in at once than can be checked",
        "signature" => "see the log, and the `dkim` keys of the domain that sends",
        "next-hop" | "next-hop-lost" => match deferral.scope {
            Scope::Outgoing => {
                "see whether the server at [outbound] next_hop runs, and what its log says"
            }
            Scope::Incoming => {
                "see whether the server at [inbound] next_hop runs, and what its log says"
            }
        },
        "next-hop-login" => match deferral.scope {
            Scope::Outgoing => {
                "check `user`, `password_file` and `tls` of [outbound] next_hop, and the log; the password is not tried again for \
                 a while, but at once after `systemctl reload mta-seal`"
            }
            Scope::Incoming => {
                "check `user`, `password_file` and `tls` of [inbound] next_hop, and the log; the password is not tried again for \
                 a while, but at once after `systemctl reload mta-seal`"
            }
        },
        "next-hop-reply" => match deferral.scope {
            Scope::Outgoing => {
                "the reply is that of the server at [outbound] next_hop: see its log"
            }
            Scope::Incoming => "the reply is that of the server at [inbound] next_hop: see its log",
        },
        _ => "see the log of the gateway for the trace id",
    };
    fixed.to_owned()
}

/// What to do about an alarm, by its kind.
pub(super) fn about_alarm(alarm: &AlarmRow) -> String {
    let domain = &alarm.domain;
    let Ok(kind) = alarm.kind.parse::<AlarmKind>() else {
        return "a later version of this program knows this kind; see its documentation".to_owned();
    };
    match kind {
        AlarmKind::IdentityChanged => format!(
            "nothing was believed. Ask {domain} by telephone, at a number that you had before, whether the new key is theirs. If \
             it is, write its fingerprint as `identity` into the [[partner]] of {domain} and reload; if not, somebody forges their DNS"
        ),
        AlarmKind::PinMismatch => format!(
            "nothing was believed. Ask {domain} by telephone, at a number that you had before, whether they changed their key. If \
             they did, write the new fingerprint as `identity` and reload; if not, somebody forges their DNS"
        ),
        AlarmKind::IdentityReplaced => format!(
            "the new key is in use. Ask {domain} by telephone whether it is theirs; if not, set policy = \"require\" and the \
             right `identity` in their [[partner]], and reload"
        ),
        AlarmKind::IdentityRolledOver => {
            format!("nothing: {domain} has proved that the new key is theirs")
        }
        AlarmKind::SerialBack => format!(
            "the newer policy stays in use. If it does not pass within a day, look up `_mta-seal.{domain}` (TXT) at each of \
             their name servers: one lags behind, or somebody replays an old answer; tell their postmaster"
        ),
        AlarmKind::PolicyVanished => format!(
            "mail stays sealed, or waits. Ask the postmaster of {domain} whether they removed their policy. To withdraw they \
             must publish one with mode `none`; if they removed nothing, somebody forges their DNS"
        ),
        AlarmKind::PolicyNotAuthentic => format!(
            "mail is sealed as remembered until that runs out, then it waits. Tell the postmaster of {domain}: their DNSSEC or \
             their record is broken, or somebody forges their DNS on the way to this host; compare with a look-up from elsewhere"
        ),
        AlarmKind::TestingKeyUnusable => format!(
            "mail may go clear, as their policy is in mode `testing`. Tell the postmaster of {domain}; to send nothing clear, \
             set policy = \"require\" in their [[partner]]"
        ),
        AlarmKind::WeakerSuite => format!(
            "tell the postmaster of {domain} that the key they prefer cannot be had"
        ),
        AlarmKind::NeverOverEnforce => format!(
            "{domain} asks for sealed mail, and policy = \"never\" in their [[partner]] sends it clear: remove that if it is no \
             longer needed"
        ),
        AlarmKind::ClearOnFailure => format!(
            "an override lets mail to {domain} go clear: `mta-seal partner list` says whose; end it with `mta-seal partner \
             disallow-clear {domain}`"
        ),
        AlarmKind::MemoryDamaged => {
            "the ledger has a damaged row, and the domain counts as unknown, but for a readable `enforce`: look at the disk, and restore the ledger from a \
             backup if there is more of it"
                .to_owned()
        }
        AlarmKind::MemoryFull => {
            "there are more domains than are remembered, and this one is new each time: name it in a [[partner]] with its \
             `identity` if it matters"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::core::Domain;
    use crate::gateway::Failure;
    use crate::store::ledger::Cause;

    #[test]
    fn every_temporary_refusal_has_its_advice() {
        let domain = Domain::parse("b.example").unwrap();
        let about = |scope, reason: &str| {
            about(&Deferral {
                scope,
                domain: "b.example".to_owned(),
                sender: String::new(),
                recipient: String::new(),
                cause: Cause { reason: reason.to_owned(), ..Cause::default() },
                first_seen: 0,
                last_seen: 0,
                attempts: 1,
            })
        };
        let unknown = about(Scope::Outgoing, "no such row");
        let names = Failure::all(&domain).into_iter().filter(Failure::is_temporary);
        let names: Vec<&str> = names.map(|f| f.name()).chain(["next-hop-reply"]).collect();
        assert!(names.len() > 10);
        for name in names {
            for scope in [Scope::Outgoing, Scope::Incoming] {
                assert_ne!(about(scope, name), unknown, "{name}");
            }
        }
    }
}
