//! The names that templates read: do they exist?

use std::collections::{HashMap, HashSet};

use super::Runbook;
use super::declare::Named;
use super::facts::{Facts, Step as Followed, follow};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::SourceSpan;
use crate::suggest;
use crate::template::{FUNCTIONS, Reference, position};

/// What `run` holds.
pub(super) const RUN: [&str; 6] = ["id", "name", "mode", "stamp", "started_at", "failed_step"];

/// Where a template stands decides what it may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A var: what stands above it.
    Var(&'a str),
    /// A connection or a store: no steps.
    Target,
    /// `with` of a step, in a field that may hold secrets.
    SecretField,
    /// `with` of a step.
    Field,
    /// `if` of a step.
    Condition,
}

/// The names of a runbook, and which of them were used.
pub(super) struct Names<'a> {
    pub(super) runbook: &'a Runbook,
    pub(super) steps: HashMap<&'a str, usize>,
    pub(super) facts: Facts<'a>,
    used: HashSet<(&'static str, String)>,
}

impl<'a> Names<'a> {
    pub(super) fn new(runbook: &'a Runbook, facts: Facts<'a>) -> Self {
        let ids = runbook.steps.iter().enumerate();
        let steps = ids.rev().map(|(index, step)| (step.id.text.as_str(), index)).collect();
        Self { runbook, steps, facts, used: HashSet::new() }
    }

    /// Notes that something is used.
    pub(super) fn mark(&mut self, sort: &'static str, name: &str) {
        if !self.used.contains(&(sort, name.to_owned())) {
            self.used.insert((sort, name.to_owned()));
        }
    }

    pub(super) fn is_used(&self, sort: &'static str, name: &str) -> bool {
        self.used.contains(&(sort, name.to_owned()))
    }

    /// Checks one name that the text at `span` reads.
    pub(super) fn check(
        &mut self,
        reference: &Reference,
        span: &SourceSpan,
        place: Place<'_>,
    ) -> Result<(), Box<Diagnostic>> {
        let at = self.place_of(reference, span);
        let name = reference.path.first().map(String::as_str);
        if name.is_some_and(|name| self.runbook.is_broken(&reference.root, name)) {
            return Ok(());
        }
        match (reference.root.as_str(), name) {
            ("params", Some(name)) => {
                self.mark("params", name);
                known_name("parameter", name, &self.runbook.params, at)
            }
            ("vars", Some(name)) => self.var(name, at, place),
            ("run", Some(name)) if RUN.contains(&name) => Ok(()),
            ("run", Some(name)) => Err(unknown("field of `run`", name, &RUN, at)),
            ("secrets", Some(name)) => self.secret(name, at, place),
            ("steps", Some(name)) => self.step(name, reference, at, place),
            (root @ ("params" | "vars" | "run" | "secrets" | "steps"), None) => {
                let message = format!("`{root}` must be followed by a dot and a name");
                Err(Box::new(Diagnostic::error(code::UNDEFINED, at, message)))
            }
            (root, _) => {
                let mut roots = vec!["params", "vars", "run", "secrets", "steps"];
                if place == Place::Condition {
                    roots.extend(FUNCTIONS);
                }
                let message = format!("`{root}` is undefined");
                let problem = Diagnostic::error(code::UNDEFINED, at, message);
                Err(Box::new(problem.help(suggest::one_of(root, &roots))))
            }
        }
    }

    /// The name's own place when the source has it in one piece.
    fn place_of(&self, reference: &Reference, span: &SourceSpan) -> SourceSpan {
        let dotted = reference.dotted();
        let source = self.runbook.text.get(span.clone()).unwrap_or_default();
        position(source, &dotted).map_or_else(
            || span.clone(),
            |start| span.start + start..span.start + start + dotted.len(),
        )
    }

