//! Every error code of the product, and those of the command line itself.

use model::codes::CodeInfo;

/// Every code, in order of the crates.
pub(crate) fn all() -> impl Iterator<Item = &'static CodeInfo> {
    let language = model::codes::ALL.iter().copied().flatten();
    language.chain(engine::codes::CODES).chain(steps::codes::CODES).chain(OWN)
}

const OWN: &[CodeInfo] = &[
    CodeInfo {
        code: "RB0901",
        title: "a file could not be read",
        text: "The runbook named on the command line does not exist or may not be read.",
        example: "runbook plan no-such-file.yaml",
    },
    CodeInfo {
        code: "RB0902",
        title: "an unknown step kind on the command line",
        text: "`runbook steps` lists the kinds that this version knows.",
        example: "runbook steps pg.dmup",
    },
    CodeInfo {
        code: "RB0903",
        title: "an unknown error code",
        text: "Codes are written as errors print them: `RB` and four digits.",
        example: "runbook explain RB9999",
    },
    CodeInfo {
        code: "RB0904",
        title: "no such run, or more than one",
        text: "A run is named by a unique prefix of its id; without one, the only open run is meant. `runbook runs` lists them.",
        example: "runbook status 01",
    },
    CodeInfo {
        code: "RB0905",
        title: "a file could not be written",
        text: "The file named by `--out` could not be written.",
        example: "runbook plan daily-backup.yaml --out /no/such/folder/plan.md",
    },
    CodeInfo {
        code: "RB0906",
        title: "a confirmation was not given",
        text: "`runbook resolve` asks for the step id to be typed, or for `--yes`.",
        example: "runbook resolve 01JD dump --applied --reason seen < /dev/null",
    },
    CodeInfo {
        code: "RB0907",
        title: "no such backup set",
        text: "The store holds no set of that id, or no proven set of that database.",
        example: "runbook backups show --store file:///backups --database app 20200101T000000Z-00000000",
    },
    CodeInfo {
        code: "RB0908",
        title: "a set changed while it was read",
        text: "The set was pruned or written by somebody else meanwhile. Look again.",
        example: "runbook backups show --store file:///backups --database app",
    },
    CodeInfo {
        code: "RB0909",
        title: "an argument is not valid",
        text: "A step id or a JSON text on the command line does not have its form.",
        example: "runbook resolve 01JD Dump --applied --reason seen",
    },
    CodeInfo {
        code: "RB0910",
        title: "the program could not set itself up",
        text: "The operating system refused threads or signal handlers. Look at the limits of the account (`ulimit -a`).",
        example: "(ulimit -u 1; runbook run daily-backup.yaml)",
    },
    CodeInfo {
        code: "RB0911",
        title: "a journal tells no run",
        text: "The journal's first record is missing, or its records cannot follow each other.",
        example: "runbook report 01JD",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_stands_once() {
        let codes: Vec<&str> = all().map(|info| info.code).collect();
        let distinct: BTreeSet<&str> = codes.iter().copied().collect();
        assert_eq!(codes.len(), distinct.len());
        assert!(codes.len() > 100, "{}", codes.len());
    }
}
