//! SQL identifiers.

/// Why text cannot be an SQL identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdent {
    /// Nothing between two dots, or nothing at all.
    #[error("a name is empty")]
    Empty,
    /// No PostgreSQL name can hold it.
    #[error("a name holds a NUL character")]
    Nul,
    /// A quote that does not end.
    #[error("the quotes in `{0}` do not match")]
    Unbalanced(String),
    /// PostgreSQL would cut it, and then two names may be one.
    #[error("`{0}` is longer than the 63 bytes of a PostgreSQL name")]
    TooLong(String),
}

/// One name, quoted
/// (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>).
pub fn quote_ident(name: &str) -> Result<String, InvalidIdent> {
    match name {
        "" => Err(InvalidIdent::Empty),
        _ if name.contains('\0') => Err(InvalidIdent::Nul),
        _ if name.len() > 63 => Err(InvalidIdent::TooLong(name.to_owned())),
        _ => Ok(format!("\"{}\"", name.replace('"', "\"\""))),
    }
}

/// The parts of a dotted name; a part in double quotes may hold dots.
pub fn split_name(name: &str) -> Result<Vec<String>, InvalidIdent> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut chars) = (false, name.chars().peekable());
    while let Some(c) = chars.next() {
        let part = parts.last_mut().expect("there is always a part");
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => part.push('"'),
            '"' if quoted || part.is_empty() => quoted = !quoted,
            '"' => return Err(InvalidIdent::Unbalanced(name.to_owned())),
            '.' if !quoted => parts.push(String::new()),
            _ => part.push(c),
        }
    }
    if quoted {
        return Err(InvalidIdent::Unbalanced(name.to_owned()));
    }
    Ok(parts)
}

/// A name that may be qualified (`schema.table`), each part quoted.
pub fn quote_name(name: &str) -> Result<String, InvalidIdent> {
    let parts: Result<Vec<_>, _> = split_name(name)?.iter().map(|part| quote_ident(part)).collect();
    Ok(parts?.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_quoted() {
        assert_eq!(quote_name("public.users").unwrap(), r#""public"."users""#);
        assert_eq!(quote_name("Größe").unwrap(), r#""Größe""#);
        assert_eq!(quote_name(r#""a.b"."c""d""#).unwrap(), r#""a.b"."c""d""#);
        assert_eq!(quote_ident(r#"a"; drop table x; --"#).unwrap(), r#""a""; drop table x; --""#);
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        assert_eq!(quote_name(""), Err(InvalidIdent::Empty));
        assert_eq!(quote_name("a."), Err(InvalidIdent::Empty));
        assert_eq!(quote_name("a\0"), Err(InvalidIdent::Nul));
        assert!(matches!(quote_name("\"a"), Err(InvalidIdent::Unbalanced(_))));
        assert!(matches!(quote_name("a\"b"), Err(InvalidIdent::Unbalanced(_))));
        assert!(matches!(quote_name(&"x".repeat(64)), Err(InvalidIdent::TooLong(_))));
    }
}
