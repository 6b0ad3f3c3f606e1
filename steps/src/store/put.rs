//! `store.put`: a file of this machine becomes an object of a store.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::set::layout::SETS;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError, Written, open_named};
use crate::file::local::{drain, open, path_problem};

/// Puts a file of this machine into a store.
///
/// ## What it does
/// It copies the file under the path `to`, computing its SHA-256 on the way. The object appears
/// whole or not at all and is never overwritten. When the very same bytes are there already, the
/// step succeeds and says `existed: true`.
///
/// ## When to use it
/// To keep something beside the backups: a configuration, an export, a report.
///
/// ## What it changes
/// One object is added to the store.
///
/// ## How it can fail
/// When the file cannot be read, when another object has that path, when the store is full.
///
/// ## Example
/// ```yaml
/// - id: keep_config
///   uses: store.put
///   with: {store: backups, from: /etc/lms/app.toml, to: config/app.toml}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name under `stores:`.
    store: String,
    /// The absolute path of the file.
    from: String,
    /// The path in the store, parts joined by `/`. The folder `sets` is that of the backups.
    to: String,
}

/// The object.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Its path in the store.
    path: String,
    /// Its size in bytes.
    bytes: u64,
    /// Its SHA-256, lower-case hexadecimal digits.
    sha256: String,
    /// It was there already, with the same bytes.
    existed: bool,
}

/// The step kind.
pub struct Put;

fn output(input: &Input, written: Written, existed: bool) -> Output {
    let Written { bytes, sha256 } = written;
    Output { path: input.to.clone(), bytes, sha256, existed }
}

/// The object at the path, when it has the file's bytes.
async fn same(
    input: &Input,
    store: &dyn Store,
    ctx: &StepContext,
) -> Result<Option<Written>, StepError> {
    let there = drain(store.open(&input.to).await?, None, "read the object", ctx).await?;
    let file = drain(open(&input.from)?, None, "read the file", ctx).await?;
    Ok((there == file).then_some(there))
}

impl Step for Put {
    const KIND: &'static str = "store.put";
    const SUMMARY: &'static str = "puts a file of this machine into a store";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let mut problems: Vec<_> = path_problem("from", &input.from).into_iter().collect();
        if input.to.split('/').next() == Some(SETS) {
            let message = "the folder `sets` is that of the backup sets";
            let problem = InputProblem::at("to", message);
            problems.push(problem.help("choose another folder; `pg.dump` writes sets"));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        Footprint::new(Effect::Reversible, Repeat::Idempotent)
            .store(&input.store)
            .reads(format!("file `{}`", input.from))
            .writes(format!("object `{}` in store `{}`", input.to, input.store))
    }

    fn example() -> Output {
        let written = Written { bytes: 1 << 10, sha256: "0".repeat(64) };
        let path = "config/app.toml".to_owned();
        Output { path, bytes: written.bytes, sha256: written.sha256, existed: false }
    }

    async fn observe(input: &Input, ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        let store = open_named(ctx, &input.store).await?;
        if store.stat(&input.to).await?.is_none() {
            return Ok(Observation::NotDone);
        }
        Ok(match same(input, &*store, ctx).await? {
            Some(written) => Observation::Done(output(input, written, false)),
            None => Observation::NotDone,
        })
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let reader = open(&input.from)?;
        let store = open_named(ctx, &input.store).await?;
        if store.stat(&input.to).await?.is_some() {
            return match same(input, &*store, ctx).await? {
                Some(written) => Ok(output(input, written, true)),
                None => Err(StoreError::Exists { path: input.to.clone() }.into()),
            };
        }
        let mut writer = store.put_new(&input.to).await?;
        let written = drain(reader, Some(&mut writer), "put the file", ctx).await?;
        writer.commit().await?;
        Ok(output(input, written, false))
    }
}
