//! `runbook plan`, which is `runbook run --dry-run`.

use std::path::Path;

use model::preview::{Preview, preview};

use crate::cli::{Plan, PlanFormat};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::runbook_file::RunbookFile;
use crate::settings::Settings;
use crate::show::{plan, print};

pub(crate) fn plan(args: &Plan, settings: &Settings) -> Result<Exit, Failure> {
    let file = RunbookFile::read(&args.file)?;
    let plan = match file.plan(&args.params, settings.colour) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    let text = text(&preview(&plan), args.format);
    match &args.out {
        Some(path) => write(path, &text)?,
        None => print::text(&text),
    }
    Ok(Exit::Done)
}

fn text(preview: &Preview, format: PlanFormat) -> String {
    match format {
        PlanFormat::Text => plan::text(preview),
        PlanFormat::Markdown => plan::markdown(preview),
        PlanFormat::Json => {
            serde_json::to_string_pretty(preview).expect("a preview is plain data") + "\n"
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    engine::files::write_in_place(path, text.as_bytes()).map_err(|error| {
        Failure::new(Exit::Invalid, "RB0905", format!("`{}` could not be written", path.display()))
            .why(error)
    })
}
