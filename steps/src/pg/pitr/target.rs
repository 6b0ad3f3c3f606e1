//! The moment to which a cluster is recovered.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use model::wal::Lsn;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// The moment that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The end of the archive.
    Latest,
    /// A time.
    Time(Timestamp),
    /// A position in the WAL.
    Lsn(Lsn),
    /// The end of a transaction.
    Xid(u64),
    /// A restore point, made with `pg_create_restore_point`.
    Name(String),
}

/// The forms `{time: ...}`, `{lsn: ...}`, `{xid: ...}`, `{name: ...}`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Form {
    Time(String),
    Lsn(Lsn),
    Xid(u64),
    Name(String),
}

/// Why text is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// The same digits are another moment in another zone.
    #[error(
        "`{0}` is a time without a zone: write it as RFC 3339, such as `2026-11-20T02:00:00Z` or \
         `2026-11-20T03:00:00+01:00`"
    )]
    NoZone(String),
    /// Anything else.
    #[error(
        "`{0}` is no moment: write a time with a zone, a position such as `2/9A0000C8`, `xid:739`, \
         `name:before release`, or `latest`"
    )]
    NoMoment(String),
}

fn time(text: &str) -> Result<Timestamp, InvalidTarget> {
    text.parse().map_err(|_| match text.parse::<jiff::civil::DateTime>() {
        Ok(_) => InvalidTarget::NoZone(text.to_owned()),
        Err(_) => InvalidTarget::NoMoment(text.to_owned()),
    })
}

fn name(text: &str) -> Result<String, InvalidTarget> {
    // The server takes 63 bytes, and its log and settings take no line ends.
    let plain = !text.is_empty() && text.len() < 64 && !text.chars().any(char::is_control);
    if plain { Ok(text.to_owned()) } else { Err(InvalidTarget::NoMoment(format!("name:{text}"))) }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let no_moment = || InvalidTarget::NoMoment(text.to_owned());
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Some(xid) = text.strip_prefix("xid:") {
            return xid.trim().parse().map(Self::Xid).map_err(|_| no_moment());
        }
        if let Some(text) = text.strip_prefix("name:") {
            return name(text).map(Self::Name);
        }
        if let Ok(lsn) = text.parse() {
            return Ok(Self::Lsn(lsn));
        }
        time(text).map(Self::Time)
    }
}

struct TargetVisitor;

impl<'de> Visitor<'de> for TargetVisitor {
    type Value = Target;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`latest`, a time with a zone, or one of `time`, `lsn`, `xid` and `name`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Target, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
        let text = match Form::deserialize(MapAccessDeserializer::new(map))? {
            Form::Time(text) => return time(&text).map(Target::Time).map_err(de::Error::custom),
            Form::Lsn(lsn) => return Ok(Target::Lsn(lsn)),
            Form::Xid(xid) => return Ok(Target::Xid(xid)),
            Form::Name(text) => text,
        };
        name(&text).map(Target::Name).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetVisitor)
    }
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        "RecoveryTarget".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let form = |key: &str, value: serde_json::Value| {
            json_schema!({
                "type": "object",
                "properties": {key: value},
                "required": [key],
                "additionalProperties": false
            })
        };
        let time = serde_json::json!({
            "type": "string", "format": "date-time",
            "description": "a time, RFC 3339 with a zone"
        });
        let lsn = serde_json::json!({
            "type": "string", "description": "a position in the WAL, such as `2/9A0000C8`"
        });
        let xid = serde_json::json!({
            "type": "integer", "minimum": 3, "description": "the number of a transaction"
        });
        let name = serde_json::json!({
            "type": "string", "description": "a restore point of `pg_create_restore_point`"
        });
        json_schema!({"oneOf": [
            {
                "type": "string",
                "description": "`latest`, a time with a zone, a position, `xid:739`, `name:before release`"
            },
            form("time", time), form("lsn", lsn), form("xid", xid), form("name", name),
        ]})
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Time(at) => at.fmt(f),
            Self::Lsn(lsn) => lsn.fmt(f),
            Self::Xid(xid) => write!(f, "xid:{xid}"),
            Self::Name(name) => write!(f, "name:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Target, String> {
        serde_json::from_str(json).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn a_moment_has_a_short_form_and_a_long_one() {
        let at = Target::Time("2026-11-20T02:00:00.5Z".parse().unwrap());
        for (json, target) in [
            ("\"latest\"", Target::Latest),
            ("\"2026-11-20T03:00:00.5+01:00\"", at.clone()),
            ("\"2026-11-20 02:00:00.5+00\"", at.clone()),
            (r#"{"time": "2026-11-20T02:00:00.5Z"}"#, at),
            ("\"2/9a0000c8\"", Target::Lsn(Lsn(0x2_9A00_00C8))),
            (r#"{"lsn": "0/30"}"#, Target::Lsn(Lsn(0x30))),
            ("\"xid:739\"", Target::Xid(739)),
            (r#"{"xid": 739}"#, Target::Xid(739)),
            ("\"name:before release\"", Target::Name("before release".to_owned())),
            (r#"{"name": "x"}"#, Target::Name("x".to_owned())),
        ] {
            assert_eq!(read(json).as_ref(), Ok(&target), "{json}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_refused_as_that() {
        for json in ["\"2026-11-20 02:00:00\"", r#"{"time": "2026-11-20T02:00:00"}"#] {
            let refused = read(json).unwrap_err();
            assert!(refused.contains("is a time without a zone"), "{refused}");
        }
        for json in ["\"yesterday\"", "{}", "\"name:\"", "\"xid:-1\"", r#"{"at": "x"}"#, "1"] {
            let refused = read(json).unwrap_err();
            assert!(!refused.contains("without a zone"), "{json}: {refused}");
        }
        assert!(read("\"name:a\\nb\"").is_err());
    }
}
