//! `runbook preflight`: the first stage of a run, and nothing after it.

use std::sync::Arc;

use engine::modes::{self, Start};
use model::plan::Plan;

use crate::cli::Preflight;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::runbook_file::RunbookFile;
use crate::settings::Settings;
use crate::show::print;

pub(crate) fn preflight(args: &Preflight, settings: &Settings) -> Result<Exit, Failure> {
    let file = RunbookFile::read(&args.file)?;
    let plan = match file.plan(&args.params, settings.colour) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    let checks = look(plan)?;
    print::text(&checks.iter().map(|check| format!("{check}\n")).collect::<String>());
    Ok(Exit::Done)
}

/// Looks for what a run of the plan needs; tells what was looked at.
pub(crate) fn look(plan: Plan) -> Result<Vec<String>, Failure> {
    let start = Start {
        approvers: None,
        starter: engine::environment::login(),
        incident_at: None,
        unattended: true,
        drill: false,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let provider = Arc::new(steps::aws::secrets::Provider);
    let looking = modes::preflight_only(plan, start, &steps::probes::Looks, provider);
    Ok(crate::act(looking)??)
}
