//! `docs/language.md`, `docs/application.md` and README.md: every block of YAML is valid.
//!
//! A block is a whole runbook when it says `version:`. Otherwise a comment above it says what it
//! is: `<!-- header -->`, keys of a runbook, or `<!-- steps -->`, a list of steps; it is then put
//! into a runbook that declares what the page speaks of.

use std::fmt::Write as _;
use std::process::Command;

use crate::root;

/// What a fragment may refer to, one entry a key of the runbook.
const AROUND: [&str; 6] = [
    "version: 1\n",
    "name: fragment\n",
    "params:\n  table: {type: string, default: users}\n  jobs: {type: integer, default: 2}\n  \
     tables: {type: list, default: [users, orders]}\n",
    "secrets:\n  db_url: {env: DATABASE_URL}\n  token: {env: TOKEN}\n",
    "connections:\n  prod: {host: db, dbname: app}\n",
    "stores:\n  backups: {url: \"file:///var/backups/app\"}\n",
];

const STEPS: &str = "steps:\n  - {id: nothing, uses: flow.pass}\n";

/// A block of YAML, what the comment above it says, and its line.
struct Block {
    place: Option<String>,
    text: String,
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut place, mut open) = (Vec::new(), None, None::<Block>);
    for (at, line) in page.lines().enumerate() {
        match &mut open {
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => writeln!(block.text, "{line}").unwrap(),
            None if line == "```yaml" => {
                open = Some(Block { place: place.take(), text: String::new(), line: at + 1 });
            }
            None => {
                let comment = line.strip_prefix("<!-- ").and_then(|it| it.strip_suffix(" -->"));
                place = comment.map(str::to_owned);
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// The runbook that a block is, or that it is put into.
fn whole(block: &Block) -> String {
    let text = &block.text;
    let given = |part: &str| {
        let key = &part[..=part.find(':').unwrap()];
        text.lines().any(|line| line.starts_with(key))
    };
    match block.place.as_deref() {
        None => {
            assert!(text.contains("version: 1\n"), "line {}: say what the block is", block.line);
            text.clone()
        }
        Some("header") => {
            let around = AROUND.iter().filter(|part| !given(part)).copied();
            around.collect::<String>() + text + STEPS
        }
        Some("steps") => {
            let steps = text.lines().map(|line| format!("  {line}\n"));
            AROUND.concat() + "steps:\n" + &steps.collect::<String>()
        }
        Some(other) => panic!("line {}: `{other}` is no place for a block", block.line),
    }
}

#[test]
fn every_block_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = root().join("runbooks/verify-backup.yaml");
    std::fs::copy(shipped, folder.path().join("verify-backup.yaml")).unwrap();
    for (page, at_least) in [("docs/language.md", 20), ("docs/application.md", 7), ("README.md", 0)]
    {
        let blocks = blocks(&std::fs::read_to_string(root().join(page)).unwrap());
        assert!(blocks.len() >= at_least, "{page} has {} blocks", blocks.len());
        for block in blocks {
            let file = folder.path().join("block.yaml");
            let text = whole(&block);
            std::fs::write(&file, &text).unwrap();
            let checked = Command::new(env!("CARGO_BIN_EXE_runbook"))
                .args(["validate", file.to_str().unwrap()])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success(), "{page}:{}:\n{said}\n{text}", block.line);
        }
    }
}
