//! The migrations as statements: for one server as they are written, or for a cluster.

/// A numbered script of `schemas/clickhouse/`. Every statement of it may be repeated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    pub version: u32,
    pub name: &'static str,
    pub sql: &'static str,
}

/// The migrations, in order. They are known by their numbers: one that comes late is still applied.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "initial", sql: include_str!("../../../../schemas/clickhouse/0001_initial.sql") },
    Migration { version: 2, name: "hosts", sql: include_str!("../../../../schemas/clickhouse/0002_hosts.sql") },
    Migration { version: 3, name: "logs", sql: include_str!("../../../../schemas/clickhouse/0003_logs.sql") },
    Migration { version: 4, name: "rollups", sql: include_str!("../../../../schemas/clickhouse/0004_rollups.sql") },
    Migration { version: 5, name: "codecs", sql: include_str!("../../../../schemas/clickhouse/0005_codecs.sql") },
    Migration { version: 6, name: "events", sql: include_str!("../../../../schemas/clickhouse/0006_events.sql") },
    Migration { version: 7, name: "rates", sql: include_str!("../../../../schemas/clickhouse/0007_rates.sql") },
];

/// Behind its name in a cluster: the part of a table that lies on one shard.
pub(super) const LOCAL: &str = "_local";

/// How long replicas remember the tokens of inserts: longer than any journal waits.
const REMEMBERED_SECONDS: u32 = 7 * 86_400;

/// What a statement makes or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    View,
    /// Of a table that is there: done once.
    Change,
    /// Of what a view that is there asks: done once.
    Query,
}

/// A statement of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub kind: Kind,
    /// What it makes or changes.
    pub name: String,
    /// What follows the name.
    rest: String,
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS ";
const VIEW: &str = "CREATE MATERIALIZED VIEW IF NOT EXISTS ";
const CHANGE: &str = "ALTER TABLE ";
const QUERY: &str = "MODIFY QUERY ";

impl Statement {
    /// Those of a script. Comments are lines of their own; no literal holds a semicolon.
    pub(super) fn all(sql: &str) -> Vec<Self> {
        let code: Vec<&str> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let code = code.join("\n");
        code.split(';').map(str::trim).filter(|text| !text.is_empty()).filter_map(Self::parse).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = [(Kind::Table, TABLE), (Kind::View, VIEW), (Kind::Change, CHANGE)]
            .into_iter()
            .find_map(|(kind, head)| Some((kind, text.strip_prefix(head)?)))?;
        let (name, rest) = rest.split_once(char::is_whitespace)?;
        let kind = if kind == Kind::Change && rest.starts_with(QUERY) { Kind::Query } else { kind };
        Some(Self { kind, name: name.to_owned(), rest: rest.trim_start().to_owned() })
    }

    /// What it has done, in words.
    pub(super) fn done(&self) -> String {
        match self.kind {
            Kind::Table => format!("table {} made", self.name),
            Kind::View => format!("view {} made", self.name),
            Kind::Change => format!("table {} changed", self.name),
            Kind::Query => format!("view {} changed", self.name),
        }
    }

    /// For one server.
    pub(super) fn alone(&self) -> Vec<String> {
        let Self { name, rest, .. } = self;
        let head = match self.kind {
            Kind::Table => TABLE,
            Kind::View => VIEW,
            Kind::Change | Kind::Query => CHANGE,
        };
        vec![format!("{head}{name} {rest}")]
    }

    /// For every server of `cluster`: a replicated part on each shard, and a distributed table over the parts under
    /// the table's own name. A view works on the parts: what belongs together is on one shard.
    pub(super) fn clustered(&self, cluster: &str, database: &str) -> Vec<String> {
        let Self { name, rest, .. } = self;
        let (on, database) = (format!("ON CLUSTER {}", quoted(cluster)), format!("`{}`", database.replace('`', "``")));
        let part = format!("{database}.{name}{LOCAL}");
        match self.kind {
            Kind::Table => vec![
                format!("{TABLE}{part} {on} {}", replicated(rest)),
                format!(
                    "{TABLE}{database}.{name} {on} AS {part} ENGINE = Distributed({}, {database}, {name}{LOCAL}, {})",
                    quoted(cluster),
                    shard_of(rest)
                ),
            ],
            Kind::View => vec![format!("{VIEW}{database}.{name} {on} {}", over_parts(rest, &database))],
            Kind::Query => vec![format!("{CHANGE}{database}.{name} {on} {}", over_parts(rest, &database))],
            Kind::Change => {
                let of = |table: &str| format!("{CHANGE}{table} {on} {rest}");
                // How columns are packed is a matter of the parts; which there are, of the whole too.
                let whole = rest.contains("ADD COLUMN").then(|| of(&format!("{database}.{name}")));
                [of(&part)].into_iter().chain(whole).collect()
            }
        }
    }
}

/// What a view reads and fills: the parts of the tables.
fn over_parts(rest: &str, database: &str) -> String {
    let mut words: Vec<String> = rest.split(' ').map(str::to_owned).collect();
    for index in 1..words.len() {
        let before = words[index - 1].trim_start_matches(|c: char| c != '\n').trim();
        if words[index - 1] == "TO" || before == "FROM" {
            words[index] = format!("{database}.{}{LOCAL}", words[index]);
        }
    }
    words.join(" ")
}

