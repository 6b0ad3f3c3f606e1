//! What took effect: the judge of every test with a fault.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::moment;

/// One change that took effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// When, in UTC.
    pub at: String,
    /// `rds`, `route53`, ...; `lab` for what the laboratory did to itself.
    pub service: String,
    /// The region.
    pub region: String,
    /// The action of the service that asked for it. What an accepted request led to later has a
    /// name of its own: `Promoted`, `Created`, `Insync`, ...
    pub action: String,
    /// What it happened to.
    pub resource: String,
    /// More about it. Never a secret's value.
    pub detail: Value,
}

/// The effects so far, in memory and in a file.
pub(super) struct Effects {
    file: File,
    all: Vec<Effect>,
}

impl Effects {
    /// An empty log that is appended to `effects.jsonl` in a folder.
    pub(super) fn in_folder(folder: &Path) -> io::Result<Self> {
        let path = folder.join("effects.jsonl");
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { file, all: Vec::new() })
    }

    /// Appends one, at the moment when it takes effect.
    pub(super) fn record(
        &mut self,
        (service, region): (&str, &str),
        action: &str,
        resource: &str,
        detail: Value,
    ) {
        let effect = Effect {
            at: moment::told(moment::now()),
            service: service.to_owned(),
            region: region.to_owned(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            detail,
        };
        let line = serde_json::to_string(&effect).expect("an effect is JSON") + "\n";
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            eprintln!("the laboratory could not write its effect log: {error}");
        }
        self.all.push(effect);
    }

    /// What took effect so far, in order.
    pub(super) fn all(&self) -> &[Effect] {
        &self.all
    }
}
