//! Whether an old primary that still sends its WAL still takes writes.
//!
//! A fence keeps clients out; the server itself may go on. Autovacuum commits what it did to a
//! table, and Amazon RDS a sign of life every few minutes
//! (<https://www.postgresql.org/docs/current/routine-vacuuming.html>), and a standby cannot tell
//! whose commit it replays. Those stop by themselves or are far between; somebody who writes goes on.

use std::time::Duration;

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Looks without a commit that are silence once one was heard, or while WAL is on its way; else one
/// is.
pub(super) const QUIET_LOOKS: u32 = 5;

/// So many looks that found a commit, and somebody writes.
const WRITER_LOOKS: u32 = 5;

/// What was heard so far.
#[derive(Debug, Default)]
pub(super) struct Listening {
    commits: u32,
    quiet: u32,
}

/// What that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nobody writes.
    Silence,
    /// Somebody does.
    Writer,
    /// Nothing can be told yet.
    Doubt,
}

impl Listening {
    /// Takes in what a look found: a commit, and WAL that the standby was told of and does not have
    /// yet, which may arrive by the next look.
    pub(super) fn hear(&mut self, committed: bool, arriving: bool) -> Heard {
        if committed {
            (self.commits, self.quiet) = (self.commits + 1, 0);
            return if self.commits >= WRITER_LOOKS { Heard::Writer } else { Heard::Doubt };
        }
        self.quiet += 1;
        let enough = if self.commits == 0 && !arriving { 1 } else { QUIET_LOOKS };
        if self.quiet >= enough { Heard::Silence } else { Heard::Doubt }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The answer to these looks, and after how many it came.
    fn after(looks: impl IntoIterator<Item = bool>) -> Option<(Heard, usize)> {
        let mut listening = Listening::default();
        let heard = looks.into_iter().map(|look| listening.hear(look, false));
        heard.enumerate().find(|(_, heard)| *heard != Heard::Doubt).map(|(at, it)| (it, at + 1))
    }

    #[test]
    fn silence_is_told_at_once_and_a_steady_writer_after_five_commits() {
        assert_eq!(after([false]), Some((Heard::Silence, 1)));
        assert_eq!(after([true; 9]), Some((Heard::Writer, 5)));
    }

    #[test]
    fn the_server_s_own_commits_are_waited_for() {
        let once = [true, false, false, false, false, false];
        assert_eq!(after(once), Some((Heard::Silence, 6)));
        let tables = [true, true, false, true, false, false, false, false, false];
        assert_eq!(after(tables), Some((Heard::Silence, 9)));
    }

    #[test]
    fn what_is_on_its_way_is_waited_for_as_long() {
        let mut listening = Listening::default();
        assert_eq!(listening.hear(false, true), Heard::Doubt);
        assert_eq!(listening.hear(false, false), Heard::Silence);
        let mut listening = Listening::default();
        let heard = [(); 5].map(|()| listening.hear(false, true));
        assert_eq!((heard[3], heard[4]), (Heard::Doubt, Heard::Silence), "the gate judges then");
    }

    proptest! {
        #[test]
        fn who_was_heard_and_writes_within_five_looks_is_found_out(
            gaps in prop::collection::vec(0_usize..5, 5..9),
        ) {
            let looks = gaps.iter().flat_map(|gap| (0..*gap).map(|_| false).chain([true]));
            let looks = std::iter::once(true).chain(looks);
            prop_assert_eq!(after(looks).map(|(heard, _)| heard), Some(Heard::Writer));
        }

        #[test]
        fn an_answer_comes_within_twenty_five_looks(looks in prop::collection::vec(any::<bool>(), 25)) {
            prop_assert!(after(looks).is_some());
        }
    }
}
