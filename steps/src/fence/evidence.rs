//! What was seen, each with its time.

use engine::context::StepContext;

/// Observations, oldest first.
#[derive(Debug, Default)]
pub(super) struct Evidence(Vec<String>);

impl Evidence {
    /// Adds an observation, and writes it to the step's log.
    pub(super) fn saw(&mut self, ctx: &StepContext, what: impl Into<String>) {
        let what = what.into();
        ctx.log(&what);
        self.0.push(format!("{:.0}: {what}", ctx.now()));
    }

    pub(super) fn into_list(self) -> Vec<String> {
        self.0
    }
}
