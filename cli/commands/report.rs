//! `runbook report`.

use engine::state_folder::StateFolder;
use model::ids::RunId;

use crate::cli::{Report, ReportFormat};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::show::{print, report};

pub(crate) fn report(args: &Report, settings: &Settings) -> Result<Exit, Failure> {
    let folder = settings.state()?;
    let run = match &args.run {
        Some(prefix) => folder.find(prefix)?,
        None => newest(&folder)?,
    };
    let records = folder.events(run)?;
    let report = model::report::report(&records)
        .map_err(|error| damaged(run).why(error))?
        .ok_or_else(|| damaged(run).why("its first record is not there"))?;
    match args.format {
        ReportFormat::Markdown => print::text(&report::markdown(&report)),
        ReportFormat::Json => {
            print::json(&serde_json::to_value(&report).expect("a report is plain data"));
        }
    }
    Ok(Exit::Done)
}

fn newest(folder: &StateFolder) -> Result<RunId, Failure> {
    let newest = folder.runs()?.into_iter().rfind(|entry| entry.present);
    newest.map(|entry| entry.run).ok_or_else(|| {
        Failure::new(Exit::Invalid, "RB0904", "there is no run to report")
            .help("`runbook run FILE` makes one; `--state` names another state folder")
    })
}

fn damaged(run: RunId) -> Failure {
    Failure::new(Exit::Damaged, "RB0911", format!("the journal of run `{run}` tells no run"))
}
