//! `runbook explain`.

use model::codes::CodeInfo;

use crate::cli::Explain;
use crate::codes;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::print;

pub(crate) fn explain(args: &Explain) -> Result<Exit, Failure> {
    let code = args.code.to_uppercase();
    let info = codes::all().find(|info| info.code == code).ok_or_else(|| unknown(&args.code))?;
    print::text(&page(info));
    Ok(Exit::Done)
}

fn unknown(code: &str) -> Failure {
    Failure::new(Exit::Invalid, "RB0903", format!("there is no error code `{code}`"))
        .help("write it as an error prints it, such as `runbook explain RB0201`")
}

/// The page of a code.
fn page(info: &CodeInfo) -> String {
    let indented: String = info.example.lines().map(|line| format!("    {line}\n")).collect();
    format!("{}: {}\n\n{}\n\nFor example:\n\n{indented}", info.code, info.title, info.text)
}
