//! `foreach`: one step for each of several items.

use serde_json::{Value, json};

use super::check::AllWell;
use super::declare::is_identifier;
use super::fields::{Fields, Keys};
use super::param::{Bound, RESERVED};
use super::step::Spanned;
use super::{Runbook, names};
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, NodeValue, SourceSpan};
use crate::template::{self, Condition, FUNCTIONS, Reference, Template};

/// `foreach` as it is written.
#[derive(Debug, Clone)]
pub(super) struct Foreach {
    pub(super) max_parallel: Option<usize>,
    /// What it says, when it can be used.
    pub(super) over: Option<Over>,
}

/// What a `foreach` goes over.
#[derive(Debug, Clone)]
pub(super) struct Over {
    pub(super) items: Node,
    /// The name that templates read an item by.
    pub(super) name: String,
}

/// The items of a `foreach`, with these parameters.
#[derive(Debug)]
pub(super) struct Items {
    pub(super) all: Vec<Item>,
    /// They are written out, so that their ids do not depend on parameters.
    pub(super) literal: bool,
}

/// One item.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) value: Value,
    /// The part of its step's id behind the dot.
    pub(super) id: String,
    /// It stands for any item.
    pub(super) sampled: bool,
}

pub(crate) const FOREACH: Keys =
    Keys { what: "`foreach`", known: &["items", "as", "max_parallel"], later: &[] };

/// The longest part of an id.
const ID_PART: usize = 64;

