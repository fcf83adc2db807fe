//! What an operator changes of a policy when it is signed.

use crate::records::{Mode, PolicyDraft};

/// Options of all commands that make policies.
#[derive(Debug, clap::Args)]
pub(super) struct Changes {
    /// From now on ask senders to seal if they can (testing), to send nothing else (enforce), or to stop sealing (none)
    /// [default: as before]
    #[arg(long, value_name = "MODE", value_parser = ["testing", "enforce", "none"])]
    mode: Option<String>,
    /// Say that all mail to domains that can unseal is sealed (o=always), or no longer: others may then refuse clear
    /// mail of this domain [default: as before]
    #[arg(long, value_name = "YES|NO", value_parser = ["yes", "no"])]
    outgoing_always: Option<String>,
}

impl Changes {
    pub(super) fn apply(&self, draft: &mut PolicyDraft) {
        if let Some(mode) = &self.mode {
            draft.mode = match mode.as_str() {
                "enforce" => Mode::Enforce,
                "none" => Mode::None,
                _ => Mode::Testing,
            };
        }
        if let Some(answer) = &self.outgoing_always {
            draft.outgoing_always = answer == "yes";
        }
    }
}
