//! Checks a runbook as a whole and makes the steps of its plan.

use std::collections::{BTreeMap, HashSet};

use indexmap::IndexSet;

use super::declare::Named;
use super::expand::{Expansion, Instance, Part, plan_id};
use super::facts::facts;
use super::input::{Filling, Input};
use super::milestone;
use super::names::{Names, Place, Used};
use super::order::{report_cycle, written};
use super::outputs::{evaluated, may_be_missing, missing, outputs_are_known};
use super::scope::{Scope, parsed};
use super::step::{Spanned, Step};
use super::trial::{Trial, place_of, trial};
use super::{Runbook, conduct, region, safety, source};
use crate::catalog::Catalog;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::effect::{Effect, Repeat};
use crate::footprint::Footprint;
use crate::node::{Node, NodeValue, SourceSpan};
use crate::plan::{Concurrency, PlanStep, Retry, Role};
use crate::suggest;
use crate::template::{self, Condition, Results};

/// Checks everything with these parameters. The steps are complete when there is no error.
pub(super) fn examine(
    expansion: &Expansion<'_>,
    catalog: &dyn Catalog,
    problems: &mut Vec<Diagnostic>,
) -> Examined {
    let kinds = expansion.steps.iter().map(|one| one.step.uses.text.clone());
    // A group may have no steps, and its outputs are read all the same.
    let all = expansion.parts.iter().flat_map(|part| &part.runbook.steps);
    let kinds = kinds.chain(all.map(|step| step.uses.text.clone()));
    let mut names = Names::new(expansion, facts(catalog, kinds));
    let (mut scopes, mut target_secrets) = (Vec::new(), Vec::new());
    for (number, part) in expansion.parts.iter().enumerate() {
        names.enter(number, None);
        scopes.push(Scope::new(&mut names, &part.bound, problems));
        target_secrets.push(targets(&mut names, problems));
        source::check(&mut names, problems);
    }
    region::targets(expansion, &scopes, problems);
    names.enter(0, None);
    let concurrency = conduct::concurrency(&mut names, &expansion.parts[0].bound, problems);
    names.order = written(expansion, problems);
    let mut examining = Examining { names, catalog, target_secrets };
    let mut steps = Vec::with_capacity(expansion.steps.len());
    let mut told = Told::default();
    for (at, one) in expansion.steps.iter().enumerate() {
        let scope = &scopes[one.part];
        let with_item = one.item.as_ref().map(|item| scope.with_item(item));
        examining.names.enter_step(at);
        let mut found = Vec::new();
        steps.push(examining.step(at, with_item.as_ref().unwrap_or(scope), &mut found));
        problems.extend(told.news(one, found));
    }
    report_cycle(expansion, &examining.names.order, problems);
    nothing_to_undo(expansion, problems);
    milestone::check(expansion, problems);
    let places = region::places(expansion, &scopes);
    safety::check(expansion, &examining.names.order, &steps, &places, problems);
    let steps: Vec<PlanStep> = steps.into_iter().flatten().collect();
    let complete = steps.len() == expansion.steps.len();
    Examined { steps, complete, used: examining.names.used(), concurrency }
}

/// What has been said of the items of one `foreach`: the same mistake is told once.
#[derive(Default)]
struct Told {
    group: Option<(usize, usize)>,
    places: HashSet<(&'static str, SourceSpan)>,
}

impl Told {
    fn news(&mut self, one: &Instance<'_>, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let group = one.item.as_ref().map(|_| (one.part, one.place));
        if group.is_none() || group != self.group {
            *self = Self { group, places: HashSet::new() };
        }
        let new = |problem: &Diagnostic| {
            group.is_none() || self.places.insert((problem.code, problem.span.clone()))
        };
        found.into_iter().filter(new).collect()
    }
}

/// Secrets of each connection and store.
type TargetSecrets = BTreeMap<(&'static str, String), IndexSet<String>>;

struct Examining<'a> {
    names: Names<'a>,
    catalog: &'a dyn Catalog,
    /// Of each part.
    target_secrets: Vec<TargetSecrets>,
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
        let NodeValue::Map(entries) = &node.value else { continue };
        let open = entries.iter().filter(|(key, _)| (sort, key.as_str()) != ("stores", DECRYPT));
        for (_, entry) in open {
            target(&entry.node, names, found, problems);
        }
        if let Some(decrypt) = node.get(DECRYPT).filter(|_| sort == "stores") {
            let found = secrets.entry((DECRYPT, name.clone())).or_default();
            target(decrypt, names, found, problems);
        }
    }
    aws(names, &mut secrets, problems);
    secrets
}

/// Checks the templates of `aws`, whose secrets every store may need.
fn aws(names: &mut Names<'_>, secrets: &mut TargetSecrets, problems: &mut Vec<Diagnostic>) {
    let Some(aws) = &names.runbook.aws else { return };
    let mut found = IndexSet::new();
    target(&aws.node, names, &mut found, problems);
    for ((sort, _), secrets) in secrets {
        if *sort == "stores" {
            secrets.extend(found.iter().cloned());
        }
    }
}

