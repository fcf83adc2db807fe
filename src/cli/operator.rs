//! Who gives a command and why, for the audit trail.

use super::failure::Failure;
use crate::store::ledger::{MAX_WHY, Operator};

/// What the kernel says of a process that nobody has logged in for.
const NO_LOGIN: u32 = u32::MAX;

/// Most octets of a login name.
const MAX_LOGIN: usize = 64;

/// The user of this process, under the name with which the person has logged in: that of the kernel's login uid, which `sudo`
/// and `su` leave as it is; else, for root, what `sudo` says; else the name of the user.
pub(super) fn current() -> Operator {
    let uid = rustix::process::getuid().as_raw();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let login_uid = std::fs::read_to_string("/proc/self/loginuid")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|login| *login != NO_LOGIN);
    let login = login(&accounts, login_uid, uid, std::env::var("SUDO_USER").ok());
    let login = login.get(..login.floor_char_boundary(MAX_LOGIN)).unwrap_or_default();
    Operator { uid, login: super::table::printable(login) }
}

/// Anybody can set `SUDO_USER`: only root, who could write anything into the ledger, is believed.
fn login(accounts: &str, login_uid: Option<u32>, uid: u32, sudo_user: Option<String>) -> String {
    login_uid
        .and_then(|login| account(accounts, login))
        .or_else(|| sudo_user.filter(|name| uid == 0 && !name.is_empty()))
        .or_else(|| account(accounts, uid))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The reason that was given with `--why`; `hint` says to a reason that is none who will want to know.
pub(super) fn reason<'a>(why: &'a str, hint: &str) -> Result<&'a str, Failure> {
    let why = why.trim();
    if why.is_empty() {
        return Err(Failure::usage("--why is empty").hint(hint));
    }
    if why.len() > MAX_WHY {
        return Err(Failure::usage(format!("--why is longer than {MAX_WHY} octets")));
    }
    Ok(why)
}

/// The name of a uid in a file of accounts (passwd(5)).
fn account(accounts: &str, uid: u32) -> Option<String> {
    let found = accounts
        .lines()
        .find(|line| line.split(':').nth(2).is_some_and(|field| field.parse() == Ok(uid)))?;
    found.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:1000::/home/alice:\n";

    #[test]
    fn only_root_is_believed_what_sudo_says() {
        for (login_uid, uid, sudo_user, name) in [
            (None, 1_000, Some("bob"), "alice"),
            (None, 1_000, None, "alice"),
            (None, 0, Some("bob"), "bob"),
            (None, 0, Some(""), "root"),
            (None, 0, None, "root"),
            (Some(1_000), 0, Some("bob"), "alice"),
            (Some(7), 7, Some("bob"), "unknown"),
        ] {
            let said = login(ACCOUNTS, login_uid, uid, sudo_user.map(str::to_owned));
            assert_eq!(said, name, "{login_uid:?} {uid} {sudo_user:?}");
        }
    }

    #[test]
    fn accounts_are_found_by_uid() {
        let accounts = ACCOUNTS;
        assert_eq!(account(accounts, 1_000).as_deref(), Some("alice"));
        assert_eq!(account(accounts, 0).as_deref(), Some("root"));
        assert_eq!(account(accounts, 7), None);
    }
}
