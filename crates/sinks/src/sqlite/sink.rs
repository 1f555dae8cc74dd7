//! The sink: hands ranges to its writer thread and waits for the answer.

use std::sync::Arc;

use async_trait::async_trait;
use model::Stream;
use pipeline::ports::{Appetite, Deliver, DeliverError, Range, Receipt};

use super::SqliteConfig;
use super::SqliteError;
use super::housekeeping::Counts;
use super::writer::Writer;

/// Delivers to one SQLite file.
pub struct SqliteSink {
    config: SqliteConfig,
    writer: Option<Writer>,
    /// Why the file must not be used any more.
    damage: Option<String>,
    counts: Arc<Counts>,
}

impl SqliteSink {
    /// A sink for the file that `config` names. Touches nothing before `prepare`.
    pub fn new(config: SqliteConfig) -> Self {
        Self { config, writer: None, damage: None, counts: Arc::default() }
    }
}

#[async_trait]
impl Deliver for SqliteSink {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn target(&self) -> String {
        self.config.path.display().to_string()
    }

    fn appetite(&self) -> Appetite {
        Appetite {
            rows: self.config.rows,
            bytes: self.config.bytes,
            linger: self.config.linger,
            streams: Stream::ALL.to_vec(),
        }
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        // After a failure the file may have been replaced or repaired: begin with a new connection.
        self.close().await;
        self.writer = Some(Writer::start(self.config.clone(), self.damage.clone(), self.counts.clone()).await?);
        self.damage = None;
        Ok(())
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        let writer = self.writer.as_ref().ok_or(SqliteError::NoWriter)?;
        match writer.write(range.batches.clone()).await {
            Ok(()) => Ok(Receipt::default()),
            Err(error) => {
                self.damage = error.damage();
                Err(error.into())
            }
        }
    }

    fn take_unkept(&mut self) -> Vec<(&'static str, u64)> {
        self.counts.take()
    }

    async fn close(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.stop().await;
        }
    }
}
