//! `runbook plan`, which is `runbook run --dry-run`.

use std::path::Path;

use model::codes::safety as code;
use model::preview::{Preview, preview};
use model::region::{OF_AWS, Without, without};
use model::suggest;
use serde::Serialize;

use crate::cli::{Plan, PlanFormat};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::runbook_file::RunbookFile;
use crate::settings::Settings;
use crate::show::{plan, print, regions};

pub(crate) fn plan(args: &Plan, settings: &Settings) -> Result<Exit, Failure> {
    let file = RunbookFile::read(&args.file)?;
    let plan = match file.plan(&args.params, settings.colour) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    let (text, exit) = match &args.without_region {
        Some(region) => without_region(&file, &plan, region, args)?,
        None => (text(&preview(&plan), args.format), Exit::Done),
    };
    match &args.out {
        Some(path) => write(path, &text)?,
        None => print::text(&text),
    }
    Ok(exit)
}

/// What could not run, and whether the runbook needs it.
fn without_region(
    file: &RunbookFile,
    plan: &model::plan::Plan,
    region: &str,
    args: &Plan,
) -> Result<(String, Exit), Failure> {
    let skipped = file.left_out_when_ungraceful(plan, &args.params);
    let found = without(plan, region, &skipped);
    let known = || OF_AWS.contains(&region) || plan.allowed_regions.iter().any(|one| one == region);
    if !found.regions.iter().any(|one| one == region) && !known() {
        return Err(no_such_region(region, &found));
    }
    let text = match args.format {
        PlanFormat::Text => regions::text(&found),
        PlanFormat::Markdown => regions::markdown(&found),
        PlanFormat::Json => json(&found),
    };
    Ok((text, if found.could_run { Exit::Done } else { Exit::Gate }))
}

fn no_such_region(region: &str, found: &Without) -> Failure {
    let message = format!("no step names the region `{region}`");
    let named = found.regions.iter().map(String::as_str);
    let near = suggest::nearest(region, named).or_else(|| suggest::nearest(region, OF_AWS));
    let help = near.map_or_else(
        || suggest::one_of(region, &found.regions),
        |near| format!("did you mean `{near}`?"),
    );
    Failure::new(Exit::Invalid, code::NO_SUCH_REGION, message)
        .why("it is no region of AWS, either")
        .help(help)
}

fn json(found: &impl Serialize) -> String {
    serde_json::to_string_pretty(found).expect("what is shown is plain data") + "\n"
}

fn text(preview: &Preview, format: PlanFormat) -> String {
    match format {
        PlanFormat::Text => plan::text(preview),
        PlanFormat::Markdown => plan::markdown(preview),
        PlanFormat::Json => json(preview),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    engine::files::write_in_place(path, text.as_bytes()).map_err(|error| {
        Failure::new(Exit::Invalid, "RB0905", format!("`{}` could not be written", path.display()))
            .why(error)
    })
}
