//! A run as events, the state they add up to, and what to do next. Pure.

pub mod decide;
pub mod event;
mod graph;
mod sets;
mod settle;
pub mod stage;
pub mod state;
pub mod step_state;
mod transition;
mod turn;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod stage_tests;
#[cfg(test)]
pub(crate) mod testing;
