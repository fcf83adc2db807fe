//! What an operator can do about mail that waits, and about alarms.

use crate::policy::{AlarmKind, DeferReason};
use crate::store::ledger::{AlarmRow, Deferral, Scope};

/// What to do about a deferral, by the name of its row and by where the mail is going.
pub(super) fn about(deferral: &Deferral) -> String {
    let domain = &deferral.domain;
    let withdrawal = format!("({})", DeferReason::WithdrawalUnsupported.code());
    if deferral.cause.words.ends_with(&withdrawal) {
        return format!(
            "ask {domain} by telephone, at a number that you had before, whether it has withdrawn sealing. If it has, `mta-seal partner forget \
             {domain}` takes the pin away, and mail leaves in clear; if not, somebody forges their DNS"
        );
    }
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
            "nothing was believed. Ask {domain} by telephone, at a number that you had before, whether the new key is theirs. \
             If it is, compare it by telephone with `mta-seal partner pin {domain}` (`partner add` if it is no partner yet); \
             if not, somebody forges their DNS"
        ),
        AlarmKind::PinMismatch => format!(
            "nothing was believed. Ask {domain} by telephone, at a number that you had before, whether they changed their key. \
             If they did, compare it by telephone with `mta-seal partner pin {domain}`; if not, somebody forges their DNS"
        ),
        AlarmKind::IdentityReplaced => format!(
            "the new key is in use. Ask {domain} by telephone whether it is theirs: `mta-seal partner pin {domain}` \
             shows it and pins it once it was compared (`partner add` if it is no partner yet). If it is not, pin the one that \
             they tell you, with --offline"
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
             must publish one with mode `none`. If they have done so and mail waits all the same, it is pinned and withdrawn without proof: \
             `mta-seal partner forget {domain}` takes the pin away. If they removed nothing, somebody forges their DNS"
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
            "an override lets mail to {domain} go clear: `mta-seal partner overrides` says whose; end it with `mta-seal partner \
             disallow-clear {domain}`"
        ),
        AlarmKind::MemoryDamaged => {
            "the ledger has a damaged row, and the domain counts as unknown, but for a readable `enforce`; sealed mail from it waits until DNSSEC or a \
             pin (`mta-seal partner add`) shows its key: look at the disk, and restore the ledger from a backup if there is more of it"
                .to_owned()
        }
        AlarmKind::RotationLate => format!(
            "the keys in use stay in use. `mta-seal keys list` says which record of {domain} is not seen everywhere: publish it, \
             or see why a name server does not have it"
        ),
        AlarmKind::RecordMissing => format!(
            "`mta-seal check {domain}` asks each name server; see that the way in [domain.publish] works, or publish by hand what \
             `mta-seal keys list` shows"
        ),
        AlarmKind::PolicyEnds => format!(
            "mail to {domain} waits once the policy has ended. If the identity key is kept elsewhere, sign policies there \
             (`mta-seal policy request`, `sign`, `install`); else `mta-seal keys rotate` says what is in the way"
        ),
        AlarmKind::ClockJumped => {
            "compare this host's clock with `timedatectl`; if it is right, nothing: it goes on by itself within the hour".to_owned()
        }
        AlarmKind::AnotherSigner => format!(
            "one gateway alone signs and publishes for {domain}: take [domain.publish] and [domain.rotation] from this one or the \
             other, and bring a fresh export of that one here (`mta-seal keys export`, `keys import`). If no other gateway has these \
             keys, somebody else has the identity key: `mta-seal identity roll`, and tell your partners"
        ),
        AlarmKind::RotationFailed => format!(
            "the keys of {domain} stay as they are, and it is tried again each minute: see the log, the permissions of the keyring, \
             and the room left on its disk"
        ),
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

    fn alarm_advice(kind: &str) -> String {
        about_alarm(&AlarmRow {
            scope: Scope::Outgoing,
            domain: "b.example".to_owned(),
            kind: kind.to_owned(),
            words: String::new(),
            first_seen: 0,
            last_seen: 0,
            count: 1,
            open: true,
            acknowledged: None,
        })
    }

    #[test]
    fn a_changed_key_leads_to_a_comparison() {
        for kind in ["identity-changed", "pin-mismatch", "identity-replaced"] {
            assert!(alarm_advice(kind).contains("`mta-seal partner pin b.example`"), "{kind}");
        }
        assert!(alarm_advice("clear-on-failure").contains("`mta-seal partner overrides` says"));
    }

    /// [R-dec-28]
    #[test]
    fn an_unsupported_withdrawal_leads_to_a_question_and_names_the_way_out() {
        let why = DeferReason::WithdrawalUnsupported;
        let cause = Cause {
            reason: "policy-unusable".to_owned(),
            words: format!("{why} ({})", why.code()),
            ..Cause::default()
        };
        let deferral = Deferral {
            scope: Scope::Outgoing,
            domain: "b.example".to_owned(),
            sender: String::new(),
            recipient: String::new(),
            cause,
            first_seen: 0,
            last_seen: 0,
            attempts: 1,
        };
        let advice = about(&deferral);
        assert!(advice.contains("`mta-seal partner forget b.example`"), "{advice}");
        assert!(alarm_advice("policy-vanished").contains("without proof"));
    }

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
