//! Whether the file of partners has changed since the gateway has read it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a change that was refused waits before it is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What tells one state of a file from another, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file as it is now; none if it is not there or cannot be looked at.
    fn of(path: &Path) -> Option<Self> {
        let of = |file: Metadata| Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            // That of the inode: nobody sets it back.
            changed: (file.ctime(), file.ctime_nsec()),
        };
        std::fs::metadata(path).ok().map(of)
    }
}

/// What a look at the file has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing to do.
    Same,
    /// It has changed since it was read.
    Changed,
    /// It was there when it was read, and has gone.
    Gone,
}

/// A change that was refused, or that the file has gone.
#[derive(Debug, Clone, Copy)]
struct Pending {
    /// The state of the file.
    state: Option<Stamp>,
    /// When it is tried again.
    due: Instant,
    /// How long it waits after the next refusal.
    next: Duration,
}

/// A file that is looked at again and again, until what it holds is in force.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    /// The state that is in force.
    known: Option<Stamp>,
    /// That of the last look.
    seen: Option<Stamp>,
    pending: Option<Pending>,
}

impl Watch {
    /// Begins with the state of this moment; to be made before the file is read.
    pub(super) fn begin(path: &Path) -> Self {
        let known = Stamp::of(path);
        Self { path: path.to_owned(), known, seen: known, pending: None }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file. A change counts once the file has stayed the same from one look to the next: an editor that
    /// writes it in two steps must not put the half into force. A change is reported until a new watch takes the place of
    /// this one; after it was [refused](Self::refused), at longer and longer times. That the file has gone is reported once.
    pub(super) fn look(&mut self, now: Instant) -> Look {
        let state = Stamp::of(&self.path);
        let settled = state == std::mem::replace(&mut self.seen, state);
        if state == self.known || !settled {
            return Look::Same;
        }
        let pending = self.pending.filter(|pending| pending.state == state);
        match (state, pending) {
            (None, Some(_)) => Look::Same,
            (None, None) => {
                self.pending = Some(Pending { state, due: now, next: AGAIN.0 });
                Look::Gone
            }
            (Some(_), Some(pending)) if now < pending.due => Look::Same,
            (Some(_), _) => Look::Changed,
        }
    }

    /// Notes that a change was not taken up; `true` for the first time in this state of the file.
    pub(super) fn refused(&mut self, now: Instant) -> bool {
        let before = self.pending.filter(|pending| pending.state == self.seen);
        let wait = before.map_or(AGAIN.0, |pending| pending.next);
        let next = wait.saturating_mul(2).min(AGAIN.1);
        self.pending = Some(Pending { state: self.seen, due: now + wait, next });
        before.is_none()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_change_is_reported_when_it_has_settled_and_until_it_is_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("partners.toml");
        let now = Instant::now();
        let mut watch = Watch::begin(&path);
        assert_eq!([watch.look(now), watch.look(now)], [Look::Same; 2]);
        fs::write(&path, "one").unwrap();
        let looks = [watch.look(now), watch.look(now), watch.look(now)];
        assert_eq!(looks, [Look::Same, Look::Changed, Look::Changed]);
        let mut watch = Watch::begin(&path);
        // Still being written.
        fs::write(&path, "").unwrap();
        assert_eq!(watch.look(now), Look::Same);
        fs::write(&path, "one and two").unwrap();
        assert_eq!([watch.look(now), watch.look(now)], [Look::Same, Look::Changed]);
        let mut watch = Watch::begin(&path);
        // Replaced by one of the same size.
        let new = dir.path().join("new");
        fs::write(&new, "two and one").unwrap();
        fs::rename(&new, &path).unwrap();
        assert_eq!([watch.look(now), watch.look(now)], [Look::Same, Look::Changed]);
        fs::remove_file(&path).unwrap();
        let looks = [watch.look(now), watch.look(now), watch.look(now)];
        assert_eq!(looks, [Look::Same, Look::Gone, Look::Same]);
    }

    #[test]
    fn what_was_refused_is_tried_again_and_a_new_state_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("partners.toml");
        let mut now = Instant::now();
        let mut watch = Watch::begin(&path);
        fs::write(&path, "one").unwrap();
        watch.look(now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let begun = now;
            while watch.look(now) == Look::Same {
                now += SECOND;
            }
            waits.push((now - begun).as_secs());
            assert_eq!(watch.refused(now), waits.len() == 1);
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60]);
        fs::write(&path, "another").unwrap();
        assert_eq!([watch.look(now), watch.look(now)], [Look::Same, Look::Changed]);
        assert!(watch.refused(now));
    }
}
