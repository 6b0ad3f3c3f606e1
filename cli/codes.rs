//! Every error code of the product, and those of the command line itself.

use model::codes::CodeInfo;

/// Every code, in order of the crates.
pub(crate) fn all() -> impl Iterator<Item = &'static CodeInfo> {
    let language = model::codes::ALL.iter().copied().flatten();
    let steps = steps::codes::ALL.iter().copied().flatten();
    language.chain(engine::codes::CODES).chain(steps).chain(OWN)
}

const OWN: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0901",
        "a file could not be read",
        "The runbook named on the command line does not exist or may not be read.",
        "runbook plan no-such-file.yaml",
    ),
    CodeInfo::new(
        "RB0902",
        "an unknown step kind on the command line",
        "`runbook steps` lists the kinds that this version knows.",
        "runbook steps pg.dmup",
    ),
    CodeInfo::new(
        "RB0903",
        "an unknown error code",
        "Codes are written as errors print them: `RB` and four digits.",
        "runbook explain RB9999",
    ),
    CodeInfo::new(
        "RB0904",
        "no such run, or more than one",
        "A run is named by a unique prefix of its id; without one, the only open run is meant. `runbook runs` lists them.",
        "runbook status 01",
    ),
    CodeInfo::new(
        "RB0905",
        "a file could not be written",
        "The file named by `--out` could not be written.",
        "runbook plan daily-backup.yaml --out /no/such/folder/plan.md",
    ),
    CodeInfo::new(
        "RB0906",
        "a confirmation was not given",
        "`runbook resolve` asks for the step id to be typed, `runbook undo` for `undo`, or for `--yes`.",
        "runbook resolve 01JD dump --applied --reason seen < /dev/null",
    ),
    CodeInfo::new(
        "RB0907",
        "no such backup set",
        "The store holds no set of that id, or no proven set of that database.",
        "runbook backups show --store file:///backups --database app 20200101T000000Z-00000000",
    ),
    CodeInfo::new(
        "RB0908",
        "a set changed while it was read",
        "The set was pruned or written by somebody else meanwhile. Look again.",
        "runbook backups show --store file:///backups --database app",
    ),
    CodeInfo::new(
        "RB0909",
        "an argument is not valid",
        "A step id or a JSON text on the command line does not have its form.",
        "runbook resolve 01JD Dump --applied --reason seen",
    ),
    CodeInfo::new(
        "RB0910",
        "the program could not set itself up",
        "The operating system refused threads or signal handlers. Look at the limits of the account (`ulimit -a`).",
        "(ulimit -u 1; runbook run daily-backup.yaml)",
    ),
    CodeInfo::new(
        "RB0911",
        "a journal tells no run",
        "The journal's first record is missing, or its records cannot follow each other.",
        "runbook report 01JD",
    ),
    CodeInfo::new(
        "RB0912",
        "the output could not be written",
        "Standard output leads to a full disk or a file that cannot be written. What was printed is not whole.",
        "runbook report > /dev/full",
    ),
    CodeInfo::new(
        "RB0913",
        "there is no such store",
        "The folder that the URL names does not exist. A command that only looks does not make it.",
        "runbook backups list --store file:///no/such/folder",
    ),
    CodeInfo::new(
        "RB0914",
        "the incident lies in the future",
        "RTO and RPO are measured from the instant that `--incident-at` names, so it has passed already. \
         Look at the date and the time zone.",
        "runbook run dr-failover.yaml --incident-at 2099-01-01T00:00:00Z",
    ),
    CodeInfo::new(
        "RB0915",
        "no laboratory is up",
        "The folder holds no laboratory. `runbook lab up` starts one; `--dir` or `RUNBOOK_LAB` names its folder.",
        "runbook lab status --dir /no/such/folder",
    ),
    CodeInfo::new(
        "RB0916",
        "a laboratory is up already",
        "A folder holds one laboratory. `runbook lab env` prints its environment, `runbook lab down` ends it.",
        "runbook lab up; runbook lab up",
    ),
    CodeInfo::new(
        "RB0917",
        "the laboratory has crashed",
        "The process that held the laboratory is gone, or does not answer. `runbook lab down` removes what it left.",
        "runbook lab status",
    ),
    CodeInfo::new(
        "RB0918",
        "the laboratory could not start",
        "It needs the programs of a PostgreSQL server and a folder that holds nothing of somebody else's.",
        "runbook lab up --dir /etc",
    ),
    CodeInfo::new(
        "RB0919",
        "the laboratory does not do that",
        "A disaster could not begin or end: the region or the span is not one of the laboratory's.",
        "runbook lab disaster region --region eu-central-1",
    ),
    CodeInfo::new(
        "RB0960",
        "which database is not said",
        "`runbook init` needs a variable with the database's URL, or at least its name.",
        "env -u DATABASE_URL runbook init --yes",
    ),
    CodeInfo::new(
        "RB0961",
        "the file exists already",
        "`runbook init` overwrites nothing unless you say `--force`.",
        "runbook init --yes --dbname app; runbook init --yes --dbname app",
    ),
    CodeInfo::new(
        "RB0962",
        "an answer cannot be used",
        "What was said to `runbook init` is not a port, an hour, the name of a variable, or cannot stand in a runbook.",
        "runbook init --yes --database-url-env postgresql://db/app",
    ),
    CodeInfo::new(
        "RB0994",
        "a key that cannot sign",
        "The file named by `--key` cannot be read, is no OpenSSH key, or has a type that cannot be used.",
        "runbook approve RUN confirm --key no-such-key",
    ),
    CodeInfo::new(
        "RB0995",
        "a key without its passphrase",
        "The key is encrypted, and there is no terminal to ask for its passphrase, or three were wrong.",
        "runbook approve RUN confirm --key encrypted < /dev/null",
    ),
    CodeInfo::new(
        "RB0996",
        "`ssh-keygen` did not sign",
        "Keys other than Ed25519, and those of an agent, sign through `ssh-keygen -Y sign`, which failed.",
        "runbook approve RUN confirm --key id_rsa.pub",
    ),
    CodeInfo::new(
        "RB0997",
        "a file that is no signature",
        "`--signature` takes the file that `ssh-keygen -Y sign -n runbook-approval@v1` writes.",
        "runbook approve RUN confirm --signature message",
    ),
    CodeInfo::new(
        "RB0998",
        "no file of approvers",
        "There is no `approvers.yaml` beside the runbook or in the state folder, or the one that was named cannot be read.",
        "runbook approvers --approvers no-such-file.yaml",
    ),
    CodeInfo::new(
        "RB0999",
        "a file of approvers with problems",
        "Its problems are printed with their places. A run with questions does not start before they are repaired.",
        "runbook run ask.yaml --approvers broken.yaml",
    ),
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
