//! Checks a runbook as a whole and makes the steps of its plan.

use std::collections::BTreeMap;

use indexmap::IndexSet;

use super::Runbook;
use super::declare::Named;
use super::facts::facts;
use super::input::{Filling, Input};
use super::names::{Names, Place};
use super::order::{Order, report_cycle, written};
use super::outputs::{evaluated, may_be_skipped, outputs_are_known, skipped};
use super::param::Bound;
use super::scope::{Scope, parsed};
use super::step::{Spanned, Step};
use super::trial::{Trial, place_of, trial};
use crate::catalog::Catalog;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::effect::Repeat;
use crate::footprint::Footprint;
use crate::ids::StepId;
use crate::node::{Node, NodeValue, SourceSpan};
use crate::plan::{PlanStep, Retry, Role};
use crate::suggest;
use crate::template::{self, Condition, Results};

/// Checks everything with these parameters. The steps are complete when there is no error.
pub(super) fn examine(
    runbook: &Runbook,
    bound: &Bound,
    catalog: &dyn Catalog,
    problems: &mut Vec<Diagnostic>,
) -> Vec<PlanStep> {
    let kinds = runbook.steps.iter().map(|step| step.uses.text.clone());
    let mut names = Names::new(runbook, facts(catalog, kinds));
    let scope = Scope::new(&mut names, bound, problems);
    let target_secrets = targets(&mut names, problems);
    let mut examining = Examining { names, scope, catalog, target_secrets, order: Vec::new() };
    let mut steps = Vec::new();
    let mut complete = true;
    for at in 0..runbook.steps.len() {
        match examining.step(at, problems) {
            Some(step) => steps.push(step),
            None => complete = false,
        }
    }
    report_cycle(&runbook.steps, &examining.order, problems);
    if complete && !problems.iter().any(Diagnostic::is_error) {
        examining.report_unused(problems);
    }
    steps
}

/// Secrets of each connection and store.
type TargetSecrets = BTreeMap<(&'static str, String), IndexSet<String>>;

struct Examining<'a> {
    names: Names<'a>,
    scope: Scope,
    catalog: &'a dyn Catalog,
    target_secrets: TargetSecrets,
    order: Order,
}

/// Checks the templates of connections and stores.
fn targets(names: &mut Names<'_>, problems: &mut Vec<Diagnostic>) -> TargetSecrets {
    let runbook = names.runbook;
    let mut secrets = TargetSecrets::new();
    let connections =
        runbook.connections.iter().map(|(name, one)| ("connections", name, &one.node));
    let stores = runbook.stores.iter().map(|(name, one)| ("stores", name, &one.node));
    for (sort, name, node) in connections.chain(stores) {
        let found = secrets.entry((sort, name.clone())).or_default();
        target(node, names, found, problems);
    }
    secrets
}

fn target(
    node: &Node,
    names: &mut Names<'_>,
    secrets: &mut IndexSet<String>,
    problems: &mut Vec<Diagnostic>,
) {
    let NodeValue::Map(entries) = &node.value else { return };
    for entry in entries.values() {
        let Some(text) = entry.node.text().filter(|text| template::is_template(text)) else {
            continue;
        };
        let found = parsed(text, &entry.node, names, Place::Target, problems);
        let references = found.map(|(_, references)| references).unwrap_or_default();
        let names = references.into_iter().filter(|one| one.root == "secrets");
        secrets.extend(names.filter_map(|one| one.path.into_iter().next()));
    }
}

