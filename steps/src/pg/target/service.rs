//! libpq's connection service file.
//! <https://www.postgresql.org/docs/current/libpq-pgservice.html>

use std::path::PathBuf;

use super::keywords::Keywords;

/// Adds what the section `name` of the first file that has one says.
pub(super) fn give(
    name: &str,
    files: &[(PathBuf, String)],
    keywords: &mut Keywords,
) -> Result<(), String> {
    for (path, text) in files {
        let refused = |why: String| format!("the service file `{}`: {why}", path.display());
        if let Some(lines) = section(text, name) {
            for line in lines {
                let pair = line.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
                let (keyword, value) =
                    pair.ok_or_else(|| refused(format!("`{name}` has a line without `=`")))?;
                if keyword == "service" {
                    return Err(refused(format!("`{name}` names another service")));
                }
                keywords.give(keyword, value.to_owned().into()).map_err(refused)?;
            }
            return Ok(());
        }
    }
    let looked: Vec<_> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    let looked =
        if looked.is_empty() { "there is no such file".to_owned() } else { looked.join(", ") };
    Err(format!("the service `{name}` is in no service file ({looked})"))
}

fn section<'t>(text: &'t str, name: &str) -> Option<Vec<&'t str>> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| {
        line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) == Some(name)
    })?;
    let inside = lines.take_while(|line| !line.starts_with('['));
    Some(inside.filter(|line| !line.is_empty() && !line.starts_with('#')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# comment\n[a]\nhost=one\n\n[shop]\n# inside\nhost = db\nport=6000\n[z]\n";

    fn given(name: &str, text: &str) -> Result<Keywords, String> {
        let mut keywords = Keywords::default();
        give(name, &[("/etc/pg_service.conf".into(), text.to_owned())], &mut keywords)?;
        Ok(keywords)
    }

    #[test]
    fn a_section_gives_its_lines() {
        let mut keywords = given("shop", FILE).unwrap();
        assert_eq!(keywords.text("host").as_deref(), Some("db"));
        assert_eq!(keywords.text("port").as_deref(), Some("6000"));
        assert_eq!(given("z", FILE).unwrap().text("host"), None);
    }

    #[test]
    fn what_does_not_read_is_named() {
        let refused = |name, text| given(name, text).err().unwrap();
        assert_eq!(
            refused("none", FILE),
            "the service `none` is in no service file (/etc/pg_service.conf)"
        );
        let file = "the service file `/etc/pg_service.conf`";
        assert_eq!(refused("a", "[a]\nhost\n"), format!("{file}: `a` has a line without `=`"));
        assert_eq!(refused("a", "[a]\nservice=b\n"), format!("{file}: `a` names another service"));
        assert_eq!(
            refused("a", "[a]\nsslcrl=x\n"),
            format!("{file}: the parameter `sslcrl` is not supported")
        );
    }
}
