//! Rules of a comparison that no damage by SQL shows.

use std::collections::BTreeMap;

use super::*;
use crate::set::catalogue::{CatalogueObject, Category};
use crate::set::difference::DifferenceKind;
use crate::set::manifest::{
    Exclusion, LargeObjects, OwningColumn, Scope, Sequence, Table, TableData, TableKind, TableName,
};

fn contents() -> Contents {
    Contents {
        scope: Scope::Full,
        tables: Vec::new(),
        sequences: Vec::new(),
        large_objects: LargeObjects { count: 0, hash: None },
        objects: Vec::new(),
        exclusions: Vec::new(),
    }
}

fn table(rows: Option<u64>, hash: Option<&str>) -> Contents {
    let table = Table {
        schema: "public".to_owned(),
        name: "Orders".to_owned(),
        kind: TableKind::Table,
        data: TableData::All,
        columns: vec!["id".to_owned(), "note".to_owned()],
        rows,
        hash: hash.map(str::to_owned),
        parts: Vec::new(),
    };
    Contents { tables: vec![table], ..contents() }
}

/// A sequence by its last value, its step and the furthest value of its column.
fn sequence(last_value: i64, increment: i64, furthest: Option<i64>) -> Contents {
    let owned_by = OwningColumn {
        schema: "public".to_owned(),
        table: "orders".to_owned(),
        column: "id".to_owned(),
        furthest,
    };
    let sequence = Sequence {
        schema: "public".to_owned(),
        name: "orders_id_seq".to_owned(),
        last_value,
        is_called: true,
        increment,
        cycle: false,
        owned_by: Some(owned_by),
    };
    Contents { sequences: vec![sequence], ..contents() }
}

fn object(category: Category, identity: &str, belongs_to: Option<&str>) -> CatalogueObject {
    CatalogueObject {
        category,
        identity: identity.to_owned(),
        belongs_to: belongs_to.map(str::to_owned),
        attributes: BTreeMap::new(),
    }
}

fn objects(objects: Vec<CatalogueObject>) -> Contents {
    Contents { objects, ..contents() }
}

fn messages(expected: &Contents, found: &Contents, level: Level) -> Vec<String> {
    let differences = compare(expected, found, level).differences;
    differences.into_iter().map(|difference| difference.message).collect()
}

#[test]
fn below_complete_there_is_nothing_to_compare() {
    let (expected, found) = (table(Some(2), Some("a")), contents());
    let comparison = compare(&expected, &found, Level::Restorable);
    assert_eq!(comparison.differences, []);
    assert_eq!(
        comparison.checked.to_string(),
        "proved 0 of 1 tables, 0 rows, 0 sequences, 0 definitions"
    );
}

#[test]
fn contents_differ_from_identical_on() {
    let (expected, found) = (table(Some(2), Some("a")), table(Some(2), Some("b")));
    assert_eq!(messages(&expected, &found, Level::Complete), Vec::<String>::new());
    let said = ["table `public.\"Orders\"`: as many rows as the manifest says, but not the same"];
    assert_eq!(messages(&expected, &found, Level::Identical), said);
    assert_eq!(messages(&expected, &found, Level::Usable), said);
}

#[test]
fn what_was_not_measured_is_not_taken_as_equal() {
    let expected = table(Some(2), Some("a"));
    let unread = table(None, None);
    let said = ["table `public.\"Orders\"`: its rows were not counted"];
    assert_eq!(messages(&expected, &unread, Level::Complete), said);
    let counted = table(Some(2), None);
    let said = ["table `public.\"Orders\"`: its rows were not hashed"];
    assert_eq!(messages(&expected, &counted, Level::Identical), said);
    let mut with_blobs = contents();
    with_blobs.large_objects = LargeObjects { count: 3, hash: Some("a".to_owned()) };
    let said = ["large objects: their contents were not read"];
    assert_eq!(messages(&with_blobs, &contents(), Level::Identical), said);
}

