//! Incremental base backups, which take PostgreSQL 17: `make test-pg17`.

use serde_json::json;

use crate::ground::Ground;

const SAMPLE: &str =
    "create table orders as select n as id, md5(n::text) as what from generate_series(1, 5000) n";

const INCREMENTAL: &str = "version: 1
name: incremental
secrets: {url: {env: DATABASE_URL}}
connections: {prod: {url: '{{ secrets.url }}'}}
stores: {backups: {url: '{{ env_store }}'}}
steps:
  - id: base
    uses: pg.base_backup
    with: {connection: prod, store: backups, parent: latest}
";

#[test]
fn a_chain_of_incremental_backups_is_combined_and_recovered() {
    let ground = Ground::with_settings(SAMPLE, &[("summarize_wal", "on")]);
    ground.shipped("base-backup", &[]).expect(0);
    let full = ground.bed.output("base")["base"].clone();
    let url = format!("file://{}", ground.bed.store().display());
    let file = ground.bed.write("incremental.yaml", &INCREMENTAL.replace("{{ env_store }}", &url));
    let mut parent = full;
    for round in 1..=2 {
        ground.sql(&format!("insert into orders values ({round}000000, 'round {round}')"));
        ground.archived();
        ground.bed.runbook(&["run", &file]).expect(0);
        let made = ground.bed.output("base");
        assert_eq!((&made["kind"], &made["parent"]), (&json!("incremental"), &parent));
        parent = made["base"].clone();
    }
    ground.sql("insert into orders values (3000000, 'after the last backup')");
    ground.archived();
    ground.shipped("pitr", &["database=app", "target=latest", "keep=false"]).expect(0);
    assert_eq!(ground.bed.output("recover")["base"], parent);
    assert_eq!(ground.ask("app", "select count(*), max(id) from orders"), "5003|3000000");

    // Without the full backup nothing is begun.
    let folder = ground.bed.store().join(format!("base/{}", ground.identifier()));
    let run = ground.bed.runs().pop().unwrap();
    ground.bed.runbook(&["undo", &run, "--yes"]).expect(0);
    let mut bases: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
    bases.sort();
    std::fs::remove_dir_all(&bases[0]).unwrap();
    let broken = ground.shipped("pitr", &["database=app", "target=latest"]).expect(1);
    assert!(broken.stderr.contains("[RB0624]"), "{}", broken.stderr);
    assert!(!ground.instance().exists());
}
