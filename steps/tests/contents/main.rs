//! What a database holds, read from real servers: a restored copy reads the same, and every
//! damage to a copy is named, by its object and by nothing else.
#![expect(clippy::unwrap_used, reason = "tests")]

mod damage;
mod fixture;

use lab::cluster::{ClusterOptions, USER};
use model::proof::Level;
use model::set::manifest::{Scope, TableName};
use model::set::{CatalogueObject, Category, Contents, compare};
use steps::pg::catalogue;

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
        assert_eq!(without_owner(&source), Vec::<&str>::new());
        assert_eq!(source.objects, {
            let mut objects = copy.objects;
            fixture::keep_recorded(&source, &mut objects);
            objects
        });
    }
}

/// Objects whose owner or privileges were not read.
fn without_owner(contents: &Contents) -> Vec<&str> {
    use Category::{
        Domain, Enum, Function, Grant, MaterializedView, Owner, Schema, Table, Type, View,
    };
    let has = |category: Category, identity: &str| {
        let belongs = |object: &CatalogueObject| object.belongs_to.as_deref() == Some(identity);
        contents.objects.iter().any(|object| object.category == category && belongs(object))
    };
    let owned = [Table, View, MaterializedView, Function, Schema, Type, Enum, Domain];
    let objects = contents.objects.iter().filter(|object| owned.contains(&object.category));
    let names = objects.map(|object| object.identity.as_str());
    names.filter(|name| !has(Owner, name) || !has(Grant, name)).collect()
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

/// What PostgreSQL prints differently after a restore, although it means the same.
const PRINTED_DIFFERENTLY: &str = "
CREATE TABLE forms (
  id integer,
  state varchar(10) CHECK (state IN ('open', 'closed')),
  code char(2) CHECK (code NOT IN ('xx', 'yy')),
  kind varchar DEFAULT 'a' CHECK (id > 1 OR (kind IN ('a', 'b') AND id BETWEEN 1 AND 5)),
  CHECK (id BETWEEN 0 AND 9 AND id <> 7 AND (id < 3 OR (id > 4 OR id = 3)))
) PARTITION BY LIST (state);
CREATE TABLE forms_open PARTITION OF forms FOR VALUES IN ('open');
CREATE INDEX chosen ON forms (id) WHERE state IN ('open', 'new') AND id BETWEEN 1 AND 2;
CREATE VIEW seen AS SELECT CASE WHEN state IN ('open') THEN 1 ELSE -1 END AS n FROM forms
  WHERE id BETWEEN 1 AND 2 AND state IN ('open', 'b') AND NOT (id = 1 AND id = 2);
CREATE MATERIALIZED VIEW kept AS SELECT * FROM seen WHERE n IN (1, 2) AND n BETWEEN 0 AND 1;
CREATE POLICY chosen ON forms USING (state IN ('open', 'closed') AND id BETWEEN 1 AND 2);
CREATE RULE chosen AS ON UPDATE TO seen WHERE old.n IN (1, 3) DO INSTEAD NOTHING;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER chosen BEFORE UPDATE ON forms_open FOR EACH ROW
  WHEN (new.state IN ('open', 'x') AND new.id BETWEEN 1 AND 2) EXECUTE FUNCTION nothing();
CREATE DOMAIN colour AS varchar CHECK (VALUE IN ('red', 'green'));
CREATE FUNCTION atomic(a varchar) RETURNS boolean LANGUAGE sql
  BEGIN ATOMIC SELECT a IN ('x', 'y') AND length(a) BETWEEN 1 AND 2; END;
CREATE STATISTICS facts ON (state IN ('a', 'b')), id FROM forms_open;
";

#[tokio::test]
async fn what_prints_differently_after_a_restore_is_the_same() {
    let fixture = Fixture::of(Sample::Application, PRINTED_DIFFERENTLY);
    let source = fixture.contents(Sample::Application.source(), &Scope::Full).await;
    fixture.restore(Sample::Application, &source).await;
    let copy = fixture.contents(Sample::Application.copy(), &Scope::Full).await;
    assert_ne!(source.objects, copy.objects);
    assert_eq!(compare(&source, &copy, Level::Identical).differences, []);
}

#[tokio::test]
async fn a_copy_on_another_server_reads_the_same() {
    let fixture = Fixture::start();
    let other = ClusterOptions::new().own_identity().start().unwrap();
    let globals = fixture.dump_globals();
    other.execute(USER, &globals.replace("CREATE ROLE postgres;", "")).unwrap();
    for sample in Sample::ALL {
        let source = fixture.contents(sample.source(), &Scope::Full).await;
        fixture.restore_on(&other, sample, &source).await;
        let copy = fixture::contents_on(&other, sample.copy(), &Scope::Full).await;
        assert_eq!(compare(&source, &copy, Level::Identical).differences, []);
    }
}

#[tokio::test]
async fn a_backup_role_reads_what_the_superuser_reads() {
    let fixture = Fixture::start();
    let role = "CREATE ROLE backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO backup";
    fixture.cluster.execute(USER, role).unwrap();
    let database = Sample::Application.source();
    let source = fixture.contents(database, &Scope::Full).await;
    let client = fixture::connect(&fixture.cluster, database, "backup").await;
    let mut read = catalogue::capture(&client, &Scope::Full).await.unwrap();
    catalogue::measure(&client, &mut read, true).await.unwrap();
    // Large objects are nobody's but their owners' (and pg_dump cannot read them either).
    read.large_objects = source.large_objects.clone();
    let mut expected = source;
    expected.objects.retain(|object| object.category != Category::LargeObjectContent);
    assert_eq!(read, expected);
}
