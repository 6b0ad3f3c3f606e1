//! Reads the steps.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::declare::{PartialRetry, is_identifier};
use super::fields::{Fields, Keys};
use super::foreach::{self, Foreach};
use super::include::{self, Include};
use super::ungraceful::{self, Ungraceful};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, NodeValue, SourceSpan};
use crate::node_de;
use crate::plan::{LeftOut, Milestone, Retry};
use crate::units::Span;

/// A step as it is written.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) id: Spanned,
    pub(super) name: Option<Spanned>,
    pub(super) phase: Option<String>,
    pub(super) uses: Spanned,
    pub(super) with: Node,
    pub(super) needs: Option<Vec<Spanned>>,
    pub(super) condition: Option<Spanned>,
    pub(super) retry: Option<Retry>,
    /// Where `retry` asks for at least one more attempt.
    pub(super) retried_at: Option<SourceSpan>,
    pub(super) timeout: Option<Span>,
    pub(super) stall_timeout: Option<Span>,
    pub(super) deadline: Option<Span>,
    pub(super) slow_after: Option<Span>,
    pub(super) continue_on_failure: bool,
    pub(super) restores_service: bool,
    pub(super) foreach: Option<Foreach>,
    /// It stands for the steps of another runbook.
    pub(super) include: Option<Include>,
    pub(super) milestone: Option<Marked>,
    /// What it does when what it acts on is already gone.
    pub(super) ungraceful: Option<Ungraceful>,
    /// It stands in the place of another one, in a drill.
    pub(super) replaced: bool,
    /// The variant of the runbook that this is leaves it out.
    pub(super) left_out: Option<LeftOut>,
    /// Takes its effect back.
    pub(super) undo: Option<Box<Step>>,
}

/// A milestone and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Marked {
    pub(super) milestone: Milestone,
    pub(super) name_span: SourceSpan,
    pub(super) rto_span: Option<SourceSpan>,
}

/// Text and its place.
#[derive(Debug, Clone)]
pub(super) struct Spanned {
    pub(super) text: String,
    pub(super) span: SourceSpan,
}

pub(crate) const STEP: Keys = Keys {
    what: "a step",
    known: &[
        "id",
        "name",
        "phase",
        "uses",
        "with",
        "needs",
        "if",
        "retry",
        "timeout",
        "stall_timeout",
        "deadline",
        "slow_after",
        "continue_on",
        "undo",
        "restores_service",
        "milestone",
        "ungraceful",
        "idempotent",
        "observe",
        "foreach",
    ],
    later: &[],
};
pub(crate) const HANDLER_STEP: Keys = Keys {
    what: "a step of a handler",
    known: &[
        "id",
        "name",
        "phase",
        "uses",
        "with",
        "needs",
        "if",
        "retry",
        "timeout",
        "stall_timeout",
        "deadline",
        "slow_after",
        "continue_on",
        "idempotent",
        "observe",
    ],
    later: &["foreach"],
};
/// A replacement stands in the place of a step of the runbook and keeps its id and order.
pub(crate) const REPLACEMENT: Keys = Keys {
    what: "a replacement",
    known: &[
        "name",
        "phase",
        "uses",
        "with",
        "retry",
        "timeout",
        "stall_timeout",
        "deadline",
        "slow_after",
        "continue_on",
        "undo",
        "idempotent",
        "observe",
    ],
    later: &[],
};
pub(crate) const UNDO: Keys = Keys {
    what: "an `undo`",
    known: &[
        "name",
        "uses",
        "with",
        "retry",
        "timeout",
        "stall_timeout",
        "deadline",
        "slow_after",
        "idempotent",
        "observe",
    ],
    later: &[],
};
pub(crate) const CONTINUE_ON: Keys =
    Keys { what: "`continue_on`", known: &["failure"], later: &[] };
pub(crate) const MILESTONE: Keys =
    Keys { what: "a milestone", known: &["name", "rto"], later: &[] };

/// Keys of a step that are part of its kind's input.
const INPUT_KEYS: [&str; 2] = ["idempotent", "observe"];

