use std::sync::Arc;

use engine::memory_host::MemoryHost;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::*;

fn context() -> StepContext {
    let now = "2026-11-20T02:00:00Z".parse().unwrap();
    let host = Arc::new(MemoryHost::new(now, std::path::PathBuf::from("/nonexistent")));
    host.context("seal", 1, CancellationToken::new())
}

/// A channel from which the bytes come in chunks of these sizes, then of the last one.
fn chunks(bytes: &[u8], sizes: &[usize]) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(bytes.len() + 1);
    let (mut rest, mut sizes) =
        (bytes, sizes.iter().chain(std::iter::repeat(sizes.last().unwrap())));
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        sender.try_send(Bytes::copy_from_slice(chunk)).unwrap();
        rest = after;
    }
    receiver
}

async fn gathered(mut chunks: mpsc::Receiver<Bytes>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        all.extend_from_slice(&chunk);
    }
    all
}

async fn encrypted(seal: &Seal, text: mpsc::Receiver<Bytes>) -> Vec<u8> {
    let (out, sealed) = mpsc::channel(1);
    let (context, gathering) = (context(), gathered(sealed));
    let (done, sealed) = tokio::join!(seal.encrypt(&context, text, out), gathering);
    done.unwrap();
    sealed
}

async fn decrypted(keys: &Keys, sealed: mpsc::Receiver<Bytes>) -> (Result<(), Unopened>, Vec<u8>) {
    let (out, text) = mpsc::channel(1);
    let context = context();
    tokio::join!(keys.decrypt(&context, sealed, out), gathered(text))
}

fn pair() -> (Seal, Keys) {
    let identity = ::age::x25519::Identity::generate();
    (Seal::Age(vec![identity.to_public()]), Keys::Age(vec![identity]))
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1usize..70_000, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_encrypted_comes_back_however_it_was_cut(
        length in prop_oneof![0usize..300, 65_000usize..66_000, 131_000usize..200_000],
        (seed, there, back) in (any::<u8>(), sizes(), sizes()),
    ) {
        let bytes: Vec<u8> = (0..=250u8).cycle().take(length).map(|byte| byte ^ seed).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (text, differs) = runtime.block_on(async {
            let (seal, keys) = pair();
            let sealed = encrypted(&seal, chunks(&bytes, &there)).await;
            let (done, text) = decrypted(&keys, chunks(&sealed, &back)).await;
            done.unwrap();
            // No cut file is taken for a whole one.
            let cut = &sealed[..sealed.len() - 1 - usize::from(seed) % 15];
            let (cut, _) = decrypted(&keys, chunks(cut, &back)).await;
            (text, matches!(cut, Err(Unopened::Damaged(_))))
        });
        prop_assert_eq!(text, bytes);
        prop_assert!(differs);
    }
}

#[tokio::test]
async fn another_key_is_told_from_damage() {
    let ((seal, _), (_, strange)) = (pair(), pair());
    let sealed = encrypted(&seal, chunks(b"text", &[2])).await;
    let (done, text) = decrypted(&strange, chunks(&sealed, &[100])).await;
    assert!(matches!(done, Err(Unopened::Key(_))), "{done:?}");
    assert_eq!(text, b"");
    let (done, _) = decrypted(&strange, chunks(b"no such format", &[100])).await;
    assert!(matches!(done, Err(Unopened::Damaged(_))), "{done:?}");
}
