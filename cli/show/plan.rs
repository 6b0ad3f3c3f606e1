//! A plan for a terminal and for a pull request.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use model::effect::{Effect, Repeat};
use model::ids::StepId;
use model::plan::Group;
use model::preview::{Preview, StepPreview};
use serde::Serialize;
use serde_json::Value;

use crate::show::{amount, conduct, regions, table};

/// The plan as plain text.
pub(crate) fn text(preview: &Preview) -> String {
    let mut out = String::new();
    write_text(&mut out, preview).expect("writing to a string does not fail");
    out
}

fn write_text(out: &mut String, preview: &Preview) -> fmt::Result {
    writeln!(out, "plan {} ({})", preview.name, preview.source.file)?;
    if let Some(description) = &preview.description {
        writeln!(out, "  {description}")?;
    }
    for (name, value) in objectives(preview) {
        writeln!(out, "  objective {name}: {value}")?;
    }
    for (name, value) in &preview.params {
        writeln!(out, "  {name} = {}", inline(value))?;
    }
    for (label, value) in conduct::of_plan(preview) {
        writeln!(out, "  {label}: {value}")?;
    }
    for (label, value) in parts(preview) {
        writeln!(out, "  {label}: {value}")?;
    }
    for step in &preview.steps {
        writeln!(out)?;
        write_step(out, step, &after(step, preview))?;
    }
    writeln!(out, "\n{}; nothing was executed", conduct::counted(preview))
}

fn write_step(out: &mut String, step: &StepPreview, after: &str) -> fmt::Result {
    write!(
        out,
        "{}  {}  [{}, {}]",
        step.id,
        step.uses,
        word(&step.footprint.effect),
        word(&step.footprint.repeat)
    )?;
    if !after.is_empty() {
        write!(out, "  after {after}")?;
    }
    writeln!(out)?;
    if let Some(name) = &step.name {
        writeln!(out, "    {name}")?;
    }
    for (label, value) in conduct::of_step(step).into_iter().chain(details(step)) {
        writeln!(out, "    {label}: {value}")?;
    }
    Ok(())
}

/// What a step shows below its first line.
fn details(step: &StepPreview) -> Vec<(&'static str, String)> {
    let mut details = Vec::new();
    let mut add = |label, value: Option<String>| details.extend(value.map(|value| (label, value)));
    add("if", step.condition.clone());
    add("with", (step.with != Value::Null).then(|| inline(&step.with)));
    let footprint = &step.footprint;
    add("reads", joined(&footprint.reads));
    add("writes", joined(&footprint.writes));
    add("endpoints", joined(&footprint.endpoints));
    add("locks", joined(&footprint.locks));
    add(
        "programs",
        joined(&footprint.tools.iter().map(|tool| tool.name.clone()).collect::<Vec<_>>()),
    );
    for line in regions::of_step(step) {
        add("needs", Some(line));
    }
    add("waits", footprint.waits_for_person.then(|| "for a person".to_owned()));
    add("timeout", step.timeout.map(|timeout| timeout.to_string()));
    add("deadline", step.deadline.map(|deadline| deadline.to_string()));
    add(
        "service",
        step.restores_service
            .then(|| "restored when this step has succeeded: RTO stops".to_owned()),
    );
    details
}

fn joined(items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| items.join(", "))
}

fn objectives(preview: &Preview) -> Vec<(&'static str, String)> {
    let all = [("RTO", preview.objectives.rto), ("RPO", preview.objectives.rpo)];
    all.into_iter().filter_map(|(name, span)| Some((name, span?.to_string()))).collect()
}

/// What the steps come from that were not written one by one.
fn parts(preview: &Preview) -> Vec<(String, String)> {
    let groups = preview.groups.iter().map(|(id, group)| {
        let most = group.max_parallel.map(|most| format!(", at most {most} at once"));
        let items = amount::count(group.steps.len(), "item");
        (id.to_string(), format!("{items}{}", most.unwrap_or_default()))
    });
    let included = preview.included.iter().map(|(id, part)| {
        let params = part.params.iter().map(|(name, value)| format!("{name} = {}", inline(value)));
        let params: Vec<String> = params.collect();
        let with =
            if params.is_empty() { String::new() } else { format!(" with {}", params.join(", ")) };
        (id.clone(), format!("the steps of {}{with}", part.source.file))
    });
    groups.chain(included).collect()
}

/// What a step runs after; all steps of a `foreach` as one.
fn after(step: &StepPreview, preview: &Preview) -> String {
    let ids: HashSet<&str> = step.after.iter().map(String::as_str).collect();
    let whole = |group: &Group| {
        group.steps.len() > 1 && group.steps.iter().all(|one| ids.contains(one.as_str()))
    };
    let mut shown: Vec<&str> = step.after.iter().map(String::as_str).collect();
    for (id, group) in preview.groups.iter().filter(|(_, group)| whole(group)) {
        let of_group: HashSet<&str> = group.steps.iter().map(StepId::as_str).collect();
        let first = group.steps[0].as_str();
        shown.retain(|one| *one == first || !of_group.contains(one));
        shown.iter_mut().filter(|one| **one == first).for_each(|one| *one = id.as_str());
    }
    shown.join(", ")
}

/// A value on one line, as YAML's flow form writes it where that is shorter than JSON.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim_end().to_owned(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}: {}", inline(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// The word that a unit variant is serialised as.
pub(crate) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// The plan as Markdown, for a pull request.
pub(crate) fn markdown(preview: &Preview) -> String {
    let mut out = String::new();
    write_markdown(&mut out, preview).expect("writing to a string does not fail");
    out
}

fn write_markdown(out: &mut String, preview: &Preview) -> fmt::Result {
    writeln!(out, "# Plan of `{}`\n", preview.name)?;
    if let Some(description) = &preview.description {
        writeln!(out, "{description}\n")?;
    }
    for (name, value) in objectives(preview) {
        writeln!(out, "- objective {name}: {value}")?;
    }
    for (name, value) in &preview.params {
        writeln!(out, "- `{name}` = `{}`", inline(value))?;
    }
    for (label, value) in conduct::of_plan(preview) {
        writeln!(out, "- {label}: {value}")?;
    }
    for (label, value) in parts(preview) {
        writeln!(out, "- `{label}`: {value}")?;
    }
    let rows = preview.steps.iter().map(|step| {
        vec![
            format!("`{}`", step.id),
            format!("`{}`", step.uses),
            word(&step.footprint.effect),
            word(&step.footprint.repeat),
            after(step, preview),
            step.footprint.writes.join("; "),
            special(step),
        ]
    });
    let header = ["step", "uses", "effect", "when repeated", "after", "writes", "special"];
    writeln!(out, "\n{}", table::markdown(&header, rows))?;
    if let Some(table) = regions::table_of(preview) {
        writeln!(out, "\n{table}")?;
    }
    let final_steps = preview.steps.iter().filter(|step| is_final(step)).count();
    writeln!(
        out,
        "\n{}, {final_steps} destructive or irreversible; nothing was executed.",
        conduct::counted(preview)
    )
}

/// What is special about a step, on one line.
fn special(step: &StepPreview) -> String {
    let all = conduct::of_step(step).into_iter().map(|(label, value)| format!("{label}: {value}"));
    all.collect::<Vec<_>>().join("; ")
}

/// Nobody takes it back, or nobody can tell whether it happened.
fn is_final(step: &StepPreview) -> bool {
    step.footprint.effect >= Effect::Destructive || step.footprint.repeat == Repeat::Opaque
}
