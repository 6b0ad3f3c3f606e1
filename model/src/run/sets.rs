//! Steps by where they stand. The sets are kept up to date by every event, so that a decision
//! never walks over all steps.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::run::graph::{Lane, Place};
use crate::run::step_state::Phase;

/// Steps by where they stand, each set in the order of the document or of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sets {
    /// Steps of the runbook that may start, as far as their `foreach` has room.
    pub(super) ready: BTreeSet<usize>,
    /// Steps of undo and handlers that may start.
    pub(super) beside: BTreeSet<usize>,
    pub(super) running: BTreeSet<usize>,
    pub(super) undecided: BTreeSet<usize>,
    pub(super) waiting: BTreeSet<usize>,
    pub(super) in_doubt: BTreeSet<usize>,
    pub(super) due: BTreeSet<(Timestamp, usize)>,
    /// Steps of the runbook that have not begun: first those that stop at a failure, then those
    /// that look at failures.
    pub(super) idle: [BTreeSet<usize>; 2],
    /// How many of `running` are steps of the runbook.
    pub(super) busy: usize,
    groups: Vec<Room>,
}

/// The steps of a `foreach` that may not all run at once.
#[derive(Debug, Clone, Default, PartialEq)]
struct Room {
    limit: usize,
    ready: usize,
    running: usize,
    /// Those that may start when there is room.
    parked: BTreeSet<usize>,
}

impl Sets {
    /// Empty sets, with the limits of the `foreach` groups.
    pub(super) fn new(limits: &[usize]) -> Self {
        let room = |limit: &usize| Room { limit: *limit, ..Room::default() };
        Self { groups: limits.iter().map(room).collect(), ..Self::default() }
    }

    fn of(&mut self, lane: Lane, phase: &Phase) -> Option<&mut BTreeSet<usize>> {
        match phase {
            Phase::Ready if lane == Lane::Main => Some(&mut self.ready),
            Phase::Ready => Some(&mut self.beside),
            Phase::Waiting(_) => Some(&mut self.waiting),
            phase if phase.is_running() => Some(&mut self.running),
            Phase::Undecided(_) => Some(&mut self.undecided),
            Phase::InDoubt => Some(&mut self.in_doubt),
            _ => None,
        }
    }

    /// Adds a step that entered `phase`.
    pub(super) fn add(&mut self, step: usize, place: Place, phase: &Phase, due: Option<Timestamp>) {
        let parks = *phase == Phase::Ready && self.parks(step, place.group);
        if let Some(set) = self.of(place.lane, phase).filter(|_| !parks) {
            set.insert(step);
        }
        if let Some(at) = due {
            self.due.insert((at, step));
        }
        if place.lane == Lane::Main && phase.is_idle() {
            self.idle[usize::from(place.aware)].insert(step);
        }
        if phase.is_running() {
            self.busy += usize::from(place.lane == Lane::Main);
            if let Some(group) = place.group {
                self.groups[group].running += 1;
            }
        }
    }

    /// Whether a step that may start has no room in its group; else the room is taken.
    fn parks(&mut self, step: usize, group: Option<usize>) -> bool {
        let Some(room) = group.map(|group| &mut self.groups[group]) else { return false };
        if room.ready + room.running < room.limit {
            room.ready += 1;
            return false;
        }
        room.parked.insert(step);
        true
    }

    /// Takes a step out that leaves `phase`.
    pub(super) fn remove(
        &mut self,
        step: usize,
        place: Place,
        phase: &Phase,
        due: Option<Timestamp>,
    ) {
        let had = self.of(place.lane, phase).is_some_and(|set| set.remove(&step));
        if let Some(at) = due {
            self.due.remove(&(at, step));
        }
        if place.lane == Lane::Main {
            self.idle[usize::from(place.aware)].remove(&step);
        }
        if phase.is_running() {
            self.busy -= usize::from(place.lane == Lane::Main);
        }
        let Some(room) = place.group.map(|group| &mut self.groups[group]) else { return };
        match phase {
            Phase::Ready if had => room.ready -= 1,
            Phase::Ready => {
                room.parked.remove(&step);
            }
            phase if phase.is_running() => room.running -= 1,
            _ => {}
        }
    }

    /// Lets steps of a group forward that have room now.
    pub(super) fn let_forward(&mut self, group: Option<usize>) {
        let Some(room) = group.map(|group| &mut self.groups[group]) else { return };
        while room.ready + room.running < room.limit {
            let Some(step) = room.parked.pop_first() else { return };
            room.ready += 1;
            self.ready.insert(step);
        }
    }

    /// How many more steps of a group may run at once.
    pub(super) fn room(&self, group: Option<usize>) -> usize {
        group.map_or(usize::MAX, |group| {
            let room = &self.groups[group];
            room.limit.saturating_sub(room.running)
        })
    }
}
