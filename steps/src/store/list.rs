//! `store.list`: what is in a store, and what of it is proven.

use engine::context::StepContext;
use engine::random;
use engine::step::{Observation, Step};
use jiff::Timestamp;
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::proof::Level;
use model::set::SetId;
use model::step_error::StepError;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sets::{self, Found, StoredSet};
use super::{Store, open_named};

/// Lists the backup sets, or the objects, of a store.
///
/// ## What it does
/// It reads the manifest and the proofs of every set, newest first, and tells its age, its size,
/// and whether it is proven at the store's `min_proof`. With `folder` it lists plain objects
/// instead. A folder that holds no whole set is named as broken, with the reason, and so is a proof
/// that does not read: its set is listed as if that proof were not there.
///
/// With `choose: random` one of the proven sets of the whole database is drawn. The seed of the
/// draw is an output: counted from 0 and from the oldest of these sets, the one with the number
/// `seed` modulo their count is `chosen`.
///
/// ## When to use it
/// Before a restore, so that whoever approves it sees what there is; in a check that a proven set
/// of last night exists. To draw a set for a test restore, so that it is not always the newest
/// that is known to restore.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// When the store cannot be read; when a set is to be drawn and none is proven. An empty store
/// is no failure otherwise: `count` is 0 and `newest` is absent.
///
/// ## Example
/// ```yaml
/// - id: sets
///   uses: store.list
///   with: {store: backups, database: lms}
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
    /// A set of some tables may be the newest, too; without it, only one of the whole database.
    #[serde(default)]
    tables: bool,
    /// Lists the objects in this folder of the store instead of sets.
    folder: Option<String>,
    /// Draws one of the proven sets, too.
    choose: Option<Choose>,
}

/// How a set is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Choose {
    /// Each proven set of the whole database has the same chance.
    Random,
}

/// What is there.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// How many sets, or objects, there are.
    count: u64,
    /// Their size in bytes.
    bytes: u64,
    /// The newest set of the whole database; with `tables`, also of some tables.
    newest: Option<SetId>,
    /// The newest such set that is proven.
    newest_proven: Option<SetId>,
    /// The set that was drawn, with `choose`.
    chosen: Option<SetId>,
    /// The seed of the draw.
    seed: Option<u32>,
    /// The sets, newest first.
    sets: Vec<ListedSet>,
    /// Folders that hold no whole set, and proofs that do not read.
    broken: Vec<BrokenSet>,
    /// The objects, when a folder was asked for.
    objects: Vec<ListedObject>,
}

/// A set as it is listed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedSet {
    /// Its id.
    set: SetId,
    /// Its database.
    database: String,
    /// Its label.
    label: Option<String>,
    /// `full`, or the tables it covers.
    scope: String,
    /// The moment it holds.
    #[schemars(with = "String", extend("format" = "date-time"))]
    taken: Timestamp,
    /// How long ago that was.
    age: Span,
    /// Size of all its objects, in bytes.
    bytes: u64,
    /// It is proven at the store's `min_proof`.
    proven: bool,
    /// How far it is proven: the highest level that passed since the last proof that failed.
    level: Option<Level>,
    /// It is marked to stay.
    pinned: bool,
}

/// A folder that holds no whole set, or a proof that does not read.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenSet {
    /// The id in its name.
    set: SetId,
    /// Where it lies in the store.
    folder: String,
    /// Why it counts for nothing.
    reason: String,
}

/// An object as it is listed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedObject {
    /// Its path in the store.
    path: String,
    /// Its size in bytes.
    bytes: u64,
    /// How long ago it was written.
    age: Span,
}

/// The step kind.
pub struct List;

