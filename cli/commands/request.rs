//! `runbook cancel`, `runbook skip` and `runbook resolve`: requests to the holder of a run, or journalled at once.

use std::io::{BufRead as _, IsTerminal as _};

use engine::inbox::Request;
use engine::lock::Holder;
use engine::state_folder::Delivered;
use model::ids::StepId;
use model::run::event::Verdict;
use model::run::step_state::StepState;
use model::step_error::StepError;

use crate::cli::{Attended, Cancel, Resolve, Skip};
use crate::commands::run;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::show::print;

pub(crate) fn cancel(args: &Cancel, settings: &Settings) -> Result<Exit, Failure> {
    let folder = settings.state()?;
    let id = folder.find(args.run.run.as_deref().unwrap_or_default())?;
    let reason = Some(args.reason.clone());
    let request = Request::Cancel { by: engine::environment::login(), reason, force: false };
    match folder.request(id, &request)? {
        // Nobody holds the run: what was left running is looked at, and the run ends here.
        Delivered::Journaled => {
            run::take_over(id, settings, &Attended::NOBODY)?;
        }
        Delivered::HandedTo(holder) => handed(&holder),
    }
    let state = folder.state(id)?;
    let Some(doubt) = state.in_doubt().next() else { return Ok(Exit::Done) };
    print::message(&format!(
        "the cancellation is kept; it takes effect when somebody has said what became of `{0}`:\n\
         runbook resolve {id} {0} --applied|--not-applied --reason ..., then runbook resume {id}\n",
        doubt.id
    ));
    Ok(Exit::NeedsOperator)
}

pub(crate) fn skip(args: &Skip, settings: &Settings) -> Result<Exit, Failure> {
    let folder = settings.state()?;
    let id = folder.find(&args.run)?;
    let step: StepId = args.step.parse().map_err(|error| invalid(&error))?;
    let (by, reason) = (engine::environment::login(), args.reason.clone());
    match folder.request(id, &Request::Skip { step, by, reason })? {
        Delivered::Journaled => {
            print::message(&format!("journalled; `runbook resume {id}` goes on\n"));
        }
        Delivered::HandedTo(holder) => handed(&holder),
    }
    Ok(Exit::Done)
}

pub(crate) fn resolve(args: &Resolve, settings: &Settings) -> Result<Exit, Failure> {
    let folder = settings.state()?;
    let id = folder.find(&args.run)?;
    let step: StepId = args.step.parse().map_err(|error| invalid(&error))?;
    let output = args
        .output
        .as_deref()
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| invalid(&error))?;
    let state = folder.state(id)?;
    if let Some(state) = state.step(&step) {
        show(&step, state);
    }
    if !args.yes && !confirmed(step.as_str()) {
        return Err(Failure::new(
            Exit::Refused,
            "RB0906",
            "the step id was not typed; nothing was changed",
        )
        .help("type it at the prompt, or say `--yes`"));
    }
    let verdict = if args.applied { Verdict::Applied } else { Verdict::NotApplied };
    let (by, reason) = (engine::environment::login(), args.reason.clone());
    match folder.request(id, &Request::Resolve { step, verdict, by, reason, output })? {
        Delivered::Journaled => {
            print::message(&format!("journalled; `runbook resume {id}` acts on it\n"));
        }
        Delivered::HandedTo(holder) => handed(&holder),
    }
    Ok(Exit::Done)
}

/// What is known of the attempt, before a person decides.
fn show(step: &StepId, state: &StepState) {
    let mut text = format!("step `{step}`, attempt {}\n", state.attempt);
    if let Some(error) = &state.error {
        let causes = error.causes.iter().map(|cause| format!("  because: {cause}\n"));
        let help = error.hint.iter().map(|hint| format!("  help: {hint}\n"));
        text.push_str(&said(error));
        text.extend(causes.chain(help));
    }
    text.extend(state.facts.iter().map(|fact| format!("  {}: {}\n", fact.name, fact.data)));
    print::message(&text);
}

fn said(error: &StepError) -> String {
    format!("  [{}] {}\n", error.code, error.message)
}

/// Whether a person has typed `word`.
pub(crate) fn confirmed(word: &str) -> bool {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        print::message(&format!("type `{word}` to go on: "));
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).is_ok() && line.trim() == word
}

fn handed(holder: &Holder) {
    print::message(&format!("handed to process {} on `{}`\n", holder.pid, holder.host));
}

fn invalid(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Invalid, "RB0909", "an argument is not valid").why(error)
}
