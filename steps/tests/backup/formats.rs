//! Sets in the formats of `pg_dump`: proven like the others, and read by stock programs.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use model::set::manifest::Scope;
use serde_json::{Value, json};

use crate::bench::{Bench, run};
use crate::restore::{assert_identical, by_hand, manifest};

/// Every format, with what belongs to it.
fn formats() -> [Value; 5] {
    [
        json!({"format": "custom"}),
        json!({"format": "directory", "compression": 2}),
        json!({"format": "plain"}),
        json!({"format": "plain", "compress_with": "gzip", "compression": 3}),
        json!({"format": "plain", "compress_with": "none"}),
    ]
}

/// Dumps `shop` with these inputs beside the usual ones; gives what the step answers.
async fn dump(bench: &Bench, step: &str, more: &Value) -> Value {
    let mut with = json!({"connection": "prod", "store": "backups", "jobs": 2});
    with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    run("pg.dump", &with, &bench.context(step)).await.unwrap()
}

fn set(output: &Value) -> &str {
    output["set"].as_str().unwrap()
}

async fn restore(bench: &Bench, set: &str) {
    let with = json!({"connection": "scratch", "store": "backups", "source": "shop",
        "backup": set, "database": "copy", "partial": true, "jobs": 2});
    run("pg.restore", &with, &bench.context("restore")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_proven_and_restores_with_and_without_this_program() {
    for sql in [lab::sample::application(2_000), lab::sample::awkward()] {
        let bench = Bench::with(&sql);
        let objects = dump(&bench, "objects", &json!({})).await;
        for (number, more) in formats().iter().enumerate() {
            let output = dump(&bench, &format!("dump{number}"), more).await;
            let set = set(&output);
            let written = manifest(&bench, set);
            assert_eq!(written.format.to_string(), more["format"].as_str().unwrap());
            assert_eq!(output["rows"], objects["rows"]);
            let expected = manifest(&bench, self::set(&objects)).contents;
            for (table, like) in written.contents.tables.iter().zip(&expected.tables) {
                assert_eq!((&table.rows, &table.hash), (&like.rows, &like.hash));
                assert_eq!(table.parts, []);
            }
            let level = if number == 3 { "usable" } else { "identical" };
            for level in ["stored", "readable", level] {
                let proof = bench.verify(set, level).await.unwrap();
                assert_eq!((&proof["level"], &proof["passed"]), (&json!(level), &json!(true)));
            }
            restore(&bench, set).await;
            assert_identical(&bench, set, "copy").await;
            by_hand(&bench, set, &[]);
            assert_identical(&bench, set, "by hand").await;
            bench.cluster.drop_database("copy").unwrap();
            bench.cluster.drop_database("by hand").unwrap();
            assert_eq!(bench.other_databases(), Vec::<String>::new());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_programs_read_what_was_written() {
    let bench = Bench::with("CREATE TABLE a AS SELECT n FROM generate_series(1, 9000) AS n");
    for (number, more) in formats().iter().enumerate() {
        let output = dump(&bench, &format!("dump{number}"), more).await;
        let dump = bench.store().join(output["dump"].as_str().unwrap());
        let (program, argument) = match dump.file_name().unwrap().to_str().unwrap() {
            "database.sql.zst" => ("zstd", "-dc"),
            "database.sql.gz" => ("gzip", "-dc"),
            "database.sql" => ("cat", "--"),
            _ => ("pg_restore", "--file=-"),
        };
        let read = Command::new(program).arg(argument).arg(&dump).output().unwrap();
        assert!(read.status.success(), "{program}: {}", String::from_utf8_lossy(&read.stderr));
        let text = String::from_utf8(read.stdout).unwrap();
        assert!(text.contains("COPY public.a (n) FROM stdin;\n1\n2\n"), "{program}");
        assert!(text.contains("\n9000\n\\.\n"), "{program}");
    }
}

const THREE: &str = "CREATE SCHEMA \"odd schema*\"; CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE TABLE parent (id int PRIMARY KEY, m mood); INSERT INTO parent VALUES (1, 'good');
    CREATE TABLE \"odd schema*\".\"Child \"\"x\"\"\" (id int REFERENCES parent, n serial);
    INSERT INTO \"odd schema*\".\"Child \"\"x\"\"\" VALUES (1), (1), (1);
    CREATE TABLE stranger (id int PRIMARY KEY); INSERT INTO stranger VALUES (7);
    ALTER TABLE parent ADD COLUMN s int REFERENCES stranger; UPDATE parent SET s = 7;
    CREATE MATERIALIZED VIEW seen AS SELECT 1 / count(*) AS n FROM stranger;
    SELECT lo_from_bytea(0, 'large');";

#[tokio::test(flavor = "multi_thread")]
async fn some_tables_are_written_and_restored_in_every_format() {
    let bench = Bench::with(THREE);
    let mut all = vec![json!({"format": "objects"})];
    all.extend(formats());
    for (number, mut more) in all.into_iter().enumerate() {
        more["tables"] = json!(["parent", "odd schema*.Child \"x\""]);
        let output = dump(&bench, &format!("dump{number}"), &more).await;
        let set = set(&output);
        assert_eq!((&output["tables"], &output["rows"]), (&json!(2), &json!(4)), "{more}");
        bench.verify(set, "identical").await.unwrap();
        restore(&bench, set).await;
        by_hand(&bench, set, &[]);
        for copy in ["copy", "by hand"] {
            assert_identical(&bench, set, copy).await;
            let strangers = bench.cluster.query_one(copy, "SELECT count(*) FROM stranger").unwrap();
            assert_eq!(strangers, "0", "{more}");
            let keys = "SELECT string_agg(conname, ' ') FROM pg_constraint WHERE contype = 'f'";
            let keys = bench.cluster.query_one(copy, keys).unwrap();
            assert_eq!(keys, "Child \"x\"_id_fkey", "{more}");
            bench.cluster.drop_database(copy).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_left_out_are_left_out_in_every_format() {
    let bench =
        Bench::with("CREATE TABLE kept AS SELECT 1 AS n; CREATE TABLE \"Logs\" AS SELECT 2 AS n");
    for (number, mut more) in formats().into_iter().enumerate() {
        more["exclude_tables"] = json!(["Logs"]);
        let output = dump(&bench, &format!("dump{number}"), &more).await;
        assert_eq!(output["rows"], json!(1));
        assert_eq!(output["excluded"].as_array().unwrap().len(), 1);
        bench.verify(set(&output), "identical").await.unwrap();
        restore(&bench, set(&output)).await;
        let logs = bench.cluster.query_one("copy", "SELECT count(*) FROM \"Logs\"").unwrap();
        assert_eq!(logs, "0");
        bench.cluster.drop_database("copy").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_alone_are_a_set_that_is_never_the_latest() {
    for sql in [THREE.to_owned(), lab::sample::application(100), lab::sample::awkward()] {
        let bench = Bench::with(&sql);
        let mut all = vec![json!({"format": "objects"})];
        all.extend(formats());
        for (number, mut more) in all.into_iter().enumerate() {
            more["schema_only"] = json!(true);
            let output = dump(&bench, &format!("dump{number}"), &more).await;
            let set = set(&output);
            assert_eq!((&output["tables"], &output["rows"]), (&json!(0), &json!(0)), "{more}");
            assert_eq!(manifest(&bench, set).contents.scope, Scope::Definitions);
            bench.verify(set, "identical").await.unwrap();
            restore(&bench, set).await;
            by_hand(&bench, set, &[]);
            assert_identical(&bench, set, "copy").await;
            assert_identical(&bench, set, "by hand").await;
            bench.cluster.drop_database("copy").unwrap();
            bench.cluster.drop_database("by hand").unwrap();
        }
        let latest = json!({"connection": "scratch", "store": "backups", "database": "copy"});
        let error = run("pg.restore", &latest, &bench.context("latest")).await.unwrap_err();
        assert_eq!(error.code, "RB0611");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_a_schema_changes_only_when_the_schema_does() {
    let bench = Bench::with("CREATE TABLE a (n int); INSERT INTO a VALUES (1)");
    let file = bench.folder.path().join("schema.sql");
    let more = json!({"format": "plain", "schema_only": true, "compress_with": "none",
        "schema_file": file});
    let mut texts = Vec::new();
    for (step, change) in [("one", "INSERT INTO a VALUES (2)"), ("two", "ALTER TABLE a ADD m int")]
    {
        let output = dump(&bench, step, &more).await;
        texts.push(fs::read_to_string(&file).unwrap());
        let object = bench.store().join(output["dump"].as_str().unwrap());
        let whole = fs::read_to_string(object).unwrap();
        let keyed =
            |line: &&str| line.starts_with("\\restrict") || line.starts_with("\\unrestrict");
        assert_eq!(whole.lines().filter(keyed).count(), 2);
        let kept: Vec<_> = whole.lines().filter(|line| !keyed(line)).collect();
        assert_eq!(texts.last().unwrap().lines().collect::<Vec<_>>(), kept);
        bench.cluster.execute("shop", change).unwrap();
    }
    dump(&bench, "three", &more).await;
    assert_eq!(texts[0], texts[1]);
    assert_ne!(texts[1], fs::read_to_string(&file).unwrap());

    let with = json!({"connection": "prod", "store": "backups", "format": "plain",
        "schema_only": true, "schema_file": "/proc/no/schema.sql"});
    let error = run("pg.dump", &with, &bench.context("four")).await.unwrap_err();
    shown::case("RB0591", error.told());
    let sets = fs::read_dir(bench.store().join("sets/shop")).unwrap();
    assert_eq!(sets.count(), 3, "no set is left of the one that failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damage_of_a_dump_is_named() {
    let bench = Bench::with(&lab::sample::application(500));
    for (number, more) in formats().iter().enumerate() {
        let output = dump(&bench, &format!("dump{number}"), more).await;
        let set = set(&output);
        let objects = bench.objects(set).into_iter().filter(|path| path.starts_with("database"));
        for object in objects {
            let path = bench.set(set).join(&object);
            let whole = fs::read(&path).unwrap();
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 0x10;
            for damage in [Some(&whole[..whole.len() - 1]), Some(&flipped), Some(&[]), None] {
                match damage {
                    Some(bytes) => fs::write(&path, bytes).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                let error = bench.verify(set, "stored").await.unwrap_err();
                assert!(error.causes[0].contains(&format!("`{object}`")), "{error:?}");
                let with = json!({"connection": "scratch", "store": "backups", "source": "shop",
                    "backup": set, "database": "copy"});
                let error = run("pg.restore", &with, &bench.context("restore")).await.unwrap_err();
                let code = if damage.is_some() { "RB0613" } else { "RB0614" };
                assert_eq!(error.code, code, "{error:?}");
                assert!(error.message.contains(&format!("`{object}`")), "{error:?}");
                assert_eq!(bench.other_databases(), Vec::<String>::new());
            }
            fs::write(&path, &whole).unwrap();
        }
        bench.verify(set, "restorable").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dump_and_the_hashes_see_one_moment_while_others_write() {
    let bench = Bench::with(
        "CREATE TABLE debit (id int PRIMARY KEY, amount int, filler text);
         CREATE TABLE credit (id int PRIMARY KEY, amount int, filler text);
         INSERT INTO debit SELECT n, 1000, repeat('d', 300) FROM generate_series(1, 9000) AS n;
         INSERT INTO credit SELECT n, 1000, repeat('c', 300) FROM generate_series(1, 9000) AS n;",
    );
    let stop = AtomicBool::new(false);
    let moved = "DO $$ DECLARE it int; BEGIN FOR i IN 1..200 LOOP
        it := 1 + (random() * 8999)::int;
        UPDATE debit SET amount = amount - 7 WHERE id = it;
        UPDATE credit SET amount = amount + 7 WHERE id = 9001 - it;
        COMMIT; END LOOP; END $$";
    let sets = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                bench.cluster.execute("shop", moved).unwrap();
            }
        });
        let sets = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut sets = Vec::new();
                for (number, more) in formats()[..3].iter().enumerate() {
                    sets.push(dump(&bench, &format!("dump{number}"), more).await);
                }
                sets
            })
        });
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        sets
    });
    for output in sets {
        bench.verify(set(&output), "identical").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_text_keeps_its_owners() {
    let bench = Bench::with("CREATE TABLE a (n int)");
    let output = dump(&bench, "dump", &json!({"format": "plain"})).await;
    let with = json!({"connection": "scratch", "store": "backups", "source": "shop",
        "backup": set(&output), "database": "copy", "no_owner": true});
    let error = run("pg.restore", &with, &bench.context("restore")).await.unwrap_err();
    shown::case("RB0590", error.told());
    assert_eq!(bench.other_databases(), Vec::<String>::new());
}
