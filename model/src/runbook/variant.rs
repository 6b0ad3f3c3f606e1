//! The variants of a runbook: live or drill, graceful or not.

use std::borrow::Cow;
use std::collections::HashSet;

use super::expand::Expansion;
use super::{Runbook, check, param, schedule, ungraceful};
use crate::catalog::Catalog;
use crate::codes::language as code;
use crate::diagnostic::Diagnostic;

/// Which run of a runbook is meant. The default is live and graceful.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Variant {
    /// With the parameters, connections, stores and steps of `drill`.
    pub drill: bool,
    /// With what the steps say under `ungraceful`.
    pub ungraceful: bool,
}

impl Variant {
    /// When it is meant.
    fn words(self) -> &'static str {
        match (self.drill, self.ungraceful) {
            (false, false) => "live",
            (true, false) => "in a drill",
            (false, true) => "with `--ungraceful`",
            (true, true) => "in an ungraceful drill",
        }
    }
}

impl Runbook {
    /// The runbook that this variant runs. An error when there is no drill.
    pub fn variant(&self, variant: Variant) -> Result<Cow<'_, Self>, Box<Diagnostic>> {
        if variant.drill && self.drill.is_none() {
            let message = format!("`{}` has no drill", self.header.name);
            let problem = Diagnostic::without_place(code::NO_DRILL, message)
                .why("without a `drill` section a drill would be a live run")
                .help("say in `drill` what is different: `params`, `replace`, `skip`, `connections`, `stores`");
            return Err(Box::new(problem));
        }
        if variant == Variant::default() {
            return Ok(Cow::Borrowed(self));
        }
        let mut other = self.clone();
        if let Some(drill) = self.drill.as_ref().filter(|_| variant.drill) {
            drill.apply(&mut other);
        }
        if variant.ungraceful {
            ungraceful::apply(&mut other);
        }
        Ok(Cow::Owned(other))
    }

    /// The variants that differ from the live one.
    fn others(&self) -> Vec<Variant> {
        let drill: &[bool] = if self.drill.is_some() { &[false, true] } else { &[false] };
        let said = ungraceful::is_said(self);
        let ungraceful: &[bool] = if said { &[false, true] } else { &[false] };
        let both = |drill: &bool| {
            let drill = *drill;
            ungraceful.iter().map(move |ungraceful| Variant { drill, ungraceful: *ungraceful })
        };
        drill.iter().flat_map(both).filter(|variant| *variant != Variant::default()).collect()
    }

    /// Checks all variants; a problem that an earlier one has too is told once.
    pub(super) fn check_variants(&self, catalog: &dyn Catalog, problems: &mut Vec<Diagnostic>) {
        if let Some(drill) = &self.drill {
            drill.check(self, problems);
        }
        let mut told = problems.clone();
        let (mut used, mut complete) = (HashSet::new(), true);
        for variant in std::iter::once(Variant::default()).chain(self.others()) {
            let Ok(runbook) = self.variant(variant) else { continue };
            let mut found = Vec::new();
            let examined = examined(&runbook, catalog, &mut found);
            schedule::unattended(&runbook, variant, &examined.steps, &mut found);
            used.extend(examined.used);
            complete &= examined.complete;
            found.retain(|problem| !told.contains(problem));
            told.extend(found.iter().cloned());
            problems.extend(found.into_iter().map(|problem| only(variant, problem)));
        }
        if complete && !problems.iter().any(Diagnostic::is_error) {
            check::report_unused(self, &used, problems);
        }
    }
}

/// Checks everything; the steps are those of a run without parameters.
fn examined(
    runbook: &Runbook,
    catalog: &dyn Catalog,
    problems: &mut Vec<Diagnostic>,
) -> check::Examined {
    let bound = param::samples(&runbook.params);
    let expansion = Expansion::new(runbook, bound, problems);
    let mut examined = check::examine(&expansion, catalog, problems);
    examined.steps.retain(|step| expansion.is_usual(step.scope.as_deref()));
    examined
}

/// Says of a problem in which variant alone it is one.
fn only(variant: Variant, problem: Diagnostic) -> Diagnostic {
    if variant == Variant::default() {
        return problem;
    }
    Diagnostic { message: format!("{}: {}", variant.words(), problem.message), ..problem }
}
