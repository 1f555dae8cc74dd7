//! Making and upgrading what a sink writes to, apart from any delivery.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::sqlite;

/// A place whose tables or topics can be brought up to date: twice, by two at once, and while others write.
#[async_trait]
pub trait Migrate: Send {
    /// Makes what is missing and changes what is old, also where deliveries may not, and tells each step once it is done.
    /// The answer says in a line what is there then.
    ///
    /// # Errors
    /// What is wrong and what to do about it, in a line without secrets. What was done before stays.
    async fn migrate(&mut self, tell: &mut (dyn FnMut(String) + Send)) -> Result<String, String>;
}

/// The embedded store.
pub struct SqliteTables(pub PathBuf);

#[async_trait]
impl Migrate for SqliteTables {
    async fn migrate(&mut self, tell: &mut (dyn FnMut(String) + Send)) -> Result<String, String> {
        let (path, shown) = (self.0.clone(), self.0.display().to_string());
        let missing = !path.exists();
        let migrated = tokio::task::spawn_blocking(move || sqlite::migrate(&path)).await;
        migrated.map_err(|panicked| panicked.to_string())?.map_err(|error| error.to_string())?;
        if missing {
            tell("database made".into());
        }
        Ok(format!("{shown}, version {}", sqlite::SCHEMA_VERSION))
    }
}