/// Reads the `foreach` of a step.
pub(super) fn read(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Foreach> {
    let entry = fields.entry("foreach")?;
    let fields = Fields::new(&entry.node, &FOREACH, problems);
    let most: Option<u16> = fields.read("max_parallel", problems);
    if let (Some(0), Some(node)) = (most, fields.get("max_parallel")) {
        let span = node.span.clone();
        problems.push(Diagnostic::error(code::VALUE, span, "`max_parallel` must be at least 1"));
    }
    let (items, name) = (items(&fields, problems), name(&fields, problems));
    let over = items.zip(name).map(|(items, name)| Over { items, name });
    Some(Foreach { max_parallel: most.map(usize::from), over })
}

fn name(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let name: String = fields.required("as", problems)?;
    let span = fields.get("as")?.span.clone();
    let refused = |message: String| Diagnostic::error(code::FOREACH, span, message);
    if !is_identifier(&name) {
        let rule = "a lower-case letter, then at most 63 lower-case letters, digits or `_`";
        problems.push(refused(format!("`{name}` is not a name")).help(rule));
        return None;
    }
    if RESERVED.contains(&name.as_str()) || FUNCTIONS.contains(&name.as_str()) {
        let problem = refused(format!("an item cannot be called `{name}`"));
        let why = format!("`{name}` means something else in templates");
        problems.push(problem.why(why).help("say what an item is: `as: table`"));
        return None;
    }
    Some(name)
}

fn items(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Node> {
    let Some(node) = fields.get("items") else {
        return fields.required::<Vec<String>>("items", problems).and(None);
    };
    let refused = |code, message: String| Diagnostic::error(code, node.span.clone(), message);
    match &node.value {
        NodeValue::List(items) if items.is_empty() => {
            let problem = refused(code::ITEMS, "`items` is empty, so there is no step".to_owned());
            problems.push(problem.help("list the items, or take them from a parameter"));
            None
        }
        NodeValue::List(_) => Some(node.clone()),
        NodeValue::Scalar(scalar) if template::is_template(&scalar.text) => Some(node.clone()),
        _ => {
            let problem = refused(code::ITEMS, format!("`items` is a list, not {}", node.what()));
            problems
                .push(problem.help("write `items: [a, b]` or `items: \"{{ params.<name> }}\"`"));
            None
        }
    }
}

/// The items with these parameters; none when they cannot be told.
pub(super) fn evaluated(
    over: &Over,
    runbook: &Runbook,
    bound: &Bound,
    problems: &mut Vec<Diagnostic>,
) -> Option<Items> {
    let before = problems.len();
    let mut reading = Reading { runbook, bound, problems, sampled: false };
    let values: Vec<(Value, &SourceSpan)> = match &over.items.value {
        NodeValue::List(items) => {
            let filled = items.iter().map(|item| Some((reading.filled(item)?, &item.span)));
            filled.collect::<Option<_>>()?
        }
        _ => reading.list(&over.items)?.into_iter().map(|item| (item, &over.items.span)).collect(),
    };
    let (sampled, literal) = (reading.sampled, is_literal(&over.items));
    let mut all: Vec<Item> = Vec::with_capacity(values.len());
    let mut taken = std::collections::HashMap::new();
    for (value, span) in values {
        let id = match id_of(&value) {
            Ok(id) => id,
            Err(problem) => {
                problems.push(problem.at(span));
                continue;
            }
        };
        if let Some(first) = taken.insert(id.clone(), all.len()) {
            let first: &Item = &all[first];
            problems.push(same_id(&first.value, &value, &id, span));
        }
        all.push(Item { name: over.name.clone(), value, id, sampled });
    }
    (problems.len() == before).then_some(Items { all, literal })
}

fn is_literal(node: &Node) -> bool {
    match &node.value {
        NodeValue::Null => true,
        NodeValue::Scalar(scalar) => !template::is_template(&scalar.text),
        NodeValue::List(items) => items.iter().all(is_literal),
        NodeValue::Map(entries) => entries.values().all(|entry| is_literal(&entry.node)),
    }
}

/// The parameters that the templates inside a node read.
pub(super) fn params_in(node: &Node) -> Vec<String> {
    match &node.value {
        NodeValue::Null => Vec::new(),
        NodeValue::Scalar(scalar) => {
            params_among(template::references(&scalar.text).unwrap_or_default())
        }
        NodeValue::List(items) => items.iter().flat_map(params_in).collect(),
        NodeValue::Map(entries) => entries.values().flat_map(|e| params_in(&e.node)).collect(),
    }
}

/// The parameters that a condition reads.
pub(super) fn params_of(condition: &Spanned) -> Vec<String> {
    let references = Condition::parse(&condition.text).map(|parsed| parsed.references());
    params_among(references.unwrap_or_default())
}

fn params_among(references: Vec<Reference>) -> Vec<String> {
    let params = references.into_iter().filter(|one| one.root == "params");
    params.filter_map(|one| one.path.into_iter().next()).collect()
}

/// Reads values that are known before the run: literals, and templates over params.
pub(super) struct Reading<'a, 'p> {
    pub(super) runbook: &'a Runbook,
    pub(super) bound: &'a Bound,
    pub(super) problems: &'p mut Vec<Diagnostic>,
    /// A value that stands for any value was read.
    pub(super) sampled: bool,
}

impl Reading<'_, '_> {
    /// The value of a node with its templates filled.
    pub(super) fn filled(&mut self, node: &Node) -> Option<Value> {
        match &node.value {
            NodeValue::Scalar(scalar) if template::is_template(&scalar.text) => {
                self.rendered(&scalar.text, node)
            }
            NodeValue::List(items) => items.iter().map(|item| self.filled(item)).collect(),
            NodeValue::Map(entries) => entries
                .iter()
                .map(|(key, entry)| Some((key.clone(), self.filled(&entry.node)?)))
                .collect(),
            NodeValue::Null | NodeValue::Scalar(_) => Some(node.to_json()),
        }
    }

    /// A list that a template gives. A list that is empty in a check without parameters stands
    /// for any list.
    fn list(&mut self, node: &Node) -> Option<Vec<Value>> {
        let text = node.text()?;
        match self.rendered(text, node)? {
            Value::Array(items) if items.is_empty() && self.bound.assumed => {
                self.sampled = true;
                Some(vec![json!("sample")])
            }
            Value::Array(items) => Some(items),
            other => {
                let message = format!("`{text}` is `{other}`, which is not a list");
                let problem = Diagnostic::error(code::ITEMS, node.span.clone(), message)
                    .help("declare the parameter with `type: list`");
                self.problems.push(problem);
                None
            }
        }
    }

    fn rendered(&mut self, text: &str, node: &Node) -> Option<Value> {
        let refused = |message| Diagnostic::error(code::TEMPLATE, node.span.clone(), message);
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => {
                self.problems.push(refused(error.message));
                return None;
            }
        };
        let references = template.references();
        let before = self.problems.len();
        for reference in &references {
            self.check(reference, &node.span);
        }
        if self.problems.len() > before {
            return None;
        }
        let scope = template::scope(&json!({"params": self.bound.values}));
        match template.render(&scope) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.push(refused(error.message));
                None
            }
        }
    }

    /// Whether an `if` holds before the run.
    pub(super) fn holds(&mut self, condition: &Spanned) -> Option<bool> {
        let span = &condition.span;
        let refused = |message: String| Diagnostic::error(code::CONDITION, span.clone(), message);
        let parsed = match Condition::parse(&condition.text) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.problems.push(refused(error.message));
                return None;
            }
        };
        if parsed.asks_results() {
            let problem = refused(format!("`{}` asks how steps ended", condition.text));
            self.problems.push(
                problem
                    .why("a plan names every step before the run starts")
                    .help("use literals and `params` only"),
            );
            return None;
        }
        let before = self.problems.len();
        parsed.references().iter().for_each(|reference| self.check(reference, span));
        if self.problems.len() > before {
            return None;
        }
        match parsed.holds(&json!({"params": self.bound.values}), &AllWell) {
            Ok(holds) => Some(holds),
            Err(_) if self.sampled => None,
            Err(error) => {
                self.problems.push(refused(error.message));
                None
            }
        }
    }

    fn check(&mut self, reference: &Reference, span: &SourceSpan) {
        let at = self.runbook.place_of(reference, span);
        let name = reference.path.first();
        let Some(name) = name.filter(|_| reference.root == "params") else {
            let message = format!("`{}` is not known when the plan is made", reference.dotted());
            let problem = Diagnostic::error(code::ITEMS, at, message);
            self.problems.push(
                problem
                    .why("a plan names every step before the run starts")
                    .help("use literals and `params` only"),
            );
            return;
        };
        self.sampled |= self.bound.sampled.contains(name);
        let params = &self.runbook.params;
        if !params.contains_key(name) && !self.runbook.is_broken("params", name) {
            let known: Vec<_> = params.keys().map(String::as_str).collect();
            self.problems.push(*names::unknown("parameter", name, &known, at));
        }
    }
}

