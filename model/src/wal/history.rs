//! How timelines come from one another: the text of a `.history` file.
//! <https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES>

use super::lsn::Lsn;

/// A timeline that was left at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The timeline.
    pub timeline: u32,
    /// Where the next one begins.
    pub end: Lsn,
}

/// A timeline and those it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The timeline.
    pub timeline: u32,
    /// Those it comes from, oldest first.
    pub forks: Vec<Fork>,
}

/// Why a `.history` file does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the history of timeline {timeline} is not a timeline and a position")]
pub struct InvalidHistory {
    /// Whose history.
    pub timeline: u32,
    /// Which line, from 1.
    pub line: usize,
}

impl History {
    /// A timeline that comes from none.
    pub fn first(timeline: u32) -> Self {
        Self { timeline, forks: Vec::new() }
    }

    /// Reads the `.history` file of a timeline.
    pub fn parse(timeline: u32, text: &str) -> Result<Self, InvalidHistory> {
        let mut forks: Vec<Fork> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let fork = words.next().zip(words.next()).and_then(|(timeline, end)| {
                Some(Fork { timeline: timeline.parse().ok()?, end: end.parse().ok()? })
            });
            let older = |fork: &Fork| {
                fork.timeline < timeline
                    && forks.last().is_none_or(|last| last.timeline < fork.timeline)
            };
            let fork = fork.filter(older).ok_or(InvalidHistory { timeline, line: index + 1 })?;
            forks.push(fork);
        }
        Ok(Self { timeline, forks })
    }

    /// Whether this history passes through that position of that timeline.
    pub fn contains(&self, timeline: u32, position: Lsn) -> bool {
        match self.forks.iter().find(|fork| fork.timeline == timeline) {
            Some(fork) => position <= fork.end,
            None => timeline == self.timeline,
        }
    }

    /// The timelines on which a segment of that number may have been written, newest first: a
    /// server copies the segment in which it leaves a timeline to the next.
    pub fn candidates(&self, number: u64, segment_bytes: u64) -> Vec<u32> {
        let mut begin = 0;
        let mut found = Vec::new();
        for fork in &self.forks {
            let end = fork.end.0 / segment_bytes;
            if (begin..=end).contains(&number) {
                found.push(fork.timeline);
            }
            begin = end;
        }
        if number >= begin {
            found.push(self.timeline);
        }
        found.reverse();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "1\t0/5000060\tbefore 2026-11-20 02:00:00+00\n\n2\t0/7000000\tno recovery target specified\n";

    #[test]
    fn a_history_reads_and_says_what_it_passes_through() {
        let history = History::parse(3, TEXT).unwrap();
        assert_eq!(history.forks.len(), 2);
        let at = |text: &str| text.parse().unwrap();
        assert!(history.contains(1, at("0/5000060")));
        assert!(!history.contains(1, at("0/5000068")));
        assert!(history.contains(3, at("9/0")));
        assert!(!history.contains(4, at("0/0")));
        for text in ["x\t0/1\n", "1\n", "1 0/1\n1 0/2\n", "3 0/1\n"] {
            assert!(History::parse(3, text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_segment_of_a_fork_may_be_of_both_timelines() {
        let history = History::parse(3, TEXT).unwrap();
        let of = |number| history.candidates(number, 16 << 20);
        assert_eq!(of(4), [1]);
        assert_eq!(of(5), [2, 1]);
        assert_eq!(of(6), [2]);
        assert_eq!(of(7), [3, 2]);
        assert_eq!(of(8), [3]);
        assert_eq!(History::first(1).candidates(9, 16 << 20), [1]);
    }
}
