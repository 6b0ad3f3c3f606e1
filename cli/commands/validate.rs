//! `runbook validate`.

use model::diagnostic::{self, Diagnostic};
use serde_json::{Value, json};

use crate::cli::{Format, Validate};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::runbook_file::RunbookFile;
use crate::settings::Settings;
use crate::show::{amount, print};

pub(crate) fn validate(args: &Validate, settings: &Settings) -> Result<Exit, Failure> {
    let files: Result<Vec<RunbookFile>, Failure> =
        args.files.iter().map(|file| RunbookFile::read(file)).collect();
    let files = files?;
    match args.format {
        Format::Text => files.iter().for_each(|file| print_text(file, settings.colour)),
        Format::Json => {
            print::json(&json!({"files": files.iter().map(as_json).collect::<Vec<_>>()}));
        }
    }
    let valid = files.iter().all(|file| file.checked.runbook.is_some());
    Ok(if valid { Exit::Done } else { Exit::Invalid })
}

fn print_text(file: &RunbookFile, colour: bool) {
    file.print(&file.checked.problems, colour);
    if let Some(runbook) = &file.checked.runbook {
        let warnings =
            file.checked.problems.iter().filter(|problem| !Diagnostic::is_error(problem)).count();
        let warnings = if warnings == 0 {
            String::new()
        } else {
            format!(", {}", amount::count(warnings, "warning"))
        };
        let steps = amount::count(runbook.step_count(), "step");
        print::text(&format!("{}: valid, {steps}{warnings}\n", file.name));
    }
}

fn as_json(file: &RunbookFile) -> Value {
    let mut value = diagnostic::to_json(&file.checked.problems, &file.source());
    value["file"] = file.name.clone().into();
    value["valid"] = file.checked.runbook.is_some().into();
    value
}
