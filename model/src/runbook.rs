//! A runbook: read from text, checked against the step kinds, bound to parameters.

mod check;
mod declare;
mod facts;
mod fields;
mod input;
mod names;
mod order;
mod outputs;
mod param;
mod scope;
mod step;
mod trial;

use indexmap::IndexMap;
use serde_json::Value;

use crate::catalog::Catalog;
use crate::diagnostic::{self, Diagnostic};
use crate::document;
use crate::plan::{MAX_PARALLEL, Objectives, Plan, Retry, Source};
use crate::units::Span;

use declare::{Broken, Declared, Named};
pub(crate) use declare::{CONNECTION, DEFAULTS, OBJECTIVES, RUNBOOK, SECRET, STORE};
pub(crate) use fields::Keys;
pub(crate) use param::PARAM;
pub use param::{Param, ParamType};
pub(crate) use step::STEP;
use step::Step;

/// A runbook without errors, its parameters not yet bound.
#[derive(Debug)]
pub struct Runbook {
    text: String,
    header: Header,
    params: Named<Param>,
    secrets: Named<crate::plan::SecretSource>,
    vars: Named<()>,
    connections: Named<crate::plan::Connection>,
    stores: Named<crate::plan::Store>,
    steps: Vec<Step>,
    broken: Broken,
}

/// What stands above the steps and is not looked up by name.
#[derive(Debug, Default)]
struct Header {
    name: String,
    description: Option<String>,
    owner: Option<String>,
    labels: IndexMap<String, String>,
    objectives: Objectives,
    retry: Retry,
    stall_timeout: Option<Span>,
    max_parallel: Option<usize>,
}

/// A text that was read, and everything there is to say about it.
#[derive(Debug)]
pub struct Checked {
    /// The runbook, when there is no error among the problems.
    pub runbook: Option<Runbook>,
    /// Errors and warnings, in the order of the text.
    pub problems: Vec<Diagnostic>,
}

impl Runbook {
    /// Reads a runbook and checks all that can be known without its parameters: required ones
    /// stand for any value of their type.
    pub fn check(text: &str, catalog: &dyn Catalog) -> Checked {
        let mut problems = Vec::new();
        let runbook = match document::parse(text) {
            Ok(root) => Some(declare::runbook(text, &root, &mut problems)),
            Err(found) => {
                problems = found;
                None
            }
        };
        if let Some(runbook) = &runbook {
            let bound = param::samples(&runbook.params);
            check::examine(runbook, &bound, catalog, &mut problems);
        }
        diagnostic::sort(&mut problems);
        let runbook = runbook.filter(|_| !problems.iter().any(Diagnostic::is_error));
        Checked { runbook, problems }
    }

    /// Binds the parameters and makes the plan. `given` holds text as the command line has it,
    /// or JSON values of a parameter's type; the errors are about the parameters, and about
    /// what does not hold with these values.
    pub fn plan(
        &self,
        catalog: &dyn Catalog,
        given: &IndexMap<String, Value>,
        source: Source,
    ) -> Result<Plan, Vec<Diagnostic>> {
        let bound = param::bind(&self.params, given)?;
        let mut problems = Vec::new();
        let steps = check::examine(self, &bound, catalog, &mut problems);
        problems.retain(Diagnostic::is_error);
        diagnostic::sort(&mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let header = &self.header;
        Ok(Plan {
            description: header.description.clone(),
            owner: header.owner.clone(),
            labels: header.labels.clone(),
            source,
            objectives: header.objectives.clone(),
            params: bound.values,
            vars: json_of(&self.vars),
            secrets: values_of(&self.secrets),
            connections: values_of(&self.connections),
            stores: values_of(&self.stores),
            max_parallel: header.max_parallel.unwrap_or(MAX_PARALLEL),
            ..Plan::new(header.name.clone(), steps)
        })
    }

    /// The runbook's name.
    pub fn name(&self) -> &str {
        &self.header.name
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its parameters, in the order of the text.
    pub fn params(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.params.iter().map(|(name, param)| (name.as_str(), &param.value))
    }

    /// How many steps it has.
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }
}

fn values_of<T: Clone>(declared: &Named<T>) -> IndexMap<String, T> {
    declared.iter().map(|(name, one)| (name.clone(), one.value.clone())).collect()
}

fn json_of(declared: &IndexMap<String, Declared<()>>) -> IndexMap<String, Value> {
    declared.iter().map(|(name, one)| (name.clone(), one.node.to_json())).collect()
}