#[test]
fn columns_in_another_order_are_put_into_the_manifests() {
    let expected = table(Some(2), Some("a"));
    let mut found = expected.clone();
    found.tables[0].columns = ["new", "note", "id"].map(str::to_owned).to_vec();
    found.order_columns_like(&expected);
    assert_eq!(found.tables[0].columns, ["id", "note", "new"]);
}

#[test]
fn an_excluded_table_is_not_proved_and_is_counted_as_such() {
    let mut expected = table(Some(2), None);
    let object = expected.tables[0].table_name().to_string();
    let reason = "the plan leaves it out".to_owned();
    expected.exclusions = vec![Exclusion { category: Category::TableContent, object, reason }];
    let comparison = compare(&expected, &table(Some(0), None), Level::Identical);
    assert_eq!(comparison.differences, []);
    assert_eq!((comparison.checked.tables, comparison.checked.tables_total), (0, 1));
}

#[test]
fn an_excluded_definition_is_left_out_on_both_sides() {
    let index = object(Category::Index, "a on public.t", Some("public.t"));
    let exclusion = Exclusion {
        category: Category::Index,
        object: "a on public.t".to_owned(),
        reason: "an index that is not valid is not dumped".to_owned(),
    };
    let mut expected = contents();
    expected.exclusions = vec![exclusion];
    assert_eq!(messages(&expected, &objects(vec![index]), Level::Complete), Vec::<String>::new());
}

#[test]
fn a_sequence_stands_at_least_where_the_manifest_says() {
    let at = |last_value| sequence(last_value, 1, Some(40));
    assert_eq!(messages(&at(50), &at(50), Level::Complete), Vec::<String>::new());
    assert_eq!(messages(&at(50), &at(900), Level::Complete), Vec::<String>::new());
    let said = ["sequence `public.orders_id_seq`: next value 50, the manifest says 51"];
    assert_eq!(messages(&at(50), &at(49), Level::Complete), said);
}

#[test]
fn a_sequence_that_counts_down_stands_at_most_there() {
    let at = |last_value| sequence(last_value, -3, Some(0));
    assert_eq!(messages(&at(-50), &at(-53), Level::Complete), Vec::<String>::new());
    let said = ["sequence `public.orders_id_seq`: next value -50, the manifest says -53"];
    assert_eq!(messages(&at(-50), &at(-47), Level::Complete), said);
}

#[test]
fn a_sequence_that_cycles_stands_exactly_there() {
    let at = |last_value| {
        let mut contents = sequence(last_value, 1, None);
        contents.sequences[0].cycle = true;
        contents
    };
    assert_eq!(messages(&at(5), &at(5), Level::Complete), Vec::<String>::new());
    let said = ["sequence `public.orders_id_seq`: next value 7, the manifest says 6"];
    assert_eq!(messages(&at(5), &at(6), Level::Complete), said);
}

#[test]
fn a_sequence_gives_no_value_that_its_column_has() {
    let said = ["sequence `public.orders_id_seq`: next value 51, but column `id` already has 51"];
    let (expected, found) = (sequence(50, 1, Some(50)), sequence(50, 1, Some(51)));
    assert_eq!(messages(&expected, &found, Level::Complete), said);
    let behind = sequence(50, 1, Some(99));
    assert_eq!(messages(&behind, &behind, Level::Complete), Vec::<String>::new());
}

#[test]
fn the_ends_of_a_sequence_do_not_overflow() {
    let at = |last_value| sequence(last_value, i64::MAX, Some(i64::MAX));
    assert_eq!(messages(&at(i64::MAX), &at(i64::MAX), Level::Complete), Vec::<String>::new());
    let said =
        ["sequence `public.orders_id_seq`: next value -1, the manifest says 18446744073709551614"];
    assert_eq!(messages(&at(i64::MAX), &at(i64::MIN), Level::Complete), said);
}

