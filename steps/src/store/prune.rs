//! `store.prune`: removes the backup sets that no rule keeps.

use engine::context::{Progress, StepContext};
use engine::step::{Observation, Step};
use jiff::{SignedDuration, Timestamp};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::{Footprint, Part};
use model::retention::{Fate, InvalidPolicy, Keep, MIN_PROVEN, Policy, SetFacts, Verdict, retain};
use model::set::SetId;
use model::set::layout::{MANIFEST, set_folder};
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sets::{self, Broken, Found, Why};
use super::{Store, open_named};

/// The fact that holds what will be removed.
const FACT: &str = "prune";

/// Sets that one step may remove unless its plan says otherwise.
const MAX_DELETE: u32 = 20;

/// Removes the backup sets that no rule keeps.
///
/// ## What it does
/// It reads every set of the database with this label and judges it as `restic forget` does: each
/// rule under `keep` keeps the newest set of so many hours, days, weeks, months or years that
/// have one (UTC, weeks from Monday), and a set stays when any rule keeps it. Only proven sets
/// count. Whatever the rules say, these stay: the `min_proven` newest proven sets, everything
/// newer than the newest proven set, sets dated in the future, pinned sets, sets that cannot be
/// read, and everything when no set is proven. Each decision is logged with its reason.
///
/// Sets of other labels are not touched, and full sets and sets of some tables are judged apart.
/// The proofs of a set go first and its manifest next, so that a half-removed set is never taken
/// for a backup; the next run removes the rest. What writers that were cut off left behind goes
/// after `unfinished_after`. A set that a lock of the store holds (`object_lock`) stays as well, and
/// is told as `retained`: the first run after the lock's end removes it. A folder that has proofs and no manifest was a set once: it is
/// damaged, it stays and the log warns of it. A proof that does not read counts as none.
///
/// ## When to use it
/// After the backup and its proof, in the same runbook: it then never runs when one of them
/// failed. With `dry_run` it only says what it would do.
///
/// ## What it changes
/// It removes sets from the store. They cannot be brought back.
///
/// ## How it can fail
/// When more than `max_delete` sets would go, nothing is removed and a person is asked: a policy
/// was tightened, or a clock is wrong. Rules that keep nothing are refused.
///
/// ## Example
/// ```yaml
/// - id: prune
///   uses: store.prune
///   with:
///     store: backups
///     database: lms
///     label: daily
///     keep: {daily: 7, weekly: 4, monthly: 12}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `stores:`.
    store: String,
    /// The database whose sets are judged.
    database: String,
    /// Sets of this label only; without it, sets that have no label.
    label: Option<String>,
    /// How many proven sets each rule keeps.
    keep: Keep,
    /// So many of the newest proven sets stay whatever the rules say; at least 1.
    #[serde(default = "min_proven")]
    min_proven: u32,
    /// When more sets would go, none does and the step fails.
    #[serde(default = "max_delete")]
    max_delete: u32,
    /// Leftovers without a manifest go when nothing was written to them for so long.
    #[serde(default = "unfinished_after")]
    unfinished_after: Span,
    /// Judges and explains, removes nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What was judged, and what went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// How many sets stay.
    kept: u64,
    /// The sets that went; with `dry_run`, that would go.
    deleted: Vec<SetId>,
    /// Leftovers without a manifest that went; with `dry_run`, that would go.
    leftovers: Vec<SetId>,
    /// Sets that no rule keeps, and that stay because a lock of the store holds them.
    #[serde(default)]
    retained: Vec<SetId>,
    /// Size of what went, in bytes.
    freed: u64,
    /// Nothing was removed, only judged.
    dry_run: bool,
    /// Every set with its reasons, newest first.
    verdicts: Vec<Verdict>,
}

/// The step kind.
pub struct Prune;

fn min_proven() -> u32 {
    MIN_PROVEN
}

fn max_delete() -> u32 {
    MAX_DELETE
}

fn unfinished_after() -> Span {
    Span::from(std::time::Duration::from_hours(7 * 24))
}

impl Input {
    fn policy(&self) -> Result<Policy, InvalidPolicy> {
        Policy::new(self.keep.clone(), self.min_proven)
    }

