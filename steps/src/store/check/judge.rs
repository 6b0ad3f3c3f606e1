//! What a store holds against what is asked for. Pure.

use jiff::Timestamp;
use model::units::{ByteSize, Span};

use super::{CheckResult, Input, Output};
use crate::store::list::age;
use crate::store::sets::{Found, StoredSet, Why};

/// What a look at the store gave.
pub(super) struct Seen<'a> {
    pub(super) found: &'a Found,
    pub(super) free: Option<u64>,
    pub(super) now: Timestamp,
}

/// Makes every check that is asked for.
pub(super) fn judge(input: &Input, seen: &Seen<'_>) -> Output {
    let sets: Vec<&StoredSet> = seen.found.sets.iter().filter(|set| counts(input, set)).collect();
    let newest = sets.first().copied();
    let proven: Vec<&StoredSet> = sets.iter().copied().filter(|set| set.facts.proven).collect();
    let newest_proven = proven.first().copied();
    let damaged = seen.found.broken.iter().filter(|broken| broken.why != Why::Unfinished);
    let mut output = Output {
        passed: true,
        checks: Vec::new(),
        sets: sets.len() as u64,
        proven: proven.len() as u64,
        newest: newest.map(|set| set.facts.set.clone()),
        newest_proven: newest_proven.map(|set| set.facts.set.clone()),
        age: newest_proven.map(|set| age(set.facts.taken, seen.now)),
        unproven_newer: sets.iter().take_while(|set| !set.facts.proven).count() as u64,
        damaged: damaged.count() as u64,
        bytes: newest.map(|set| set.own_bytes),
        drift: newest.and_then(|newest| drift(newest, &proven, input.drift_sets)),
        free: seen.free,
        copies: Vec::new(),
    };
    output.checks = checks(input, &output);
    output.passed = output.checks.iter().all(|check| check.holds);
    output
}

/// The newest proven set that counts.
pub(super) fn newest_proven<'f>(input: &Input, found: &'f Found) -> Option<&'f StoredSet> {
    found.sets.iter().find(|set| counts(input, set) && set.facts.proven)
}

fn counts(input: &Input, set: &StoredSet) -> bool {
    let labelled = input.label.is_none() || set.facts.label == input.label;
    labelled && set.covers(input.tables)
}

/// By how many percent the newest set differs from the median of the proven ones before it, of
/// the same database and scope.
fn drift(newest: &StoredSet, proven: &[&StoredSet], look_back: usize) -> Option<i64> {
    let alike = |set: &&&StoredSet| {
        set.facts.set != newest.facts.set
            && set.database == newest.database
            && set.facts.scope == newest.facts.scope
    };
    let mut sizes: Vec<u64> =
        proven.iter().filter(alike).take(look_back).map(|set| set.own_bytes).collect();
    sizes.sort_unstable();
    let median = i128::from(*sizes.get(sizes.len() / 2)?);
    let percent = (i128::from(newest.own_bytes) - median) * 100 / median.max(1);
    Some(i64::try_from(percent).unwrap_or(i64::MAX))
}

fn checks(input: &Input, output: &Output) -> Vec<CheckResult> {
    let checks = [
        input.max_age.map(|most| max_age(output, most)),
        input.max_drift.map(|most| max_drift(output, most)),
        input.min_free.map(|least| min_free(output, least)),
        input.min_proven.map(|least| {
            let found =
                format!("{} sets are proven, at least {least} are asked for", output.proven);
            result("min_proven", output.proven >= least, found)
        }),
        input.max_unproven.map(|most| max_unproven(output, most)),
        input.max_damaged.map(|most| {
            let found = format!("{} are damaged, at most {most} may be", output.damaged);
            result("max_damaged", output.damaged <= most, found)
        }),
    ];
    checks.into_iter().flatten().collect()
}

fn result(check: &str, holds: bool, found: String) -> CheckResult {
    CheckResult { check: check.to_owned(), holds, found }
}

fn max_age(output: &Output, most: Span) -> CheckResult {
    match output.age {
        Some(age) => {
            let found = format!("the newest proven set is {age} old, at most {most} is asked for");
            result("max_age", age <= most, found)
        }
        None if output.sets == 0 => result("max_age", false, "there is no set".to_owned()),
        None => {
            let found = format!("none of {} sets is proven", output.sets);
            result("max_age", false, found)
        }
    }
}

fn max_drift(output: &Output, most: u32) -> CheckResult {
    match (output.drift, output.sets) {
        (Some(drift), _) => {
            let size = if drift < 0 { "smaller" } else { "larger" };
            let percent = drift.unsigned_abs();
            let found = format!(
                "the newest set is {percent} % {size} than the proven ones before it, at most \
                 {most} % is asked for"
            );
            result("max_drift", percent <= u64::from(most), found)
        }
        (None, 0) => result("max_drift", false, "there is no set".to_owned()),
        (None, _) => {
            result("max_drift", true, "there is no proven set before the newest one".to_owned())
        }
    }
}

fn min_free(output: &Output, least: ByteSize) -> CheckResult {
    let Some(free) = output.free else {
        return result("min_free", false, "the store cannot tell how much is free".to_owned());
    };
    let found = format!("{free} bytes are free, at least {least} is asked for");
    result("min_free", free >= least.bytes(), found)
}

fn max_unproven(output: &Output, most: u64) -> CheckResult {
    if output.sets == 0 {
        return result("max_unproven", false, "there is no set".to_owned());
    }
    let newer = output.unproven_newer;
    let found = match &output.newest_proven {
        Some(proven) => format!("{newer} sets are newer than `{proven}`, the newest proven one"),
        None => format!("none of {newer} sets is proven"),
    };
    result("max_unproven", newer <= most, format!("{found}; at most {most} may be"))
}
