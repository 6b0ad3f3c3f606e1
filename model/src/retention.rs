//! Which backup sets may go. Keep rules as `restic forget` has them (the newest set of each
//! period that has one, natural boundaries in UTC, weeks from Monday, rules joined by *or*), and
//! stricter in one thing: only a proven set counts, so that nights of failing backups never push
//! the last good ones out.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::proof::{Level, Proof};
use crate::set::SetId;
use crate::set::manifest::Scope;

/// The number of newest proven sets that stay, whatever the rules say, unless a policy says
/// another one.
pub const MIN_PROVEN: u32 = 2;

/// What retention needs to know of one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetFacts {
    /// The set.
    pub set: SetId,
    /// Sets of different labels are judged apart.
    pub label: Option<String>,
    /// Sets of different scope are judged apart: one table's set replaces no full one.
    pub scope: Scope,
    /// The moment the set holds: the snapshot time of its manifest.
    pub taken: Timestamp,
    /// It is proven at the store's `min_proof`: see [`is_proven`].
    pub proven: bool,
    /// Somebody marked it to stay.
    pub pinned: bool,
}

/// How many sets each rule keeps; 0 is no rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The newest proven sets, whenever they were taken.
    pub last: u32,
    /// Proven sets, the newest of each hour that has one.
    pub hourly: u32,
    /// Proven sets, the newest of each day (UTC) that has one.
    pub daily: u32,
    /// Proven sets, the newest of each week (from Monday, UTC) that has one.
    pub weekly: u32,
    /// Proven sets, the newest of each month (UTC) that has one.
    pub monthly: u32,
    /// Proven sets, the newest of each year (UTC) that has one.
    pub yearly: u32,
}

/// Keep rules with their floor, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    keep: Keep,
    min_proven: u32,
}

/// Why rules are no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// No rule keeps anything.
    #[error("no rule keeps anything: every set but the newest proven ones would go")]
    Empty,
    /// The floor is 0.
    #[error("`min_proven` is 0: the last proven set could go")]
    NoFloor,
}

/// What becomes of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It stays.
    Keep,
    /// It may go.
    Delete,
}

/// What becomes of a set, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The set.
    pub set: SetId,
    /// Its fate.
    pub fate: Fate,
    /// Every reason, in words; at least one.
    pub reasons: Vec<String>,
}

impl Policy {
    /// Rules and a floor: the `min_proven` newest proven sets of each label and scope stay.
    pub fn new(keep: Keep, min_proven: u32) -> Result<Self, InvalidPolicy> {
        if keep == Keep::default() {
            return Err(InvalidPolicy::Empty);
        }
        if min_proven == 0 {
            return Err(InvalidPolicy::NoFloor);
        }
        Ok(Self { keep, min_proven })
    }
}

