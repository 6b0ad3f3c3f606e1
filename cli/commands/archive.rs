//! `runbook archive push|fetch`, called by a server for each file: no state folder, no runbook, and
//! one line for the server's log when it fails.

use std::sync::Arc;

use engine::settings::StoreSettings;
use model::step_error::StepError;
use model::wal::InvalidName;
use steps::pg::archive;
use steps::store::{self, Store};

use crate::cli::{ArchiveFetch, ArchivePush};
use crate::exit::Exit;
use crate::show::print;

/// The file is not in the archive: the one error that is an answer.
const MISSING: &str = "RB0595";
/// The archive holds another file of that name.
const OTHER: &str = "RB0594";

fn open(url: &str) -> Result<Arc<dyn Store>, StepError> {
    Ok(store::open(&StoreSettings::at(url))?)
}

/// What a server's log gets.
fn tell(error: &StepError) {
    let causes = error.causes.iter().filter(|cause| !error.message.contains(*cause));
    let causes: String = causes.map(|cause| format!(": {cause}")).collect();
    let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    let line = format!("error[{}]: {}{causes}{hint}", error.code, error.message);
    print::message(&format!("{}\n", line.replace('\n', " ")));
}

pub(crate) async fn push(args: &ArchivePush) -> Exit {
    let pushed = async {
        let store = open(&args.place.store)?;
        archive::push(store.as_ref(), args.place.cluster, &args.file).await
    };
    let Err(error) = pushed.await else { return Exit::Done };
    tell(&error);
    match error.code.as_str() {
        OTHER => Exit::Refused,
        // The server tries again what did not work, whatever the reason.
        _ => Exit::RunFailed,
    }
}

pub(crate) async fn fetch(args: &ArchiveFetch) -> Exit {
    let fetched = async {
        let invalid = |error: InvalidName| StepError::permanent("RB0592", error.to_string());
        let name = args.name.parse().map_err(invalid)?;
        let store = open(&args.place.store)?;
        archive::fetch(store.as_ref(), args.place.cluster, &name, &args.file).await
    };
    let Err(error) = fetched.await else { return Exit::Done };
    tell(&error);
    if error.code == MISSING { Exit::RunFailed } else { Exit::StopsRecovery }
}
