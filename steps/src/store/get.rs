//! `store.get`: an object of a store becomes a file of this machine.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, Written, open_named};
use crate::file::local::{compare, drain, path_problem, sha256_problem, target};

/// Copies an object of a store to a file of this machine.
///
/// ## What it does
/// It copies the object to the path `to`, readable by this account alone, computing its SHA-256
/// on the way. The file appears whole or not at all, and only when it is the one that `sha256`
/// expects. A file is never overwritten; when the very same bytes are there already, the step
/// succeeds and says `existed: true`.
///
/// ## When to use it
/// To fetch what `store.put` kept, or one object of a set for inspection.
///
/// ## What it changes
/// One file is added to this machine.
///
/// ## How it can fail
/// When there is no such object, when it is not the expected one, when another file has that
/// path, when the disk is full.
///
/// ## Example
/// ```yaml
/// - id: fetch_config
///   uses: store.get
///   with: {store: backups, from: config/app.toml, to: /srv/restore/app.toml}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `stores:`.
    store: String,
    /// The object's path in the store.
    from: String,
    /// The absolute path of the file to write; its folder exists.
    to: String,
    /// The expected SHA-256, 64 hexadecimal digits.
    sha256: Option<String>,
}

/// The file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Its path.
    path: String,
    /// Its size in bytes.
    bytes: u64,
    /// Its SHA-256, lower-case hexadecimal digits.
    sha256: String,
    /// It was there already, with the same bytes.
    existed: bool,
}

/// The step kind.
pub struct Get;

fn output(input: &Input, written: Written, existed: bool) -> Output {
    let Written { bytes, sha256 } = written;
    Output { path: input.to.clone(), bytes, sha256, existed }
}

/// The file at the path, when it has the object's bytes.
async fn same(
    input: &Input,
    (store, local, name): (&dyn Store, &dyn Store, &str),
    ctx: &StepContext,
) -> Result<Option<Written>, StepError> {
    let file = drain(local.open(name).await?, None, "read the file", ctx).await?;
    let object = drain(store.open(&input.from).await?, None, "read the object", ctx).await?;
    Ok((object == file).then_some(file))
}

impl Step for Get {
    const KIND: &'static str = "store.get";
    const SUMMARY: &'static str = "copies an object of a store to a file of this machine";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problems = path_problem("to", &input.to).into_iter();
        let problems: Vec<_> = problems.chain(sha256_problem(input.sha256.as_ref())).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        Footprint::new(Effect::Reversible, Repeat::Idempotent)
            .store(&input.store)
            .reads(format!("object `{}` in store `{}`", input.from, input.store))
            .writes(format!("file `{}`", input.to))
    }

    fn example() -> Output {
        let path = "/srv/restore/app.toml".to_owned();
        Output { path, bytes: 1 << 10, sha256: "0".repeat(64), existed: false }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let store = open_named(ctx, &input.store).await?;
        let (local, name) = target(&input.to)?;
        if local.stat(&name).await?.is_none() {
            return Ok(Observation::NotDone);
        }
        Ok(match same(input, (&*store, &local, &name), ctx).await? {
            Some(written) => Observation::Done(output(input, written, false)),
            None => Observation::NotDone,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let store = open_named(ctx, &input.store).await?;
        let what = format!("the object `{}`", input.from);
        let (local, name) = target(&input.to)?;
        if local.stat(&name).await?.is_some() {
            let Some(written) = same(input, (&*store, &local, &name), ctx).await? else {
                return Err(StoreError::Exists { path: input.to.clone() }.into());
            };
            compare(&what, input.sha256.as_ref(), &written)?;
            return Ok(output(input, written, true));
        }
        let reader = store.open(&input.from).await?;
        let mut writer = local.put_new(&name).await?;
        let written = drain(reader, Some(&mut writer), "get the object", ctx).await?;
        compare(&what, input.sha256.as_ref(), &written)?;
        writer.commit().await?;
        Ok(output(input, written, false))
    }
}
