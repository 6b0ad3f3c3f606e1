//! What a shell offers when a person presses Tab.

use std::ffi::OsStr;

use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter as _};
use engine::state_folder::StateFolder;
use model::catalog::Catalog as _;

use crate::codes;

/// Names that begin as the person has begun.
fn beginning<'a>(
    current: &OsStr,
    names: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let fitting = names.into_iter().filter(|(name, _)| name.starts_with(&*current));
    fitting
        .map(|(name, about)| CompletionCandidate::new(name).help(Some(about.to_owned().into())))
        .collect()
}

/// Step kinds.
pub(crate) fn kinds(current: &OsStr) -> Vec<CompletionCandidate> {
    let kinds = steps::REGISTRY.kinds();
    let known = kinds.iter().filter_map(|kind| steps::REGISTRY.get(kind));
    beginning(current, known.map(|step| (step.kind(), step.summary())))
}

/// Error codes.
pub(crate) fn codes(current: &OsStr) -> Vec<CompletionCandidate> {
    beginning(current, codes::all().map(|info| (info.code, info.title)))
}

/// Runs of the state folder that the environment names, newest first.
pub(crate) fn runs(current: &OsStr) -> Vec<CompletionCandidate> {
    let runs = StateFolder::locate(None).and_then(|folder| folder.runs()).unwrap_or_default();
    let runs: Vec<(String, String)> =
        runs.into_iter().rev().map(|entry| (entry.run.to_string(), entry.name)).collect();
    beginning(current, runs.iter().map(|(run, name)| (run.as_str(), name.as_str())))
}

/// YAML files, and the folders on the way to them.
pub(crate) fn runbooks(current: &OsStr) -> Vec<CompletionCandidate> {
    let is_yaml = |path: &std::path::Path| {
        path.is_dir() || path.extension().is_some_and(|it| it == "yaml" || it == "yml")
    };
    PathCompleter::any().filter(is_yaml).complete(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(candidates: &[CompletionCandidate]) -> Vec<String> {
        candidates.iter().map(|it| it.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn kinds_and_codes_are_offered_by_their_beginning() {
        assert_eq!(offered(&kinds(OsStr::new("pg.du"))), ["pg.dump"]);
        assert_eq!(offered(&codes(OsStr::new("RB0101"))), ["RB0101"]);
        assert_eq!(offered(&kinds(OsStr::new("nothing"))), [""; 0]);
    }

    #[test]
    fn only_runbooks_and_folders_are_offered_as_files() {
        let files = offered(&runbooks(OsStr::new("runbooks/d")));
        assert_eq!(files, ["runbooks/daily-backup.yaml", "runbooks/dr-failover.yaml"]);
        assert_eq!(offered(&runbooks(OsStr::new("runboo"))), ["runbooks/"]);
        assert_eq!(offered(&runbooks(OsStr::new("Makef"))), [""; 0]);
    }
}
