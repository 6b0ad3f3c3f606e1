//! Settings of a database and of roles in it, which `pg_dump` without `--create` leaves out.
//! <https://www.postgresql.org/docs/current/sql-alterdatabase.html>

use model::set::{CatalogueObject, Category};

use super::sql;

/// Settings whose value is a list, each element quoted on its own (`variable_is_guc_list_quote`
/// in PostgreSQL's `dumputils.c`).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// One setting of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The role it is for; everybody when absent.
    pub(super) role: Option<String>,
    name: String,
    value: String,
}

/// The settings that a manifest records.
pub(super) fn settings(objects: &[CatalogueObject]) -> Vec<Setting> {
    objects.iter().filter_map(setting).collect()
}

fn setting(object: &CatalogueObject) -> Option<Setting> {
    let attribute = |name: &str| object.attributes.get(name).cloned();
    let value = attribute("value")?;
    match object.category {
        Category::DatabaseSetting => {
            Some(Setting { role: None, name: object.identity.clone(), value })
        }
        Category::RoleSetting => {
            Some(Setting { role: attribute("role"), name: attribute("setting")?, value })
        }
        _ => None,
    }
}

/// The statements that give `database` the settings that a manifest records. The roles must
/// exist.
pub fn statements(objects: &[CatalogueObject], database: &str) -> Vec<String> {
    let database = sql::identifier(database);
    settings(objects).iter().map(|setting| setting.statement(&database)).collect()
}

impl Setting {
    /// The statement that sets it on the database whose quoted name is `database`.
    pub(super) fn statement(&self, database: &str) -> String {
        let value = if LISTS.contains(&self.name.to_ascii_lowercase().as_str()) {
            let elements: Vec<_> = elements(&self.value).iter().map(|e| sql::literal(e)).collect();
            elements.join(", ")
        } else {
            sql::literal(&self.value)
        };
        let name = self.name.split('.').map(sql::identifier).collect::<Vec<_>>().join(".");
        match &self.role {
            None => format!("ALTER DATABASE {database} SET {name} TO {value}"),
            Some(role) => {
                let role = sql::identifier(role);
                format!("ALTER ROLE {role} IN DATABASE {database} SET {name} TO {value}")
            }
        }
    }
}

/// The elements of a stored list: separated by commas, in double quotes where they need it.
fn elements(value: &str) -> Vec<String> {
    let (mut elements, mut current, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                current.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => elements.push(std::mem::take(&mut current)),
            c if c.is_whitespace() && !quoted => {}
            c => current.push(c),
        }
    }
    elements.push(current);
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(role: Option<&str>, name: &str, value: &str) -> String {
        let role = role.map(str::to_owned);
        let setting = Setting { role, name: name.to_owned(), value: value.to_owned() };
        setting.statement("\"shop\"")
    }

    #[test]
    fn lists_are_quoted_by_element_and_values_whole() {
        assert_eq!(
            statement(None, "search_path", "\"$user\", app, \"a\"\"b,c\""),
            "ALTER DATABASE \"shop\" SET \"search_path\" TO '$user', 'app', 'a\"b,c'"
        );
        assert_eq!(
            statement(None, "work_mem", "64MB"),
            "ALTER DATABASE \"shop\" SET \"work_mem\" TO '64MB'"
        );
        assert_eq!(
            statement(Some("app"), "app.tenant", "it's"),
            "ALTER ROLE \"app\" IN DATABASE \"shop\" SET \"app\".\"tenant\" TO 'it''s'"
        );
        assert_eq!(
            statement(None, "search_path", ""),
            "ALTER DATABASE \"shop\" SET \"search_path\" TO ''"
        );
    }
}
