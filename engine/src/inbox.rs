//! What another process asks of the holder of a run: one durable file each, journaled by the
//! holder and then removed.

use std::path::Path;

use jiff::Timestamp;
use model::approval::{Answer, Refusal};
use model::ids::StepId;
use model::run::event::{Event, Verdict};
use model::run::state::RunState;
use model::run::step_state::StepState;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Clock;
use crate::error::EngineError;
use crate::{files, random};

/// The inbox's name in the run's folder.
pub const FOLDER: &str = "inbox";

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Stop the run.
    Cancel {
        /// Who wants it.
        by: String,
        /// Why.
        reason: Option<String>,
        /// Stop also what cannot be taken back.
        force: bool,
    },
    /// Whether an attempt in doubt happened.
    Resolve {
        /// The step.
        step: StepId,
        /// What they say.
        verdict: Verdict,
        /// Who.
        by: String,
        /// Why they believe so.
        reason: String,
        /// The output, when applied and known.
        output: Option<Value>,
    },
    /// Leave a step out that has not begun, or waits.
    Skip {
        /// The step.
        step: StepId,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// An approval or a rejection.
    Answer {
        /// The step.
        step: StepId,
        /// The answer.
        answer: Answer,
    },
}

impl Request {
    /// The event that the request asks for in `state`.
    pub fn event(&self, state: &RunState) -> Event {
        match self.clone() {
            Self::Cancel { by, reason, force } => Event::CancelRequested { by, reason, force },
            Self::Resolve { step, verdict, by, reason, output } => {
                let attempt = state.step(&step).map_or(0, |step| step.attempt);
                Event::StepResolved { step, attempt, verdict, by, reason, output }
            }
            Self::Skip { step, by, reason } => {
                let (left_out, by, reason) = (None, Some(by), Some(reason));
                Event::StepSkipped { step, left_out, by, reason }
            }
            Self::Answer { step, answer } => Event::ApprovalAnswered { step, answer },
        }
    }
}

/// Why an answer, given at `at`, does not count.
pub fn refusal(state: &RunState, step: &StepId, at: Timestamp, answer: &Answer) -> Option<Refusal> {
    if let Some(asked) = state.asked(step) {
        return asked.refusal(at, answer);
    }
    let closed = state.step(step).and_then(StepState::question);
    let again = closed.is_some_and(|asked| {
        asked.answers.iter().any(|(_, given)| (&given.by, given.item) == (&answer.by, answer.item))
    });
    Some(if again {
        Refusal::Repeated(answer.by.clone())
    } else {
        Refusal::NotAsked(step.to_string())
    })
}

/// Leaves a request for the holder of the run in `folder`.
pub fn leave(folder: &Path, clock: &dyn Clock, request: &Request) -> Result<(), EngineError> {
    let inbox = folder.join(FOLDER);
    let name = format!("{}.json", random::run_id(clock.now()));
    let bytes = serde_json::to_vec(request).expect("a request is plain data");
    files::create_folder(&inbox)
        .and_then(|()| files::write_durably(&inbox.join(name), &bytes))
        .map_err(|error| {
            let message = format!("the request cannot be left in `{}`: {error}", inbox.display());
            EngineError::refused("RB0807", message)
        })
}

/// The requests that wait, oldest first, each with its file's name; a file that is no request
/// comes without one.
pub fn waiting(folder: &Path) -> Vec<(String, Option<Request>)> {
    let inbox = folder.join(FOLDER);
    let names = files::list(&inbox).unwrap_or_default();
    let whole = names
        .into_iter()
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"));
    whole
        .map(|name| {
            let bytes = files::read(&inbox.join(&name)).unwrap_or_default();
            let request = serde_json::from_slice(&bytes).ok();
            (name, request)
        })
        .collect()
}

/// Removes a request that was journaled.
pub fn done(folder: &Path, name: &str) {
    files::remove(&folder.join(FOLDER).join(name)).ok();
}
