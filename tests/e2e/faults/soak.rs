//! Many hosts for a long time: containers come and go, daemons restart. In the end what is followed, and what is stored of
//! the containers, is what there is, every event is there once, and nothing has grown.
//!
//! A short one is a part of `make test`. `SOAK=10m` (`make soak`) is the long one, and writes its row of the report.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use model::Timestamp;
use serde_json::Value;
use simulator::{Profile, SimulatedHost, Simulator, State};
use test_support::{wait_for, wait_until};

use super::books::Books;
use super::chance::Chance;
use super::report::{grouped, record_soak};
use super::world::PATIENCE;
use crate::binary::{Dockstream, Finished, Launch, child};

/// How much of everything.
struct Plan {
    /// As it was asked for; `None` in `make test`.
    asked: Option<String>,
    lasting: Duration,
    hosts: usize,
    containers: usize,
    /// Containers that come or go in a second, of all hosts together.
    churn: f64,
    /// Between two restarts of some daemon.
    restarts: Duration,
    stats_interval: Duration,
    /// Growth that is none, as a share and in KiB.
    slack: (u64, u64),
}

/// Caches fill, and code is used for the first time.
const AT_FIRST: (u64, u64) = (25, 24 << 10);

/// Who comes and goes leaves holes in the allocator's heaps, for some minutes ever more of them.
const AT_LENGTH: (u64, u64) = (3, 3 << 10);

/// From so long on nothing is new: all that is kept of who came and went is kept for less than a minute.
const LONG: Duration = Duration::from_secs(600);

impl Plan {
    fn of_this_run() -> Self {
        let seconds = Duration::from_secs;
        match std::env::var("SOAK").ok().filter(|text| !text.is_empty()) {
            None => Self {
                asked: None,
                lasting: seconds(20),
                hosts: 4,
                containers: 25,
                churn: 10.0,
                restarts: seconds(3),
                stats_interval: seconds(1),
                slack: AT_FIRST,
            },
            Some(text) => {
                let lasting = humantime::parse_duration(&text).unwrap_or_else(|error| panic!("SOAK={text}: {error}"));
                Self {
                    asked: Some(text),
                    lasting,
                    hosts: 20,
                    containers: 100,
                    churn: 10.0,
                    restarts: seconds(10),
                    stats_interval: seconds(5),
                    slack: if lasting < LONG { AT_FIRST } else { AT_LENGTH },
                }
            }
        }
    }
}

/// One event of an engine: host, time in nanoseconds, type, action, actor.
type Told = (String, i64, String, String, String);

/// A container: host, id, state.
type Container = (String, String, String);

/// What dockstream takes at one moment.
#[derive(Clone, Copy, Debug)]
struct Taken {
    memory_kib: u64,
    /// Beside its connections to the engines.
    descriptors: usize,
}

struct Soak {
    plan: Plan,
    hosts: Vec<SimulatedHost>,
    dockstream: Dockstream,
    /// When each engine's events are heard, by its own clock.
    heard_from: Vec<Timestamp>,
}

#[test]
fn many_hosts_for_a_long_time_end_with_the_right_streams_every_event_once_and_nothing_grown() {
    let mut chance = Chance::of("soak");
    println!("soak: SEED={}", chance.seed());
    let soak = Soak::begin(Plan::of_this_run(), &mut chance);
    let (taken, restarted) = soak.lasts(&mut chance);
    let followed = soak.settles();
    soak.end(&taken, restarted, &followed);
}

