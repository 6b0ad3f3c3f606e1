//! What was found, and the proof that says so.

use engine::context::StepContext;
use jiff::Timestamp;
use model::proof::{Level, Proof, Scratch, VERSION};
use model::set::difference::Checked;
use model::set::layout::proof_name;
use model::set::manifest::{Exclusion, Program};
use model::set::{Category, Difference, DifferenceKind};
use model::step_error::StepError;

use super::{Announced, FACT};
use crate::store::{LoadedSet, Store, put_bytes};

/// Differences that an error names; the proof names up to a thousand.
const NAMED: usize = 20;

/// What a verification found so far.
#[derive(Debug, Default)]
pub(super) struct Finding {
    /// The highest level that held.
    pub(super) reached: Option<Level>,
    /// Everything that differs.
    pub(super) differences: Vec<Difference>,
    /// How much was looked at.
    pub(super) checked: Checked,
    /// What was not looked at, beside what the manifest excludes.
    pub(super) exclusions: Vec<Exclusion>,
    /// Where the copy was.
    pub(super) scratch: Option<Scratch>,
    /// Programs that took part.
    pub(super) programs: Vec<Program>,
}

impl Finding {
    /// The proof of what was found; `took` is the start and the duration in milliseconds.
    pub(super) fn into_proof(
        self,
        asked: Level,
        set: &LoadedSet,
        ctx: &StepContext,
        took: (Timestamp, u64),
    ) -> Proof {
        let id = ctx.id();
        let mut exclusions = set.manifest.contents.exclusions.clone();
        exclusions.extend(self.exclusions);
        exclusions.sort();
        let proof = Proof {
            version: VERSION,
            set: set.manifest.set.clone(),
            database: set.manifest.database.clone(),
            manifest_sha256: set.written.sha256.clone(),
            asked,
            reached: self.reached,
            passed: false,
            difference_count: 0,
            differences: Vec::new(),
            checked: self.checked,
            exclusions,
            started: took.0,
            finished: ctx.now(),
            duration_ms: took.1,
            run: id.run,
            step: id.step.clone(),
            attempt: id.attempt,
            scratch: self.scratch,
            runbook: env!("CARGO_PKG_VERSION").to_owned(),
            programs: self.programs,
        };
        proof.with_differences(self.differences)
    }
}

/// Writes the proof beside its set.
pub(super) async fn write(
    ctx: &StepContext,
    store: &dyn Store,
    set: &LoadedSet,
    proof: &Proof,
) -> Result<Announced, StepError> {
    let name = proof_name(proof.started, &proof.run);
    let announced = Announced {
        proof: format!("{}/{name}", set.folder),
        recovery_point: set.manifest.server.snapshot_time.to_string(),
    };
    ctx.record(FACT, &announced).await?;
    put_bytes(store, &announced.proof, proof.to_json()).await?;
    Ok(announced)
}

/// The error of a set that differs: it names every difference, up to a limit.
pub(super) fn verdict(proof: &Proof) -> StepError {
    let count = proof.difference_count;
    let noun = if count == 1 { "difference" } else { "differences" };
    let message = match proof.differences.first() {
        Some(first) => format!("set `{}` is refused, {count} {noun}: {first}", proof.set),
        None => format!("set `{}` did not reach the level that was asked for", proof.set),
    };
    let mut error = StepError::permanent("RB0522", message).hint(
        "do not restore from this set: take a new backup, and find out what changed the old one",
    );
    error.causes.extend(proof.differences.iter().take(NAMED).map(ToString::to_string));
    if proof.differences.len() > NAMED {
        error.causes.push(format!("and {} more, all in the proof", count - NAMED as u64));
    }
    error
}

/// Something about a file of the set.
pub(super) fn file_difference(
    path: &str,
    kind: DifferenceKind,
    expected: Option<String>,
    found: Option<String>,
    message: String,
) -> Difference {
    Difference { category: Category::File, object: path.to_owned(), kind, expected, found, message }
}
