//! A set that is read: its objects come decrypted, and both what is stored and what was encrypted
//! are checked.

use bytes::Bytes;
use engine::context::StepContext;
use model::set::manifest::{Encryption, File};
use model::step_error::StepError;
use tokio::sync::mpsc;

use super::WAITING;
use super::unpack::{Checked, Checker, Fault};
use crate::seal::{Keys, Unopened};
use crate::store::{LoadedSet, Store, StoreError};

/// Objects that a key is tried on; a damaged one says nothing about the key.
const TRIED: usize = 3;

/// A set and what opens it.
pub(in crate::pg) struct OpenSet<'a> {
    ctx: &'a StepContext,
    /// The store.
    pub(in crate::pg) store: &'a dyn Store,
    /// The set.
    pub(in crate::pg) set: &'a LoadedSet,
    keys: Option<Keys>,
}

impl<'a> OpenSet<'a> {
    /// A set of which only the stored bytes are looked at, which takes no key.
    pub(in crate::pg) fn closed(
        ctx: &'a StepContext,
        store: &'a dyn Store,
        set: &'a LoadedSet,
    ) -> Self {
        Self { ctx, store, set, keys: None }
    }

    /// A set whose objects are read. Fails before anything is done when it is encrypted and the
    /// store called `name` has no key, or not the right one.
    pub(in crate::pg) async fn open(
        ctx: &'a StepContext,
        name: &str,
        store: &'a dyn Store,
        set: &'a LoadedSet,
    ) -> Result<Self, StepError> {
        let closed = Self::closed(ctx, store, set);
        let Some(encryption) = &set.manifest.encryption else { return Ok(closed) };
        let by_gpg = matches!(encryption, Encryption::Gpg(_));
        let keys = Keys::of_store(ctx.store_keys(name).await?.as_ref(), by_gpg)?;
        let keys = keys.ok_or_else(|| no_key(name, set, encryption))?;
        let open = Self { keys: Some(keys), ..closed };
        open.try_key(name, encryption).await?;
        Ok(open)
    }

    async fn try_key(&self, name: &str, encryption: &Encryption) -> Result<(), StepError> {
        let mut sealed: Vec<&File> = self.set.manifest.files.iter().collect();
        sealed.retain(|file| file.plain.is_some());
        sealed.sort_by_key(|file| file.bytes);
        for file in sealed.into_iter().take(TRIED) {
            let (text, mut taken) = mpsc::channel(WAITING);
            let draining = async { while taken.recv().await.is_some() {} };
            let (tried, ()) = tokio::join!(self.decrypt(file, text), draining);
            match tried {
                Ok((_, Ok(()))) => return Ok(()),
                Ok((Ok(()), Err(Unopened::Key(why)))) => {
                    return Err(wrong_key(name, self.set, encryption, &why));
                }
                Ok((_, Err(Unopened::Failed(error)))) => return Err(error),
                // A damaged object says nothing about the key; it is named where it is read.
                Ok((_, Err(_))) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Sends the bytes of an object as they are stored.
    pub(super) async fn send_stored(
        &self,
        file: &File,
        chunks: mpsc::Sender<Bytes>,
    ) -> Checked<()> {
        let path = format!("{}/{}", self.set.folder, file.path);
        let mut reader = match self.store.open(&path).await {
            Err(StoreError::Missing { .. }) => return Ok(Err(Fault::Missing)),
            opened => opened?,
        };
        while let Some(chunk) = reader.read().await? {
            if chunks.send(chunk).await.is_err() {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// Sends what an object holds. What is wrong with the stored bytes is told before what that
    /// does to their decryption.
    pub(super) async fn send(&self, file: &File, text: mpsc::Sender<Bytes>) -> Checked<()> {
        if file.plain.is_none() {
            return self.send_stored(file, text).await;
        }
        let (stored, opened) = self.decrypt(file, text).await?;
        Ok(stored.and(opened.map_err(|why| match why {
            Unopened::NotTaken => Fault::NotTaken,
            Unopened::Key(why) | Unopened::Damaged(why) => {
                Fault::Damaged(format!("it does not decrypt: {why}"))
            }
            Unopened::Failed(error) => Fault::Unreadable(error.message),
        })))
    }

    /// Decrypts an object; gives whether it is stored as the manifest says, and how that ended.
    async fn decrypt(
        &self,
        file: &File,
        text: mpsc::Sender<Bytes>,
    ) -> Result<(Result<(), Fault>, Result<(), Unopened>), StoreError> {
        let keys = self.keys.as_ref().expect("a set that is encrypted was opened with its key");
        let (chunks, mut stored) = mpsc::channel::<Bytes>(WAITING);
        let (sealed, to_open) = mpsc::channel(WAITING);
        let checking = async move {
            let mut checker = Checker::of_stored(file);
            while let Some(chunk) = stored.recv().await {
                checker.add(&chunk);
                // Read to its end all the same, so that the verdict is about its SHA-256.
                sealed.send(chunk).await.ok();
            }
            checker.finish()
        };
        let (sent, checked, opened) = tokio::join!(
            self.send_stored(file, chunks),
            checking,
            Box::pin(keys.decrypt(self.ctx, to_open, text))
        );
        Ok((sent?.and(checked), opened))
    }
}

fn no_key(name: &str, set: &LoadedSet, encryption: &Encryption) -> StepError {
    let set = &set.manifest.set;
    let message =
        format!("set `{set}` is encrypted for {encryption}, and store `{name}` names no key");
    StepError::needs_operator("RB0641", message).hint(
        "add `decrypt: {identity: \"{{ secrets.backup_key }}\"}` to the store, and under `secrets` \
         where `backup_key` is read from; nothing was done",
    )
}

fn wrong_key(name: &str, set: &LoadedSet, encryption: &Encryption, why: &str) -> StepError {
    let set = &set.manifest.set;
    let message = format!(
        "the key of store `{name}` does not open set `{set}`, which is encrypted for {encryption}"
    );
    let mut error = StepError::needs_operator("RB0642", message)
        .hint("give `decrypt` of the store the key of one of these recipients; nothing was done");
    error.causes.push(why.to_owned());
    error
}