impl Soak {
    fn begin(plan: Plan, chance: &mut Chance) -> Self {
        // A stream is a connection, and each has its two ends here.
        rlimit::increase_nofile_limit(u64::MAX).expect("open files");
        let host = |number: usize| {
            let profile = if number.is_multiple_of(2) { Profile::Docker28 } else { Profile::Docker20 };
            let builder = Simulator::host(format!("sim-{number}")).engine(profile).seed(chance.another());
            builder.containers(plan.containers).interval(plan.stats_interval).keep_log().start().expect("a host")
        };
        let hosts: Vec<_> = (0..plan.hosts).map(host).collect();
        let mut config = String::new();
        for host in &hosts {
            writeln!(config, "[[hosts]]\nname = \"{}\"\nurl = \"{}\"", host.name(), host.url()).expect("a string");
        }
        let interval = humantime::format_duration(plan.stats_interval);
        writeln!(config, "[collect]\nstats_interval = \"{interval}\"\ndiscovery_interval = \"10s\"").expect("a string");
        // What is known of who is gone is kept no longer than a part of the time in which nothing is to grow.
        writeln!(config, "cache_ttl = \"30s\"").expect("a string");
        writeln!(config, "[shutdown]\ngrace = \"60s\"").expect("a string");
        let dockstream = Launch::new(&config).start();
        let soak = Self { plan, hosts, dockstream, heard_from: Vec::new() };
        soak.follows_what_there_is("the start");
        wait_until(PATIENCE, "the events of every host are heard", || {
            soak.hosts.iter().all(|host| host.control().served().event_streams == 1)
        });
        let heard_from = soak.hosts.iter().map(|host| host.control().now()).collect();
        Self { heard_from, ..soak }
    }

    /// Lets it last. What it took, second by second, and how many daemons were restarted.
    fn lasts(&self, chance: &mut Chance) -> (Vec<Taken>, u64) {
        let rate = self.plan.churn / self.hosts.len() as f64;
        self.hosts.iter().for_each(|host| host.control().churn(rate));
        let begun = Instant::now();
        let (mut taken, mut restarted, mut restart_at) = (Vec::new(), 0, begun + self.plan.restarts);
        while begun.elapsed() < self.plan.lasting {
            std::thread::sleep(Duration::from_millis(1000));
            taken.push(self.taken());
            if Instant::now() >= restart_at {
                let host = &self.hosts[chance.number(0..self.hosts.len() as u64) as usize];
                // An engine that nobody listens to yet forgets what nobody heard.
                if host.control().served().event_streams == 1 {
                    host.control().restart_daemon(chance.millis(50..3000));
                    restarted += 1;
                }
                restart_at += self.plan.restarts;
            }
        }
        self.hosts.iter().for_each(|host| host.control().churn(0.0));
        (taken, restarted)
    }

    fn taken(&self) -> Taken {
        let before: usize = self.connections();
        let descriptors = self.dockstream.descriptors();
        // Between the two looks a connection may have come or gone.
        let connections = before.max(self.connections());
        Taken { memory_kib: self.dockstream.memory_kib(), descriptors: descriptors.saturating_sub(connections) }
    }

    fn connections(&self) -> usize {
        self.hosts.iter().map(|host| host.control().served().connections).sum()
    }

    /// The containers that have stats, by host and short id.
    fn truth(&self) -> BTreeSet<(String, String)> {
        let mut truth = BTreeSet::new();
        for host in &self.hosts {
            let control = host.control();
            let has_stats = |id: &String| matches!(control.state(id), Ok(State::Running | State::Paused));
            let ids = control.ids().into_iter().filter(has_stats);
            truth.extend(ids.map(|id| (host.name().to_owned(), id[..12].to_owned())));
        }
        truth
    }

    /// All containers and their states.
    fn containers(&self) -> BTreeSet<Container> {
        let of = |host: &SimulatedHost| {
            let (name, control) = (host.name().to_owned(), host.control());
            let states = control.ids().into_iter().filter_map(|id| Some((control.state(&id).ok()?, id)));
            states.map(|(state, id)| (name.clone(), id, state.name().to_owned())).collect::<Vec<_>>()
        };
        self.hosts.iter().flat_map(of).collect()
    }

    /// The same as the store has them.
    fn stored_containers(&self) -> BTreeSet<Container> {
        let database = rusqlite::Connection::open(self.dockstream.database()).expect("the database opens");
        let sql = "SELECT host, container_id, state FROM containers WHERE state <> 'removed'";
        let mut statement = database.prepare(sql).expect("the table is there");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("containers");
        rows.collect::<Result<_, _>>().expect("containers")
    }