impl Examining<'_> {
    /// Checks one step; its plan when nothing is wrong with it.
    fn step(&mut self, at: usize, problems: &mut Vec<Diagnostic>) -> Option<PlanStep> {
        let step = &self.names.runbook.steps[at];
        let mut after = written(&self.names, at, problems);
        let mut input = Filling {
            names: &mut self.names,
            scope: &self.scope,
            uses: &step.uses.text,
            problems,
            input: Input::new(&step.with),
        }
        .run(&step.with);
        if let Some(condition) = &step.condition {
            self.condition(condition, &mut input.steps, problems);
        }
        after.extend(&input.steps);
        self.order.push(after);
        let Some(facts) = self.names.facts.get(&step.uses.text) else {
            problems.push(unknown_kind(&step.uses, self.catalog));
            return None;
        };
        let (version, mut tried) = (facts.version, trial(step, &input, facts, problems));
        let footprint = tried.footprint.take()?;
        self.uses_of(step, &input, &tried, &footprint, problems);
        if !tried.sound {
            return None;
        }
        opaque_retry(step, &footprint, problems);
        Some(self.planned(at, &input, footprint, version))
    }

    fn condition(
        &mut self,
        condition: &Spanned,
        steps: &mut IndexSet<usize>,
        problems: &mut Vec<Diagnostic>,
    ) {
        let refused =
            |message: String| Diagnostic::error(code::CONDITION, condition.span.clone(), message);
        let parsed = match Condition::parse(&condition.text) {
            Ok(parsed) => parsed,
            Err(error) => return problems.push(refused(error.message)),
        };
        let (before, references) = (problems.len(), parsed.references());
        for reference in &references {
            let checked = self.names.check(reference, &condition.span, Place::Condition);
            problems.extend(checked.err().map(|problem| *problem));
        }
        for id in parsed.asked_steps() {
            match self.names.steps.get(id) {
                Some(at) => drop(steps.insert(*at)),
                None => problems.push(refused(format!("`{id}` is no step"))),
            }
        }
        if problems.len() > before {
            return;
        }
        let read = references.iter().filter(|one| one.root == "steps");
        steps.extend(read.filter_map(|one| self.names.steps.get(one.path.first()?.as_str())));
        if !outputs_are_known(&self.names, &references) {
            return;
        }
        let holds = |skip| {
            evaluated(&self.names, &self.scope, &references, skip, |scope| {
                parsed.holds_in(scope, &AllWell)
            })
        };
        let maybe = may_be_skipped(&self.names, &references);
        let missing = holds(true).is_err_and(|error| error.undefined);
        if let (Some(reference), true) = (maybe, missing) {
            return problems.push(skipped(reference, &condition.span));
        }
        if let Err(error) = holds(false)
            && !(self.scope.is_sampled(&references) && error.is_about_values())
        {
            problems.push(refused(error.message));
        }
    }

    /// Checks the connections and stores that the step uses.
    fn uses_of(
        &mut self,
        step: &Step,
        input: &Input,
        tried: &Trial,
        footprint: &Footprint,
        problems: &mut Vec<Diagnostic>,
    ) {
        let runbook = self.names.runbook;
        for used in footprint.connections.iter().filter(|used| !tried.is_stand_in(&used.name)) {
            self.names.mark("connections", &used.name);
            let span = place_of(&input.node, &used.name).unwrap_or(&step.with.span);
            match runbook.connections.get(&used.name) {
                _ if tried.later.contains(&used.name) => problems.push(later("connection", span)),
                None if input.is_sampled(span) => {}
                None if runbook.is_broken("connections", &used.name) => {}
                None => {
                    problems.push(undeclared("connection", &used.name, &runbook.connections, span));
                }
                Some(declared) if used.must_be_unprotected && declared.value.protected => {
                    problems.push(protected(&used.name, span, &declared.key_span));
                }
                Some(_) => {}
            }
        }
        for name in footprint.stores.iter().filter(|name| !tried.is_stand_in(name)) {
            self.names.mark("stores", name);
            let span = place_of(&input.node, name).unwrap_or(&step.with.span);
            let known = runbook.stores.contains_key(name) || runbook.is_broken("stores", name);
            if tried.later.contains(name) {
                problems.push(later("store", span));
            } else if !known && !input.is_sampled(span) {
                problems.push(undeclared("store", name, &runbook.stores, span));
            }
        }
    }

    fn planned(&self, at: usize, input: &Input, footprint: Footprint, version: u32) -> PlanStep {
        let (step, runbook) = (&self.names.runbook.steps[at], self.names.runbook);
        let id = |at: &usize| -> StepId {
            runbook.steps[*at].id.text.parse().expect("ids are checked when they are read")
        };
        let retry = step.retry.clone().unwrap_or_else(|| runbook.header.retry.clone());
        let limit = if footprint.repeat == Repeat::Opaque { 0 } else { retry.limit };
        PlanStep {
            id: id(&at),
            name: step.name.clone(),
            phase: step.phase.clone(),
            uses: step.uses.text.clone(),
            kind_version: version,
            with: step.with.to_json(),
            needs: self.order[at].iter().map(id).collect(),
            references: input.steps.iter().map(id).collect(),
            secrets: self.secrets(input, &footprint),
            condition: step.condition.as_ref().map(|condition| condition.text.clone()),
            retry: Retry { limit, ..retry },
            timeout: step.timeout,
            stall_timeout: step.stall_timeout.or(runbook.header.stall_timeout),
            deadline: step.deadline,
            restores_service: step.restores_service,
            role: Role::Main,
            left_out: None,
            continue_on_failure: false,
            slow_after: None,
            milestone: None,
            scope: None,
            item: None,
            footprint,
        }
    }

    /// The secrets of `with`, then those of the connections and stores.
    fn secrets(&self, input: &Input, footprint: &Footprint) -> Vec<String> {
        let mut all = input.secrets.clone();
        let connections = footprint.connections.iter().map(|used| ("connections", &used.name));
        let stores = footprint.stores.iter().map(|name| ("stores", name));
        for (sort, name) in connections.chain(stores) {
            all.extend(
                self.target_secrets.get(&(sort, name.clone())).into_iter().flatten().cloned(),
            );
        }
        all.into_iter().collect()
    }

    /// With errors around, a name may be unused because it is misspelt where it is used.
    fn report_unused(&self, problems: &mut Vec<Diagnostic>) {
        let runbook = self.names.runbook;
        self.unused("params", "parameter", &runbook.params, problems);
        self.unused("secrets", "secret", &runbook.secrets, problems);
        self.unused("vars", "var", &runbook.vars, problems);
        self.unused("connections", "connection", &runbook.connections, problems);
        self.unused("stores", "store", &runbook.stores, problems);
    }

    fn unused<T>(
        &self,
        sort: &'static str,
        word: &str,
        declared: &Named<T>,
        problems: &mut Vec<Diagnostic>,
    ) {
        for (name, one) in declared.iter().filter(|(name, _)| !self.names.is_used(sort, name)) {
            let message = format!("the {word} `{name}` is never used");
            problems.push(Diagnostic::warning(code::UNUSED, one.key_span.clone(), message));
        }
    }
}

