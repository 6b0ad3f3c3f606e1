//! Secrets that AWS keeps: where they are.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Aws;

/// A parameter of Systems Manager whose value is a secret. Its name alone may stand for it. Text
/// fields may hold templates over params, vars and run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Its name, with `:` and the number of a version when it is not to be the newest.
    pub name: String,
    /// Where it is kept.
    #[serde(flatten)]
    pub place: Aws,
}

/// A secret of Secrets Manager. Its id alone may stand for it. Text fields may hold templates over
/// params, vars and run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ManagedSecret {
    /// Its name, or its ARN.
    pub id: String,
    /// The key of the JSON object that it is, when it is one and not all of it is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The stage of the version, when it is not to be `AWSCURRENT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Where it is kept.
    #[serde(flatten)]
    pub place: Aws,
}

/// A parameter as a mapping. Each key is named by itself, so that a wrong one has its place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParameterKeys {
    name: String,
    region: Option<String>,
    profile: Option<String>,
    endpoint_url: Option<String>,
}

/// A secret as a mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManagedKeys {
    id: String,
    key: Option<String>,
    stage: Option<String>,
    region: Option<String>,
    profile: Option<String>,
    endpoint_url: Option<String>,
}

impl From<ParameterKeys> for Parameter {
    fn from(keys: ParameterKeys) -> Self {
        let ParameterKeys { name, region, profile, endpoint_url } = keys;
        Self { name, place: Aws { region, profile, endpoint_url } }
    }
}

impl From<ManagedKeys> for ManagedSecret {
    fn from(keys: ManagedKeys) -> Self {
        let ManagedKeys { id, key, stage, region, profile, endpoint_url } = keys;
        Self { id, key, stage, place: Aws { region, profile, endpoint_url } }
    }
}

impl From<String> for Parameter {
    fn from(name: String) -> Self {
        Self { name, ..Self::default() }
    }
}

impl From<String> for ManagedSecret {
    fn from(id: String) -> Self {
        Self { id, ..Self::default() }
    }
}

/// Reads a text, which is the name alone, or a mapping of `K`.
struct NameOr<T, K>(&'static str, PhantomData<(T, K)>);

impl<'de, T: From<String> + From<K>, K: Deserialize<'de>> Visitor<'de> for NameOr<T, K> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(text.to_owned().into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        K::deserialize(MapAccessDeserializer::new(map)).map(T::from)
    }
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let what = "the name of a parameter, or a mapping with `name`";
        deserializer.deserialize_any(NameOr::<Self, ParameterKeys>(what, PhantomData))
    }
}

impl<'de> Deserialize<'de> for ManagedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let what = "the id of a secret, or a mapping with `id`";
        deserializer.deserialize_any(NameOr::<Self, ManagedKeys>(what, PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::plan::SecretSource;

    #[test]
    fn a_name_alone_is_kept_as_a_mapping() {
        for (short, long) in [
            (json!({"aws_ssm": "/app/x"}), json!({"aws_ssm": {"name": "/app/x"}})),
            (
                json!({"aws_secretsmanager": "app/db"}),
                json!({"aws_secretsmanager": {"id": "app/db"}}),
            ),
        ] {
            let source: SecretSource = serde_json::from_value(short).unwrap();
            assert_eq!(serde_json::to_value(&source).unwrap(), long);
            assert_eq!(serde_json::from_value::<SecretSource>(long).unwrap(), source);
        }
        let whole = json!({"aws_secretsmanager": {"id": "app/db", "key": "password",
            "stage": "AWSPREVIOUS", "region": "us-west-2", "profile": "dr"}});
        let source: SecretSource = serde_json::from_value(whole.clone()).unwrap();
        assert_eq!(serde_json::to_value(&source).unwrap(), whole);
        let wrong = json!({"aws_ssm": {"name": "x", "key": "y"}});
        assert!(serde_json::from_value::<SecretSource>(wrong).is_err());
    }
}
