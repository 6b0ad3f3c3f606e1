//! `docker.exec`, and the recipes of `docs/application.md`: each against programs that stand for
//! systemd, pm2 and docker, record how they are called, and take no other arguments.

use std::fmt::Write as _;

use serde_json::Value;

use crate::bed::of_type;
use crate::stubs::Stubs;

/// Stands for an engine with the container `lms-app`: `exec` starts the program here, with
/// nothing in its environment but what was handed over.
const DOCKER: &str = r#"
case "$1" in
inspect) [ -e "$HERE/stopped" ] && running=false || running=true
  echo "[{\"State\": {\"Running\": $running}}]";;
exec) shift; kept=()
  while [[ "$1" == --* ]]; do
    case "$1" in --env=*) name=${1#--env=}; kept+=("$name=${!name}");; esac; shift
  done
  [ "$1" = lms-app ] || exit 64; shift
  if [ -e "$HERE/says" ]; then read -r code < "$HERE/says"; tail -n +2 "$HERE/says" >&2; exit "$code"; fi
  exec env -i PATH="$PATH" "${kept[@]}" "$@";;
esac
"#;

fn docker() -> Stubs {
    let stubs = Stubs::new();
    stubs.program("docker", DOCKER);
    stubs
}

fn exec(with: &str) -> String {
    let secrets = if with.contains("secrets.") { "secrets: {token: {env: TOKEN}}\n" } else { "" };
    format!(
        "version: 1\nname: exec\n{secrets}steps:\n  \
         - {{id: there, uses: docker.exec, with: {{container: lms-app, {with}}}}}\n"
    )
}

#[test]
fn a_program_is_started_in_the_container_and_its_secrets_are_no_arguments() {
    let stubs = docker();
    let with = r#"argv: [sh, -c, "echo $GREETING; echo $TOKEN | wc -c"], user: "1000:1000",
        workdir: /srv, env: {GREETING: hello, TOKEN: "{{ secrets.token }}"}, effect: reversible"#;
    let ended = stubs.run("good", &exec(with), &[("TOKEN", "canary-8151")]);
    ended.expect(0);
    let calls = stubs.calls();
    let expected = [
        "docker [inspect] [--type] [container] [--] [lms-app]",
        "docker [exec] [--env=GREETING] [--env=TOKEN] [--user=1000:1000] [--workdir=/srv] [lms-app] \
         [sh] [-c] [echo $GREETING; echo $TOKEN | wc -c]",
    ];
    assert_eq!(calls, expected);
    let journal = stubs.journal("good");
    assert_eq!(of_type(&journal, "step_succeeded")[0]["data"]["output"]["stdout"], "hello\n12");
}

/// The class and the code of the error of the only attempt.
fn failure(stubs: &Stubs, name: &str) -> (String, String) {
    let journal = stubs.journal(name);
    let failed = journal.iter().find_map(|record| record["data"]["end"].get("error"));
    let error: &Value = failed.unwrap_or_else(|| panic!("nothing failed in {journal:#?}"));
    (error["code"].as_str().unwrap().to_owned(), error["class"].as_str().unwrap().to_owned())
}

#[test]
fn what_docker_says_of_itself_is_not_taken_for_the_program() {
    let gone = "1\nError response from daemon: No such container: lms-app\n";
    let no_program = "126\nOCI runtime exec failed: exec failed: unable to start container \
                      process: exec: \"php\": executable file not found in $PATH: unknown\n";
    let lost = "1\nerror during connect: unexpected EOF\n";
    for (name, says, status, code, class) in [
        ("gone", gone, 1, "RB0761", "needs_operator"),
        ("missing", no_program, 1, "RB0761", "needs_operator"),
        ("lost", lost, 5, "RB0762", "ambiguous"),
        ("killed", "137\n", 5, "RB0721", "ambiguous"),
        ("failed", "3\nno such queue\n", 1, "RB0720", "permanent"),
    ] {
        let stubs = docker();
        stubs.write("says", says);
        let ended = stubs.run(name, &exec("argv: [php, artisan, down]"), &[("TOKEN", "x")]);
        let said = ended.expect(status).stderr;
        assert_eq!(failure(&stubs, name), (code.to_owned(), class.to_owned()), "{said}");
        match name {
            "missing" => shown::case("RB0761", said),
            "lost" => shown::case("RB0762", said),
            _ => {}
        }
    }
}

#[test]
fn a_container_that_does_not_run_is_found_before_anything_starts() {
    let stubs = docker();
    stubs.write("stopped", "");
    let ended = stubs.run("stopped-run", &exec("argv: [php, artisan, down]"), &[("TOKEN", "x")]);
    assert!(ended.expect(1).stderr.contains("[RB0421]"));
    assert_eq!(stubs.calls(), ["docker [inspect] [--type] [container] [--] [lms-app]"]);
}

/// The program is killed after it did its work; the look in the container tells.
#[test]
fn the_look_in_the_container_settles_a_doubt() {
    for (look, status) in [("exit 0", 0), ("exit 3", 5)] {
        let stubs = docker();
        let with = format!(
            "argv: [sh, -c, \"touch $1; kill -9 $$\", sh, {}], observe: [sh, -c, {look}]",
            stubs.path("done").display()
        );
        stubs.run("look", &exec(&with), &[("TOKEN", "x")]).expect(status);
        assert!(stubs.exists("done"));
        let calls = stubs.calls();
        let looks = calls.iter().filter(|call| call.contains(&format!("[{look}]")));
        assert_eq!(looks.count(), 1, "{calls:?}");
        assert_eq!(calls.iter().filter(|call| call.contains("[touch")).count(), 1, "{calls:?}");
    }
}

/// An engine that is gone is no answer of the program that looks.
#[test]
fn a_look_that_docker_could_not_take_says_nothing() {
    let stubs = docker();
    let says = "1\nError response from daemon: No such container: lms-app\n";
    let with = format!(
        "argv: [sh, -c, 'printf \"%s\" \"$2\" > \"$1\"; kill -9 $$', sh, {}, \"{}\"], observe: [\"true\"]",
        stubs.path("says").display(),
        says.replace('\n', "\\n"),
    );
    let ended = stubs.run("blind", &exec(&with), &[("TOKEN", "x")]);
    assert!(ended.expect(5).stderr.contains("in doubt"));
}

/// Stands for systemd, pm2 and docker, with one application that runs or not. It takes the
/// arguments of the recipes and no others.
const MANAGERS: &str = r#"
does() {
  if [ "$1" = stop ]; then rm -f "$HERE/running"; else touch "$HERE/running"; fi
  [ -e "$HERE/dies" ] && kill -9 $$
  exit 0
}
says() { if [ -e "$HERE/running" ]; then printf "$1"; else printf "$2"; fi; }
file=/srv/lms/compose.yaml
case "$(basename "$0") $*" in
"systemctl stop lms.service"|"pm2 stop lms"|"docker stop lms-app") does stop;;
"docker compose --file $file stop app worker") does stop;;
"systemctl start lms.service"|"pm2 start lms"|"docker start lms-app") does start;;
"docker compose --file $file start app worker") does start;;
"systemctl is-active lms.service") says 'active\n' 'inactive\n';;
"pm2 pid lms") says '4711\n4712\n' '0\n0\n';;
"docker ps --quiet --filter name=^/?lms-app$") says '3f2a9c\n' '';;
"docker compose --file $file ps --quiet --status running app worker") says '3f2a\n91bc\n' '';;
*) echo "nobody calls this so: $*" >&2; exit 64;;
esac
"#;

