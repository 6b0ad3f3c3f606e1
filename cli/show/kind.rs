//! The page of a step kind.

use model::catalog::StepKind;
use model::effect::{Effect, Repeat};
use model::footprint::Footprint;
use model::manual;
use schemars::Schema;

use crate::show::fields::{self, Field};
use crate::show::plan::word;
use crate::show::table;

/// What the step of the manual's example would touch.
pub(crate) fn footprint(step: &dyn StepKind) -> Option<Footprint> {
    let example = manual::example_step(&step.manual())?;
    step.check(example.get("with")?).ok()
}

/// The words of a table of inputs or of outputs.
struct Words {
    title: &'static str,
    column: &'static str,
    /// Of a field that must be given, or that always is.
    always: &'static str,
}

const INPUTS: Words = Words { title: "Inputs", column: "default", always: "required" };
const OUTPUTS: Words = Words { title: "Outputs", column: "given", always: "always" };

/// For a terminal: fields as a list, which any width holds.
pub(crate) fn text(step: &dyn StepKind) -> String {
    page(step, |words, fields| fields.iter().map(|field| item(words, field)).collect())
}

/// For `docs/steps`: fields as tables.
pub(crate) fn markdown(step: &dyn StepKind) -> String {
    page(step, |words, fields| {
        let rows = fields.iter().map(|field| {
            let name = format!("`{}`", field.name);
            vec![name, field.of.clone(), need(words, field), field.about.replace('|', "\\|")]
        });
        table::markdown(&["field", "type", words.column, "what it is"], rows) + "\n"
    })
}

fn page(step: &dyn StepKind, show: impl Fn(&Words, &[Field]) -> String) -> String {
    let manual = step.manual();
    let section = |(words, schema): (Words, Schema)| {
        let fields = fields::of(schema.as_value());
        let shown = if fields.is_empty() { "None.\n".to_owned() } else { show(&words, &fields) };
        format!("## {}\n\n{shown}", words.title)
    };
    let fields = [(INPUTS, step.input_schema()), (OUTPUTS, step.output_schema())].map(section);
    let footprint = footprint(step);
    let footprint = footprint.iter().map(|it| format!("## Footprint\n\n{}", touched(it)));
    let example = manual::example(&manual).unwrap_or_default();
    let example = format!("## Example\n\n```yaml\n{example}\n```\n");
    let head = format!("# {}\n\n{}\n", step.kind(), manual::text(&manual));
    let sections = fields.into_iter().chain(footprint).chain([example]);
    std::iter::once(head).chain(sections).collect::<Vec<_>>().join("\n")
}

fn need(words: &Words, field: &Field) -> String {
    let default = field.default.iter().map(|value| format!("`{value}`")).collect();
    if field.required { words.always.to_owned() } else { default }
}

fn item(words: &Words, field: &Field) -> String {
    let need = match (field.required, &field.default) {
        (true, _) => format!(", {}", words.always),
        (false, Some(value)) => format!(", default {value}"),
        (false, None) => String::new(),
    };
    format!("- `{}` ({}{need}): {}\n", field.name, field.of, field.about)
}

/// What the example would touch, one line each.
fn touched(footprint: &Footprint) -> String {
    let effect = format!("{}, {}", word(&footprint.effect), of_effect(footprint.effect));
    let repeat = format!("{}, {}", word(&footprint.repeat), of_repeat(footprint.repeat));
    let tools: Vec<String> =
        footprint.tools.iter().map(|tool| format!("`{}`", tool.name)).collect();
    let person = if footprint.waits_for_person { "a person" } else { "" };
    let parts = [
        ("effect", effect),
        ("when repeated", repeat),
        ("reads", footprint.reads.join("; ")),
        ("writes", footprint.writes.join("; ")),
        ("talks to", footprint.endpoints.join("; ")),
        ("starts", tools.join(", ")),
        ("locks", footprint.locks.join("; ")),
        ("waits for", person.to_owned()),
    ];
    let parts = parts.iter().filter(|(_, text)| !text.is_empty());
    parts.map(|(label, text)| format!("- {label}: {text}\n")).collect()
}

fn of_effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "changes nothing",
        Effect::Reversible => "what it changes can be put back, what it adds can be removed",
        Effect::Destructive => "only a backup brings back what it removes",
        Effect::Irreversible => "nobody takes it back",
    }
}

fn of_repeat(repeat: Repeat) -> &'static str {
    match repeat {
        Repeat::Idempotent => "a second execution leaves the same state as the first",
        Repeat::Keyed => "the far side recognises a second execution and ignores it",
        Repeat::Transactional => "an interrupted execution leaves no trace",
        Repeat::Observable => "a completion mark tells whether it happened",
        Repeat::Opaque => "nothing can tell whether it happened, so it is never retried by itself",
    }
}
