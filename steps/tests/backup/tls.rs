//! `sslmode`, as libpq means it. The certificates are made by `openssl`, which the packages of a
//! PostgreSQL server bring.

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

/// A server with a certificate for `localhost` by `ca.crt`, and `other.crt`, which signed nothing.
fn bench() -> Bench {
    let bench = Bench::with("SELECT");
    let authority = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -addext basicConstraints=critical,CA:TRUE";
    let data = bench.cluster.data_dir();
    let commands = format!(
        "{authority} -subj /CN=ca -keyout ca.key -out ca.crt
         {authority} -subj /CN=other -keyout other.key -out other.crt
         openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
         printf 'subjectAltName=DNS:localhost' > names
         openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
           -extfile names -out server.crt
         cp server.crt server.key {data}/; chmod 600 {data}/server.key
         chown --reference={data} {data}/server.crt {data}/server.key",
        data = data.display()
    );
    shell(bench.folder.path(), &commands);
    bench.cluster.execute("postgres", "ALTER SYSTEM SET ssl = on").unwrap();
    bench.cluster.stop().unwrap();
    bench.cluster.start_again().unwrap();
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sslmode_checks_what_libpq_checks() {
    let bench = bench();
    let (cluster, ctx) = (&bench.cluster, bench.context("tls"));
    for (host, mode, roots, expected) in [
        ("localhost", "disable", None, "plain"),
        ("localhost", "prefer", None, "encrypted"),
        ("localhost", "require", None, "encrypted"),
        ("localhost", "require", Some("other.crt"), "RB0512"),
        ("127.0.0.1", "verify-ca", Some("ca.crt"), "encrypted"),
        ("localhost", "verify-ca", Some("other.crt"), "RB0512"),
        ("127.0.0.1", "verify-full", Some("ca.crt"), "RB0512"),
        ("localhost", "verify-full", Some("ca.crt"), "encrypted"),
        ("localhost", "verify-full", Some("other.crt"), "RB0512"),
        ("localhost", "verify-full", None, "RB0512"),
    ] {
        let roots = roots.map(|file| bench.folder.path().join(file));
        let roots = roots.map(|file| format!("&sslrootcert={}", file.display()));
        let url = format!(
            "postgresql://postgres:{}@{host}:{}/postgres?sslmode={mode}{}",
            cluster.password(),
            cluster.port(),
            roots.unwrap_or_default()
        );
        let target = Target::resolve(&connection("prod", &url)).unwrap();
        let found = match connect(&ctx, &target).await {
            Ok(session) => {
                let sql = "SELECT CASE WHEN ssl THEN 'encrypted' ELSE 'plain' END
                    FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
                session.text("look", sql).await.unwrap()
            }
            Err(error) => error.code,
        };
        assert_eq!(found, expected, "{host} {mode}");
    }
}
