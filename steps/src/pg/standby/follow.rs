//! What makes a server a standby of its primary, and waiting until it is one.

use std::time::Duration;

use engine::context::{Progress, StepContext};
use engine::files;
use model::hex::hex;
use model::step_error::StepError;
use sha2::{Digest, Sha256};

use super::conninfo::{Upstream, setting, write_private};
use super::primary::streaming;
use super::server::Local;
use crate::pg::connection::connect;
use crate::pg::target::Target;

/// Between two looks at the primary.
const INTERVAL: Duration = Duration::from_millis(300);

/// Where the settings of a standby stand.
const SETTINGS: &str = "postgresql.auto.conf";

/// Its presence makes a server start as a standby, never as a primary.
pub(super) const SIGNAL: &str = "standby.signal";

/// Settings of another role that a server may bring along.
const REPLACED: [&str; 3] = ["primary_conninfo", "primary_slot_name", "recovery_target_timeline"];

/// What this step writes into the settings of its server: whose it is.
pub(super) fn mark(ctx: &StepContext) -> String {
    format!("# a standby by runbook, run {}, step {}", ctx.id().run, ctx.id().step)
}

/// A short name that is the same in every attempt of this step.
pub(super) fn short(ctx: &StepContext) -> String {
    hex(Sha256::digest(mark(ctx)))[..16].to_owned()
}

/// Whether this step made the server of `data` a standby.
pub(super) fn is_marked(ctx: &StepContext, data: &std::path::Path) -> bool {
    let settings = files::read_text(&data.join(SETTINGS)).unwrap_or_default();
    settings.lines().any(|line| line == mark(ctx)) && files::facts(&data.join(SIGNAL)).is_ok()
}

/// Makes the server of `data` a standby when it starts. The signal comes first: a server that is
/// half configured must not start as a primary.
pub(super) fn configure(
    local: &Local<'_>,
    data: &std::path::Path,
    upstream: &Upstream,
    slot: Option<&str>,
) -> Result<(), StepError> {
    let account = local.account.as_ref();
    write_private(&data.join(SIGNAL), b"", account)?;
    let path = data.join(SETTINGS);
    let kept = files::read_text(&path).unwrap_or_default();
    let kept = kept.lines().filter(|line| is_kept(line)).map(str::to_owned);
    let mut lines: Vec<String> = kept.collect();
    lines.push(mark(local.ctx));
    lines.push(setting("primary_conninfo", &upstream.conninfo));
    lines.push(setting("recovery_target_timeline", "latest"));
    lines.extend(slot.map(|slot| setting("primary_slot_name", slot)));
    lines.extend(local.server.settings.iter().map(|(name, value)| setting(name, value)));
    let text = lines.join("\n") + "\n";
    write_private(&path, text.as_bytes(), account)
}

fn is_kept(line: &str) -> bool {
    let name = line.split(['=', ' ']).next().unwrap_or_default();
    !REPLACED.contains(&name) && !line.starts_with("# a standby by runbook")
}

/// Starts the server, unless it runs, and waits until the primary says that it streams.
pub(super) async fn start_and_follow(
    local: &Local<'_>,
    primary: &Target,
    name: &str,
    within: Duration,
) -> Result<String, StepError> {
    let ctx = local.ctx;
    if files::facts(&local.data().join(SIGNAL)).is_err() {
        let message = format!("`{}` has no `{SIGNAL}`: it is not started", local.data().display());
        return Err(StepError::needs_operator("RB0566", message)
            .hint("it would start as a primary; make it a standby, or build it anew"));
    }
    if !local.is_running().await? {
        ctx.log(format!("start the server of `{}`", local.data().display()));
        local.start(within).await?;
    }
    let following = async {
        loop {
            let session = connect(ctx, primary).await?;
            let found = streaming(&session, name).await?;
            session.close().await;
            if let Some((true, sent)) = found {
                return Ok(sent);
            }
            let activity = format!("wait until `{name}` streams");
            ctx.progress(Progress { activity, ..Progress::default() });
            ctx.sleep(INTERVAL).await?;
        }
    };
    match tokio::time::timeout(within, following).await {
        Ok(followed) => followed,
        Err(_) => Err(local.with_log(not_streaming(name, primary))),
    }
}

fn not_streaming(name: &str, primary: &Target) -> StepError {
    let message = format!("the new standby `{name}` does not stream from {}", primary.endpoint());
    StepError::ambiguous("RB0566", message).hint(
        "see its log: `pg_hba.conf` of the primary needs a line for `replication`; WAL that the \
         primary has removed asks for a slot",
    )
}
