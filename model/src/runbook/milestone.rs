//! Checks the milestones of a runbook against each other and against its objectives.

use std::collections::HashMap;

use super::expand::Expansion;
use super::step::Marked;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::SourceSpan;
use crate::units::Span;

/// Reports names that stand twice, and milestones that come after the whole must be done.
pub(super) fn check(expansion: &Expansion<'_>, problems: &mut Vec<Diagnostic>) {
    let mut first: HashMap<&str, &SourceSpan> = HashMap::new();
    let rto = expansion.parts[0].runbook.header.objectives.rto;
    for one in &expansion.steps {
        let Some(marked) = &one.step.milestone else { continue };
        let name = marked.milestone.name.as_str();
        if let Some(earlier) = first.get(name) {
            let message = format!("two milestones have the name `{name}`");
            problems.push(
                Diagnostic::error(code::MILESTONE, marked.name_span.clone(), message)
                    .also((*earlier).clone(), "the first one is here")
                    .help("give one of them another name"),
            );
        } else {
            first.insert(name, &marked.name_span);
        }
        beyond(rto, marked, problems);
    }
}

fn beyond(whole: Option<Span>, marked: &Marked, problems: &mut Vec<Diagnostic>) {
    let (Some(whole), Some(part), Some(span)) = (whole, marked.milestone.rto, &marked.rto_span)
    else {
        return;
    };
    if part.duration() > whole.duration() {
        let name = &marked.milestone.name;
        let message = format!("the milestone `{name}` may come later than the RTO, {whole}");
        problems.push(
            Diagnostic::warning(code::MILESTONE_LATE, span.clone(), message)
                .why("a milestone is reached on the way, so its time is part of the whole")
                .help(format!("write at most `{whole}`, or raise `objectives.rto`")),
        );
    }
}
