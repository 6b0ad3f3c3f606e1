//! `runbook run` and `runbook resume`.

use std::sync::Arc;

use engine::clock::{Clock as _, RealClock};
use engine::driver::{Approver, Observer, RunOutcome};
use engine::modes::{self, Start, Surroundings};
use engine::orphans::Orphans;
use engine::state_folder::StateFolder;
use jiff::Timestamp;
use model::ids::{RunId, StepId};
use model::journal::Record;
use model::run::stage::Reopening;
use model::run::state::{RunState, RunStatus};

use crate::at_terminal::AtTerminal;
use crate::cli::{Attended, Format, Plan, PlanFormat, Resume, Run, Undo};
use crate::commands;
use crate::commands::request::confirmed;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::runbook_file::RunbookFile;
use crate::settings::Settings;
use crate::show::live::{Live, Screen};
use crate::show::print;
use crate::show::stream::{JsonLines, Lines};
use crate::{approvers_file, people, signals};

pub(crate) fn run(args: Run, settings: &Settings) -> Result<Exit, Failure> {
    if args.dry_run {
        let plan = Plan {
            file: args.file,
            params: args.params,
            format: PlanFormat::Text,
            without_region: None,
            out: None,
        };
        return commands::plan::plan(&plan, settings);
    }
    engine::files::refuse_world_writable(&args.file)?;
    let file = RunbookFile::read(&args.file)?;
    let plan = match file.plan(&args.params, settings.colour) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    for included in plan.included.values() {
        engine::files::refuse_world_writable(included.source.file.as_ref())?;
    }
    refuse_future(args.incident_at)?;
    let state = settings.state()?;
    let asks = plan.steps.iter().any(|step| step.footprint.waits_for_person);
    let approvers = approvers_file::locate(args.approvers.as_deref(), Some(&args.file), &state);
    let approvers = approvers.filter(|_| asks);
    let start = Start {
        starter: engine::environment::login(),
        incident_at: args.incident_at.or_else(|| people::incident(&plan, &args.attended)),
        unattended: !people::is_attended(&args.attended),
        drill: args.params.drill,
        approvers: approvers
            .map(|path| approvers_file::read(&path, settings.colour))
            .transpose()?,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
    };
    crate::act(async {
        let with = surroundings(&state, settings, &args.attended, &[])?;
        Ok(ended(&state, &modes::run(plan, start, with).await?))
    })?
}

/// An incident that is still to come would make every objective look met.
fn refuse_future(incident: Option<Timestamp>) -> Result<(), Failure> {
    match incident.filter(|at| *at > RealClock.now()) {
        Some(at) => {
            let message = format!("`--incident-at {at}` lies in the future");
            let failure = Failure::new(Exit::Invalid, "RB0914", message);
            Err(failure.help("say when the incident began, with its time zone"))
        }
        None => Ok(()),
    }
}

pub(crate) fn resume(args: &Resume, settings: &Settings) -> Result<Exit, Failure> {
    let run = settings.state()?.find(args.run.run.as_deref().unwrap_or_default())?;
    let what = args.retry_failed.then_some(Reopening::RetryFailed);
    go_on(run, what, settings, &args.attended)
}

/// Undoes the finished steps of a run that has ended, when a person agrees.
pub(crate) fn undo(args: &Undo, settings: &Settings) -> Result<Exit, Failure> {
    let folder = settings.state()?;
    let run = folder.find(&args.run)?;
    let state = folder.state(run)?;
    let steps = state.undoable();
    if state.finished().is_some() && !steps.is_empty() && !args.attended.yes {
        let steps: Vec<String> = steps.iter().map(|step| format!("  {step}\n")).collect();
        print::message(&format!("to be undone, in this order:\n{}", steps.concat()));
        if !confirmed("undo") {
            let message = "`undo` was not typed; nothing was changed";
            return Err(Failure::new(Exit::Refused, "RB0906", message)
                .help("type it at the prompt, or say `--yes`"));
        }
    }
    go_on(run, Some(Reopening::Undo), settings, &args.attended)
}

/// Takes a run over and goes on with it as far as it goes.
pub(crate) fn take_over(
    run: RunId,
    settings: &Settings,
    attended: &Attended,
) -> Result<Exit, Failure> {
    go_on(run, None, settings, attended)
}

fn go_on(
    run: RunId,
    what: Option<Reopening>,
    settings: &Settings,
    attended: &Attended,
) -> Result<Exit, Failure> {
    let (state, by) = (settings.state()?, engine::environment::login());
    crate::act(async {
        let past = state.events(run)?;
        let with = surroundings(&state, settings, attended, &past)?;
        let outcome = match what {
            Some(what) => modes::reopen(run, by, what, with).await?,
            None => modes::resume(run, by, with).await?,
        };
        Ok(ended(&state, &outcome))
    })?
}

fn surroundings<'a>(
    state: &'a StateFolder,
    settings: &Settings,
    attended: &Attended,
    past: &[Record],
) -> Result<Surroundings<'a>, Failure> {
    let drawn = attended.format == Format::Text && settings.terminal;
    let screen = drawn.then(|| Screen::new(settings.colour, settings.unicode, state));
    let observer: Box<dyn Observer> = match (&screen, attended.format) {
        (Some(screen), _) => Box::new(Live::new(screen, past)),
        (None, Format::Text) => Box::new(Lines::new(settings.colour)),
        (None, Format::Json) => Box::new(JsonLines),
    };
    let cancels = signals::cancels(screen.clone()).map_err(|error| {
        Failure::new(Exit::Bug, "RB0910", "signals cannot be received").why(error)
    })?;
    let approver = people::approver(attended, settings.colour);
    let attends = people::is_attended(attended);
    let approver: Option<Arc<dyn Approver>> = match approver {
        Some(approver) if attends => Some(Arc::new(AtTerminal { screen, approver })),
        approver => approver,
    };
    Ok(Surroundings {
        registry: steps::REGISTRY,
        state,
        probes: Arc::new(steps::probes::Looks),
        provider: Arc::new(steps::aws::secrets::Provider),
        approver,
        observers: vec![observer],
        cancels: Some(cancels),
        orphans: Orphans::Wait,
    })
}

/// Says what a person does next, where the run did not end.
fn ended(state: &StateFolder, outcome: &RunOutcome) -> Exit {
    let run = outcome.run;
    if let Ok(state) = state.state(run) {
        print::message(&left(&state));
    }
    match outcome.status {
        RunStatus::WaitingForApproval => print::message(&format!(
            "waiting for approval; `runbook status {run}` shows what is asked, `runbook approve` \
             answers\n"
        )),
        RunStatus::InDoubt => {
            print::message(&format!("in doubt; `runbook status {run}` shows what to resolve\n"));
        }
        RunStatus::Paused => print::message(&format!("paused; `runbook resume {run}` goes on\n")),
        _ => print::message(&format!("report: runbook report {run}\n")),
    }
    Exit::from(outcome.status)
}

/// Which finished steps still have their effect, where undo ended before all were undone.
fn left(state: &RunState) -> String {
    match state.left_standing().as_slice() {
        [] => String::new(),
        steps => format!("left standing: {}\n", listed(steps)),
    }
}

/// `a, b`.
pub(crate) fn listed(steps: &[&StepId]) -> String {
    let steps: Vec<&str> = steps.iter().map(|step| step.as_str()).collect();
    steps.join(", ")
}
