//! Definitions: every kind of object in the same way.

use std::collections::{BTreeMap, BTreeSet};

use super::{canonical, words};
use crate::proof::Level;
use crate::set::catalogue::{CatalogueObject, Category};
use crate::set::difference::{Difference, DifferenceKind};
use crate::set::manifest::{Contents, Scope};

/// Attributes that one message names at most.
const PHRASES: usize = 5;

/// Objects by category and identity.
type Index<'a> = BTreeMap<(Category, &'a str), &'a CatalogueObject>;

/// Compares every definition that `level` covers; gives the differences and how many definitions
/// were compared, by category.
pub(super) fn compare(
    expected: &Contents,
    found: &Contents,
    level: Level,
) -> (Vec<Difference>, BTreeMap<Category, u64>) {
    let covers = |object: &&CatalogueObject| {
        object.category.compared_from().is_some_and(|from| from <= level)
            && (object.category != Category::LargeObjectContent || both_read(expected, found))
            && !is_excluded(expected, object)
    };
    let there = index(found.objects.iter().filter(covers));
    let wanted = index(expected.objects.iter().filter(covers));
    let mut checked = BTreeMap::new();
    for (category, _) in wanted.keys() {
        *checked.entry(*category).or_default() += 1;
    }
    let mut differences = lost(&wanted, &there, DifferenceKind::Missing);
    explain_left_out(&mut differences, found);
    let mut surplus = lost(&there, &wanted, DifferenceKind::Unexpected);
    if expected.scope != found.scope {
        surplus.retain(|difference| concerns_scope(expected, &there, difference));
    }
    differences.extend(surplus);
    let both = wanted.iter().filter_map(|(key, object)| Some((*object, *there.get(key)?)));
    differences.extend(both.filter_map(|(expected, found)| changed(expected, found)));
    (differences, checked)
}

/// The contents of the large objects are compared only when both sides read them.
fn both_read(expected: &Contents, found: &Contents) -> bool {
    expected.large_objects.hash.is_some() && found.large_objects.hash.is_some()
}

fn index<'a>(objects: impl Iterator<Item = &'a CatalogueObject>) -> Index<'a> {
    objects.map(|object| ((object.category, object.identity.as_str()), object)).collect()
}

fn is_excluded(expected: &Contents, object: &CatalogueObject) -> bool {
    expected.exclusions.iter().any(|exclusion| {
        exclusion.category == object.category && exclusion.object == object.identity
    })
}

/// Objects of `left` that `right` does not have. What belongs to a lost object is not named too.
fn lost(left: &Index, right: &Index, kind: DifferenceKind) -> Vec<Difference> {
    let lost: Vec<&CatalogueObject> = left
        .iter()
        .filter(|(key, _)| !right.contains_key(*key))
        .map(|(_, object)| *object)
        .collect();
    let stands_alone =
        |object: &&&CatalogueObject| object.belongs_to.as_deref() != Some(&object.identity);
    let names: BTreeSet<&str> =
        lost.iter().filter(stands_alone).map(|object| object.identity.as_str()).collect();
    let is_named_with = |object: &CatalogueObject| {
        object.belongs_to.as_deref().is_some_and(|owner| names.contains(owner))
    };
    lost.into_iter()
        .filter(|object| !is_named_with(object))
        .map(|object| difference(object, kind))
        .collect()
}

fn difference(object: &CatalogueObject, kind: DifferenceKind) -> Difference {
    let text = Some(words::shorten(&text(&object.attributes))).filter(|text| !text.is_empty());
    let (expected, found, end) = match kind {
        DifferenceKind::Unexpected => (None, text, "is not in the manifest"),
        DifferenceKind::Missing | DifferenceKind::Changed => (text, None, "is missing"),
    };
    Difference {
        category: object.category,
        object: object.identity.clone(),
        kind,
        expected,
        found,
        message: format!("{} {end}", words::name(object)),
    }
}

fn text(attributes: &BTreeMap<String, String>) -> String {
    let pairs = attributes.iter().map(|(name, value)| format!("{name}: {value}"));
    pairs.collect::<Vec<_>>().join("; ")
}

/// What the copy has but leaves out of its own contents is not just missing.
fn explain_left_out(differences: &mut [Difference], found: &Contents) {
    for difference in differences {
        let left_out = found.exclusions.iter().find(|exclusion| {
            exclusion.category == difference.category && exclusion.object == difference.object
        });
        if let Some(exclusion) = left_out {
            difference.kind = DifferenceKind::Changed;
            difference.message =
                format!("{} `{}`: {}", difference.category, difference.object, exclusion.reason);
        }
    }
}

/// Beside a manifest of some tables, the rest of a database is nobody's surplus.
fn concerns_scope(expected: &Contents, there: &Index, difference: &Difference) -> bool {
    if !matches!(expected.scope, Scope::Tables(_)) {
        return true;
    }
    let object = there[&(difference.category, difference.object.as_str())];
    let tables = expected.objects.iter().filter(|object| object.category == Category::Table);
    let owner = object.belongs_to.as_deref();
    tables.map(|table| table.identity.as_str()).any(|table| owner == Some(table))
}

fn changed(expected: &CatalogueObject, found: &CatalogueObject) -> Option<Difference> {
    let names: BTreeSet<&String> =
        expected.attributes.keys().chain(found.attributes.keys()).collect();
    let phrase = match expected.category {
        Category::Grant | Category::DefaultPrivilege => words::privileges,
        _ => words::attribute,
    };
    let mut phrases = Vec::new();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    for name in names {
        let (old, new) = (expected.attributes.get(name), found.attributes.get(name));
        if is_same(old, new) {
            continue;
        }
        phrases.push(phrase(name, old.map(String::as_str), new.map(String::as_str)));
        before.extend(old.map(|value| (name.clone(), value.clone())));
        after.extend(new.map(|value| (name.clone(), value.clone())));
    }
    if phrases.is_empty() {
        return None;
    }
    let (before, after) = words::shorten_both(&text(&before), &text(&after));
    Some(Difference {
        category: expected.category,
        object: expected.identity.clone(),
        kind: DifferenceKind::Changed,
        expected: Some(before),
        found: Some(after),
        message: sentence(&words::name(expected), &phrases),
    })
}

fn is_same(old: Option<&String>, new: Option<&String>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => canonical::same(old, new),
        (old, new) => old == new,
    }
}

/// ``constraint `x` on `y` is NOT VALID, was valid``; other phrases follow a colon.
fn sentence(name: &str, phrases: &[String]) -> String {
    let joined = match phrases.get(..PHRASES) {
        Some(first) if phrases.len() > PHRASES => {
            format!("{}; and {} more", first.join("; "), phrases.len() - PHRASES)
        }
        _ => phrases.join("; "),
    };
    let mark = if joined.starts_with("is ") || joined.starts_with("allows ") { "" } else { ":" };
    format!("{name}{mark} {joined}")
}
