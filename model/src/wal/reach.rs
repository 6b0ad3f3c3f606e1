//! How far archived segments lead, and where some are missing.

use std::collections::BTreeSet;

use super::history::History;
use super::name::Segment;

/// How far one gets from a segment on without a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// The segments that follow each other, in order.
    pub path: Vec<Segment>,
    /// The first that is missing although later ones are there.
    pub missing: Option<Segment>,
}

/// Segments that are missing between others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first.
    pub from: Segment,
    /// The last.
    pub to: Segment,
}

/// The segment of that number as recovery along `history` would read it.
fn find(
    have: &BTreeSet<Segment>,
    history: &History,
    number: u64,
    segment_bytes: u64,
) -> Option<Segment> {
    let on = |timeline| Segment::of(timeline, number, segment_bytes);
    let candidates = history.candidates(number, segment_bytes);
    candidates.into_iter().map(on).find(|segment| have.contains(segment))
}

/// The last number of a segment on the way of `history`.
fn last_number(have: &BTreeSet<Segment>, history: &History, segment_bytes: u64) -> Option<u64> {
    let on_the_way = |segment: &&Segment| {
        let number = segment.number(segment_bytes);
        history.candidates(number, segment_bytes).contains(&segment.timeline)
    };
    have.iter().filter(on_the_way).map(|segment| segment.number(segment_bytes)).max()
}

/// The segment of that number on the timeline where it would be looked for first.
fn expected(history: &History, number: u64, segment_bytes: u64) -> Segment {
    let timeline = history.candidates(number, segment_bytes).first().copied();
    Segment::of(timeline.unwrap_or(history.timeline), number, segment_bytes)
}

/// How far the segments lead along `history`, from number `from` on.
pub fn reach(have: &BTreeSet<Segment>, history: &History, from: u64, segment_bytes: u64) -> Reach {
    let mut path = Vec::new();
    let mut number = from;
    while let Some(segment) = find(have, history, number, segment_bytes) {
        path.push(segment);
        number += 1;
    }
    let later = last_number(have, history, segment_bytes).is_some_and(|last| last > number);
    let missing = later.then(|| expected(history, number, segment_bytes));
    Reach { path, missing }
}

/// Every gap along `history`, from number `from` to the last segment there is.
pub fn gaps(
    have: &BTreeSet<Segment>,
    history: &History,
    from: u64,
    segment_bytes: u64,
) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    let last = last_number(have, history, segment_bytes).unwrap_or(from);
    let mut open = false;
    for number in from..last {
        if find(have, history, number, segment_bytes).is_some() {
            open = false;
            continue;
        }
        let segment = expected(history, number, segment_bytes);
        match gaps.last_mut().filter(|_| open) {
            Some(gap) => gap.to = segment,
            None => gaps.push(Gap { from: segment, to: segment }),
        }
        open = true;
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 16 << 20;

    fn segments(on: &[(u32, std::ops::Range<u64>)]) -> BTreeSet<Segment> {
        let of = |(timeline, numbers): &(u32, std::ops::Range<u64>)| {
            let timeline = *timeline;
            numbers.clone().map(move |number| Segment::of(timeline, number, SIZE))
        };
        on.iter().flat_map(of).collect()
    }

    #[test]
    fn a_missing_segment_is_told_from_the_end_of_the_archive() {
        let first = History::first(1);
        let whole = reach(&segments(&[(1, 3..7)]), &first, 4, SIZE);
        assert_eq!((whole.path.len(), whole.missing), (3, None));
        let broken = reach(&segments(&[(1, 3..5), (1, 6..9)]), &first, 3, SIZE);
        assert_eq!(broken.path.len(), 2);
        assert_eq!(broken.missing, Some(Segment::of(1, 5, SIZE)));
        let nothing = reach(&BTreeSet::new(), &first, 3, SIZE);
        assert_eq!(nothing, Reach::default());
        let all_missing = reach(&segments(&[(1, 6..9)]), &first, 3, SIZE);
        assert_eq!(all_missing.missing, Some(Segment::of(1, 3, SIZE)));
    }

    #[test]
    fn the_way_changes_to_the_timeline_that_was_taken() {
        let history = History::parse(2, "1\t0/5000060\tno reason\n").unwrap();
        // Timeline 1 went on after the fork; that is not on the way.
        let have = segments(&[(1, 3..9), (2, 5..7)]);
        let reached = reach(&have, &history, 3, SIZE);
        let timelines: Vec<u32> = reached.path.iter().map(|it| it.timeline).collect();
        assert_eq!((timelines, reached.missing), (vec![1, 1, 2, 2], None));
    }

    #[test]
    fn gaps_are_told_as_stretches() {
        let have = segments(&[(1, 2..3), (1, 5..6), (1, 7..8)]);
        let found = gaps(&have, &History::first(1), 2, SIZE);
        let segment = |number| Segment::of(1, number, SIZE);
        assert_eq!(
            found,
            [Gap { from: segment(3), to: segment(4) }, Gap { from: segment(6), to: segment(6) }]
        );
        assert_eq!(gaps(&BTreeSet::new(), &History::first(1), 2, SIZE), []);
    }
}
