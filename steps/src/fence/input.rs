//! What stands under `with` of a fence.

use std::time::Duration;

use model::catalog::InputProblem;
use model::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shuts an old primary out, and proves it.
///
/// ## What it does
/// It stops the server by `method`, on this machine or by `ssh` on its own, keeps it from starting
/// by itself where the method can, and then looks for proof: what the method itself says of the
/// server (`pg_ctl status`, `systemctl is-active` and `is-enabled`, `docker inspect`, `verify`),
/// and what the network says: its port must refuse connections, look after look, for `quiet`.
/// With `standby` it also asks the standby whether it has heard of the old primary since.
///
/// | method | stops with | fields |
/// |---|---|---|
/// | `pg_ctl` | `pg_ctl stop --mode=fast` | `data_directory`, `run_as`, `program` |
/// | `systemd` | `systemctl stop`, then `mask`, or else `disable` | `unit` |
/// | `docker` | `docker update --restart=no`, `docker stop` | `container` |
/// | `command` | the program in `argv` | `argv`, `verify` |
/// | `rds` | other security groups, then the end of every session | `instance`, `security_groups` |
///
/// An instance of RDS that has a replica cannot be stopped, so `rds` shuts it in: it puts the
/// instance into `security_groups`, which must let nobody in, and waits until RDS says that they hold
/// and no other group does. Security groups keep established connections, so it then ends the
/// sessions over one of its own from before, until none was left for `quiet`; when SQL does not
/// answer, or somebody stays, it reboots the instance. RDS has to say so, and a new connection has to
/// be refused or get no answer. What the server does by itself, such as jobs of `pg_cron`, goes on,
/// and its replica goes on receiving.
///
/// It ends in one of three ways. `confirmed`: stopped, and seen to be. `impossible_unreachable`:
/// nothing can tell, because neither the method nor the port answers; that is an error, unless
/// `accept_unreachable` says why it is accepted, which is journaled. Failed: the server still
/// takes connections; the run stops here.
///
/// ## When to use it
/// In front of `pg.promote`, always: two servers that take writes lose data for good. Ending
/// sessions or blocking writes is no fence. The connection leads to the server itself, not to a
/// pooler in front of it. To go on after a split network, cut the old server off by other means,
/// and write these down in `accept_unreachable`.
///
/// ## What it changes
/// The server is stopped, and with `systemd` and `docker` does not start by itself again. Do not
/// start it as a primary again: rewind it, or build it anew. With `rds` it runs and nobody gets in;
/// `former_security_groups` says where it was; `rds.lift_fence` puts it back when the failover is
/// called off.
///
/// ## How it can fail
/// When the server still takes connections after `wait`; the error says what it still did. When
/// nothing can tell whether it runs. When the connection leads to a standby, or `standby` is one
/// of another cluster: then nothing is stopped.
///
/// ## Example
/// ```yaml
/// - id: fence
///   uses: fence
///   with:
///     connection: old_primary
///     standby: standby
///     method: pg_ctl
///     data_directory: /var/lib/postgresql/15/main
///     program: /usr/lib/postgresql/15/bin/pg_ctl
///     run_as: postgres
///     ssh: {host: db1.internal, user: root}
/// ```
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The old primary: a name under `connections:`. It may be away already.
    pub(super) connection: String,
    /// The standby that takes over: a name under `connections:`.
    #[serde(default)]
    pub(super) standby: Option<String>,
    /// How the server is stopped. Fields of another method, and empty ones, are as if absent.
    pub(super) method: Method,
    /// `pg_ctl`: the data directory on the server's machine.
    #[serde(default)]
    pub(super) data_directory: Option<String>,
    /// `pg_ctl`: the program, when it is not on `PATH`; `pg_controldata` lies beside it.
    #[serde(default)]
    pub(super) program: Option<String>,
    /// `pg_ctl`: the account that owns the data directory, when root starts it (`runuser`).
    #[serde(default)]
    pub(super) run_as: Option<String>,
    /// `systemd`: the unit, such as `postgresql@15-main.service`.
    #[serde(default)]
    pub(super) unit: Option<String>,
    /// `docker`: the container.
    #[serde(default)]
    pub(super) container: Option<String>,
    /// `command`: a program and its arguments; a second run must do no harm.
    #[serde(default)]
    pub(super) argv: Vec<String>,
    /// `command`: a program that only looks: exit status 0 says that the server is off for good,
    /// 1 that it runs. With it, a server that gives no answer may be confirmed.
    #[serde(default)]
    pub(super) verify: Vec<String>,
    /// `rds`: the instance's identifier.
    #[serde(default)]
    pub(super) instance: Option<String>,
    /// `rds`: security groups without a rule that lets anybody in: `[sg-0a1b2c3d]`.
    #[serde(default)]
    pub(super) security_groups: Vec<String>,
    /// `rds`: the region of the instance. Without it, what `aws` or the environment says.
    #[serde(default)]
    pub(super) region: Option<String>,
    /// `rds`: a profile of the files of AWS. Without it, what `aws` or the environment says.
    #[serde(default)]
    pub(super) profile: Option<String>,
    /// `rds`: another endpoint than that of AWS, such as one in a private network.
    #[serde(default)]
    pub(super) endpoint_url: Option<String>,
    /// The machine of the server; without it, this one.
    #[serde(default)]
    pub(super) ssh: Option<Ssh>,
    /// What proves the fence.
    #[serde(default)]
    pub(super) require: Require,
    /// How long the port must stay closed.
    #[serde(default = "three_seconds")]
    pub(super) quiet: Span,
    /// How long the server may still be seen after the method has ended.
    #[serde(default = "half_a_minute")]
    pub(super) wait: Span,
    /// How long each command of the method may take.
    #[serde(default = "two_minutes")]
    pub(super) timeout: Span,
    /// Why the run may go on when nothing can tell whether the server runs.
    #[serde(default)]
    pub(super) accept_unreachable: Option<String>,
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Method {
    /// PostgreSQL's own program.
    PgCtl,
    /// A unit of systemd.
    Systemd,
    /// A container.
    Docker,
    /// A program of your own.
    Command,
    /// The security groups of an instance of RDS.
    Rds,
}

