//! The sink: a range is one request, sent as the same bytes until the server has it.

use async_trait::async_trait;
use bytes::Bytes;
use model::{Batch, BatchId};
use pipeline::ports::{Appetite, Deliver, DeliverError, FailureClass, Range, Receipt};
use prost::Message;
use snap::raw::Encoder;
use tokio::task::spawn_blocking;

use super::client::Client;
use super::config::RemoteWriteConfig;
use super::doubt::Doubt;
use super::encode::{STREAMS, WriteRequest, encode};
use super::errors::RemoteWriteFailure;

/// Delivers to one server.
pub struct RemoteWriteSink {
    config: RemoteWriteConfig,
    client: Option<Client>,
    frozen: Option<Frozen>,
    doubt: Doubt,
}

/// A range as it is sent.
struct Frozen {
    /// What it was made of: ids name content.
    ids: Vec<BatchId>,
    body: Bytes,
}

impl RemoteWriteSink {
    /// A sink for the server that `config` names. Connects at `prepare`.
    pub fn new(config: RemoteWriteConfig) -> Self {
        Self { config, client: None, frozen: None, doubt: Doubt::default() }
    }

    async fn write(&mut self, body: Bytes) -> Result<(), RemoteWriteFailure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::new(&self.config)?,
        };
        let written = client.write(body).await;
        self.client = Some(client);
        written
    }

    async fn body(&mut self, batches: &[Batch]) -> Result<Bytes, RemoteWriteFailure> {
        if let Some(frozen) = self.frozen.as_ref().filter(|frozen| frozen.is_of(batches)) {
            return Ok(frozen.body.clone());
        }
        let (owned, labels) = (batches.to_vec(), self.config.labels.clone());
        let encoded = spawn_blocking(move || packed(&encode(&owned, &labels))).await;
        let body = encoded.map_err(|panicked| RemoteWriteFailure::Encode(panicked.to_string()))?;
        let ids = batches.iter().map(|batch| batch.id.clone()).collect();
        self.frozen = Some(Frozen { ids, body: body.clone() });
        Ok(body)
    }
}

impl Frozen {
    fn is_of(&self, batches: &[Batch]) -> bool {
        self.ids.iter().eq(batches.iter().map(|batch| &batch.id))
    }
}

fn packed(request: &WriteRequest) -> Bytes {
    let packed = Encoder::new().compress_vec(&request.encode_to_vec());
    packed.expect("a range is far below four gigabytes").into()
}

#[async_trait]
impl Deliver for RemoteWriteSink {
    fn kind(&self) -> &'static str {
        "remote_write"
    }

    fn target(&self) -> String {
        self.config.shown_url()
    }

    fn appetite(&self) -> Appetite {
        Appetite {
            rows: self.config.rows,
            bytes: self.config.bytes,
            linger: self.config.linger,
            streams: STREAMS.to_vec(),
        }
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        // Certificates are read again.
        self.client = None;
        match self.write(packed(&WriteRequest::default())).await {
            Ok(()) => Ok(()),
            // Some servers want a sample in every request: all else about this one was well, then.
            Err(failure) if failure.class() == FailureClass::Poison => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn deliver(&mut self, range: &Range) -> Result<Receipt, DeliverError> {
        let batches = &range.batches;
        let body = self.body(batches).await?;
        self.doubt.sending(batches);
        match self.write(body).await {
            Ok(()) => {}
            // Nothing less than a record can be sent: the server has this one.
            Err(failure) if failure.is_out_of_order() && range.rows() == 1 && self.doubt.is_of(batches) => {}
            Err(failure) => {
                // A proxy can say that it heard nothing of what was stored.
                if matches!(failure.class(), FailureClass::Retry | FailureClass::RetrySlow) {
                    self.doubt.unanswered(batches);
                }
                return Err(failure.into());
            }
        }
        self.doubt.settled(batches);
        self.frozen = None;
        Ok(Receipt::default())
    }

    async fn close(&mut self) {
        self.client = None;
    }
}
