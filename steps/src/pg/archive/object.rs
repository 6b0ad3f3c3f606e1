//! An archived file as an object: a skippable frame of zstd that says what is in it, then the file.
//! <https://datatracker.ietf.org/doc/html/rfc8878#section-3.1.2>

use std::io::{self, Read, Write};

use bytes::Bytes;
use model::step_error::StepError;
use sha2::{Digest, Sha256};

use crate::store::{ObjectReader, ObjectWriter, Store, StoreError, Written, hex};

/// The first of the magic numbers of skippable frames.
const MAGIC: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();
/// How the text in the frame begins.
const FORM: &str = "runbook-wal-1";
/// No such text is longer, in bytes.
const LONGEST: usize = 120;
/// Bytes worked on at once.
pub(super) const CHUNK: usize = 256 * 1024;
/// zstd's fastest ordinary level: the server waits.
const LEVEL: i32 = 1;

/// The frame in front of a file.
fn frame(of: &Written) -> Vec<u8> {
    let text = format!("{FORM} {} {}\n", of.sha256, of.bytes);
    let length = u32::try_from(text.len()).expect("the text is short");
    [&MAGIC[..], &length.to_le_bytes(), text.as_bytes()].concat()
}

/// What the text in a frame says.
fn parse(text: &[u8]) -> Option<Written> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
    let mut words = text.strip_prefix(FORM)?.strip_prefix(' ')?.split(' ');
    let (sha256, bytes) = (words.next()?, words.next()?.parse().ok()?);
    let whole = sha256.len() == 64 && words.next().is_none();
    whole.then(|| Written { bytes, sha256: sha256.to_owned() })
}

/// An object whose frame was read.
pub(super) struct Opened {
    /// What it says is in it.
    pub(super) says: Written,
    rest: Vec<u8>,
    reader: Box<dyn ObjectReader>,
}

/// The object is not what was archived.
pub(super) fn damaged(path: &str, why: &str) -> StepError {
    StepError::permanent("RB0596", format!("`{path}` in the archive is damaged: {why}")).hint(
        "copy the object from another copy of the archive; without it, recovery ends before it",
    )
}

/// Opens an object and reads its frame; nothing when it is not there.
pub(super) async fn open(store: &dyn Store, path: &str) -> Result<Option<Opened>, StepError> {
    let mut reader = match store.open(path).await {
        Err(StoreError::Missing { .. }) => return Ok(None),
        opened => opened?,
    };
    let mut read = Vec::new();
    let length = loop {
        let head = read.first_chunk::<8>();
        let length = head.map(|head| u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
        let length = length.map_or(8, |length| 8 + usize::try_from(length).unwrap_or(usize::MAX));
        if read.len() >= 8 && !read.starts_with(&MAGIC) || length > 8 + LONGEST {
            return Err(damaged(path, "it does not begin as an archived file does"));
        }
        if read.len() >= length.max(9) {
            break length;
        }
        match reader.read().await? {
            Some(chunk) => read.extend_from_slice(&chunk),
            None => return Err(damaged(path, "it is cut off")),
        }
    };
    let rest = read.split_off(length);
    let says = parse(&read[8..]);
    let says = says.ok_or_else(|| damaged(path, "its first frame does not say what is in it"))?;
    Ok(Some(Opened { says, rest, reader }))
}

impl Opened {
    /// Decompresses the file into `out`; fails when it is not what the frame says.
    pub(super) async fn copy(
        mut self,
        path: &str,
        out: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<Result<(), io::Error>, StepError> {
        let broken = |error: io::Error| damaged(path, &format!("it does not decompress: {error}"));
        let mut sink = Hashed { out, digest: Sha256::new(), bytes: 0, failed: None };
        let mut decoder = zstd::stream::write::Decoder::new(&mut sink).map_err(broken)?;
        let mut chunk = Some(Bytes::from(std::mem::take(&mut self.rest)));
        while let Some(bytes) = chunk {
            if let Err(error) = decoder.write_all(&bytes) {
                drop(decoder);
                return match sink.failed {
                    Some(failed) => Ok(Err(failed)),
                    None => Err(broken(error)),
                };
            }
            chunk = self.reader.read().await?;
        }
        let flushed = decoder.flush();
        drop(decoder);
        if let Some(failed) = sink.failed {
            return Ok(Err(failed));
        }
        flushed.map_err(broken)?;
        let found = Written { bytes: sink.bytes, sha256: hex(sink.digest.finalize()) };
        if found != self.says {
            let why = format!(
                "it has {} bytes with SHA-256 `{}`, archived were {} with `{}`",
                found.bytes, found.sha256, self.says.bytes, self.says.sha256
            );
            return Err(damaged(path, &why));
        }
        Ok(Ok(()))
    }
}

/// Hashes what goes through, and keeps why it could not be written.
struct Hashed<'a> {
    out: &'a mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    digest: Sha256,
    bytes: u64,
    failed: Option<io::Error>,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = (self.out)(bytes) {
            self.failed = Some(error);
            return Err(io::ErrorKind::Other.into());
        }
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Size and SHA-256 of a file, and its first bytes.
pub(super) fn measure(file: &mut impl Read, first: usize) -> io::Result<(Written, Vec<u8>)> {
    let (mut digest, mut bytes, mut head) = (Sha256::new(), 0, Vec::new());
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((Written { bytes, sha256: hex(digest.finalize()) }, head));
        }
        digest.update(&chunk[..read]);
        bytes += read as u64;
        let wanted = first.saturating_sub(head.len()).min(read);
        head.extend_from_slice(&chunk[..wanted]);
    }
}

/// Writes the frame and the compressed file; gives what was read this time.
pub(super) async fn write(
    writer: &mut Box<dyn ObjectWriter>,
    file: &mut impl Read,
    says: &Written,
) -> Result<Result<Written, io::Error>, StoreError> {
    let mut encoder = match zstd::Encoder::new(frame(says), LEVEL) {
        Ok(encoder) => encoder,
        Err(error) => return Ok(Err(error)),
    };
    let (mut digest, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
    if let Err(error) = encoder.include_checksum(true) {
        return Ok(Err(error));
    }
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        digest.update(&chunk[..read]);
        bytes += read as u64;
        if let Err(error) = encoder.write_all(&chunk[..read]) {
            return Ok(Err(error));
        }
        if encoder.get_ref().len() >= CHUNK {
            writer.write(std::mem::take(encoder.get_mut()).into()).await?;
        }
    }
    match encoder.finish() {
        Ok(rest) => writer.write(rest.into()).await?,
        Err(error) => return Ok(Err(error)),
    }
    Ok(Ok(Written { bytes, sha256: hex(digest.finalize()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_says_what_is_in_the_object_and_nothing_else_does() {
        let of = Written { bytes: 16 << 20, sha256: "a".repeat(64) };
        let frame = frame(&of);
        assert_eq!(&frame[..4], [0x50, 0x2A, 0x4D, 0x18]);
        assert!(frame.len() < LONGEST);
        assert_eq!(parse(&frame[8..]), Some(of));
        for text in ["", "runbook-wal-1 abc 5\n", "runbook-wal-2 a 5\n", "runbook-wal-1 a\n"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
