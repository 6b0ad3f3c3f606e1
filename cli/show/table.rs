//! Tables for a terminal and for Markdown.

use comfy_table::{Table, presets};

fn table(preset: &str, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(preset).set_header(header).add_rows(rows);
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Columns without lines.
pub(crate) fn plain(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    table(presets::NOTHING, header, rows)
}

/// A Markdown table.
pub(crate) fn markdown(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    table(presets::ASCII_MARKDOWN, header, rows)
}
