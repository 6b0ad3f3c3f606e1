//! The names that templates read: do they exist?

use std::collections::HashSet;

use super::Runbook;
use super::declare::Named;
use super::expand::{Expansion, Found, Instance, Loose, Part, Sort};
use super::facts::{Facts, Step as Followed, follow};
use super::foreach::Item;
use super::order::{Order, ancestors};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::SourceSpan;
use crate::plan::{Occasion, Role};
use crate::suggest;
use crate::template::{FUNCTIONS, Reference, position};

/// What `run` holds.
pub(super) const RUN: [&str; 8] =
    ["id", "name", "mode", "stamp", "started_at", "failed_step", "failed_reason", "status"];

/// What `run` holds besides in a `waiting` handler.
const WAITING: [&str; 2] = ["waiting_step", "waiting_reason"];

/// Where a template stands decides what it may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A var: what stands above it.
    Var(&'a str),
    /// A connection or a store: no steps.
    Target,
    /// Where a secret is read from: no steps, and no other secret.
    Source,
    /// `with` of a step, in a field that may hold secrets.
    SecretField,
    /// `with` of a step.
    Field,
    /// `if` of a step.
    Condition,
}

/// Something that was used: the place where its runbook's text begins, its sort, its name.
pub(super) type Used = (usize, &'static str, String);

/// The names of a runbook and of those it includes, and which of them were used.
pub(super) struct Names<'a> {
    /// The runbook whose names are read now.
    pub(super) runbook: &'a Runbook,
    pub(super) expansion: &'a Expansion<'a>,
    pub(super) facts: Facts<'a>,
    /// Which step of the plan runs after which.
    pub(super) order: Order,
    /// The step that reads, unless what is read stands outside the steps.
    reader: Option<usize>,
    part: usize,
    item: Option<&'a Item>,
    used: Vec<HashSet<(&'static str, String)>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(expansion: &'a Expansion<'a>, facts: Facts<'a>) -> Self {
        let read = |part: &Part<'_>| {
            part.read_params.iter().map(|name| ("params", name.clone())).collect()
        };
        let used = expansion.parts.iter().map(read).collect();
        let runbook = expansion.parts[0].runbook;
        let (order, reader) = (Order::new(), None);
        Self { runbook, expansion, facts, order, reader, part: 0, item: None, used }
    }

    /// Reads for a step of the plan from now on.
    pub(super) fn enter_step(&mut self, at: usize) {
        let one = &self.expansion.steps[at];
        self.enter(one.part, one.item.as_ref());
        self.reader = Some(at);
    }

    /// The step that reads.
    pub(super) fn reader(&self) -> Option<&'a Instance<'a>> {
        self.reader.map(|at| &self.expansion.steps[at])
    }

    /// Reads the names of a part from now on, and those of an item of a `foreach`.
    pub(super) fn enter(&mut self, part: usize, item: Option<&'a Item>) {
        (self.part, self.item, self.reader) = (part, item, None);
        self.runbook = self.expansion.parts[part].runbook;
    }

    /// The step that a reference reads.
    pub(super) fn step_of(&self, reference: &Reference) -> Option<Found<'a>> {
        (reference.root == "steps").then(|| self.find(&reference.path)).flatten()
    }

    /// The step of that name, as the current part has it.
    pub(super) fn find<S: AsRef<str>>(&self, path: &[S]) -> Option<Found<'a>> {
        self.expansion.find(self.part, path)
    }

    /// Notes that something is used.
    pub(super) fn mark(&mut self, sort: &'static str, name: &str) {
        let used = &mut self.used[self.part];
        if !used.contains(&(sort, name.to_owned())) {
            used.insert((sort, name.to_owned()));
        }
    }

    /// What has been used, each with the place where its runbook's text begins.
    pub(super) fn used(&self) -> HashSet<Used> {
        let parts = self.expansion.parts.iter().zip(&self.used);
        let names = parts.flat_map(|(part, used)| {
            used.iter().map(|(sort, name)| (part.runbook.base, *sort, name.clone()))
        });
        names.collect()
    }

    /// Checks one name that the text at `span` reads.
    pub(super) fn check(
        &mut self,
        reference: &Reference,
        span: &SourceSpan,
        place: Place<'_>,
    ) -> Result<(), Box<Diagnostic>> {
        let at = self.runbook.place_of(reference, span);
        let name = reference.path.first().map(String::as_str);
        if let Some(item) = self.item.filter(|item| item.name == reference.root) {
            return known_field(item, name, at);
        }
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
            ("run", Some(name)) => self.waiting(name, at),
            ("secrets", Some(name)) => self.secret(name, at, place),
            ("steps", Some(_)) => self.step(reference, at, place),
            (root @ ("params" | "vars" | "run" | "secrets" | "steps"), None) => {
                let message = format!("`{root}` must be followed by a dot and a name");
                Err(Box::new(Diagnostic::error(code::UNDEFINED, at, message)))
            }
            (root, _) => {
                let mut roots = vec!["params", "vars", "run", "secrets", "steps"];
                roots.extend(self.item.map(|item| item.name.as_str()));
                if place == Place::Condition {
                    roots.extend(FUNCTIONS);
                }
                let message = format!("`{root}` is undefined");
                let problem = Diagnostic::error(code::UNDEFINED, at, message);
                Err(Box::new(problem.help(suggest::one_of(root, &roots))))
            }
        }
    }

    /// What only a handler of waits can tell.
    fn waiting(&self, name: &str, at: SourceSpan) -> Result<(), Box<Diagnostic>> {
        let waits = Role::Handler(Occasion::Waiting);
        if !WAITING.contains(&name) {
            let known: Vec<&str> = RUN.iter().chain(&WAITING).copied().collect();
            return Err(unknown("field of `run`", name, &known, at));
        }
        if self.reader().is_some_and(|reader| reader.role == waits) {
            return Ok(());
        }
        let message = format!("`run.{name}` is known only in a `waiting` handler");
        let problem = Diagnostic::error(code::UNDEFINED, at, message);
        Err(Box::new(problem.help("write the step under `handlers.waiting`")))
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
        reference: &Reference,
        at: SourceSpan,
        place: Place<'_>,
    ) -> Result<(), Box<Diagnostic>> {
        if matches!(place, Place::Var(_) | Place::Target | Place::Source) {
            let problem = Diagnostic::error(code::UNDEFINED, at, "`steps` cannot be read here");
            let why = "vars, secrets, connections and stores are settled before the first step";
            return Err(Box::new(problem.why(why)));
        }
        let path = &reference.path;
        let Some(found) = self.find(path) else {
            return Err(unknown("step", &path[0], &self.runbook.step_ids(), at));
        };
        let (name, rest) = (path[..found.length].join("."), &path[found.length..]);
        let undefined = |message| Diagnostic::error(code::UNDEFINED, at.clone(), message);
        match (found.sort, rest.first().map(String::as_str)) {
            (Sort::Unread, _) => Ok(()),
            (Sort::Absent, _) => Err(Box::new(loose(&name, Loose::Inclusion, at))),
            (_, _) if let Some(why) = found.loose => Err(Box::new(loose(&name, why, at))),
            _ if !self.has_run(&found) => Err(Box::new(self.not_run(&name, at))),
            (Sort::Part(inner), Some(next)) if !["outputs", "status"].contains(&next) => {
                let known = self.expansion.parts[inner].runbook.step_ids();
                let problem = undefined(format!("`{name}` has no step `{next}`"));
                Err(Box::new(problem.help(suggest::one_of(next, &known))))
            }
            (Sort::Part(_), _) => {
                let problem = undefined(format!("`{name}` is a runbook and has no outputs"));
                Err(Box::new(problem.help(format!("write `steps.{name}.<step>.outputs.<name>`"))))
            }
            (Sort::One, Some("outputs")) => self.output(&found, &rest[1..], at),
            (Sort::Group { .. }, Some("outputs")) => self.list(&name, &rest[1..], at),
            (Sort::One, Some("status")) => Ok(()),
            (sort, other) => {
                let message = match other {
                    Some("status") => format!("`{name}` has an item or more, each with a status"),
                    Some(other) if sort == Sort::One => format!("a step has no `{other}`"),
                    Some(other) => format!("`{name}` has no item `{other}`"),
                    None => format!("`steps.{name}` is no value by itself"),
                };
                let problem = undefined(message);
                Err(Box::new(problem.help(format!("write `steps.{name}.outputs.<name>`"))))
            }
        }
    }

    /// An undo reads what ran before it for certain: its own step and what that runs after.
    fn has_run(&self, found: &Found<'_>) -> bool {
        let Some(undone) = self.reader().and_then(|reader| reader.undoes) else { return true };
        let own = |at: usize| at == undone;
        found.steps.clone().all(own) || {
            let before = ancestors(&self.order, undone);
            found.steps.clone().all(|at| own(at) || before.contains(&at))
        }
    }

    fn not_run(&self, name: &str, at: SourceSpan) -> Diagnostic {
        let undone = self.reader().and_then(|reader| reader.undoes);
        let undone = undone.map_or("", |at| self.expansion.steps[at].id.as_str());
        let message = format!("`{name}` may not have run when `{undone}` is undone");
        Diagnostic::error(code::UNDO_READS, at, message)
            .why(format!("`{name}` does not run before `{undone}`"))
            .help(format!("read `{undone}` or a step that it runs after"))
    }

    fn output(
        &self,
        found: &Found<'_>,
        path: &[String],
        at: SourceSpan,
    ) -> Result<(), Box<Diagnostic>> {
        let uses = &found.written.uses.text;
        let Some(facts) = self.facts.get(uses) else { return Ok(()) };
        let Followed::NoSuchKey(known) = follow(&facts.output, path) else { return Ok(()) };
        if found.written.replaced {
            // Who reads it without a default is told so where its templates are filled.
            return Ok(());
        }
        let written = path.join(".");
        let last = path.last().map_or("", String::as_str);
        let message = format!("`{uses}` has no output `{written}`");
        let problem = Diagnostic::error(code::UNKNOWN_OUTPUT, at, message);
        Err(Box::new(problem.help(suggest::one_of(last, &known))))
    }

    /// The outputs of a group are used as a whole.
    fn list(&self, name: &str, path: &[String], at: SourceSpan) -> Result<(), Box<Diagnostic>> {
        let after = self.runbook.text_from(at.end);
        let indexed = after.trim_start().starts_with('[');
        if path.is_empty() && !indexed {
            return Ok(());
        }
        let message = format!("`steps.{name}.outputs` is a list, one for each item");
        let inside = path.first().map_or("<name>", String::as_str);
        let inside = if inside.parse::<usize>().is_ok() { "<name>" } else { inside };
        Err(Box::new(
            Diagnostic::error(code::LIST_OF_OUTPUTS, at, message)
                .why(format!("`{name}` has a `foreach`, and a place in the list would change with its items"))
                .help(format!(
                    "use all of them: `{{% for o in steps.{name}.outputs %}}{{{{ o.{inside} }}}}{{% endfor %}}`"
                )),
        ))
    }
}

