//! A runbook on disk: read, checked, bound to parameters; its problems printed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use engine::clock::{Clock as _, RealClock};
use indexmap::IndexMap;
use jiff::tz::TimeZone;
use model::diagnostic::{Diagnostic, SourceText, render};
use model::document::TEXT_LIMIT;
use model::hex::hex;
use model::ids::StepId;
use model::plan::{LeftOut, Plan, Source};
use model::runbook::{Checked, Runbook, Variant};
use model::sources::Sources;
use serde_json::Value;
use sha2::{Digest, Sha256};
use steps::REGISTRY;

use crate::cli::Given;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::params_file;
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
        let mut checked = Runbook::check_with(&text, &REGISTRY, &Folder::of(path));
        let today = RealClock.now().to_zoned(TimeZone::UTC).date();
        let overdue = checked.runbook.as_ref().and_then(|runbook| runbook.overdue(today));
        checked.problems.extend(overdue);
        Ok(Self { name, text, checked })
    }

    /// What problems point into.
    pub(crate) fn source(&self) -> SourceText<'_> {
        self.checked.source(&self.name, &self.text)
    }

    /// The plan with `params`; problems are printed, and a plan without errors returned.
    pub(crate) fn plan(&self, params: &Given, colour: bool) -> Result<Plan, Exit> {
        self.print(&self.checked.problems, colour);
        let runbook = self.checked.runbook.as_ref().ok_or(Exit::Invalid)?;
        let refused = |problems: &[Diagnostic]| {
            self.print(problems, colour);
            Exit::Invalid
        };
        let runbook = runbook.variant(params.variant()).map_err(|problem| refused(&[*problem]))?;
        let from_file = match &params.params_file {
            Some(path) => params_file::read(path, &runbook, colour)?,
            None => IndexMap::new(),
        };
        let given = given(&runbook, from_file, &params.params);
        runbook.plan(&REGISTRY, &given, self.origin()).map_err(|problems| refused(&problems))
    }

    fn origin(&self) -> Source {
        let sha256 = hex(Sha256::digest(self.text.as_bytes()));
        Source { file: self.name.clone(), sha256 }
    }

    /// The steps of a plan that an ungraceful run leaves out, with the plan's own parameters.
    pub(crate) fn left_out_when_ungraceful(&self, plan: &Plan, params: &Given) -> BTreeSet<StepId> {
        let variant = Variant { ungraceful: true, ..params.variant() };
        let runbook = self.checked.runbook.as_ref().and_then(|one| one.variant(variant).ok());
        let given = plan.params.iter().filter(|(_, value)| !value.is_null());
        let given = given.map(|(name, value)| (name.clone(), value.clone())).collect();
        let other = runbook.and_then(|one| one.plan(&REGISTRY, &given, self.origin()).ok());
        let steps = other.into_iter().flat_map(|plan| plan.steps);
        let left_out = steps.filter(|step| step.left_out == Some(LeftOut::Ungraceful));
        left_out.map(|step| step.id).collect()
    }

    /// Prints problems to standard error.
    pub(crate) fn print(&self, problems: &[Diagnostic], colour: bool) {
        if !problems.is_empty() {
            print::message(&render(problems, &self.source(), colour));
        }
    }
}

/// The folder of a runbook, which holds those that it includes.
struct Folder {
    path: PathBuf,
    top: String,
}

impl Folder {
    fn of(runbook: &Path) -> Self {
        let path = runbook.parent().map(Path::to_path_buf).unwrap_or_default();
        let name = runbook.file_name().unwrap_or_default();
        Self { path, top: name.to_string_lossy().into_owned() }
    }
}

impl Sources for Folder {
    fn top(&self) -> &str {
        &self.top
    }

    fn read(&self, path: &str) -> Result<String, String> {
        engine::files::read_text_inside(&self.path, path, TEXT_LIMIT as u64)
            .map_err(|error| error.to_string())
    }

    fn shown(&self, path: &str) -> String {
        self.path.join(path).display().to_string()
    }
}

/// Parameters from the environment where the runbook names a variable, then from the file of
/// parameters, then from the command line.
fn given(
    runbook: &Runbook,
    from_file: IndexMap<String, Value>,
    params: &[(String, String)],
) -> IndexMap<String, Value> {
    let from_environment = runbook.params().filter_map(|(name, param)| {
        let value = engine::environment::variable(param.env.as_deref()?)?;
        Some((name.to_owned(), Value::String(value)))
    });
    let from_command_line =
        params.iter().map(|(name, value)| (name.clone(), Value::String(value.clone())));
    from_environment.chain(from_file).chain(from_command_line).collect()
}