/// The same table with an engine that is replicated. Where its data lie in the keeper is up to the server's
/// `default_replica_path`.
fn replicated(rest: &str) -> String {
    let window =
        format!("replicated_deduplication_window_seconds = {REMEMBERED_SECONDS}, replicated_deduplication_window =");
    rest.replace("\n) ENGINE = ", "\n) ENGINE = Replicated").replace("non_replicated_deduplication_window =", &window)
}

/// What decides on the shard of a row: what belongs together by container, else by host, else by node.
fn shard_of(rest: &str) -> &'static str {
    let of = |column: &str| {
        rest.lines().any(|line| {
            let mut words = line.trim_start().splitn(2, ' ');
            words.next() == Some(column) && words.next().is_some_and(|kind| !kind.contains("Nullable"))
        })
    };
    match (of("container_id"), of("host")) {
        (true, _) => "cityHash64(host, container_id)",
        (false, true) => "cityHash64(host)",
        (false, false) => "cityHash64(node)",
    }
}

/// A string of SQL.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use test_support::ClickHouse;

    use super::*;

    fn every() -> Vec<Statement> {
        MIGRATIONS.iter().flat_map(|migration| Statement::all(migration.sql)).collect()
    }

    #[test]
    fn migrations_are_numbered_in_order_and_no_statement_of_theirs_is_left_out() {
        let numbers: Vec<u32> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert!(numbers.is_sorted_by(|before, after| before < after), "{numbers:?}");
        for Migration { name, sql, .. } in MIGRATIONS {
            let code = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
            let count = code.map(|line| line.matches(';').count()).sum::<usize>();
            assert_eq!(Statement::all(sql).len(), count, "{name}");
        }
    }

    #[test]
    fn every_statement_may_be_repeated_and_every_table_remembers_tokens() {
        for statement in every() {
            let rest = &statement.rest;
            match statement.kind {
                Kind::Table => assert!(rest.contains("non_replicated_deduplication_window = "), "{rest}"),
                Kind::View => assert!(rest.starts_with("TO "), "{rest}"),
                Kind::Query => assert!(rest.starts_with("MODIFY QUERY SELECT"), "{rest}"),
                // What a distributed table takes, and what it need not know: a statement is of one of the two.
                Kind::Change => {
                    let added = |line: &str| line.starts_with("ADD COLUMN IF NOT EXISTS ");
                    let packed = |line: &str| line.starts_with("MODIFY COLUMN ") && line.contains(" CODEC(");
                    let lines = || rest.lines().map(str::trim_start);
                    assert!(lines().all(added) || lines().all(packed), "{rest}");
                }
            }
        }
    }

    #[test]
    fn in_a_cluster_every_table_is_replicated_on_its_shard_and_distributed_over_all() {
        let sql: Vec<String> =
            every().iter().flat_map(|statement| statement.clustered("{cluster}", "docker")).collect();
        assert!(sql.iter().all(|sql| sql.contains(" ON CLUSTER '{cluster}' ")));
        let with = |words: &str| sql.iter().filter(|sql| sql.contains(words)).collect::<Vec<_>>();
        let tables = every().iter().filter(|statement| statement.kind == Kind::Table).count();
        assert_eq!(with("ENGINE = Replicated").len(), tables);
        assert_eq!(with("ENGINE = Distributed('{cluster}', `docker`, ").len(), tables);
        assert_eq!(with("non_replicated").len(), 0);
        let view = with("container_stats_1m_view").remove(0);
        assert!(view.contains("_view ON CLUSTER '{cluster}' TO `docker`.container_stats_1m_local AS SELECT"), "{view}");
        assert!(view.contains("\nFROM `docker`.container_stats_local AS source\n"), "{view}");
        let query =
            with("ALTER TABLE `docker`.container_stats_1m_view ON CLUSTER '{cluster}' MODIFY QUERY SELECT").remove(0);
        assert!(query.contains("\nFROM `docker`.container_stats_local AS source\n"), "{query}");
        let keys: BTreeSet<_> = ["container_stats ", "container_events ", "containers ", "host_health ", "losses "]
            .into_iter()
            .map(|table| {
                let sql = with(&format!("`docker`.{table}ON CLUSTER '{{cluster}}' AS")).remove(0);
                (table.trim_end(), sql.rsplit_once("cityHash64").expect("a sharding key").1)
            })
            .collect();
        let expected = [
            ("container_events", "(host))"),
            ("container_stats", "(host, container_id))"),
            ("containers", "(host, container_id))"),
            ("host_health", "(host))"),
            ("losses", "(node))"),
        ];
        assert_eq!(keys, BTreeSet::from(expected));
    }

    /// What the server can only be asked with a cluster and a keeper is parsed here, not run.
    #[test]
    fn the_server_understands_the_statements_for_a_cluster() {
        let server = ClickHouse::shared();
        for sql in every().iter().flat_map(|statement| statement.clustered("fleet", "docker")) {
            let written = server.query(&format!("SELECT formatQuery({}) FORMAT TSVRaw", quoted(&sql)));
            assert!(written.contains("ON CLUSTER fleet"), "{written}");
        }
    }

    #[test]
    fn text_is_quoted_so_that_it_stays_text() {
        assert_eq!(quoted(r"a'b\c"), r"'a\'b\\c'");
    }
}
