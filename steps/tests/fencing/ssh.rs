//! `fence` by ssh to a private server, and the argument vectors of `systemctl` and `docker`.

use std::path::Path;

use lab::sshd::Sshd;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fence::{Pair, program};

fn by(sshd: &Sshd) -> Value {
    json!({"host": "127.0.0.1", "port": sshd.port(), "identity_file": sshd.identity_file(),
           "known_hosts": sshd.known_hosts()})
}

/// A program that writes down how it is called, then answers as `script` says.
fn recorder(folder: &Path, name: &str, script: &str) {
    let log = folder.join("calls");
    let script = format!(
        "{{ printf %s {name}; printf ' <%s>' \"$@\"; echo; }} >> {}\n{script}",
        log.display()
    );
    program(folder, name, &script);
}

fn calls(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("calls")).unwrap_or_default();
    std::fs::write(folder.join("calls"), "").unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_stopped_on_its_own_machine() {
    let (pair, folder) = (Pair::new(), TempDir::new().unwrap());
    let sshd = Sshd::start(folder.path()).unwrap();
    let mut with = pair.by_pg_ctl();
    with["ssh"] = by(&sshd);
    let output = pair.fence(with.clone()).await.unwrap();
    assert_eq!(output["outcome"], "confirmed");
    assert!(output["last_lsn"].is_string(), "{output}");
    // A machine that cannot be reached leaves the question open, also with a closed port.
    with["ssh"]["port"] = json!(1);
    let error = pair.fence(with.clone()).await.unwrap_err();
    assert_eq!(error.code, "RB0581");
    assert!(error.message.contains("could not be started there"), "{error}");
    // A host key that is not known is not trusted.
    with["ssh"] = by(&sshd);
    with["ssh"]["known_hosts"] = json!("/dev/null");
    assert_eq!(pair.fence(with).await.unwrap_err().code, "RB0581");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_argument_becomes_a_command_of_the_remote_shell() {
    let (pair, folder) = (Pair::new(), TempDir::new().unwrap());
    let sshd = Sshd::start(folder.path()).unwrap();
    recorder(folder.path(), "cut_off", "exit 0");
    pair.primary.stop().unwrap();
    let odd = ["a b", "it's", "$HOME", "; touch pwned", "`id`", "", "-x", "*\n\"\\"];
    let argv: Vec<&str> = std::iter::once("cut_off").chain(odd).collect();
    let with = json!({"connection": "primary", "method": "command", "argv": argv, "quiet": "1s",
                      "ssh": by(&sshd)});
    assert_eq!(pair.fence(with).await.unwrap()["outcome"], "confirmed");
    let expected: Vec<String> = odd.iter().map(|word| format!(" <{word}>")).collect();
    assert_eq!(calls(folder.path()).join("\n"), format!("cut_off{}", expected.concat()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_stopped_masked_and_looked_at() {
    let (pair, folder) = (Pair::new(), TempDir::new().unwrap());
    let sshd = Sshd::start(folder.path()).unwrap();
    let unit = "postgresql@15-main.service";
    let with = json!({"connection": "primary", "method": "systemd", "unit": unit, "quiet": "1s",
                      "ssh": by(&sshd)});
    pair.primary.stop().unwrap();
    let systemctl = |enabled: &str, mask: u8| {
        format!(
            "case $1 in mask) exit {mask};; is-active) echo inactive; exit 3;; \
             is-enabled) echo {enabled}; exit 1;; esac"
        )
    };
    recorder(folder.path(), "systemctl", &systemctl("masked", 0));
    let output = pair.fence(with.clone()).await.unwrap();
    assert!(output["proof"].as_str().unwrap().contains("is inactive and masked"), "{output}");
    let order = ["stop", "mask", "is-active", "is-enabled"];
    let order = order.map(|verb| format!("systemctl <{verb}> <{unit}>"));
    assert_eq!(calls(folder.path()), order);
    // What cannot be masked is disabled; what would start again is not fenced.
    recorder(folder.path(), "systemctl", &systemctl("disabled", 1));
    pair.fence(with.clone()).await.unwrap();
    assert!(calls(folder.path()).contains(&format!("systemctl <disable> <{unit}>")));
    recorder(folder.path(), "systemctl", &systemctl("enabled", 1));
    let error = pair.fence(with.clone()).await.unwrap_err();
    assert_eq!(error.code, "RB0580");
    assert!(error.message.contains("it may start again"), "{error}");
    recorder(folder.path(), "systemctl", "[ $1 = is-active ] && echo active");
    let error = pair.fence(with).await.unwrap_err();
    assert!(error.message.ends_with(&format!("unit `{unit}` is active")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_stopped_for_good() {
    let (pair, folder) = (Pair::new(), TempDir::new().unwrap());
    let sshd = Sshd::start(folder.path()).unwrap();
    let with = json!({"connection": "primary", "method": "docker", "container": "lms-db",
                      "quiet": "1s", "timeout": "30s", "ssh": by(&sshd)});
    pair.primary.stop().unwrap();
    recorder(folder.path(), "docker", "[ $1 = inspect ] && echo 'false no'; exit 0");
    let output = pair.fence(with.clone()).await.unwrap();
    assert_eq!(output["outcome"], "confirmed");
    let format = "{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}";
    let expected = [
        "docker <update> <--restart=no> <lms-db>".to_owned(),
        "docker <stop> <-t> <30> <lms-db>".to_owned(),
        format!("docker <inspect> <--type=container> <--format> <{format}> <lms-db>"),
    ];
    assert_eq!(calls(folder.path()), expected);
    recorder(folder.path(), "docker", "[ $1 = inspect ] && echo 'true always'; exit 0");
    assert_eq!(pair.fence(with).await.unwrap_err().code, "RB0580");
}