/// The blocks of steps on the page that stop and start the application.
fn recipes() -> Vec<String> {
    let page = std::fs::read_to_string("docs/application.md").unwrap();
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let recipes = blocks.filter(|block| block.contains("uses: command.run"));
    let recipe = |block: &str| {
        block.lines().fold("version: 1\nname: recipe\nsteps:\n".to_owned(), |mut text, line| {
            writeln!(text, "  {line}").unwrap();
            text
        })
    };
    recipes.map(recipe).collect()
}

fn managers() -> Stubs {
    let stubs = Stubs::new();
    for name in ["systemctl", "pm2", "docker"] {
        stubs.program(name, MANAGERS);
    }
    stubs.write("running", "");
    stubs
}

#[test]
fn each_recipe_stops_and_starts_and_is_sure_of_it() {
    let recipes = recipes();
    assert_eq!(recipes.len(), 4);
    for recipe in &recipes {
        let stubs = managers();
        stubs.run("plain", recipe, &[]).expect(0);
        assert_eq!(stubs.calls().len(), 2, "nobody looks when nothing is open");
        assert!(stubs.exists("running"));

        // The tool does its work and dies before it says so: the look knows.
        stubs.write("dies", "");
        stubs.run("dying", recipe, &[]).expect(0);
        let calls = stubs.calls();
        assert_eq!(calls.len(), 4, "each was done once and looked at once: {calls:?}");
        assert!(calls[0].contains("[stop]") && calls[2].contains("[start]"), "{calls:?}");
        assert!(stubs.exists("running"));
    }
}

#[test]
fn a_look_that_finds_nothing_done_says_so_and_nothing_is_guessed() {
    for recipe in recipes() {
        let stubs = managers();
        // The tool is killed before it did anything, every time.
        for name in ["systemctl", "pm2", "docker"] {
            let idle = MANAGERS.replace("does() {", "does() { kill -9 $$;");
            stubs.program(name, &idle);
        }
        let ended = stubs.run("idle", &recipe, &[]).expect(1);
        assert!(ended.stderr.contains("[RB0721]"), "{}", ended.stderr);
        assert!(stubs.exists("running"));

        // A tool that cannot tell leaves the step in doubt.
        for name in ["systemctl", "pm2", "docker"] {
            let mute = MANAGERS
                .replace("does() {", "does() { kill -9 $$;")
                .replace("says() {", "says() { exit 9;");
            stubs.program(name, &mute);
        }
        stubs.run("mute", &recipe, &[]).expect(5);
    }
}
