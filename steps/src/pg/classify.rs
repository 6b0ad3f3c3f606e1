//! What an error of PostgreSQL says about the effect, in its one place.
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use std::error::Error as _;
use std::io;

use model::step_error::{ErrorClass, StepError};
use tokio_postgres::Error;

use super::target::Target;

/// What to do about a privilege that is missing. `pg_read_all_data` is tables, views and
/// sequences; large objects have privileges of their own.
/// <https://www.postgresql.org/docs/current/predefined-roles.html>
pub(super) const MISSING_PRIVILEGE: &str = "grant the role what is missing; a backup role needs \
    `pg_read_all_data` and `BYPASSRLS`, and for large objects, which `pg_read_all_data` does \
    not cover on every version, SELECT on each of them or a superuser (a dump of some `tables` leaves them out)";

/// When the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Before a statement was sent: nothing can have happened.
    Connecting,
    /// A statement was on its way.
    Statement,
}

/// The class, the code and the hint of an SQLSTATE.
struct Verdict {
    class: ErrorClass,
    code: &'static str,
    hint: Option<&'static str>,
}

const fn verdict(class: ErrorClass, code: &'static str) -> Verdict {
    Verdict { class, code, hint: None }
}

const fn hinted(class: ErrorClass, code: &'static str, hint: &'static str) -> Verdict {
    Verdict { class, code, hint: Some(hint) }
}

/// Why a connection could not be made.
pub fn connecting(target: &Target, error: &Error) -> StepError {
    let place = format!("connection `{}` ({})", target.name, target.endpoint());
    match error.as_db_error() {
        Some(refusal) => {
            let verdict = by_state(refusal.code().code());
            let message = format!("{place}: {}", refusal.message());
            finish(StepError::new(verdict.class, verdict.code, message), verdict.hint)
        }
        None => without_state(&place, error, Moment::Connecting),
    }
}

/// Why a statement failed. `what` is the thing that was done, in words: ``copy `public.a` ``.
pub fn statement(what: &str, error: &Error) -> StepError {
    let Some(refusal) = error.as_db_error() else {
        return without_state(what, error, Moment::Statement);
    };
    let state = refusal.code().code();
    let verdict = by_state(state);
    let message = format!("{what}: {} (SQLSTATE {state})", refusal.message());
    let mut out = StepError::new(verdict.class, verdict.code, message);
    out.causes.extend(refusal.detail().map(str::to_owned));
    out.causes.extend(refusal.where_().map(str::to_owned));
    finish(out, verdict.hint.or(refusal.hint()))
}

fn finish(error: StepError, hint: Option<&str>) -> StepError {
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Ambiguous becomes transient: for work whose completion mark has certainly not been written.
#[must_use]
pub fn not_applied(mut error: StepError) -> StepError {
    if error.class == ErrorClass::Ambiguous {
        error.class = ErrorClass::Transient;
    }
    error
}

fn by_state(state: &str) -> Verdict {
    use ErrorClass::{Ambiguous, NeedsOperator, Permanent, Transient};
    match state {
        "3D000" => hinted(Permanent, "RB0503", "check the connection's `dbname`"),
        "40001" | "40P01" => verdict(Transient, "RB0506"),
        "42501" => hinted(NeedsOperator, "RB0509", MISSING_PRIVILEGE),
        "53100" => hinted(NeedsOperator, "RB0507", "free disk space on the server"),
        "53200" => hinted(
            Transient,
            "RB0507",
            "raise `max_locks_per_transaction` on the server or lower `jobs`",
        ),
        "55P03" => hinted(
            Transient,
            "RB0508",
            "another session holds the lock or waits for it: see `pg_locks`, or raise `lock_timeout`",
        ),
        "57014" => verdict(Transient, "RB0511"),
        "40003" | "57P01" | "57P02" | "57P05" => verdict(Ambiguous, "RB0505"),
        "53300" | "57P03" => verdict(Transient, "RB0504"),
        "57P04" => verdict(Permanent, "RB0503"),
        "0A000" => verdict(Permanent, "RB0510"),
        _ => by_state_class(state),
    }
}

fn by_state_class(state: &str) -> Verdict {
    use ErrorClass::{Ambiguous, NeedsOperator, Permanent, Transient};
    match state.get(..2) {
        Some("08") => verdict(Ambiguous, "RB0505"),
        Some("28") => {
            hinted(NeedsOperator, "RB0502", "check the role, the password and `pg_hba.conf`")
        }
        Some("53") => verdict(Transient, "RB0507"),
        Some("58") => hinted(NeedsOperator, "RB0507", "see the server's log"),
        Some("XX") => hinted(NeedsOperator, "RB0510", "see the server's log: it may be corruption"),
        _ => verdict(Permanent, "RB0510"),
    }
}

fn io_cause(error: &Error) -> Option<io::ErrorKind> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        next = cause.source();
    }
    None
}

