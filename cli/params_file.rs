//! `--params-file`: parameters from a YAML or JSON mapping.

use std::path::Path;

use indexmap::IndexMap;
use model::diagnostic::{Diagnostic, SourceText, render};
use model::runbook::Runbook;
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::print;

/// The values of the file; problems are printed with their place in it.
pub(crate) fn read(
    path: &Path,
    runbook: &Runbook,
    colour: bool,
) -> Result<IndexMap<String, Value>, Exit> {
    let name = path.display().to_string();
    let text = engine::files::read_text(path).map_err(|error| {
        let message = format!("the file of parameters `{name}` could not be read");
        print::message(&Failure::new(Exit::Invalid, "RB0901", message).why(error).text(colour));
        Exit::Invalid
    })?;
    runbook.read_params(&text).map_err(|problems: Vec<Diagnostic>| {
        print::message(&render(&problems, &SourceText::new(&name, &text), colour));
        Exit::Invalid
    })
}
