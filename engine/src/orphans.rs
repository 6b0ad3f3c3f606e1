//! Children that outlived the process that started them: never a second start beside one.
#![expect(clippy::disallowed_methods, reason = "this reads the process table")]

use std::time::Duration;

use model::ids::{RunId, StepId};
use model::run::event::Fact;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::clock::pause;
use crate::process::{CHILD_MARK, ChildRecord};

/// Between the polite and the final signal.
const GRACE: Duration = Duration::from_secs(10);

/// What a resume does with a child of a step that still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orphans {
    /// Wait for its end.
    #[default]
    Wait,
    /// Stop it: SIGTERM, a grace of 10 s, SIGKILL.
    Stop,
}

/// The living children of a step, of any attempt: those its facts name, and those that carry its
/// mark in their environment because the journal died between the start and the fact.
pub fn living(run: RunId, step: &StepId, facts: &[Fact]) -> Vec<ChildRecord> {
    let named = facts.iter().filter(|fact| fact.name == "child");
    let named = named.filter_map(|fact| serde_json::from_value(fact.data.clone()).ok());
    let mut found: Vec<ChildRecord> = named.filter(ChildRecord::is_alive).collect();
    for marked in marked(&format!("{CHILD_MARK}={run}/{step}/")) {
        if !found.iter().any(|child| child.pid == marked.pid) {
            found.push(marked);
        }
    }
    found
}

/// Processes whose environment holds a variable that begins with `mark`.
fn marked(mark: &str) -> Vec<ChildRecord> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let carries = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(mark.as_bytes()))
    };
    pids.filter(|pid| *pid != own)
        .filter(carries)
        .filter_map(|pid| ChildRecord::of("a marked child", Pid::from_raw(pid)?))
        .collect()
}

/// Stops children; returns whether all have ended.
pub async fn stop(children: &[ChildRecord]) -> bool {
    for signal in [Signal::TERM, Signal::KILL] {
        for child in children.iter().filter(|child| child.is_alive()) {
            if let Some(pid) = Pid::from_raw(child.pid) {
                // A child's own child leads no group: its leader has ended.
                kill_process_group(pid, signal).or_else(|_| kill_process(pid, signal)).ok();
            }
        }
        for _ in 0..GRACE.as_millis() / 100 {
            if !children.iter().any(ChildRecord::is_alive) {
                return true;
            }
            pause(Duration::from_millis(100)).await;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sleeper(mark: &str) -> std::process::Child {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new("sleep");
        command.arg("60").env(CHILD_MARK, mark).process_group(0).stdin(Stdio::null());
        command.spawn().unwrap()
    }

    #[tokio::test]
    async fn a_child_is_found_by_its_mark_and_by_its_fact_until_it_is_stopped() {
        let run = RunId::from(ulid::Ulid::from_parts(7, u128::from(std::process::id())));
        let step: StepId = "dump".parse().unwrap();
        let mut child = sleeper(&format!("{run}/dump/1"));
        let mut other = sleeper(&format!("{run}/dump2/1"));
        let pid = i32::try_from(child.id()).unwrap();
        let record = ChildRecord::of("sleep", Pid::from_raw(pid).unwrap()).unwrap();
        let mut found = living(run, &step, &[]);
        while found.is_empty() {
            tokio::task::yield_now().await;
            found = living(run, &step, &[]);
        }
        assert_eq!(found.iter().map(|child| child.pid).collect::<Vec<_>>(), [pid]);
        let fact = |record| Fact {
            name: "child".to_owned(),
            data: serde_json::to_value::<ChildRecord>(record).unwrap(),
        };
        assert_eq!(living(run, &step, &[fact(record.clone())]).len(), 1);
        let reused = ChildRecord { start_time: record.start_time + 1, ..record };
        assert!(!reused.is_alive());
        let reaper = std::thread::spawn(move || child.wait());
        assert!(stop(&found).await);
        reaper.join().unwrap().unwrap();
        assert!(living(run, &step, &[fact(reused)]).is_empty());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
