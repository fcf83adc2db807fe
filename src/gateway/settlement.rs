//! From the outcomes of several recipients to what the upstream MTA is told.
//!
//! LMTP has a reply per recipient and needs nothing of this. SMTP has one reply after the final
//! dot: any temporary failure makes it temporary (what was accepted is remembered and not sent
//! again); permanent failures beside accepted recipients are reported by a DSN.

use super::failure::Failure;
use crate::smtp::Reply;

/// The one reply to an SMTP client, and the recipients that are owed a DSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settlement {
    /// The reply to the final dot.
    pub(super) reply: Reply,
    /// Places, in the list of recipients, of those that failed for good while others were
    /// accepted.
    pub(super) failed: Vec<usize>,
}

/// Settles `replies`, one for each recipient that was accepted at RCPT, of which there is at
/// least one.
///
/// `may_notify` is false where a DSN could go to a forged address. Then the accepted recipients win over the refused
/// ones only by retries: the reply stays temporary until the sending MTA gives up and says so itself.
#[must_use]
pub(super) fn settle(replies: &[Reply], may_notify: bool) -> Settlement {
    let accepted = replies.iter().filter(|r| r.is_positive()).count();
    let temporary = replies.iter().any(Reply::is_transient);
    let first = |wanted: fn(&Reply) -> bool| replies.iter().find(|r| wanted(r)).cloned();

    if accepted == replies.len() || (!temporary && accepted == 0) {
        let reply = replies.first().cloned().unwrap_or_else(|| Failure::NextHopLost.reply());
        return Settlement { reply, failed: Vec::new() };
    }
    if temporary || !may_notify {
        let all_temporary = replies.iter().all(Reply::is_transient);
        let reply = if all_temporary { first(Reply::is_transient) } else { None };
        let reply = reply.unwrap_or_else(|| Failure::Mixed.reply());
        return Settlement { reply, failed: Vec::new() };
    }
    let failed = (0..replies.len()).filter(|&i| !replies[i].is_positive()).collect();
    let reply = first(Reply::is_positive).unwrap_or_else(|| Failure::NextHopLost.reply());
    Settlement { reply, failed }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reply(code: u16) -> Reply {
        let class = u8::try_from(code / 100).unwrap();
        Reply::new(code, (class, 0, 0), "text")
    }

    fn settled(codes: &[u16], may_notify: bool) -> (u16, Vec<usize>) {
        let replies: Vec<Reply> = codes.iter().map(|&c| reply(c)).collect();
        let settlement = settle(&replies, may_notify);
        (settlement.reply.code(), settlement.failed)
    }

    #[test]
    fn one_answer_for_all_is_passed_on() {
        assert_eq!(settled(&[250, 250], true), (250, vec![]));
        assert_eq!(settled(&[450, 450], true), (450, vec![]));
        assert_eq!(settled(&[554], true), (554, vec![]));
        assert_eq!(settled(&[550, 554], true), (550, vec![]));
    }

    #[test]
    fn a_temporary_failure_wins() {
        assert_eq!(settled(&[250, 450, 550], true), (451, vec![]));
        assert_eq!(settled(&[550, 450], true), (451, vec![]));
    }

    #[test]
    fn permanent_failures_beside_success_are_owed_a_notice() {
        assert_eq!(settled(&[250, 550, 250, 554], true), (250, vec![1, 3]));
        assert_eq!(settled(&[250, 550], false), (451, vec![]));
    }
}
