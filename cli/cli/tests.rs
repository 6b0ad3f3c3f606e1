use clap::{Command, CommandFactory as _};

use super::*;

/// Every command with its name, those of commands too, but for those that nobody types.
fn commands(command: &Command, name: &str, found: &mut Vec<(String, Command)>) {
    let typed = |inner: &&Command| inner.get_name() != "help" && !inner.is_hide_set();
    for inner in command.get_subcommands().filter(typed) {
        let name = format!("{name} {}", inner.get_name());
        if inner.has_subcommands() {
            commands(inner, &name, found);
        } else {
            found.push((name, inner.clone()));
        }
    }
}

/// The command lines of an example: what a shell would hand to the program.
fn lines(help: &str) -> Vec<Vec<String>> {
    let begin = |line: &str| Some(line[line.find("runbook ")?..].to_owned());
    let lines = help.lines().filter(|line| line.starts_with("  ")).filter_map(begin);
    let end = |line: String| line.split(['|', '>', ')', ';']).next().unwrap_or_default().to_owned();
    lines.map(|line| shlex::split(&end(line)).expect("the quotes are closed")).collect()
}

#[test]
fn the_help_of_every_command_has_an_example_that_parses() {
    let mut found = Vec::new();
    commands(&Cli::command(), "runbook", &mut found);
    assert!(found.len() > 15, "{}", found.len());
    for (name, command) in found {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = lines(&help);
        let own = lines.iter().filter(|line| line.join(" ").starts_with(&name)).count();
        assert!(own > 0, "`{name}` has no example");
        for line in lines {
            let parsed = Cli::try_parse_from(&line);
            assert!(parsed.is_ok(), "{}: {}", line.join(" "), parsed.err().unwrap());
        }
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// What the pages tell a person to type.
#[test]
fn every_command_of_the_readme_and_the_language_parses() {
    let pages = [include_str!("../../README.md"), include_str!("../../docs/language.md")];
    for (page, at_least) in pages.into_iter().zip([12, 2]) {
        let page = page.replace("\\\n", " ");
        let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let lines: Vec<&str> =
            blocks.flat_map(str::lines).filter(|line| line.starts_with("runbook ")).collect();
        assert!(lines.len() >= at_least, "{lines:?}");
        for line in lines {
            let words = shlex::split(line.split('#').next().unwrap()).expect("quotes are closed");
            let parsed = Cli::try_parse_from(&words);
            assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
        }
    }
}
