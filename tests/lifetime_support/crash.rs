//! Images of a keyring as a crash in the middle of a sitting leaves it.

use std::path::Path;

use mta_seal::core::{Domain, KeyId};
use mta_seal::gateway::rotation::{Desk, Event};
use mta_seal::lifetime::{Book, Life};
use mta_seal::records::SignedPolicy;
use mta_seal::store::keyring::Keyring;

use super::Party;
use super::party::{copy, files, rng};

/// A sitting was cut short here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cut {
    /// The file of a key is there, and the book does not know it.
    KeyWithoutBook,
    /// How long the keys of a policy live is written down, and the policy is not there.
    AnnouncedWithoutPolicy,
    /// The policy is there, and the book does not know that it is.
    PolicyWithoutBook,
    /// The end of a key is noted, and its file is there.
    NotedWithoutEnd,
    /// The file is overwritten, but still there.
    Overwritten,
    /// The file of a key is gone, and the book does not know it.
    EndWithoutBook,
}

impl Cut {
    pub const ALL: [Self; 6] = [
        Self::KeyWithoutBook,
        Self::AnnouncedWithoutPolicy,
        Self::PolicyWithoutBook,
        Self::NotedWithoutEnd,
        Self::Overwritten,
        Self::EndWithoutBook,
    ];

    fn cuts(self, event: &Event) -> bool {
        match self {
            Self::KeyWithoutBook => matches!(event, Event::Made(..)),
            Self::AnnouncedWithoutPolicy | Self::PolicyWithoutBook => {
                matches!(event, Event::Signed { .. } | Event::Installed(_))
            }
            Self::NotedWithoutEnd | Self::Overwritten | Self::EndWithoutBook => {
                matches!(event, Event::Destroyed(..))
            }
        }
    }
}

/// What a sitting at `now` would do, done in the copy `scratch`.
pub fn rehearse(party: &Party, scratch: &Path, now: u64) -> Vec<Event> {
    copy(party.keys(), scratch);
    let mut desk = Desk::open(scratch, &party.domain, None, now).unwrap();
    desk.book.look(now);
    desk.settle(party.made(), now);
    let mut events = Vec::new();
    desk.work(&party.keeper.schedule, party.made(), now, &mut rng(), &mut events).unwrap();
    events
}

/// Lets the sitting of `rehearse` take place in the keyring up to the first event that `cut` is about, and leaves what a crash there
/// leaves; `false` if there is no such event, or an event before it cannot be done alone.
pub fn crash(party: &Party, scratch: &Path, events: &[Event], cut: Cut, now: u64) -> bool {
    let Some(last) = events.iter().position(|event| cut.cuts(event)) else { return false };
    let done = &events[..last];
    if done.iter().any(|event| matches!(event, Event::Signed { .. } | Event::Installed(_))) {
        // Which text was in between is not known.
        return false;
    }
    let after = Keyring::load(scratch).unwrap();
    // What is done whole before the cut, by the hand of the desk.
    let mut desk = party.desk(now);
    desk.book.look(now);
    desk.settle(party.made(), now);
    for event in done {
        match event {
            Event::Made(_, id) => {
                take(&mut desk.keyring, &after, id);
                let life = Book::parse(after.book().unwrap()).unwrap().life(id).unwrap().clone();
                let mut fresh = Life::new(life.kind, life.id, life.selector, now);
                fresh.made = life.made;
                desk.book.keys.push(fresh);
            }
            Event::Destroyed(_, id) => {
                desk.destroy(id, now).unwrap();
            }
            _ => {}
        }
    }
    desk.save(now).unwrap();
    match (&events[last], cut) {
        (Event::Made(_, id), _) => take(&mut desk.keyring, &after, id),
        (Event::Destroyed(_, id), Cut::EndWithoutBook) => {
            desk.keyring.destroy(id, now).unwrap();
        }
        (Event::Destroyed(_, id), _) => {
            note_destroyed(party.keys(), id, now);
            if cut == Cut::Overwritten {
                overwrite(party.keys(), scratch, id);
            }
        }
        (_, cut) => {
            let text = after.policy().unwrap().to_owned();
            let policy = SignedPolicy::parse(text.as_bytes()).unwrap();
            desk.book.announce(policy.unverified());
            desk.save(now).unwrap();
            if cut == Cut::PolicyWithoutBook {
                desk.keyring.set_policy(&text).unwrap();
            }
        }
    }
    true
}

/// Puts the file of a key where it would have been written.
fn take(keyring: &mut Keyring, from: &Keyring, id: &KeyId) {
    if let Some(stored) = from.sealing_keys().iter().find(|stored| stored.key.key_id() == *id) {
        keyring.add_sealing(stored.clone()).unwrap();
    } else if let Some(key) = from.signing_keys().iter().find(|key| key.key_id() == *id) {
        keyring.add_signing(key.clone()).unwrap();
    }
}

/// Notes the end of a key, and no more.
pub fn note_destroyed(keys: &Path, id: &KeyId, now: u64) {
    use std::os::unix::fs::PermissionsExt;
    let (path, new) = (keys.join("destroyed"), keys.join("destroyed-new"));
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(&new, format!("{before}{id} {now}\n")).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Overwrites the file that `scratch` no longer has, as the end of a key begins.
fn overwrite(keys: &Path, scratch: &Path, id: &KeyId) {
    let short = &id.to_string()[..12];
    for (path, octets) in files(keys) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.contains(short) && !scratch.join(name).exists() {
            std::fs::write(&path, vec![0; octets.len()]).unwrap();
        }
    }
}
