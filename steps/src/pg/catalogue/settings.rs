//! Settings of a database, which `pg_restore` carries only into a database of the same name.

use model::set::{CatalogueObject, Category, Contents};

use crate::pg::sql::{identifier, literal};

/// Settings whose value is a list of names that PostgreSQL keeps quoted, `GUC_LIST_QUOTE` in
/// its source; all others are one text.
const LISTS: &[&str] = &[
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The statements that give `database` the settings that the contents record, for itself and for
/// roles in it. The roles must exist.
pub fn settings_sql(contents: &Contents, database: &str) -> Vec<String> {
    let database = identifier(database);
    let statement = |object: &CatalogueObject| {
        let value = object.attributes.get("value")?;
        match object.category {
            Category::DatabaseSetting => {
                let name = &object.identity;
                let setting = assignment(name, value);
                Some(format!("ALTER DATABASE {database} SET {setting}"))
            }
            Category::RoleSetting => {
                let setting = assignment(object.attributes.get("setting")?, value);
                let role = identifier(object.attributes.get("role")?);
                Some(format!("ALTER ROLE {role} IN DATABASE {database} SET {setting}"))
            }
            _ => None,
        }
    };
    contents.objects.iter().filter_map(statement).collect()
}

fn assignment(name: &str, value: &str) -> String {
    let value = if LISTS.contains(&name.to_ascii_lowercase().as_str()) {
        let names = names_in(value);
        names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
    } else {
        literal(value)
    };
    let name = name.split('.').map(identifier).collect::<Vec<_>>().join(".");
    format!("{name} TO {value}")
}

/// The names in a list as PostgreSQL keeps it: `"$user", public`.
fn names_in(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = list.trim_start();
    while !rest.is_empty() {
        let (name, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_name(quoted)
        } else {
            let (name, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
            (name.trim_end().to_owned(), after)
        };
        names.push(name);
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    names
}

/// The name up to the closing quote, and what follows it.
fn quoted_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut rest = text;
    while let Some(end) = rest.find('"') {
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return (name, rest),
        }
    }
    name.push_str(rest);
    (name, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_set_name_by_name() {
        for (kept, set) in [
            ("app, public", "'app', 'public'"),
            ("\"$user\", \"a, \"\"b\"\"\",c", "'$user', 'a, \"b\"', 'c'"),
            ("\"\"", "''"),
        ] {
            assert_eq!(assignment("search_path", kept), format!("\"search_path\" TO {set}"));
        }
    }

    #[test]
    fn other_settings_are_one_text() {
        assert_eq!(assignment("work_mem", "8MB"), "\"work_mem\" TO '8MB'");
        assert_eq!(assignment("my.flag", "it's, on"), "\"my\".\"flag\" TO 'it''s, on'");
    }
}
