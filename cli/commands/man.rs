//! `runbook man`.

use std::path::Path;

use clap::CommandFactory as _;

use crate::cli::{Cli, Man};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::print;

pub(crate) fn man(args: &Man) -> Result<Exit, Failure> {
    match &args.out {
        Some(folder) => write_all(folder)?,
        None => print::bytes(&page()),
    }
    Ok(Exit::Done)
}

/// The page of the program.
fn page() -> Vec<u8> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).expect("memory can be written to");
    page
}

/// One page for every command, named as `man` looks for them: `runbook-plan.1`.
fn write_all(folder: &Path) -> Result<(), Failure> {
    engine::files::create_folder(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| {
            let message = format!("pages could not be written to `{}`", folder.display());
            Failure::new(Exit::Invalid, "RB0905", message).why(error)
        })
}
