//! The forms in which a secret may show up.

use std::fmt::Write;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// An encoded part shorter than this is left: it would hide unrelated text.
const SHORTEST_PART: usize = 4;

/// Every form of a secret and, when it has several lines, of each line.
pub(super) fn of(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_PART);
    let whole = [secret, secret.trim()];
    for text in whole.into_iter().chain(lines.filter(|line| *line != secret)) {
        if text.is_empty() || forms.contains(&text.as_bytes().to_vec()) {
            continue;
        }
        forms.push(text.as_bytes().to_vec());
        forms.extend(texts(text).into_iter().map(String::into_bytes));
        for alphabet in [STANDARD, URL_SAFE] {
            forms.push(base64(text.as_bytes(), alphabet, 0));
            let inner = (0..3).map(|skip| base64_inside(text.as_bytes(), alphabet, skip));
            forms.extend(inner.filter(|part| part.len() >= SHORTEST_PART));
        }
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

fn texts(text: &str) -> Vec<String> {
    let json = json(text);
    let ascii = ascii_json(&json, "\\u");
    vec![
        json.replace('/', "\\/"),
        ascii.to_ascii_uppercase().replace("\\U", "\\u"),
        self::json(&json),
        text.replace('\'', "'\\''"),
        text.replace('\'', "''"),
        text.replace('\\', "\\\\").replace('\'', "\\'"),
        text.replace('$', "\\$"),
        format!("{text:?}").trim_matches('"').to_owned(),
        html(text),
        percent(text, b"", "%", true),
        percent(text, b"", "%", false),
        percent(text, b"", "%", true).replace("%20", "+"),
        percent(text, b"/", "%", true),
        percent(text, b"!'()*", "%", true),
        percent(text, b"!$&'()*+,;=:@/?#[]", "%", true),
        percent(&percent(text, b"", "%", true), b"", "%", true),
        hex(text, "", true),
        hex(text, "", false),
        hex(text, "\\x", false),
        hex(text, "%", true),
        hex(text, "%", false),
        text.replace('\n', "\r\n"),
        text.replace('\n', " "),
        text.replace('\n', ""),
        ascii,
        json,
    ]
}

fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("text is JSON");
    quoted[1..quoted.len() - 1].to_owned()
}

fn ascii_json(json: &str, escape: &str) -> String {
    json.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "{escape}{unit:04x}").expect("a string takes all text");
            }
        }
        out
    })
}

fn html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

fn percent(text: &str, keep: &[u8], sign: &str, upper: bool) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else if upper {
            write!(out, "{sign}{byte:02X}").expect("a string takes all text");
        } else {
            write!(out, "{sign}{byte:02x}").expect("a string takes all text");
        }
        out
    })
}

fn hex(text: &str, before: &str, upper: bool) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        let digits = if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        out.push_str(before);
        out.push_str(&digits);
        out
    })
}

/// Base64 without padding of `bytes` behind `skip` zero bytes.
fn base64(bytes: &[u8], alphabet: &[u8; 64], skip: usize) -> Vec<u8> {
    let padded: Vec<u8> = std::iter::repeat_n(0, skip).chain(bytes.iter().copied()).collect();
    let sextets = (padded.len() * 8).div_ceil(6);
    let sextet = |at: usize| {
        let bit = at * 6;
        let pair = [bit / 8, bit / 8 + 1].map(|at| padded.get(at).copied().unwrap_or_default());
        let value = (u16::from_be_bytes(pair) >> (10 - bit % 8)) & 0x3f;
        alphabet[usize::from(value)]
    };
    (0..sextets).map(sextet).collect()
}

/// The characters that base64 of any text with `bytes` inside holds, when `bytes` begins `skip`
/// bytes into a group of three.
fn base64_inside(bytes: &[u8], alphabet: &[u8; 64], skip: usize) -> Vec<u8> {
    let all = base64(bytes, alphabet, skip);
    let first = (skip * 8).div_ceil(6);
    let whole = (skip + bytes.len()) * 8 / 6;
    all[first.min(whole)..whole].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_everyone() {
        let text = |bytes: &[u8], skip| String::from_utf8(base64(bytes, STANDARD, skip)).unwrap();
        assert_eq!(text(b"hunter2!", 0), "aHVudGVyMiE");
        assert_eq!(text(b"\xff\xfe?", 0), "//4/");
        assert_eq!(String::from_utf8(base64(b"\xff\xfe?", URL_SAFE, 0)).unwrap(), "__4_");
        let inside = |skip| String::from_utf8(base64_inside(b"hunter2", STANDARD, skip)).unwrap();
        assert!("dXNlcjpodW50ZXIyCg".contains(&inside(2)), "user:hunter2");
        assert!("dXNlOmh1bnRlcjIK".contains(&inside(1)), "use:hunter2");
    }
}
