//! `store.check`: whether the backups of a store are fresh, of the usual size, and enough.

mod copies;
mod judge;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::set::SetId;
use model::step_error::StepError;
use model::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::copies::{Copies, Copy};
use self::judge::{Seen, judge};
use super::{open_named, sets};

/// Checks whether the backups of a store are fresh, of the usual size, and enough.
///
/// ## What it does
/// It reads the manifest and the proofs of every set and makes the checks that are asked for, each
/// by its own key. An age is that of the newest *proven* set, so failing nights do not look like
/// good ones; a store without sets fails every check but `min_free` and `max_damaged`. `copies`
/// looks for the newest proven set in other stores and compares its manifest, byte by byte, and
/// the size of each object: three copies, in two regions, as a fact.
///
/// ## When to use it
/// As the alarm behind all backups, on a schedule of its own: what a failed backup cannot tell,
/// because it never ran, this tells.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// When a check does not hold; the error names all of them, the log every result. With
/// `report_only` the results are outputs and the step succeeds: decide by `outputs.passed`.
///
/// ## Example
/// ```yaml
/// - id: fresh
///   uses: store.check
///   with: {store: backups, database: lms, max_age: 25h, max_drift: 20, min_proven: 2}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `stores:`.
    store: String,
    /// Sets of this database only; without it, of all.
    database: Option<String>,
    /// Sets of this label only.
    label: Option<String>,
    /// Sets of some tables count, too; without it, only those of whole databases.
    #[serde(default)]
    tables: bool,
    /// The newest proven set is not older.
    max_age: Option<Span>,
    /// The newest set differs in size from the median of the proven sets before it by at most so
    /// many percent. Without such sets there is nothing to compare with, and the check holds.
    max_drift: Option<u32>,
    /// How many proven sets `max_drift` looks back.
    #[serde(default = "seven")]
    drift_sets: usize,
    /// At least so many bytes are free in the store.
    min_free: Option<ByteSize>,
    /// At least so many sets are proven.
    min_proven: Option<u64>,
    /// At most so many sets are newer than the newest proven one: each is a backup that was not
    /// proven.
    max_unproven: Option<u64>,
    /// At most so many folders of sets are damaged: without manifest although there are proofs, or
    /// with a manifest or a proof that does not read.
    max_damaged: Option<u64>,
    /// The newest proven set lies in other stores too, each with the same manifest and every
    /// object in its size: `{stores: [offsite, archive], min: 3, min_regions: 2}`.
    copies: Option<Copies>,
    /// The step succeeds although a check does not hold.
    #[serde(default)]
    report_only: bool,
}

fn seven() -> usize {
    7
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Every check holds.
    passed: bool,
    /// The checks that were asked for.
    checks: Vec<CheckResult>,
    /// How many sets there are.
    sets: u64,
    /// How many of them are proven.
    proven: u64,
    /// The newest set.
    newest: Option<SetId>,
    /// The newest proven set.
    newest_proven: Option<SetId>,
    /// The age of the newest proven set.
    age: Option<Span>,
    /// Sets that are newer than the newest proven one.
    unproven_newer: u64,
    /// Folders that are damaged.
    damaged: u64,
    /// Bytes of the newest set, without its proofs.
    bytes: Option<u64>,
    /// By how many percent the newest set is larger (or smaller, negative) than the median of the
    /// proven sets before it.
    drift: Option<i64>,
    /// Free bytes in the store, where it can tell.
    free: Option<u64>,
    /// Where the newest proven set was looked for.
    #[serde(default)]
    copies: Vec<Copy>,
}

/// One check and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckResult {
    /// Its key in the input.
    check: String,
    /// It holds.
    holds: bool,
    /// What was found and what is asked for, in words.
    found: String,
}

/// The step kind.
pub struct Check;

impl Input {
    fn asks_for_nothing(&self) -> bool {
        self.max_age.is_none()
            && self.max_drift.is_none()
            && self.min_free.is_none()
            && self.copies.is_none()
            && [self.min_proven, self.max_unproven, self.max_damaged].iter().all(Option::is_none)
    }
}

/// The error that names every check that does not hold.
fn failed(place: &str, output: &Output) -> StepError {
    let failing: Vec<_> = output.checks.iter().filter(|check| !check.holds).collect();
    let named: Vec<_> = failing.iter().map(|check| format!("`{}`", check.check)).collect();
    let verb = if named.len() == 1 { "does" } else { "do" };
    let message = format!("{} of `{place}` {verb} not hold", named.join(", "));
    let mut error = StepError::permanent("RB0680", message);
    error.causes.extend(failing.iter().map(|check| format!("{}: {}", check.check, check.found)));
    error.hint("`runbook backups list` shows the sets of a store")
}

impl Step for Check {
    const KIND: &'static str = "store.check";
    const SUMMARY: &'static str = "checks whether backups are fresh, of the usual size, and enough";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems = Vec::new();
        if input.asks_for_nothing() {
            let problem = InputProblem::at("max_age", "nothing is checked");
            problems.push(problem.help("give at least one check, such as `max_age: 25h`"));
        }
        if input.drift_sets == 0 {
            problems.push(InputProblem::at("drift_sets", "there is nothing to compare with"));
        }
        let copies = input.copies.as_ref().and_then(|copies| copies.problem(&input.store));
        problems.extend(copies.map(|why| InputProblem::at("copies", why)));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        let others = input.copies.iter().flat_map(|copies| &copies.stores);
        let of = input.database.as_ref().map(|name| format!(" of `{name}`")).unwrap_or_default();
        let own = Footprint::new(Effect::Read, Repeat::Idempotent)
            .plays(Part::Verify)
            .store(&input.store)
            .reads(format!("sets{of} in store `{}`", input.store));
        others.fold(own, |footprint, name| footprint.store(name))
    }

    fn example() -> Output {
        let set: SetId =
            "20261120T020000Z-7k3m9q2x5w8r1t4v".parse().expect("the example is a set id");
        let found = "the newest proven set is 1h old, at most 1d1h is asked for".to_owned();
        Output {
            passed: true,
            checks: vec![CheckResult { check: "max_age".to_owned(), holds: true, found }],
            sets: 9,
            proven: 9,
            newest: Some(set.clone()),
            newest_proven: Some(set),
            age: Some(Span::from(std::time::Duration::from_hours(1))),
            unproven_newer: 0,
            damaged: 0,
            bytes: Some(1 << 20),
            drift: Some(-2),
            free: Some(1 << 40),
            copies: Vec::new(),
        }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let store = open_named(ctx, &input.store).await?;
        let min_proof = ctx.store(&input.store).await?.min_proof;
        let found = sets::find(&*store, input.database.as_deref(), min_proof, ctx.cancel()).await?;
        let seen = Seen { found: &found, free: store.free_space().await?, now: ctx.now() };
        let mut output = judge(input, &seen);
        if let Some(copies) = &input.copies {
            let newest = judge::newest_proven(input, &found);
            let newest = newest.map(|set| (set.database.as_str(), &set.facts.set));
            output.copies = copies.look(ctx, &input.store, newest).await?;
            output.checks.push(copies.judge(&output.copies));
            output.passed = output.checks.iter().all(|check| check.holds);
        }
        for check in &output.checks {
            let how = if check.holds { "holds" } else { "does not hold" };
            ctx.log(format!("{} {how}: {}", check.check, check.found));
        }
        if output.passed || input.report_only {
            return Ok(output);
        }
        Err(failed(&store.describe(), &output))
    }
}
