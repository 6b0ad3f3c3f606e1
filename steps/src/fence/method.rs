//! What each method runs, and what it says of the server afterwards.

use engine::context::StepContext;
use model::step_error::StepError;

use super::evidence::Evidence;
use super::input::{Input, Method, given};
use super::isolate;
use super::remote::{self, Ran};
use crate::pg::target::Target;

/// The fact that tells that a `command` without `verify` ended well.
pub(super) const COMMAND: &str = "fence_command";

/// What the method says of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is stopped and does not start by itself; how one knows.
    Stopped(String),
    /// It runs, or starts by itself again.
    Runs(String),
    /// Nobody can tell.
    Unknown(String),
}

/// What the control file of a stopped server says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) system_identifier: Option<String>,
    pub(super) timeline: Option<u32>,
    /// Where the last checkpoint of a clean stop is: every commit is before it.
    pub(super) last_lsn: Option<String>,
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn text(field: Option<&String>) -> &str {
    given(field).unwrap_or_default()
}

/// `pg_controldata` lies beside `pg_ctl`.
fn beside(pg_ctl: &str, name: &str) -> String {
    pg_ctl
        .rsplit_once('/')
        .map_or_else(|| name.to_owned(), |(folder, _)| format!("{folder}/{name}"))
}

impl Input {
    fn pg_ctl(&self) -> &str {
        given(self.program.as_ref()).unwrap_or("pg_ctl")
    }

    /// As the account that owns the data directory.
    fn as_owner(&self, argv: Vec<String>) -> Vec<String> {
        match given(self.run_as.as_ref()) {
            Some(account) => {
                words(&["runuser", "-u", account, "--"]).into_iter().chain(argv).collect()
            }
            None => argv,
        }
    }

    fn on_data(&self, program: &str, order: Option<&str>, more: &[&str]) -> Vec<String> {
        let data = format!("--pgdata={}", text(self.data_directory.as_ref()));
        let mut argv = words(&[program]);
        argv.extend(order.map(str::to_owned));
        argv.push(data);
        argv.extend(words(more));
        self.as_owner(argv)
    }

    /// What stops the server, in order.
    fn stops(&self) -> Vec<Vec<String>> {
        let seconds = self.timeout.duration().as_secs().max(1).to_string();
        match self.method {
            Method::PgCtl => {
                let timeout = format!("--timeout={seconds}");
                let more = ["--mode=fast", "--wait", &timeout];
                vec![self.on_data(self.pg_ctl(), Some("stop"), &more)]
            }
            Method::Systemd => vec![words(&["systemctl", "stop", text(self.unit.as_ref())])],
            Method::Docker => {
                let container = text(self.container.as_ref());
                vec![
                    words(&["docker", "update", "--restart=no", container]),
                    words(&["docker", "stop", "-t", &seconds, container]),
                ]
            }
            Method::Command => vec![self.argv.clone()],
            Method::Rds => Vec::new(),
        }
    }

    /// The programs that are started on this machine.
    pub(super) fn tools(&self) -> Vec<&str> {
        if self.remote().is_some() {
            return vec!["ssh"];
        }
        match self.method {
            Method::PgCtl if given(self.run_as.as_ref()).is_some() => vec!["runuser"],
            Method::PgCtl => vec![self.pg_ctl()],
            Method::Systemd => vec!["systemctl"],
            Method::Docker => vec!["docker"],
            Method::Command => [&self.argv, &self.verify]
                .into_iter()
                .filter_map(|argv| argv.first().map(String::as_str))
                .collect(),
            Method::Rds => Vec::new(),
        }
    }

    /// What it does, in words.
    pub(super) fn deed(&self) -> String {
        if self.method == Method::Rds {
            let isolation = self.isolation();
            return format!(
                "shuts the server of `{}` in: puts {isolation}, and ends its sessions",
                self.connection
            );
        }
        let stops: Vec<_> = self.stops().iter().map(|argv| argv.join(" ")).collect();
        let place = self.remote().map(|ssh| format!(" on `{}`", ssh.host)).unwrap_or_default();
        format!("stops the server of `{}`: `{}`{place}", self.connection, stops.join("`, `"))
    }

