//! `pg.base_backup`: a copy of a whole cluster, from which WAL leads to any later moment.

mod input;
mod instructions;
mod server;
mod stored;
mod write;

use engine::context::StepContext;
use engine::files;
use engine::step::{Observation, Step};
use model::base::{BaseManifest, MANIFEST, base_folder, cluster_folder};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::set::SetId;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::input::Input;
use self::server::CopiedServer;
pub(super) use self::stored::{damaged, find, load, parts};
use super::connection::connect;
use super::target::Target;
use crate::store::{self, Store, StoreError, Written};

/// The name of the fact that announces a base backup.
const FACT: &str = "base";

/// The step.
pub struct BaseBackup;

/// What a later step may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id, for `base` of `pg.pitr`.
    pub base: String,
    /// `full` or `incremental`.
    pub kind: String,
    /// The base backup that an incremental one builds on.
    pub parent: Option<String>,
    /// Its folder in the store.
    pub folder: String,
    /// Bytes of its objects in the store.
    pub bytes: u64,
    /// Bytes of the data folder that was copied.
    pub data_bytes: u64,
    /// The cluster's system identifier.
    pub system_identifier: String,
    /// The server's version.
    pub server_version: String,
    /// The timeline.
    pub timeline: u32,
    /// Recovery reads WAL from here on.
    pub start_lsn: String,
    /// Recovery is consistent from here on.
    pub stop_lsn: String,
    /// The first segment that the archive must have to get further than the backup itself.
    pub needs_from: String,
    /// When it had ended (RFC 3339): any later moment can be reached from it.
    pub recovery_point: String,
    /// SHA-256 of the manifest, which names the SHA-256 of every object.
    pub manifest_sha256: String,
    /// How long it took, in milliseconds; 0 when it was found by an observation.
    pub duration_ms: u64,
}

/// What is recorded before the first byte is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Announced {
    /// The backup.
    id: SetId,
    /// The cluster.
    system_identifier: String,
    /// Where it is staged.
    staging: String,
}

impl Announced {
    fn folder(&self) -> String {
        base_folder(&self.system_identifier, &self.id)
    }

    /// Every base backup that this step announced, oldest first.
    fn all(ctx: &StepContext) -> Vec<Self> {
        let facts = ctx.facts().into_iter().filter(|fact| fact.name == FACT);
        facts.filter_map(|fact| serde_json::from_value(fact.data).ok()).collect()
    }
}

/// What the step answers, from the manifest alone.
fn output(manifest: &BaseManifest, written: &Written, duration_ms: u64) -> Output {
    let size = manifest.server.segment_bytes;
    let last = manifest.last_segment();
    let next = model::wal::Segment::of(last.timeline, last.number(size) + 1, size);
    Output {
        base: manifest.base.to_string(),
        kind: if manifest.parent.is_some() { "incremental" } else { "full" }.to_owned(),
        parent: manifest.parent.as_ref().map(ToString::to_string),
        folder: manifest.folder(),
        bytes: manifest.stored_bytes() + written.bytes,
        data_bytes: manifest.data_bytes,
        system_identifier: manifest.server.system_identifier.clone(),
        server_version: manifest.server.version.clone(),
        timeline: manifest.timeline,
        start_lsn: manifest.start_lsn.to_string(),
        stop_lsn: manifest.stop_lsn.to_string(),
        needs_from: next.to_string(),
        recovery_point: manifest.finished.to_string(),
        manifest_sha256: written.sha256.clone(),
        duration_ms,
    }
}

