//! What a promotion would lose, and whether that is allowed.

use jiff::Timestamp;
use model::step_error::StepError;
use tokio_postgres::types::PgLsn;

use super::standing::Standing;
use super::terms::Terms;

/// What is lost when a standby becomes the primary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Loss {
    /// Bytes of WAL that the old primary had written and the standby does not have; nothing when
    /// nobody can tell how far it had written.
    pub(super) bytes: Option<u64>,
    /// Seconds of commits, at most; nothing when no transaction was ever replayed.
    pub(super) seconds: Option<f64>,
}

/// How far the old primary had written: as it was read when it was fenced, else as the standby
/// hears while it streams.
pub(super) fn written(expected: Option<PgLsn>, found: &Standing) -> Option<PgLsn> {
    let heard = || found.streaming.then_some(found.heard.max(found.received)).flatten();
    expected.or_else(heard)
}

/// The loss of a server that has everything up to `received` and until `until`, when the old
/// primary had written up to `written` and committed until `ended` at the latest.
pub(super) fn loss(
    written: Option<PgLsn>,
    received: Option<PgLsn>,
    until: Option<Timestamp>,
    ended: Timestamp,
) -> Loss {
    let number = |lsn: Option<PgLsn>| lsn.map_or(0, u64::from);
    let bytes = written.map(|written| u64::from(written).saturating_sub(number(received)));
    let age = |until: Timestamp| ended.duration_since(until).as_secs_f64().max(0.0);
    let seconds = if bytes == Some(0) { Some(0.0) } else { until.map(age) };
    Loss { bytes, seconds }
}

impl Terms<'_> {
    /// Refuses a loss that is more than allowed, or that nobody can tell.
    pub(super) fn check_loss(&self, loss: &Loss) -> Result<(), StepError> {
        let most = self.max_bytes.or(self.max_lag.is_none().then(Default::default));
        if let Some(most) = most {
            match loss.bytes {
                None => return Err(self.unknown()),
                Some(bytes) if bytes > most.bytes() => {
                    let why = format!("{bytes} bytes, `max_bytes` is {most}");
                    return Err(self.too_much(&why));
                }
                Some(_) => {}
            }
        }
        let Some(most) = self.max_lag else { return Ok(()) };
        match loss.seconds {
            Some(seconds) if seconds <= most.duration().as_secs_f64() => Ok(()),
            Some(seconds) => {
                Err(self.too_much(&format!("up to {seconds:.1} s of commits, `max_lag` is {most}")))
            }
            None => Err(self.unknown()),
        }
    }

    fn too_much(&self, why: &str) -> StepError {
        let message = format!("promoting `{}` would lose {why}", self.connection);
        StepError::permanent("RB0554", message).hint(
            "let the standby catch up while its primary lives; else raise the bound knowingly, \
             or promote another standby",
        )
    }

    fn unknown(&self) -> StepError {
        let message = format!(
            "nobody can tell what promoting `{}` would lose: it does not stream, and how far its \
             primary had written is not given",
            self.connection
        );
        StepError::permanent("RB0553", message)
            .hint("give `expected_lsn`, or bound the loss in time with `max_lag`")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Input;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn gap(written: Option<u64>, received: u64, until: Option<i64>, ended: i64) -> Loss {
        let (written, received) = (written.map(PgLsn::from), Some(PgLsn::from(received)));
        loss(written, received, until.map(at), at(ended))
    }

    fn input(keys: &Value) -> Input {
        let mut input = json!({"connection": "standby", "without_fence": "test"});
        input.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        serde_json::from_value(input).unwrap()
    }

    #[test]
    fn positions_compare_as_numbers_and_an_idle_primary_loses_nothing() {
        // As text, `0/9000000` stands behind `0/10000000`.
        let late = gap(Some(0x1000_0000), 0x0900_0000, Some(60), 100);
        assert_eq!(late, Loss { bytes: Some(0x0700_0000), seconds: Some(40.0) });
        let idle = gap(Some(0x30), 0x30, Some(0), 86_400);
        assert_eq!(idle, Loss { bytes: Some(0), seconds: Some(0.0) });
        let ahead = gap(Some(0x30), 0x40, None, 0);
        assert_eq!(ahead, Loss { bytes: Some(0), seconds: Some(0.0) });
        let unknown = gap(None, 0x30, Some(90), 100);
        assert_eq!(unknown, Loss { bytes: None, seconds: Some(10.0) });
    }

    #[test]
    fn each_bound_is_a_gate_of_its_own() {
        let late = Loss { bytes: Some(32), seconds: Some(40.0) };
        let unknown = Loss { bytes: None, seconds: Some(40.0) };
        let nothing = Loss { bytes: None, seconds: None };
        for (keys, loss, code) in [
            (json!({}), Loss { bytes: Some(0), seconds: Some(0.0) }, None),
            (json!({}), late, Some("RB0554")),
            (json!({}), unknown, Some("RB0553")),
            (json!({"max_bytes": "32B"}), late, None),
            (json!({"max_bytes": "31B"}), late, Some("RB0554")),
            (json!({"max_lag": "40s"}), late, None),
            (json!({"max_lag": "39s"}), late, Some("RB0554")),
            (json!({"max_lag": "40s"}), unknown, None),
            (json!({"max_lag": "1h", "max_bytes": "1GiB"}), unknown, Some("RB0553")),
            (json!({"max_lag": "1h"}), nothing, Some("RB0553")),
        ] {
            let refused = input(&keys).terms().check_loss(&loss).err().map(|error| error.code);
            assert_eq!(refused.as_deref(), code, "{keys} {loss:?}");
        }
    }
}
