//! `foreach` and `runbook.include` in real runs.

use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::bed::{Bed, of_type};

const TABLES: &str = "create table users (id int); insert into users select generate_series(1, 3);
create table orders (id int); insert into orders select generate_series(1, 5);
create table items (id int); insert into items select generate_series(1, 7);";

fn done(journal: &[Value], step: &str) -> Value {
    let records = of_type(journal, "step_succeeded");
    let found = records.into_iter().find(|record| record["data"]["step"] == step);
    found.unwrap_or_else(|| panic!("{step} succeeded"))["data"]["output"].clone()
}

#[test]
fn three_tables_are_dumped_and_their_outputs_read_in_the_order_of_the_items() {
    let bed = Bed::with(TABLES);
    let file = bed.write(
        "tables.yaml",
        r#"
version: 1
name: tables
params: {tables: {type: list, default: [orders, users, items]}}
connections: {app: {url: "{{ secrets.db }}"}}
secrets: {db: {env: DATABASE_URL}}
steps:
  - id: count
    foreach: {items: "{{ params.tables }}", as: table, max_parallel: 2}
    uses: pg.query
    with: {connection: app, sql: "select count(*)::int as n from {{ table | ident }}"}
  - id: told
    uses: flow.pass
    with: {values: {counts: "{% for o in steps.count.outputs %}{{ o.rows[0].n }} {% endfor %}"}}
"#,
    );
    bed.runbook(&["run", &file]).expect(0);
    let journal = bed.journal();
    assert_eq!(done(&journal, "told")["values"]["counts"], "5 3 7 ");
    for step in ["count.orders", "count.users", "count.items"] {
        assert!(done(&journal, step)["rows"].is_array(), "{step}");
    }
}

#[test]
fn an_included_runbook_runs_with_its_own_names() {
    let bed = Bed::with("select 1");
    bed.write(
        "inner.yaml",
        r#"
version: 1
name: inner
params: {region: {type: string}}
vars: {label: "in-{{ params.region }}"}
secrets: {url: {env: DATABASE_URL}}
connections: {app: {url: "{{ secrets.url }}"}}
steps:
  - id: ask
    uses: pg.query
    with: {connection: app, sql: "select $1::text as said", params: ["{{ vars.label }}"]}
  - id: hand
    if: succeeded('ask')
    uses: flow.pass
    with: {values: {said: "{{ steps.ask.outputs.rows[0].said }}"}}
"#,
    );
    let file = bed.write(
        "outer.yaml",
        r#"
version: 1
name: outer
steps:
  - {id: west, uses: runbook.include, with: {file: inner.yaml, params: {region: west}}}
  - {id: east, uses: runbook.include, with: {file: inner.yaml, params: {region: east}}}
  - id: both
    uses: flow.pass
    with: {values: {said: "{{ steps.west.ask.outputs.rows[0].said }} {{ steps.east.ask.outputs.rows[0].said }}"}}
"#,
    );
    bed.runbook(&["run", &file]).expect(0);
    assert_eq!(done(&bed.journal(), "both")["values"]["said"], "in-west in-east");
}

#[test]
fn a_link_out_of_the_folder_is_not_followed() {
    let bed = Bed::with("select 1");
    let file = bed.write(
        "linked.yaml",
        "version: 1\nname: linked\nsteps:\n  - {id: a, uses: runbook.include, with: {file: in.yaml}}\n",
    );
    let outside = tempfile::NamedTempFile::new().unwrap();
    let folder = std::path::Path::new(&file).parent().unwrap();
    symlink(outside.path(), folder.join("in.yaml")).unwrap();
    let refused = bed.runbook(&["run", &file]).expect(2).stderr;
    assert!(refused.contains("error[RB0266]"), "{refused}");
    assert!(refused.contains("why: a symbolic link leads out of the folder"), "{refused}");
}
