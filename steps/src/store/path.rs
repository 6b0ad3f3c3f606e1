//! What a path in a store may be: the same in every kind of store.

use super::error::StoreError;

/// The parts of a path; refused when one of them could lead out.
pub(crate) fn parts(path: &str) -> Result<Vec<&str>, StoreError> {
    let refused = |why| StoreError::Refused { path: path.to_owned(), why };
    let parts: Vec<&str> = path.split('/').collect();
    for part in &parts {
        match *part {
            "" => return Err(refused("a part of it is empty")),
            "." | ".." => return Err(refused("it has a `.` or `..`")),
            part if part.starts_with('.') => return Err(refused("a part starts with a dot")),
            part if part.contains('\0') => return Err(refused("it has a zero byte")),
            _ => {}
        }
    }
    Ok(parts)
}

/// A path as its folders and its last part.
pub(crate) fn split(path: &str) -> Result<(Vec<&str>, &str), StoreError> {
    let mut parts = parts(path)?;
    let name = parts.pop().expect("a path has at least one part");
    Ok((parts, name))
}

/// The name of the object, for whoever keeps no folders.
pub(crate) fn checked(path: &str) -> Result<&str, StoreError> {
    parts(path).map(|_| path)
}