#[derive(Clone, Copy)]
enum Period {
    Always,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// One keep rule while the sets pass by, newest first.
struct Rule {
    name: &'static str,
    period: Period,
    limit: u32,
    kept: u32,
    newest: Option<String>,
}

fn rules(keep: &Keep) -> [Rule; 6] {
    [
        ("last", Period::Always, keep.last),
        ("hourly", Period::Hour, keep.hourly),
        ("daily", Period::Day, keep.daily),
        ("weekly", Period::Week, keep.weekly),
        ("monthly", Period::Month, keep.monthly),
        ("yearly", Period::Year, keep.yearly),
    ]
    .map(|(name, period, limit)| Rule { name, period, limit, kept: 0, newest: None })
}

fn monday(date: Date) -> Date {
    let back = i64::from(date.weekday().to_monday_zero_offset());
    date.checked_sub(jiff::Span::new().days(back)).unwrap_or(Date::MIN)
}

impl Period {
    fn name(self, at: &Zoned) -> String {
        match self {
            Self::Always => at.timestamp().to_string(),
            Self::Hour => at.strftime("%Y-%m-%dT%H").to_string(),
            Self::Day => at.date().to_string(),
            Self::Week => format!("the week of {}", monday(at.date())),
            Self::Month => at.strftime("%Y-%m").to_string(),
            Self::Year => at.strftime("%Y").to_string(),
        }
    }
}

impl Rule {
    /// The reason to keep the next older set, if this rule keeps it.
    fn reason(&mut self, taken: Timestamp) -> Option<String> {
        if self.kept == self.limit {
            return None;
        }
        let period = self.period.name(&taken.to_zoned(TimeZone::UTC));
        let is_last = matches!(self.period, Period::Always);
        if !is_last && self.newest.as_ref() == Some(&period) {
            return None;
        }
        self.kept += 1;
        let of = if is_last { String::new() } else { format!(", newest of {period}") };
        self.newest = Some(period);
        Some(format!("{} {} of {}{of}", self.name, self.kept, self.limit))
    }
}

/// How far a set with these proofs is proven: the highest level among the proofs that passed since
/// the last one that failed, at whatever level that was. A newer proof of a lower level that
/// passed does not contradict an older one of a higher level. A proof that passed at the moment
/// another failed counts as before it. Proofs of another manifest count for nothing.
pub fn proven_level(proofs: &[Proof], manifest_sha256: &str) -> Option<Level> {
    let of_this = || proofs.iter().filter(|proof| proof.manifest_sha256 == manifest_sha256);
    let failed = of_this().filter(|proof| !proof.passed).map(|proof| proof.finished).max();
    let stands = of_this().filter(|proof| proof.passed && Some(proof.finished) > failed);
    stands.filter_map(|proof| proof.reached).max()
}

/// Whether a set with these proofs is proven at `min`: its [`proven_level`] is at least that.
pub fn is_proven(proofs: &[Proof], manifest_sha256: &str, min: Level) -> bool {
    proven_level(proofs, manifest_sha256) >= Some(min)
}

/// Judges every set, newest first. Sets of each label and scope are judged apart. The order is
/// that of the moments the sets hold, never of names.
///
/// Whatever the policy and the history: a pinned set stays, a set dated after `now` stays, the
/// newest `min_proven` proven sets stay, sets newer than the newest proven one stay, and where no
/// set is proven all stay.
pub fn retain(sets: &[SetFacts], policy: &Policy, now: Timestamp) -> Vec<Verdict> {
    let mut newest_first: Vec<&SetFacts> = sets.iter().collect();
    newest_first.sort_by(|a, b| (b.taken, &b.set).cmp(&(a.taken, &a.set)));
    let mut groups: Vec<Group> = Vec::new();
    let judged = newest_first.into_iter().map(|set| {
        let known = groups.iter().position(|group| group.holds(set));
        let index = known.unwrap_or_else(|| {
            groups.push(Group::new(set, policy, sets, now));
            groups.len() - 1
        });
        groups[index].judge(set)
    });
    judged.collect()
}

/// The sets of one label and scope, judged newest first.
struct Group<'a> {
    label: &'a Option<String>,
    scope: &'a Scope,
    now: Timestamp,
    newest_proven: Option<&'a SetFacts>,
    rules: [Rule; 6],
    floor: Rule,
}

impl<'a> Group<'a> {
    fn new(first: &'a SetFacts, policy: &Policy, sets: &'a [SetFacts], now: Timestamp) -> Self {
        let (label, scope) = (&first.label, &first.scope);
        let newest_proven = sets
            .iter()
            .filter(|set| set.label == *label && set.scope == *scope)
            .filter(|set| set.proven && set.taken <= now)
            .max_by(|a, b| (a.taken, &a.set).cmp(&(b.taken, &b.set)));
        let floor = Rule {
            name: "newest proven",
            period: Period::Always,
            limit: policy.min_proven,
            kept: 0,
            newest: None,
        };
        Self { label, scope, now, newest_proven, rules: rules(&policy.keep), floor }
    }

    fn holds(&self, set: &SetFacts) -> bool {
        *self.label == set.label && *self.scope == set.scope
    }

    fn judge(&mut self, set: &SetFacts) -> Verdict {
        let reasons = self.reasons_to_keep(set);
        if reasons.is_empty() {
            let reasons = vec![self.reason_to_delete(set)];
            return Verdict { set: set.set.clone(), fate: Fate::Delete, reasons };
        }
        Verdict { set: set.set.clone(), fate: Fate::Keep, reasons }
    }

    fn reasons_to_keep(&mut self, set: &SetFacts) -> Vec<String> {
        let mut reasons = Vec::new();
        if set.pinned {
            reasons.push("pinned".to_owned());
        }
        if set.taken > self.now {
            reasons.push("dated in the future".to_owned());
        } else if set.proven {
            reasons.extend(self.rules.iter_mut().filter_map(|rule| rule.reason(set.taken)));
            reasons.extend(self.floor.reason(set.taken));
        } else {
            reasons.extend(self.reason_to_keep_unproven(set));
        }
        reasons
    }

