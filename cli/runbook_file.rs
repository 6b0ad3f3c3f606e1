//! A runbook on disk: read, checked, bound to parameters; its problems printed.

use std::path::Path;

use indexmap::IndexMap;
use model::diagnostic::{Diagnostic, SourceText, render};
use model::hex::hex;
use model::plan::{Plan, Source};
use model::runbook::{Checked, Runbook};
use serde_json::Value;
use sha2::{Digest, Sha256};
use steps::REGISTRY;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::print;

/// A file that was read and checked.
pub(crate) struct RunbookFile {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) checked: Checked,
}

impl RunbookFile {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let text = engine::files::read_text(path).map_err(|error| {
            Failure::new(Exit::Invalid, "RB0901", format!("`{name}` could not be read")).why(error)
        })?;
        let checked = Runbook::check(&text, &REGISTRY);
        Ok(Self { name, text, checked })
    }

    /// The plan with `params`; problems are printed, and a plan without errors returned.
    pub(crate) fn plan(&self, params: &[(String, String)], colour: bool) -> Result<Plan, Exit> {
        self.print(&self.checked.problems, colour);
        let runbook = self.checked.runbook.as_ref().ok_or(Exit::Invalid)?;
        let sha256 = hex(Sha256::digest(self.text.as_bytes()));
        let source = Source { file: self.name.clone(), sha256 };
        runbook.plan(&REGISTRY, &given(runbook, params), source).map_err(|problems| {
            self.print(&problems, colour);
            Exit::Invalid
        })
    }

    /// Prints problems to standard error.
    pub(crate) fn print(&self, problems: &[Diagnostic], colour: bool) {
        if !problems.is_empty() {
            print::message(&render(problems, &SourceText::new(&self.name, &self.text), colour));
        }
    }
}

/// Parameters from the environment where the runbook names a variable, then from the command line.
fn given(runbook: &Runbook, params: &[(String, String)]) -> IndexMap<String, Value> {
    let from_environment = runbook.params().filter_map(|(name, param)| {
        let value = engine::environment::variable(param.env.as_deref()?)?;
        Some((name.to_owned(), Value::String(value)))
    });
    let from_command_line =
        params.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())));
    from_environment.chain(from_command_line).collect()
}
