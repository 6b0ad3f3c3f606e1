//! Channels of bytes as readers and writers, for a thread that may block.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Bytes that travel together.
const BATCH: usize = 256 * 1024;

/// What comes out of a channel.
pub(super) struct Source {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Source {
    pub(super) fn new(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self { chunks, current: Bytes::new() }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            let Some(chunk) = self.chunks.blocking_recv() else { return Ok(0) };
            self.current = chunk;
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}

/// What goes into a channel. What was not flushed is lost.
pub(super) struct Sink {
    chunks: mpsc::Sender<Bytes>,
    gathered: Vec<u8>,
}

impl Sink {
    pub(super) fn new(chunks: mpsc::Sender<Bytes>) -> Self {
        Self { chunks, gathered: Vec::new() }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= BATCH {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let gathered = std::mem::take(&mut self.gathered);
        if gathered.is_empty() {
            return Ok(());
        }
        self.chunks.blocking_send(gathered.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
