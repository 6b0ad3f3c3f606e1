//! A bed whose server archives by the program itself, and what recovery needs beside it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::TempDir;

use crate::bed::{Bed, Ended};

/// A bed with an archive, and a folder that belongs to the server's account.
pub(crate) struct Ground {
    pub(crate) bed: Bed,
    folder: TempDir,
}

/// A program that a server may call wherever the sources lie.
fn program(folder: &Path) -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_runbook"));
    let open =
        |path: &Path| path.metadata().is_ok_and(|facts| facts.permissions().mode() & 0o001 != 0);
    if built.ancestors().all(open) {
        return built.to_owned();
    }
    let copy = folder.join("runbook");
    if !copy.exists() {
        std::fs::copy(built, &copy).expect("the program is copied");
    }
    copy
}

impl Ground {
    /// A database `app` that holds `sql`, on a server that archives.
    pub(crate) fn with(sql: &str) -> Self {
        Self::with_settings(sql, &[])
    }

    /// The same, with more settings.
    pub(crate) fn with_settings(sql: &str, settings: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = settings.iter().copied().chain([("archive_mode", "on")]).collect();
        let bed = Bed::with_settings(sql, &settings);
        let folder = tempfile::tempdir().expect("a folder is made");
        let owner = bed.cluster.data_dir().metadata().expect("the server has a data folder");
        let ground = Self { bed, folder };
        std::fs::create_dir(ground.archive()).expect("the archive is made");
        for path in [ground.folder.path(), &ground.archive()] {
            std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))
                .expect("tests run as root, as CI does, or as the server's account");
        }
        let command = format!(
            "{} archive push --store {} \"%p\"",
            program(ground.folder.path()).display(),
            ground.archive_url()
        );
        ground.bed.cluster.archive_with(&command).expect("the server archives");
        ground
    }

    /// The folder of the archive.
    pub(crate) fn archive(&self) -> PathBuf {
        self.folder.path().join("wal")
    }

    pub(crate) fn archive_url(&self) -> String {
        format!("file://{}", self.archive().display())
    }

    /// The folder of the instance, which does not exist yet.
    pub(crate) fn instance(&self) -> PathBuf {
        self.folder.path().join("pitr")
    }

    pub(crate) fn identifier(&self) -> String {
        let sql = "SELECT system_identifier FROM pg_control_system()";
        self.bed.cluster.query_one("postgres", sql).expect("the server answers")
    }

    /// The object of an archived segment.
    pub(crate) fn object(&self, segment: &str) -> PathBuf {
        self.archive().join(format!("wal/{}/{}/{segment}.zst", self.identifier(), &segment[..8]))
    }

    /// Runs a shipped runbook with its environment.
    pub(crate) fn shipped(&self, name: &str, params: &[&str]) -> Ended {
        Ended::of(self.command(name, params).output().expect("the binary starts"))
    }

    pub(crate) fn command(&self, name: &str, params: &[&str]) -> std::process::Command {
        let file = format!("runbooks/{name}.yaml");
        let mut args = vec!["run", &file, "--yes"];
        args.extend(params.iter().flat_map(|param| ["-p", param]));
        let with = self.bed.command(&args);
        // What runs is what the recovered server calls.
        let mut command = std::process::Command::new(program(self.folder.path()));
        command.args(with.get_args()).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.envs(with.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("RUNBOOK_WAL_STORE", self.archive_url());
        command.env("RUNBOOK_PITR_FOLDER", self.instance());
        command.env("RUNBOOK_PITR_PORT", free_port().to_string());
        command
    }

    /// Runs SQL in `app`.
    pub(crate) fn sql(&self, sql: &str) {
        self.bed.cluster.execute("app", sql).expect("the statement runs");
    }

    /// The server's clock.
    pub(crate) fn now(&self) -> Timestamp {
        let sql = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        let text = self.bed.cluster.query_one("postgres", sql).expect("the server answers");
        text.parse().expect("it is a time")
    }

    /// Ends the segment and waits until it is archived.
    pub(crate) fn archived(&self) -> String {
        self.bed.cluster.archive_now().expect("the segment is archived")
    }

    /// Asks the recovered instance, from outside.
    pub(crate) fn ask(&self, database: &str, sql: &str) -> String {
        let port = self.port();
        let mut command = self.bed.cluster.command("psql");
        command.env("PGHOST", self.instance()).env("PGPORT", port).env("PGUSER", "postgres");
        let args = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--dbname", database];
        let output = command.args(args).args(["--command", sql]).output().expect("psql starts");
        let text = |bytes| String::from_utf8(bytes).expect("text").trim().to_owned();
        assert!(output.status.success(), "{}", text(output.stderr));
        text(output.stdout)
    }

    fn port(&self) -> String {
        let mark = std::fs::read_to_string(self.instance().join("runbook_pitr.json"));
        let mark: serde_json::Value =
            serde_json::from_str(&mark.expect("the instance has its mark")).expect("it is JSON");
        mark["port"].to_string()
    }

    /// The process of the instance's server, when it lives.
    pub(crate) fn server(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.instance().join("postmaster.pid")).ok()?;
        let pid = text.lines().next()?.trim().parse().ok()?;
        Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
    }

    /// Stops the instance's server, as a power cut would.
    pub(crate) fn kill_server(&self) {
        if let Some(pid) = self.server() {
            let killed =
                std::process::Command::new("kill").args(["-QUIT", &pid.to_string()]).status();
            assert!(killed.expect("kill starts").success());
            while self.server().is_some() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.kill_server();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}
