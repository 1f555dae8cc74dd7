use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use model::*;
use pipeline::ports::{Deliver, Range};
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}
fn batches(ticks: u64, containers: u64) -> Vec<Batch> {
    let now = Timestamp::from(SystemTime::now());
    let metas: Vec<Arc<ContainerMeta>> = (0..containers).map(|n| Arc::new(ContainerMeta {
        host: HostName::try_new("edge-1").unwrap(), container_id: ContainerId::try_new(&format!("{n:064x}")).unwrap(),
        container_name: format!("web-{n}"), image: "nginx:1.29".into(), compose_project: Some("shop".into()), compose_service: Some("web".into()), run: Some(now), labels: Default::default() })).collect();
    let mut rows = Vec::new();
    let mut out = Vec::new();
    let mut seq = 1;
    for t in 0..ticks { for m in &metas {
        let sample = Sample::read(|p, k| Ok::<_, ()>(match k { SampleKind::Float64 => SampleValue::Float(Some(t as f64 * 0.37 + p as f64)), _ => SampleValue::Unsigned(Some(t * 104_729 + p as u64 * 1_000_003)) })).unwrap();
        rows.push(StatsRecord { meta: m.clone(), timestamp: now - Duration::from_secs(ticks - t), received_at: now, network_scope: Some(NetworkScope::Own), sample });
        if rows.len() == 500 {
            let id = BatchId { node: NodeName::try_new("n").unwrap(), epoch: 1, stream: Stream::Stats, first: seq, last: seq + 499 };
            seq += 500;
            out.push(Batch { id, trigger: Trigger::Count, bytes: 500 * 600, opened_at: now, rows: Rows::Stats(std::mem::take(&mut rows).into()) });
        }
    } }
    out
}
async fn go(name: &str, sink: &mut dyn Deliver, all: &[Batch], per: usize) {
    sink.prepare().await.unwrap();
    let (t, c) = (Instant::now(), cpu());
    let mut n = 0; let mut pos = 0; let mut worst = Duration::ZERO;
    for chunk in all.chunks(per) {
        let r = Range { first: pos, end: pos + chunk.len() as u64, batches: chunk.to_vec() };
        pos = r.end; n += r.rows();
        let s = Instant::now();
        sink.deliver(&r).await.unwrap();
        worst = worst.max(s.elapsed());
    }
    let (e, u) = (t.elapsed().as_secs_f64(), cpu() - c);
    println!("{name:10} {n} rows, {} a range: {:.0} rows/s, {:.1} us cpu/row, worst range {:?}", per * 500, n as f64 / e, u / n as f64 * 1e6, worst);
}
#[tokio::main]
async fn main() {
    let all = batches(200, 1000);
    for per in [2usize, 20] {
        let d = tempfile::tempdir().unwrap();
        let mut s = sinks::sqlite::SqliteSink::new(sinks::sqlite::SqliteConfig::new(d.path().join("x.db")));
        go("sqlite", &mut s, &all, per).await; s.close().await;
        println!("   file {} MB", std::fs::metadata(d.path().join("x.db")).unwrap().len() / 1_000_000);
    }
    let k = test_support::Kafka::start();
    for per in [2usize, 40] {
        let mut s = sinks::kafka::KafkaSink::new(sinks::kafka::KafkaConfig::new(vec![k.bootstrap().into()]));
        go("kafka", &mut s, &all, per).await; s.close().await;
    }
    drop(k);
    let c = test_support::ClickHouse::start();
    for per in [2usize, 100] {
        let mut s = sinks::clickhouse::ClickHouseSink::new(sinks::clickhouse::ClickHouseConfig { database: test_support::unique("x"), ..sinks::clickhouse::ClickHouseConfig::new(c.url()) });
        go("clickhouse", &mut s, &all, per).await;
    }
}
