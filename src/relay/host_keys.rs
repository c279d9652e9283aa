//! SSH host keys that were seen first, in the table: what `host_key: tofu` compares with.

use std::sync::Arc;

use crate::clock::unix_micros;
use crate::driver::Async;
use crate::driver::ssh::connections::HostKeys;
use crate::store::{HostKeyRow, Journal, Write, Written};

/// The table of host keys, behind the committer.
#[derive(Debug)]
pub(super) struct StoredHostKeys(Journal);

impl StoredHostKeys {
    pub(super) fn of(journal: &Journal) -> Arc<dyn HostKeys> {
        Arc::new(Self(journal.clone()))
    }

    async fn find(&self, backend: &str) -> Result<Option<String>, String> {
        let rows = self.0.store().host_keys().await;
        let mut rows = rows.map_err(|error| error.to_string())?.into_iter();
        Ok(rows
            .find(|row| row.backend == backend)
            .map(|row| row.host_key))
    }
}

impl HostKeys for StoredHostKeys {
    fn recorded<'a>(&'a self, backend: &'a str) -> Async<'a, Result<Option<String>, String>> {
        Box::pin(self.find(backend))
    }

    fn record<'a>(&'a self, backend: &'a str, key: &'a str) -> Async<'a, Result<String, String>> {
        Box::pin(async move {
            let write = Write::RecordHostKey(HostKeyRow {
                backend: backend.to_owned(),
                host_key: key.to_owned(),
                first_seen: unix_micros(),
            });
            let written = self.0.write(write).await;
            match written.map_err(|error| error.to_string())? {
                Written::Invalid(words) => Err(words),
                // Whoever was first, what the table has now is what counts.
                _ => self
                    .find(backend)
                    .await?
                    .ok_or_else(|| "it was forgotten at the same moment".to_owned()),
            }
        })
    }
}