impl Step for BaseBackup {
    const KIND: &'static str = "pg.base_backup";
    const SUMMARY: &'static str =
        "copies a whole cluster into a store, as the base of recovery to a moment";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        input.problems()
    }

    fn footprint(input: &Input) -> Footprint {
        Footprint::new(Effect::Reversible, Repeat::Observable)
            .reads(format!("the whole cluster of `{}`", input.connection))
            .writes(format!("a new base backup in store `{}`", input.store))
            .writes(match &input.staging {
                Some(folder) => format!("a copy of the cluster in `{folder}`, removed afterwards"),
                None => "a copy of the cluster in the state folder, removed afterwards".to_owned(),
            })
            .reads_connection(&input.connection)
            .store(&input.store)
            .tool("tar")
            // The process that streams the WAL outlives `pg_basebackup` and would never end.
            .stops_stragglers()
    }

    fn example() -> Output {
        Output {
            base: "20261120T020000Z-7k3m9q2x5w8r1t4v".to_owned(),
            kind: "full".to_owned(),
            parent: None,
            folder: "base/7571234567890123456/20261120T020000Z-7k3m9q2x5w8r1t4v".to_owned(),
            bytes: 52_428_800,
            data_bytes: 262_144_000,
            system_identifier: "7571234567890123456".to_owned(),
            server_version: "15.14".to_owned(),
            timeline: 1,
            start_lsn: "2/9A000028".to_owned(),
            stop_lsn: "2/9A000150".to_owned(),
            needs_from: "00000001000000020000009B".to_owned(),
            recovery_point: "2026-11-20T02:00:42Z".to_owned(),
            manifest_sha256: "0".repeat(64),
            duration_ms: 42_000,
        }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let Some(announced) = Announced::all(ctx).pop() else { return Ok(Observation::NotDone) };
        let store = store::open_named(ctx, &input.store).await?;
        match load(store.as_ref(), &announced.system_identifier, &announced.id).await {
            Ok((manifest, written)) => Ok(Observation::Done(output(&manifest, &written, 0))),
            Err(StoreError::Missing { .. }) => Ok(Observation::NotDone),
            Err(error) => Err(error.into()),
        }
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let target = Target::resolve(&ctx.connection(&input.connection).await?)?;
        let settings = ctx.store(&input.store).await?;
        if settings.encrypt.is_some() {
            return Err(encrypted(&input.store));
        }
        let session = connect(ctx, &target).await?;
        let server = CopiedServer::look(&session, input).await?;
        let store = store::open(&settings)?;
        clear_earlier(ctx, store.as_ref(), &server.system_identifier).await?;
        let announced = announce(input, ctx, &server).await?;
        let work = write::Work { input, ctx, target: &target, store: &store, server: &server };
        let written = tokio::select! {
            biased;
            () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
            written = work.write(&session, &announced) => written,
        };
        files::remove_folder(announced.staging.as_ref()).ok();
        if written.is_err() {
            clear(ctx, store.as_ref(), &announced.folder()).await;
        }
        written
    }
}

fn encrypted(store: &str) -> StepError {
    let message =
        format!("store `{store}` encrypts what it holds, and base backups cannot be encrypted");
    StepError::permanent("RB0622", message).hint(
        "name a store without `encrypt`, on a disk or in a bucket that is encrypted itself; the \
         archive of WAL is not encrypted either",
    )
}

async fn announce(
    input: &Input,
    ctx: &StepContext,
    server: &CopiedServer,
) -> Result<Announced, StepError> {
    let id = ctx.id();
    let base = SetId::derive(ctx.now(), &id.run, &id.step, id.attempt);
    let folder = match &input.staging {
        Some(folder) => folder.into(),
        None => ctx.scratch_folder()?,
    };
    let staging = folder.join(format!("runbook-base-{base}")).display().to_string();
    let system_identifier = server.system_identifier.clone();
    let announced = Announced { id: base, system_identifier, staging };
    ctx.record(FACT, &announced).await?;
    Ok(announced)
}

/// Removes what attempts of this step that were killed left behind.
async fn clear_earlier(
    ctx: &StepContext,
    store: &dyn Store,
    system_identifier: &str,
) -> Result<(), StepError> {
    store.sweep(&cluster_folder(system_identifier)).await?;
    for announced in Announced::all(ctx) {
        files::remove_folder(announced.staging.as_ref()).ok();
        let folder = announced.folder();
        if store.stat(&format!("{folder}/{MANIFEST}")).await?.is_none() {
            ctx.log(format!("`{folder}` was left unfinished and is removed"));
            store.remove_folder(&folder).await?;
        }
    }
    Ok(())
}

/// What is left is no backup without its manifest; the failure that led here is what is reported.
async fn clear(ctx: &StepContext, store: &dyn Store, folder: &str) {
    if let Err(error) = store.remove_folder(folder).await {
        ctx.log(format!("the unfinished base backup `{folder}` could not be removed: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_encrypts_is_refused() {
        shown::case("RB0622", encrypted("backups").told());
    }
}
