//! How runs are conducted: whom to call, what runs beside what, where steps may act, when the
//! runbook is to be looked at again.

use jiff::civil::Date;

use super::fields::{Fields, Keys};
use super::names::{Names, Place};
use super::param::Bound;
use super::schedule::{self, Scheduled};
use super::scope::{parsed, refused};
use super::step::Spanned;
use super::{Runbook, region};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, SourceSpan};
use crate::plan::{Concurrency, Contact, OnConflict, Review};
use crate::template;

pub(crate) const CONCURRENCY: Keys =
    Keys { what: "`concurrency`", known: &["group", "on_conflict"], later: &[] };
pub(crate) const CONTACT: Keys =
    Keys { what: "a contact", known: &["role", "name", "phone", "email"], later: &[] };
pub(crate) const REVIEW: Keys =
    Keys { what: "`review`", known: &["by", "approved_by"], later: &[] };

/// What a runbook says about the conduct of its runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Conduct {
    group: Option<Node>,
    on_conflict: OnConflict,
    pub(super) contacts: Vec<Contact>,
    pub(super) review: Option<Review>,
    review_span: SourceSpan,
    pub(super) allowed_regions: Vec<String>,
    pub(super) schedule: Vec<Scheduled>,
}

/// Reads all of it.
pub(super) fn read(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Conduct {
    let mut conduct = Conduct {
        contacts: contacts(fields, problems),
        allowed_regions: region::read(fields, problems),
        schedule: schedule::read(fields, problems),
        ..Conduct::default()
    };
    if let Some(node) = fields.get("concurrency") {
        let fields = Fields::new(node, &CONCURRENCY, problems);
        conduct.group = group(&fields, problems);
        conduct.on_conflict = fields.read("on_conflict", problems).unwrap_or_default();
    }
    if let Some(node) = fields.get("review") {
        let fields = Fields::new(node, &REVIEW, problems);
        let by = date(&fields, "by", problems);
        let approved_by = fields.read("approved_by", problems);
        conduct.review = by.map(|by| Review { by, approved_by });
        conduct.review_span = fields.get("by").map_or(node.span.clone(), |by| by.span.clone());
    }
    conduct
}

fn group(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Node> {
    let text: String = fields.required("group", problems)?;
    let node = fields.get("group")?;
    if text.trim().is_empty() {
        let message = "the group has no name";
        problems.push(Diagnostic::error(code::VALUE, node.span.clone(), message));
        return None;
    }
    Some(node.clone())
}

fn contacts(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Vec<Contact> {
    let items = fields.items("contacts", problems);
    items.iter().filter_map(|item| contact(item, problems)).collect()
}

fn contact(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Contact> {
    let fields = Fields::new(node, &CONTACT, problems);
    let (role, name) = (fields.required("role", problems), fields.required("name", problems));
    let (phone, email) = (fields.read("phone", problems), fields.read("email", problems));
    Some(Contact { role: role?, name: name?, phone, email })
}

fn date(fields: &Fields<'_>, key: &str, problems: &mut Vec<Diagnostic>) -> Option<Date> {
    let text: String = fields.required(key, problems)?;
    let date = text.parse().ok();
    if date.is_none() {
        let span = fields.get(key)?.span.clone();
        let problem = Diagnostic::error(code::VALUE, span, format!("`{text}` is not a day"));
        problems.push(problem.help("write it as `2027-02-01`"));
    }
    date
}

/// The group that a run with these parameters belongs to; its name is known before the run.
pub(super) fn concurrency(
    names: &mut Names<'_>,
    bound: &Bound,
    problems: &mut Vec<Diagnostic>,
) -> Option<Concurrency> {
    let runbook = names.runbook;
    let node = runbook.conduct.group.as_ref()?;
    let on_conflict = runbook.conduct.on_conflict;
    let text = node.text()?;
    if !template::is_template(text) {
        return Some(Concurrency { group: text.to_owned(), on_conflict });
    }
    let (template, references) = parsed(text, node, names, Place::Target, problems)?;
    let known = |root: &str, path: &[String]| match root {
        "params" => true,
        "run" => path == ["name"],
        _ => false,
    };
    if let Some(other) = references.iter().find(|one| !known(&one.root, &one.path)) {
        let at = runbook.place_of(other, &node.span);
        let message = format!("a group may not read `{}`", other.dotted());
        problems.push(
            Diagnostic::error(code::GROUP, at, message)
                .why("what a run may not run beside is settled before it starts")
                .help("read `params` and `run.name`"),
        );
        return None;
    }
    let scope = serde_json::json!({
        "params": bound.values, "run": {"name": runbook.header.name},
    });
    match template.render(&template::scope(&scope)) {
        Ok(value) => {
            let group = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some(Concurrency { group, on_conflict })
        }
        Err(error) => {
            problems.push(refused(&error, node));
            None
        }
    }
}

impl Runbook {
    /// A warning when the review of the runbook is overdue on that day.
    pub fn overdue(&self, today: Date) -> Option<Diagnostic> {
        let review = self.conduct.review.as_ref().filter(|review| review.by < today)?;
        let owner = self.header.owner.as_ref();
        let message = format!("the review of this runbook is overdue since {}", review.by);
        let problem = Diagnostic::warning(code::REVIEW, self.conduct.review_span.clone(), message)
            .why("what it relies on may have changed since somebody looked at it");
        Some(problem.help(owner.map_or_else(
            || "have it reviewed, then write the next day under `review.by`".to_owned(),
            |owner| format!("ask `{owner}` to review it, then write the next day under `by`"),
        )))
    }
}

/// Text with its place, as a list of texts has them.
pub(super) fn texts_of(list: &[Spanned]) -> Vec<String> {
    list.iter().map(|one| one.text.clone()).collect()
}