    async fn ran(
        &self,
        ctx: &StepContext,
        evidence: &mut Evidence,
        argv: &[String],
    ) -> Result<Ran, StepError> {
        // A program that waits itself gets a little longer than it waits.
        let limit = self.timeout.duration() + std::time::Duration::from_secs(5);
        let ran = remote::run(ctx, self.remote(), argv, limit).await?;
        evidence.saw(ctx, ran.told());
        Ok(ran)
    }

    /// Stops the server, as far as it can be stopped.
    pub(super) async fn stop(
        &self,
        ctx: &StepContext,
        old: &Target,
        evidence: &mut Evidence,
    ) -> Result<(), StepError> {
        if self.method == Method::Rds {
            return isolate::stop(self, ctx, old, evidence).await;
        }
        let mut succeeded = true;
        for argv in self.stops() {
            let ran = self.ran(ctx, evidence, &argv).await?;
            succeeded &= ran.code == Some(0);
            if ran.no_machine {
                return Ok(());
            }
        }
        match self.method {
            Method::Systemd => self.keep_from_starting(ctx, evidence).await,
            Method::Command if succeeded => ctx.record(COMMAND, true).await,
            _ => Ok(()),
        }
    }

    /// A mask holds over a restart of the machine. A unit whose file lies in `/etc` cannot be
    /// masked, and is disabled.
    async fn keep_from_starting(
        &self,
        ctx: &StepContext,
        evidence: &mut Evidence,
    ) -> Result<(), StepError> {
        let unit = text(self.unit.as_ref());
        if self.ran(ctx, evidence, &words(&["systemctl", "mask", unit])).await?.code != Some(0) {
            self.ran(ctx, evidence, &words(&["systemctl", "disable", unit])).await?;
        }
        Ok(())
    }

    /// What the method says of the server now. Only looks.
    pub(super) async fn verdict(
        &self,
        ctx: &StepContext,
        evidence: &mut Evidence,
    ) -> Result<Verdict, StepError> {
        match self.method {
            Method::PgCtl => {
                let argv = self.on_data(self.pg_ctl(), Some("status"), &[]);
                let ran = self.ran(ctx, evidence, &argv).await?;
                let data = text(self.data_directory.as_ref());
                Ok(by_status(&ran, 3, 0, &format!("no server runs on `{data}`")))
            }
            Method::Systemd => self.unit_verdict(ctx, evidence).await,
            Method::Docker => {
                let format = "{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}";
                let container = text(self.container.as_ref());
                let argv = ["docker", "inspect", "--type=container", "--format", format, container];
                let ran = self.ran(ctx, evidence, &words(&argv)).await?;
                Ok(by_container(&ran, container))
            }
            Method::Command if !self.verify.is_empty() => {
                let ran = self.ran(ctx, evidence, &self.verify).await?;
                Ok(by_status(&ran, 0, 1, &format!("`{}` says so", ran.shown)))
            }
            Method::Command if ctx.fact(COMMAND).is_some() => {
                Ok(Verdict::Stopped(format!("`{}` ended well", self.argv.join(" "))))
            }
            Method::Command => Ok(Verdict::Unknown("the command did not end well".to_owned())),
            Method::Rds => isolate::verdict(self, ctx, evidence).await,
        }
    }

    async fn unit_verdict(
        &self,
        ctx: &StepContext,
        evidence: &mut Evidence,
    ) -> Result<Verdict, StepError> {
        let unit = text(self.unit.as_ref());
        let ran = self.ran(ctx, evidence, &words(&["systemctl", "is-active", unit])).await?;
        let active = ran.stdout.clone();
        match active.as_str() {
            "inactive" | "failed" => {}
            "active" | "activating" | "reloading" | "deactivating" => {
                return Ok(Verdict::Runs(format!("unit `{unit}` is {active}")));
            }
            _ => return Ok(Verdict::Unknown(ran.told())),
        }
        let ran = self.ran(ctx, evidence, &words(&["systemctl", "is-enabled", unit])).await?;
        Ok(match ran.stdout.as_str() {
            "masked" | "disabled" => {
                Verdict::Stopped(format!("unit `{unit}` is {active} and {}", ran.stdout))
            }
            "" => Verdict::Unknown(ran.told()),
            enabled => Verdict::Runs(format!(
                "unit `{unit}` is {active}, but `is-enabled` says `{enabled}`: it may start again"
            )),
        })
    }

