//! `runbook logs`.

use crate::cli::Logs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::show::print;

pub(crate) fn logs(args: &Logs, settings: &Settings) -> Result<Exit, Failure> {
    let folder = settings.state()?;
    let run = folder.find(&args.run)?;
    let logs = folder.run_folder(run).join("logs");
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
        print::text(&String::from_utf8_lossy(&text));
    }
    if names.is_empty() {
        print::message("no logs\n");
    }
    Ok(Exit::Done)
}

fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Invalid, "RB0901", format!("`{name}` could not be read")).why(error)
}
