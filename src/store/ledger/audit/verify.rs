//! Whether a trail is whole: every row as it was written, none missing, in order, up to its last signed checkpoint.

use super::{AuditRow, Chain, Checkpoint, EventKind, TrailId};
use crate::core::VerifyingKey;

/// Most flaws that are named; the others are counted.
const NAMED: usize = 100;
/// A gateway signs far more often than this. More rows without a signature are not its doing.
const MAX_UNSIGNED: u64 = 100_000;

/// Knows the keys that checkpoints are signed with.
pub trait SigningKeys {
    /// The key of this checkpoint if it may be believed, else why not.
    fn find(&mut self, checkpoint: &Checkpoint) -> Result<VerifyingKey, String>;
}

/// What is wrong with a trail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A column is not what was written.
    #[error("row {0} has been changed")]
    Changed(i64),
    /// The row does not follow from the one before it.
    #[error("row {0} does not follow from the row before it")]
    Unchained(i64),
    /// Rows are not there.
    #[error("rows {0} to {1} are missing")]
    Missing(i64, i64),
    /// The rows before the first have not gone by pruning.
    #[error("the trail begins with row {0}, and no signed checkpoint shows what was before it")]
    NoAnchor(i64),
    /// The rows before the first have gone, and no row says that they were pruned.
    #[error("rows up to {0} are gone, and the trail does not say that they were pruned")]
    NotPruned(u64),
    /// The rows up to a checkpoint are not those that it was signed for.
    #[error("the rows up to {0} are not those that the checkpoint there was signed for")]
    Differs(u64),
    /// A checkpoint covers rows that are not there.
    #[error("the checkpoint at row {0} covers rows that are missing: the end was cut off")]
    CutOff(u64),
    /// A checkpoint is not there.
    #[error("the checkpoint at row {0} is missing")]
    NoCheckpoint(u64),
    /// A checkpoint is not what it was, or not ours.
    #[error("the checkpoint at row {0} cannot be believed: {1}")]
    Unbelieved(u64, String),
    /// There is no checkpoint.
    #[error("no checkpoint was ever signed")]
    Unsigned,
    /// There are far more rows after the last checkpoint than a gateway leaves unsigned.
    #[error("the last {0} rows are not signed")]
    LongUnsigned(u64),
    /// The checkpoint that was kept elsewhere is of another trail.
    #[error("the checkpoint kept elsewhere is of another trail: the ledger was made anew")]
    OtherTrail,
    /// The checkpoint that was kept elsewhere covers rows that are not there.
    #[error("the checkpoint kept elsewhere covers row {0}, but the trail ends before it")]
    KeptCutOff(u64),
    /// The rows differ from those that the checkpoint kept elsewhere covers.
    #[error("the rows up to {0} are not those of the checkpoint kept elsewhere")]
    KeptDiffers(u64),
    /// The rows that the checkpoint kept elsewhere covers were pruned.
    #[error("the rows up to {0} were pruned, so that the checkpoint kept elsewhere shows nothing")]
    KeptPruned(u64),
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The first row that is there.
    pub first: Option<i64>,
    /// The last row.
    pub last: Option<i64>,
    /// How many rows were read.
    pub rows: u64,
    /// How many checkpoints were read.
    pub checkpoints: u64,
    /// The last checkpoint that holds.
    pub signed: Option<Checkpoint>,
    /// Rows after it: whoever can write the file can change or remove them.
    pub unsigned: u64,
    /// What is wrong: the first hundred.
    pub flaws: Vec<Flaw>,
    /// How many more there are.
    pub more: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.flaws.is_empty()
    }
}

/// Reads a trail from its beginning. The checkpoint at a row comes after that row, the anchor of a pruned trail first of all.
pub struct Verifier<'k> {
    trail: TrailId,
    keys: &'k mut dyn SigningKeys,
    /// Kept elsewhere.
    kept: Option<Checkpoint>,
    kept_seen: bool,
    /// The row that was read last, and the chain there as it should be.
    at: Option<(i64, Chain)>,
    previous: Option<u64>,
    anchor: Option<u64>,
    /// The last row of which a row says that it was pruned.
    pruned: u64,
    report: Report,
}

impl<'k> Verifier<'k> {
    /// For the trail with this id; `kept` was kept elsewhere.
    #[must_use]
    pub fn new(trail: TrailId, keys: &'k mut dyn SigningKeys, kept: Option<Checkpoint>) -> Self {
        let mut verifier = Self {
            trail,
            keys,
            kept,
            kept_seen: false,
            at: None,
            previous: None,
            anchor: None,
            pruned: 0,
            report: Report::default(),
        };
        if verifier.kept.as_ref().is_some_and(|kept| kept.trail != trail) {
            verifier.flaw(Flaw::OtherTrail);
            verifier.kept = None;
        }
        verifier
    }