/// Results for a check: nothing has failed.
struct AllWell;

impl Results for AllWell {
    fn succeeded(&self, _: Option<&str>) -> bool {
        true
    }

    fn failed(&self, _: Option<&str>) -> bool {
        false
    }
}

fn unknown_kind(uses: &Spanned, catalog: &dyn Catalog) -> Diagnostic {
    let kinds = catalog.kinds();
    let help = suggest::nearest(&uses.text, kinds.iter().copied()).map_or_else(
        || "`runbook steps` lists the kinds".to_owned(),
        |kind| format!("did you mean `{kind}`?"),
    );
    let message = format!("unknown step kind `{}`", uses.text);
    Diagnostic::error(code::UNKNOWN_KIND, uses.span.clone(), message).help(help)
}

/// The name of something that must be known before the run.
fn later(word: &str, span: &SourceSpan) -> Diagnostic {
    let code = if word == "store" { code::UNKNOWN_STORE } else { code::UNKNOWN_CONNECTION };
    Diagnostic::error(code, span.clone(), format!("the {word} is known only during the run"))
        .why("the plan says what a run will touch, so it must be known before")
        .help(format!("write the name of a {word}, or take it from a parameter"))
}

fn undeclared<T>(word: &str, name: &str, known: &Named<T>, span: &SourceSpan) -> Diagnostic {
    let code = if word == "store" { code::UNKNOWN_STORE } else { code::UNKNOWN_CONNECTION };
    let known: Vec<_> = known.keys().collect();
    let message = format!("unknown {word} `{name}`");
    Diagnostic::error(code, span.clone(), message).help(suggest::one_of(name, &known))
}

fn protected(name: &str, span: &SourceSpan, declared: &SourceSpan) -> Diagnostic {
    let message = format!("the protected connection `{name}` is used as scratch");
    Diagnostic::error(code::PROTECTED, span.clone(), message)
        .also(declared.clone(), format!("`{name}` is declared here"))
        .why("the step changes data there freely; connections are protected by default")
        .help("use a connection with `protected: false`")
}

fn opaque_retry(step: &Step, footprint: &Footprint, problems: &mut Vec<Diagnostic>) {
    let (Some(span), Repeat::Opaque) = (&step.retried_at, footprint.repeat) else { return };
    let message = format!("`{}` cannot be retried", step.id.text);
    problems.push(
        Diagnostic::error(code::OPAQUE_RETRY, span.clone(), message)
            .why("nothing can tell whether an attempt that did not end well took effect")
            .help("say `idempotent: true` if a second run does no harm, or give `observe: [argv]`"),
    );
}
