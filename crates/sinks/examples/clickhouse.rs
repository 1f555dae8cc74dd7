//! What the tables of ClickHouse cost: bytes a sample, rows a second through the views, latency of the cookbook's questions.
//!
//! `cargo run -p sinks --example clickhouse -- 180` fills for 180 s with a fleet at a sample a second, hour by hour back
//! from now, at most a day of it, and then asks. The work is the server's, so the profile does not matter.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clickhouse::Client;
use sinks::clickhouse::{ClickHouseConfig, ClickHouseTables};
use sinks::migrate::Migrate;
use test_support::ClickHouse;

const HOUR: &str = include_str!("clickhouse.sql");
const COOKBOOK: &str = include_str!("../../../docs/clickhouse-cookbook.md");

/// A day of these is a hundred million samples.
const CONTAINERS: u64 = 1_160;

/// The tables as they lie on the disk: rows, bytes, bytes a row.
const SIZES: &str = "
    SELECT table, sum(rows) AS in_all, formatReadableSize(sum(bytes_on_disk)) AS size, round(sum(bytes_on_disk) / sum(rows), 2) AS bytes_a_row
    FROM system.parts WHERE database = currentDatabase() AND active GROUP BY table HAVING in_all > 1000 ORDER BY in_all DESC";

const COLUMNS: &str = "
    SELECT column, round(sum(column_data_compressed_bytes) / sum(rows), 2) AS bytes
    FROM system.parts_columns WHERE database = currentDatabase() AND table = 'hour' AND active GROUP BY column HAVING bytes >= 0.5 ORDER BY bytes DESC";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let budget = std::env::args().nth(1).map_or(180, |text| text.parse().expect("seconds"));
    let server = ClickHouse::start();
    let config = ClickHouseConfig { database: "cost".into(), ..ClickHouseConfig::new(server.url()) };
    ClickHouseTables::new(config).migrate(&mut drop).await.expect("tables");
    let client = Client::default().with_url(server.url()).with_database("cost");
    fill(&client, Duration::from_secs(budget)).await;
    println!("{}", ask(&client, SIZES).await);
    for (heading, sql) in questions() {
        let mut took = Vec::new();
        for _ in 0..5 {
            let since = Instant::now();
            ask(&client, sql).await;
            took.push(since.elapsed());
        }
        took.sort();
        println!("| {heading} | {:.0} | {:.0} |", millis(took[2]), millis(took[4]));
    }
}

/// An hour of the fleet, which is packed and measured, and then as many hours of it as there is time.
async fn fill(client: &Client, budget: Duration) {
    run(client, "CREATE TABLE hour AS container_stats").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let sql = HOUR.replace("{containers}", &CONTAINERS.to_string()).replace("{start}", &(now - 3_610).to_string());
    let code: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    run(client, &code.join("\n")).await;
    run(client, "OPTIMIZE TABLE hour FINAL").await;
    println!("{}\n{}", ask(client, SIZES).await, ask(client, COLUMNS).await);
    let (since, mut rows) = (Instant::now(), 0);
    for hour in 0..24 {
        if since.elapsed() > budget {
            break;
        }
        let shifted =
            ["timestamp", "received_at"].map(|time| format!("{time} - INTERVAL {hour} HOUR AS {time}")).join(", ");
        run(client, &format!("INSERT INTO container_stats SELECT * REPLACE ({shifted}) FROM hour")).await;
        rows += CONTAINERS * 3_600;
    }
    let took = since.elapsed();
    println!("{rows} rows in {took:.0?}: {:.0} rows/s through three views\n", rows as f64 / took.as_secs_f64());
}

/// The headings and statements of the cookbook.
fn questions() -> impl Iterator<Item = (&'static str, &'static str)> {
    COOKBOOK.split("\n## ").skip(1).filter_map(|section| {
        let sql = section.split_once("```sql\n")?.1.split_once(";\n```")?.0;
        Some((section.lines().next()?, sql))
    })
}

async fn run(client: &Client, sql: &str) {
    client.query_raw(sql).execute().await.unwrap_or_else(|error| panic!("{error}\nin {sql}"));
}

async fn ask(client: &Client, sql: &str) -> String {
    let answer = client.query_raw(sql).fetch_bytes("Markdown").expect("a query").collect().await;
    String::from_utf8_lossy(&answer.unwrap_or_else(|error| panic!("{error}\nin {sql}"))).into_owned()
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}
