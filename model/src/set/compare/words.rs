//! How differences are said: bounded text that shows the first part that differs.

use crate::set::catalogue::{CatalogueObject, Category};

/// Characters of a value that are shown at most.
const SHOWN: usize = 120;

/// Characters before the first difference that are shown.
const BEFORE: usize = 24;

/// What is shown of `text`: its beginning when it is long.
pub(super) fn shorten(text: &str) -> String {
    shorten_from(text, 0)
}

/// What is shown of two long texts: both from shortly before their first difference.
pub(super) fn shorten_both(left: &str, right: &str) -> (String, String) {
    let same = left.chars().zip(right.chars()).take_while(|(left, right)| left == right).count();
    let longest = left.chars().count().max(right.chars().count());
    let skipped = if longest <= SHOWN { 0 } else { same.saturating_sub(BEFORE) };
    (shorten_from(left, skipped), shorten_from(right, skipped))
}

fn shorten_from(text: &str, skipped: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = if skipped > 0 { "…".to_owned() } else { String::new() };
    shown.extend(text.chars().skip(skipped).take(SHOWN));
    if text.chars().count() > skipped + SHOWN {
        shown.push('…');
    }
    shown
}

/// ``constraint `orders_user_fk` on `public.orders` ``.
pub(super) fn name(object: &CatalogueObject) -> String {
    let table = object.belongs_to.as_deref().unwrap_or_default();
    let own = object.identity.strip_suffix(table).and_then(|own| own.strip_suffix(" on "));
    match own {
        Some(own) if !table.is_empty() => format!("{} `{own}` on `{table}`", object.category),
        _ if is_about(object.category) => format!("{} of `{}`", object.category, object.identity),
        _ => format!("{} `{}`", object.category, object.identity),
    }
}

/// Categories that say something about an object and are none themselves.
fn is_about(category: Category) -> bool {
    use Category::{
        Comment, ExtensionVersion, Grant, Inheritance, LargeObjectContent, Owner, ReplicaIdentity,
        RowSecurity, Tablespace,
    };
    matches!(
        category,
        Comment
            | ExtensionVersion
            | Grant
            | Inheritance
            | LargeObjectContent
            | Owner
            | ReplicaIdentity
            | RowSecurity
            | Tablespace
    )
}

/// How one attribute differs: `is NOT VALID, was valid`.
pub(super) fn attribute(name: &str, expected: Option<&str>, found: Option<&str>) -> String {
    let said = match (name, expected, found) {
        ("validated", _, Some("false")) => "is NOT VALID, was valid",
        ("validated", _, Some("true")) => "is valid, was NOT VALID",
        ("valid", _, Some("false")) => "is not valid, was valid",
        ("enabled", Some("true"), Some("false")) => "is disabled, was enabled",
        ("enabled", Some("false"), Some("true")) => "is enabled, was disabled",
        ("forced", Some("true"), Some("false")) => "is not forced, was forced",
        ("forced", Some("false"), Some("true")) => "is forced, was not forced",
        ("populated", _, Some("false")) => "is not populated, was populated",
        ("populated", _, Some("true")) => "is populated, was not populated",
        ("not_null", Some("true"), Some("false")) => "allows null, was NOT NULL",
        ("not_null", Some("false"), Some("true")) => "is NOT NULL, allowed null",
        _ => return general(name, expected, found),
    };
    said.to_owned()
}

/// How the privileges of one role differ: `` `app` has `SELECT`, had nothing``.
pub(super) fn privileges(role: &str, expected: Option<&str>, found: Option<&str>) -> String {
    let said = |privileges: Option<&str>| {
        privileges.map_or("nothing".to_owned(), |text| format!("`{}`", shorten(text)))
    };
    format!("`{role}` has {}, had {}", said(found), said(expected))
}

fn general(name: &str, expected: Option<&str>, found: Option<&str>) -> String {
    // A name of two words ends with a name of the user's: `constraint is_short`.
    let name = if name.contains(' ') { name.to_owned() } else { name.replace('_', " ") };
    match (expected, found) {
        (Some(expected), Some(found)) => {
            let (expected, found) = shorten_both(expected, found);
            format!("{name} is `{found}`, was `{expected}`")
        }
        (Some(expected), None) => format!("{name} is absent, was `{}`", shorten(expected)),
        (None, Some(found)) => format!("{name} is `{}`, was absent", shorten(found)),
        (None, None) => format!("{name} is absent"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_shown_whole() {
        assert_eq!(shorten_both("a\n  b", "a c"), ("a b".to_owned(), "a c".to_owned()));
    }

    #[test]
    fn long_texts_are_shown_from_the_first_difference() {
        let common = "x".repeat(500);
        let (left, right) =
            shorten_both(&format!("{common}Ö1{common}"), &format!("{common}Ö2{common}"));
        assert_eq!(left, format!("…{}Ö1{}…", "x".repeat(23), "x".repeat(95)));
        assert_eq!(right, format!("…{}Ö2{}…", "x".repeat(23), "x".repeat(95)));
    }
}
