//! The operator's overrides: clear mail to a domain for a while, with who, when and why. They are never deleted.

/// Longest override in seconds: 7 days.
pub const MAX_ALLOWANCE: u64 = 7 * 24 * 3_600;
/// Most octets of the reason of an override or an acknowledgement.
pub const MAX_WHY: usize = 1_000;
/// Most overrides that one [`super::Ledger::allowances`] returns.
pub const MAX_ALLOWANCES: usize = 1_000;

/// Who gave an override or ended it, or acknowledged an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// User id of the process.
    pub uid: u32,
    /// The name under which the person has logged in, as far as it is known.
    pub login: String,
}

impl Operator {
    /// The gateway itself, which acts on nobody's command.
    #[must_use]
    pub fn gateway() -> Self {
        Self { uid: rustix::process::geteuid().as_raw(), login: "(gateway)".to_owned() }
    }
}

/// An override: while it lasts, mail to the domain that would wait goes clear [R-dec-18].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Its number, which stands in the log with each message that went clear by it.
    pub id: i64,
    /// The destination.
    pub domain: String,
    /// When it was given, Unix seconds.
    pub created: u64,
    /// The first second at which it no longer holds.
    pub until: u64,
    /// The operator's reason.
    pub why: String,
    /// Who gave it.
    pub by: Operator,
    /// When and by whom it was ended early.
    pub ended: Option<(u64, Operator)>,
}

impl Allowance {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: u64) -> bool {
        self.ended.is_none() && now < self.until
    }
}
