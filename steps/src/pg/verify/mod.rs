//! `pg.verify_backup`: a set is proven by restoring and comparing it.

mod files;
mod input;
mod measure;
mod proof;
mod rungs;
mod usable;

use engine::clock::{Clock, RealClock};
use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::proof::{Level, Proof};
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::input::Input;
use self::rungs::Climb;
use super::copy::OpenSet;
use super::target::Target;
use crate::store::{self, Choice, StoreError, read_bytes};

/// The name of the fact that announces a proof.
const FACT: &str = "proof";

/// No proof is larger, in bytes.
const LARGEST_PROOF: u64 = 64 << 20;

/// The step.
pub struct VerifyBackup;

/// What a later step may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The set that was verified.
    pub set: String,
    /// The database the set was made of.
    pub database: String,
    /// The highest level that held.
    pub level: Level,
    /// Always true: a set that differs fails the step.
    pub passed: bool,
    /// Tables whose rows were compared.
    pub tables: u64,
    /// Rows that were counted in the restored copy.
    pub rows: u64,
    /// What the proof does not cover, and why.
    pub excluded: Vec<String>,
    /// The proof in the store.
    pub proof: String,
    /// The set holds the state of this moment (RFC 3339).
    pub recovery_point: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// What is recorded before a proof is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Announced {
    /// The path of the proof in the store.
    proof: String,
    /// The snapshot time of its set.
    recovery_point: String,
}

impl Step for VerifyBackup {
    const KIND: &'static str = "pg.verify_backup";
    const SUMMARY: &'static str = "proves a backup set by restoring and comparing it";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        input.problems()
    }

    fn footprint(input: &Input) -> Footprint {
        let footprint = Footprint::new(Effect::Reversible, Repeat::Observable)
            .plays(Part::ProveSet)
            .plays(Part::Verify)
            .reads(format!("a set in store `{}`", input.store))
            .writes(format!("a proof beside the set in store `{}`", input.store));
        // The lowest level looks at stored bytes only, which takes no key.
        let footprint = if input.level < Level::Readable {
            footprint.store(&input.store)
        } else {
            footprint.opens_store(&input.store)
        };
        let Some(scratch) = &input.scratch else { return footprint };
        footprint
            .writes(format!("a scratch database on `{scratch}`, dropped afterwards"))
            .scratch_connection(scratch)
            .tool("pg_restore")
    }

    fn example() -> Output {
        Output {
            set: "20261120T020000Z-7k3m9q2x5w8r1t4v".to_owned(),
            database: "lms".to_owned(),
            level: Level::Identical,
            passed: true,
            tables: 41,
            rows: 1_204_511,
            excluded: Vec::new(),
            proof: "sets/lms/20261120T020000Z-7k3m9q2x5w8r1t4v/proofs/20261120T021500Z-01jd2q0m3k5v7x9zb1d3f5h7j9.json"
                .to_owned(),
            recovery_point: "2026-11-20T02:00:00Z".to_owned(),
            duration_ms: 120_000,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let fact = ctx.fact(FACT).map(serde_json::from_value::<Announced>);
        let Some(Ok(announced)) = fact else { return Ok(Observation::NotDone) };
        let store = store::open_named(ctx, &input.store).await?;
        let bytes = match read_bytes(store.as_ref(), &announced.proof, LARGEST_PROOF).await {
            Err(StoreError::Missing { .. }) => return Ok(Observation::NotDone),
            bytes => bytes?,
        };
        match Proof::from_json(&bytes) {
            Ok(proof) if proof.passed => Ok(Observation::Done(output(&proof, &announced))),
            _ => Ok(Observation::NotDone),
        }
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let (started, clock) = (ctx.now(), RealClock.mono_ms());
        let store = store::open_named(ctx, &input.store).await?;
        let choice =
            Choice { database: Some(&input.database), backup: &input.backup, proven_at: None };
        let set = choice.make(store.as_ref(), ctx).await?;
        let scratch = match &input.scratch {
            Some(name) => Some(Target::resolve(&ctx.connection(name).await?)?),
            None => None,
        };
        refuse_protected(scratch.as_ref())?;
        let from = if input.level < Level::Readable {
            OpenSet::closed(ctx, store.as_ref(), &set)
        } else {
            OpenSet::open(ctx, &input.store, store.as_ref(), &set).await?
        };
        let mut climb = Climb::new(ctx, input, &from, scratch);
        let climbed = tokio::select! {
            biased;
            () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
            climbed = climb.up_to(input.level) => climbed,
        };
        climb.clear().await;
        climbed?;
        let finding = climb.into_finding();
        let took = RealClock.mono_ms() - clock;
        let proof = finding.into_proof(input.level, &set, ctx, (started, took));
        let announced = proof::write(ctx, store.as_ref(), &set, &proof).await?;
        if proof.passed { Ok(output(&proof, &announced)) } else { Err(proof::verdict(&proof)) }
    }
}

/// Whatever the plan said when it was checked: the connection that is really used decides.
fn refuse_protected(scratch: Option<&Target>) -> Result<(), StepError> {
    match scratch.filter(|target| target.protected) {
        Some(target) => {
            let message = format!("connection `{}` is protected", target.name);
            Err(StepError::permanent("RB0524", message)
                .hint("name a scratch connection, which says `protected: false`"))
        }
        None => Ok(()),
    }
}

fn output(proof: &Proof, announced: &Announced) -> Output {
    let excluded = proof.exclusions.iter();
    Output {
        set: proof.set.to_string(),
        database: proof.database.clone(),
        level: proof.reached.unwrap_or(proof.asked),
        passed: proof.passed,
        tables: proof.checked.tables,
        rows: proof.checked.rows,
        excluded: excluded
            .map(|e| format!("{} `{}`: {}", e.category, e.object, e.reason))
            .collect(),
        proof: announced.proof.clone(),
        recovery_point: announced.recovery_point.clone(),
        duration_ms: proof.duration_ms,
    }
}
