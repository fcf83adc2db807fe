//! What one check has found.

use crate::cli::table::printable;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    Ok,
    Warning,
    Fail,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) grade: Grade,
    /// What was looked at: `mx company1.example`.
    subject: String,
    what: String,
    hint: Option<String>,
}

impl Finding {
    pub(super) fn ok(subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self { grade: Grade::Ok, subject: subject.into(), what: what.into(), hint: None }
    }

    pub(super) fn warning(
        subject: impl Into<String>,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let hint = Some(hint.into());
        Self { grade: Grade::Warning, subject: subject.into(), what: what.into(), hint }
    }

    pub(super) fn fail(
        subject: impl Into<String>,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let hint = Some(hint.into());
        Self { grade: Grade::Fail, subject: subject.into(), what: what.into(), hint }
    }
}

/// A line for each finding, and one for its hint.
pub(super) fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    for Finding { grade, subject, what, hint } in findings {
        let word = match grade {
            Grade::Ok => "ok",
            Grade::Warning => "warning",
            Grade::Fail => "FAIL",
        };
        out.push_str(&format!("{word:<8} {}: {}\n", printable(subject), printable(what)));
        if let Some(hint) = hint {
            out.push_str(&format!("{:<8} hint: {}\n", "", printable(hint)));
        }
    }
    out
}
