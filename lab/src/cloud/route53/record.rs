//! Records.

use serde::Serialize;

/// One resource record set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its name, in lower case with a dot at its end.
    pub name: String,
    /// `A`, `CNAME`, ...
    pub kind: String,
    /// How long it may be kept, in seconds; an alias has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// What it says.
    pub values: Vec<String>,
    /// Which of several of the same name and kind it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_identifier: Option<String>,
    /// Its share among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
    /// `PRIMARY` or `SECONDARY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<String>,
    /// The region of a record by latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The health check that it depends on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<String>,
    /// What it stands for instead of having values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<Alias>,
}

/// The target of an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alias {
    /// Its hosted zone.
    pub zone: String,
    /// Its name, as [`Record::name`].
    pub name: String,
    /// Whether the health of the target counts.
    pub evaluates: bool,
}

impl Record {
    /// Whether both are the same entry of a zone, whatever they say.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        self.is_beside(other) && self.set_identifier == other.set_identifier
    }

    /// Whether both have the same name and kind.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.name == other.name && self.kind == other.kind
    }

    /// Where it stands in the order of a zone: by labels from the last one.
    pub(super) fn place(&self) -> (Vec<&str>, &str, Option<&str>) {
        (labels(&self.name), &self.kind, self.set_identifier.as_deref())
    }
}

/// The labels of a name from the last one.
pub(super) fn labels(name: &str) -> Vec<&str> {
    name.trim_end_matches('.').rsplit('.').collect()
}

/// A name in lower case with a dot at its end.
pub(super) fn full(name: &str) -> String {
    let name = name.to_lowercase();
    if name.ends_with('.') { name } else { name + "." }
}
