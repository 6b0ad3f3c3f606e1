//! `drill`: the same plan with other parameters, and with some steps replaced or left out.

use indexmap::IndexMap;

use super::declare::{self, Broken, Declared, Named};
use super::fields::{Fields, Keys};
use super::param;
use super::step::{self, Spanned, Step};
use super::{Inclusion, Runbook};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, SourceSpan};
use crate::plan::{Aws, Connection, LeftOut, Store};
use crate::suggest;

pub(crate) const DRILL: Keys = Keys {
    what: "`drill`",
    known: &["params", "replace", "skip", "connections", "stores"],
    later: &[],
};

/// A drill as it is written.
#[derive(Debug, Clone)]
pub(super) struct Drill {
    params: IndexMap<String, Given>,
    replace: Vec<(Spanned, Option<Step>)>,
    skip: Vec<Spanned>,
    connections: Named<Connection>,
    stores: Named<Store>,
}

#[derive(Debug, Clone)]
struct Given {
    key_span: SourceSpan,
    node: Node,
}

/// Reads `drill`.
pub(super) fn read(
    fields: &Fields<'_>,
    aws: Option<&Declared<Aws>>,
    broken: &mut Broken,
    problems: &mut Vec<Diagnostic>,
) -> Option<Drill> {
    let base = step::base_retry(fields);
    let node = fields.get("drill")?;
    let fields = Fields::new(node, &DRILL, problems);
    let replace = fields.mapping("replace", problems).into_iter().map(|(id, entry)| {
        let id = Spanned { text: id.clone(), span: entry.key_span.clone() };
        let step = step::read_replacement(&entry.node, &id, &base, problems);
        (id, step)
    });
    let replace = replace.collect();
    let given = |(name, entry): (&String, &crate::node::Entry)| {
        let (key_span, node) = (entry.key_span.clone(), entry.node.clone());
        (name.clone(), Given { key_span, node })
    };
    let params = fields.mapping("params", problems).into_iter().map(given).collect();
    Some(Drill {
        params,
        replace,
        skip: fields.texts("skip", problems).unwrap_or_default(),
        connections: declare::connections(&fields, broken, problems),
        stores: declare::stores(&fields, aws, broken, problems),
    })
}

impl Drill {
    /// The steps that stand in for others.
    pub(super) fn replacements(&mut self) -> impl Iterator<Item = &mut Step> {
        self.replace.iter_mut().filter_map(|(_, step)| step.as_mut())
    }

    /// Reports what it names that is not there, and values that do not fit.
    pub(super) fn check(&self, runbook: &Runbook, problems: &mut Vec<Diagnostic>) {
        for (name, given) in &self.params {
            problems.extend(value(runbook, name, given).err());
        }
        for id in self.replace.iter().map(|(id, _)| id).chain(&self.skip) {
            if !has_step(runbook, &path_of(id)) {
                let message = format!("`drill` names `{}`, which is no step", id.text);
                let help = suggest::one_of(&id.text, &runbook.step_ids());
                problems.push(Diagnostic::error(code::DRILL, id.span.clone(), message).help(help));
            }
        }
        let replaced = |id: &&Spanned| self.replace.iter().find(|(one, _)| one.text == id.text);
        for (id, (first, _)) in self.skip.iter().filter_map(|id| Some((id, replaced(&id)?))) {
            let message = format!("`{}` is both replaced and skipped", id.text);
            problems.push(
                Diagnostic::error(code::DRILL, id.span.clone(), message)
                    .also(first.span.clone(), "replaced here")
                    .help("do one of both"),
            );
        }
        undeclared("connection", &self.connections, &runbook.connections, problems);
        undeclared("store", &self.stores, &runbook.stores, problems);
    }

