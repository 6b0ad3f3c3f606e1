//! A runbook: read from text, checked against the step kinds, bound to parameters.

mod check;
mod conduct;
mod declare;
mod drill;
mod expand;
mod facts;
mod fields;
mod foreach;
mod handlers;
mod include;
mod inherit;
mod input;
mod load;
mod milestone;
mod moment;
mod names;
mod order;
mod outputs;
mod param;
mod region;
mod safety;
mod schedule;
mod scope;
mod sealing;
mod source;
mod step;
mod store;
mod trial;
mod ungraceful;
mod variant;

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::Value;

use crate::catalog::Catalog;
use crate::diagnostic::{self, Diagnostic, IncludedText, SourceText};
use crate::document;
use crate::node::SourceSpan;
use crate::plan::{Included, MAX_PARALLEL, Objectives, Plan, Retry, Rollback, Source};
use crate::sources::{NoSources, Sources};
use crate::units::Span;

use conduct::Conduct;
pub(crate) use conduct::{CONCURRENCY, CONTACT, REVIEW};
use declare::{Broken, Declared, Named};
pub(crate) use declare::{CONNECTION, DEFAULTS, OBJECTIVES, RUNBOOK, SECRET};
pub(crate) use drill::DRILL;
use drill::Drill;
use expand::{Expansion, Part};
pub(crate) use fields::Keys;
pub(crate) use foreach::FOREACH;
pub(crate) use handlers::HANDLERS;
use handlers::Told;
pub use include::INCLUDE_KIND;
pub(crate) use param::PARAM;
pub use param::{Param, ParamType};
pub(crate) use schedule::SCHEDULE;
use step::Step;
pub(crate) use step::{CONTINUE_ON, HANDLER_STEP, MILESTONE, REPLACEMENT, STEP, UNDO};
pub(crate) use store::{AWS, STORE};
pub(crate) use ungraceful::UNGRACEFUL;
pub use variant::Variant;

/// A runbook without errors, its parameters not yet bound.
#[derive(Debug, Clone)]
pub struct Runbook {
    text: String,
    /// The place of the text's first byte; those of included runbooks stand behind others.
    base: usize,
    /// How the file is shown; empty for the runbook itself.
    file: String,
    /// The runbooks it includes, by the place of the step.
    inclusions: HashMap<usize, Inclusion>,
    header: Header,
    params: Named<Param>,
    secrets: Named<crate::plan::SecretSource>,
    vars: Named<()>,
    connections: Named<crate::plan::Connection>,
    stores: Named<crate::plan::Store>,
    steps: Vec<Step>,
    handlers: Vec<Told>,
    drill: Option<Drill>,
    conduct: Conduct,
    aws: Option<Declared<crate::plan::Aws>>,
    broken: Broken,
}

/// A runbook that a step includes.
#[derive(Debug, Clone)]
struct Inclusion {
    sha256: String,
    runbook: Runbook,
}

/// What stands above the steps and is not looked up by name.
#[derive(Debug, Clone, Default)]
struct Header {
    name: String,
    description: Option<String>,
    owner: Option<String>,
    labels: IndexMap<String, String>,
    objectives: Objectives,
    rto_span: Option<SourceSpan>,
    retry: Retry,
    stall_timeout: Option<Span>,
    max_parallel: Option<usize>,
    rollback: Rollback,
    rollback_span: Option<SourceSpan>,
}

/// A text that was read, and everything there is to say about it.
#[derive(Debug)]
pub struct Checked {
    /// The runbook, when there is no error among the problems.
    pub runbook: Option<Runbook>,
    /// Errors and warnings, in the order of the text.
    pub problems: Vec<Diagnostic>,
    /// The texts of the runbooks it includes, which problems may point into.
    pub included: Vec<IncludedText>,
}

impl Checked {
    /// What its problems point into.
    pub fn source<'a>(&'a self, file: &'a str, text: &'a str) -> SourceText<'a> {
        SourceText::new(file, text).with(&self.included)
    }
}

