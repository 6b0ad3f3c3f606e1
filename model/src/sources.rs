//! The files that a runbook is made of, as the language sees them; reading them is the business
//! of whoever calls it.

/// Reads the runbooks that a runbook includes.
pub trait Sources {
    /// The name of the runbook itself, inside its folder: `dr-failover.yaml`.
    fn top(&self) -> &str;
    /// The text of a file. The path is relative to the folder of the runbook itself, joined by
    /// `/`, and has neither `.` nor `..`. The error says why there is no text.
    fn read(&self, path: &str) -> Result<String, String>;
    /// The path as people know it.
    fn shown(&self, path: &str) -> String;
}

/// No file can be read: for a text that stands by itself.
pub struct NoSources;

impl Sources for NoSources {
    fn top(&self) -> &'static str {
        ""
    }

    fn read(&self, _path: &str) -> Result<String, String> {
        Err("a text that stands by itself includes no files".to_owned())
    }

    fn shown(&self, path: &str) -> String {
        path.to_owned()
    }
}

/// The path of `file` as `from` names it; the reason when that is not inside the folder.
pub(crate) fn resolve(from: &str, file: &str) -> Result<String, &'static str> {
    if file.starts_with(['/', '~', '\\']) {
        return Err("it is an absolute path");
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or("it leads out of the folder of the runbook that is run")?;
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() || file.ends_with('/') {
        return Err("it names no file");
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_inside_the_folder() {
        for (from, file, path) in [
            ("dr.yaml", "failback.yaml", Some("failback.yaml")),
            ("dr.yaml", "./parts//a.yaml", Some("parts/a.yaml")),
            ("parts/a.yaml", "b.yaml", Some("parts/b.yaml")),
            ("parts/a.yaml", "../b.yaml", Some("b.yaml")),
            ("dr.yaml", "parts/../b.yaml", Some("b.yaml")),
            ("parts/a.yaml", "../../b.yaml", None),
            ("dr.yaml", "../dr.yaml", None),
            ("dr.yaml", "/etc/passwd", None),
            ("dr.yaml", "~/a.yaml", None),
            ("dr.yaml", "", None),
            ("dr.yaml", "parts/", None),
            ("dr.yaml", "parts/..", None),
        ] {
            assert_eq!(resolve(from, file).ok().as_deref(), path, "{from} {file}");
        }
    }
}
