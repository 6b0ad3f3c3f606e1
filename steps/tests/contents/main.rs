//! What a database holds, read from real servers: a restored copy reads the same, and every
//! damage to a copy is named, by its object and by nothing else.
#![expect(clippy::unwrap_used, reason = "tests")]

mod damage;
mod fixture;

use model::proof::Level;
use model::set::manifest::{Scope, TableName};
use model::set::{Contents, compare};

use crate::damage::{CASES, Damage};
use crate::fixture::{Fixture, Sample};

#[tokio::test]
async fn a_restored_copy_reads_the_same() {
    let fixture = Fixture::start();
    for sample in Sample::ALL {
        let source = fixture.contents(sample.source(), &Scope::Full).await;
        fixture.restore(sample, &source).await;
        let copy = fixture.contents(sample.copy(), &Scope::Full).await;
        let comparison = compare(&source, &copy, Level::Identical);
        assert_eq!(comparison.differences, []);
        let tables = source.tables.len() as u64;
        let excluded = source.exclusions.len() as u64;
        assert_eq!(comparison.checked.tables, tables - excluded);
        assert_eq!(comparison.checked.hashes, tables - excluded);
        assert_eq!(comparison.checked.sequences, source.sequences.len() as u64);
        let definitions: u64 = comparison.checked.definitions.values().sum();
        assert!(definitions > 200, "{definitions} definitions");
        assert_eq!(source.objects, {
            let mut objects = copy.objects;
            fixture::keep_recorded(&source, &mut objects);
            objects
        });
    }
}

#[tokio::test]
async fn every_damage_is_named_by_its_object_and_by_nothing_else() {
    let fixture = Fixture::start();
    let mut sources = Vec::new();
    for sample in Sample::ALL {
        let source = fixture.contents(sample.source(), &Scope::Full).await;
        fixture.restore(sample, &source).await;
        sources.push((sample, source));
    }
    let mut failures = Vec::new();
    for damage in CASES {
        let source = sources.iter().find(|(sample, _)| *sample == damage.sample);
        let source = &source.expect("every sample was restored").1;
        if let Err(failure) = check(&fixture, source, damage).await {
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), CASES.len(), failures.join("\n"));
}

async fn check(fixture: &Fixture, source: &Contents, damage: &Damage) -> Result<(), String> {
    let database = fixture.damaged(damage.sample, damage.sql);
    let copy = fixture.contents(&database, &Scope::Full).await;
    fixture.cluster.drop_database(&database).unwrap();
    let differences = compare(source, &copy, Level::Identical).differences;
    let named: Vec<_> =
        differences.iter().map(|found| (found.category, found.object.as_str())).collect();
    if named == damage.named && differences[0].message.contains(damage.said) {
        return Ok(());
    }
    let messages: Vec<_> = differences.iter().map(|found| format!("{found:?}")).collect();
    Err(format!("{}\n    {}", damage.sql, messages.join("\n    ")))
}

#[tokio::test]
async fn a_scope_of_tables_holds_what_belongs_to_them() {
    let fixture = Fixture::start();
    let tables = vec![TableName::new("audit", "log"), TableName::new("billing", "payments")];
    let scope = Scope::Tables(tables);
    let contents = fixture.contents(Sample::Application.source(), &scope).await;
    let names: Vec<_> =
        contents.tables.iter().map(|table| table.table_name().to_string()).collect();
    assert_eq!(
        names,
        [
            "audit.log_2026q1",
            "audit.log_2026q2",
            "audit.log_2026q3_loud",
            "audit.log_2026q3_quiet",
            "audit.log_rest",
            "billing.payments"
        ]
    );
    let excluded: Vec<_> = contents.exclusions.iter().map(|left| left.object.as_str()).collect();
    assert_eq!(
        excluded,
        ["payments_enrolment on billing.payments", "payments_tenant on billing.payments"]
    );
    let full = fixture.contents(Sample::Application.source(), &Scope::Full).await;
    assert_eq!(compare(&contents, &full, Level::Identical).differences, []);
    let strangers = contents.objects.iter().filter(|object| object.identity.contains("lms."));
    assert_eq!(strangers.count(), 0);
}
