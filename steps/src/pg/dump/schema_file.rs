//! The definitions as a text for people and for version control.

use std::path::Path;

use engine::files;
use model::step_error::StepError;

/// Gathers the text of a schema, line by line.
#[derive(Default)]
pub(super) struct SchemaText {
    kept: Vec<u8>,
    /// What `\restrict` is followed by; new in every dump.
    key: Option<Vec<u8>>,
    line: Vec<u8>,
}

impl SchemaText {
    /// Adds what comes next.
    pub(super) fn add(&mut self, mut chunk: &[u8]) {
        while let Some(end) = chunk.iter().position(|&byte| byte == b'\n') {
            self.line.extend_from_slice(&chunk[..=end]);
            self.end_line();
            chunk = &chunk[end + 1..];
        }
        self.line.extend_from_slice(chunk);
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if self.key.is_none() {
            self.key = line.strip_prefix(b"\\restrict ").map(<[u8]>::to_vec);
            if self.key.is_some() {
                return;
            }
        }
        let ends = line.strip_prefix(b"\\unrestrict ");
        if ends.is_none() || ends != self.key.as_deref() {
            self.kept.extend_from_slice(&line);
        }
    }

    /// Puts the text in the place of the file, whole or not at all.
    pub(super) fn write(mut self, path: &str) -> Result<(), StepError> {
        self.end_line();
        files::write_durably(Path::new(path), &self.kept).map_err(|error| {
            StepError::permanent("RB0591", format!("`schema_file` `{path}` cannot be written"))
                .caused_by(&error)
                .hint("its folder must exist, and the account that runs `runbook` write to it")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_dump_is_left_out_however_the_text_comes() {
        let text = b"--\n\\restrict abc\n\\restrict x\n\\unrestrict x\n\\unrestrict abc\nend";
        for size in [1, 3, 1000] {
            let mut gathered = SchemaText::default();
            text.chunks(size).for_each(|chunk| gathered.add(chunk));
            gathered.end_line();
            assert_eq!(gathered.kept, b"--\n\\restrict x\n\\unrestrict x\nend");
        }
    }
}