/// Something that is there only for some parameters.
fn loose(name: &str, why: Loose, at: SourceSpan) -> Diagnostic {
    let group = name.rsplit_once('.').map_or(name, |(group, _)| group);
    let help = match why {
        Loose::Item => format!("read `steps.{group}.outputs`, the list of all"),
        Loose::Inclusion => "read it in a step of the included runbook".to_owned(),
    };
    Diagnostic::error(code::UNDEFINED, at, format!("`{name}` is there only for some parameters"))
        .why(why.why(group))
        .help(help)
}

/// A field of an item, as far as the item has fields.
fn known_field(item: &Item, name: Option<&str>, at: SourceSpan) -> Result<(), Box<Diagnostic>> {
    let (Some(name), false) = (name, item.sampled) else { return Ok(()) };
    let Some(fields) = item.value.as_object() else {
        let message = format!("`{}` is `{}` here and has no `{name}`", item.name, item.value);
        let problem = Diagnostic::error(code::UNDEFINED, at, message);
        return Err(Box::new(problem.help(format!("write `{{{{ {} }}}}`", item.name))));
    };
    if fields.contains_key(name) {
        return Ok(());
    }
    let known: Vec<&str> = fields.keys().map(String::as_str).collect();
    let message = format!("`{}` has no `{name}`", item.name);
    let problem = Diagnostic::error(code::UNDEFINED, at, message);
    Err(Box::new(problem.help(suggest::one_of(name, &known))))
}

impl Runbook {
    /// The name is declared, and its declaration does not read.
    pub(super) fn is_broken(&self, sort: &str, name: &str) -> bool {
        self.broken.iter().any(|(of, broken)| *of == sort && broken == name)
    }

    /// The name's own place when the text at `span` has it in one piece.
    pub(super) fn place_of(&self, reference: &Reference, span: &SourceSpan) -> SourceSpan {
        self.place_in(span, &reference.dotted())
    }

    /// The place of a name inside the text at `span`; all of it when it is not in one piece.
    pub(super) fn place_in(&self, span: &SourceSpan, name: &str) -> SourceSpan {
        let source = self.text_from(span.start);
        let source = source.get(..span.len()).unwrap_or_default();
        position(source, name).map_or_else(
            || span.clone(),
            |start| span.start + start..span.start + start + name.len(),
        )
    }

    /// What stands from a place onwards.
    fn text_from(&self, start: usize) -> &str {
        start.checked_sub(self.base).and_then(|start| self.text.get(start..)).unwrap_or_default()
    }

    /// The ids of the steps of the text.
    pub(super) fn step_ids(&self) -> Vec<&str> {
        self.steps.iter().map(|step| step.id.text.as_str()).collect()
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
