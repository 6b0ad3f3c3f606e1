//! What every holder of a journal needs: the state its records add up to, and the stamp of the
//! next one.

use std::io;
use std::sync::LazyLock;

use model::journal::{Record, Stamp};
use model::run::state::RunState;

use crate::clock::Clock;
use crate::environment;
use crate::error::{EngineError, Obstacle};
use crate::process::boot_id;

static MACHINE: LazyLock<(String, String)> =
    LazyLock::new(|| (boot_id().unwrap_or_default(), environment::host()));

/// When and by whom a record is written now.
pub fn stamp(clock: &dyn Clock, epoch: u32) -> Stamp {
    let (boot, host) = MACHINE.clone();
    Stamp { at: clock.now(), mono_ms: clock.mono_ms(), boot, host, epoch }
}

/// The state that records add up to.
pub fn replay(records: &[Record]) -> Result<RunState, EngineError> {
    let mut state = RunState::new();
    for record in records {
        state.apply(record.stamp.at, &record.event).map_err(|error| {
            let message = format!("record {} of the journal: {error}", record.seq);
            EngineError::new("RB0815", Obstacle::Damaged, message)
        })?;
    }
    Ok(state)
}

/// The journal cannot be written: no effect starts any more.
pub fn not_durable(error: &io::Error) -> EngineError {
    let message = format!("the journal cannot be written: {error}; no further step was started");
    EngineError::new("RB0816", Obstacle::NeedsOperator, message)
        .hint("make room or repair the disk, then `runbook resume`")
}
