//! `runbook steps`.

use model::catalog::{Catalog, StepKind};
use model::suggest;
use serde_json::{Value, json};

use crate::cli::{PlanFormat, Steps};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::plan::word;
use crate::show::{kind, print, table};

pub(crate) fn steps(args: &Steps) -> Result<Exit, Failure> {
    let catalog = &steps::REGISTRY;
    let Some(kind) = &args.kind else {
        all(catalog, args.format);
        return Ok(Exit::Done);
    };
    let step = catalog.get(kind).ok_or_else(|| unknown(kind, catalog))?;
    match args.format {
        PlanFormat::Text => print::text(&kind::text(step)),
        PlanFormat::Markdown => print::text(&kind::markdown(step)),
        PlanFormat::Json => print::json(&description(step)),
    }
    Ok(Exit::Done)
}

fn unknown(kind: &str, catalog: &dyn Catalog) -> Failure {
    Failure::new(Exit::Invalid, "RB0902", format!("there is no step kind `{kind}`"))
        .help(suggest::one_of(kind, &catalog.kinds()))
}

fn all(catalog: &dyn Catalog, format: PlanFormat) {
    let kinds = catalog.kinds().into_iter().filter_map(|kind| catalog.get(kind));
    let header = ["kind", "what it does", "effect", "when repeated"];
    match format {
        PlanFormat::Text => {
            print::text(
                &(table::plain(&header, kinds.map(|step| row(step, str::to_owned))) + "\n"),
            );
        }
        PlanFormat::Markdown => {
            let link = |kind: &str| format!("[`{kind}`]({kind}.md)");
            print::text(&(table::markdown(&header, kinds.map(|step| row(step, link))) + "\n"));
        }
        PlanFormat::Json => print::json(&kinds.map(description).collect::<Value>()),
    }
}

fn row(step: &dyn StepKind, name: impl Fn(&str) -> String) -> Vec<String> {
    let mut row = vec![name(step.kind()), step.summary().to_owned()];
    row.extend(kind::footprint(step).iter().flat_map(|it| [word(&it.effect), word(&it.repeat)]));
    row
}

fn description(step: &dyn StepKind) -> Value {
    let manual = step.manual();
    json!({
        "kind": step.kind(),
        "version": step.version(),
        "summary": step.summary(),
        "manual": model::manual::text(&manual),
        "example": model::manual::example(&manual),
        "footprint_of_example": kind::footprint(step),
        "input": step.input_schema(),
        "output": step.output_schema(),
        "example_output": step.example(),
    })
}
