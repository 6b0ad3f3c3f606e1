//! What the control file of a stopped server says, as `pg_controldata` prints it.

use std::collections::BTreeMap;

use model::step_error::StepError;

use crate::pg::standby::server::Local;

/// The control file of a server.
pub(super) struct Control {
    pub(super) system_identifier: String,
    pub(super) timeline: u32,
    pub(super) segment_bytes: u64,
    pub(super) state: String,
    /// Its pages tell which of them changed: `pg_rewind` needs that.
    pub(super) can_rewind: bool,
}

/// Reads it.
pub(super) async fn read(local: &Local<'_>) -> Result<Control, StepError> {
    let data = local.data().to_string_lossy().into_owned();
    let printed = local.output("pg_controldata", &[&data]).await?;
    parse(&printed).ok_or_else(|| {
        let message = format!("the control file of `{data}` does not read");
        StepError::permanent("RB0568", message).hint("build it anew with `pg.create_standby`")
    })
}

fn parse(printed: &str) -> Option<Control> {
    let lines = printed.lines().filter_map(|line| line.split_once(':'));
    let values: BTreeMap<_, _> = lines.map(|(key, value)| (key.trim(), value.trim())).collect();
    let on = |key: &str, off: &str| values.get(key).is_some_and(|value| *value != off);
    Some(Control {
        system_identifier: (*values.get("Database system identifier")?).to_owned(),
        timeline: values.get("Latest checkpoint's TimeLineID")?.parse().ok()?,
        segment_bytes: values.get("Bytes per WAL segment")?.parse().ok()?,
        state: (*values.get("Database cluster state")?).to_owned(),
        can_rewind: on("wal_log_hints setting", "off") || on("Data page checksum version", "0"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_file_tells_what_can_be_rewound() {
        let text = "Database system identifier:           7571234567890123456\n\
                    Database cluster state:               shut down\n\
                    Latest checkpoint's TimeLineID:       3\n\
                    wal_log_hints setting:                off\n\
                    Bytes per WAL segment:                16777216\n\
                    Data page checksum version:           0\n";
        let control = parse(text).unwrap();
        assert_eq!((control.timeline, control.segment_bytes), (3, 16 << 20));
        assert_eq!((control.state.as_str(), control.can_rewind), ("shut down", false));
        let hints = text.replace("setting:                off", "setting:                on");
        assert!(parse(&hints).unwrap().can_rewind);
        let sums = text.replace("version:           0", "version:           1");
        assert!(parse(&sums).unwrap().can_rewind);
        assert!(parse("").is_none());
    }
}