    fn reason_to_keep_unproven(&self, set: &SetFacts) -> Option<String> {
        match self.newest_proven {
            None => Some("no set is proven".to_owned()),
            Some(proven) if set.taken >= proven.taken => {
                Some("not proven, and not older than the newest proven set".to_owned())
            }
            Some(_) => None,
        }
    }

    fn reason_to_delete(&self, set: &SetFacts) -> String {
        match self.newest_proven {
            Some(proven) if !set.proven => {
                format!("not proven, and older than the proven set {}", proven.set)
            }
            _ => "no rule keeps it".to_owned(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = match self.fate {
            Fate::Keep => "keep",
            Fate::Delete => "delete",
        };
        write!(f, "{fate} {}: {}", self.set, self.reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::set::difference::Checked;
    use crate::set::id::utc_stamp;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A set whose name says nothing about its moment.
    fn set(number: usize, taken: Timestamp, proven: bool) -> SetFacts {
        let id = format!("20200101T000000Z-{number:08}");
        let (set, scope) = (id.parse().unwrap(), Scope::Full);
        SetFacts { set, label: None, scope, taken, proven, pinned: false }
    }

    fn policy(keep: Keep) -> Policy {
        Policy::new(keep, MIN_PROVEN).unwrap()
    }

    fn shown(verdicts: &[Verdict]) -> Vec<String> {
        verdicts
            .iter()
            .map(|verdict| verdict.to_string().replace("20200101T000000Z-", ""))
            .collect()
    }

    #[test]
    fn each_rule_keeps_the_newest_of_its_periods() {
        let moments = [
            "2026-11-20T02:00:00Z",
            "2026-11-19T14:00:00Z",
            "2026-11-19T02:00:00Z",
            "2026-11-15T23:59:59Z",
            "2026-10-31T23:00:00Z",
            "2025-12-31T23:00:00Z",
            "2025-12-30T23:00:00Z",
        ];
        let sets: Vec<_> =
            moments.iter().enumerate().map(|(number, text)| set(number, at(text), true)).collect();
        let keep = Keep { daily: 2, weekly: 2, monthly: 2, yearly: 2, ..Keep::default() };
        assert_eq!(
            shown(&retain(&sets, &policy(keep), at("2026-11-20T03:00:00Z"))),
            [
                "keep 00000000: daily 1 of 2, newest of 2026-11-20; \
                 weekly 1 of 2, newest of the week of 2026-11-16; \
                 monthly 1 of 2, newest of 2026-11; yearly 1 of 2, newest of 2026; \
                 newest proven 1 of 2",
                "keep 00000001: daily 2 of 2, newest of 2026-11-19; newest proven 2 of 2",
                "delete 00000002: no rule keeps it",
                "keep 00000003: weekly 2 of 2, newest of the week of 2026-11-09",
                "keep 00000004: monthly 2 of 2, newest of 2026-10",
                "keep 00000005: yearly 2 of 2, newest of 2025",
                "delete 00000006: no rule keeps it",
            ]
        );
    }

    #[test]
    fn a_week_begins_on_monday_across_the_year() {
        let sets = [
            set(1, at("2027-01-03T12:00:00Z"), true),
            set(2, at("2026-12-28T00:00:00Z"), true),
            set(3, at("2026-12-27T23:59:59Z"), true),
        ];
        let keep = Keep { weekly: 5, ..Keep::default() };
        let verdicts = retain(&sets, &Policy::new(keep, 1).unwrap(), at("2027-02-01T00:00:00Z"));
        assert_eq!(
            shown(&verdicts),
            [
                "keep 00000001: weekly 1 of 5, newest of the week of 2026-12-28; \
                 newest proven 1 of 1",
                "delete 00000002: no rule keeps it",
                "keep 00000003: weekly 2 of 5, newest of the week of 2026-12-21",
            ]
        );
    }

    #[test]
    fn an_hour_and_the_last_sets() {
        let sets = [
            set(1, at("2026-11-20T02:59:59Z"), true),
            set(2, at("2026-11-20T02:00:00Z"), true),
            set(3, at("2026-11-20T01:59:59Z"), true),
            set(4, at("2026-11-20T01:00:00Z"), true),
        ];
        let keep = Keep { last: 1, hourly: 2, ..Keep::default() };
        let verdicts = retain(&sets, &Policy::new(keep, 1).unwrap(), at("2026-11-20T03:00:00Z"));
        assert_eq!(
            shown(&verdicts),
            [
                "keep 00000001: last 1 of 1; hourly 1 of 2, newest of 2026-11-20T02; \
                 newest proven 1 of 1",
                "delete 00000002: no rule keeps it",
                "keep 00000003: hourly 2 of 2, newest of 2026-11-20T01",
                "delete 00000004: no rule keeps it",
            ]
        );
    }

    #[test]
    fn sets_that_are_not_proven_fill_no_period() {
        let sets = [
            set(1, at("2026-11-20T02:00:00Z"), false),
            set(2, at("2026-11-19T02:00:00Z"), true),
            set(3, at("2026-11-18T02:00:00Z"), false),
            set(4, at("2026-11-17T02:00:00Z"), true),
        ];
        let keep = Keep { daily: 1, ..Keep::default() };
        assert_eq!(
            shown(&retain(&sets, &policy(keep), at("2026-11-20T03:00:00Z"))),
            [
                "keep 00000001: not proven, and not older than the newest proven set",
                "keep 00000002: daily 1 of 1, newest of 2026-11-19; newest proven 1 of 2",
                "delete 00000003: not proven, and older than the proven set 00000002",
                "keep 00000004: newest proven 2 of 2",
            ]
        );
    }

    #[test]
    fn pins_and_future_dates_stay_and_the_future_fills_no_period() {
        let mut pinned = set(4, at("2026-11-01T02:00:00Z"), false);
        pinned.pinned = true;
        let sets = [
            set(1, at("2026-12-01T00:00:00Z"), true),
            set(2, at("2026-11-20T02:00:00Z"), true),
            set(3, at("2026-11-19T02:00:00Z"), true),
            pinned,
        ];
        let keep = Keep { daily: 1, ..Keep::default() };
        assert_eq!(
            shown(&retain(&sets, &policy(keep), at("2026-11-20T03:00:00Z"))),
            [
                "keep 00000001: dated in the future",
                "keep 00000002: daily 1 of 1, newest of 2026-11-20; newest proven 1 of 2",
                "keep 00000003: newest proven 2 of 2",
                "keep 00000004: pinned",
            ]
        );
    }

    #[test]
    fn labels_and_scopes_are_judged_apart() {
        let mut labelled = set(2, at("2026-11-19T02:00:00Z"), true);
        labelled.label = Some("weekly".to_owned());
        let mut narrow = set(3, at("2026-11-18T02:00:00Z"), true);
        narrow.scope = Scope::Tables(Vec::new());
        let sets = [
            set(1, at("2026-11-20T02:00:00Z"), true),
            labelled,
            narrow,
            set(4, at("2026-11-17T02:00:00Z"), true),
        ];
        let keep = Keep { last: 1, ..Keep::default() };
        let verdicts = retain(&sets, &Policy::new(keep, 1).unwrap(), at("2026-11-20T03:00:00Z"));
        let fates: Vec<_> = verdicts.iter().map(|verdict| verdict.fate).collect();
        assert_eq!(fates, [Fate::Keep, Fate::Keep, Fate::Keep, Fate::Delete]);
    }

    fn proof(day: u32, asked: Level, passed: bool, manifest: &str) -> Proof {
        let finished = at(&format!("2026-11-{day:02}T03:00:00Z"));
        Proof {
            version: crate::proof::VERSION,
            set: "20261101T020000Z-00000001".parse().unwrap(),
            database: "lms".to_owned(),
            manifest_sha256: manifest.to_owned(),
            asked,
            reached: passed.then_some(asked),
            passed,
            difference_count: u64::from(!passed),
            differences: Vec::new(),
            checked: Checked::default(),
            exclusions: Vec::new(),
            started: finished,
            finished,
            duration_ms: 0,
            run: ulid::Ulid::nil().into(),
            step: "verify".parse().unwrap(),
            attempt: 1,
            scratch: None,
            runbook: String::new(),
            programs: Vec::new(),
        }
    }

    #[test]
    fn the_level_is_the_highest_that_passed_since_the_last_failure() {
        let level = |proofs: &[Proof]| proven_level(proofs, "m");
        let identical = || proof(1, Level::Identical, true, "m");
        assert_eq!(level(&[]), None);
        assert_eq!(level(&[identical()]), Some(Level::Identical));
        let stored = |day, passed| proof(day, Level::Stored, passed, "m");
        assert_eq!(level(&[stored(2, true), identical()]), Some(Level::Identical));
        assert_eq!(level(&[identical(), stored(2, false)]), None);
        assert_eq!(level(&[identical(), stored(1, false)]), None, "at the same moment");
        let mut half = proof(2, Level::Identical, false, "m");
        half.reached = Some(Level::Restorable);
        assert_eq!(level(&[identical(), half.clone()]), None, "a failed proof proves no level");
        assert_eq!(level(&[identical(), half, stored(3, true)]), Some(Level::Stored));
        assert_eq!(level(&[proof(1, Level::Usable, true, "another manifest")]), None);
    }

    #[test]
    fn the_newest_proof_that_tried_for_the_level_decides_unless_a_later_one_failed() {
        let proven = |proofs: &[Proof]| is_proven(proofs, "m", Level::Identical);
        let identical = proof(1, Level::Identical, true, "m");
        assert!(!proven(&[]));
        assert!(proven(std::slice::from_ref(&identical)));
        assert!(!proven(&[proof(1, Level::Restorable, true, "m")]));
        assert!(proven(&[proof(1, Level::Usable, true, "m")]));
        assert!(!proven(&[proof(1, Level::Identical, true, "another manifest")]));
        assert!(proven(&[proof(2, Level::Stored, true, "m"), identical.clone()]));
        assert!(!proven(&[identical.clone(), proof(2, Level::Stored, false, "m")]));
        assert!(!proven(&[identical.clone(), proof(2, Level::Identical, false, "m")]));
        assert!(!proven(&[
            identical,
            proof(2, Level::Identical, false, "m"),
            proof(3, Level::Stored, true, "m"),
        ]));
        assert!(proven(&[
            proof(1, Level::Identical, false, "m"),
            proof(2, Level::Identical, true, "m"),
        ]));
    }

    #[test]
    fn rules_that_keep_nothing_are_no_policy() {
        assert_eq!(Policy::new(Keep::default(), 2), Err(InvalidPolicy::Empty));
        let keep = Keep { last: 1, ..Keep::default() };
        assert_eq!(Policy::new(keep, 0), Err(InvalidPolicy::NoFloor));
    }

    /// Sets at any hour of four years, some dated after `NOW`, in any order.
    fn histories() -> impl Strategy<Value = Vec<SetFacts>> {
        let one = (0_i64..35_000, any::<bool>(), 0..20_u8, 0..3_u8);
        prop::collection::vec(one, 0..60).prop_map(|sets| {
            let facts = sets.into_iter().enumerate().map(|(number, (hour, proven, pin, label))| {
                let taken = at("2023-01-01T00:00:00Z") + jiff::Span::new().hours(hour);
                let mut facts = set(number, taken, proven);
                facts.pinned = pin == 0;
                facts.label = (label > 0).then(|| format!("label{label}"));
                facts
            });
            facts.collect()
        })
    }

    fn keeps() -> impl Strategy<Value = Keep> {
        let one = || prop_oneof![2 => Just(0_u32), 3 => 1..10_u32];
        (one(), one(), one(), one(), one(), one())
            .prop_map(|(last, hourly, daily, weekly, monthly, yearly)| Keep {
                last,
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
            })
            .prop_filter("an empty policy is refused", |keep| *keep != Keep::default())
    }

    fn policies() -> impl Strategy<Value = Policy> {
        (keeps(), 1..4_u32).prop_map(|(keep, floor)| Policy::new(keep, floor).unwrap())
    }

    const NOW: &str = "2026-11-20T03:00:00Z";

    fn kept(sets: &[SetFacts], policy: &Policy, now: Timestamp) -> BTreeSet<SetId> {
        retain(sets, policy, now)
            .into_iter()
            .filter(|verdict| verdict.fate == Fate::Keep)
            .map(|verdict| verdict.set)
            .collect()
    }

    fn surviving(sets: &[SetFacts], policy: &Policy, now: Timestamp) -> Vec<SetFacts> {
        let kept = kept(sets, policy, now);
        sets.iter().filter(|set| kept.contains(&set.set)).cloned().collect()
    }

    /// The newest proven sets of a label, by another way than the code's.
    fn newest_proven(sets: &[SetFacts], label: Option<&String>, floor: u32) -> BTreeSet<SetId> {
        let mut proven: Vec<_> = sets
            .iter()
            .filter(|set| set.proven && set.label.as_ref() == label && set.taken <= at(NOW))
            .map(|set| (set.taken, set.set.clone()))
            .collect();
        proven.sort();
        proven.into_iter().rev().take(floor as usize).map(|(_, set)| set).collect()
    }

    proptest! {
        #[test]
        fn every_set_is_judged_once_with_a_reason(sets in histories(), policy in policies()) {
            let verdicts = retain(&sets, &policy, at(NOW));
            let judged: BTreeSet<_> = verdicts.iter().map(|verdict| &verdict.set).collect();
            prop_assert_eq!(verdicts.len(), sets.len());
            prop_assert_eq!(judged.len(), sets.len());
            prop_assert!(verdicts.iter().all(|verdict| !verdict.reasons.is_empty()));
        }

        #[test]
        fn the_newest_proven_sets_survive(sets in histories(), policy in policies()) {
            let kept = kept(&sets, &policy, at(NOW));
            for label in [None, Some("label1".to_owned()), Some("label2".to_owned())] {
                let floor = newest_proven(&sets, label.as_ref(), policy.min_proven);
                prop_assert!(floor.is_subset(&kept));
            }
        }

        #[test]
        fn without_a_proven_set_nothing_goes(sets in histories(), policy in policies()) {
            let unproven: Vec<_> =
                sets.into_iter().map(|set| SetFacts { proven: false, ..set }).collect();
            prop_assert_eq!(kept(&unproven, &policy, at(NOW)).len(), unproven.len());
        }

        #[test]
        fn pins_and_the_future_survive(sets in histories(), policy in policies()) {
            let kept = kept(&sets, &policy, at(NOW));
            for set in sets.iter().filter(|set| set.pinned || set.taken > at(NOW)) {
                prop_assert!(kept.contains(&set.set));
            }
        }

        #[test]
        fn a_second_time_changes_nothing(sets in histories(), policy in policies()) {
            let once = surviving(&sets, &policy, at(NOW));
            prop_assert_eq!(&surviving(&once, &policy, at(NOW)), &once);
        }

        #[test]
        fn the_order_of_the_list_does_not_matter(sets in histories(), policy in policies()) {
            let mut reversed = sets.clone();
            reversed.reverse();
            prop_assert_eq!(retain(&sets, &policy, at(NOW)), retain(&reversed, &policy, at(NOW)));
        }

        #[test]
        fn a_wider_policy_keeps_no_less(sets in histories(), keep in keeps(), more in keeps(), floor in 1..4_u32) {
            let wider = Keep {
                last: keep.last + more.last,
                hourly: keep.hourly + more.hourly,
                daily: keep.daily + more.daily,
                weekly: keep.weekly + more.weekly,
                monthly: keep.monthly + more.monthly,
                yearly: keep.yearly + more.yearly,
            };
            let narrow = kept(&sets, &Policy::new(keep, floor).unwrap(), at(NOW));
            let wide = kept(&sets, &Policy::new(wider, floor + 1).unwrap(), at(NOW));
            prop_assert!(narrow.is_subset(&wide));
        }

        /// One set a night, pruned every night: the proven sets of before any row of failing
        /// nights are still there after it.
        #[test]
        fn failing_nights_never_push_out_the_last_good_sets(
            nights in prop::collection::vec(any::<bool>(), 1..40),
            failing in 0..40_usize,
            policy in policies(),
        ) {
            let mut sets: Vec<SetFacts> = Vec::new();
            let mut proven = Vec::new();
            let all = nights.into_iter().chain(std::iter::repeat_n(false, failing));
            for (night, good) in all.enumerate() {
                let days = i64::try_from(night).unwrap();
                let taken = at("2026-01-01T02:00:00Z") + jiff::Span::new().hours(days * 24);
                sets.push(set(night, taken, good));
                if good {
                    proven.push(sets[sets.len() - 1].set.clone());
                }
                sets = surviving(&sets, &policy, taken + jiff::Span::new().hours(1));
                let left: BTreeSet<_> = sets.iter().map(|set| &set.set).collect();
                let floor = proven.iter().rev().take(policy.min_proven as usize);
                prop_assert!(floor.into_iter().all(|set| left.contains(set)));
            }
        }
    }

    #[test]
    fn names_of_sets_say_nothing_about_their_age() {
        let older_by_name = set(1, at("2026-11-20T02:00:00Z"), true);
        let mut newer_by_name = set(2, at("2026-11-19T02:00:00Z"), true);
        let stamp = utc_stamp(at("2030-01-01T00:00:00Z"));
        newer_by_name.set = format!("{stamp}-00000002").parse().unwrap();
        let keep = Keep { last: 1, ..Keep::default() };
        let policy = Policy::new(keep, 1).unwrap();
        let sets = [newer_by_name, older_by_name];
        let kept = kept(&sets, &policy, at("2026-11-20T03:00:00Z"));
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [sets[1].set.clone()]);
    }
}
