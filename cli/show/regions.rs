//! What steps need, and where that is; and what could not run without a region.

use std::fmt::{self, Write as _};

use model::plan::Role;
use model::preview::{Preview, StepPreview};
use model::region::{Blocked, RegionUse, Without};

use crate::show::plan::word;
use crate::show::{amount, table};

/// What a step needs, a line each.
pub(crate) fn of_step(step: &StepPreview) -> Vec<String> {
    step.regions.iter().map(line).collect()
}

/// `us-west-2: rds (control plane) at rds.us-west-2.amazonaws.com; rds:DescribeDBInstances`.
fn line(need: &RegionUse) -> String {
    let mut line = format!("{}: {} ({} plane)", place(need), need.what, word(&need.plane));
    if let Some(endpoint) = &need.endpoint {
        write!(line, " at {endpoint}").expect("writing to a string does not fail");
    }
    if !need.actions.is_empty() {
        write!(line, "; {}", need.actions.join(", ")).expect("writing to a string does not fail");
    }
    if need.may_be_away {
        line.push_str("; may be away");
    }
    line
}

fn place(need: &RegionUse) -> &str {
    match &need.region {
        Some(region) => region,
        None if model::region::is_of_the_world(&need.what) => "any region",
        None => "region of the environment",
    }
}

/// What all steps need, when any says where.
pub(crate) fn table_of(preview: &Preview) -> Option<String> {
    let rows = preview.steps.iter().flat_map(|step| {
        step.regions.iter().map(|need| {
            vec![
                format!("`{}`", step.id),
                need.what.clone(),
                place(need).to_owned(),
                word(&need.plane),
                need.endpoint.clone().unwrap_or_default(),
                need.actions.join(", "),
            ]
        })
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let header = ["step", "needs", "region", "plane", "endpoint", "actions"];
    (!rows.is_empty()).then(|| table::markdown(&header, rows))
}

/// What could not run, for a terminal.
pub(crate) fn text(found: &Without) -> String {
    let mut out = String::new();
    write_text(&mut out, found).expect("writing to a string does not fail");
    out
}

fn write_text(out: &mut String, found: &Without) -> fmt::Result {
    writeln!(out, "plan {} without {}", found.name, found.region)?;
    for step in &found.blocked {
        writeln!(out, "\n{}  {}{}", step.id, step.uses, remark(step))?;
        for need in &step.needs {
            writeln!(out, "    needs {}", line(need))?;
        }
    }
    writeln!(out)?;
    for note in notes(found) {
        writeln!(out, "{note}")?;
    }
    writeln!(out, "{}; nothing was executed", verdict(found))
}

/// What could not run, as Markdown.
pub(crate) fn markdown(found: &Without) -> String {
    let mut out = String::new();
    write_markdown(&mut out, found).expect("writing to a string does not fail");
    out
}

fn write_markdown(out: &mut String, found: &Without) -> fmt::Result {
    writeln!(out, "# Plan of `{}` without `{}`\n", found.name, found.region)?;
    if !found.blocked.is_empty() {
        let rows = found.blocked.iter().map(|step| {
            let needs: Vec<String> = step.needs.iter().map(line).collect();
            let special = remark(step).trim_start_matches([' ', '(']).trim_end_matches(')').into();
            vec![format!("`{}`", step.id), format!("`{}`", step.uses), needs.join("; "), special]
        });
        let header = ["step", "uses", "needs there", "special"];
        writeln!(out, "{}\n", table::markdown(&header, rows))?;
    }
    for note in notes(found) {
        writeln!(out, "- {note}")?;
    }
    writeln!(out, "\n{}; nothing was executed.", verdict(found))
}

/// Why a step that could not run does not count.
fn remark(step: &Blocked) -> &'static str {
    match step.role {
        _ if step.left_out_when_ungraceful => "  (left out by `--ungraceful`)",
        Role::Main => "",
        Role::Undo(_) => "  (an undo)",
        Role::Handler(_) | Role::Consent => "  (a handler)",
    }
}

fn notes(found: &Without) -> Vec<String> {
    let mut notes = Vec::new();
    let mut add = |what: &str, names: &[String]| {
        if !names.is_empty() {
            notes.push(format!("{what}: {}", names.join(", ")));
        }
    };
    add("would not be reached", &found.unreached);
    add("the steps name the regions", &found.regions);
    add("nothing tells where these connections are (say `region`)", &found.untold);
    add("the region comes from the environment of the run", &found.by_environment);
    notes
}

fn verdict(found: &Without) -> String {
    let count = found.blocked.len();
    let region = &found.region;
    match (count, found.could_run) {
        (0, _) => format!("no step needs {region}"),
        (_, true) => format!("{} could not run, none of which the runbook needs", counted(count)),
        (_, false) => format!("{} could not run without {region}", counted(count)),
    }
}

fn counted(count: usize) -> String {
    amount::count(count, "step")
}
