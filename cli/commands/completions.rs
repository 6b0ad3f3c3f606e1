//! `runbook completions`: a script that asks the program itself at each Tab, so that kinds, codes,
//! runs and files are those of the moment.

use clap_complete::env::Shells;

use crate::cli::Completions;
use crate::exit::Exit;
use crate::show::print;

/// The variable by which the script asks.
pub(crate) const ASKS: &str = "RUNBOOK_COMPLETE";

pub(crate) fn completions(args: &Completions) -> Exit {
    let (mut script, name) = (Vec::new(), args.shell.to_string());
    let shells = Shells::builtins();
    let shell = shells.completer(&name).expect("every shell that can be named has a completer");
    shell
        .write_registration(ASKS, "runbook", "runbook", "runbook", &mut script)
        .expect("writing to memory does not fail");
    print::bytes(&script);
    Exit::Done
}
