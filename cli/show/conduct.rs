//! What a plan says of the conduct of its runs, and of the steps that are not simply run in turn.

use model::plan::{LeftOut, Milestone, Occasion, OnConflict, Role, Rollback, Schedule};
use model::plan::{Overlap, ScheduledMode};
use model::preview::{Preview, StepPreview};

use crate::show::{amount, contact};

/// What stands above the steps, each with its label.
pub(crate) fn of_plan(preview: &Preview) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(concurrency) = &preview.concurrency {
        let beside = match concurrency.on_conflict {
            OnConflict::Fail => "refused beside another run of it",
            OnConflict::Queue => "waits for another run of it",
        };
        lines.push(("group", format!("{}; {beside}", concurrency.group)));
    }
    match preview.rollback {
        Rollback::Never => {}
        Rollback::OnFailure => {
            lines.push(("rollback", "after a failure, newest first".to_owned()));
        }
        Rollback::Ask => {
            lines.push(("rollback", "after a failure, when somebody agrees".to_owned()));
        }
    }
    if !preview.allowed_regions.is_empty() {
        lines.push(("regions", preview.allowed_regions.join(", ")));
    }
    lines.extend(preview.schedule.iter().map(|schedule| ("schedule", scheduled(schedule))));
    if let Some(review) = &preview.review {
        let by = review.approved_by.as_ref().map(|by| format!(", approved by {by}"));
        lines.push(("review", format!("by {}{}", review.by, by.unwrap_or_default())));
    }
    lines.extend(preview.contacts.iter().map(|one| ("contact", contact::line(one))));
    lines
}

fn scheduled(schedule: &Schedule) -> String {
    let drill = match schedule.mode {
        ScheduledMode::Live => "",
        ScheduledMode::Drill => ", a drill",
    };
    let overlap = match schedule.overlap {
        Overlap::Skip => "",
        Overlap::Queue => ", waits for the run before",
    };
    let catchup = schedule.catchup.map(|span| format!(", made up for within {span}"));
    let catchup = catchup.unwrap_or_default();
    format!("`{}` in {}{catchup}{overlap}{drill}", schedule.cron, schedule.timezone)
}

/// What is special about a step, each with its label.
pub(crate) fn of_step(step: &StepPreview) -> Vec<(&'static str, String)> {
    let reached = |milestone: &Milestone| {
        let rto = milestone.rto.map(|rto| format!(" within {rto}")).unwrap_or_default();
        format!("{}{rto}", milestone.name)
    };
    let all = [
        ("runs", when(&step.role)),
        ("left out", step.left_out.map(|why| left_out(why).to_owned())),
        (
            "failure",
            step.continue_on_failure.then(|| "the steps after it run all the same".to_owned()),
        ),
        ("slow after", step.slow_after.map(|span| span.to_string())),
        ("milestone", step.milestone.as_ref().map(reached)),
    ];
    all.into_iter().filter_map(|(label, value)| Some((label, value?))).collect()
}

/// When a step runs that is none of the runbook's own.
fn when(role: &Role) -> Option<String> {
    let text = match role {
        Role::Main => return None,
        Role::Consent => "after a failure, before anything is undone",
        Role::Undo(of) => return Some(format!("when `{of}` is undone")),
        Role::Handler(Occasion::Success) => "when the run has succeeded",
        Role::Handler(Occasion::Failure) => "when the run has failed",
        Role::Handler(Occasion::Abort) => "when the run was cancelled",
        Role::Handler(Occasion::Waiting) => "when the run waits for somebody",
        Role::Handler(Occasion::Exit) => "last, however the run ended",
    };
    Some(text.to_owned())
}

/// Why a step is left out.
fn left_out(why: LeftOut) -> &'static str {
    match why {
        LeftOut::Drill => "the drill skips it",
        LeftOut::Ungraceful => "the run is ungraceful",
    }
}

/// `3 steps, 1 undo, 2 steps of handlers`.
pub(crate) fn counted(preview: &Preview) -> String {
    let of = |is: fn(&Role) -> bool| preview.steps.iter().filter(|step| is(&step.role)).count();
    let mut text = amount::count(of(Role::is_main), "step");
    let undos = of(|role| matches!(role, Role::Undo(_)));
    let told = of(|role| matches!(role, Role::Handler(_)));
    if undos > 0 {
        text.push_str(", ");
        text.push_str(&amount::count(undos, "undo"));
    }
    if told > 0 {
        text.push_str(", ");
        text.push_str(&amount::count(told, "step"));
        text.push_str(" of handlers");
    }
    text
}
