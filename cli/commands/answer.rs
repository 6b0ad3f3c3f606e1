//! `runbook approve` and `runbook reject`: a person's answer, signed or claimed, given to the
//! holder of the run or journalled at once.

use std::path::Path;

use engine::inbox::Request;
use engine::state_folder::{Delivered, StateFolder};
use model::approval::{Answer, Asked, Decision, Refusal, Signature};
use model::ids::{RunId, StepId};
use model::run::state::RunState;

use crate::cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::show::print;
use crate::signing;

/// What the command line says of an answer.
struct Given<'a> {
    decision: Decision,
    common: &'a cli::Answer,
    item: Option<u32>,
    break_glass: bool,
}

pub(crate) fn approve(args: &cli::Approve, settings: &Settings) -> Result<Exit, Failure> {
    let items: Vec<Option<u32>> = match args.item.as_slice() {
        [] => vec![None],
        items => items.iter().copied().map(Some).collect(),
    };
    for item in items {
        let (decision, break_glass) = (Decision::Approved, args.break_glass);
        give(&Given { decision, common: &args.answer, item, break_glass }, settings)?;
    }
    Ok(Exit::Done)
}

pub(crate) fn reject(args: &cli::Reject, settings: &Settings) -> Result<Exit, Failure> {
    let decision = Decision::Rejected;
    let given = Given { decision, common: &args.answer, item: None, break_glass: false };
    give(&given, settings)?;
    Ok(Exit::Done)
}

fn give(given: &Given<'_>, settings: &Settings) -> Result<(), Failure> {
    let folder = settings.state()?;
    let run = folder.find(&given.common.run)?;
    let state = folder.state(run)?;
    let step: StepId = given.common.step.parse().map_err(|error| {
        Failure::new(Exit::Invalid, "RB0909", "an argument is not valid").why(error)
    })?;
    let answer = given.claimed();
    let Some(asked) = state.asked(&step) else {
        // The folder's own words for a question that is not open.
        folder.request(run, &Request::Answer { step: step.clone(), answer })?;
        return Err(refused(&Refusal::NotAsked(step.to_string())));
    };
    if given.common.print_message {
        print::text(&asked.statement(&named(&asked, answer)));
        return Ok(());
    }
    let answer = prove(&asked, answer, given.common)?;
    let delivered = folder.request(run, &Request::Answer { step: step.clone(), answer })?;
    told(&folder, run, &step, &delivered)
}

impl Given<'_> {
    /// The answer before any proof.
    fn claimed(&self) -> Answer {
        let login = engine::environment::login();
        let by = self.common.name.clone().unwrap_or_else(|| login.clone());
        let login = Some(login).filter(|login| *login != by);
        let (reason, item, break_glass) = (self.common.reason.clone(), self.item, self.break_glass);
        Answer { login, reason, item, break_glass, ..Answer::claimed(self.decision, by) }
    }
}

/// The answer in the name of the only person who can sign, when nobody was named.
fn named(asked: &Asked<'_>, answer: Answer) -> Answer {
    let known = asked.people.is_some_and(|people| people.named(&answer.by).is_some());
    match asked.signers().as_slice() {
        [only] if !known && answer.login.is_none() => Answer { by: only.name.clone(), ..answer },
        _ => answer,
    }
}

/// The answer with a signature that was made elsewhere, or is made now.
fn prove(asked: &Asked<'_>, answer: Answer, args: &cli::Answer) -> Result<Answer, Failure> {
    let Some(file) = &args.signature else {
        let named = args.name.as_deref();
        return signing::sign(asked, answer, args.key.as_deref(), named);
    };
    let text = read(file)?;
    let signer = Signature::read(&text).ok().and_then(|it| asked.people?.signer(&it));
    let by = signer.filter(|_| args.name.is_none()).map(|person| person.name.clone());
    let answer = Answer { by: by.unwrap_or_else(|| answer.by.clone()), ..answer };
    // Beside `message.sig` lies `message`: with it, what was signed instead can be told.
    let beside = file.extension().filter(|it| *it == "sig").map(|_| file.with_extension(""));
    let statement = beside.and_then(|path| engine::files::read_text(&path).ok());
    let statement = statement.unwrap_or_else(|| asked.statement(&answer));
    signing::signed(answer, statement, text)
}

fn read(file: &Path) -> Result<String, Failure> {
    engine::files::read_text(file).map_err(|error| {
        let message = format!("the signature `{}` could not be read", file.display());
        Failure::new(Exit::Invalid, "RB0997", message).why(error)
    })
}

fn refused(refusal: &Refusal) -> Failure {
    Failure::new(Exit::Refused, refusal.code(), refusal.to_string()).help(refusal.hint())
}

/// What became of the answer, and what a person does next.
fn told(
    folder: &StateFolder,
    run: RunId,
    step: &StepId,
    delivered: &Delivered,
) -> Result<(), Failure> {
    if let Delivered::HandedTo(holder) = delivered {
        print::message(&format!("handed to process {} on `{}`\n", holder.pid, holder.host));
        return Ok(());
    }
    let state = folder.state(run)?;
    let next = match missing(&state, step) {
        Some(missing) => format!("{missing} before the run goes on"),
        None => format!("`runbook resume {run}` acts on it"),
    };
    print::message(&format!("journalled; {next}\n"));
    Ok(())
}

/// What the question still needs.
fn missing(state: &RunState, step: &StepId) -> Option<String> {
    let question = state.question(step).filter(|question| question.is_open())?;
    let left = question.left();
    Some(if left.is_empty() {
        let more = (question.request.required as usize).saturating_sub(question.names().len());
        let person = if more == 1 { "person" } else { "persons" };
        format!("{more} more {person} must approve")
    } else {
        let items: Vec<String> = left.iter().map(ToString::to_string).collect();
        let item = if items.len() == 1 { "item" } else { "items" };
        format!("{item} {} must be ticked", items.join(", "))
    })
}
