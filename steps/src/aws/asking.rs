//! What steps that ask AWS have in common.

use std::future::Future;
use std::time::Duration;

use engine::context::StepContext;
use model::catalog::InputProblem;
use model::footprint::Part;
use model::step_error::StepError;
use model::units::Span;

/// Ends when the step is cancelled: for work whose effect, if it has one, is recorded or none.
pub(super) async fn unless_cancelled<T>(
    ctx: &StepContext,
    work: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    tokio::select! {
        biased;
        () = ctx.cancel().cancelled() => Err(StepError::cancelled()),
        done = work => done,
    }
}

/// The time between two looks, where nobody says another.
pub(super) fn five_seconds() -> Span {
    Span::from(Duration::from_secs(5))
}

/// Two looks have some time between them.
pub(super) fn interval_problem(interval: Span) -> Option<InputProblem> {
    let none = interval.duration().is_zero();
    none.then(|| InputProblem::at("interval", "`interval` is no time at all"))
}

/// A value that is kept plays no part in a recovery but one.
pub(super) fn part_problem(plays: &[Part]) -> Option<InputProblem> {
    let wrong = plays.iter().any(|part| *part != Part::MoveTraffic);
    wrong.then(|| {
        InputProblem::at("plays", "the step can play no other part than `move_traffic`")
            .help("write `plays: [move_traffic]`, or leave it out")
    })
}
