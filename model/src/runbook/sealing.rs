//! How a store is encrypted: `encrypt` and `decrypt`.

use bech32::primitives::decode::CheckedHrpstring;

use crate::codes::language as code;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, NodeValue};
use crate::template::is_template;

/// Bytes of an X25519 public key.
const KEY: usize = 32;

/// Checks `encrypt` and `decrypt` of a store.
pub(super) fn check(store: &Node, problems: &mut Vec<Diagnostic>) {
    if let Some(encrypt) = store.get("encrypt") {
        recipients(encrypt, problems);
    }
    if let Some(decrypt) = store.get("decrypt") {
        keys(decrypt, problems);
    }
}

fn recipients(encrypt: &Node, problems: &mut Vec<Diagnostic>) {
    let (age, gpg) = (items(encrypt.get("age")), items(encrypt.get("gpg")));
    if age.is_empty() == gpg.is_empty() {
        let message = "`encrypt` names recipients of `age` or of `gpg`, of one of them";
        let problem = Diagnostic::error(code::VALUE, encrypt.span.clone(), message);
        problems.push(problem.help("write `encrypt: {age: [age1...]}`"));
    }
    for (node, text) in age {
        problems.extend(age_problem(text).map(|(code, message)| {
            Diagnostic::error(code, node.span.clone(), message)
                .help("`age-keygen -y` prints the recipient of an identity: `age1...`")
        }));
    }
    for (node, text) in gpg {
        if text.is_empty() || text.starts_with('-') {
            let message = format!("`{text}` is not a recipient of gpg");
            let problem = Diagnostic::error(code::VALUE, node.span.clone(), message);
            problems.push(problem.help("write the fingerprint that `gpg --list-keys` prints"));
        }
    }
}

/// The texts of a list that are known now.
fn items(list: Option<&Node>) -> Vec<(&Node, &str)> {
    let Some(NodeValue::List(items)) = list.map(|node| &node.value) else { return Vec::new() };
    items.iter().filter_map(|node| Some((node, node.text()?))).collect()
}

/// What is wrong with a recipient of age.
/// <https://github.com/C2SP/C2SP/blob/main/age.md#the-x25519-recipient-type>
fn age_problem(text: &str) -> Option<(&'static str, String)> {
    if is_template(text) {
        return None;
    }
    if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        let message = "an identity of age in the open, where its recipient belongs";
        return Some((code::SECRET_PLACE, message.to_owned()));
    }
    let read = CheckedHrpstring::new::<bech32::Bech32>(text);
    let is_key = |read: &CheckedHrpstring<'_>| {
        read.hrp().as_str() == "age" && read.byte_iter().count() == KEY
    };
    let why = match read {
        Ok(read) if is_key(&read) => return None,
        Ok(_) => "it is none of an X25519 key".to_owned(),
        Err(error) => error.to_string(),
    };
    Some((code::VALUE, format!("`{text}` is not a recipient of age: {why}")))
}

fn keys(decrypt: &Node, problems: &mut Vec<Diagnostic>) {
    for key in ["identity", "passphrase"] {
        let open = decrypt
            .get(key)
            .filter(|node| node.text().is_some_and(|text| !text.contains("secrets.")));
        if let Some(node) = open {
            let message = format!("`{key}` in the open");
            problems.push(
                Diagnostic::error(code::SECRET_PLACE, node.span.clone(), message)
                    .why("what a runbook says itself is written into every plan and journal")
                    .help("declare it under `secrets` and write `{{ secrets.<name> }}`"),
            );
        }
    }
    if decrypt.get("identity").is_some()
        && (decrypt.get("gpg_home").is_some() || decrypt.get("passphrase").is_some())
    {
        let message = "`identity` is a key of age; `gpg_home` and `passphrase` are for gpg";
        problems.push(Diagnostic::error(code::VALUE, decrypt.span.clone(), message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_of_age_are_told_from_everything_else() {
        let good = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        assert_eq!(age_problem(good), None);
        assert_eq!(age_problem("{{ params.key }}"), None);
        for wrong in [&good.replace("ql3z", "ql3y"), &good[..40], "age1", "ssh-ed25519 AAAA", ""] {
            assert_eq!(age_problem(wrong).unwrap().0, code::VALUE, "{wrong}");
        }
        assert_eq!(age_problem("age-secret-key-1xyz").unwrap().0, code::SECRET_PLACE);
    }
}
