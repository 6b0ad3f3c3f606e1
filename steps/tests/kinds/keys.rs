//! Which steps need the key of a store.

use model::plan::Source;
use model::runbook::Runbook;
use serde_json::json;

const RUNBOOK: &str = r#"
version: 1
name: keys
secrets: {backup_key: {env: BACKUP_KEY}}
connections: {prod: {url: "postgresql:///shop"}, scratch: {url: "postgresql:///postgres", protected: false}}
params: {recipient: {type: string, required: true}}
stores:
  backups:
    url: "file:///var/backups/shop"
    encrypt: {age: ["{{ params.recipient }}"]}
    decrypt: {identity: "{{ secrets.backup_key }}"}
steps:
  - {id: dump, uses: pg.dump, with: {connection: prod, store: backups}}
  - {id: list, uses: store.list, with: {store: backups}}
  - {id: stored, uses: pg.verify_backup, with: {store: backups, database: shop, level: stored}}
  - {id: verify, uses: pg.verify_backup, with: {store: backups, database: shop, scratch: scratch}}
  - {id: restore, uses: pg.restore, with: {connection: scratch, store: backups, database: copy}}
"#;

#[test]
fn only_steps_that_open_a_set_read_its_key() {
    let checked = Runbook::check(RUNBOOK, &steps::REGISTRY);
    assert_eq!(checked.problems, vec![]);
    let given = [("recipient".to_owned(), json!("age1..."))].into_iter().collect();
    let source = Source { file: "keys.yaml".to_owned(), sha256: String::new() };
    let plan = checked.runbook.unwrap().plan(&steps::REGISTRY, &given, source).unwrap();
    let readers = plan.steps.iter().filter(|step| step.secrets == ["backup_key"]);
    let readers: Vec<_> = readers.map(|step| step.id.as_str()).collect();
    assert_eq!(readers, ["verify", "restore"]);
}
