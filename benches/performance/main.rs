//! What was measured: ratios against a baseline of the same run, written to `docs/performance.md`.
//! `make bench` runs it in the release profile; no test asserts a time.
#![expect(
    clippy::disallowed_methods,
    reason = "a bench measures time and starts the programs it is compared with"
)]

mod backup;
mod language;
mod measure;
mod objects;
mod scheduling;
mod table;

use measure::Section;

/// Measures one thing.
type Measured = fn() -> Section;

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let all: [(&str, Measured); 5] = [
        ("language", language::section),
        ("scheduling", scheduling::section),
        ("backup", backup::section),
        ("table", table::section),
        ("objects", objects::section),
    ];
    let chosen =
        all.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name));
    let sections: Vec<Section> = chosen.map(|(_, section)| section()).collect();
    let page = measure::page(&sections);
    print!("{page}");
    if wanted.is_empty() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md"), page)
            .expect("the page is written");
    }
}
