//! `runbook lab`.

use std::fmt::Write as _;
use std::path::Path;

use lab::site::{Asked, DISASTERS, Handle, HandleError, SiteOptions};
use model::units::Span;
use serde_json::{Value, json};

use crate::cli::{Format, Lab, LabDisaster, LabPlace, LabStatus, LabUp};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::show::{amount, print, table};

pub(crate) fn lab(command: Lab) -> Result<Exit, Failure> {
    match command {
        Lab::Up(args) => up(&args),
        Lab::Env(args) => env(&args),
        Lab::Status(args) => status(&args),
        Lab::Disaster(args) => disaster(&args),
        Lab::Effects(args) => effects(&args),
        Lab::Messages(args) => messages(&args),
        Lab::Account(args) => account(&args),
        Lab::Down(args) => down(&args),
        Lab::Hold(args) => hold(&args),
    }
}

fn up(args: &LabUp) -> Result<Exit, Failure> {
    let folder = absolute(&args.place.dir)?;
    let program = std::env::current_exe().map_err(|error| failed(HandleError::Io(error)))?;
    let rows = args.rows.to_string();
    let folder_text = folder.to_string_lossy();
    let arguments = ["lab", "hold", "--dir", &*folder_text, "--rows", &rows];
    let tell = &mut |doing: &str| print::message(&format!("starting {doing}\n"));
    let handle = lab::site::up(&folder, &program, &arguments, tell).map_err(failed)?;
    let environment = handle.env_file().map_err(|error| failed(HandleError::Io(error)))?;
    print::text(&environment);
    print::message(&format!(
        "\nthe laboratory is up; next:\n  set -a; . {0}/env; set +a\n  runbook lab status --dir {0}\n  \
         runbook lab down --dir {0}\n",
        args.place.dir.display()
    ));
    Ok(Exit::Done)
}

/// The process in the background.
fn hold(args: &LabUp) -> Result<Exit, Failure> {
    let options = SiteOptions::new(&args.place.dir).rows(args.rows);
    lab::site::hold(&options).map_err(|error| failed(HandleError::Io(error)))?;
    Ok(Exit::Done)
}

fn env(args: &LabPlace) -> Result<Exit, Failure> {
    let environment = open(args)?.env_file().map_err(|error| failed(HandleError::Io(error)))?;
    print::text(&environment);
    Ok(Exit::Done)
}

fn status(args: &LabStatus) -> Result<Exit, Failure> {
    let status = open(&args.place)?.status().map_err(failed)?;
    match args.format {
        Format::Json => print::json(&status),
        Format::Text => print::text(&told(&status)),
    }
    Ok(Exit::Done)
}

fn disaster(args: &LabDisaster) -> Result<Exit, Failure> {
    let Some(name) = &args.disaster else {
        let rows =
            DISASTERS.iter().map(|(name, what)| vec![(*name).to_owned(), (*what).to_owned()]);
        print::text(&(table::plain(&["DISASTER", "WHAT HAPPENS"], rows) + "\n"));
        return Ok(Exit::Done);
    };
    let handle = open(&args.place)?;
    if args.end {
        handle.end(name).map_err(failed)?;
        print::message(&format!("`{name}` has ended\n"));
        return Ok(Exit::Done);
    }
    let asked = Asked {
        region: args.region.clone(),
        service: args.service.clone(),
        action: args.action.clone(),
        times: args.times,
        seconds: args.by.map(seconds),
        for_seconds: args.lasts.map(seconds),
        ..Asked::new(name)
    };
    handle.begin(&asked).map_err(failed)?;
    let what = DISASTERS.iter().find(|(known, _)| known == name).map_or("", |(_, what)| what);
    print::message(&format!("`{name}` has begun: {what}\n"));
    Ok(Exit::Done)
}

fn effects(args: &LabStatus) -> Result<Exit, Failure> {
    let effects = open(&args.place)?.effects().map_err(failed)?;
    if args.format == Format::Json {
        print::json(&json!(effects));
        return Ok(Exit::Done);
    }
    let rows =
        effects.into_iter().map(|it| vec![it.at, it.region, it.service, it.action, it.resource]);
    print::text(&(table::plain(&["AT", "REGION", "SERVICE", "ACTION", "RESOURCE"], rows) + "\n"));
    Ok(Exit::Done)
}

fn messages(args: &LabStatus) -> Result<Exit, Failure> {
    let messages = open(&args.place)?.messages().map_err(failed)?;
    match args.format {
        Format::Json => print::json(&json!(messages)),
        Format::Text if messages.is_empty() => print::message("no message came\n"),
        Format::Text => {
            let text = messages.iter().map(|it| format!("{}: {}\n", it.to, it.text));
            print::text(&text.collect::<String>());
        }
    }
    Ok(Exit::Done)
}