#[test]
fn what_belongs_to_a_missing_object_is_not_named_as_well() {
    let of_table = Some("public.t");
    let expected = objects(vec![
        object(Category::Table, "public.t", None),
        object(Category::Column, "public.t.id", of_table),
        object(Category::RowSecurity, "public.t", of_table),
        object(Category::Constraint, "t_pkey on public.t", of_table),
        object(
            Category::Comment,
            "table constraint t_pkey on public.t",
            Some("t_pkey on public.t"),
        ),
        object(Category::Owner, "table public.t", of_table),
        object(Category::View, "public.v", None),
    ]);
    let found = objects(vec![object(Category::View, "public.v", None)]);
    assert_eq!(messages(&expected, &found, Level::Complete), ["table `public.t` is missing"]);
    assert_eq!(
        messages(&found, &expected, Level::Complete),
        ["table `public.t` is not in the manifest"]
    );
}

#[test]
fn what_says_something_about_its_own_name_is_named() {
    let table = object(Category::Table, "public.t", None);
    let partition = object(Category::Partition, "public.t", Some("public.t"));
    let expected = objects(vec![table.clone(), partition]);
    let difference = compare(&expected, &objects(vec![table]), Level::Complete).differences;
    assert_eq!(difference.len(), 1);
    assert_eq!(difference[0].kind, DifferenceKind::Missing);
    assert_eq!(difference[0].message, "partition `public.t` is missing");
}

#[test]
fn what_is_only_recorded_is_not_compared() {
    let expected = objects(vec![object(Category::Tablespace, "public.t", Some("public.t"))]);
    assert_eq!(messages(&expected, &contents(), Level::Usable), Vec::<String>::new());
}

#[test]
fn beside_a_manifest_of_some_tables_the_rest_is_no_surplus() {
    let table = object(Category::Table, "public.t", None);
    let mut expected = objects(vec![table.clone()]);
    expected.scope = Scope::Tables(vec![TableName::new("public", "t")]);
    let found = objects(vec![
        table,
        object(Category::Table, "public.other", None),
        object(Category::Trigger, "x on public.t", Some("public.t")),
        object(Category::Trigger, "x on public.other", Some("public.other")),
    ]);
    assert_eq!(
        messages(&expected, &found, Level::Complete),
        ["trigger `x` on `public.t` is not in the manifest"]
    );
}

#[test]
fn differences_come_in_the_order_of_the_categories_and_are_bounded() {
    let long = |end: &str| {
        let mut function = object(Category::Function, "public.f()", None);
        let text = format!("{}{end}{}", "x ".repeat(5000), "y ".repeat(5000));
        function.attributes.insert("definition".to_owned(), text);
        function
    };
    let expected = objects(vec![long("1"), object(Category::Schema, "s", None)]);
    let differences = compare(&expected, &objects(vec![long("2")]), Level::Complete).differences;
    let named: Vec<_> = differences.iter().map(|found| found.category).collect();
    assert_eq!(named, [Category::Schema, Category::Function]);
    assert!(differences[1].message.chars().count() < 400, "{}", differences[1].message);
    assert!(differences[1].message.contains("x 2y y"), "{}", differences[1].message);
    assert!(differences[1].message.contains("x 1y y"), "{}", differences[1].message);
}

#[test]
fn many_changed_attributes_are_counted() {
    let with = |privilege: &str| {
        let mut grant = object(Category::Grant, "table public.t", Some("public.t"));
        let roles = (1..=7).map(|role| (format!("role{role}"), privilege.to_owned()));
        grant.attributes.extend(roles);
        objects(vec![grant])
    };
    let said = messages(&with("SELECT"), &with("INSERT"), Level::Complete);
    let phrases = (1..=5).map(|role| format!("`role{role}` has `INSERT`, had `SELECT`"));
    let phrases = phrases.collect::<Vec<_>>().join("; ");
    assert_eq!(said, [format!("grant of `table public.t`: {phrases}; and 2 more")]);
}
