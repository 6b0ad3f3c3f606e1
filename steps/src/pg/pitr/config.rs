//! The settings of the instance. They stand in a file of their own, for the cluster's own may be
//! elsewhere, and must not take effect: they archive, load libraries and listen.
//! <https://www.postgresql.org/docs/current/runtime-config-wal.html#RUNTIME-CONFIG-WAL-RECOVERY-TARGET>

use std::collections::BTreeMap;
use std::fmt::Write;

use engine::context::StepContext;
use engine::files;
use engine::process::Program;
use model::step_error::StepError;
use tokio::io::AsyncReadExt;

use super::Input;
use super::input::Action;
use super::instance::{Instance, refused};
use super::way::Way;

/// The file of settings.
pub(super) const CONFIG: &str = "runbook_pitr.conf";
const HBA: &str = "runbook_pitr_hba.conf";
const IDENT: &str = "runbook_pitr_ident.conf";

/// What a standby must not have less of than its primary had, by the words of `pg_controldata`.
/// <https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-ADMIN>
const AT_LEAST: [(&str, &str); 5] = [
    ("max_connections", "max_connections setting:"),
    ("max_worker_processes", "max_worker_processes setting:"),
    ("max_wal_senders", "max_wal_senders setting:"),
    ("max_prepared_transactions", "max_prepared_xacts setting:"),
    ("max_locks_per_transaction", "max_locks_per_xact setting:"),
];

/// Who gets in: this machine's root and the server's account through the socket, for its folder is
/// closed to others; by TCP those with a password of the cluster.
const ACCESS: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// A value of a file of settings.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// A word of a shell, in a command in which `%` is special.
fn word(text: &str) -> String {
    format!("'{}'", text.replace('%', "%%").replace('\'', "'\\''"))
}

/// How the server gets WAL.
pub(super) struct Fetch {
    /// The `runbook` that it calls.
    pub(super) program: String,
    /// The store of the archive.
    pub(super) url: String,
    /// The cluster.
    pub(super) cluster: String,
}

impl Fetch {
    /// The arguments in front of the file's name.
    fn args(&self) -> [&str; 6] {
        ["archive", "fetch", "--store", &self.url, "--cluster", &self.cluster]
    }

    /// The value of `restore_command`.
    fn command(&self) -> String {
        let args = self.args().map(word).join(" ");
        format!("{} {args} %f \"%p\"", word(&self.program))
    }

    /// The same, for one file.
    pub(super) fn of(&self, name: &str, to: &str) -> Program {
        Program::new(&self.program).args(self.args()).args([name, to])
    }
}

/// What the cluster says of itself, by the words of `pg_controldata`.
async fn control(
    instance: &Instance,
    ctx: &StepContext,
    major: u32,
) -> Result<BTreeMap<String, String>, StepError> {
    let program = instance.program(ctx, "pg_controldata", major).await?;
    let mut child = program.arg(&instance.folder).with_stdout().start(ctx).await?;
    let mut text = String::new();
    let mut stdout = child.stdout().expect("the output was asked for");
    stdout.read_to_string(&mut text).await.ok();
    drop(stdout);
    child.wait().await?;
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((format!("{name}:"), value.trim().to_owned()))
    };
    Ok(text.lines().filter_map(pair).collect())
}

/// Writes everything that the server needs to recover to the moment and stop there.
pub(super) async fn configure(
    instance: &Instance,
    ctx: &StepContext,
    input: &Input,
    way: &Way,
    fetch: &Fetch,
) -> Result<(), StepError> {
    let control = control(instance, ctx, way.major()).await?;
    let identifier = control.get("Database system identifier:");
    if identifier != Some(&way.base().server.system_identifier) {
        let why = format!("it holds cluster {}", identifier.map_or("nobody knows which", |it| it));
        return Err(refused(&instance.folder, &why, "take another base backup"));
    }
    put_aside(instance)?;
    instance.write(HBA, ACCESS.as_bytes())?;
    instance.write(IDENT, b"")?;
    instance.write(CONFIG, text(instance, input, way, fetch, &control).as_bytes())?;
    instance.write("recovery.signal", b"")
}

/// What the cluster was told by `ALTER SYSTEM` must not take effect, and is kept.
fn put_aside(instance: &Instance) -> Result<(), StepError> {
    let failed = |error: std::io::Error| {
        refused(&instance.folder, &error.to_string(), "see the disk and its owner")
    };
    files::remove(&instance.file("standby.signal")).map_err(failed)?;
    let (own, aside) =
        (instance.file("postgresql.auto.conf"), instance.file("postgresql.auto.conf.before_pitr"));
    if files::facts(&aside).is_err() && files::facts(&own).is_ok() {
        files::move_into_place(&own, &aside).map_err(failed)?;
    }
    instance.write("postgresql.auto.conf", b"")
}

fn text(
    instance: &Instance,
    input: &Input,
    way: &Way,
    fetch: &Fetch,
    control: &BTreeMap<String, String>,
) -> String {
    let path = |name: &str| instance.file(name).display().to_string();
    let folder = instance.folder.display().to_string();
    let mut settings: BTreeMap<&str, String> = BTreeMap::from([
        ("data_directory", folder.clone()),
        ("hba_file", path(HBA)),
        ("ident_file", path(IDENT)),
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", input.port.to_string()),
        ("unix_socket_directories", folder),
        ("unix_socket_permissions", "0700".to_owned()),
        ("hot_standby", "on".to_owned()),
        ("archive_mode", "off".to_owned()),
        ("shared_preload_libraries", String::new()),
        ("max_logical_replication_workers", "0".to_owned()),
        ("log_destination", "stderr".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_timezone", "UTC".to_owned()),
        ("timezone", "UTC".to_owned()),
        ("lc_messages", "C".to_owned()),
        ("restore_command", fetch.command()),
        ("recovery_target_timeline", way.timeline.to_string()),
        ("recovery_target_inclusive", if input.inclusive { "on" } else { "off" }.to_owned()),
    ]);
    for (name, words) in AT_LEAST {
        settings.extend(control.get(words).map(|value| (name, value.clone())));
    }
    let action = if input.action == Action::Promote { "promote" } else { "pause" };
    settings.insert("recovery_target_action", action.to_owned());
    settings.insert(way.stop.0, way.stop.1.clone());
    settings.extend(input.settings.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let mut text = "# Written by pg.pitr of runbook for this instance.\n".to_owned();
    for (name, value) in settings {
        writeln!(text, "{name} = {}", quoted(&value)).expect("writing to a string does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_quotes() {
        let fetch = Fetch {
            program: "/opt/it's 100%/runbook".to_owned(),
            url: "file:///wal".to_owned(),
            cluster: "7".to_owned(),
        };
        let command = fetch.command();
        assert_eq!(
            command,
            "'/opt/it'\\''s 100%%/runbook' 'archive' 'fetch' '--store' 'file:///wal' '--cluster' '7' %f \"%p\""
        );
        assert!(
            quoted(&command).starts_with("'''/opt/it''\\\\''''s 100%%/runbook''"),
            "{}",
            quoted(&command)
        );
    }
}
