//! The contents of large objects.

use std::collections::BTreeMap;

use model::set::{CatalogueObject, Category, Contents, RowHash};
use model::step_error::StepError;
use sha2::{Digest, Sha256};
use tokio_postgres::Client;
use tokio_postgres::types::Oid;

use crate::pg::classify;
use crate::store::hex;

/// Bytes that are read of one large object at a time.
const CHUNK: i32 = 4 << 20;

/// Large objects whose first chunk the server hashes in one statement.
const BATCH: i64 = 64;

/// Adds the size and SHA-256 of every large object, and their joint hash.
pub async fn read_large_objects(client: &Client, contents: &mut Contents) -> Result<(), StepError> {
    let mut joint = RowHash::new();
    let mut after: Option<Oid> = None;
    loop {
        let batch = read_batch(client, after).await?;
        let Some(last) = batch.last() else { break };
        after = Some(last.oid);
        for content in batch {
            let content = content.complete(client).await?;
            joint.add_row(format!("{}\t{}", content.oid, content.sha256).as_bytes());
            contents.objects.push(content.into_object());
        }
    }
    contents.large_objects.hash = Some(joint.hex());
    contents.sort();
    Ok(())
}

struct Content {
    oid: Oid,
    bytes: u64,
    sha256: String,
}

/// The small ones are hashed by the server, so that their bytes do not travel.
const FIRST_CHUNKS: &str = "
SELECT m.oid, length(c.bytes), encode(sha256(c.bytes), 'hex')
FROM (SELECT oid FROM pg_largeobject_metadata WHERE $1::oid IS NULL OR oid > $1
    ORDER BY oid LIMIT $2) m, LATERAL (SELECT lo_get(m.oid, 0, $3) AS bytes OFFSET 0) c
ORDER BY m.oid";

async fn read_batch(client: &Client, after: Option<Oid>) -> Result<Vec<Content>, StepError> {
    let rows = client.query(FIRST_CHUNKS, &[&after, &BATCH, &CHUNK]).await;
    let rows = rows.map_err(|error| classify::statement("read the large objects", &error))?;
    let content = |row: &tokio_postgres::Row| Content {
        oid: row.get(0),
        bytes: u64::from(row.get::<_, i32>(1).unsigned_abs()),
        sha256: row.get(2),
    };
    Ok(rows.iter().map(content).collect())
}

impl Content {
    /// Reads the whole object when its first chunk was full.
    async fn complete(self, client: &Client) -> Result<Self, StepError> {
        if self.bytes < u64::from(CHUNK.unsigned_abs()) {
            return Ok(self);
        }
        let what = || format!("read large object `{}`", self.oid);
        let mut hash = Sha256::new();
        let mut bytes = 0_u64;
        loop {
            let offset = i64::try_from(bytes).expect("a large object has at most 4 TiB");
            let sql = "SELECT lo_get($1, $2, $3)";
            let row = client.query_one(sql, &[&self.oid, &offset, &CHUNK]).await;
            let row = row.map_err(|error| classify::statement(&what(), &error))?;
            let chunk: &[u8] = row.get(0);
            hash.update(chunk);
            bytes += chunk.len() as u64;
            if chunk.len() < CHUNK.unsigned_abs() as usize {
                break;
            }
        }
        let sha256 = hex(hash.finalize());
        Ok(Self { oid: self.oid, bytes, sha256 })
    }

    fn into_object(self) -> CatalogueObject {
        let oid = self.oid.to_string();
        let attributes = BTreeMap::from([
            ("bytes".to_owned(), self.bytes.to_string()),
            ("sha256".to_owned(), self.sha256),
        ]);
        CatalogueObject {
            category: Category::LargeObjectContent,
            identity: oid.clone(),
            belongs_to: Some(oid),
            attributes,
        }
    }
}
