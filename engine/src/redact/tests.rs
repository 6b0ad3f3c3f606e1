use proptest::prelude::*;

use super::*;

fn redactor(secrets: &[&str]) -> Redactor {
    let redactor = Redactor::default();
    for secret in secrets {
        redactor.add(secret);
    }
    redactor
}

fn masked(redactor: &Redactor, pieces: &[&[u8]]) -> String {
    let mut masker = Masker::new(redactor.clone());
    let mut output: Vec<u8> = pieces.iter().flat_map(|piece| masker.push(piece)).collect();
    output.extend(masker.finish());
    String::from_utf8(output).unwrap()
}

#[test]
fn a_secret_is_masked_wherever_the_pieces_are_cut() {
    let redactor = redactor(&["hunter2-\u{e4}"]);
    let text = "url postgresql://app:hunter2-\u{e4}@db/x and aHVudGVyMi3DpA== end".as_bytes();
    for cut in 0..=text.len() {
        for second in cut..=text.len() {
            let pieces = [&text[..cut], &text[cut..second], &text[second..]];
            let expected = "url postgresql://app:(secret)@db/x and (secret)== end";
            assert_eq!(masked(&redactor, &pieces), expected, "cut at {cut} and {second}");
        }
    }
}

#[test]
fn overlapping_secrets_are_masked_as_one() {
    let redactor = redactor(&["abcdef", "defghi"]);
    assert_eq!(redactor.text("xabcdefghix"), "x(secret)x");
    assert_eq!(redactor.text("abcdefabcdef-"), "(secret)-");
}

#[test]
fn each_line_of_a_secret_is_masked() {
    let redactor = redactor(&["-----BEGIN KEY-----\nMC4CAQAwBQ\nYDK2VwBCIE\n-----END KEY-----\n"]);
    assert_eq!(redactor.text("read MC4CAQAwBQ and YDK2VwBCIE."), "read (secret) and (secret).");
}

#[test]
fn every_common_encoding_is_masked() {
    let secret = "p\u{e4}ss w\"o'r/d\\+$1&<2>%";
    let redactor = redactor(&[secret]);
    for form in [
        secret,
        "p\\u00e4ss w\\\"o'r/d\\\\+$1&<2>%",
        "p%C3%A4ss%20w%22o%27r%2Fd%5C%2B%241%26%3C2%3E%25",
        "p%c3%a4ss%20w%22o%27r%2fd%5c%2b%241%26%3c2%3e%25",
        "p%C3%A4ss+w%22o%27r%2Fd%5C%2B%241%26%3C2%3E%25",
        "p\u{e4}ss w&quot;o&#39;r/d\\+$1&amp;&lt;2&gt;%",
        "p\u{e4}ss w\"o''r/d\\+$1&<2>%",
        "70c3a4737320776f",
    ] {
        let text = redactor.text(&format!("a {form} b"));
        let expected = if form.starts_with("70") { "a 70c3a4737320776f b" } else { "a (secret) b" };
        assert_eq!(text, expected, "{form}");
    }
    let hex = "70C3A473732077226F27722F645C2B2431263C323E25";
    assert_eq!(redactor.text(hex), "(secret)");
    assert_eq!(redactor.text(&hex.to_lowercase()), "(secret)");
}

#[test]
fn errors_and_values_are_masked_in_every_part() {
    let redactor = redactor(&["hunter2"]);
    let cause = std::io::Error::other("login with hunter2");
    let error = StepError::permanent("RB0500", "hunter2").caused_by(&cause).hint("not hunter2");
    let error = redactor.error(error);
    assert_eq!(
        (error.message.as_str(), error.causes[0].as_str(), error.hint.as_deref()),
        (MASK, "login with (secret)", Some("not (secret)"))
    );
    let value = serde_json::json!({"hunter2": ["x hunter2", 1]});
    assert_eq!(redactor.value(&value), serde_json::json!({"(secret)": ["x (secret)", 1]}));
}

#[test]
fn little_is_held_back() {
    let redactor = redactor(&["hunter2"]);
    let mut masker = Masker::new(redactor);
    let mut given = 0;
    for pieces in 1..=1000 {
        given += masker.push(&[b'x'; 4096]).len();
        assert!(given + 64 > pieces * 4096);
    }
}

proptest! {
    #[test]
    fn no_secret_survives_in_any_stream(
        secret in "[ -~]{3,12}",
        noise in proptest::collection::vec("[ -~]{0,9}", 1..6),
        cuts in proptest::collection::vec(0_usize..80, 0..6),
    ) {
        let redactor = redactor(&[secret.as_str()]);
        let text = noise.join(secret.as_str());
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> =
            cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
        let whole = masked(&redactor, &[text.as_bytes()]);
        prop_assert_eq!(&masked(&redactor, &pieces), &whole);
        let plain = whole.replace(MASK, "\u{0}");
        prop_assert!(!plain.contains(secret.as_str()));
    }
}
