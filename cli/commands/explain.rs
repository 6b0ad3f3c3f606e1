//! `runbook explain`.

use model::codes::CodeInfo;
use model::suggest;
use serde_json::{Value, json};

use crate::cli::{Explain, Format};
use crate::codes;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::{print, table};

pub(crate) fn explain(args: &Explain) -> Result<Exit, Failure> {
    let Some(code) = &args.code else {
        all(args.format);
        return Ok(Exit::Done);
    };
    let written = code.to_uppercase();
    let info = codes::all().find(|info| info.code == written).ok_or_else(|| unknown(code))?;
    match args.format {
        Format::Text => print::text(&page(info)),
        Format::Json => print::json(&as_json(info)),
    }
    Ok(Exit::Done)
}

fn all(format: Format) {
    match format {
        Format::Text => {
            let rows = codes::all().map(|info| vec![info.code.to_owned(), info.title.to_owned()]);
            print::text(&(table::plain(&["code", "what it means"], rows) + "\n"));
        }
        Format::Json => print::json(&codes::all().map(as_json).collect::<Value>()),
    }
}

fn unknown(code: &str) -> Failure {
    let known: Vec<&str> = codes::all().map(|info| info.code).collect();
    let help = match suggest::nearest(code, &known) {
        Some(near) => format!("did you mean `{near}`? `runbook explain` lists every code"),
        None => {
            "write it as an error prints it, such as `RB0201`; `runbook explain` lists every code"
                .to_owned()
        }
    };
    Failure::new(Exit::Invalid, "RB0903", format!("there is no error code `{code}`")).help(help)
}

fn as_json(info: &CodeInfo) -> Value {
    json!({
        "code": info.code, "title": info.title, "text": info.text, "example": info.example,
    })
}

/// The page of a code.
fn page(info: &CodeInfo) -> String {
    let indented: String = info.example.lines().map(|line| format!("    {line}\n")).collect();
    format!("{}: {}\n\n{}\n\nFor example:\n\n{indented}", info.code, info.title, info.text)
}
