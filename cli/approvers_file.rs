//! `approvers.yaml`: where it is looked for, and how it is read.

use std::path::{Path, PathBuf};

use engine::state_folder::StateFolder;
use model::approval::People;
use model::diagnostic::{SourceText, render};
use model::hex::hex;
use sha2::{Digest as _, Sha256};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::print;

/// The name of the file beside a runbook and in the state folder.
const NAME: &str = "approvers.yaml";

/// The file: the one that is `given` (`--approvers`, `RUNBOOK_APPROVERS`), else the one beside
/// the runbook, else the one in the state folder.
pub(crate) fn locate(
    given: Option<&Path>,
    runbook: Option<&Path>,
    state: &StateFolder,
) -> Option<PathBuf> {
    if let Some(given) = given.filter(|path| !path.as_os_str().is_empty()) {
        return Some(given.to_owned());
    }
    let beside = runbook.map(|runbook| runbook.with_file_name(NAME));
    let places = beside.into_iter().chain([state.path().join(NAME)]);
    places.into_iter().find(|path| engine::files::facts(path).is_ok())
}

/// Reads the file; its problems are printed.
pub(crate) fn read(path: &Path, colour: bool) -> Result<People, Failure> {
    let name = path.display().to_string();
    engine::files::refuse_world_writable(path)?;
    let text = engine::files::read_text(path).map_err(|error| {
        Failure::new(Exit::Invalid, "RB0998", format!("the approvers `{name}` could not be read"))
            .why(error)
            .help("`--approvers FILE` and `RUNBOOK_APPROVERS` name the file")
    })?;
    let sha256 = hex(Sha256::digest(text.as_bytes()));
    People::read(&name, &text, sha256).map_err(|problems| {
        print::message(&render(&problems, &SourceText::new(&name, &text), colour));
        Failure::new(Exit::Invalid, "RB0999", format!("the approvers `{name}` cannot be used"))
            .help("`runbook approvers` checks the file")
    })
}
