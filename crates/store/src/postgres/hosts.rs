//! Hosts.

use model::HostRecord;

use super::columns::HOSTS;
use super::conditions::Conditions;
use super::server::Server;
use crate::StoreError;

pub(super) async fn list(server: &Server) -> Result<Vec<HostRecord>, StoreError> {
    let sql =
        format!("SELECT {} FROM hosts AS there WHERE status <> 'removed' ORDER BY there.host COLLATE \"C\"", *HOSTS);
    server.rows(&sql, Conditions::default()).await
}
