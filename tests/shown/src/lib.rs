//! The case that the page of an error code shows: the exact text that a test made the product
//! say, kept in `tests/shown/cases/RBnnnn.txt`. `SNAPSHOTS=overwrite` writes the files.

use std::path::{Path, PathBuf};

use regex::Regex;
use snapbox::Data;

/// What differs from run to run, and what stands for it.
const MOVING: &[(&str, &str)] = &[
    // Folders of a test.
    (r"/[-\w/.]*/\.tmp\w{6}", "/srv"),
    // Runs.
    (r"\b01[0-9A-HJKMNP-TV-Z]{24}\b", "01JD5Z8Q4W7N2V9XK3M6T1R0AB"),
    // Sets.
    (r"\b\d{8}T\d{6}Z-[0-9a-f]{8}\b", "20261120T020000Z-5f0c1d2e"),
    (r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\b", "2026-11-20T02:00:00Z"),
    (r"\b[0-9a-f]{64}\b", "5f0c1d2e...9b7a"),
    (r"\b127\.0\.0\.1:\d+\b", "127.0.0.1:5432"),
    (r"\bport \d+\b", "port 5432"),
    (r"\bprocess \d+ of `\S+` on `\S+`", "process 4711 of `ann` on `ops1`"),
    (r"\bprocess \d+\b", "process 4711"),
    (r"\b\d{19}\b", "7571234567890123456"),
    // Keys of a test.
    (r"\bAAAA[0-9A-Za-z+/=]{60,}", "AAAAB3NzaC1yc2EAAAADAQABAAAAgQD"),
];

/// Where the cases lie.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// Asserts that `text` is what the page of `code` shows, apart from what differs from run to run.
#[track_caller]
pub fn case(code: &str, text: impl AsRef<str>) {
    let text = settled(text.as_ref());
    assert!(text.contains(&format!("[{code}]")), "`{code}` is not in:\n{text}");
    let file = folder().join(format!("{code}.txt"));
    snapbox::assert_data_eq!(text, Data::read_from(&file, None).raw());
}

/// The text as it could come from any run.
fn settled(text: &str) -> String {
    let settle = |text: String, (pattern, instead): &(&str, &str)| {
        let pattern = Regex::new(pattern).expect("the pattern is valid");
        pattern.replace_all(&text, *instead).into_owned()
    };
    let text = MOVING.iter().fold(text.to_owned(), settle);
    text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_settled() {
        let text = "run 01KAHRX4VQ2J7T5ZC9M1N8P3WD at 127.0.0.1:49152 in /tmp/.tmpAb12Cd/state\n\n";
        let settled = settled(text);
        assert_eq!(settled, "run 01JD5Z8Q4W7N2V9XK3M6T1R0AB at 127.0.0.1:5432 in /srv/state\n");
    }
}
