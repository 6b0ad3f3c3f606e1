//! The `jobs` key that several steps have.

use model::catalog::InputProblem;

/// At most so many connections of one step.
const MOST: u16 = 64;

/// What is wrong with the number of connections.
pub(super) fn problems(jobs: Option<u16>) -> Vec<InputProblem> {
    match jobs {
        Some(jobs) if !(1..=MOST).contains(&jobs) => {
            vec![InputProblem::at("jobs", format!("the number is from 1 to {MOST}"))]
        }
        _ => Vec::new(),
    }
}

/// The number of connections: by default one for each processor.
pub(super) fn count(jobs: Option<u16>) -> usize {
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    jobs.map_or_else(processors, usize::from).clamp(1, usize::from(MOST))
}