impl Runbook {
    /// Reads a runbook that includes no others; see [`Runbook::check_with`].
    pub fn check(text: &str, catalog: &dyn Catalog) -> Checked {
        Self::check_with(text, catalog, &NoSources)
    }

    /// Reads a runbook with those it includes, and checks all that can be known without its
    /// parameters: required ones stand for any value of their type.
    pub fn check_with(text: &str, catalog: &dyn Catalog, sources: &dyn Sources) -> Checked {
        let (mut problems, mut included) = (Vec::new(), Vec::new());
        let mut runbook = match document::parse(text) {
            Ok(root) => Some((declare::runbook(text, &root, &mut problems), root)),
            Err(found) => {
                problems = found;
                None
            }
        };
        if let Some((runbook, root)) = &mut runbook {
            let (texts, found) = load::Loading::new(sources, text, root).load(runbook);
            included = texts;
            problems.extend(found);
            inherit::apply(runbook, catalog);
            runbook.check_variants(catalog, &mut problems);
        }
        diagnostic::sort(&mut problems);
        let runbook = runbook.filter(|_| !problems.iter().any(Diagnostic::is_error));
        let runbook = runbook.map(|(runbook, _)| runbook);
        Checked { runbook, problems, included }
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
        let expansion = Expansion::new(self, bound, &mut problems);
        let examined = check::examine(&expansion, catalog, &mut problems);
        problems.retain(Diagnostic::is_error);
        diagnostic::sort(&mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let all = expansion.steps.len();
        assert_eq!(examined.steps.len(), all, "a step without a problem is planned");
        let (header, conduct) = (&self.header, &self.conduct);
        let parts = &expansion.parts;
        Ok(Plan {
            description: header.description.clone(),
            owner: header.owner.clone(),
            labels: header.labels.clone(),
            source,
            objectives: header.objectives.clone(),
            params: parts[0].bound.values.clone(),
            vars: json_of(&self.vars),
            secrets: joined(parts, |runbook| &runbook.secrets),
            connections: joined(parts, |runbook| &runbook.connections),
            stores: joined(parts, |runbook| &runbook.stores),
            max_parallel: header.max_parallel.unwrap_or(MAX_PARALLEL),
            concurrency: examined.concurrency,
            rollback: header.rollback,
            contacts: conduct.contacts.clone(),
            review: conduct.review.clone(),
            allowed_regions: conduct.allowed_regions.clone(),
            schedule: conduct.schedule.iter().map(|one| one.schedule.clone()).collect(),
            groups: expansion.groups(),
            included: parts.iter().filter_map(|part| part.included(parts)).collect(),
            ..Plan::new(header.name.clone(), examined.steps)
        })
    }

    /// Reads parameters from a text of their own, a mapping in YAML or JSON. Places of problems are
    /// those in that text.
    pub fn read_params(&self, text: &str) -> Result<IndexMap<String, Value>, Vec<Diagnostic>> {
        param::read_all(&self.params, &document::parse(text)?)
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

/// What all parts declare, under the names it has in the plan.
fn joined<T: Clone>(parts: &[Part<'_>], of: impl Fn(&Runbook) -> &Named<T>) -> IndexMap<String, T> {
    let named = |part: &Part<'_>| -> Vec<(String, T)> {
        let all = of(part.runbook).iter();
        all.map(|(name, one)| (part.id_of(name), one.value.clone())).collect()
    };
    parts.iter().flat_map(named).collect()
}

impl Part<'_> {
    /// What the plan says of an included runbook.
    fn included(&self, parts: &[Part<'_>]) -> Option<(String, Included)> {
        let (outer, place) = self.outer?;
        let sha256 = parts[outer].runbook.inclusions.get(&place)?.sha256.clone();
        let included = Included {
            source: Source { file: self.runbook.file.clone(), sha256 },
            params: self.bound.values.clone(),
            vars: json_of(&self.runbook.vars),
        };
        Some((self.prefix.clone()?, included))
    }
}

fn json_of(declared: &IndexMap<String, Declared<()>>) -> IndexMap<String, Value> {
    declared.iter().map(|(name, one)| (name.clone(), one.node.to_json())).collect()
}