fn is_tls(error: &Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        let inside = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inside_is_tls = matches!(inside, Some(inner) if inner.is::<rustls::Error>());
        if cause.is::<rustls::Error>() || inside_is_tls {
            return true;
        }
        next = cause.source();
    }
    error.to_string().contains("TLS")
}

/// Whether the server may take the connection with TLS where it did not without, or the other
/// way round: the handshake failed, or `pg_hba.conf` has no line for it (SQLSTATE 28000).
pub(super) fn depends_on_tls(error: &Error) -> bool {
    error.as_db_error().map_or_else(|| is_tls(error), |refusal| refusal.code().code() == "28000")
}

fn without_state(what: &str, error: &Error, moment: Moment) -> StepError {
    if is_tls(error) {
        let message = format!("{what}: no TLS connection could be made");
        return StepError::needs_operator("RB0512", message)
            .caused_by(error)
            .hint("check `sslmode`, `sslrootcert` and the server's certificate");
    }
    if error.to_string().contains("password missing") {
        let message = format!("{what}: the server asks for a password and none is given");
        return StepError::needs_operator("RB0502", message)
            .hint("give the connection a `password`, or a line in the password file");
    }
    let lost = error.is_closed() || io_cause(error).is_some();
    match moment {
        Moment::Connecting => {
            let message = format!("{what}: the server cannot be reached");
            StepError::transient("RB0501", message)
                .caused_by(error)
                .hint("check that the server runs and that host and port are right")
        }
        Moment::Statement if lost => {
            let message = format!("{what}: the connection was lost");
            StepError::ambiguous("RB0505", message).caused_by(error)
        }
        Moment::Statement => StepError::permanent(
            "RB0510",
            format!("{what}: the server's answer was not understood"),
        )
        .caused_by(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sqlstate_has_its_class_and_code() {
        use ErrorClass::{Ambiguous, NeedsOperator, Permanent, Transient};
        for (state, class, code) in [
            ("28P01", NeedsOperator, "RB0502"),
            ("28000", NeedsOperator, "RB0502"),
            ("3D000", Permanent, "RB0503"),
            ("57P03", Transient, "RB0504"),
            ("53300", Transient, "RB0504"),
            ("57P01", Ambiguous, "RB0505"),
            ("57P02", Ambiguous, "RB0505"),
            ("57P05", Ambiguous, "RB0505"),
            ("57P04", Permanent, "RB0503"),
            ("08006", Ambiguous, "RB0505"),
            ("40003", Ambiguous, "RB0505"),
            ("40001", Transient, "RB0506"),
            ("40P01", Transient, "RB0506"),
            ("53100", NeedsOperator, "RB0507"),
            ("53200", Transient, "RB0507"),
            ("53000", Transient, "RB0507"),
            ("58030", NeedsOperator, "RB0507"),
            ("55P03", Transient, "RB0508"),
            ("42501", NeedsOperator, "RB0509"),
            ("42P01", Permanent, "RB0510"),
            ("0A000", Permanent, "RB0510"),
            ("XX001", NeedsOperator, "RB0510"),
            ("57014", Transient, "RB0511"),
            ("", Permanent, "RB0510"),
        ] {
            let verdict = by_state(state);
            assert_eq!((verdict.class, verdict.code), (class, code), "{state}");
        }
    }

    #[test]
    fn only_doubt_is_settled_by_a_missing_mark() {
        let doubt = StepError::ambiguous("RB0505", "x");
        assert_eq!(not_applied(doubt).class, ErrorClass::Transient);
        let refused = StepError::needs_operator("RB0502", "x");
        assert_eq!(not_applied(refused).class, ErrorClass::NeedsOperator);
    }
}
