//! Schemas and rows by chance: whatever a deletion takes with it comes back, and nothing else
//! changes.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use crate::common::Ground;

/// A table: whether its key has two columns, and which tables it references, nullable or not.
#[derive(Debug, Clone)]
struct Table {
    composite: bool,
    references: Vec<(usize, bool)>,
    rows: u32,
}

/// Tables in an order in which each references earlier ones or itself, and later ones only where
/// it may be null; then which row of which table is deleted.
fn schemas() -> impl Strategy<Value = (Vec<Table>, usize, u32)> {
    let table = (any::<bool>(), prop::collection::vec((0..6usize, any::<bool>()), 0..4), 1..7u32);
    let table =
        table.prop_map(|(composite, references, rows)| Table { composite, references, rows });
    (prop::collection::vec(table, 2..6), 0..6usize, 1..7u32)
}

fn definitions(tables: &[Table]) -> String {
    let one = |(number, table): (usize, &Table)| {
        let key = if table.composite { "b int, primary key (id, b)" } else { "primary key (id)" };
        let columns = references(tables, number).into_iter().map(|(column, to, nullable)| {
            let null = if nullable { "" } else { " not null" };
            let second = format!(", r{column}b int{null}");
            let second = if tables[to].composite { second } else { String::new() };
            format!("r{column} int{null}{second}, ")
        });
        let columns: String = columns.collect();
        format!("create table t{number} (id int, {columns}x text, {key});\n")
    };
    tables.iter().enumerate().map(one).collect()
}

/// Columns that reference: number, table, nullable.
fn references(tables: &[Table], of: usize) -> Vec<(usize, usize, bool)> {
    let each = tables[of].references.iter().enumerate();
    let one = |(column, (to, nullable)): (usize, &(usize, bool))| {
        let to = to % tables.len();
        (column, to, *nullable || to >= of)
    };
    each.map(one).collect()
}

fn keys(tables: &[Table]) -> String {
    let of = |number: usize| {
        references(tables, number).into_iter().map(move |(column, to, _)| {
            let (own, other) = if tables[to].composite {
                (format!("r{column}, r{column}b"), "id, b")
            } else {
                (format!("r{column}"), "id")
            };
            format!(
                "alter table t{number} add foreign key ({own}) references t{to} ({other}) \
                 on delete cascade;\n"
            )
        })
    };
    (0..tables.len()).flat_map(of).collect()
}

/// Rows whose references go to every row in turn, sometimes to none.
fn rows(tables: &[Table]) -> String {
    (0..tables.len()).map(|number| rows_of(tables, number)).collect()
}

fn rows_of(tables: &[Table], number: usize) -> String {
    let table = &tables[number];
    let mut columns = vec!["id".to_owned(), "x".to_owned()];
    let mut values = vec!["n".to_owned(), "'row ' || n".to_owned()];
    if table.composite {
        columns.push("b".to_owned());
        values.push("n * 2".to_owned());
    }
    for (column, to, nullable) in references(tables, number) {
        let target = format!("1 + (n * {} + {column}) % {}", column + 1, tables[to].rows);
        let null = if nullable { "n % 3 = 0" } else { "false" };
        columns.push(format!("r{column}"));
        values.push(format!("case when {null} then null else {target} end"));
        if tables[to].composite {
            columns.push(format!("r{column}b"));
            values.push(format!("case when {null} then null else ({target}) * 2 end"));
        }
    }
    format!(
        "insert into t{number} ({}) select {} from generate_series(1, {}) n;\n",
        columns.join(", "),
        values.join(", "),
        table.rows
    )
}

async fn comes_back(ground: &Ground, round: u32, (tables, from, row): (Vec<Table>, usize, u32)) {
    let from = from % tables.len();
    let row = 1 + row % tables[from].rows;
    ground.sql("drop schema public cascade; create schema public");
    ground.sql(&(definitions(&tables) + &rows(&tables) + &keys(&tables)));
    ground.copy();
    let whole = ground.rows("shop");
    ground.sql(&format!("delete from t{from} where id = {row}"));
    let after = ground.rows("shop");
    let (to, undo) = (ground.path(&format!("rows-{round}")), ground.path(&format!("undo-{round}")));
    let keys = json!({"table": format!("t{from}"), "where": format!("id = {row}"), "to": to});
    ground.extract(keys).await.unwrap();
    let restored = ground.restore(json!({"from": to, "undo_bundle": undo})).await.unwrap();
    let missing = (whole.len() - after.len()) as u64;
    assert_eq!(restored["all"]["insert"].as_u64(), Some(missing), "{tables:?} t{from} {row}");
    assert_eq!(ground.rows("shop"), whole, "{tables:?} t{from} {row}");
    ground.undo(json!({"undo": undo})).await.unwrap();
    assert_eq!(ground.rows("shop"), after, "{tables:?} t{from} {row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_deletion_takes_with_it_comes_back() {
    let ground = Ground::with("select 1");
    let seed = TestRng::from_seed(
        RngAlgorithm::ChaCha,
        b"rows that belong together by chance.."[..32].try_into().unwrap(),
    );
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    for round in 0..16 {
        let schema = schemas().new_tree(&mut runner).unwrap().current();
        comes_back(&ground, round, schema).await;
    }
}
