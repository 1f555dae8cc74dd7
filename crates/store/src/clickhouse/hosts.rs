//! Hosts: the last of what each told.

use model::HostRecord;

use super::conditions::Conditions;
use super::server::Server;
use crate::StoreError;

pub(super) async fn list(server: &Server) -> Result<Vec<HostRecord>, StoreError> {
    let sql = "SELECT * FROM (SELECT * FROM host_health ORDER BY host, observed_at DESC LIMIT 1 BY host)
               WHERE status <> 'removed' ORDER BY host";
    server.rows(sql, Conditions::default()).await
}
