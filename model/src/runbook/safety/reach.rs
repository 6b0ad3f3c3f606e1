//! What stands before or behind each step of a plan, found in one walk over it.

use crate::runbook::order::Order;

/// The steps in an order in which each stands behind those it runs after; none when some wait
/// for each other.
pub(super) fn sequence(order: &Order) -> Option<Vec<usize>> {
    let mut open: Vec<usize> = order.iter().map(indexmap::IndexSet::len).collect();
    let mut after = vec![Vec::new(); order.len()];
    for (at, before) in order.iter().enumerate() {
        before.iter().for_each(|one| after[*one].push(at));
    }
    let mut sequence: Vec<usize> = (0..order.len()).filter(|at| open[*at] == 0).collect();
    let mut next = 0;
    while let Some(&at) = sequence.get(next) {
        next += 1;
        for &other in &after[at] {
            open[other] -= 1;
            if open[other] == 0 {
                sequence.push(other);
            }
        }
    }
    (sequence.len() == order.len()).then_some(sequence)
}

/// Which way marks are handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From each step to those that run after it.
    Onward,
    /// From each step to those that it runs after.
    Back,
}

/// Marks of steps, and which of them each step is reached by: a bit for each mark and step, so
/// that a plan of any length is walked over once.
pub(super) struct Reach {
    words: usize,
    own: Vec<u64>,
    reached: Vec<u64>,
}

impl Reach {
    /// Hands the marks on. `own` are pairs of a step and a mark below `marks`.
    pub(super) fn new(
        order: &Order,
        sequence: &[usize],
        marks: usize,
        own: impl Iterator<Item = (usize, usize)>,
        direction: Direction,
    ) -> Self {
        let words = marks.div_ceil(64);
        let empty = vec![0; words * order.len()];
        let mut reach = Self { words, own: empty.clone(), reached: empty };
        for (at, mark) in own {
            reach.own[at * words + mark / 64] |= 1 << (mark % 64);
        }
        match direction {
            Direction::Onward => {
                for &at in sequence {
                    order[at].iter().for_each(|before| reach.hand_on(*before, at));
                }
            }
            Direction::Back => {
                for &at in sequence.iter().rev() {
                    order[at].iter().for_each(|before| reach.hand_on(at, *before));
                }
            }
        }
        reach
    }

    fn hand_on(&mut self, from: usize, to: usize) {
        for word in 0..self.words {
            let (from, to) = (from * self.words + word, to * self.words + word);
            self.reached[to] |= self.own[from] | self.reached[from];
        }
    }

    /// The step has the mark itself.
    pub(super) fn owns(&self, at: usize, mark: usize) -> bool {
        self.bit(&self.own, at, mark)
    }

    /// A step that this one is reached by has the mark.
    pub(super) fn reaches(&self, at: usize, mark: usize) -> bool {
        self.bit(&self.reached, at, mark)
    }

    fn bit(&self, bits: &[u64], at: usize, mark: usize) -> bool {
        bits[at * self.words + mark / 64] >> (mark % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use indexmap::IndexSet;
    use proptest::prelude::*;

    use super::*;
    use crate::runbook::order::ancestors;

    /// Steps that run after some of those before them, in a shuffled numbering; marks of steps.
    fn plans() -> impl Strategy<Value = (Order, Vec<(usize, usize)>)> {
        (1_usize..24).prop_flat_map(|steps| {
            let edges = prop::collection::vec((0..steps, 0..steps), 0..60);
            let marks = prop::collection::vec((0..steps, 0..MARKS), 0..12);
            let numbers = Just((0..steps).collect::<Vec<_>>()).prop_shuffle();
            (edges, marks, numbers).prop_map(move |(edges, marks, numbers)| {
                let mut order = vec![IndexSet::new(); steps];
                for (one, other) in edges.into_iter().filter(|(one, other)| one != other) {
                    let (first, then) = (one.min(other), one.max(other));
                    order[numbers[then]].insert(numbers[first]);
                }
                (order, marks)
            })
        })
    }

    const MARKS: usize = 130;

    proptest! {
        #[test]
        fn a_step_is_reached_by_the_marks_of_its_ancestors((order, own) in plans()) {
            let steps = order.len();
            let sequence = sequence(&order).unwrap();
            let place = |at| sequence.iter().position(|one| *one == at).unwrap();
            for (at, before) in order.iter().enumerate() {
                prop_assert!(before.iter().all(|one| place(*one) < place(at)));
            }
            let onward = Reach::new(&order, &sequence, MARKS, own.iter().copied(), Direction::Onward);
            let back = Reach::new(&order, &sequence, MARKS, own.iter().copied(), Direction::Back);
            let before: Vec<_> = (0..steps).map(|at| ancestors(&order, at)).collect();
            for at in 0..steps {
                let found = |reach: &Reach| {
                    (0..MARKS).filter(|mark| reach.reaches(at, *mark)).collect::<HashSet<_>>()
                };
                let marks = |is_in: &dyn Fn(usize) -> bool| {
                    own.iter().filter(|(of, _)| is_in(*of)).map(|(_, mark)| *mark).collect()
                };
                prop_assert_eq!(found(&onward), marks(&|of| before[at].contains(&of)));
                prop_assert_eq!(found(&back), marks(&|of| before[of].contains(&at)));
                let owned = (0..MARKS).filter(|mark| onward.owns(at, *mark));
                prop_assert_eq!(owned.collect::<HashSet<_>>(), marks(&|of| of == at));
            }
        }
    }

    #[test]
    fn steps_that_wait_for_each_other_have_no_sequence() {
        let circle: Order = vec![[2].into(), [0].into(), [1].into(), IndexSet::new()];
        assert_eq!(sequence(&circle), None);
    }
}
