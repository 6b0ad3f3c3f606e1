//! The `runbook` binary: parses, dispatches, and ends with a documented status.

mod cli;
mod codes;
mod commands;
mod exit;
mod failure;
mod people;
mod runbook_file;
mod settings;
mod show;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Backups, Cli, Command};
use exit::Exit;
use failure::Failure;
use settings::Settings;
use show::print;

fn main() -> ExitCode {
    // Fails only when a provider is there already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let cli = Cli::parse();
    let settings = Settings::resolve(&cli.global);
    let exit = dispatch(cli.command, &settings).unwrap_or_else(|failure| {
        print::message(&failure.text(settings.colour));
        failure.exit
    });
    let exit = print::unwritten().filter(|_| exit == Exit::Done).map_or(exit, |error| {
        let failure = Failure::new(Exit::RunFailed, "RB0912", "the output could not be written");
        print::message(&failure.why(error).text(settings.colour));
        Exit::RunFailed
    });
    exit.into()
}

fn dispatch(command: Command, settings: &Settings) -> Result<Exit, Failure> {
    match command {
        Command::Validate(args) => commands::validate::validate(&args, settings),
        Command::Plan(args) => commands::plan::plan(&args, settings),
        Command::Run(args) => commands::run::run(args, settings),
        Command::Resume(args) => commands::run::resume(&args, settings),
        Command::Report(args) => commands::report::report(&args, settings),
        Command::Status(args) => commands::status::status(&args, settings),
        Command::Runs(args) => commands::status::runs(&args, settings),
        Command::Logs(args) => commands::logs::logs(&args, settings),
        Command::Resolve(args) => commands::request::resolve(&args, settings),
        Command::Cancel(args) => commands::request::cancel(&args, settings),
        Command::Backups(Backups::List(args)) => {
            runtime()?.block_on(commands::backups::list(&args))
        }
        Command::Backups(Backups::Show(args)) => {
            runtime()?.block_on(commands::backups::show(&args))
        }
        Command::Steps(args) => commands::steps::steps(&args),
        Command::Schema => Ok(commands::schema::schema()),
        Command::Explain(args) => commands::explain::explain(&args),
        Command::Completions(args) => Ok(commands::completions::completions(&args)),
    }
}

/// The runtime of commands that act on the world; a plan has none.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Runtime::new().map_err(|error| {
        Failure::new(Exit::Bug, "RB0910", "no runtime could be started").why(error)
    })
}
