//! Masking a stream that comes in pieces, with bounded memory.

use crate::redact::{MASK, Redactor, Search};

/// Masks one stream. A secret is found wherever the pieces are cut; what overlaps a secret is
/// masked as well. It holds back fewer bytes than the longest form of a secret.
pub struct Masker {
    redactor: Redactor,
    held: Vec<u8>,
    /// Bytes at the front of `held` that belong to a secret found before.
    covered: usize,
    masking: bool,
}

impl Masker {
    /// A masker of what `redactor` knows whenever a piece comes.
    pub fn new(redactor: Redactor) -> Self {
        Self { redactor, held: Vec::new(), covered: 0, masking: false }
    }

    /// Takes a piece, gives what is certain to hold no secret.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let Some(search) = self.redactor.search() else { return std::mem::take(&mut self.held) };
        let certain = self.held.len().saturating_sub(search.longest - 1);
        self.release(&search, certain)
    }

    /// Gives what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        let Some(search) = self.redactor.search() else { return std::mem::take(&mut self.held) };
        self.release(&search, self.held.len())
    }

    /// Every secret that begins before `certain` lies whole in `held`.
    fn release(&mut self, search: &Search, certain: usize) -> Vec<u8> {
        let mut output = Vec::with_capacity(certain);
        let (mut at, mut covered) = (0, self.covered);
        let mut spans: Vec<(usize, usize)> = search
            .automaton
            .find_overlapping_iter(&self.held)
            .map(|found| (found.start(), found.end()))
            .filter(|(start, _)| *start < certain)
            .collect();
        spans.sort_unstable();
        for (start, end) in spans {
            self.emit(at, covered, start, &mut output);
            at = at.max(start);
            covered = covered.max(end);
        }
        self.emit(at, covered, certain, &mut output);
        self.held.drain(..certain);
        self.covered = covered.saturating_sub(certain);
        output
    }

    /// Writes `at..end` of `held`, of which everything before `covered` is secret.
    fn emit(&mut self, at: usize, covered: usize, end: usize, output: &mut Vec<u8>) {
        if at >= end {
            return;
        }
        if at < covered && !self.masking {
            output.extend_from_slice(MASK.as_bytes());
            self.masking = true;
        }
        let plain = at.max(covered);
        if plain < end {
            output.extend_from_slice(&self.held[plain..end]);
            self.masking = false;
        }
    }
}
