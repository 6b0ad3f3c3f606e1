//! The text of the daily backup: the shipped runbook with a person's answers in its header, so
//! that there is one daily backup and not two.

use crate::init::answers::{Answers, Database};

const SHIPPED: &str = include_str!("../../runbooks/daily-backup.yaml");

/// What stands above the shipped text's first line that is kept.
const HEAD: &str = "\
# A daily backup, written by `runbook init`: it is proved by restoring it and comparing.
# No password stands here; `runbook explain RB0420` tells where a secret is read from.
";

pub(crate) fn daily_backup(answers: &Answers) -> String {
    let text = SHIPPED.split_once('\n').map_or(SHIPPED, |(_schema, text)| text);
    let text = replaced(text, "secrets:", &secrets(answers));
    let text = replaced(&text, "connections:", &connections(answers));
    let text = with_default(&text, "  store:\n", &quoted(&answers.store));
    let schedule = format!("\nschedule: [{{cron: \"0 {} * * *\", timezone: UTC}}]\n", answers.hour);
    let text = text.replacen("\nparams:\n", &format!("{schedule}\nparams:\n"), 1);
    let slack = if answers.slack { "true" } else { "false" };
    HEAD.to_owned()
        + &text.replacen(
            "slack: {type: boolean, default: false",
            &format!("slack: {{type: boolean, default: {slack}"),
            1,
        )
}

fn secrets(answers: &Answers) -> String {
    let database = match &answers.database {
        Database::Url { env } => format!("  database_url: {{env: {env}}}\n"),
        Database::Parts { .. } => String::new(),
    };
    let scratch = answers.scratch_url_env.iter();
    let scratch: String = scratch.map(|env| format!("  scratch_url: {{env: {env}}}\n")).collect();
    format!("secrets:\n{database}{scratch}  slack_webhook: {{env: SLACK_WEBHOOK_URL}}\n")
}

fn connections(answers: &Answers) -> String {
    let (prod, beside) = match &answers.database {
        Database::Url { .. } => {
            let url = "url: \"{{ secrets.database_url }}\"".to_owned();
            (url.clone(), url)
        }
        Database::Parts { host, port, dbname, user } => {
            let host = host.iter().map(|host| format!("host: {}", quoted(host)));
            let port = port.iter().map(|port| format!("port: {port}"));
            let user = user.iter().map(|user| format!("user: {}", quoted(user)));
            let server: Vec<String> = host.chain(port).chain(user).collect();
            let prod = [&server[..], &[format!("dbname: {}", quoted(dbname))]].concat();
            (prod.join(", "), server.join(", "))
        }
    };
    let scratch = match &answers.scratch_url_env {
        Some(_) => "url: \"{{ secrets.scratch_url }}\"".to_owned(),
        None if beside.is_empty() => "dbname: postgres".to_owned(),
        None => format!("{beside}, dbname: postgres"),
    };
    format!("connections:\n  prod: {{{prod}}}\n  scratch: {{{scratch}, protected: false}}\n")
}

/// Text in double quotes, as JSON and YAML have it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text with the block that begins with the line `first` replaced.
fn replaced(text: &str, first: &str, block: &str) -> String {
    let start = text.find(&format!("\n{first}\n")).expect("the shipped runbook has the block") + 1;
    let end = text[start..].find("\n\n").map_or(text.len(), |end| start + end + 1);
    format!("{}{block}{}", &text[..start], &text[end..])
}

/// The text with the default of the parameter that begins with the line `first` replaced.
fn with_default(text: &str, first: &str, default: &str) -> String {
    const KEY: &str = "    default: ";
    let start = text.find(first).expect("the shipped runbook has the parameter");
    let start = start + text[start..].find(KEY).expect("the parameter has a default") + KEY.len();
    let end = start + text[start..].find('\n').expect("the line ends");
    format!("{}{default}{}", &text[..start], &text[end..])
}

#[cfg(test)]
mod tests {
    use model::runbook::Runbook;

    use super::*;

    fn answers(database: Database, scratch: Option<&str>) -> Answers {
        let store = "file:///var/backups/a%20b".to_owned();
        let scratch_url_env = scratch.map(str::to_owned);
        Answers { database, scratch_url_env, store, hour: 2, slack: true }
    }

    #[track_caller]
    fn valid(answers: &Answers) -> String {
        let text = daily_backup(answers);
        let checked = Runbook::check(&text, &steps::REGISTRY);
        assert_eq!(checked.problems, [], "{text}");
        text
    }

    #[test]
    fn a_url_stays_in_its_variable() {
        let text = valid(&answers(Database::Url { env: "PROD".to_owned() }, None));
        for line in [
            "\nschedule: [{cron: \"0 2 * * *\", timezone: UTC}]\n",
            "\n    default: \"file:///var/backups/a%20b\"\n",
            "\n  slack: {type: boolean, default: true, ",
            "\n  database_url: {env: PROD}\n  slack_webhook:",
            "\n  prod: {url: \"{{ secrets.database_url }}\"}\n",
            "\n  scratch: {url: \"{{ secrets.database_url }}\", dbname: postgres, protected: false}\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn parts_stand_as_they_were_given_and_no_more() {
        let database = Database::Parts {
            host: Some("db\"1\": x".to_owned()),
            port: Some(6000),
            dbname: "the app".to_owned(),
            user: None,
        };
        let text = valid(&answers(database, Some("SCRATCH")));
        for line in [
            "\nsecrets:\n  scratch_url: {env: SCRATCH}\n  slack_webhook:",
            "\n  prod: {host: \"db\\\"1\\\": x\", port: 6000, dbname: \"the app\"}\n",
            "\n  scratch: {url: \"{{ secrets.scratch_url }}\", protected: false}\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let nothing =
            Database::Parts { host: None, port: None, dbname: "app".to_owned(), user: None };
        let text = valid(&answers(nothing, None));
        assert!(text.contains("\n  scratch: {dbname: postgres, protected: false}\n"), "{text}");
    }
}
