//! Whom to call.

use model::plan::Contact;

/// Each contact behind `before`, in one line each: `DBA: Dana Ortiz, +1 555 0100`.
pub(crate) fn lines(contacts: &[Contact], before: &str) -> String {
    contacts.iter().map(|contact| format!("{before}{}", line(contact))).collect()
}

/// `DBA: Dana Ortiz, +1 555 0100`.
pub(crate) fn line(contact: &Contact) -> String {
    let ways = [&contact.phone, &contact.email].into_iter().flatten();
    let ways: String = ways.map(|way| format!(", {way}")).collect();
    format!("{}: {}{ways}", contact.role, contact.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_one_line_with_what_is_known() {
        let mut contact = Contact {
            role: "DBA".to_owned(),
            name: "Dana Ortiz".to_owned(),
            phone: Some("+1 555 0100".to_owned()),
            email: None,
        };
        assert_eq!(
            lines(std::slice::from_ref(&contact), "\ncall "),
            "\ncall DBA: Dana Ortiz, +1 555 0100"
        );
        contact.email = Some("dana@example.org".to_owned());
        assert_eq!(line(&contact), "DBA: Dana Ortiz, +1 555 0100, dana@example.org");
        assert_eq!(lines(&[], "x"), "");
    }
}
