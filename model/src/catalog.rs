//! What the language needs to know of the step kinds, without being able to run one.

use crate::footprint::Footprint;
use crate::node::Node;

/// One problem in a step's `with`, found by the step's own input type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputProblem {
    /// Where inside `with`, outermost key first; a list index is its number in decimal.
    pub path: Vec<String>,
    /// What is wrong: lower-case, no full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl InputProblem {
    /// A problem at a top-level key of `with`.
    pub fn at(key: &str, message: impl Into<String>) -> Self {
        Self { path: vec![key.to_owned()], message: message.into(), help: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Why a step's `with` was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum InputRefusal {
    /// It does not have the shape of the input type; the error carries its node's span.
    Shape(crate::node::NodeError),
    /// It has the shape, and breaks rules of the step.
    Rules(Vec<InputProblem>),
}

/// The pure half of a step kind.
pub trait StepKind: Send + Sync {
    /// The kind's name: `pg.dump`.
    fn kind(&self) -> &'static str;
    /// One line on what it does.
    fn summary(&self) -> &'static str;
    /// The documentation in Markdown, with the fixed headings.
    fn manual(&self) -> String;
    /// The version of the kind's input and output.
    fn version(&self) -> u32;
    /// JSON Schema of `with`.
    fn input_schema(&self) -> schemars::Schema;
    /// JSON Schema of the outputs that later steps may reference.
    fn output_schema(&self) -> schemars::Schema;
    /// Outputs as a plan assumes them.
    fn example(&self) -> serde_json::Value;
    /// Checks `with` (templates already filled with values of the right type) and tells what
    /// the step would touch.
    fn check(&self, with: &Node) -> Result<Footprint, InputRefusal>;
}

/// The registered step kinds.
pub trait Catalog: Sync {
    /// The kind of that name.
    fn get(&self, kind: &str) -> Option<&dyn StepKind>;
    /// Every kind's name, in the order of the documentation.
    fn kinds(&self) -> Vec<&'static str>;
}