    /// The control file, where the method knows the data directory and the stop was clean.
    pub(super) async fn control(
        &self,
        ctx: &StepContext,
        evidence: &mut Evidence,
    ) -> Result<Control, StepError> {
        if self.method == Method::Rds {
            return Ok(isolate::control(ctx));
        }
        if self.method != Method::PgCtl {
            return Ok(Control::default());
        }
        let argv = self.on_data(&beside(self.pg_ctl(), "pg_controldata"), None, &[]);
        let english = words(&["env", "LC_ALL=C"]).into_iter().chain(argv).collect::<Vec<_>>();
        let ran = self.ran(ctx, evidence, &english).await?;
        Ok(if ran.code == Some(0) { control(&ran.stdout) } else { Control::default() })
    }

    /// Whether the method itself sees the server, so that a silent port may count as closed.
    pub(super) fn sees(&self) -> bool {
        self.method != Method::Command || !self.verify.is_empty()
    }
}

fn by_status(ran: &Ran, stopped: i32, runs: i32, why: &str) -> Verdict {
    match ran.code {
        Some(code) if code == stopped && !ran.no_machine => Verdict::Stopped(why.to_owned()),
        Some(code) if code == runs => Verdict::Runs(ran.told()),
        _ => Verdict::Unknown(ran.told()),
    }
}

fn by_container(ran: &Ran, container: &str) -> Verdict {
    if ran.code != Some(0) {
        return Verdict::Unknown(ran.told());
    }
    match ran.stdout.split_once(' ').unwrap_or((&ran.stdout, "")) {
        ("false", "no" | "") => Verdict::Stopped(format!(
            "container `{container}` is stopped and has no restart policy"
        )),
        ("false", policy) => Verdict::Runs(format!(
            "container `{container}` is stopped, but its restart policy is `{policy}`"
        )),
        ("true", _) => Verdict::Runs(format!("container `{container}` runs")),
        _ => Verdict::Unknown(format!("`docker inspect` said `{}`", ran.stdout)),
    }
}

fn control(text: &str) -> Control {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim().to_owned())
    };
    let clean = value("Database cluster state").as_deref() == Some("shut down");
    Control {
        system_identifier: value("Database system identifier"),
        timeline: value("Latest checkpoint's TimeLineID").and_then(|text| text.parse().ok()),
        last_lsn: value("Latest checkpoint location").filter(|_| clean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(code: i32, stdout: &str) -> Ran {
        let (shown, stderr) = ("look".to_owned(), "why\nbecause".to_owned());
        Ran { shown, code: Some(code), stdout: stdout.to_owned(), stderr, no_machine: false }
    }

    #[test]
    fn a_container_is_stopped_only_without_a_restart_policy() {
        for (code, stdout, expected) in [
            (0, "false no", "Stopped"),
            (0, "false ", "Stopped"),
            (0, "false always", "Runs"),
            (0, "true no", "Runs"),
            (0, "", "Unknown"),
            (1, "", "Unknown"),
        ] {
            let verdict = format!("{:?}", by_container(&ran(code, stdout), "db"));
            assert!(verdict.starts_with(expected), "{stdout}: {verdict}");
        }
    }

    #[test]
    fn a_machine_that_is_away_says_nothing() {
        let away = Ran { no_machine: true, code: Some(255), ..ran(255, "") };
        assert!(matches!(by_status(&away, 3, 0, "x"), Verdict::Unknown(_)));
        assert!(away.told().ends_with("could not be started there: because"), "{}", away.told());
        assert_eq!(by_status(&ran(3, ""), 3, 0, "x"), Verdict::Stopped("x".to_owned()));
        assert!(matches!(by_status(&ran(0, ""), 3, 0, "x"), Verdict::Runs(_)));
    }

    #[test]
    fn only_a_clean_stop_tells_the_last_position() {
        let text = "Database system identifier:           7713149664056194144\n\
                    Database cluster state:               shut down\n\
                    Latest checkpoint location:           0/1500790\n\
                    Latest checkpoint's TimeLineID:       2\n";
        let clean = control(text);
        assert_eq!(clean.last_lsn.as_deref(), Some("0/1500790"));
        assert_eq!(clean.timeline, Some(2));
        assert_eq!(clean.system_identifier.as_deref(), Some("7713149664056194144"));
        assert_eq!(control(&text.replace("shut down", "in production")).last_lsn, None);
    }
}