    /// How many events and samples are stored.
    fn rows(&self) -> (u64, u64) {
        let database = rusqlite::Connection::open(self.dockstream.database()).expect("the database opens");
        let count = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table}");
            let count: i64 = database.query_row(&sql, [], |row| row.get(0)).expect("a count");
            u64::try_from(count).expect("a count")
        };
        (count("container_events"), count("container_stats"))
    }

    /// True where no engine is reached any more.
    fn are_down(&self) -> bool {
        let hosts = self.dockstream.get("/api/hosts?limit=1000");
        hosts["data"].as_array().is_some_and(|hosts| hosts.iter().all(|host| host["status"] == "down"))
    }

    /// The containers that are followed.
    fn followed(&self) -> BTreeSet<(String, String)> {
        let pipeline = self.dockstream.get("/api/pipeline");
        let mut followed = BTreeSet::new();
        for host in &self.hosts {
            let path = ["hosts", host.name(), "streams"];
            let group = path.iter().try_fold(&pipeline["tree"], |node, name| child(node, name));
            let streams = group.and_then(|group| group["children"].as_array()).into_iter().flatten();
            let name = |stream: &Value| stream["name"].as_str().expect("a name").split('.').next().map(str::to_owned);
            followed.extend(streams.filter_map(name).map(|id| (host.name().to_owned(), id)));
        }
        followed
    }

    fn follows_what_there_is(&self, after: &str) {
        let begun = Instant::now();
        loop {
            let (followed, truth) = (self.followed(), self.truth());
            if followed == truth {
                return;
            }
            let (more, fewer) = (followed.difference(&truth), truth.difference(&followed));
            let (more, fewer): (Vec<_>, Vec<_>) = (more.take(5).collect(), fewer.take(5).collect());
            assert!(
                begun.elapsed() < PATIENCE,
                "after {after} {} are followed of {}; not there: {more:?} …, not followed: {fewer:?} …",
                followed.len(),
                truth.len()
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Nothing changes any more: waits until everything is as it should be. How many streams there should be, and are.
    fn settles(&self) -> (usize, usize) {
        wait_until(PATIENCE, "every host is back", || {
            self.hosts.iter().all(|host| host.control().served().event_streams == 1)
        });
        self.follows_what_there_is("the churn");
        wait_until(PATIENCE, "what is stored of the containers is what there is", || {
            self.stored_containers() == self.containers()
        });
        for (host, marker) in self.hosts.iter().zip(self.markers()) {
            wait_until(PATIENCE, &format!("the last event of {} is stored", host.name()), || self.is_stored(&marker));
        }
        (self.truth().len(), self.followed().len())
    }

    /// A last event of each host: where it has arrived, all have that ever will.
    fn markers(&self) -> Vec<Told> {
        let mark = |host: &SimulatedHost| {
            let container = host.control().ids().remove(0);
            host.control().exec(&container, "true").expect("it runs");
            told(host).pop().expect("the end of the command")
        };
        self.hosts.iter().map(mark).collect()
    }

    fn is_stored(&self, (host, time, _, action, actor): &Told) -> bool {
        let database = rusqlite::Connection::open(self.dockstream.database()).expect("the database opens");
        let sql =
            "SELECT count(*) FROM container_events WHERE host = ? AND timestamp = ? AND action = ? AND actor_id = ?";
        let count: i64 = database.query_row(sql, (host, time, action, actor), |row| row.get(0)).expect("a count");
        count > 0
    }

    fn end(self, taken: &[Taken], restarted: u64, (wanted, followed): &(usize, usize)) {
        for host in &self.hosts {
            host.control().stop_daemon();
        }
        // What lies in the sockets is in no book yet. The store's keys would hide what came twice: the books do not, and then
        // the two are never the same.
        let settled = || {
            let books = Books::of(&self.dockstream.get("/api/pipeline"));
            let journaled = |stream: &str| books.stream(stream).journaled;
            let is_stored = self.rows() == (journaled("events"), journaled("stats"));
            (self.are_down() && books.are_settled() && is_stored).then_some(journaled("stats"))
        };
        let samples = wait_for(PATIENCE, "all that was read is stored, and once", settled);
        let losses = self.dockstream.get("/api/losses")["data"].clone();
        let finished = self.dockstream.terminate();
        assert_eq!(finished.code, Some(0), "{finished:?}");

        let stored = stored(&finished);
        let (mut heard, mut all, mut jobs) = (BTreeSet::new(), BTreeSet::new(), 0);
        for (host, from) in self.hosts.iter().zip(&self.heard_from) {
            let told = told(host);
            jobs += told.iter().filter(|event| event.2 == "container" && event.3 == "create").count()
                - self.plan.containers;
            heard.extend(told.iter().filter(|event| event.1 >= from.as_nanos()).cloned());
            all.extend(told);
        }
        let real: BTreeSet<&Told> =
            stored.iter().filter(|(_, synthetic)| !**synthetic).map(|(event, _)| event).collect();
        let missing: Vec<_> = heard.iter().filter(|event| !real.contains(event)).collect();
        let invented: Vec<_> = real.iter().filter(|event| !all.contains(**event)).collect();
        // A container of the churn lives once: what was told of it is not to be made up for.
        let happened: BTreeSet<_> =
            all.iter().map(|(host, _, kind, action, actor)| (host, kind, action, actor)).collect();
        let synthetic = stored.iter().filter(|(_, synthetic)| **synthetic).map(|(event, _)| event);
        let twice: Vec<_> = synthetic
            .filter(|(host, _, kind, action, actor)| happened.contains(&(host, kind, action, actor)))
            .collect();
        let first = |list: &[&Told]| list.iter().take(5).map(|event| format!("{event:?}")).collect::<Vec<_>>();
        let (flat, growth) = growth(taken, &self.plan);
        let row = format!(
            "| {} | {} × {} | {jobs} | {restarted} | {} | {} | {} | {}, {}, {} | {wanted} | {followed} | {growth} |",
            self.plan.asked.as_deref().unwrap_or("short"),
            self.plan.hosts,
            self.plan.containers,
            grouped(samples),
            grouped(heard.len() as u64),
            grouped(heard.iter().filter(|event| real.contains(event)).count() as u64),
            missing.len(),
            invented.len(),
            twice.len(),
        );
        println!("{row}");
        if let Some(length) = &self.plan.asked {
            record_soak(length, &row);
        }
        assert!(missing.is_empty(), "{} events are missing, such as {:#?}", missing.len(), first(&missing));
        assert!(invented.is_empty(), "{} events were never told: {invented:#?}", invented.len());
        assert!(twice.is_empty(), "{} events are there twice, such as {:#?}", twice.len(), first(&twice));
        assert_eq!(losses, serde_json::json!([]));
        assert_eq!(wanted, followed);
        assert!(flat, "it has grown: {growth}\n{taken:?}");
    }
}

/// What an engine told so far, in its order.
fn told(host: &SimulatedHost) -> Vec<Told> {
    let identity = |(at, event): (Timestamp, simulator::Event)| {
        // What follows is its argument.
        let action = event.action.split(": ").next().unwrap_or_default().to_owned();
        (host.name().to_owned(), at.as_nanos(), event.kind, action, event.actor_id)
    };
    host.control().events().into_iter().map(identity).collect()
}

/// The events in the embedded store, and whether they are synthetic.
fn stored(finished: &Finished) -> BTreeMap<Told, bool> {
    let database = rusqlite::Connection::open(finished.database()).expect("the database opens");
    let sql = "SELECT host, timestamp, type, action, actor_id, synthetic FROM container_events
               WHERE type IN ('container', 'image', 'network', 'volume')";
    let mut statement = database.prepare(sql).expect("the table is there");
    let event = |row: &rusqlite::Row<'_>| {
        Ok(((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?), row.get::<_, bool>(5)?))
    };
    statement.query_map([], event).expect("events").collect::<Result<_, _>>().expect("events")
}

/// Whether memory and descriptors are in the last third what they were in the first; both, as cells of the report.
fn growth(taken: &[Taken], plan: &Plan) -> (bool, String) {
    let median = |part: &[Taken], of: fn(&Taken) -> u64| {
        let mut sorted: Vec<u64> = part.iter().map(of).collect();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    // The first fifth is the beginning.
    let steady = &taken[taken.len() / 5..];
    let third = steady.len() / 3;
    let (early, late) = (&steady[..third], &steady[steady.len() - third..]);
    let ends = |of| (median(early, of), median(late, of));
    let (memory, descriptors) = (ends(|taken| taken.memory_kib), ends(|taken| taken.descriptors as u64));
    let (share, kib) = plan.slack;
    let is_flat = memory.1 <= memory.0 + memory.0 * share / 100 + kib && descriptors.1 <= descriptors.0 + 8;
    (is_flat, format!("{} → {} | {} → {}", memory.0 >> 10, memory.1 >> 10, descriptors.0, descriptors.1))
}