    fn var(&mut self, name: &str, at: SourceSpan, place: Place<'_>) -> Result<(), Box<Diagnostic>> {
        self.mark("vars", name);
        let vars = &self.runbook.vars;
        known_name("var", name, vars, at.clone())?;
        let Place::Var(reader) = place else { return Ok(()) };
        if vars.get_index_of(name) < vars.get_index_of(reader) {
            return Ok(());
        }
        let message = format!("`{reader}` reads `{name}`, which does not stand above it");
        Err(Box::new(
            Diagnostic::error(code::UNDEFINED, at, message)
                .why("vars are made in the order of the text, so that none can read itself")
                .help(format!("move `{name}` above `{reader}`")),
        ))
    }

    fn secret(
        &mut self,
        name: &str,
        at: SourceSpan,
        place: Place<'_>,
    ) -> Result<(), Box<Diagnostic>> {
        self.mark("secrets", name);
        known_name("secret", name, &self.runbook.secrets, at.clone())?;
        if matches!(place, Place::Target | Place::SecretField) {
            return Ok(());
        }
        let message = format!("the secret `{name}` may not stand here");
        Err(Box::new(
            Diagnostic::error(code::SECRET_PLACE, at, message)
                .why("its value would reach the journal, a log or the terminal")
                .help("secrets go into connections, stores, `env`, and fields made for secrets"),
        ))
    }

    fn step(
        &self,
        id: &str,
        reference: &Reference,
        at: SourceSpan,
        place: Place<'_>,
    ) -> Result<(), Box<Diagnostic>> {
        if matches!(place, Place::Var(_) | Place::Target) {
            let problem = Diagnostic::error(code::UNDEFINED, at, "`steps` cannot be read here");
            let why = "vars, connections and stores are settled before the first step";
            return Err(Box::new(problem.why(why)));
        }
        if !self.steps.contains_key(id) {
            let steps = self.runbook.steps.iter();
            let known: Vec<_> = steps.map(|step| step.id.text.as_str()).collect();
            return Err(unknown("step", id, &known, at));
        }
        match reference.path.get(1).map(String::as_str) {
            Some("outputs") => self.output(id, &reference.path[2..], at),
            Some("status") => Ok(()),
            other => {
                let message = match other {
                    Some(other) => format!("a step has no `{other}`"),
                    None => format!("`steps.{id}` is no value by itself"),
                };
                let problem = Diagnostic::error(code::UNDEFINED, at, message);
                Err(Box::new(problem.help(format!("write `steps.{id}.outputs.<name>`"))))
            }
        }
    }

    fn output(&self, id: &str, path: &[String], at: SourceSpan) -> Result<(), Box<Diagnostic>> {
        let uses = &self.runbook.steps[self.steps[id]].uses.text;
        let Some(facts) = self.facts.get(uses) else { return Ok(()) };
        let Followed::NoSuchKey(known) = follow(&facts.output, path) else { return Ok(()) };
        let written = path.join(".");
        let last = path.last().map_or("", String::as_str);
        let message = format!("`{uses}` has no output `{written}`");
        let problem = Diagnostic::error(code::UNKNOWN_OUTPUT, at, message);
        Err(Box::new(problem.help(suggest::one_of(last, &known))))
    }
}

impl Runbook {
    /// The name is declared, and its declaration does not read.
    pub(super) fn is_broken(&self, sort: &str, name: &str) -> bool {
        self.broken.iter().any(|(of, broken)| *of == sort && broken == name)
    }
}

fn known_name<T>(
    sort: &str,
    name: &str,
    known: &Named<T>,
    at: SourceSpan,
) -> Result<(), Box<Diagnostic>> {
    if known.contains_key(name) {
        return Ok(());
    }
    let known: Vec<_> = known.keys().map(String::as_str).collect();
    Err(unknown(sort, name, &known, at))
}

/// An undefined name, with the one that was meant.
pub(super) fn unknown(sort: &str, name: &str, known: &[&str], at: SourceSpan) -> Box<Diagnostic> {
    let message = format!("unknown {sort} `{name}`");
    let problem = Diagnostic::error(code::UNDEFINED, at, message);
    Box::new(problem.help(suggest::one_of(name, known)))
}
