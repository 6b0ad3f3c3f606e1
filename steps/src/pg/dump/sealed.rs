//! How the instructions read a set that is encrypted.

use model::set::layout::DIRECTORY;
use model::set::manifest::{Encryption, FileKind, Format, Manifest};

use super::instructions::{line, shell_comment, word};

/// Decrypts what `pg_restore` and `psql` read as a file into a folder of its own.
pub(super) fn open_archives(text: &mut String, manifest: &Manifest) {
    let Some(encryption) = &manifest.encryption else { return };
    let encryption = shell_comment(&encryption.to_string());
    line(text, &format!("\n# 1b. The objects are encrypted for {encryption}"));
    if matches!(manifest.encryption, Some(Encryption::Age(_))) {
        line(text, "IDENTITY=${IDENTITY:?file with the identity of age, one of these recipients}");
    }
    line(text, "WORK=$(mktemp -d); trap 'rm -rf \"$WORK\"' EXIT");
    line(text, &format!("mkdir \"$WORK\"/{DIRECTORY}"));
    for file in &manifest.files {
        let is_whole = manifest.format != Format::Plain;
        if matches!(file.kind, FileKind::Schema | FileKind::Blobs | FileKind::Globals)
            || (file.kind == FileKind::Dump && is_whole)
        {
            let (read, to) = (opened(manifest, &file.path), word(file.plain_path()));
            line(text, &format!("{read} > \"$WORK\"/{to}"));
        }
    }
}

/// Where a program finds an archive.
pub(super) fn archive(manifest: &Manifest, name: &str) -> String {
    match manifest.encryption {
        Some(_) => format!("\"$WORK\"/{name}"),
        None => name.to_owned(),
    }
}

/// A command that prints what an object holds; `unpack` reads a file or a pipe.
pub(super) fn read(manifest: &Manifest, path: &str, unpack: &str) -> String {
    match manifest.encryption {
        Some(_) => format!("{} | {unpack}", opened(manifest, path)),
        None => format!("{unpack} {}", word(path)),
    }
}

/// <https://age-encryption.org>, <https://www.gnupg.org>
fn opened(manifest: &Manifest, path: &str) -> String {
    match &manifest.encryption {
        Some(Encryption::Age(_)) => format!("age -d -i \"$IDENTITY\" {}", word(path)),
        Some(Encryption::Gpg(_)) => format!("gpg --batch --quiet --decrypt {}", word(path)),
        None => format!("cat {}", word(path)),
    }
}
