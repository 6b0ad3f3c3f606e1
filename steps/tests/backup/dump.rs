//! `pg.dump`.

use serde_json::json;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_dumped() {
    let bench = Bench::with(&lab::sample::application(20_000));
    let output = bench
        .run("pg.dump", json!({"connection": "prod", "store": "backups", "label": "nightly"}))
        .await
        .unwrap();
    println!("{output:#}");
    println!(
        "{}",
        std::process::Command::new("find")
            .arg(bench.store())
            .output()
            .map(|o| String::from_utf8(o.stdout).unwrap())
            .unwrap()
    );
}