    fn judged(&self, found: &Found, now: Timestamp) -> Vec<Verdict> {
        let policy = self.policy().expect("`validate` has seen the input");
        let of_label = found.sets.iter().filter(|set| set.facts.label == self.label);
        let facts: Vec<SetFacts> = of_label.map(|set| set.facts.clone()).collect();
        retain(&facts, &policy, now)
    }

    /// Leftovers that go: too old to be in the making, or begun by an earlier attempt.
    fn leftovers<'a>(&self, found: &'a Found, begun: &[SetId], now: Timestamp) -> Vec<&'a Broken> {
        let age = SignedDuration::try_from(self.unfinished_after.duration());
        let oldest = now.checked_sub(age.unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MIN);
        let goes = |broken: &&Broken| {
            let touched = broken.touched.unwrap_or(broken.set.stamp());
            let is_begun = begun.contains(&broken.set);
            match broken.why {
                Why::Unfinished => touched < oldest || is_begun,
                Why::Damaged => is_begun,
                Why::Unreadable(_) | Why::Proof(_) => false,
            }
        };
        found.broken.iter().filter(goes).collect()
    }

    fn plan(&self, found: &Found, ctx: &StepContext) -> Output {
        let verdicts = self.judged(found, ctx.now());
        let goes = |verdict: &&Verdict| verdict.fate == Fate::Delete;
        let deleted: Vec<_> = verdicts.iter().filter(goes).map(|it| it.set.clone()).collect();
        let begun = recorded(ctx).map(|plan| [plan.deleted, plan.leftovers].concat());
        let begun = begun.unwrap_or_default();
        let leftovers = self.leftovers(found, &begun, ctx.now());
        let mut plan = Output {
            kept: (verdicts.len() - deleted.len()) as u64,
            leftovers: leftovers.iter().map(|left| left.set.clone()).collect(),
            deleted,
            retained: Vec::new(),
            freed: 0,
            dry_run: self.dry_run,
            verdicts,
        };
        plan.count(found);
        plan
    }
}

impl Output {
    fn count(&mut self, found: &Found) {
        let sets = found.sets.iter().filter(|set| self.deleted.contains(&set.facts.set));
        let left = found.broken.iter().filter(|left| self.leftovers.contains(&left.set));
        self.freed = sets.map(|set| set.bytes).chain(left.map(|left| left.bytes)).sum();
    }

    /// Takes out what a lock holds.
    fn retain(&mut self, held: Vec<SetId>, found: &Found, ctx: &StepContext) {
        for set in &held {
            ctx.log(format!("keep {set}: a lock of the store holds it"));
        }
        self.kept += held.iter().filter(|set| self.deleted.contains(set)).count() as u64;
        self.deleted.retain(|set| !held.contains(set));
        self.leftovers.retain(|set| !held.contains(set));
        self.retained.extend(held);
        self.count(found);
    }
}

/// The sets that would go and that a lock holds.
async fn held(store: &dyn Store, database: &str, plan: &Output) -> Result<Vec<SetId>, StepError> {
    let mut held = Vec::new();
    for set in &plan.deleted {
        if store.held(&format!("{}/{MANIFEST}", set_folder(database, set))).await? {
            held.push(set.clone());
        }
    }
    Ok(held)
}

fn recorded(ctx: &StepContext) -> Option<Output> {
    serde_json::from_value(ctx.fact(FACT)?).ok()
}

fn explain(plan: &Output, found: &Found, ctx: &StepContext) {
    for verdict in &plan.verdicts {
        ctx.log(verdict.to_string());
    }
    for broken in &found.broken {
        match &broken.why {
            Why::Unreadable(why) => ctx.log(format!("keep {}: cannot be read: {why}", broken.set)),
            Why::Proof(_) => ctx.log(format!("warning: `{}`: {}", broken.folder, broken.why)),
            Why::Unfinished | Why::Damaged if plan.leftovers.contains(&broken.set) => {
                ctx.log(format!("delete {}: left unfinished", broken.set));
            }
            Why::Damaged => ctx.log(format!("warning: keep {}: {}", broken.set, broken.why)),
            Why::Unfinished => ctx.log(format!("keep {}: unfinished, and young", broken.set)),
        }
    }
}

fn too_many(plan: &Output, max: u32) -> StepError {
    let message =
        format!("{} sets would go, `max_delete` is {max}: nothing was removed", plan.deleted.len());
    StepError::permanent("RB0661", message)
        .hint("look at the reasons in the step's log; then raise `max_delete` or mend the policy")
}