/// Reads `steps`; a step without id or kind is reported and left out.
pub(super) fn read_all(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Vec<Step> {
    let Some(node) = fields.get("steps") else {
        let _: Option<Vec<String>> = fields.required("steps", problems);
        return Vec::new();
    };
    let items = match &node.value {
        NodeValue::List(items) if !items.is_empty() => items,
        _ => {
            let message = format!("`steps` is a list of at least one step, not {}", node.what());
            problems.push(Diagnostic::error(code::TYPE, node.span.clone(), message));
            return Vec::new();
        }
    };
    let base = base_retry(fields);
    let steps: Vec<_> = items.iter().filter_map(|item| read(item, &base, problems)).collect();
    report_duplicates(&steps, problems);
    steps
}

/// `defaults.retry`, whose own problems are reported where the defaults are read.
pub(super) fn base_retry(fields: &Fields<'_>) -> Retry {
    let retry = fields.get("defaults").and_then(|defaults| defaults.get("retry"));
    let partial = retry.and_then(|node| node_de::read::<PartialRetry>(node).ok());
    partial.map_or_else(Retry::default, |partial| over(&partial, &Retry::default()))
}

/// Reads a step of the runbook.
fn read(node: &Node, base: &Retry, problems: &mut Vec<Diagnostic>) -> Option<Step> {
    let fields = Fields::new(node, &STEP, problems);
    let id = id(&fields, problems);
    let step = body(&fields, node, id.as_ref(), base, problems);
    let foreach = foreach::read(&fields, problems);
    let undo = fields.get("undo").and_then(|node| undo(node, id.as_ref(), base, problems));
    let step = step?;
    let include = include::read(&fields, &step.uses, &step.with, problems);
    Some(Step { foreach, include, undo: undo.map(Box::new), ..step })
}

/// Reads a step of a handler.
pub(super) fn read_told(node: &Node, base: &Retry, problems: &mut Vec<Diagnostic>) -> Option<Step> {
    let fields = Fields::narrowed(node, &HANDLER_STEP, &STEP, problems);
    let id = id(&fields, problems);
    body(&fields, node, id.as_ref(), base, problems)
}

/// Reads a step that a drill puts into the place of another one.
pub(super) fn read_replacement(
    node: &Node,
    of: &Spanned,
    base: &Retry,
    problems: &mut Vec<Diagnostic>,
) -> Option<Step> {
    let fields = Fields::narrowed(node, &REPLACEMENT, &STEP, problems);
    let step = body(&fields, node, Some(of), base, problems);
    let undo = fields.get("undo").and_then(|node| undo(node, Some(of), base, problems));
    Some(Step { undo: undo.map(Box::new), ..step? })
}

fn id(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Spanned> {
    let text: String = fields.required("id", problems)?;
    valid_id(Spanned { text, span: fields.get("id")?.span.clone() }, problems)
}

/// The step that takes back what `of` did.
fn undo(
    node: &Node,
    of: Option<&Spanned>,
    base: &Retry,
    problems: &mut Vec<Diagnostic>,
) -> Option<Step> {
    let fields = Fields::narrowed(node, &UNDO, &STEP, problems);
    let id = of.map(|of| Spanned { text: format!("{}.undo", of.text), span: of.span.clone() });
    body(&fields, node, id.as_ref(), base, problems)
}

/// What the keys in `fields` say; none when there is no id or no kind.
pub(super) fn body(
    fields: &Fields<'_>,
    node: &Node,
    id: Option<&Spanned>,
    base: &Retry,
    problems: &mut Vec<Diagnostic>,
) -> Option<Step> {
    let retry = retry(fields, base, problems);
    let retried_at = fields
        .entry("retry")
        .filter(|_| retry.as_ref().is_some_and(|retry| retry.limit > 0))
        .map(|entry| entry.key_span.clone());
    let [timeout, stall_timeout, deadline, slow_after] =
        ["timeout", "stall_timeout", "deadline", "slow_after"]
            .map(|key| fields.limit(key, problems));
    deadline_holds_timeout(fields, timeout, deadline, problems);
    let (name, phase) = (spanned(fields, "name", problems), fields.read("phase", problems));
    let (needs, condition) = (fields.texts("needs", problems), spanned(fields, "if", problems));
    let restores_service = fields.read("restores_service", problems).unwrap_or(false);
    let continue_on_failure = continue_on(fields, problems);
    let milestone = milestone(fields, problems);
    let with = with(fields, node, problems);
    let uses: Option<String> = fields.required("uses", problems);
    Some(Step {
        id: id?.clone(),
        uses: Spanned { text: uses?, span: fields.get("uses")?.span.clone() },
        name,
        phase,
        with,
        needs,
        condition,
        retry,
        retried_at,
        timeout,
        stall_timeout,
        deadline,
        slow_after,
        continue_on_failure,
        restores_service,
        milestone,
        foreach: None,
        include: None,
        ungraceful: ungraceful::read(fields, problems),
        replaced: false,
        left_out: None,
        undo: None,
    })
}

fn continue_on(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> bool {
    let Some(node) = fields.get("continue_on") else { return false };
    let fields = Fields::new(node, &CONTINUE_ON, problems);
    fields.required("failure", problems).unwrap_or(false)
}

fn milestone(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Marked> {
    let fields = Fields::new(fields.get("milestone")?, &MILESTONE, problems);
    let rto = fields.limit("rto", problems);
    let name: String = fields.required("name", problems)?;
    Some(Marked {
        milestone: Milestone { name, rto },
        name_span: fields.get("name")?.span.clone(),
        rto_span: fields.get("rto").map(|node| node.span.clone()),
    })
}

fn deadline_holds_timeout(
    fields: &Fields<'_>,
    timeout: Option<Span>,
    deadline: Option<Span>,
    problems: &mut Vec<Diagnostic>,
) {
    let (Some(timeout), Some(deadline)) = (timeout, deadline) else { return };
    let Some(node) = fields.get("deadline") else { return };
    if deadline.duration() < timeout.duration() {
        let message = format!("the `deadline` is shorter than the `timeout`, {timeout}");
        problems.push(
            Diagnostic::error(code::VALUE, node.span.clone(), message)
                .why("the deadline is for all attempts together, the timeout for each"),
        );
    }
}

fn valid_id(id: Spanned, problems: &mut Vec<Diagnostic>) -> Option<Spanned> {
    if is_identifier(&id.text) {
        return Some(id);
    }
    let message = format!("`{}` is not a step id", id.text);
    problems.push(
        Diagnostic::error(code::VALUE, id.span, message)
            .help("a lower-case letter, then at most 63 lower-case letters, digits or `_`"),
    );
    None
}

/// The input of the step: `with`, and the keys of the step that belong to its input.
fn with(fields: &Fields<'_>, step: &Node, problems: &mut Vec<Diagnostic>) -> Node {
    let empty = || Node { value: NodeValue::Map(IndexMap::new()), span: step.span.clone() };
    let mut with = match fields.get("with") {
        Some(node) if node.value == NodeValue::Null => Node { span: node.span.clone(), ..empty() },
        Some(node) => node.clone(),
        None => Node { span: fields.entry("uses").map_or(0..0, |e| e.key_span.clone()), ..empty() },
    };
    let NodeValue::Map(entries) = &mut with.value else { return with };
    for key in INPUT_KEYS {
        if let Some(entry) = fields.entry(key) {
            insert_once(entries, key, entry, problems);
        }
    }
    with
}

fn insert_once(
    entries: &mut IndexMap<String, Entry>,
    key: &str,
    entry: &Entry,
    problems: &mut Vec<Diagnostic>,
) {
    if let Some(first) = entries.insert(key.to_owned(), entry.clone()) {
        let message = format!("`{key}` stands both in the step and in its `with`");
        let problem = Diagnostic::error(code::VALUE, entry.key_span.clone(), message);
        problems.push(problem.also(first.key_span, "also here"));
    }
}

fn spanned(fields: &Fields<'_>, key: &str, problems: &mut Vec<Diagnostic>) -> Option<Spanned> {
    let text = fields.read(key, problems)?;
    Some(Spanned { text, span: fields.get(key)?.span.clone() })
}

/// The `retry` of a mapping, what it does not say taken from `base`.
pub(super) fn retry(
    fields: &Fields<'_>,
    base: &Retry,
    problems: &mut Vec<Diagnostic>,
) -> Option<Retry> {
    let partial: PartialRetry = fields.read("retry", problems)?;
    let whole = over(&partial, base);
    let odd_interval =
        partial.max_interval.is_some() && whole.max_interval.duration() < whole.interval.duration();
    let rules = [
        ("limit", whole.limit > 100, "`limit` is at most 100"),
        ("backoff", !(1.0..=100.0).contains(&whole.backoff), "`backoff` is from 1.0 to 100.0"),
        ("jitter", !(0.0..=1.0).contains(&whole.jitter), "`jitter` is from 0.0 to 1.0"),
        ("max_interval", odd_interval, "`max_interval` is shorter than `interval`"),
    ];
    let node = fields.get("retry")?;
    for (key, _, rule) in rules.into_iter().filter(|(_, broken, _)| *broken) {
        // What the defaults say is reported where they stand.
        if let Some(value) = node.get(key) {
            problems.push(Diagnostic::error(code::VALUE, value.span.clone(), rule));
        }
    }
    Some(whole)
}

fn over(partial: &PartialRetry, base: &Retry) -> Retry {
    Retry {
        limit: partial.limit.unwrap_or(base.limit),
        interval: partial.interval.unwrap_or(base.interval),
        backoff: partial.backoff.unwrap_or(base.backoff),
        max_interval: partial.max_interval.unwrap_or(base.max_interval),
        jitter: partial.jitter.unwrap_or(base.jitter),
    }
}

/// Reports every id that an earlier step of the list has.
pub(super) fn report_duplicates(steps: &[Step], problems: &mut Vec<Diagnostic>) {
    let mut first: HashMap<&str, &SourceSpan> = HashMap::new();
    for step in steps {
        if let Some(earlier) = first.get(step.id.text.as_str()) {
            let message = format!("two steps have the id `{}`", step.id.text);
            problems.push(
                Diagnostic::error(code::DUPLICATE_ID, step.id.span.clone(), message)
                    .also((*earlier).clone(), "the first one is here")
                    .help("give one of them another id"),
            );
        } else {
            first.insert(&step.id.text, &step.id.span);
        }
    }
}