/// What proves a fence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Require {
    /// Nothing takes connections.
    #[default]
    Closed,
    /// A server in recovery, which takes no writes, will do as well.
    NoWrites,
}

/// How a machine is reached. No password is asked for, and its host key must be known.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ssh {
    /// The machine; empty for this one.
    pub(super) host: String,
    /// The port of its ssh server.
    #[serde(default)]
    pub(super) port: Option<u16>,
    /// The account.
    #[serde(default)]
    pub(super) user: Option<String>,
    /// The file of the private key.
    #[serde(default)]
    pub(super) identity_file: Option<String>,
    /// The file of known hosts.
    #[serde(default)]
    pub(super) known_hosts: Option<String>,
}

fn three_seconds() -> Span {
    Span::from(Duration::from_secs(3))
}

fn half_a_minute() -> Span {
    Span::from(Duration::from_secs(30))
}

fn two_minutes() -> Span {
    Span::from(Duration::from_mins(2))
}

impl Method {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PgCtl => "pg_ctl",
            Self::Systemd => "systemd",
            Self::Docker => "docker",
            Self::Command => "command",
            Self::Rds => "rds",
        }
    }
}

/// A text that is given and not empty: an unused parameter of a runbook is empty.
pub(super) fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

impl Input {
    /// The machine of the server, when it is another one.
    pub(super) fn remote(&self) -> Option<&Ssh> {
        self.ssh.as_ref().filter(|ssh| !ssh.host.is_empty())
    }

    /// The field that the method cannot do without.
    fn missing(&self) -> Option<&'static str> {
        let (field, there) = match self.method {
            Method::PgCtl => ("data_directory", given(self.data_directory.as_ref()).is_some()),
            Method::Systemd => ("unit", given(self.unit.as_ref()).is_some()),
            Method::Docker => ("container", given(self.container.as_ref()).is_some()),
            Method::Command => ("argv", self.argv.first().is_some_and(|name| !name.is_empty())),
            Method::Rds if self.security_groups.is_empty() => ("security_groups", false),
            Method::Rds => ("instance", given(self.instance.as_ref()).is_some()),
        };
        (!there).then_some(field)
    }

    /// Texts that stand where a program would take them for an option.
    fn options(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let ssh = self.remote();
        let named = [
            ("unit", given(self.unit.as_ref())),
            ("container", given(self.container.as_ref())),
            ("run_as", given(self.run_as.as_ref())),
            ("ssh", ssh.map(|ssh| ssh.host.as_str())),
            ("ssh", ssh.and_then(|ssh| given(ssh.user.as_ref()))),
        ];
        named.into_iter().filter_map(|(key, text)| Some((key, text?)))
    }

    pub(super) fn problems(&self) -> Vec<InputProblem> {
        let mut problems = Vec::new();
        if let Some(field) = self.missing() {
            let message = format!("`method: {}` needs `{field}`", self.method.name());
            problems.push(InputProblem::at(field, message));
        }
        if given(self.standby.as_ref()) == Some(self.connection.as_str()) {
            let message = "the standby and the old primary are one connection";
            problems.push(InputProblem::at("standby", message));
        }
        for (key, text) in self.options().filter(|(_, text)| text.starts_with('-')) {
            problems.push(InputProblem::at(key, format!("`{text}` starts with `-`")));
        }
        problems
    }
}
