//! The checksums of S3: which are wanted, what they are, and whether they are what was said.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::{S3Result, TrailingHeaders, s3_error};

/// The algorithms, in the order of [`Sums`].
pub(super) const NAMES: [&str; 5] = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];
/// What S3 computes when nobody asks for anything.
const USUAL: usize = 2;

/// Checksums in base64, one place for each algorithm.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sums(pub(super) [Option<String>; 5]);

/// The checksums that any message of S3 has.
macro_rules! sums_of {
    ($message:expr) => {
        $crate::s3::sums::Sums([
            $message.checksum_crc32.clone(),
            $message.checksum_crc32c.clone(),
            $message.checksum_crc64nvme.clone(),
            $message.checksum_sha1.clone(),
            $message.checksum_sha256.clone(),
        ])
    };
}

/// Writes checksums into any message of S3.
macro_rules! tell_sums {
    ($message:expr, $sums:expr) => {
        let $crate::s3::sums::Sums([crc32, crc32c, crc64nvme, sha1, sha256]) = $sums.clone();
        $message.checksum_crc32 = crc32;
        $message.checksum_crc32c = crc32c;
        $message.checksum_crc64nvme = crc64nvme;
        $message.checksum_sha1 = sha1;
        $message.checksum_sha256 = sha256;
    };
}

pub(super) use {sums_of, tell_sums};

impl Sums {
    /// Whether there is any.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The first algorithm that has a checksum.
    pub(super) fn algorithm(&self) -> Option<usize> {
        self.0.iter().position(Option::is_some)
    }
}

/// What a writer says of the bytes it sends.
#[derive(Default)]
pub(super) struct Said {
    pub(super) sums: Sums,
    pub(super) algorithm: Option<String>,
    pub(super) md5: Option<String>,
    pub(super) trailer: Option<String>,
    pub(super) trailing: Option<TrailingHeaders>,
}

impl Said {
    /// Which algorithms are computed.
    fn wanted(&self) -> [bool; 5] {
        let trailer = self.trailer.as_deref().unwrap_or_default().to_ascii_uppercase();
        let mut wanted = [false; 5];
        for (at, name) in NAMES.iter().enumerate() {
            wanted[at] = self.sums.0[at].is_some()
                || self.algorithm.as_deref() == Some(name)
                || trailer.split(',').any(|one| one.trim() == format!("X-AMZ-CHECKSUM-{name}"));
        }
        if !wanted.contains(&true) {
            wanted[USUAL] = true;
        }
        wanted
    }

    /// Whether the writer vouches for the bytes at all.
    pub(super) fn vouches(&self) -> bool {
        !self.sums.is_empty() || self.md5.is_some() || self.trailer.is_some()
    }

    /// Starts to compute.
    pub(super) fn hashing(&self) -> Hashing {
        Hashing::of(self.wanted())
    }

    /// Compares what came with what was said.
    pub(super) fn check(self, hashed: &Hashed) -> S3Result<()> {
        let trailing = self.trailing.and_then(|trailing| trailing.take());
        for (at, name) in NAMES.iter().enumerate() {
            let later = trailing.as_ref().and_then(|headers| {
                let header = headers.get(format!("x-amz-checksum-{}", name.to_ascii_lowercase()));
                header.and_then(|value| value.to_str().ok()).map(str::to_owned)
            });
            let said = self.sums.0[at].clone().or(later);
            if said.is_some() && said != hashed.sums.0[at] {
                return Err(s3_error!(
                    BadDigest,
                    "The {} you specified did not match the calculated checksum.",
                    name
                ));
            }
        }
        match self.md5 {
            Some(md5) if md5 != STANDARD.encode(hashed.md5) => {
                Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match."))
            }
            _ => Ok(()),
        }
    }
}

/// Checksums that are being computed.
pub(super) struct Hashing {
    md5: Md5,
    sums: ChecksumHasher,
}

/// Checksums that have been computed.
pub(super) struct Hashed {
    pub(super) md5: [u8; 16],
    pub(super) sums: Sums,
}

impl Hashing {
    fn of([crc32, crc32c, crc64nvme, sha1, sha256]: [bool; 5]) -> Self {
        let sums = ChecksumHasher {
            crc32: crc32.then(Crc32::new),
            crc32c: crc32c.then(Crc32c::new),
            crc64nvme: crc64nvme.then(Crc64Nvme::new),
            sha1: sha1.then(Sha1::new),
            sha256: sha256.then(Sha256::new),
        };
        Self { md5: Md5::new(), sums }
    }

    /// Starts to compute one algorithm, or the usual one.
    pub(super) fn one(algorithm: Option<usize>) -> Self {
        let mut wanted = [false; 5];
        wanted[algorithm.unwrap_or(USUAL)] = true;
        Self::of(wanted)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.sums.update(bytes);
    }

    pub(super) fn finish(self) -> Hashed {
        let sums = self.sums.finalize();
        Hashed { md5: self.md5.finalize(), sums: sums_of!(sums) }
    }
}

/// The checksum of an object in parts, of those of its parts: `<base64>-<parts>`.
pub(super) fn composite(algorithm: usize, parts: &[&Sums]) -> Option<Sums> {
    let mut hashing = Hashing::one(Some(algorithm));
    for part in parts {
        hashing.update(&STANDARD.decode(part.0[algorithm].as_ref()?).ok()?);
    }
    let mut sums = hashing.finish().sums;
    let sum = sums.0[algorithm].take()?;
    sums.0[algorithm] = Some(format!("{sum}-{}", parts.len()));
    Some(sums)
}

/// The `ETag` of an object in parts.
pub(super) fn composite_etag(parts: &[[u8; 16]]) -> String {
    format!("{}-{}", hex(&Md5::checksum(&parts.concat())), parts.len())
}

/// Bytes as `ETag`s have them.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
