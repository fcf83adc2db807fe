//! Changing the file of partners: one at a time, on record in the ledger first, as a whole or not at all.

use std::path::{Path, PathBuf};

use super::super::failure::Failure;
use super::super::{context, operator};
use super::print;
use crate::core::Domain;
use crate::gateway::LEDGER_FILE;
use crate::gateway::config::{Config, EditError, Partner, PartnersText};
use crate::store::ledger::{ActionKind, NewAction, OperatorLedger};
use crate::store::permissions::trusted;
use crate::store::replace::Replacing;

/// The file of partners, with all that is needed to change it.
pub(super) struct Book {
    /// The configuration.
    path: PathBuf,
    partners: PathBuf,
    ledger: OperatorLedger,
}

impl Book {
    /// Opens what a change needs, before anybody is asked anything; and the configuration as it is.
    pub(super) fn open(given: Option<&Path>) -> Result<(Self, Config), Failure> {
        let path = context::config_path(given)?;
        let mut config = Config::load(&path)?;
        trusted(&config.file)?;
        trusted(&config.partners_file)?;
        let ledger = OperatorLedger::open(&config.state.join(LEDGER_FILE))
            .map_err(context::ledger_failure)?;
        let partners = config.partners_file.clone();
        if !config.partners_found {
            // Another command may have put on record what it is about to write.
            let _alone = Replacing::begin(&partners)
                .map_err(|error| Failure::writing(partners.display(), &error))?;
            config = Config::load(&path)?;
            context::refuse_lost_partners(&config, &context::ledger(&config)?)?;
        }
        Ok((Self { path, partners, ledger }, config))
    }

    /// Changes the file: `edit` is given what holds at this moment, changes the text, and says what is to go on record.
    /// Returns the configuration that holds from now on.
    ///
    /// # Errors
    ///
    /// Those of `edit`; and what would result is no valid configuration, or cannot be recorded or written. Nothing has
    /// changed then.
    pub(super) fn change(
        &self,
        edit: impl FnOnce(&Config, &mut PartnersText) -> Result<Vec<NewAction>, Failure>,
    ) -> Result<Config, Failure> {
        let writing = |error: std::io::Error| Failure::writing(self.partners.display(), &error);
        let replacing = Replacing::begin(&self.partners).map_err(writing)?;
        let old = match std::fs::read_to_string(&self.partners) {
            // There never was one, unless it has gone this very moment.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let config = Config::load(&self.path)?;
                context::refuse_lost_partners(&config, &context::ledger(&config)?)?;
                PartnersText::new_file().to_owned()
            }
            other => other.map_err(|error| Failure::reading_file(&self.partners, &error))?,
        };
        let config = Config::load_with(&self.path, &old)?;
        let mut text = PartnersText::parse(&old).map_err(|error| self.cannot_edit(&error))?;
        let actions = edit(&config, &mut text)?;
        let new = text.to_string();
        let config = Config::load_with(&self.path, &new)?;
        let by = operator::current();
        self.ledger.record(&actions, context::now(), &by).map_err(context::ledger_failure)?;
        let written = replacing.replace(&new, &self.path).map_err(writing);
        if let Err(failure) = &written {
            let why = failure.message().map_or("", |message| message.text.as_str()).to_owned();
            let failed = |action: NewAction| NewAction {
                kind: ActionKind::Failed,
                detail: format!("{}: {why}", action.kind.as_str()),
                ..action
            };
            let failed: Vec<NewAction> = actions.into_iter().map(failed).collect();
            // What matters is reported already.
            let _ = self.ledger.record(&failed, context::now(), &by);
        }
        written?;
        Ok(config)
    }

    /// Says where the change stands, and when it counts.
    pub(super) fn tell(&self) -> Result<(), Failure> {
        print(&format!(
            "{} is written; a running gateway takes it up within seconds, without a restart\n",
            self.partners.display()
        ))
    }

    /// What to say when the text cannot be edited.
    pub(super) fn cannot_edit(&self, error: &EditError) -> Failure {
        Failure::refused(format!("{}: {error}", self.partners.display()))
            .hint("edit the file by hand")
    }

    /// The entry of a domain that commands may change.
    pub(super) fn entry<'a>(
        &self,
        config: &'a Config,
        domain: &Domain,
    ) -> Result<&'a Partner, Failure> {
        let Some(partner) = config.partner(domain) else {
            return Err(Failure::refused(format!("{domain} is no partner"))
                .hint(format!("`mta-seal partner add {domain}` makes it one")));
        };
        if *partner.place.file == *self.partners {
            return Ok(partner);
        }
        Err(by_hand(partner))
    }
}

/// Refuses to change an entry of the configuration itself.
pub(super) fn by_hand(partner: &Partner) -> Failure {
    let Partner { domain, place, .. } = partner;
    Failure::refused(format!("{domain} is defined in the configuration, at {place}"))
        .hint("change it there and reload, or take it out there first")
}