    fn flaw(&mut self, flaw: Flaw) {
        if self.report.flaws.len() < NAMED {
            self.report.flaws.push(flaw);
        } else {
            self.report.more += 1;
        }
    }

    /// How many were found so far.
    fn flaws(&self) -> u64 {
        self.report.flaws.len() as u64 + self.report.more
    }

    /// Takes the next row.
    pub fn row(&mut self, row: &AuditRow) {
        let (last, chain) = match self.at {
            Some(at) => at,
            None if row.seq == 1 => (0, Chain::genesis(&self.trail)),
            None => {
                self.flaw(Flaw::NoAnchor(row.seq));
                (row.seq.saturating_sub(1), Chain([0; 32]))
            }
        };
        let flaws = self.flaws();
        if row.seq != last.saturating_add(1) {
            self.flaw(Flaw::Missing(last.saturating_add(1), row.seq.saturating_sub(1)));
        }
        let digest = row.digest();
        if row.digest != digest {
            self.flaw(Flaw::Changed(row.seq));
        }
        let chained = chain.and(&digest);
        if row.chain != chained.0 && flaws == self.flaws() {
            self.flaw(Flaw::Unchained(row.seq));
        }
        // One change is told once: what follows is judged by what is recorded.
        let recorded = <[u8; 32]>::try_from(row.chain.as_slice()).map_or(chained, Chain);
        self.at = Some((row.seq, recorded));
        self.report.first.get_or_insert(row.seq);
        self.report.last = Some(row.seq);
        self.report.rows += 1;
        if row.kind == EventKind::Pruned.as_str()
            && let Some(through) = row.details().number("through")
        {
            self.pruned = self.pruned.max(through);
        }
        self.compare_kept();
    }

    /// Takes the next checkpoint.
    pub fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.report.checkpoints += 1;
        let seq = checkpoint.seq;
        match self.previous {
            Some(previous) if previous != checkpoint.previous => {
                self.flaw(Flaw::NoCheckpoint(checkpoint.previous));
            }
            None if checkpoint.previous != 0 && self.at.is_some() => {
                self.flaw(Flaw::NoCheckpoint(checkpoint.previous));
            }
            _ => {}
        }
        self.previous = Some(seq);
        let believed = if checkpoint.trail == self.trail {
            self.keys.find(checkpoint).and_then(|key| {
                if checkpoint.is_by(&key) {
                    Ok(())
                } else {
                    Err("its signature is wrong".to_owned())
                }
            })
        } else {
            Err("it is of another trail".to_owned())
        };
        if let Err(why) = &believed {
            self.flaw(Flaw::Unbelieved(seq, why.clone()));
        }
        match self.at {
            // What was before it has been pruned.
            None => {
                self.anchor = Some(seq);
                self.at = Some((i64::try_from(seq).unwrap_or(i64::MAX), checkpoint.chain));
                self.compare_kept();
            }
            Some((at, chain)) => match u64::try_from(at) {
                Ok(at) if at == seq && chain == checkpoint.chain => {}
                Ok(at) if at < seq => return self.flaw(Flaw::CutOff(seq)),
                _ => return self.flaw(Flaw::Differs(seq)),
            },
        }
        if believed.is_ok() {
            self.report.signed = Some(checkpoint.clone());
        }
    }

    /// Compares with what was kept elsewhere, once its row is reached.
    fn compare_kept(&mut self) {
        let (Some(kept), Some((at, chain))) = (&self.kept, self.at) else { return };
        let seq = kept.seq;
        if self.kept_seen || i64::try_from(seq) != Ok(at) {
            return;
        }
        self.kept_seen = true;
        if kept.chain != chain {
            self.flaw(Flaw::KeptDiffers(seq));
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let last = self.at.map_or(0, |(seq, _)| u64::try_from(seq).unwrap_or(0));
        if let Some(anchor) = self.anchor
            && self.pruned < anchor
        {
            self.flaw(Flaw::NotPruned(anchor));
        }
        let signed = self.report.signed.as_ref().map_or(0, |checkpoint| checkpoint.seq);
        self.report.unsigned = last.saturating_sub(signed);
        if self.report.rows > 0 && self.report.checkpoints == 0 {
            self.flaw(Flaw::Unsigned);
        } else if self.report.unsigned > MAX_UNSIGNED {
            self.flaw(Flaw::LongUnsigned(self.report.unsigned));
        }
        if let Some(seq) = self.kept.as_ref().map(|kept| kept.seq)
            && !self.kept_seen
        {
            let pruned = self.anchor.is_some_and(|anchor| seq < anchor);
            self.flaw(if pruned { Flaw::KeptPruned(seq) } else { Flaw::KeptCutOff(seq) });
        }
        self.report
    }
}