/// The key of a store whose secrets only steps that open its sets need.
const DECRYPT: &str = "decrypt";

fn target(
    node: &Node,
    names: &mut Names<'_>,
    secrets: &mut IndexSet<String>,
    problems: &mut Vec<Diagnostic>,
) {
    match &node.value {
        NodeValue::Map(entries) => {
            for entry in entries.values() {
                target(&entry.node, names, secrets, problems);
            }
        }
        NodeValue::List(items) => {
            for item in items {
                target(item, names, secrets, problems);
            }
        }
        NodeValue::Scalar(_) | NodeValue::Null => {}
    }
    let Some(text) = node.text().filter(|text| template::is_template(text)) else { return };
    let found = parsed(text, node, names, Place::Target, problems);
    let references = found.map(|(_, references)| references).unwrap_or_default();
    let names = references.into_iter().filter(|one| one.root == "secrets");
    secrets.extend(names.filter_map(|one| one.path.into_iter().next()));
}

impl Examining<'_> {
    /// Checks one step; its plan when nothing is wrong with it.
    fn step(
        &mut self,
        at: usize,
        scope: &Scope,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<PlanStep> {
        let one = &self.names.expansion.steps[at];
        let step = one.step;
        let mut input = Filling {
            names: &mut self.names,
            scope,
            uses: &step.uses.text,
            problems,
            input: Input::new(&step.with),
        }
        .run(&step.with);
        if let Some(condition) = &step.condition {
            self.condition(condition, scope, &mut input, problems);
        }
        if one.role.is_main() {
            self.names.order[at].extend(&input.steps);
        }
        let Some(facts) = self.names.facts.get(&step.uses.text) else {
            problems.push(unknown_kind(&step.uses, self.catalog));
            return None;
        };
        let (version, mut tried) = (facts.version, trial(step, &input, facts, problems));
        let mut footprint = tried.footprint.take()?;
        for span in [&mut footprint.lasts, &mut footprint.gives_up_after] {
            *span = span.filter(|span| !input.stands_in(*span));
        }
        region::forget(&mut footprint, &input);
        self.uses_of(step, &input, &tried, &footprint, problems);
        if !tried.sound {
            return None;
        }
        opaque_retry(step, &footprint, problems);
        handler(one, &footprint, problems);
        let allowed = &self.names.expansion.parts[0].runbook.conduct.allowed_regions;
        region::step(allowed, &footprint, &input.node, problems);
        Some(self.planned(at, &input, footprint, version, problems))
    }

    fn condition(
        &mut self,
        condition: &Spanned,
        scope: &Scope,
        input: &mut Input,
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
            let path: Vec<&str> = id.split('.').collect();
            match self.names.find(&path).filter(|found| found.length == path.len()) {
                Some(found) if found.loose.is_some() => {
                    problems.push(refused(format!("`{id}` is there only for some parameters")));
                }
                Some(found) => input.refer(&found),
                None => problems.push(refused(format!("`{id}` is no step"))),
            }
        }
        if problems.len() > before {
            return;
        }
        let read = references.iter().filter_map(|one| self.names.step_of(one));
        read.for_each(|found| input.refer(&found));
        if !outputs_are_known(&self.names, &references) {
            return;
        }
        let holds = |skip| {
            evaluated(&self.names, scope, &references, skip, |scope| {
                parsed.holds_in(scope, &AllWell)
            })
        };
        let maybe = may_be_missing(&self.names, &references);
        let undefined = holds(true).is_err_and(|error| error.undefined);
        if let (Some(found), true) = (maybe, undefined) {
            return problems.push(missing(&self.names, found, &condition.span));
        }
        if let Err(error) = holds(false)
            && !(scope.is_sampled(&references) && error.is_about_values())
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

    fn planned(
        &self,
        at: usize,
        input: &Input,
        footprint: Footprint,
        version: u32,
        problems: &mut Vec<Diagnostic>,
    ) -> PlanStep {
        let expansion = self.names.expansion;
        let (one, part) = (&expansion.steps[at], &expansion.parts[expansion.steps[at].part]);
        let (step, header) = (one.step, &part.runbook.header);
        let retry = step.retry.clone().unwrap_or_else(|| header.retry.clone());
        let limit = if footprint.repeat == Repeat::Opaque { 0 } else { retry.limit };
        PlanStep {
            id: plan_id(&one.id),
            name: name(one, part, problems),
            phase: step.phase.clone().or_else(|| expansion.outer_phase(part)),
            uses: step.uses.text.clone(),
            kind_version: version,
            with: step.with.to_json(),
            needs: self.names.order[at]
                .iter()
                .map(|at| plan_id(&expansion.steps[*at].id))
                .collect(),
            references: input.references.iter().map(|id| plan_id(id)).collect(),
            secrets: self.secrets(input, &footprint, part, one.part),
            condition: step.condition.as_ref().map(|condition| part.condition(&condition.text)),
            retry: Retry { limit, ..retry },
            timeout: step.timeout,
            stall_timeout: step.stall_timeout.or(header.stall_timeout),
            deadline: step.deadline,
            restores_service: step.restores_service,
            role: one.role.clone(),
            left_out: expansion.left_out(one),
            continue_on_failure: step.continue_on_failure,
            slow_after: step.slow_after,
            milestone: step.milestone.as_ref().map(|marked| marked.milestone.clone()),
            scope: part.prefix.clone(),
            item: one.item.as_ref().map(|item| one.planned_item(item, part)),
            footprint: part.footprint(footprint),
        }
    }

    /// The secrets of `with`, then those of the connections and stores.
    fn secrets(
        &self,
        input: &Input,
        footprint: &Footprint,
        part: &Part<'_>,
        number: usize,
    ) -> Vec<String> {
        let mut all = input.secrets.clone();
        let connections = footprint.connections.iter().map(|used| ("connections", &used.name));
        let stores = footprint.stores.iter().map(|name| ("stores", name));
        let opened = footprint.opens.iter().map(|name| (DECRYPT, name));
        for (sort, name) in connections.chain(stores).chain(opened) {
            let of_target = self.target_secrets[number].get(&(sort, name.clone()));
            all.extend(of_target.into_iter().flatten().cloned());
        }
        all.into_iter().map(|name| part.id_of(&name)).collect()
    }
}

