//! The codes of the engine: `RB04xx` steps, secrets, preflight and approval, `RB08xx` journal,
//! state folder and locks.

use model::codes::CodeInfo;

/// Every code of this crate and of the rules of a run, in order.
pub const CODES: &[CodeInfo] = &[
    CodeInfo::new(
        "RB0400",
        "cancelled",
        "The run was cancelled while the step ran, and the step stopped.",
        "runbook cancel RUN",
    ),
    CodeInfo::new(
        "RB0401",
        "the input of a step is not valid",
        "A value that only the run knew does not fit the step's input. `runbook steps KIND` describes every field.",
        "with: {jobs: \"{{ steps.size.outputs.text }}\"}",
    ),
    CodeInfo::new(
        "RB0402",
        "a connection, store or secret is not defined",
        "The name is not under `connections`, `stores` or `secrets` of the plan.",
        "with: {connection: prodd}",
    ),
    CodeInfo::new(
        "RB0403",
        "this program does not know the step",
        "The run was started with another version of the program. Resume it with that version.",
        "runbook resume RUN",
    ),
    CodeInfo::new(
        "RB0404",
        "a time limit passed",
        "`timeout`, `stall_timeout` or `deadline` passed, the step was observed not to have happened, and no retry was left.",
        "timeout: 5s",
    ),
    CodeInfo::new(
        "RB0405",
        "nothing can tell whether a step happened",
        "The attempt ended without an answer and leaves no mark that could be looked for. Find out, then say it with `runbook resolve`. Nothing starts until then.",
        "uses: command.run",
    ),
    CodeInfo::new(
        "RB0406",
        "a template cannot be rendered",
        "A template failed with the values of this run. `runbook plan` shows what each template reads.",
        "with: {table: \"{{ steps.pick.outputs.name }}\"}",
    ),
    CodeInfo::new(
        "RB0407",
        "a fact could not be journaled",
        "The run stopped, or the attempt had ended, so the effect that the fact announces was not begun.",
        "(a full disk under the state folder)",
    ),
    CodeInfo::new(
        "RB0408",
        "the scratch folder cannot be created",
        "A step needs a private folder in the run's folder. Look at its owner and at free space.",
        "(a full disk under the state folder)",
    ),
    CodeInfo::new(
        "RB0409",
        "the step has another version",
        "The plan was made for another version of the step's input. Resume with the version of the program that started the run.",
        "runbook resume RUN",
    ),
    CodeInfo::new(
        "RB0410",
        "a program could not be started",
        "Install it, or add its folder to `PATH`.",
        "with: {argv: [no-such-program]}",
    ),
    CodeInfo::new(
        "RB0411",
        "the end of a program is unknown",
        "The operating system did not tell how the program ended. The step is observed.",
        "uses: command.run",
    ),
    CodeInfo::new(
        "RB0420",
        "a secret cannot be read",
        "The variable, file or command under `secrets` gives nothing. Provide it. When the preflight found that, run again; a run that is paused goes on with `runbook resume`.",
        "secrets: {db_url: {env: NOT_SET}}",
    ),
    CodeInfo::new(
        "RB0421",
        "a container cannot be used",
        "`docker inspect` does not show a container of that name that runs and has its port 5432 \
         published or reachable. `docker ps` lists those that run.",
        "connections: {prod: {docker: lms-postgres}}",
    ),
    CodeInfo::new(
        "RB0430",
        "a program is missing",
        "A step starts a program that is not on `PATH`.",
        "uses: pg.dump",
    ),
    CodeInfo::new(
        "RB0431",
        "a client program is too old",
        "PostgreSQL's client programs may not be older than the server. Install the server's version or a newer one, and put it first on `PATH`.",
        "uses: pg.dump",
    ),
    CodeInfo::new(
        "RB0434",
        "a store is full",
        "Less than 64 MiB are free. Make room, or prune the store.",
        "stores: {backups: {url: \"file:///full\"}}",
    ),
    CodeInfo::new(
        "RB0435",
        "the preflight failed",
        "Something the plan needs is missing. Each problem has its own code; nothing was executed.",
        "runbook run daily-backup.yaml",
    ),
    CodeInfo::new(
        "RB0450",
        "an approval was rejected",
        "A person said no. The step fails, and what needs it does not run.",
        "runbook reject RUN STEP",
    ),
    CodeInfo::new(
        "RB0451",
        "nobody answered in time",
        "The `timeout` of the question passed.",
        "with: {prompt: \"Go?\", timeout: 15m}",
    ),
    CodeInfo::new(
        "RB0452",
        "a request did not count",
        "A request of another process came too late, cannot be read, or its sender may not answer. The run is not changed by it.",
        "runbook resolve RUN STEP --applied --reason \"seen\"",
    ),
    CodeInfo::new(
        "RB0460",
        "a step is slow",
        "An attempt took longer than the step's `slow_after`. It goes on; the `waiting` handlers tell of it.",
        "slow_after: 5m",
    ),
    CodeInfo::new(
        "RB0461",
        "nobody was there to agree to an undo",
        "`rollback: ask` asks a person before finished steps are undone. The run was started where nobody can be asked, so nothing was undone. `runbook undo RUN` does it.",
        "rollback: ask",
    ),
    CodeInfo::new(
        "RB0462",
        "a run was paused at its terminal",
        "Somebody pressed Ctrl-C while a step ran that cannot be taken back, and chose to pause. `runbook resume` goes on, `runbook cancel` ends the run.",
        "runbook run dr-failover.yaml",
    ),
    CodeInfo::new(
        "RB0463",
        "a run that has not ended is not undone",
        "Only the finished steps of a run that has ended are undone. Resume the run, or cancel it, first.",
        "runbook undo RUN",
    ),
    CodeInfo::new(
        "RB0464",
        "nothing can be undone",
        "No finished step of the run has an `undo` that has not been done.",
        "runbook undo RUN",
    ),
    CodeInfo::new(
        "RB0465",
        "a step was found done after a sleep",
        "The machine slept, or the program was stopped. When it went on, the effect of the step was there although its answer had not come. The step is adopted, not repeated.",
        "runbook run weekly-restore.yaml",
    ),
    CodeInfo::new(
        "RB0498",
        "a bug of the engine",
        "The engine broke one of its own rules and stopped. The journal is whole: `runbook resume` goes on from it. Please report it.",
        "(none is known)",
    ),
    CodeInfo::new(
        "RB0499",
        "a bug of a step",
        "The step panicked, so its effect is unknown and was observed. Please report it.",
        "(none is known)",
    ),
    CodeInfo::new(
        "RB0801",
        "the journal cannot be opened",
        "Look at the owner and the mode of the run's folder.",
        "runbook status RUN",
    ),
    CodeInfo::new(
        "RB0802",
        "the journal is damaged",
        "A line in the middle was changed, lost or added after it was written. Restore the state folder from a copy; the run is not continued from a damaged journal.",
        "runbook resume RUN",
    ),
    CodeInfo::new(
        "RB0803",
        "the lock cannot be taken",
        "The file system of the state folder does not allow the lock.",
        "runbook resume RUN",
    ),
    CodeInfo::new(
        "RB0804",
        "another process holds the run",
        "One process drives a run. The message names it.",
        "runbook resume RUN",
    ),
    CodeInfo::new(
        "RB0805",
        "the register of runs cannot be used",
        "Look at the owner and the mode of the state folder, and at free space.",
        "runbook runs",
    ),
    CodeInfo::new(
        "RB0806",
        "the register of runs is damaged",
        "A line was changed, lost or added after it was written. Restore `register.jsonl` from a copy of the state folder.",
        "runbook runs",
    ),
    CodeInfo::new(
        "RB0807",
        "a request cannot be left for the holder",
        "Look at the owner and the mode of the run's folder, and at free space.",
        "runbook cancel RUN",
    ),
    CodeInfo::new(
        "RB0808",
        "the state folder belongs to another user",
        "Run as its owner, or give another folder with `--state`.",
        "runbook run daily-backup.yaml --state /root/state",
    ),
    CodeInfo::new(
        "RB0809",
        "others may write to the state folder",
        "Whoever can write there can change what a run does. `chmod 700` it.",
        "runbook run daily-backup.yaml --state /tmp",
    ),
    CodeInfo::new(
        "RB0810",
        "there is no place for state",
        "Give one with `--state` or `RUNBOOK_STATE`.",
        "env -i runbook runs",
    ),
    CodeInfo::new(
        "RB0811",
        "the state folder cannot be used",
        "It cannot be created or looked at; the message says why.",
        "runbook run daily-backup.yaml --state /proc/state",
    ),
    CodeInfo::new(
        "RB0812",
        "no such run",
        "No run begins with these characters, or no run is open. `runbook runs` lists all.",
        "runbook status 01ZZZ",
    ),
    CodeInfo::new(
        "RB0813",
        "several runs may be meant",
        "Give more characters of the run's id, or name one of the runs that are open.",
        "runbook status 01",
    ),
    CodeInfo::new(
        "RB0814",
        "the run does not allow this now",
        "The request does not fit where the run stands. `runbook status` shows it.",
        "runbook resolve RUN STEP --applied --reason \"seen\"",
    ),
    CodeInfo::new(
        "RB0815",
        "the journal tells what cannot happen",
        "Every line is whole, and their order is not one that this program writes.",
        "runbook status RUN",
    ),
    CodeInfo::new(
        "RB0816",
        "the journal cannot be written",
        "No further step was started. Make room or repair the disk, then `runbook resume`: what was running is observed first.",
        "(a full disk under the state folder)",
    ),
    CodeInfo::new(
        "RB0817",
        "the run never began",
        "Its process ended before the first record was durable, so nothing was executed.",
        "runbook resume RUN",
    ),
    CodeInfo::new(
        "RB0818",
        "a run is missing",
        "The register names the run, and its folder is gone: what it did cannot be told any more. Restore the folder from a copy of the state folder.",
        "runbook status RUN",
    ),
    CodeInfo::new(
        "RB0819",
        "everybody may write to the runbook",
        "Whoever can write to the file decides what a run does, with the secrets of whoever starts it. `validate` and `plan` read it; a real run is refused. `chmod o-w` it.",
        "chmod 666 daily-backup.yaml; runbook run daily-backup.yaml",
    ),
    CodeInfo::new(
        "RB0840",
        "another run holds the concurrency group",
        "Runs of one `concurrency` group never overlap, and a run holds its group until it has ended, also while it waits, is paused or in doubt. `on_conflict: queue` waits for it.",
        "concurrency: {group: restore, on_conflict: fail}",
    ),
    CodeInfo::new(
        "RB0841",
        "a concurrency group cannot be read or written",
        "`groups/` in the state folder says which run holds which group. See who owns the folder, and whether its disk is full.",
        "concurrency: {group: restore}",
    ),
    CodeInfo::new(
        "RB0842",
        "a run was stopped while it waited for its group",
        "It had not begun: nothing was executed, and no run is left.",
        "concurrency: {group: restore, on_conflict: queue}",
    ),
    CodeInfo::new(
        "RB0843",
        "another process took the run over",
        "This process was stopped, or its machine slept, and the run's lock is not its own any more. It started nothing further. The other process goes on with the run.",
        "runbook resume RUN",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::files;

    fn used_in(path: &Path, used: &mut BTreeSet<String>) {
        if files::facts(path).unwrap().is_dir() {
            for name in files::list(path).unwrap() {
                used_in(&path.join(name), used);
            }
        } else if !path.ends_with("codes.rs") {
            let text = files::read_text(path).unwrap();
            let codes = text.match_indices("\"RB0").filter_map(|(at, _)| text.get(at + 1..at + 7));
            used.extend(codes.map(str::to_owned));
        }
    }

    #[test]
    fn every_code_in_the_sources_has_an_entry_and_every_entry_is_used() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut used = BTreeSet::new();
        for path in ["src", "../model/src/run", "../model/src/step_error.rs"] {
            used_in(&root.join(path), &mut used);
        }
        // Tests use codes of steps.
        used.retain(|code| !code.starts_with("RB05"));
        let listed: BTreeSet<_> = CODES.iter().map(|info| info.code.to_owned()).collect();
        assert_eq!(used, listed);
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(CODES.windows(2).all(|pair| pair[0].code < pair[1].code));
    }
}
