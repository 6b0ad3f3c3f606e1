//! `runbook init`.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use crate::cli::{Given, Init};
use crate::commands::preflight;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::init::answers::{self, Answers};
use crate::init::ask::Asks;
use crate::init::text;
use crate::runbook_file::RunbookFile;
use crate::settings::Settings;
use crate::show::print;

pub(crate) fn init(args: &Init, settings: &Settings) -> Result<Exit, Failure> {
    if !args.force && engine::files::facts(&args.output).is_ok() {
        return Err(exists(&args.output));
    }
    let answers = answers::gather(args, &mut Asks::new(args.yes))?;
    write(args, &text::daily_backup(&answers))?;
    let file = RunbookFile::read(&args.output)?;
    let plan = match file.plan(&Given::default(), settings.colour) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    print::text(&format!("wrote {}\n", file.name));
    match preflight::look(plan) {
        Ok(checks) => {
            print::text(&checks.iter().map(|check| format!("  {check}\n")).collect::<String>());
        }
        Err(failure) => warn(&failure, settings.colour),
    }
    print::text(&next(&answers, &file.name));
    Ok(Exit::Done)
}

fn exists(path: &Path) -> Failure {
    let message = format!("`{}` exists already", path.display());
    Failure::new(Exit::Invalid, "RB0961", message)
        .help("write another file with `--output FILE`, or overwrite this one with `--force`")
}

fn write(args: &Init, text: &str) -> Result<(), Failure> {
    let written = if args.force {
        engine::files::write_durably(&args.output, text.as_bytes())
    } else {
        let created = engine::files::create_private(&args.output);
        created.and_then(|mut file| file.write_all(text.as_bytes()))
    };
    written.map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            return exists(&args.output);
        }
        let message = format!("`{}` could not be written", args.output.display());
        Failure::new(Exit::Invalid, "RB0905", message).why(error)
    })
}

/// The file stays: what is missing may be put right later.
fn warn(failure: &Failure, colour: bool) {
    let (on, off) = if colour { ("\x1b[1;33m", "\x1b[0m") } else { ("", "") };
    let problems: String = failure.problems.iter().map(|problem| problem.text(colour)).collect();
    print::message(&format!(
        "\n{problems}{on}warning{off}: the backup cannot run yet; `runbook preflight` looks again\n"
    ));
}

fn next(answers: &Answers, file: &str) -> String {
    format!(
        "\nnext:\n  runbook plan {file}\n  runbook run {file}\n  runbook backups list --store {}\n\n\
         every day at {:02}:00, with cron:\n  0 {} * * *  runbook run {} --no-wait\n",
        answers.store,
        answers.hour,
        answers.hour,
        std::path::absolute(file)
            .map_or_else(|_| file.to_owned(), |path| path.display().to_string()),
    )
}
