//! Encrypted stores, crossed with the programs `age` and `gpg`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use engine::settings::StoreKeys;
use model::plan::Encrypt;
use model::set::manifest::Encryption;
use model::step_error::{ErrorClass, StepError};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bench::{Bench, run};
use crate::restore::{assert_identical, by_hand, manifest};

/// Runs a program that the tests need; what it prints.
fn tool(program: &str, args: &[&str], env: &[(&str, &str)]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().copied()).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| {
        panic!("`{program}` is needed and cannot be started ({error}): run `scripts/install test`")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    output.stdout
}

/// An identity that `age-keygen` made: its file, its text, its recipient.
struct Identity {
    file: PathBuf,
    text: String,
    recipient: String,
}

fn identity(folder: &Path, name: &str) -> Identity {
    let file = folder.join(name);
    let text = String::from_utf8(tool("age-keygen", &[], &[])).unwrap();
    fs::write(&file, &text).unwrap();
    let recipient = tool("age-keygen", &["-y", file.to_str().unwrap()], &[]);
    let recipient = String::from_utf8(recipient).unwrap().trim().to_owned();
    Identity { file, text, recipient }
}

fn with_identity(identity: &Identity) -> StoreKeys {
    StoreKeys { identity: Some(identity.text.clone().into()), ..StoreKeys::default() }
}

fn for_age(identities: &[&Identity]) -> Encrypt {
    let age = identities.iter().map(|identity| identity.recipient.clone()).collect();
    Encrypt { age, ..Encrypt::default() }
}

const SHOP: &str =
    "CREATE TABLE a AS SELECT n, 'canary-' || n AS t FROM generate_series(1, 4000) n;
    ALTER TABLE a ADD PRIMARY KEY (n); SELECT lo_from_bytea(0, 'canary-large');";

/// What an error says, with names that stay.
fn settled(error: &StepError, set: &str, identities: &[&Identity]) -> String {
    let text = error.told().replace(set, "20261120T020000Z-5f0c1d2e");
    let recipients = identities.iter().zip(["age1ql3z7hjy...", "age1lggyhqrw..."]);
    recipients.fold(text, |text, (identity, name)| text.replace(&identity.recipient, name))
}

/// Every object that is encrypted, by its path in the set.
fn sealed(bench: &Bench, set: &str) -> Vec<String> {
    bench.objects(set).into_iter().filter(|path| path != "RESTORE.txt").collect()
}

async fn dump(bench: &Bench, step: &str, format: &str) -> String {
    let with = json!({"connection": "prod", "store": "backups", "jobs": 2, "format": format, "part_size": "1MiB"});
    let output = run("pg.dump", &with, &bench.context(step)).await.unwrap();
    output["set"].as_str().unwrap().to_owned()
}

