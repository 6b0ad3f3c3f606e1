//! Every error code of the product, and those of the command line itself.

use model::codes::CodeInfo;

/// Every code, in order of the crates.
pub(crate) fn all() -> impl Iterator<Item = &'static CodeInfo> {
    OWN.iter().chain(model::codes::ALL.iter().copied().flatten()).chain(steps::codes::CODES)
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
];
