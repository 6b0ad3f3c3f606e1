//! `file.checksum`: the SHA-256 of a file, compared when one is expected.

use engine::context::StepContext;
use engine::step::{Observation, Step};
use model::catalog::InputProblem;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::local::{compare, drain, open, path_problem, sha256_problem};

/// Computes the SHA-256 of a file, and compares it when one is expected.
///
/// ## What it does
/// It reads the file to its end. With `sha256` the step fails unless the file is that one.
///
/// ## When to use it
/// On a file that came from somewhere else, before it is used. The objects of a backup set need
/// no such step: they are checked against the set's manifest.
///
/// ## What it changes
/// Nothing.
///
/// ## How it can fail
/// When the file cannot be read, or is not the expected one; the error names both checksums.
///
/// ## Example
/// ```yaml
/// - id: key
///   uses: file.checksum
///   with: {path: /srv/exports/users.csv}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The absolute path of the file.
    path: String,
    /// The expected SHA-256, 64 hexadecimal digits.
    sha256: Option<String>,
}

/// What the file is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Its size in bytes.
    bytes: u64,
    /// Its SHA-256, lower-case hexadecimal digits.
    sha256: String,
}

/// The step kind.
pub struct Checksum;

impl Step for Checksum {
    const KIND: &'static str = "file.checksum";
    const SUMMARY: &'static str = "computes the SHA-256 of a file, and compares it";
    type Input = Input;
    type Output = Output;

    fn validate(input: &Input) -> Result<(), Vec<InputProblem>> {
        let problems = path_problem("path", &input.path).into_iter();
        let problems: Vec<_> = problems.chain(sha256_problem(input.sha256.as_ref())).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn footprint(input: &Input) -> Footprint {
        Footprint::new(Effect::Read, Repeat::Idempotent).reads(format!("file `{}`", input.path))
    }

    fn example() -> Output {
        Output { bytes: 1 << 20, sha256: "0".repeat(64) }
    }

    async fn observe(_input: &Input, _ctx: &StepContext) -> Result<Observation<Output>, StepError> {
        Ok(Observation::NotDone)
    }

    async fn run(input: &Input, ctx: &StepContext) -> Result<Output, StepError> {
        let found = drain(open(&input.path)?, None, "read the file", ctx).await?;
        compare(&format!("the file `{}`", input.path), input.sha256.as_ref(), &found)?;
        Ok(Output { bytes: found.bytes, sha256: found.sha256 })
    }
}