/// What was found out about one variant of a runbook.
pub(super) struct Examined {
    /// The steps of the plan; all of them when `complete`.
    pub(super) steps: Vec<PlanStep>,
    pub(super) complete: bool,
    pub(super) used: HashSet<Used>,
    /// The group of the run.
    pub(super) concurrency: Option<Concurrency>,
}

/// Reports what no variant uses. With errors around, a name may be unused because it is misspelt
/// where it is used.
pub(super) fn report_unused(
    runbook: &Runbook,
    used: &HashSet<Used>,
    problems: &mut Vec<Diagnostic>,
) {
    let base = runbook.base;
    let mut unused = Unused { base, used, problems };
    unused.among("params", "parameter", &runbook.params);
    unused.among("secrets", "secret", &runbook.secrets);
    unused.among("vars", "var", &runbook.vars);
    unused.among("connections", "connection", &runbook.connections);
    unused.among("stores", "store", &runbook.stores);
    for inclusion in runbook.inclusions.values() {
        report_unused(&inclusion.runbook, used, problems);
    }
}

struct Unused<'a> {
    base: usize,
    used: &'a HashSet<Used>,
    problems: &'a mut Vec<Diagnostic>,
}

impl Unused<'_> {
    fn among<T>(&mut self, sort: &'static str, word: &str, declared: &Named<T>) {
        let is_used = |name: &String| self.used.contains(&(self.base, sort, name.clone()));
        for (name, one) in declared.iter().filter(|(name, _)| !is_used(name)) {
            let message = format!("the {word} `{name}` is never used");
            let problem = Diagnostic::warning(code::UNUSED, one.key_span.clone(), message);
            self.problems.push(problem);
        }
    }
}

/// The step's name; its templates read what is known before the run.
fn name(one: &Instance<'_>, part: &Part<'_>, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let name = one.step.name.as_ref()?;
    if !template::is_template(&name.text) {
        return Some(name.text.clone());
    }
    let mut scope = serde_json::json!({"params": part.bound.values});
    if let Some(item) = &one.item {
        scope[item.name.as_str()] = item.value.clone();
    }
    match template::render(&name.text.clone().into(), &scope) {
        Ok(value) => Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        Err(error) => {
            let problem = Diagnostic::error(code::TEMPLATE, name.span.clone(), error.message);
            problems.push(problem.help("a name reads `params`, and the item of a `foreach`"));
            None
        }
    }
}

/// Results for a check: nothing has failed.
pub(super) struct AllWell;

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

/// A handler tells of the run; it neither asks nor destroys.
fn handler(one: &Instance<'_>, footprint: &Footprint, problems: &mut Vec<Diagnostic>) {
    let Role::Handler(_) = one.role else { return };
    let (uses, span) = (&one.step.uses.text, one.step.uses.span.clone());
    if footprint.waits_for_person {
        let message = format!("`{uses}` in a handler");
        problems.push(
            Diagnostic::error(code::HANDLER_WAITS, span, message)
                .why("a handler waits for nobody: the run could not end")
                .help("ask among the steps, and tell of it in the handler"),
        );
    } else if footprint.effect == Effect::Destructive {
        let message = format!("`{uses}` destroys something in a handler");
        problems.push(
            Diagnostic::warning(code::HANDLER_DESTROYS, span, message)
                .why("a handler runs however far the steps have come, and nobody may be watching"),
        );
    }
}

fn nothing_to_undo(expansion: &Expansion<'_>, problems: &mut Vec<Diagnostic>) {
    let header = &expansion.parts[0].runbook.header;
    let (Some(span), false) = (&header.rollback_span, header.rollback.is_never()) else {
        return;
    };
    if expansion.steps.iter().all(|one| one.undoes.is_none()) {
        let message = "`rollback`, and no step has an `undo`";
        problems.push(
            Diagnostic::warning(code::NOTHING_TO_UNDO, span.clone(), message)
                .help("give the steps that can be taken back an `undo`, or remove `rollback`"),
        );
    }
}
