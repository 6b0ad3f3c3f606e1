//! `schedule`: when runs start by themselves, and whether they can do so without anybody there.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::Runbook;
use super::fields::{Fields, Keys};
use super::variant::Variant;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, SourceSpan};
use crate::plan::{PlanStep, Schedule, ScheduledMode};
use crate::suggest;
use crate::units::Span;

pub(crate) const SCHEDULE: Keys = Keys {
    what: "a schedule",
    known: &["cron", "timezone", "catchup", "overlap", "mode"],
    later: &[],
};

/// The five fields of a line, in their order, and what they may be.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "from 0 to 59"),
    ("hour", "from 0 to 23"),
    ("day of the month", "from 1 to 31, or `L` for the last one"),
    ("month", "from 1 to 12, or `jan` to `dec`"),
    ("day of the week", "from 0 (Sunday) to 6, or `sun` to `sat`"),
];
const FORM: &str = "minute, hour, day of the month, month, day of the week: `0 2 * * *`";

/// A start that was missed longer ago is not made up for.
const LONGEST_CATCHUP: Duration = Duration::from_hours(31 * 24);

/// A schedule and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Scheduled {
    pub(super) schedule: Schedule,
    span: SourceSpan,
}

/// Reads the list.
pub(super) fn read(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Vec<Scheduled> {
    let items = fields.items("schedule", problems);
    items.iter().filter_map(|item| one(item, problems)).collect()
}

fn one(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Scheduled> {
    let fields = Fields::new(node, &SCHEDULE, problems);
    let zone = zone(&fields, problems);
    let catchup = catchup(&fields, problems);
    let overlap = fields.read("overlap", problems).unwrap_or_default();
    let mode = fields.read("mode", problems).unwrap_or_default();
    let cron: String = fields.required("cron", problems)?;
    let span = fields.get("cron")?.span.clone();
    if let Err(problem) = fires(&cron, &span) {
        problems.push(*problem);
        return None;
    }
    let schedule = Schedule { cron, timezone: zone?, catchup, overlap, mode };
    Some(Scheduled { schedule, span })
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build()
}

/// Whether a line is one, and starts anything ever.
fn fires(cron: &str, span: &SourceSpan) -> Result<(), Box<Diagnostic>> {
    let parsed: Cron = parser().parse(cron).map_err(|_| Box::new(wrong(cron, span)))?;
    let start = date(2026, 1, 1).at(0, 0, 0, 0).to_zoned(TimeZone::UTC);
    let start = start.expect("a time in UTC is never ambiguous");
    if parsed.find_next_occurrence(&start, true).is_ok() {
        return Ok(());
    }
    let message = format!("`{cron}` never comes");
    Err(Box::new(
        Diagnostic::error(code::NEVER_FIRES, span.clone(), message)
            .why("no month that it names has that day")
            .help("`0 2 28-31 * *` comes on the last days of every month; `L` is the last one"),
    ))
}

/// Names the field that is wrong.
fn wrong(cron: &str, span: &SourceSpan) -> Diagnostic {
    let written: Vec<&str> = cron.split_whitespace().collect();
    let refused = |message| Diagnostic::error(code::CRON, span.clone(), message).help(FORM);
    if written.len() != FIELDS.len() {
        return refused(format!("a cron line has five fields, not {}", written.len()));
    }
    let is_wrong = |at: &usize| {
        let mut fields = ["*"; 5];
        fields[*at] = written[*at];
        parser().parse(&fields.join(" ")).is_err()
    };
    match (0..FIELDS.len()).find(is_wrong) {
        Some(at) => {
            let (field, range) = FIELDS[at];
            refused(format!("`{}` cannot be the {field} of a cron line", written[at])).why(format!(
                "it is {range}; also `*`, a list `1,3`, a range `1-3` or a step `*/3`"
            ))
        }
        None => refused(format!("`{cron}` is not a cron line")),
    }
}

/// The name of the time zone; the data are part of the program.
fn zone(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<String> {
    if fields.get("timezone").is_none() {
        return Some("UTC".to_owned());
    }
    let name: String = fields.read("timezone", problems)?;
    let zones = TimeZoneDatabase::bundled();
    if zones.get(&name).is_ok() {
        return Some(name);
    }
    let span = fields.get("timezone")?.span.clone();
    let known: Vec<String> = zones.available().map(|name| name.to_string()).collect();
    let help = suggest::nearest(&name, known.iter().map(String::as_str)).map_or_else(
        || "write a name such as `UTC` or `Europe/Berlin`".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    let problem = Diagnostic::error(code::TIME_ZONE, span, format!("unknown time zone `{name}`"));
    problems.push(problem.help(help));
    None
}

fn catchup(fields: &Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Span> {
    let catchup: Span = fields.read("catchup", problems)?;
    let span = fields.get("catchup")?.span.clone();
    let refused = |message: &str| Diagnostic::error(code::VALUE, span, message);
    if catchup.duration().is_zero() {
        let problem = refused("`catchup` must be above 0");
        problems.push(problem.help("remove `catchup` to make up for nothing"));
    } else if catchup.duration() > LONGEST_CATCHUP {
        let problem = refused("`catchup` is at most 31 days");
        problems.push(problem.why("what was missed that long ago is better started by a person"));
    }
    Some(catchup)
}

/// Warns of what would need a person in runs that start by themselves, and refuses drills of
/// a runbook that has none.
pub(super) fn unattended(
    runbook: &Runbook,
    variant: Variant,
    steps: &[PlanStep],
    problems: &mut Vec<Diagnostic>,
) {
    let drill = |one: &&Scheduled| one.schedule.mode == ScheduledMode::Drill;
    let schedule = &runbook.conduct.schedule;
    for one in schedule.iter().filter(|one| drill(one) == variant.drill && !variant.ungraceful) {
        let warned = |message: String| {
            Diagnostic::warning(code::UNATTENDED, one.span.clone(), message)
                .why("nobody is there when it starts by itself")
        };
        let missing = runbook.params().filter(|(_, param)| param.is_open());
        problems.extend(missing.map(|(name, _)| {
            warned(format!("a scheduled run has no value for the parameter `{name}`"))
                .help("give it a `default` or an `env`")
        }));
        problems.extend(steps.iter().filter(|step| waits_for_ever(step)).map(|step| {
            warned(format!("a scheduled run waits at `{}` until somebody comes", step.id))
                .help("give the step a `timeout`, or replace it in a drill and schedule that")
        }));
    }
    if runbook.drill.is_none() && variant == Variant::default() {
        problems.extend(schedule.iter().filter(drill).map(|one| {
            Diagnostic::error(code::NO_DRILL, one.span.clone(), "a scheduled drill, and no `drill`")
                .help("say in `drill` what is different, or write `mode: live`")
        }));
    }
}

fn waits_for_ever(step: &PlanStep) -> bool {
    step.footprint.waits_for_person
        && step.left_out.is_none()
        && step.timeout.is_none()
        && step.deadline.is_none()
        && step.with.get("timeout").is_none_or(serde_json::Value::is_null)
}
