//! The live view of a run on a terminal. What is known of the run (`view`) is folded from events
//! and progress; how it looks at a moment (`picture`) is a pure function of that, the time and the
//! size of the terminal; `screen` draws it, from a thread of its own, so that a terminal that
//! stops or goes away is nothing to the run.

mod choose;
mod head;
pub(crate) mod meter;
mod painter;
mod picture;
mod row;
mod screen;
mod text;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use screen::{Live, Screen, Talk};
