//! `dockstream migrate`: the database. A measurement makes itself; a bucket is made by whoever gave the token.

use async_trait::async_trait;

use super::{InfluxConfig, InfluxSink};
use crate::migrate::Migrate;

/// The database or the bucket of a sink.
pub struct InfluxPlace(pub InfluxConfig);

#[async_trait]
impl Migrate for InfluxPlace {
    async fn migrate(&mut self, tell: &mut (dyn FnMut(String) + Send)) -> Result<String, String> {
        let config = InfluxConfig { create_database: true, ..self.0.clone() };
        let shown = format!("{} ({})", config.shown_url(), config.api);
        let made = InfluxSink::new(config).prepared().await.map_err(|failure| failure.to_string())?;
        if let Some(database) = made {
            tell(format!("database {database} made"));
        }
        Ok(shown)
    }
}