async fn restore(bench: &Bench, set: &str) -> Result<Value, StepError> {
    let with = json!({"connection": "scratch", "store": "backups", "source": "shop",
        "backup": set, "database": "copy", "jobs": 2});
    run("pg.restore", &with, &bench.context("restore")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_for_age_are_proven_with_one_of_the_identities_only() {
    let mut bench = Bench::with(SHOP);
    let keys = tempfile::tempdir().unwrap();
    let names = ["first", "second", "stranger"];
    let [first, second, stranger] = names.map(|name| identity(keys.path(), name));
    let encrypt = Some(for_age(&[&first, &second]));
    for format in ["objects", "custom", "directory", "plain"] {
        bench.seal(encrypt.clone(), None);
        let set = dump(&bench, format, format).await;
        let written = manifest(&bench, &set);
        let recipients = vec![first.recipient.clone(), second.recipient.clone()];
        assert_eq!(written.encryption, Some(Encryption::Age(recipients)));
        for path in sealed(&bench, &set) {
            let stored = fs::read(bench.set(&set).join(&path)).unwrap();
            assert!(path.strip_suffix(".age").is_some(), "{path}");
            assert!(stored.starts_with(b"age-encryption.org/v1\n"), "{path}");
            let (key, file) = (first.file.to_str().unwrap(), bench.set(&set).join(&path));
            let opened = tool("age", &["-d", "-i", key, file.to_str().unwrap()], &[]);
            let entry = written.files.iter().find(|file| file.path == path).unwrap();
            assert_eq!(entry.plain.as_ref().unwrap().bytes, opened.len() as u64);
        }
        // Without a key: the bytes are checked, the set is listed, and nothing is restored.
        bench.verify(&set, "stored").await.unwrap();
        for level in ["readable", "identical"] {
            let error = bench.verify(&set, level).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::NeedsOperator);
            shown::case("RB0641", settled(&error, &set, &[&first, &second]));
            assert!(!bench.set(&set).join("proofs").exists());
        }
        assert_eq!(restore(&bench, &set).await.unwrap_err().code, "RB0641");
        bench.seal(encrypt.clone(), Some(with_identity(&stranger)));
        let error = bench.verify(&set, "identical").await.unwrap_err();
        shown::case("RB0642", settled(&error, &set, &[&first, &second]));
        assert!(!bench.set(&set).join("proofs").exists());
        assert_eq!(bench.other_databases(), Vec::<String>::new());

        bench.seal(encrypt.clone(), Some(with_identity(&second)));
        for level in ["readable", "identical"] {
            assert_eq!(bench.verify(&set, level).await.unwrap()["level"], level);
        }
        restore(&bench, &set).await.unwrap();
        by_hand(&bench, &set, &[("IDENTITY", first.file.to_str().unwrap())]);
        for copy in ["copy", "by hand"] {
            assert_identical(&bench, &set, copy).await;
            bench.cluster.drop_database(copy).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_recipients_only_lists_and_prunes_and_chooses() {
    let mut bench = Bench::with("CREATE TABLE a AS SELECT 1 AS n");
    let keys = tempfile::tempdir().unwrap();
    let key = identity(keys.path(), "key");
    bench.seal(Some(for_age(&[&key])), Some(with_identity(&key)));
    let set = dump(&bench, "dump", "objects").await;
    bench.verify(&set, "identical").await.unwrap();
    bench.seal(Some(for_age(&[&key])), None);
    let listed = bench.run("store.list", json!({"store": "backups"})).await.unwrap();
    assert_eq!(listed["newest_proven"], json!(set));
    let compared = json!({"connection": "prod", "store": "backups"});
    let compared = bench.run("pg.manifest", compared).await.unwrap();
    assert_eq!(compared["differences"], 0);
    let pruned = json!({"store": "backups", "database": "shop", "keep": {"last": 1}});
    bench.run("store.prune", pruned).await.unwrap();
    assert!(bench.set(&set).join("manifest.json").exists());

    // A recipient that only a parameter gives.
    bench.seal(Some(Encrypt { age: vec!["age1none".to_owned()], ..Encrypt::default() }), None);
    let with = json!({"connection": "prod", "store": "backups"});
    let error = run("pg.dump", &with, &bench.context("none")).await.unwrap_err();
    shown::case("RB0640", error.told());
    assert_eq!(fs::read_dir(bench.store().join("sets/shop")).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_an_encrypted_object_is_named_exactly() {
    let mut bench = Bench::with(SHOP);
    let keys = tempfile::tempdir().unwrap();
    let key = identity(keys.path(), "key");
    bench.seal(Some(for_age(&[&key])), Some(with_identity(&key)));
    for format in ["objects", "plain"] {
        let set = dump(&bench, format, format).await;
        for object in sealed(&bench, &set) {
            let path = bench.set(&set).join(&object);
            let whole = fs::read(&path).unwrap();
            for place in [30, whole.len() / 2, whole.len() - 1] {
                let mut flipped = whole.clone();
                flipped[place] ^= 0x10;
                fs::write(&path, flipped).unwrap();
                for level in ["stored", "identical"] {
                    let error = bench.verify(&set, level).await.unwrap_err();
                    assert_eq!(error.code, "RB0522");
                    assert_eq!(error.causes.len(), 1, "{error:?}");
                    assert!(error.causes[0].contains(&format!("`{object}`")), "{error:?}");
                    assert!(error.causes[0].contains("SHA-256"), "{error:?}");
                }
                if object.contains("globals") {
                    continue;
                }
                let error = restore(&bench, &set).await.unwrap_err();
                assert_eq!(error.code, "RB0613", "{object}: {error:?}");
                assert!(error.message.contains(&format!("`{object}`")), "{error:?}");
                assert_eq!(bench.other_databases(), Vec::<String>::new());
            }
            fs::write(&path, &whole).unwrap();
        }
        bench.verify(&set, "identical").await.unwrap();
    }
}

/// A keyring of gpg; its agent ends with it.
struct Keyring(TempDir);

impl Keyring {
    fn with_key(user: &str, passphrase: &str) -> Self {
        // The socket of the agent needs a short path.
        let home = tempfile::Builder::new()
            .prefix("gpg")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in("/tmp")
            .unwrap();
        let keyring = Self(home);
        keyring.gpg(&[
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            passphrase,
            "--quick-generate-key",
            user,
            "future-default",
            "default",
            "never",
        ]);
        keyring
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn gpg(&self, args: &[&str]) -> Vec<u8> {
        let mut all = vec!["--batch", "--quiet"];
        all.extend(args);
        tool("gpg", &all, &[("GNUPGHOME", self.path())])
    }

    /// Ends the agent, which remembers passphrases.
    fn forget(&self) {
        tool("gpgconf", &["--kill", "all"], &[("GNUPGHOME", self.path())]);
    }

    fn take_public_key_of(&self, other: &Self) {
        let file = self.0.path().join("public");
        fs::write(&file, other.gpg(&["--export"])).unwrap();
        self.gpg(&["--import", file.to_str().unwrap()]);
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", self.path()).output().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_for_gpg_are_proven_with_a_passphrase_and_restored_by_hand() {
    let mut bench = Bench::with(SHOP);
    let locked = Keyring::with_key("locked@example.org", "canary-passphrase");
    let free = Keyring::with_key("free@example.org", "");
    let stranger = Keyring::with_key("stranger@example.org", "");
    let writer = Keyring::with_key("writer@example.org", "");
    writer.take_public_key_of(&locked);
    writer.take_public_key_of(&free);
    let gpg = vec!["locked@example.org".to_owned(), "free@example.org".to_owned()];
    let home = Some(writer.path().to_owned());
    let encrypt = Some(Encrypt { gpg, gpg_home: home.clone(), age: Vec::new() });
    let keys = |keyring: &Keyring, passphrase: Option<&str>| {
        let passphrase = passphrase.map(|text| text.to_owned().into());
        Some(StoreKeys { gpg_home: Some(keyring.path().to_owned()), passphrase, identity: None })
    };
    for format in ["objects", "directory", "plain"] {
        bench.seal(encrypt.clone(), keys(&stranger, None));
        let set = dump(&bench, format, format).await;
        for path in sealed(&bench, &set) {
            assert!(path.strip_suffix(".gpg").is_some(), "{path}");
            free.gpg(&["--decrypt", bench.set(&set).join(&path).to_str().unwrap()]);
        }
        bench.verify(&set, "stored").await.unwrap();
        assert_eq!(bench.verify(&set, "identical").await.unwrap_err().code, "RB0642");
        locked.forget();
        bench.seal(encrypt.clone(), keys(&locked, Some("wrong")));
        assert_eq!(bench.verify(&set, "identical").await.unwrap_err().code, "RB0642");
        bench.seal(encrypt.clone(), keys(&locked, Some("canary-passphrase")));
        assert_eq!(bench.verify(&set, "identical").await.unwrap()["passed"], true);
        by_hand(&bench, &set, &[("GNUPGHOME", free.path())]);
        assert_identical(&bench, &set, "by hand").await;
        bench.cluster.drop_database("by hand").unwrap();
        assert!(!bench.host.logged().contains("canary-passphrase"));
    }
    let unknown =
        Encrypt { gpg: vec!["nobody@example.org".to_owned()], gpg_home: home, age: vec![] };
    bench.seal(Some(unknown), None);
    let with = json!({"connection": "prod", "store": "backups"});
    let error = run("pg.dump", &with, &bench.context("unknown")).await.unwrap_err();
    shown::case("RB0643", error.told());
    assert_eq!(fs::read_dir(bench.store().join("sets/shop")).unwrap().count(), 3);
}
