//! What to do when the clock jumps: nothing that cannot be undone, for a while [R-life-09].

use super::Book;

/// How far time may go on, or back, between two looks before it counts as a jump, in seconds: a day forward, the tolerance back.
pub const LEAP: (u64, u64) = (86_400, crate::records::CLOCK_TOLERANCE);

/// How long after a jump nothing is signed or destroyed, in seconds, so that a wrong clock can be put right: one hour.
pub const SETTLING: u64 = 3_600;

/// The clock has jumped, or the gateway was away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// The time at the last look, Unix seconds.
    pub from: u64,
    /// The time at this one.
    pub to: u64,
}

impl Book {
    /// Notes the time of a look, and whether it is far from the one before.
    pub fn look(&mut self, now: u64) -> Option<Jump> {
        let from = self.seen;
        let (forward, back) = LEAP;
        let jump =
            from != 0 && (now > from.saturating_add(forward) || now.saturating_add(back) < from);
        self.seen = if jump || from == 0 { now } else { from.max(now) };
        if jump {
            self.settles = Some(now.saturating_add(SETTLING));
        } else if self.settles.is_some_and(|at| now >= at) {
            self.settles = None;
            self.rewind(now);
        }
        jump.then_some(Jump { from, to: now })
    }

    /// Once the clock is believed again, what a wrong one has written down counts from now on: what lies ahead would hold things up for
    /// as long as the clock was wrong. How long keys are listed, and when they were used last, stays as it is: it may be true.
    fn rewind(&mut self, now: u64) {
        let back = |at: &mut Option<u64>| *at = at.map(|at| at.min(now));
        self.installed = self.installed.min(now);
        back(&mut self.hurry);
        for life in &mut self.keys {
            life.made = life.made.min(now);
            // It has to be seen again.
            life.ready = life.ready.filter(|at| *at <= now);
            back(&mut life.from);
            back(&mut life.revoked);
        }
        if let Some(succession) = &mut self.identity.succession {
            // It has to be seen again.
            succession.ready = succession.ready.filter(|at| *at <= now);
        }
        for stand in &mut self.stands {
            stand.since = stand.since.min(now);
            stand.again = stand.again.min(now);
            back(&mut stand.done);
            if stand.seen.is_some_and(|at| at > now) {
                (stand.seen, stand.ready) = (None, None);
            }
        }
    }

    /// Until when nothing is signed or destroyed, since the clock has jumped.
    #[must_use]
    pub fn settling(&self, now: u64) -> Option<u64> {
        self.settles.filter(|at| now < *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_settles_in_an_hour() {
        let mut book = Book::default();
        assert_eq!(book.look(1_000_000), None);
        assert_eq!(book.look(1_000_000 + LEAP.0), None);
        // Within the tolerance: the time that was seen stays.
        assert_eq!(book.look(1_000_000 + LEAP.0 - 3_600), None);
        let (from, to) = (1_000_000 + LEAP.0, 9_000_000);
        assert_eq!(book.look(to), Some(Jump { from, to }));
        assert_eq!(book.settling(to), Some(to + SETTLING));
        assert_eq!(book.look(to + SETTLING - 1), None);
        assert!(book.settling(to + SETTLING - 1).is_some());
        assert_eq!(book.look(to + SETTLING), None);
        assert_eq!((book.settling(to + SETTLING), book.settles), (None, None));
        // And back, as when a wrong clock is put right.
        let from = to + SETTLING;
        assert_eq!(book.look(2_000_000), Some(Jump { from, to: 2_000_000 }));
        assert!(book.settling(2_000_000).is_some());
    }
}
