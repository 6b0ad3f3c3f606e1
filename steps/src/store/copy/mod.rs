//! `store.copy`: a backup set of one store becomes a set of another.

mod transfer;

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::set::SetId;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::transfer::{Copied, Transfer};
use super::{Backup, Choice, LoadedSet, load, open_named};

/// The fact that holds the set an attempt chose.
const FACT: &str = "copy";

/// Copies a backup set from one store to another.
///
/// ## What it does
/// It copies every object of the set under the same path, comparing its SHA-256 with the manifest
/// as it streams, and writes the manifest last: the copy is a set only when it is whole. Between
/// two stores on S3, in one region or two, S3 itself copies the objects, and the SHA-256 that it
/// computes is compared; only those of more than 5 GiB, and those that whoever writes may not read,
/// stream through this machine. The proofs follow, so the copy is as proven as the original. Which
/// set it is, is journaled before the first byte. An attempt that was cut off is taken up: objects
/// that arrived are compared, and not copied again. When the very same set is there already, the
/// step succeeds and says `existed: true`.
///
/// ## When to use it
/// To keep backups in a second place, or the set of a month in an archive with a retention of its
/// own. Prove the copy with `pg.verify_backup` on the other store when the place itself is in
/// question.
///
/// ## What it changes
/// One set is added to the store `to`. Nothing is ever overwritten. A pin is not copied: each
/// store decides by itself what stays.
///
/// ## How it can fail
/// When no set fits, when an object of the set is missing or damaged, when another set or another
/// object has a path of the copy, when the store `to` is full.
///
/// ## Example
/// ```yaml
/// - id: archive
///   uses: store.copy
///   with: {from: backups, to: archive, database: lms}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `stores:` that holds the set.
    from: String,
    /// The name under `stores:` that gets it.
    to: String,
    /// The database the set was made of; without it, the store holds sets of one database only.
    database: Option<String>,
    /// A set id, `latest`, or `{before: <time>}`. The last two mean a proven set.
    #[serde(default)]
    backup: Backup,
}

/// The copy.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// The set.
    set: SetId,
    /// Its database.
    database: String,
    /// Its folder, in both stores.
    folder: String,
    /// The SHA-256 of its manifest.
    manifest_sha256: String,
    /// How many objects it has, without manifest and proofs.
    objects: u64,
    /// Their size in bytes.
    bytes: u64,
    /// The objects that this attempt copied; the others were there.
    copied: u64,
    /// How many proofs it has.
    proofs: u64,
    /// The whole set was there already.
    existed: bool,
}

/// The step kind.
pub struct Copy;

/// The set that the step works on.
#[derive(Serialize, Deserialize)]
struct Chosen {
    set: SetId,
    database: String,
}

fn chosen(ctx: &StepContext) -> Option<Chosen> {
    serde_json::from_value(ctx.fact(FACT)?).ok()
}

fn output(set: &LoadedSet, copied: &Copied) -> Output {
    let files = &set.manifest.files;
    Output {
        set: set.manifest.set.clone(),
        database: set.manifest.database.clone(),
        folder: set.folder.clone(),
        manifest_sha256: set.written.sha256.clone(),
        objects: files.len() as u64,
        bytes: files.iter().map(|file| file.bytes).sum(),
        copied: copied.objects,
        proofs: copied.proofs,
        existed: copied.existed,
    }
}

impl Input {
    /// The set of an earlier attempt of this step, or the one that fits now.
    async fn choose(
        &self,
        store: &dyn super::Store,
        ctx: &StepContext,
    ) -> Result<LoadedSet, StepError> {
        if let Some(chosen) = chosen(ctx) {
            return Ok(load(store, &chosen.database, &chosen.set).await?);
        }
        let proven_at = Some(ctx.store(&self.from).await?.min_proof);
        let database = self.database.as_deref();
        let set = Choice { database, backup: &self.backup, proven_at }.make(store, ctx).await?;
        let (id, database) = (set.manifest.set.clone(), set.manifest.database.clone());
        ctx.record(FACT, Chosen { set: id, database }).await?;
        Ok(set)
    }
}

impl Step for Copy {
    const KIND: &'static str = "store.copy";
    const SUMMARY: &'static str = "copies a backup set from one store to another";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        if input.from == input.to {
            let problem = InputProblem::at("to", "the set is copied to where it is");
            return Err(vec![problem.help("name another store")]);
        }
        Ok(())
    }

    fn footprint(input: &Input) -> Footprint {
        let of = input.database.as_ref().map(|name| format!(" of `{name}`")).unwrap_or_default();
        Footprint::new(Effect::Reversible, Repeat::Idempotent)
            .store(&input.from)
            .store(&input.to)
            .reads(format!("set {}{of} in store `{}`", input.backup, input.from))
            .writes(format!("a set in store `{}`", input.to))
    }

    fn example() -> Output {
        let set: SetId =
            "20261120T020000Z-7k3m9q2x5w8r1t4v".parse().expect("the example is a set id");
        Output {
            folder: format!("sets/lms/{set}"),
            set,
            database: "lms".to_owned(),
            manifest_sha256: "0".repeat(64),
            objects: 14,
            bytes: 1 << 20,
            copied: 14,
            proofs: 1,
            existed: false,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(chosen) = chosen(ctx) else { return Ok(Observation::NotDone) };
        let from = open_named(ctx, &input.from).await?;
        let to = open_named(ctx, &input.to).await?;
        let set = load(&*from, &chosen.database, &chosen.set).await?;
        let transfer = Transfer { ctx, from: &*from, to: &*to, set: &set };
        Ok(match transfer.proofs_of_copy().await? {
            Some(proofs) => {
                let copied = Copied { objects: 0, proofs, existed: false };
                Observation::Done(output(&set, &copied))
            }
            None => Observation::NotDone,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let from = open_named(ctx, &input.from).await?;
        let to = open_named(ctx, &input.to).await?;
        let set = input.choose(&*from, ctx).await?;
        let copied = Transfer { ctx, from: &*from, to: &*to, set: &set }.run().await?;
        Ok(output(&set, &copied))
    }
}
