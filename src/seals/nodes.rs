//! Hashes of subtrees, from what is stored of them: leaves, and the roots of 1024, of 1024 of those, ….

use std::collections::HashMap;
use std::ops::Range;

use sqlx::PgPool;

use super::difference::{Difference, What};
use super::tree::{Edge, Hash, Node, complete, range_root};

/// Roots of complete subtrees are kept on every so many levels: what lies between is computed from 1024
/// hashes.
const KEPT_LEVELS: u32 = 10;

/// Is the hash of this subtree kept beside the seals?
pub(super) fn is_kept(node: Node) -> bool {
    node.level > 0 && node.level.is_multiple_of(KEPT_LEVELS)
}

/// The first of these hashes that is not kept as it is.
pub(super) async fn unlike(
    pool: &PgPool,
    tenant: &str,
    nodes: &[(Node, Hash)],
) -> Result<Option<Difference>, sqlx::Error> {
    if nodes.is_empty() {
        return Ok(None);
    }
    let levels: Vec<i16> = nodes.iter().map(|(node, _)| node.level as i16).collect();
    let indexes: Vec<i64> = nodes.iter().map(|(node, _)| node.index as i64).collect();
    let hashes: Vec<&[u8]> = nodes.iter().map(|(_, hash)| &hash[..]).collect();
    let first: Option<i64> = sqlx::query_scalar(
        "select min((n.index << n.level::integer) + 1)
         from unnest($2::smallint[], $3::bigint[], $4::bytea[]) n (level, index, hash)
         where not exists (select from seal_nodes s
                           where s.tenant = $1 and (s.level, s.index, s.hash) = (n.level, n.index, n.hash))",
    )
    .bind(tenant)
    .bind(levels)
    .bind(indexes)
    .bind(hashes)
    .fetch_one(pool)
    .await?;
    Ok(first.map(|position| What::Misplaced.at(position)))
}

/// Is a hash kept of more events than the log has, or on a level that none is kept of? It is told of behind
/// the end of the log.
pub(super) async fn ahead(pool: &PgPool, tenant: &str) -> Result<Option<Difference>, sqlx::Error> {
    let first: Option<i64> = sqlx::query_scalar(
        "select min(l.position + 1)
         from seal_nodes s join logs l on l.tenant = s.tenant
         where s.tenant = $1
           and (s.level < 10 or s.level > 60 or s.level % 10 <> 0
                or s.index < 0 or s.index >= l.position >> s.level::integer)",
    )
    .bind(tenant)
    .fetch_one(pool)
    .await?;
    Ok(first.map(|position| What::Misplaced.at(position)))
}

/// Reads what proofs about one log's tree are made from.
pub(super) struct Nodes<'a> {
    pub(super) pool: &'a PgPool,
    pub(super) tenant: &'a str,
}

impl Nodes<'_> {
    /// The roots over ranges of leaves, in order; `None` if something of them is not stored.
    pub(super) async fn roots(
        &self,
        ranges: Vec<Range<u64>>,
    ) -> Result<Option<Vec<Hash>>, sqlx::Error> {
        let mut known = HashMap::new();
        for node in ranges.iter().cloned().flat_map(complete) {
            let Some(hash) = self.hash(node).await? else {
                return Ok(None);
            };
            known.insert(node, hash);
        }
        let roots = ranges.into_iter();
        Ok(Some(
            roots
                .map(|range| range_root(range, |node| known[&node]))
                .collect(),
        ))
    }

    /// The hash of a complete subtree, from at most 1024 hashes of the next level that is kept below it.
    async fn hash(&self, node: Node) -> Result<Option<Hash>, sqlx::Error> {
        let level = node.level / KEPT_LEVELS * KEPT_LEVELS;
        let height = node.level - level;
        let below = node.index << height..(node.index + 1) << height;
        let expected = below.end - below.start;
        let hashes = match level {
            0 => self.leaves(below).await?,
            _ => self.kept(level, below).await?,
        };
        if hashes.len() as u64 != expected {
            return Ok(None);
        }
        let mut edge = Edge::default();
        for hash in hashes {
            edge.push(hash, |_, _| ());
        }
        Ok(Some(edge.root()))
    }

    async fn kept(&self, level: u32, indexes: Range<u64>) -> Result<Vec<Hash>, sqlx::Error> {
        let hashes: Vec<Vec<u8>> = sqlx::query_scalar(
            "select hash from seal_nodes
             where tenant = $1 and level = $2 and index >= $3 and index < $4 order by index",
        )
        .bind(self.tenant)
        .bind(level as i16)
        .bind(indexes.start as i64)
        .bind(indexes.end as i64)
        .fetch_all(self.pool)
        .await?;
        Ok(hashes
            .into_iter()
            .filter_map(|hash| hash.try_into().ok())
            .collect())
    }

    /// Leaves, cut out of the rows of their seals.
    async fn leaves(&self, leaves: Range<u64>) -> Result<Vec<Hash>, sqlx::Error> {
        let parts: Vec<Vec<u8>> = sqlx::query_scalar(
            "select substring(leaves from (32 * (greatest($2, first) - first))::integer + 1
                              for (32 * (least($3, size) - greatest($2, first) + 1))::integer)
             from seals where tenant = $1 and size >= $2 and first <= $3 order by size",
        )
        .bind(self.tenant)
        .bind(leaves.start as i64 + 1)
        .bind(leaves.end as i64)
        .fetch_all(self.pool)
        .await?;
        let all = parts.concat();
        let (hashes, _) = all.as_chunks::<32>();
        Ok(hashes.to_vec())
    }
}
