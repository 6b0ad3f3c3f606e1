//! Pictures of recorded histories at the sizes of real terminals. `SNAPSHOTS=overwrite cargo test
//! -p runbook live` renews `cli/show/live/pictures/`.

mod history;

use snapbox::Assert;
use snapbox::file;

use crate::show::live::picture::Size;
use crate::show::live::text::{Line, Signs, columns};
use history::History;

const WIDE: Size = Size { width: 200, height: 50 };
const USUAL: Size = Size { width: 80, height: 24 };
const SMALL: Size = Size { width: 40, height: 10 };

/// The picture as text, after it was seen to fit.
#[track_caller]
fn picture(history: &History, size: Size) -> String {
    let lines = history.view.render(history.now(), size, &Signs::UNICODE);
    assert!(lines.len() < size.height, "{} lines of {}", lines.len(), size.height);
    let texts: Vec<String> = lines.iter().map(Line::plain).collect();
    for text in &texts {
        assert!(columns(text) < size.width, "{} columns: {text}", columns(text));
    }
    texts.iter().map(|text| text.trim_end().to_owned() + "\n").collect()
}

/// A history at three sizes, one below the other.
#[track_caller]
fn pictures(history: &History) -> String {
    [("200x50", WIDE), ("80x24", USUAL), ("40x10", SMALL)]
        .map(|(name, size)| format!("== {name}\n{}", picture(history, size)))
        .concat()
}

fn same(text: String, expected: snapbox::Data) {
    Assert::new().action_env("SNAPSHOTS").eq(text, expected.raw());
}

#[test]
fn a_backup_that_runs() {
    same(pictures(&history::backup()), file!["pictures/backup.txt"]);
}

#[test]
fn every_way_a_step_can_stand() {
    same(pictures(&history::every_status()), file!["pictures/every_status.txt"]);
}

#[test]
fn people_are_waited_for() {
    same(pictures(&history::waits()), file!["pictures/waits.txt"]);
}

#[test]
fn a_failure() {
    same(pictures(&history::failed()), file!["pictures/failed.txt"]);
}

#[test]
fn finished_steps_are_undone() {
    same(pictures(&history::undoing()), file!["pictures/undoing.txt"]);
}

#[test]
fn held_until_somebody_has_chosen() {
    same(pictures(&history::held()), file!["pictures/held.txt"]);
}

#[test]
fn a_step_in_doubt() {
    same(pictures(&history::in_doubt()), file!["pictures/in_doubt.txt"]);
}

#[test]
fn a_thousand_steps() {
    same(pictures(&history::thousand()), file!["pictures/thousand.txt"]);
}

#[test]
fn late_against_its_objectives_and_being_stopped() {
    same(pictures(&history::late()), file!["pictures/late.txt"]);
}

#[test]
fn what_stays_when_it_ended() {
    let shown = |history: &History| {
        let lines = history.view.summary(history.now(), 80, &Signs::UNICODE);
        lines.iter().map(|line| line.plain().trim_end().to_owned() + "\n").collect::<String>()
    };
    let all = [history::done(), history::failed(), history::thousand()];
    same(all.iter().map(shown).collect::<Vec<_>>().join("\n"), file!["pictures/summary.txt"]);
}

#[test]
fn every_size_holds_every_history() {
    let histories = [
        history::backup(),
        history::every_status(),
        history::waits(),
        history::failed(),
        history::undoing(),
        history::held(),
        history::in_doubt(),
        history::thousand(),
        history::late(),
        history::wide_letters(),
    ];
    for history in &histories {
        for width in [2, 3, 7, 20, 39, 59, 60, 61, 81, 132, 400] {
            for height in [2, 3, 5, 9, 11, 12, 25, 70] {
                picture(history, Size { width, height });
            }
        }
    }
}

#[test]
fn wide_letters_and_long_ids() {
    same(pictures(&history::wide_letters()), file!["pictures/wide_letters.txt"]);
}

#[test]
fn colours_say_what_is_late_and_what_failed() {
    let history = history::late();
    let lines = history.view.render(history.now(), USUAL, &Signs::ASCII);
    let shown: String = lines.iter().map(|line| line.shown(true) + "\n").collect();
    same(shown.replace('\x1b', "<esc>"), file!["pictures/late_colours.txt"]);
}
