//! The `runbook` binary: parses, dispatches, and ends with a documented status.

mod approvers_file;
mod at_terminal;
mod cli;
mod codes;
mod commands;
mod completing;
mod exit;
mod failure;
mod init;
mod params_file;
mod people;
mod runbook_file;
mod settings;
mod show;
mod signals;
mod signing;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use clap_complete::env::CompleteEnv;

use cli::{Archive, Backups, Cli, Command};
use exit::Exit;
use failure::Failure;
use settings::Settings;
use show::print;

fn main() -> ExitCode {
    // A shell asks what may stand here; the program answers and ends.
    CompleteEnv::with_factory(Cli::command).var(commands::completions::ASKS).complete();
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
        Command::Init(args) => commands::init::init(&args, settings),
        Command::Validate(args) => commands::validate::validate(&args, settings),
        Command::Plan(args) => commands::plan::plan(&args, settings),
        Command::Preflight(args) => commands::preflight::preflight(&args, settings),
        Command::Run(args) => commands::run::run(args, settings),
        Command::Resume(args) => commands::run::resume(&args, settings),
        Command::Report(args) => commands::report::report(&args, settings),
        Command::Status(args) => commands::status::status(&args, settings),
        Command::Runs(args) => commands::status::runs(&args, settings),
        Command::Logs(args) => commands::logs::logs(&args, settings),
        Command::Resolve(args) => commands::request::resolve(&args, settings),
        Command::Skip(args) => commands::request::skip(&args, settings),
        Command::Undo(args) => commands::run::undo(&args, settings),
        Command::Approve(args) => commands::answer::approve(&args, settings),
        Command::Reject(args) => commands::answer::reject(&args, settings),
        Command::Approvers(args) => commands::approvers::approvers(&args, settings),
        Command::Cancel(args) => commands::request::cancel(&args, settings),
        Command::Backups(Backups::List(args)) => act(commands::backups::list(&args))?,
        Command::Backups(Backups::Show(args)) => act(commands::backups::show(&args))?,
        Command::Archive(Archive::Push(args)) => act(commands::archive::push(&args)),
        Command::Archive(Archive::Fetch(args)) => act(commands::archive::fetch(&args)),
        Command::Lab(command) => commands::lab::lab(command),
        Command::Steps(args) => commands::steps::steps(&args),
        Command::Graph(args) => commands::graph::graph(&args, settings),
        Command::Schema => Ok(commands::schema::schema()),
        Command::Explain(args) => commands::explain::explain(&args),
        Command::Completions(args) => Ok(commands::completions::completions(&args)),
        Command::Man(args) => commands::man::man(&args),
    }
}

/// Brings work that acts on the world to its end; a plan has none. A thread that still waits for
/// somebody to type is left behind.
fn act<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| {
        Failure::new(Exit::Bug, "RB0910", "no runtime could be started").why(error)
    })?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}
