//! `runbook steps`.

use std::fmt::Write as _;

use model::catalog::{Catalog, StepKind};
use model::suggest;
use serde_json::{Value, json};

use crate::cli::{Format, Steps};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::{print, table};

pub(crate) fn steps(args: &Steps) -> Result<Exit, Failure> {
    let catalog = &steps::REGISTRY;
    let Some(kind) = &args.kind else {
        all(catalog, args.format);
        return Ok(Exit::Done);
    };
    let step = catalog.get(kind).ok_or_else(|| unknown(kind, catalog))?;
    match args.format {
        Format::Text => print::text(&page(step)),
        Format::Json => print::json(&description(step)),
    }
    Ok(Exit::Done)
}

fn unknown(kind: &str, catalog: &dyn Catalog) -> Failure {
    Failure::new(Exit::Invalid, "RB0902", format!("there is no step kind `{kind}`"))
        .help(suggest::one_of(kind, &catalog.kinds()))
}

fn all(catalog: &dyn Catalog, format: Format) {
    let kinds = catalog.kinds().into_iter().filter_map(|kind| catalog.get(kind));
    match format {
        Format::Text => {
            let rows = kinds.map(|step| vec![step.kind().to_owned(), step.summary().to_owned()]);
            print::text(&(table::plain(&["kind", "what it does"], rows) + "\n"));
        }
        Format::Json => print::json(&kinds.map(description).collect::<Value>()),
    }
}

fn description(step: &dyn StepKind) -> Value {
    json!({
        "kind": step.kind(),
        "version": step.version(),
        "summary": step.summary(),
        "manual": step.manual(),
        "input": step.input_schema(),
        "output": step.output_schema(),
        "example_output": step.example(),
    })
}

/// A step kind's page: its manual, then its fields.
fn page(step: &dyn StepKind) -> String {
    let mut page = format!("# {}\n\n{}\n\n{}\n", step.kind(), step.summary(), step.manual());
    for (title, schema) in [("Inputs", step.input_schema()), ("Outputs", step.output_schema())] {
        let fields = fields(schema.as_value());
        write!(
            page,
            "\n## {title}\n\n{}\n",
            table::markdown(&["field", "type", "required", "what it is"], fields)
        )
        .expect("writing to a string does not fail");
    }
    page
}

fn fields(schema: &Value) -> Vec<Vec<String>> {
    let required = |name: &str| {
        let listed =
            schema["required"].as_array().is_some_and(|list| list.iter().any(|item| item == name));
        if listed { "yes".to_owned() } else { String::new() }
    };
    let properties = schema["properties"].as_object().into_iter().flatten();
    let row = |(name, field): (&String, &Value)| {
        let about = field["description"].as_str().unwrap_or_default().replace('\n', " ");
        vec![name.clone(), type_name(field), required(name), about]
    };
    properties.map(row).collect()
}

/// The type of a field in a word or two.
fn type_name(field: &Value) -> String {
    if let Some(reference) = field["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or(reference).to_owned();
    }
    match &field["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| *name != "null")
            .collect::<Vec<_>>()
            .join(" or "),
        _ => alternatives(field),
    }
}

fn alternatives(field: &Value) -> String {
    let lists = [&field["anyOf"], &field["oneOf"]];
    let members = lists.into_iter().filter_map(Value::as_array).flatten();
    let names: Vec<String> =
        members.map(type_name).filter(|name| name != "null" && !name.is_empty()).collect();
    if names.is_empty() { "any".to_owned() } else { names.join(" or ") }
}
