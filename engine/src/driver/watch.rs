//! Time that this process did not see: a machine that slept, a clock that was set, a process that
//! was stopped. Before anything else happens, the lock is looked at again; then what was running
//! is looked for, because nobody may have been there to hear its answer.

use std::sync::Arc;

use jiff::Timestamp;
use model::effect::Effect;
use model::ids::StepId;
use model::run::event::{AttemptEnd, ClockJump, Event, Seen};
use model::run::step_state::Phase;
use model::step_error::{ErrorClass, StepError};

use crate::clock::Clock;
use crate::driver::{Driver, Heard};
use crate::error::EngineError;

/// A difference of clocks that counts, in milliseconds.
const JUMP: i64 = 5_000;

/// A turn of the loop takes a quarter of a second; one that takes so long was interrupted.
const GAP: i64 = 15_000;

/// The clocks at the last turn of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    wall: Timestamp,
    machine: u64,
    awake: u64,
}

impl Watch {
    pub(super) fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), machine: clock.mono_ms(), awake: clock.awake_ms() }
    }

    /// What happened between two turns, and by how many milliseconds.
    fn jump(self, next: Self) -> Option<(ClockJump, i64)> {
        let passed =
            |from: u64, to: u64| i64::try_from(to.saturating_sub(from)).unwrap_or(i64::MAX);
        let (machine, awake) = (passed(self.machine, next.machine), passed(self.awake, next.awake));
        let wall = next.wall.duration_since(self.wall).as_millis();
        let set = i64::try_from(wall).unwrap_or(i64::MAX).saturating_sub(machine);
        match machine - awake {
            slept if slept > JUMP => Some((ClockJump::Slept, slept)),
            _ if awake > GAP => Some((ClockJump::Stopped, awake)),
            _ if set.abs() > JUMP => Some((ClockJump::Set, set)),
            _ => None,
        }
    }
}

impl Driver {
    /// Compares the clocks with the last turn; an error when another process holds the run now.
    pub(super) fn watch_time(&mut self) -> Result<(), EngineError> {
        if self.parts.folder.is_none() {
            return Ok(());
        }
        let next = Watch::now(self.parts.clock.as_ref());
        let jump = std::mem::replace(&mut self.watch, next).jump(next);
        let Some((how, ms)) = jump else { return Ok(()) };
        if let Some(lock) = &self.parts.lock {
            lock.verify()?;
        }
        self.stage(Event::ClockJumped { how, ms })?;
        self.look_again();
        Ok(())
    }

    /// Looks for the effects of what runs, beside it.
    fn look_again(&mut self) {
        let running: Vec<(StepId, u32)> = self
            .state
            .steps()
            .filter(|(plan, step)| {
                step.phase == Phase::Running && plan.footprint.effect != Effect::Read
            })
            .map(|(plan, step)| (plan.id.clone(), step.attempt))
            .collect();
        for (step, attempt) in running {
            let job = self.job(&step, attempt, None, self.scope_of(&step));
            let executor = Arc::clone(&self.parts.executor);
            self.tasks
                .spawn(async move { Heard::Looked(step, attempt, executor.observe(job).await) });
        }
    }

    /// The attempt runs still, as far as this process knows.
    pub(super) fn runs(&self, step: &StepId, attempt: u32) -> bool {
        self.state
            .step(step)
            .is_some_and(|state| state.phase == Phase::Running && state.attempt == attempt)
    }

    /// What was found done ends its attempt, whose answer may never come; anything else lets it
    /// go on, within its own limits.
    pub(super) fn looked(
        &mut self,
        step: StepId,
        attempt: u32,
        seen: &Seen,
    ) -> Result<(), EngineError> {
        if !matches!(seen, Seen::Done { .. }) || !self.runs(&step, attempt) {
            return Ok(());
        }
        if let Some(token) = self.tokens.remove(&step) {
            token.cancel();
        }
        let message = "it was found done after time had passed that the program did not see";
        let error = StepError::new(ErrorClass::Ambiguous, "RB0465", message);
        let (end, log) = (AttemptEnd::Failed { error }, None);
        self.stage(Event::StepAttemptEnded { step, attempt, end, log })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(wall: i64, machine: u64, awake: u64) -> Watch {
        Watch { wall: Timestamp::from_millisecond(wall).unwrap(), machine, awake }
    }

    #[test]
    fn each_way_that_time_passes_unseen_is_told_apart() {
        let from = watch(1_000_000, 500_000, 400_000);
        for (next, expected) in [
            (watch(1_000_250, 500_250, 400_250), None),
            (watch(1_060_000, 560_000, 400_250), Some((ClockJump::Slept, 59_750))),
            (watch(1_060_000, 560_000, 460_000), Some((ClockJump::Stopped, 60_000))),
            (watch(4_600_250, 500_250, 400_250), Some((ClockJump::Set, 3_600_000))),
            (watch(400_250, 500_250, 400_250), Some((ClockJump::Set, -600_000))),
            (watch(1_003_000, 500_250, 400_250), None),
        ] {
            assert_eq!(from.jump(next), expected, "{next:?}");
        }
    }
}