/// Why an item has no id.
struct NoId {
    message: String,
    help: &'static str,
}

impl NoId {
    fn at(self, span: &SourceSpan) -> Diagnostic {
        Diagnostic::error(code::ITEM_ID, span.clone(), self.message).help(self.help)
    }
}

/// The part of an id that an item gives.
fn id_of(item: &Value) -> Result<String, NoId> {
    match item {
        Value::String(text) if !text.is_empty() => Ok(id_part(text)),
        Value::Number(number) => Ok(id_part(&number.to_string())),
        Value::Object(entries) => {
            let named = entries.get("id").or_else(|| entries.get("name"));
            match named {
                Some(Value::String(text)) if !text.is_empty() => Ok(id_part(text)),
                Some(Value::Number(number)) => Ok(id_part(&number.to_string())),
                _ => Err(NoId {
                    message: format!("the item `{item}` has neither an `id` nor a `name`"),
                    help: "give each mapping an `id` or a `name`: its step is called after it",
                }),
            }
        }
        other => Err(NoId {
            message: format!("`{other}` cannot be an item"),
            help: "items are texts that are not empty, numbers, or mappings",
        }),
    }
}

/// Lower case, `_` for all other characters, a letter first, at most 64 characters.
fn id_part(text: &str) -> String {
    let one = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let mut part: String = text.chars().map(one).collect();
    if !part.starts_with(|c: char| c.is_ascii_lowercase()) {
        part.insert_str(0, "item_");
    }
    part.truncate(ID_PART);
    part
}

fn same_id(first: &Value, second: &Value, id: &str, span: &SourceSpan) -> Diagnostic {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (first, second) = (shown(first), shown(second));
    let message = if first == second {
        format!("the item `{first}` stands twice")
    } else {
        format!("the items `{first}` and `{second}` give the same id, `{id}`")
    };
    let problem = Diagnostic::error(code::ITEM_ID, span.clone(), message);
    problem
        .why("a step is called after its item: in lower case, `_` for other characters, at most 64")
        .help("use mappings with an `id`: `{id: one, name: ...}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_gives_a_part_of_an_id() {
        for (item, id) in [
            (json!("users"), "users"),
            (json!("public.Users"), "public_users"),
            (json!("2024-01"), "item_2024_01"),
            (json!("_x"), "item__x"),
            (json!("größe"), "gr__e"),
            (json!(7), "item_7"),
            (json!(-1.5), "item__1_5"),
            (json!({"name": "A b", "x": 1}), "a_b"),
            (json!({"id": "first", "name": "A b"}), "first"),
            (json!({"id": 3}), "item_3"),
        ] {
            assert_eq!(id_of(&item).ok().as_deref(), Some(id), "{item}");
        }
        let long = id_part(&"x".repeat(100));
        assert_eq!(long.len(), 64);
        for item in [json!(""), json!(null), json!(true), json!([]), json!({"x": 1})] {
            assert!(id_of(&item).is_err(), "{item}");
        }
    }
}
