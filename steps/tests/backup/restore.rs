//! `pg.restore`.

use serde_json::json;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_restored() {
    for sql in [lab::sample::application(20_000), lab::sample::awkward()] {
        let bench = Bench::with(&sql);
        let dumped = bench
            .run("pg.dump", json!({"connection": "prod", "store": "backups", "part_size": "1MiB"}))
            .await
            .unwrap();
        println!("{dumped:#}");
        let output = bench
            .run(
                "pg.restore",
                json!({"connection": "scratch", "store": "backups", "backup": dumped["set"],
                    "source": "shop", "database": "Copy of 'shop'"}),
            )
            .await;
        if output.is_err() {
            println!("{}", bench.host.logged());
        }
        println!("{:#}", output.unwrap());
    }
}
