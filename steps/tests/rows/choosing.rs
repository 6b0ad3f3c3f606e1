//! Which rows `pg.extract_rows` takes, and what it refuses.

use std::os::unix::fs::PermissionsExt;

use engine::step::Observation;
use model::step_error::ErrorClass;
use serde_json::{Value, json};
use shown::case;

use crate::common::{Ground, context, observe, with};

/// `table: rows, parents` of an output, in its order.
fn counts(output: &Value) -> Vec<(String, u64, u64)> {
    let tables = output["tables"].as_array().unwrap().iter();
    let number = |value: &Value| value.as_u64().unwrap();
    tables
        .map(|table| {
            let name = table["table"].as_str().unwrap().to_owned();
            (name, number(&table["rows"]), number(&table["parents"]))
        })
        .collect()
}

fn of(name: &str, rows: u64, parents: u64) -> (String, u64, u64) {
    (name.to_owned(), rows, parents)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_a_row_comes_with_it_and_what_these_need() {
    let ground = Ground::shop();
    let output = ground.extract_ann().await;
    let mut found = counts(&output);
    found.sort();
    assert_eq!(
        found,
        [
            // Bob was referred by Ann, Cy by Bob.
            of("public.Größe x", 1, 0),
            of("public.customers", 3, 0),
            of("public.items", 3, 0),
            of("public.orders", 3, 0),
            of("public.products", 0, 2),
            of("public.tenants", 0, 2),
            of("public.visits", 2, 0),
        ]
    );
    assert_eq!((&output["chosen"], &output["rows"]), (&json!(1), &json!(16)));
    let tables = output["tables"].as_array().unwrap();
    let why = |name: &str| {
        let table = tables.iter().find(|table| table["table"] == name).unwrap();
        table["why"].clone()
    };
    assert_eq!(
        why("public.customers"),
        json!(["chosen by `where`", "references `public.customers` (`customers_referrer_fkey`)"])
    );
    assert_eq!(why("public.products"), json!(["needed by `public.items` (`items_product_fkey`)"]));
    let said = output["summary"].as_str().unwrap();
    assert!(said.starts_with("public.customers: 3, "), "{said}");
    assert!(said.contains("public.tenants: 2 needed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bundle_is_private_and_read_by_psql_alone() {
    let ground = Ground::shop();
    ground.extract_ann().await;
    let mode = |name: &str| {
        std::fs::metadata(ground.path("rows").join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("."), mode("rows.json"), mode("0001.rows.copy")), (0o700, 0o600, 0o600));
    let manifest = std::fs::read_to_string(ground.path("rows/rows.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let table = &manifest["tables"][0];
    assert_eq!(table["name"], "customers");
    let columns: Vec<_> = table["columns"].as_array().unwrap().iter().collect();
    let columns: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    let path = ground.path("rows/0001.rows.copy");
    let text = std::fs::read_to_string(&path).unwrap();
    let sql = format!(
        "create table again (like customers);
         copy again ({}) from stdin;\n{text}\\.\n",
        columns.join(", ")
    );
    ground.sql(&sql);
    let same = "select count(*) from (select * from again intersect select * from customers) x";
    assert_eq!(ground.one(same), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_chosen_by_keys_of_any_shape() {
    let ground = Ground::shop();
    let keys = json!({"table": "customers", "keys": [4], "children": false, "parents": false});
    let output = ground.extract(keys).await.unwrap();
    assert_eq!(counts(&output), [of("public.customers", 1, 0)]);
    let keys = json!({"table": "public.orders", "children": false,
                      "keys": [{"tenant": 1, "no": 2}, {"no": 1, "tenant": 2}]});
    let output = ground.extract(keys).await.unwrap();
    assert_eq!(counts(&output)[0], of("public.orders", 2, 0));
    let keys = json!({"table": "\"Größe x\"", "keys": [7], "parents": false});
    let output = ground.extract(keys).await.unwrap();
    assert_eq!(counts(&output), [of("public.Größe x", 1, 0)]);
    // A partition is read alone, and its rows are the table's.
    let keys = json!({"table": "visits_late", "where": "true", "parents": false});
    let output = ground.extract(keys).await.unwrap();
    assert_eq!(counts(&output), [of("public.visits", 2, 0)]);
    let keys = json!({"table": "orders", "keys": [{"tenant": 1, "no": 2}, {"tenant": 9, "no": 9}]});
    let error = ground.extract(keys).await.unwrap_err();
    assert_eq!(error.message, "`public.orders` has no row with the key {\"tenant\":9,\"no\":9}");
    for key in [json!(1), json!({"tenant": 1}), json!({"tenant": 1, "no": 1, "x": 1}), json!([1])] {
        let error = ground.extract(json!({"table": "orders", "keys": [key]})).await.unwrap_err();
        assert_eq!(error.code, "RB0540", "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_predicate_sees_names_and_times_as_its_role_does() {
    let ground = Ground::shop();
    ground.sql(
        "create schema app; create table app.jobs (id int primary key, at timestamptz);
         insert into app.jobs values (1, '2026-11-20 10:00+02'), (2, '2026-11-20 12:00+02');
         create function app.is_odd(int) returns bool language sql as 'select $1 % 2 = 1';
         alter role postgres set search_path = app, public; alter role postgres set timezone = 'Africa/Cairo'",
    );
    ground.copy();
    let keys = json!({"table": "jobs", "parents": false,
                      "where": "is_odd(id) and at = '2026-11-20 10:00' -- odd ones"});
    assert_eq!(counts(&ground.extract(keys).await.unwrap()), [of("app.jobs", 1, 0)]);
    let keys = json!({"table": "jobs", "parents": false, "params": [["1", "2"], null],
                      "where": "id = any ($1) and $2::text is null /* ; */ and ';' <> '' "});
    assert_eq!(counts(&ground.extract(keys).await.unwrap()), [of("app.jobs", 2, 0)]);
    let keys = json!({"table": "customers", "children": false, "parents": false,
                      "where": "id in (select customer from orders where customers.id = customer)"});
    assert_eq!(counts(&ground.extract(keys).await.unwrap()), [of("public.customers", 3, 0)]);
}

/// Predicates that the server refuses, before a row is read.
const NO_EXPRESSION: &[&str] = &[
    "true; delete from secrets",
    "true); delete from secrets; --",
    "true); commit; delete from secrets; select (true",
    "true) from secrets --",
    "true) from secrets /*",
    "true /*",
    "true) or (true",
    "true) union select (true",
    "true) union select tableoid, ctid::text from secrets where (true",
    "id) = (1",
    "true, true",
    "true) limit (1",
    "true) for update; (",
    "id",
    "null",
    "'t'",
    "select true",
    "exists (delete from secrets returning id)",
    "(with gone as (delete from secrets returning id) select count(*) > 0 from gone)",
    "$1",
    "id = $1 and id = $2",
    "$$",
    "'",
    "\"",
    "no_such_column = 1",
];

/// Predicates that would write.
const WRITING: &[&str] = &[
    "strike()",
    "set_config('transaction_read_only', 'off', false) is not null and strike()",
    "nextval('products_id_seq') > 0",
];

/// Whatever a predicate holds, it is one expression in a transaction that cannot write.
#[tokio::test(flavor = "multi_thread")]
async fn a_predicate_is_never_more_than_an_expression() {
    let ground = Ground::shop();
    ground.sql(
        "create table secrets (id int); insert into secrets values (1);
         create function strike() returns bool language plpgsql as
           'begin delete from secrets; return true; end'",
    );
    ground.copy();
    let before = ground.rows("copy");
    let refused = NO_EXPRESSION.iter().map(|text| (text, "RB0540"));
    for (predicate, code) in refused.chain(WRITING.iter().map(|text| (text, "RB0510"))) {
        let asked = json!({"table": "customers", "where": predicate});
        let error = ground.extract(asked).await.unwrap_err();
        let told = (error.code.as_str(), error.class);
        assert_eq!(told, (code, ErrorClass::Permanent), "{predicate}: {error:?}");
        assert!(!ground.path("rows").exists(), "{predicate}");
    }
    assert_eq!(ground.rows("copy"), before);
    let asked = json!({"table": "customers", "where": "id = $1", "params": ["seven"]});
    assert_eq!(ground.extract(asked).await.unwrap_err().code, "RB0540");
    // A comment ends with its line, and what follows is still there.
    ground.extract(json!({"table": "customers", "where": "id = 4 --"})).await.unwrap();
    let asked = json!({"table": "customers", "where": "true; delete from users"});
    case("RB0540", ground.extract(asked).await.unwrap_err().told());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_never_a_bundle() {
    let ground = Ground::shop();
    let keys = json!({"table": "customers", "where": "id = $1", "params": [4711]});
    let error = ground.extract(keys).await.unwrap_err();
    case("RB0541", error.told());
    assert!(!ground.path("rows").exists());
    let error = ground.extract(json!({"table": "no_such", "where": "true"})).await.unwrap_err();
    assert_eq!(error.code, "RB0521");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_rows_than_allowed_are_refused_with_their_counts() {
    let ground = Ground::shop();
    let keys = json!({"table": "customers", "where": "id = 1", "max_rows": 9});
    let error = ground.extract(keys.clone()).await.unwrap_err();
    case("RB0542", error.told());
    assert!(!ground.path("rows").exists());
    // The same choice fits when less hangs on it.
    let fewer = with(keys, json!({"exclude": ["orders", "visits", "public.\"Größe x\""]}));
    let output = ground.extract(fewer).await.unwrap();
    assert_eq!(counts(&output), [of("public.customers", 3, 0), of("public.tenants", 0, 2)]);
    let all = json!({"table": "customers", "where": "true", "max_rows": 3});
    assert_eq!(ground.extract(all).await.unwrap_err().code, "RB0542");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key_are_refused_or_left_out() {
    let ground = Ground::shop();
    ground.sql(
        "create table logins (who int references customers on delete cascade, at timestamptz);
         insert into logins values (1, now())",
    );
    ground.copy();
    let keys = json!({"table": "customers", "where": "id = 1"});
    let error = ground.extract(keys.clone()).await.unwrap_err();
    case("RB0543", error.told());
    ground.extract(with(keys, json!({"exclude": ["logins"]}))).await.unwrap();
    // A unique key without nulls does as well.
    ground.sql(
        "alter table logins alter who set not null, alter at set not null, add unique (who, at)",
    );
    ground.copy();
    ground.extract(json!({"table": "logins", "where": "true"})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_whole_is_done_and_none_else() {
    let ground = Ground::shop();
    let asked = json!({"connection": "copy", "database": "shop", "to": ground.path("rows"),
                       "table": "customers", "where": "id = 4"});
    let ctx = context(&ground.host);
    assert_eq!(observe("pg.extract_rows", &asked, &ctx).await, Observation::NotDone);
    let output = ground.extract(json!({"table": "customers", "where": "id = 4"})).await.unwrap();
    assert_eq!(observe("pg.extract_rows", &asked, &ctx).await, Observation::Done(output));
    let other = ground.host.context("other", 1, tokio_util::sync::CancellationToken::new());
    assert_eq!(observe("pg.extract_rows", &asked, &other).await, Observation::NotDone);
    std::fs::write(ground.path("rows/0001.rows.copy"), "5\tx\n").unwrap();
    assert_eq!(observe("pg.extract_rows", &asked, &ctx).await, Observation::NotDone);
}
