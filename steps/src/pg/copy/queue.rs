//! Which object is copied next. Two sessions that copy into one table wait for each other whenever
//! it grows, so each works on a table of its own as long as there are enough.

/// What is still to be copied, by table.
pub(super) struct Queue<T, P>(Vec<Waiting<T, P>>);

struct Waiting<T, P> {
    table: T,
    /// Its objects with their sizes, the largest last.
    parts: Vec<(u64, P)>,
    /// Sessions that copy into it.
    busy: usize,
}

/// An object that somebody copies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken<T, P> {
    at: usize,
    pub(super) table: T,
    pub(super) part: P,
}

impl<T: Copy, P> Queue<T, P> {
    /// Tables with their objects, each with its size.
    pub(super) fn new(tables: impl IntoIterator<Item = (T, Vec<(u64, P)>)>) -> Self {
        let waiting = |(table, mut parts): (T, Vec<(u64, P)>)| {
            parts.sort_by_key(|(bytes, _)| *bytes);
            Waiting { table, parts, busy: 0 }
        };
        Self(tables.into_iter().map(waiting).collect())
    }

    /// An object of the table that the fewest work on, of several the one with the most to do.
    pub(super) fn take(&mut self) -> Option<Taken<T, P>> {
        let left = |one: &Waiting<T, P>| one.parts.iter().map(|(bytes, _)| bytes).sum::<u64>();
        let waiting = self.0.iter_mut().enumerate().filter(|(_, one)| !one.parts.is_empty());
        let (at, next) = waiting.min_by_key(|(_, one)| (one.busy, u64::MAX - left(one)))?;
        next.busy += 1;
        let (_, part) = next.parts.pop()?;
        Some(Taken { at, table: next.table, part })
    }

    /// That object is in; true when it was the last of its table.
    pub(super) fn is_in(&mut self, taken: &Taken<T, P>) -> bool {
        let one = &mut self.0[taken.at];
        one.busy -= 1;
        one.busy == 0 && one.parts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue<&'static str, u32> {
        Queue::new([("small", vec![(60, 4)]), ("large", vec![(50, 1), (70, 2), (40, 3)])])
    }

    fn taken(queue: &mut Queue<&'static str, u32>) -> Taken<&'static str, u32> {
        queue.take().unwrap()
    }

    #[test]
    fn each_works_on_a_table_of_its_own_while_there_are_enough() {
        let mut queue = queue();
        let (first, second) = (taken(&mut queue), taken(&mut queue));
        assert_eq!((first.table, first.part), ("large", 2), "most is left there");
        assert_eq!((second.table, second.part), ("small", 4));
        assert!(!queue.is_in(&first));
        let third = taken(&mut queue);
        assert_eq!((third.table, third.part), ("large", 1), "it goes on there");
        assert!(queue.is_in(&second), "the last of its table");
        let fourth = taken(&mut queue);
        assert_eq!((fourth.table, fourth.part), ("large", 3), "rather together than idle");
        assert!(queue.take().is_none());
        assert!(!queue.is_in(&third), "one is not in yet");
        assert!(queue.is_in(&fourth));
    }
}