fn account(args: &LabStatus) -> Result<Exit, Failure> {
    let account = open(&args.place)?.account().map_err(failed)?;
    if args.format == Format::Json {
        print::json(&json!(account));
        return Ok(Exit::Done);
    }
    let unknown = || "unknown: its database does not answer".to_owned();
    let lost = account.lost.map_or_else(unknown, |lost| lost.to_string());
    let gap = account.longest_gap.map_or_else(
        || "none".to_owned(),
        |gap| {
            let until = gap.until.unwrap_or_else(|| "now".to_owned());
            format!("{:.1} s, from {} until {until}", gap.seconds, gap.from)
        },
    );
    let never = || "never".to_owned();
    print::text(&format!(
        "writes acknowledged   {}\nof these lost         {lost}\nlongest gap           {gap}\n\
         first write           {}\nlast write            {}\ndatabase              {}\n",
        account.acknowledged,
        account.first.unwrap_or_else(never),
        account.last.unwrap_or_else(never),
        account.database.unwrap_or_else(|| "does not answer".to_owned()),
    ));
    Ok(Exit::Done)
}

fn down(args: &LabPlace) -> Result<Exit, Failure> {
    let folder = absolute(&args.dir)?;
    let was_up = Handle::down(&folder).map_err(failed)?;
    let what = if was_up { "the laboratory is down" } else { "no laboratory was up" };
    print::message(&format!("{what} in `{}`\n", args.dir.display()));
    Ok(Exit::Done)
}

fn open(place: &LabPlace) -> Result<Handle, Failure> {
    Handle::open(&absolute(&place.dir)?).map_err(failed)
}

fn absolute(folder: &Path) -> Result<std::path::PathBuf, Failure> {
    std::path::absolute(folder).map_err(|error| failed(HandleError::Io(error)))
}

fn seconds(span: Span) -> f64 {
    span.duration().as_secs_f64()
}

/// What went wrong, and what to do next.
fn failed(error: HandleError) -> Failure {
    let message = error.to_string();
    let failure = |exit, code| Failure::new(exit, code, message.clone());
    match error {
        HandleError::Absent(folder) => failure(Exit::Refused, "RB0915").help(format!(
            "`runbook lab up --dir {}` starts one; `--dir` or `RUNBOOK_LAB` names another",
            folder.display()
        )),
        HandleError::Up(folder) => failure(Exit::Refused, "RB0916").help(format!(
            "`runbook lab env --dir {0}` prints its environment, `runbook lab down --dir {0}` ends it",
            folder.display()
        )),
        HandleError::Crashed(folder) => failure(Exit::RunFailed, "RB0917")
            .help(format!("`runbook lab down --dir {}` removes what is left", folder.display())),
        HandleError::NotStarted(why) => {
            Failure::new(Exit::RunFailed, "RB0918", "the laboratory could not start")
                .why(why)
                .help("it needs the programs of a PostgreSQL server (`scripts/install demo`) and an empty folder")
        }
        HandleError::Refused(_) => failure(Exit::RunFailed, "RB0919")
            .help("`runbook lab disaster` lists what can go wrong, `runbook lab status` what does"),
        HandleError::Io(error) => {
            Failure::new(Exit::RunFailed, "RB0918", "the laboratory could not be reached").why(error)
        }
    }
}

/// How everything stands, for people.
fn told(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut out = String::new();
    let writes = status["writing"] == true;
    let writes = if writes { "writes are acknowledged" } else { "no write is acknowledged" };
    let line = |out: &mut String, name: &str, what: &str| {
        writeln!(out, "{name:<13} {what}").expect("writing to a string does not fail");
    };
    line(&mut out, "application", writes);
    for it in status["instances"].as_array().into_iter().flatten() {
        let state = if it["down"] == true { "down".to_owned() } else { text(&it["status"]) };
        let source = it["source"].as_str().and_then(|arn| arn.rsplit(':').next());
        let source = source.map(|id| format!("  replica of {id}")).unwrap_or_default();
        let (id, at) = (text(&it["id"]), text(&it["address"]));
        let what = format!("{id}  {state}  {at}:{}{source}", it["port"]);
        line(&mut out, &text(&it["region"]), &what);
    }
    let records = status["records"].as_array().into_iter().flatten();
    for it in records.filter(|it| text(&it["name"]).starts_with("db.")) {
        let values: Vec<_> = it["values"].as_array().into_iter().flatten().map(text).collect();
        let what = format!("{}  {}  TTL {} s", text(&it["kind"]), values.join(", "), it["ttl"]);
        line(&mut out, text(&it["name"]).trim_end_matches('.'), &what);
    }
    let disasters: Vec<_> = status["disasters"].as_array().into_iter().flatten().collect();
    let names: Vec<_> = disasters.iter().map(|it| text(&it["fault"])).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    line(&mut out, "disasters", &names);
    let stored = status["stored_bytes"].as_u64().unwrap_or_default();
    let counts = format!(
        "{} messages, {} effects in AWS, {} in S3",
        status["messages"],
        status["effects"],
        amount::bytes(stored)
    );
    line(&mut out, "so far", &counts);
    out
}
