//! `runbook logs`.

use std::io::IsTerminal as _;

use crate::cli::Logs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::show::print;

pub(crate) fn logs(args: &Logs, settings: &Settings) -> Result<Exit, Failure> {
    let folder = settings.state()?;
    let run = folder.find(&args.run)?;
    let logs = folder.run_folder(run).join("logs");
    // A damaged journal is said, and its logs are shown all the same.
    if let Err(error) = folder.events(run) {
        print::message(&Failure::from(error).text(settings.colour));
    }
    let names = engine::files::list(&logs)
        .map_err(|error| unreadable(&logs.display().to_string(), &error))?;
    let wanted = |name: &&String| {
        args.step.as_ref().is_none_or(|step| {
            name.rsplit_once('.')
                .and_then(|(stem, _)| stem.rsplit_once('.'))
                .is_some_and(|(id, _)| id == step)
        })
    };
    let names: Vec<&String> = names.iter().filter(wanted).collect();
    for name in &names {
        let path = logs.join(name);
        let text = engine::files::read(&path).map_err(|error| unreadable(name, &error))?;
        print::message(&format!("==> {name} <==\n"));
        show(&text);
    }
    if names.is_empty() {
        print::message("no logs\n");
    }
    Ok(Exit::Done)
}

/// A log as it is, unless a terminal would obey it.
fn show(log: &[u8]) {
    if std::io::stdout().is_terminal() {
        print::text(&String::from_utf8_lossy(log));
    } else {
        print::bytes(log);
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Invalid, "RB0901", format!("`{name}` could not be read")).why(error)
}
