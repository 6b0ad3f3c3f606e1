//! The contract a step type is written against.

use std::future::Future;

use model::catalog::InputProblem;
use model::footprint::Footprint;
use model::step_error::StepError;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::StepContext;

/// What a read-only look at the world says about an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation<O> {
    /// It did not happen, or a repetition of it does no harm.
    NotDone,
    /// It is still happening; look again later.
    InProgress,
    /// It happened, and this is its output.
    Done(O),
    /// Nothing can tell.
    Unknown,
}

impl<O> Observation<O> {
    /// The same look, its output in another form.
    pub fn map<P>(self, of: impl FnOnce(O) -> P) -> Observation<P> {
        match self {
            Self::NotDone => Observation::NotDone,
            Self::InProgress => Observation::InProgress,
            Self::Done(output) => Observation::Done(of(output)),
            Self::Unknown => Observation::Unknown,
        }
    }
}

/// One kind of step. Its manual is the doc comment of its [`Step::Input`], under the headings
/// What it does, When to use it, What it changes, How it can fail, Example.
pub trait Step: Send + Sync + 'static {
    /// The kind's name: `pg.dump`.
    const KIND: &'static str;
    /// One line on what it does.
    const SUMMARY: &'static str;
    /// Counted up when input or output change incompatibly.
    const VERSION: u32 = 1;
    /// What stands under `with`; refuses unknown fields.
    type Input: DeserializeOwned + JsonSchema + Send + Sync;
    /// What later steps may reference.
    type Output: Serialize + DeserializeOwned + JsonSchema + Send + Sync;

    /// Rules that the input type does not express. Pure.
    fn validate(_input: &Self::Input) -> Result<(), Vec<InputProblem>> {
        Ok(())
    }

    /// What the step will touch. Pure.
    fn footprint(input: &Self::Input) -> Footprint;

    /// Outputs as a plan assumes them.
    fn example() -> Self::Output;

    /// Looks, read-only, for the completion mark of the attempt in `ctx`.
    fn observe(
        input: &Self::Input,
        ctx: &StepContext,
    ) -> impl Future<Output = Result<Observation<Self::Output>, StepError>> + Send;

    /// Does it.
    fn run(
        input: &Self::Input,
        ctx: &StepContext,
    ) -> impl Future<Output = Result<Self::Output, StepError>> + Send;
}
