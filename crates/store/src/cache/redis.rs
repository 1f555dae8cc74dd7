//! Answers in Redis, as JSON. Whatever goes wrong there, the store answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use model::Timestamp;
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, IntoConnectionInfo, RedisError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout};

use super::RedisConfig;
use super::counts::{CacheCounts, add};

/// What a call may take. A request makes two at most: it looks, and it puts down what it found elsewhere.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long Redis is left alone after a failure; twice as long after each further one.
const REST: Duration = Duration::from_secs(1);
/// The longest such rest.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// What lies under a key: a list is the same under one key for every host, a container is not.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    at: Timestamp,
    owner: Option<String>,
    value: T,
}

/// A Redis server, and whether it is worth asking.
pub struct RedisCache {
    client: Client,
    connection: AsyncMutex<Option<MultiplexedConnection>>,
    prefix: String,
    breaker: Breaker,
    patience: Duration,
    counts: Arc<CacheCounts>,
}

impl RedisCache {
    /// Connects at the first call.
    ///
    /// # Errors
    /// What is wrong with the address, in one line without what may be a secret in it.
    pub fn new(config: &RedisConfig, counts: Arc<CacheCounts>) -> Result<Self, String> {
        let info = config.url.as_str().into_connection_info().map_err(|error| told(&error))?;
        let mut settings = info.redis_settings().clone();
        if let Some(user) = &config.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &config.password {
            settings = settings.set_password(password);
        }
        let client = Client::open(info.set_redis_settings(settings)).map_err(|error| told(&error))?;
        let (connection, breaker) = (AsyncMutex::default(), Breaker::default());
        Ok(Self { client, connection, prefix: config.prefix.clone(), breaker, patience: PATIENCE, counts })
    }

    /// Whether it answers; with the time that a person has.
    ///
    /// # Errors
    /// Why it does not, in one line.
    pub async fn ping(&self, patience: Duration) -> Result<(), String> {
        let asked = async {
            let mut connection = self.client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").query_async::<String>(&mut connection).await
        };
        match timeout(patience, asked).await {
            Ok(answer) => answer.map(|_| ()).map_err(|error| told(&error)),
            Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
        }
    }

    /// The value under `key`, where it is that of `owner`, and its age.
    pub(super) async fn get<T: DeserializeOwned>(&self, key: &str, owner: Option<&str>) -> Option<(T, Duration)> {
        let bytes: Option<Vec<u8>> = self.call(redis::cmd("GET").arg(self.name(key))).await?;
        let Envelope { at, owner: found, value } = serde_json::from_slice::<Envelope<T>>(&bytes?).ok()?;
        let age = Timestamp::from(SystemTime::now()).nanos_since(at).max(0);
        (found.as_deref() == owner).then(|| (value, Duration::from_nanos(age.unsigned_abs())))
    }

    /// Puts `value` under `key`, for as long as it may be used.
    pub(super) async fn put<T: Serialize>(&self, key: &str, owner: Option<&str>, value: &T, ttl: Duration) {
        let at = Timestamp::from(SystemTime::now());
        let Ok(bytes) = serde_json::to_vec(&Envelope { at, owner: owner.map(str::to_owned), value }) else { return };
        let mut set = redis::cmd("SET");
        set.arg(self.name(key)).arg(bytes).arg("PX").arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let _stored: Option<String> = self.call(&set).await;
    }

    /// Waits as long as a busy machine needs.
    #[cfg(test)]
    pub(super) fn be_patient(&mut self) {
        self.patience = Duration::from_secs(60);
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The answer to `command`; `None` where there is none in time.
    async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        if !self.breaker.lets_through() {
            add(&self.counts.redis_skipped);
            return None;
        }
        let asked = async {
            let mut connection = self.connected().await?;
            command.query_async::<T>(&mut connection).await
        };
        let error = match timeout(self.patience, asked).await {
            Ok(Ok(answer)) => {
                self.breaker.well();
                return Some(answer);
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        add(&self.counts.redis_errors);
        let text = error.as_ref().map_or_else(|| format!("no answer within {} ms", self.patience.as_millis()), told);
        // A server that says why it does not do it, as when it is full, is there.
        let says_why = error.is_some_and(|error| error.code().is_some() && !error.is_connection_dropped());
        if says_why {
            tracing::debug!(error = text, "redis refuses");
            self.breaker.well();
        } else {
            // The connection may be the trouble: half an answer may be on its way.
            if let Ok(mut connection) = self.connection.try_lock() {
                *connection = None;
            }
            let rest = self.breaker.failed();
            tracing::warn!(error = text, rest = ?rest, "redis does not answer; the cache goes on without it");
        }
        None
    }

    async fn connected(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let made = self.client.get_multiplexed_async_connection().await?;
        *connection = Some(made.clone());
        Ok(made)
    }
}

/// Redis' error in one line.
fn told(error: &RedisError) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Keeps requests from waiting for what failed a moment ago.
#[derive(Default)]
struct Breaker {
    failures: AtomicU64,
    resting_until: Mutex<Option<Instant>>,
}

impl Breaker {
    /// After a rest one call is let through, to see.
    fn lets_through(&self) -> bool {
        let mut resting = self.resting_until.lock().unwrap_or_else(PoisonError::into_inner);
        match *resting {
            None => true,
            Some(until) if Instant::now() < until => false,
            Some(_) => {
                *resting = Some(Instant::now() + 2 * PATIENCE);
                true
            }
        }
    }

    fn well(&self) {
        if self.failures.swap(0, Ordering::Relaxed) > 0 {
            tracing::info!("redis answers again");
        }
        *self.resting_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn failed(&self) -> Duration {
        let before = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
        let rest = LONGEST_REST.min(REST * 2_u32.pow(u32::try_from(before).unwrap_or(16)));
        *self.resting_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + rest);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_there_is_a_rest_then_one_try_and_a_longer_rest() {
        let breaker = Breaker::default();
        assert!(breaker.lets_through());
        assert_eq!(breaker.failed(), REST);
        assert!(!breaker.lets_through());
        tokio::time::advance(REST).await;
        assert!(breaker.lets_through());
        assert!(!breaker.lets_through(), "one, to see");
        assert_eq!(breaker.failed(), 2 * REST);
        for _ in 0..20 {
            breaker.failed();
        }
        assert_eq!(breaker.failed(), LONGEST_REST);
        breaker.well();
        assert!(breaker.lets_through());
        assert_eq!(breaker.failed(), REST);
    }
}