/// Removes what the plan says; gives what a lock holds.
async fn remove_all(
    store: &dyn Store,
    database: &str,
    plan: &Output,
    ctx: &StepContext,
) -> Result<Vec<SetId>, StepError> {
    let mut held = Vec::new();
    // The oldest go first.
    let all: Vec<_> = plan.leftovers.iter().chain(plan.deleted.iter().rev()).collect();
    for (done, set) in all.iter().enumerate() {
        if ctx.cancel().is_cancelled() {
            return Err(cut_off(done, all.len()));
        }
        let (done, total) = (done as u64, Some(all.len() as u64));
        ctx.progress(Progress { activity: format!("remove {set}"), done, total, bytes: false });
        if sets::remove(store, &set_folder(database, set)).await?.retained > 0 {
            held.push((*set).clone());
        }
    }
    Ok(held)
}

fn cut_off(done: usize, total: usize) -> StepError {
    if done == 0 {
        return StepError::cancelled();
    }
    StepError::ambiguous("RB0662", format!("stopped after {done} of {total} sets"))
        .hint("the next attempt judges afresh and removes the rest")
}

impl Step for Prune {
    const KIND: &'static str = "store.prune";
    const SUMMARY: &'static str = "removes the backup sets that no rule keeps";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problem = match input.policy() {
            Ok(_) => return Ok(()),
            Err(error @ InvalidPolicy::Empty) => InputProblem::at("keep", error.to_string())
                .help("keep something, such as `keep: {daily: 7, weekly: 4}`"),
            Err(error @ InvalidPolicy::NoFloor) => {
                InputProblem::at("min_proven", error.to_string()).help("keep at least 1")
            }
        };
        Err(vec![problem])
    }

    fn footprint(input: &Input) -> Footprint {
        let Input { store, database, label, .. } = input;
        let which = match label {
            Some(label) => format!("label `{label}`"),
            None => "no label".to_owned(),
        };
        let what = format!("sets of `{database}` with {which} in store `{store}`");
        if input.dry_run {
            return Footprint::new(Effect::Read, Repeat::Idempotent).store(store).reads(what);
        }
        Footprint::new(Effect::Destructive, Repeat::Idempotent)
            .plays(Part::Prune)
            .store(store)
            .reads(&what)
            .writes(format!("removes {what} that no rule keeps"))
    }

    fn example() -> Output {
        let set: SetId =
            "20261112T020000Z-7k3m9q2x5w8r1t4v".parse().expect("the example is a set id");
        let reasons = vec!["no rule keeps it".to_owned()];
        Output {
            kept: 13,
            deleted: vec![set.clone()],
            leftovers: Vec::new(),
            retained: Vec::new(),
            freed: 1 << 20,
            dry_run: false,
            verdicts: vec![Verdict { set, fate: Fate::Delete, reasons }],
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(plan) = recorded(ctx) else { return Ok(Observation::NotDone) };
        let store = open_named(ctx, &input.store).await?;
        for set in plan.deleted.iter().chain(&plan.leftovers) {
            if !store.list(&set_folder(&input.database, set)).await?.is_empty() {
                return Ok(Observation::NotDone);
            }
        }
        Ok(Observation::Done(plan))
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let store = open_named(ctx, &input.store).await?;
        let min_proof = ctx.store(&input.store).await?.min_proof;
        let found = sets::find(&*store, Some(&input.database), min_proof, ctx.cancel()).await?;
        let mut plan = input.plan(&found, ctx);
        explain(&plan, &found, ctx);
        plan.retain(held(&*store, &input.database, &plan).await?, &found, ctx);
        if plan.deleted.len() > input.max_delete as usize {
            return Err(too_many(&plan, input.max_delete));
        }
        if input.dry_run {
            return Ok(plan);
        }
        ctx.record(FACT, &plan).await?;
        let held = remove_all(&*store, &input.database, &plan, ctx).await?;
        plan.retain(held, &found, ctx);
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prune_that_was_cut_off_says_how_far_it_came() {
        assert_eq!(cut_off(0, 3), StepError::cancelled());
        shown::case("RB0662", cut_off(1, 3).told());
    }
}
