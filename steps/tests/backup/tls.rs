//! `sslmode`, certificates and service files, as libpq means them: every case is put to `psql` as
//! well. The certificates are made by `openssl`, which the packages of a PostgreSQL server bring.

use std::path::Path;
use std::process::Command;

use steps::pg::connection::connect;
use steps::pg::target::Target;

use crate::bench::{Bench, connection};

fn shell(folder: &Path, commands: &str) {
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("set -e; {commands}")).current_dir(folder);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A server with a certificate for `localhost` by `ca.crt`; `ann.crt`, which `ca.crt` signed for
/// the role `ann`; and `other.crt`, which signed nothing. `ann` must show her certificate,
/// `plain` may not and `strict` must come with TLS.
fn bench() -> Bench {
    let bench = Bench::with("SELECT");
    let authority = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -addext basicConstraints=critical,CA:TRUE";
    let signed = "openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 2";
    let data = bench.cluster.data_dir();
    let commands = format!(
        "{authority} -subj /CN=ca -keyout ca.key -out ca.crt
         {authority} -subj /CN=other -keyout other.key -out other.crt
         openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
         openssl req -newkey rsa:2048 -nodes -subj /CN=ann -keyout ann.key -out ann.csr
         printf 'subjectAltName=DNS:localhost' > names
         {signed} -in server.csr -extfile names -out server.crt
         {signed} -in ann.csr -out ann.crt
         cp ann.key open.key; chmod 600 ann.key other.key; chmod 644 open.key
         cp server.crt server.key ca.crt {data}/; chmod 600 {data}/server.key
         sed -i '1i hostssl all ann all cert\\nhostnossl all plain all trust\\nhostssl all strict all trust\\nhost all ann,plain,strict all reject' {data}/pg_hba.conf
         chown --reference={data} {data}/server.crt {data}/server.key {data}/ca.crt",
        data = data.display()
    );
    shell(bench.folder.path(), &commands);
    let roles = "CREATE ROLE ann LOGIN; CREATE ROLE plain LOGIN; CREATE ROLE strict LOGIN";
    bench.cluster.execute("postgres", roles).unwrap();
    bench.cluster.execute("postgres", "ALTER SYSTEM SET ssl = on").unwrap();
    bench.cluster.execute("postgres", "ALTER SYSTEM SET ssl_ca_file = 'ca.crt'").unwrap();
    bench.cluster.stop().unwrap();
    bench.cluster.start_again().unwrap();
    bench
}

const LOOK: &str = "SELECT CASE WHEN ssl THEN 'encrypted' ELSE 'plain' END
    FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

/// What `psql` makes of the same address: nothing when it cannot connect.
fn by_psql(bench: &Bench, url: &str) -> Option<String> {
    let mut psql = Command::new(bench.cluster.program("psql"));
    let asked = psql.args(["-XAtc", LOOK, url]).env("PGPASSWORD", bench.cluster.password());
    let output = asked.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    output.status.success().then_some(text)
}

/// What we make of it, or the code of the error.
async fn by_us(bench: &Bench, url: &str) -> Result<String, String> {
    let mut settings = connection("prod", url);
    settings.password = Some(bench.cluster.password().into());
    let target = Target::resolve(&settings).map_err(|error| error.code)?;
    let session = connect(&bench.context("tls"), &target).await.map_err(|error| error.code)?;
    Ok(session.text("look", LOOK).await.unwrap())
}

/// Asserts that both see `expected`: `plain`, `encrypted`, or the code of a refusal.
async fn assert_seen(bench: &Bench, url: &str, expected: &str) {
    let seen = by_us(bench, url).await;
    assert_eq!(by_psql(bench, url), seen.clone().ok(), "psql disagrees about {url}: {seen:?}");
    assert_eq!(seen.unwrap_or_else(|code| code), expected, "{url}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sslmode_checks_what_libpq_checks() {
    let bench = bench();
    let (port, folder) = (bench.cluster.port(), bench.folder.path().display());
    for (host, mode, roots, expected) in [
        ("localhost", "disable", None, "plain"),
        ("localhost", "allow", None, "plain"),
        ("localhost", "prefer", None, "encrypted"),
        ("localhost", "prefer", Some("other.crt"), "plain"),
        ("localhost", "require", None, "encrypted"),
        ("localhost", "require", Some("other.crt"), "RB0512"),
        ("127.0.0.1", "verify-ca", Some("ca.crt"), "encrypted"),
        ("localhost", "verify-ca", Some("other.crt"), "RB0512"),
        ("127.0.0.1", "verify-full", Some("ca.crt"), "RB0512"),
        ("localhost", "verify-full", Some("ca.crt"), "encrypted"),
        ("localhost", "verify-full", Some("other.crt"), "RB0512"),
        ("localhost", "verify-full", None, "RB0512"),
        ("localhost&hostaddr=127.0.0.1", "verify-full", Some("ca.crt"), "encrypted"),
    ] {
        let roots = roots.map(|file| format!("&sslrootcert={folder}/{file}")).unwrap_or_default();
        let url = format!(
            "postgresql://postgres@/postgres?host={host}&port={port}&sslmode={mode}{roots}"
        );
        assert_seen(&bench, &url, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_that_may_try_twice_does() {
    let bench = bench();
    let port = bench.cluster.port();
    for (role, mode, expected) in [
        ("plain", "prefer", "plain"),
        ("plain", "require", "RB0502"),
        ("strict", "allow", "encrypted"),
        ("strict", "disable", "RB0502"),
    ] {
        let url = format!("postgresql://{role}@localhost:{port}/postgres?sslmode={mode}");
        assert_seen(&bench, &url, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_its_certificate() {
    let bench = bench();
    let (port, folder) = (bench.cluster.port(), bench.folder.path().display());
    for (certificate, key, expected) in [
        ("ann.crt", "ann.key", "encrypted"),
        ("ann.crt", "other.key", "RB0512"),
        ("ann.crt", "open.key", "RB0512"),
        ("ann.crt", "missing.key", "RB0512"),
    ] {
        let url = format!(
            "postgresql://ann@localhost:{port}/postgres?sslmode=verify-full\
             &sslrootcert={folder}/ca.crt&sslcert={folder}/{certificate}&sslkey={folder}/{key}"
        );
        assert_seen(&bench, &url, expected).await;
    }
    let bare = format!("postgresql://ann@localhost:{port}/postgres?sslmode=require");
    let refused = by_us(&bench, &bare).await.unwrap_err();
    assert!(["RB0502", "RB0512"].contains(&refused.as_str()), "{refused}");
    assert_eq!(by_psql(&bench, &bare), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gives_what_is_not_said() {
    let bench = bench();
    let (port, file) = (bench.cluster.port(), bench.folder.path().join("services"));
    let text = format!(
        "[shop]\nhost=localhost\nport={port}\nuser=strict\ndbname=nowhere\nsslmode=require\n"
    );
    std::fs::write(&file, text).unwrap();
    let file = file.display();
    let url = format!("postgresql:///postgres?service=shop&servicefile={file}");
    let seen = by_us(&bench, &url).await;
    assert_eq!(seen.as_deref(), Ok("encrypted"));
    let mut psql = Command::new(bench.cluster.program("psql"));
    psql.args(["-XAtc", LOOK, "postgresql:///postgres?service=shop"]);
    let output = psql.env("PGSERVICEFILE", file.to_string()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "encrypted");
    let unknown = format!("postgresql:///postgres?service=shoo&servicefile={file}");
    assert_eq!(by_us(&bench, &unknown).await.unwrap_err(), "RB0500");
}
