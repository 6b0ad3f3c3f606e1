use super::*;

#[test]
fn the_form_is_exact() {
    let source = SourceText::new("a.yaml", "version: 1\nnam: x\n");
    let problem = Diagnostic::error("RB0201", 11..14, "unknown key `nam`")
        .why("a runbook has a fixed set of keys")
        .help("did you mean `name`?");
    let warning = Diagnostic::warning("RB0240", 0..7, "odd");
    assert_eq!(
        render(&[problem, warning], &source, false),
        "error[RB0201]: unknown key `nam`
 --> a.yaml:2:1
  |
2 | nam: x
  | ^^^
why: a runbook has a fixed set of keys
help: did you mean `name`?

warning[RB0240]: odd
 --> a.yaml:1:1
  |
1 | version: 1
  | ^^^^^^^

1 error, 1 warning
"
    );
}

#[test]
fn carets_know_wide_characters_and_tabs() {
    let text = "\té: 日本 x\n";
    let source = SourceText::new("a.yaml", text);
    let at = text.find('日').unwrap();
    let shown = render(&[Diagnostic::error("RB0101", at..at + 6, "m")], &source, false);
    assert!(shown.contains("1 |     é: 日本 x\n  |        ^^^^\n"), "{shown}");
    assert!(shown.contains("a.yaml:1:5"));
}

#[test]
fn a_place_outside_the_text_does_no_harm() {
    let source = SourceText::new("a.yaml", "é");
    for span in [0..0, 1..1, 5..9, 2..2] {
        let shown = render(&[Diagnostic::error("RB0101", span, "m")], &source, true);
        assert!(shown.contains("a.yaml:1:"));
    }
}

#[test]
fn control_characters_are_not_sent_to_the_terminal() {
    let source = SourceText::new("a.yaml", "a\u{1b}[31m");
    assert!(!render(&[Diagnostic::error("RB0101", 0..1, "m")], &source, false).contains('\u{1b}'));
}

#[test]
fn json_has_places_and_counts() {
    let source = SourceText::new("a.yaml", "version: 1\nnam: x\n");
    let json = to_json(&[Diagnostic::error("RB0201", 11..14, "m")], &source);
    assert_eq!(json["errors"], 1);
    assert_eq!(json["diagnostics"][0]["place"]["line"], 2);
    assert_eq!(json["diagnostics"][0]["place"]["end_column"], 4);
}

#[test]
fn a_problem_of_no_text_shows_no_line_of_it() {
    let source = SourceText::new("a.yaml", "# a comment\n");
    let problem = Diagnostic::without_place("RB0302", "unknown parameter `levl`")
        .why("`-p levl` was given")
        .help("did you mean `level`?");
    assert_eq!(
        render(std::slice::from_ref(&problem), &source, false),
        "error[RB0302]: unknown parameter `levl`
why: `-p levl` was given
help: did you mean `level`?

1 error
"
    );
    assert!(to_json(&[problem], &source)["diagnostics"][0]["place"].is_null());
}