    /// Makes the runbook the one of the drill.
    pub(super) fn apply(&self, runbook: &mut Runbook) {
        for (name, given) in &self.params {
            let value = value(runbook, name, given).ok();
            if let (Some(declared), Some(value)) = (runbook.params.get_mut(name), value) {
                declared.value.settle(value);
            }
        }
        for (id, step) in &self.replace {
            if let Some(step) = step {
                put(runbook, &path_of(id), step);
            }
        }
        for id in &self.skip {
            leave_out(runbook, &path_of(id));
        }
        take_over(&self.connections, &mut runbook.connections);
        take_over(&self.stores, &mut runbook.stores);
    }
}

/// The value of a parameter in the form that plans have.
fn value(runbook: &Runbook, name: &str, given: &Given) -> Result<serde_json::Value, Diagnostic> {
    param::value_of(&runbook.params, name, &given.key_span, &given.node)
}

fn path_of(id: &Spanned) -> Vec<&str> {
    id.text.split('.').collect()
}

fn undeclared<T>(word: &str, given: &Named<T>, known: &Named<T>, problems: &mut Vec<Diagnostic>) {
    for (name, one) in given.iter().filter(|(name, _)| !known.contains_key(*name)) {
        let names: Vec<_> = known.keys().collect();
        let message = format!("`drill` changes the {word} `{name}`, which is not declared");
        let problem = Diagnostic::error(code::DRILL, one.key_span.clone(), message);
        problems.push(problem.help(suggest::one_of(name, &names)));
    }
}

fn take_over<T: Clone>(given: &Named<T>, known: &mut Named<T>) {
    for (name, one) in given {
        if let Some(old) = known.get_mut(name) {
            *old = one.clone();
        }
    }
}

/// The place of the step that the first part of a path names, and the rest of the path.
fn first<'p, 'i>(runbook: &Runbook, path: &'p [&'i str]) -> Option<(usize, &'p [&'i str])> {
    let (id, rest) = path.split_first()?;
    Some((runbook.steps.iter().position(|step| step.id.text == *id)?, rest))
}

fn has_step(runbook: &Runbook, path: &[&str]) -> bool {
    match first(runbook, path) {
        None => false,
        Some((_, [])) => true,
        Some((at, rest)) => {
            runbook.inclusions.get(&at).is_some_and(|one| has_step(&one.runbook, rest))
        }
    }
}

fn put(runbook: &mut Runbook, path: &[&str], by: &Step) {
    match first(runbook, path) {
        None => {}
        Some((at, [])) => {
            runbook.inclusions.remove(&at);
            runbook.steps[at].replace(by);
        }
        Some((at, rest)) => {
            if let Some(Inclusion { runbook, .. }) = runbook.inclusions.get_mut(&at) {
                put(runbook, rest, by);
            }
        }
    }
}

fn leave_out(runbook: &mut Runbook, path: &[&str]) {
    match first(runbook, path) {
        None => {}
        Some((at, [])) => {
            runbook.steps[at].left_out = Some(LeftOut::Drill);
            if let Some(Inclusion { runbook, .. }) = runbook.inclusions.get_mut(&at) {
                leave_all_out(runbook);
            }
        }
        Some((at, rest)) => {
            if let Some(Inclusion { runbook, .. }) = runbook.inclusions.get_mut(&at) {
                leave_out(runbook, rest);
            }
        }
    }
}

fn leave_all_out(runbook: &mut Runbook) {
    runbook.steps.iter_mut().for_each(|step| step.left_out = Some(LeftOut::Drill));
    runbook.inclusions.values_mut().for_each(|one| leave_all_out(&mut one.runbook));
}

impl Step {
    /// Puts another step into its place: id, `needs`, `if` and what it is measured by stay.
    fn replace(&mut self, by: &Self) {
        let Self { id, needs, condition, restores_service, milestone, ungraceful, .. } =
            self.clone();
        *self = Self {
            name: by.name.clone().or(self.name.take()),
            phase: by.phase.clone().or(self.phase.take()),
            foreach: self.foreach.take(),
            continue_on_failure: by.continue_on_failure || self.continue_on_failure,
            id,
            needs,
            condition,
            restores_service,
            milestone,
            ungraceful,
            replaced: true,
            ..by.clone()
        };
    }
}
