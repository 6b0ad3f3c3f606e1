//! `runbook status` and `runbook runs`.

use engine::error::EngineError;
use engine::modes;
use engine::state_folder::{RunEntry, StateFolder};
use model::ids::RunId;
use model::plan::Contact;
use model::run::state::{RunState, RunStatus};
use model::run::step_state::Skip;
use model::step_error::StepError;
use serde_json::{Value, json};

use crate::cli::{Format, Runs, Status};
use crate::commands::run::listed;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::show::plan::word;
use crate::show::{contact, print, question, table};

pub(crate) fn status(args: &Status, settings: &Settings) -> Result<Exit, Failure> {
    let folder = settings.state()?;
    let run = match &args.run.run {
        Some(prefix) => folder.find(prefix)?,
        None => open_or_newest(&folder)?,
    };
    let state = folder.state(run)?;
    match args.format {
        Format::Text => print::text(&text(run, &state, &folder)),
        Format::Json => print::json(&as_json(run, &state, &folder)),
    }
    Ok(if args.exit_code { Exit::from(state.status()) } else { Exit::Done })
}

/// The only open run; when none is open, the newest.
fn open_or_newest(folder: &StateFolder) -> Result<RunId, EngineError> {
    folder.find("").or_else(|error| {
        let newest = folder.runs()?.into_iter().rfind(|entry| entry.present);
        let none_is_open = error.code == "RB0812";
        newest.filter(|_| none_is_open).map(|entry| entry.run).ok_or(error)
    })
}

fn name(state: &RunState) -> &str {
    state.plan().map_or("", |plan| &plan.name)
}

fn text(run: RunId, state: &RunState, folder: &StateFolder) -> String {
    let holder = folder.holder(run).map_or_else(String::new, |holder| {
        format!("\nheld by process {} of `{}` on `{}`", holder.pid, holder.login, holder.host)
    });
    let called = state.steps().filter(|(_, state)| !state.is_uncalled());
    let rows = called.map(|(step, state)| {
        let error = state.error.as_ref().map(said).unwrap_or_default();
        let error = state.skip.as_ref().and_then(why).unwrap_or(error);
        vec![
            step.id.to_string(),
            step.uses.clone(),
            word(&state.status()),
            state.attempt.to_string(),
            error,
        ]
    });
    let steps = table::plain(&["step", "uses", "status", "attempt", "error"], rows);
    let paused =
        state.paused().map(|error| format!("\npaused: {}", said(error))).unwrap_or_default();
    let next = next(run, state).map(|next| format!("\nnext: {next}")).unwrap_or_default();
    let left = match state.left_standing().as_slice() {
        [] => String::new(),
        steps => format!("\nleft standing: {}", listed(steps)),
    };
    let people = people(state);
    let (name, status) = (name(state), word(&state.status()));
    format!("{run}  {name}  {status}{holder}{paused}{left}{next}\n\n{people}{steps}\n")
}

/// What people are asked or were, and whom to call while a person is waited for.
pub(crate) fn people(state: &RunState) -> String {
    let waits = modes::needs_person(state.status());
    let contacts: &[Contact] =
        state.plan().filter(|_| waits).map_or(&[], |plan| plan.contacts.as_slice());
    let asked: Vec<String> = state
        .steps()
        .filter_map(|(step, known)| {
            let open = state.question(&step.id).is_some();
            let contacts = if open { contacts } else { &[] };
            Some(question::text(&step.id, known.question()?, contacts) + "\n")
        })
        .collect();
    let called = state.waiting().next().is_some() || contacts.is_empty();
    let others = contacts.iter().filter(|_| !called);
    let others = others.map(|contact| format!("call {}\n", contact::line(contact)));
    asked.into_iter().chain(others).collect()
}

/// Why a step was left out, its own `if` aside.
fn why(skip: &Skip) -> Option<String> {
    match skip {
        Skip::Condition => None,
        Skip::LeftOut(why) => Some(format!("left out: {}", word(why))),
        Skip::Decided { by: Some(by), reason } => Some(format!("by {by}: {reason}")),
        Skip::Decided { by: None, reason } => Some(reason.clone()),
    }
}

fn said(error: &StepError) -> String {
    format!("[{}] {}", error.code, error.message)
}

/// What a person would do next.
fn next(run: RunId, state: &RunState) -> Option<String> {
    if let Some(step) = state.in_doubt().next() {
        return Some(format!(
            "runbook resolve {run} {} --applied|--not-applied --reason \"...\"",
            step.id
        ));
    }
    if let Some(step) = state.waiting().next() {
        return Some(format!("runbook approve {run} {}, then runbook resume {run}", step.id));
    }
    if state.finished().is_none() {
        return Some(format!("runbook resume {run}"));
    }
    let failed = matches!(state.status(), RunStatus::Failed | RunStatus::Cancelled);
    (failed && state.has_failed_steps())
        .then(|| format!("runbook resume {run} --retry-failed, after the cause is put right"))
}

fn as_json(run: RunId, state: &RunState, folder: &StateFolder) -> Value {
    let steps = state.steps().map(|(step, state)| {
        json!({"id": step.id, "uses": step.uses, "status": state.status(), "attempt": state.attempt, "error": state.error, "output": state.output, "role": step.role, "question": state.question().map(question::as_json)})
    });
    json!({
        "run": run.to_string(),
        "name": name(state),
        "status": state.status(),
        "held_by": folder.holder(run).map(|holder| json!({"pid": holder.pid, "host": holder.host, "login": holder.login})),
        "paused": state.paused(),
        "stage": state.stage(),
        "failed_step": state.failed_step(),
        "left_standing": state.left_standing(),
        "steps": steps.collect::<Vec<_>>(),
    })
}

pub(crate) fn runs(args: &Runs, settings: &Settings) -> Result<Exit, Failure> {
    let folder = settings.state()?;
    let mut entries = folder.runs()?;
    entries.reverse();
    match args.format {
        Format::Text if entries.is_empty() => print::message("no runs\n"),
        Format::Text => {
            let rows = entries.iter().map(|entry| row(entry, &folder));
            print::text(&(table::plain(&["run", "runbook", "status", "started", ""], rows) + "\n"));
        }
        Format::Json => {
            print::json(&entries.iter().map(|entry| entry_json(entry, &folder)).collect::<Value>());
        }
    }
    Ok(Exit::Done)
}

/// A run's status and start, or why its journal tells neither.
fn facts(entry: &RunEntry, folder: &StateFolder) -> (String, String) {
    if !entry.present {
        return ("MISSING".to_owned(), String::new());
    }
    match folder.state(entry.run) {
        Ok(state) => {
            let started = state.created().map(|created| format!("{:.0}", created.started_at));
            (word(&state.status()), started.unwrap_or_default())
        }
        Err(_) => ("DAMAGED".to_owned(), String::new()),
    }
}

fn row(entry: &RunEntry, folder: &StateFolder) -> Vec<String> {
    let (status, started) = facts(entry, folder);
    let note = if entry.registered { "" } else { "not in the register" };
    vec![entry.run.to_string(), entry.name.clone(), status, started, note.to_owned()]
}

fn entry_json(entry: &RunEntry, folder: &StateFolder) -> Value {
    let (status, started) = facts(entry, folder);
    json!({
        "run": entry.run.to_string(), "name": entry.name, "status": status, "started": started,
        "present": entry.present, "registered": entry.registered,
    })
}
