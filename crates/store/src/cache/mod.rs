//! The cache before a store: answers that are asked for over and over, for as long as each may be old.
//!
//! | key | for |
//! |---|---|
//! | `containers:list`, with filters or a page `containers:list:{hash}` | 10 s |
//! | `containers:one:{id or name}` | 2 s |
//! | `stats:container:{id}:latest` | 2 s |
//! | `stats:total:latest` | 2 s |
//! | `image:{id}` | 5 min |
//! | `query:stats:{id}:{from}:{to}`, `query:total:{from}:{to}`, where it is not the default with `:{resolution}:{max_points}` | 30 s |
//!
//! In the process always; in Redis beside it by choice, which several processes share. One question is asked of the store
//! once at a time, however many wait for its answer. Redis that is slow or away costs a request less than 50 ms, and soon
//! nothing: it is left alone for a while. Where the store is away, the last answer is given, and marked as stale.

mod counts;
mod flights;
mod memory;
mod redis;
mod staleness;
mod store;

use std::fmt;

pub use self::redis::RedisCache;
pub use counts::{CacheCounts, CacheSnapshot};
pub use staleness::{noting_staleness, staleness};
pub use store::CachedStore;

/// Settings of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// Answers in memory, at most.
    pub entries: u64,
    /// Redis beside it.
    pub redis: Option<RedisConfig>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { entries: 10_000, redis: None }
    }
}

/// Where Redis is.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// `redis://host:6379`, or with the number of a database behind it: `redis://host:6379/2`.
    pub url: String,
    /// The user; Redis' default one where not set.
    pub user: Option<String>,
    /// The password. Never shown.
    pub password: Option<String>,
    /// What every key begins with.
    pub prefix: String,
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig").field("user", &self.user).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
