//! `pg.verify_backup`.

use serde_json::json;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn good_sets_are_accepted_at_every_level() {
    for sql in [lab::sample::application(20_000), lab::sample::awkward()] {
        let bench = Bench::with(&sql);
        let dumped = bench
            .run("pg.dump", json!({"connection": "prod", "store": "backups", "part_size": "1MiB"}))
            .await
            .unwrap();
        for level in ["stored", "readable", "restorable", "complete", "identical", "usable"] {
            let step = format!("pg.verify_backup");
            let with = json!({"store": "backups", "database": "shop", "scratch": "scratch",
                "backup": dumped["set"], "level": level});
            let host = &bench.host;
            let ctx = host.context("verify", 1, tokio_util::sync::CancellationToken::new());
            let output = crate::bench::run(&step, &with, &ctx).await;
            if let Err(error) = &output {
                println!("{level} {error:#?}");
                println!("{}", bench.host.logged());
                break;
            }
            println!("{:#}", output.unwrap());
            let proofs = bench
                .store()
                .join("sets/shop")
                .join(dumped["set"].as_str().unwrap())
                .join("proofs");
            std::fs::remove_dir_all(proofs).unwrap();
        }
    }
}
