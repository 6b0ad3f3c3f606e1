//! The object-safe twin of [`Step`], made for every step type by one blanket implementation.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use model::catalog::{Catalog, InputRefusal, StepKind};
use model::footprint::Footprint;
use model::node::Node;
use model::node_de;
use model::step_error::StepError;
use schemars::{Schema, schema_for};
use serde_json::Value;

use crate::context::StepContext;
use crate::step::{Observation, Step};

/// A future that a step kind hands to the driver.
pub type StepFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StepError>> + Send + 'a>>;

/// A step kind that can be run without naming its types.
pub trait DynStep: StepKind {
    /// [`Step::observe`] on a rendered input.
    fn observe<'a>(
        &'a self,
        with: &'a Node,
        ctx: &'a StepContext,
    ) -> StepFuture<'a, Observation<Value>>;
    /// [`Step::run`] on a rendered input; does nothing when the step is cancelled already.
    fn run<'a>(&'a self, with: &'a Node, ctx: &'a StepContext) -> StepFuture<'a, Value>;
    /// The same value as the pure half.
    fn as_kind(&self) -> &dyn StepKind;
}

/// A step type as a value: the entry of a registry.
pub struct Typed<S>(PhantomData<S>);

impl<S> Typed<S> {
    /// The entry of `S`.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<S> Default for Typed<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Step> StepKind for Typed<S> {
    fn kind(&self) -> &'static str {
        S::KIND
    }

    fn summary(&self) -> &'static str {
        S::SUMMARY
    }

    fn manual(&self) -> String {
        let schema = schema_for!(S::Input);
        schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn version(&self) -> u32 {
        S::VERSION
    }

    fn input_schema(&self) -> Schema {
        schema_for!(S::Input)
    }

    fn output_schema(&self) -> Schema {
        schema_for!(S::Output)
    }

    fn example(&self) -> Value {
        serde_json::to_value(S::example()).expect("an example output is plain data")
    }

    fn check(&self, with: &Node) -> Result<Footprint, InputRefusal> {
        let input: S::Input = node_de::read(with).map_err(InputRefusal::Shape)?;
        S::validate(&input).map_err(InputRefusal::Rules)?;
        Ok(S::footprint(&input))
    }
}

/// The input of a step as its type; refused input was caught by `validate`, so a refusal here
/// comes from a value that only the run knew.
fn input<S: Step>(with: &Node) -> Result<S::Input, StepError> {
    let refused = |message: String| {
        StepError::permanent(
            "RB0401",
            format!("the input of `{}` is not valid: {message}", S::KIND),
        )
    };
    let input: S::Input = node_de::read(with).map_err(|error| refused(error.to_string()))?;
    let problems = S::validate(&input).err().unwrap_or_default();
    match problems.first() {
        Some(problem) => Err(refused(problem.message.clone())),
        None => Ok(input),
    }
}

fn output<S: Step>(output: &S::Output) -> Value {
    serde_json::to_value(output).expect("an output is plain data")
}

impl<S: Step> DynStep for Typed<S> {
    fn observe<'a>(
        &'a self,
        with: &'a Node,
        ctx: &'a StepContext,
    ) -> StepFuture<'a, Observation<Value>> {
        Box::pin(async move {
            let seen = S::observe(&input::<S>(with)?, ctx).await?;
            Ok(seen.map(|done| output::<S>(&done)))
        })
    }

    fn run<'a>(&'a self, with: &'a Node, ctx: &'a StepContext) -> StepFuture<'a, Value> {
        Box::pin(async move {
            if ctx.cancel().is_cancelled() {
                return Err(StepError::cancelled());
            }
            Ok(output::<S>(&S::run(&input::<S>(with)?, ctx).await?))
        })
    }

    fn as_kind(&self) -> &dyn StepKind {
        self
    }
}

/// The registered step kinds: one const slice, searched by name.
#[derive(Clone, Copy)]
pub struct Registry(pub &'static [&'static dyn DynStep]);

impl Registry {
    /// The kind of that name, ready to run.
    pub fn step(&self, kind: &str) -> Option<&'static dyn DynStep> {
        self.0.iter().copied().find(|step| step.kind() == kind)
    }
}

impl Catalog for Registry {
    fn get(&self, kind: &str) -> Option<&dyn StepKind> {
        self.step(kind).map(DynStep::as_kind)
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.0.iter().map(|step| step.kind()).collect()
    }
}