/// Whole seconds from `then` to `now`; zero when `then` is later.
pub(super) fn age(then: Timestamp, now: Timestamp) -> Span {
    let seconds = now.duration_since(then).as_secs();
    Span::from(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

fn listed(set: &StoredSet, now: Timestamp) -> ListedSet {
    ListedSet {
        set: set.facts.set.clone(),
        database: set.database.clone(),
        label: set.facts.label.clone(),
        scope: set.scope_in_words(),
        taken: set.facts.taken,
        age: age(set.facts.taken, now),
        bytes: set.bytes,
        proven: set.facts.proven,
        level: set.level,
        pinned: set.facts.pinned,
    }
}

fn of_sets(found: &Found, input: &Input, now: Timestamp) -> Output {
    let wanted = |set: &&StoredSet| input.label.is_none() || set.facts.label == input.label;
    let chosen: Vec<_> = found.sets.iter().filter(wanted).collect();
    let mut whole = chosen.iter().filter(|set| set.covers(input.tables));
    let broken = found.broken.iter().map(|broken| BrokenSet {
        set: broken.set.clone(),
        folder: broken.folder.clone(),
        reason: broken.why.to_string(),
    });
    Output {
        count: chosen.len() as u64,
        bytes: chosen.iter().map(|set| set.bytes).sum(),
        newest: whole.clone().next().map(|set| set.facts.set.clone()),
        newest_proven: whole.find(|set| set.facts.proven).map(|set| set.facts.set.clone()),
        chosen: None,
        seed: None,
        sets: chosen.into_iter().map(|set| listed(set, now)).collect(),
        broken: broken.collect(),
        objects: Vec::new(),
    }
}

/// Draws one of the proven sets.
fn drawn(found: &Found, input: &Input, seed: u32, output: Output) -> Result<Output, StepError> {
    let fits = |set: &&StoredSet| {
        let labelled = input.label.is_none() || set.facts.label == input.label;
        labelled && set.facts.proven && set.covers(input.tables)
    };
    let oldest_first: Vec<&StoredSet> = found.sets.iter().rev().filter(fits).collect();
    let number = seed.checked_rem(u32::try_from(oldest_first.len()).unwrap_or(u32::MAX));
    let number = number.and_then(|number| usize::try_from(number).ok());
    let Some(set) = number.and_then(|number| oldest_first.get(number)) else {
        let message = "no set is proven, so none can be drawn";
        return Err(StepError::needs_operator("RB0611", message)
            .hint("prove one with `pg.verify_backup`, then resume"));
    };
    Ok(Output { chosen: Some(set.facts.set.clone()), seed: Some(seed), ..output })
}

async fn of_objects(
    store: &dyn Store,
    folder: &str,
    ctx: &StepContext,
) -> Result<Output, StepError> {
    let objects = store.list(folder.trim_matches('/')).await?;
    Ok(Output {
        count: objects.len() as u64,
        bytes: objects.iter().map(|object| object.bytes).sum(),
        objects: objects
            .into_iter()
            .map(|object| ListedObject {
                age: age(object.modified, ctx.now()),
                path: object.path,
                bytes: object.bytes,
            })
            .collect(),
        ..Output::default()
    })
}

impl Step for List {
    const KIND: &'static str = "store.list";
    const SUMMARY: &'static str = "lists the backup sets, or the objects, of a store";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        if input.folder.is_some() && input.choose.is_some() {
            let problem = InputProblem::at("choose", "a set is drawn, not an object");
            return Err(vec![problem.help("leave `folder` out")]);
        }
        if input.folder.is_some() && (input.database.is_some() || input.label.is_some()) {
            let problem = InputProblem::at("folder", "objects have no database and no label");
            return Err(vec![problem.help("leave `folder` out to list sets")]);
        }
        Ok(())
    }

    fn footprint(input: &Input) -> Footprint {
        let what = match (&input.folder, &input.database) {
            (Some(folder), _) => format!("folder `{folder}` of store `{}`", input.store),
            (None, Some(database)) => format!("sets of `{database}` in store `{}`", input.store),
            (None, None) => format!("sets in store `{}`", input.store),
        };
        Footprint::new(Effect::Read, Repeat::Idempotent).store(&input.store).reads(what)
    }

    fn example() -> Output {
        let set: SetId =
            "20261120T020000Z-7k3m9q2x5w8r1t4v".parse().expect("the example is a set id");
        Output {
            count: 1,
            bytes: 1 << 20,
            newest: Some(set.clone()),
            newest_proven: Some(set.clone()),
            chosen: Some(set.clone()),
            seed: Some(2_891_336_453),
            sets: vec![ListedSet {
                database: "lms".to_owned(),
                label: Some("daily".to_owned()),
                scope: "full".to_owned(),
                taken: set.stamp(),
                set,
                age: Span::default(),
                bytes: 1 << 20,
                proven: true,
                level: Some(Level::Identical),
                pinned: false,
            }],
            broken: Vec::new(),
            objects: Vec::new(),
        }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let store = open_named(ctx, &input.store).await?;
        if let Some(folder) = &input.folder {
            return of_objects(&*store, folder, ctx).await;
        }
        let min_proof = ctx.store(&input.store).await?.min_proof;
        let found = sets::find(&*store, input.database.as_deref(), min_proof, ctx.cancel()).await?;
        let output = of_sets(&found, input, ctx.now());
        match input.choose {
            None => Ok(output),
            Some(Choose::Random) => drawn(&found, input, random::seed(), output),
        }
    }
}
