//! `runbook completions`.

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::exit::Exit;

pub(crate) fn completions(args: &Completions) -> Exit {
    clap_complete::generate(args.shell, &mut Cli::command(), "runbook", &mut std::io::stdout());
    Exit::Done
}
