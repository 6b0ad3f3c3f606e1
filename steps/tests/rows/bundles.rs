//! The folder of a bundle: what is refused, and what is never overwritten.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use shown::case;
use tokio_util::sync::CancellationToken;

use crate::common::{Ground, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_missing_damaged_or_of_another_kind_is_refused() {
    let ground = Ground::after_the_accident();
    let error = ground.restore(json!({"from": "/var/backups/rows/none"})).await.unwrap_err();
    case("RB0544", error.told());
    ground.extract_ann().await;
    let before = ground.rows("shop");
    let file = ground.path("rows/0001.rows.copy");
    let text = std::fs::read_to_string(&file).unwrap();
    let keys = json!({"on_conflict": "skip"});
    for damaged in [text.replacen("vip", "vop", 1), format!("{text}{text}"), String::new()] {
        std::fs::write(&file, damaged).unwrap();
        let error = ground.restore(keys.clone()).await.unwrap_err();
        assert_eq!(error.code, "RB0544", "{error:?}");
        assert!(error.message.contains("is not what its bundle says"), "{error}");
        assert_eq!(ground.rows("shop"), before);
    }
    std::fs::write(&file, text).unwrap();
    let undo = json!({"connection": "prod", "undo": ground.path("rows")});
    let error =
        run("pg.restore_rows", undo, &crate::common::context(&ground.host)).await.unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("give it as `from`"));
    std::fs::remove_file(ground.path("rows/rows.json")).unwrap();
    assert_eq!(ground.restore(keys).await.unwrap_err().code, "RB0544");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_of_another_run_is_never_overwritten() {
    let ground = Ground::shop();
    ground.extract_ann().await;
    let before = std::fs::read(ground.path("rows/rows.json")).unwrap();
    let asked =
        json!({"connection": "copy", "table": "customers", "keys": [4], "to": ground.path("rows")});
    let other = ground.host.context("other", 1, CancellationToken::new());
    let error = run("pg.extract_rows", asked, &other).await.unwrap_err();
    assert_eq!(error.code, "RB0544");
    assert!(error.message.contains("holds the bundle of run"), "{error}");
    assert_eq!(std::fs::read(ground.path("rows/rows.json")).unwrap(), before);
    // The same step of the same run writes it again.
    ground.extract(json!({"table": "customers", "keys": [4]})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_somebody_else_is_refused() {
    let ground = Ground::shop();
    let keys = json!({"table": "customers", "keys": [4]});
    std::fs::create_dir(ground.path("rows")).unwrap();
    std::fs::set_permissions(ground.path("rows"), PermissionsExt::from_mode(0o755)).unwrap();
    let error = ground.extract(keys.clone()).await.unwrap_err();
    assert!(error.message.starts_with("others may look into"), "{error}");
    std::fs::set_permissions(ground.path("rows"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::write(ground.path("rows/notes.txt"), "keep").unwrap();
    let error = ground.extract(keys.clone()).await.unwrap_err();
    assert!(error.message.contains("holds `notes.txt`"), "{error}");
    std::fs::rename(ground.path("rows/notes.txt"), ground.path("notes.txt")).unwrap();
    // What a killed attempt left behind is no obstacle.
    std::fs::write(ground.path("rows/0001.rows.copy"), "half a row").unwrap();
    ground.extract(keys).await.unwrap();
    assert_eq!(std::fs::read_to_string(ground.path("notes.txt")).unwrap(), "keep");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_undo_of_an_earlier_attempt_is_kept() {
    let ground = Ground::after_the_accident();
    let keys = json!({"table": "customers", "keys": [1], "exclude": ["customers"]});
    ground.extract(keys).await.unwrap();
    ground.restore(json!({})).await.unwrap();
    let first = std::fs::read(ground.path("undo/rows.json")).unwrap();
    ground.restore(json!({})).await.unwrap();
    assert_eq!(std::fs::read(ground.path("undo.attempt-1/rows.json")).unwrap(), first);
    ground.undo(json!({"undo": ground.path("undo.attempt-1")})).await.unwrap();
    assert_eq!(ground.one("select count(*) from customers where id = 1"), "0");
}
