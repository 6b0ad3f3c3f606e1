//! `runbook run` and `runbook resume`.

use std::sync::Arc;

use engine::driver::{Observer, RunOutcome};
use engine::modes::{self, Start, Surroundings};
use engine::orphans::Orphans;
use engine::state_folder::StateFolder;
use model::ids::RunId;
use model::journal::Record;
use model::run::state::RunStatus;

use crate::cli::{Attended, Format, Plan, PlanFormat, Resume, Run};
use crate::commands;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::people::OnScreen;
use crate::runbook_file::RunbookFile;
use crate::settings::Settings;
use crate::show::live::{Live, Screen};
use crate::show::print;
use crate::show::stream::{JsonLines, Lines};
use crate::{people, signals};

pub(crate) fn run(args: Run, settings: &Settings) -> Result<Exit, Failure> {
    if args.dry_run {
        let plan =
            Plan { file: args.file, params: args.params, format: PlanFormat::Text, out: None };
        return commands::plan::plan(&plan, settings);
    }
    engine::files::refuse_world_writable(&args.file)?;
    let file = RunbookFile::read(&args.file)?;
    let plan = match file.plan(&args.params.params, settings.colour) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    for included in plan.included.values() {
        engine::files::refuse_world_writable(included.source.file.as_ref())?;
    }
    let start = Start {
        starter: engine::environment::login(),
        incident_at: args.incident_at.or_else(|| people::incident(&plan, &args.attended)),
        unattended: !people::is_attended(&args.attended),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let state = settings.state()?;
    crate::runtime()?.block_on(async {
        let with = surroundings(&state, settings, &args.attended, &[])?;
        Ok(ended(&modes::run(plan, start, with).await?))
    })
}

pub(crate) fn resume(args: &Resume, settings: &Settings) -> Result<Exit, Failure> {
    let run = settings.state()?.find(args.run.run.as_deref().unwrap_or_default())?;
    take_over(run, settings, &args.attended)
}

/// Takes a run over and goes on with it as far as it goes.
pub(crate) fn take_over(
    run: RunId,
    settings: &Settings,
    attended: &Attended,
) -> Result<Exit, Failure> {
    let state = settings.state()?;
    crate::runtime()?.block_on(async {
        let past = state.events(run)?;
        let with = surroundings(&state, settings, attended, &past)?;
        Ok(ended(&modes::resume(run, engine::environment::login(), with).await?))
    })
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
    let approver = people::approver(attended).map(|approver| match screen {
        Some(screen) => Arc::new(OnScreen { screen, approver }),
        None => approver,
    });
    Ok(Surroundings {
        registry: steps::REGISTRY,
        state,
        probes: Arc::new(steps::probes::Looks),
        approver,
        observers: vec![observer],
        cancels: Some(cancels),
        orphans: Orphans::Wait,
    })
}

/// Says what a person does next, where the run did not end.
fn ended(outcome: &RunOutcome) -> Exit {
    let run = outcome.run;
    match outcome.status {
        RunStatus::WaitingForApproval => print::message(&format!(
            "waiting for approval; `runbook resume {run}` asks on a terminal\n"
        )),
        RunStatus::InDoubt => {
            print::message(&format!("in doubt; `runbook status {run}` shows what to resolve\n"));
        }
        RunStatus::Paused => print::message(&format!("paused; `runbook resume {run}` goes on\n")),
        _ => print::message(&format!("report: runbook report {run}\n")),
    }
    Exit::from(outcome.status)
}
