//! What an answer says about the effect, in its one place.
//! <https://www.rfc-editor.org/rfc/rfc9110#name-status-codes>

use std::time::Duration;

use engine::context::StepContext;
use model::step_error::StepError;

use super::client::Answer;

/// The longest wait that a server may ask of us inside a step.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Characters of an answer that an error shows.
const SHOWN: usize = 200;

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Done.
    Accepted,
    /// Not done; later it may be.
    Later,
    /// Not done, and never will be.
    Refused,
    /// It may have been done.
    Unclear,
}

/// What `answer` says. A 503 is a clear "later" only when it says when: gateways send it, too,
/// when they lost a server that was at work.
pub(crate) fn meaning(answer: &Answer) -> Meaning {
    match answer.status {
        200..=299 => Meaning::Accepted,
        408 | 425 | 429 => Meaning::Later,
        503 if answer.retry_after.is_some() => Meaning::Later,
        300..=499 => Meaning::Refused,
        _ => Meaning::Unclear,
    }
}

/// The beginning of a body as one line.
pub(crate) fn excerpt(answer: &Answer) -> Option<String> {
    let text = String::from_utf8_lossy(&answer.body);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then(|| line.chars().take(SHOWN).collect())
}

/// The error of a request that was refused.
pub(crate) fn refused(place: &str, answer: &Answer) -> StepError {
    let message = format!("{place} refused the request with status {}", answer.status);
    let mut error = StepError::permanent("RB0704", message);
    error.causes.extend(excerpt(answer));
    match answer.status {
        300..=399 => error.hint("redirects are not followed: write the final address"),
        401 | 403 | 404 | 410 => error.hint("check the address and its secret"),
        _ => error,
    }
}

/// The error of a request that should come later. Waits first, as long as the server asks, at
/// most half a minute.
pub(crate) async fn later(place: &str, answer: &Answer, ctx: &StepContext) -> StepError {
    if let Some(wait) = answer.retry_after
        && let Err(cancelled) = ctx.sleep(wait.min(LONGEST_WAIT)).await
    {
        return cancelled;
    }
    let message = format!("{place} takes no more requests now: status {}", answer.status);
    StepError::transient("RB0705", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn answer(status: u16, retry_after: Option<u64>) -> Answer {
        let retry_after = retry_after.map(Duration::from_secs);
        Answer { status, retry_after, body: b" no\n service ".to_vec(), truncated: false }
    }

    #[test]
    fn each_status_has_its_meaning() {
        for (status, retry_after, expected) in [
            (200, None, Meaning::Accepted),
            (204, None, Meaning::Accepted),
            (301, None, Meaning::Refused),
            (302, None, Meaning::Refused),
            (400, None, Meaning::Refused),
            (401, None, Meaning::Refused),
            (404, None, Meaning::Refused),
            (408, None, Meaning::Later),
            (410, None, Meaning::Refused),
            (425, None, Meaning::Later),
            (429, None, Meaning::Later),
            (429, Some(1), Meaning::Later),
            (500, None, Meaning::Unclear),
            (500, Some(1), Meaning::Unclear),
            (502, None, Meaning::Unclear),
            (503, None, Meaning::Unclear),
            (503, Some(1), Meaning::Later),
            (504, None, Meaning::Unclear),
            (600, None, Meaning::Unclear),
            (102, None, Meaning::Unclear),
        ] {
            assert_eq!(meaning(&answer(status, retry_after)), expected, "{status}");
        }
    }

    #[test]
    fn a_refusal_shows_what_the_server_said() {
        let error = refused("`host`", &answer(404, None));
        assert_eq!(error.message, "`host` refused the request with status 404");
        assert_eq!(error.causes, ["no service"]);
        assert_eq!(error.class, model::step_error::ErrorClass::Permanent);
    }

    #[tokio::test]
    async fn a_wait_that_the_server_asks_for_can_be_cancelled() {
        let ctx = testing::context();
        ctx.cancel().cancel();
        let error = later("`host`", &answer(429, Some(3600)), &ctx).await;
        assert_eq!(error, StepError::cancelled());
        let error = later("`host`", &answer(429, None), &testing::context()).await;
        assert_eq!(error.code, "RB0705");
        assert_eq!(error.class, model::step_error::ErrorClass::Transient);
    }
}
