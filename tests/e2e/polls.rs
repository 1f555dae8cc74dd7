//! Stats are asked for as the engine likes it best, each container once an interval, few at once; and one that does not
//! answer costs its own samples only.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::Sight;
use simulator::{Call, Profile};

use crate::pipeline::{Simulated, count, eventually_within, on_a_system};

/// A busy machine is slow, and a silence is told after ten seconds.
const PATIENCE: Duration = Duration::from_secs(90);

fn world(profile: Profile, containers: usize, interval: &str) -> Simulated {
    let variables = [("DOCKSTREAM_COLLECT_MODE", "auto"), ("DOCKSTREAM_COLLECT_STATS_INTERVAL", interval)];
    Simulated::new(|engine| engine.engine(profile).containers(containers).keep_log(), &variables)
}

impl Simulated {
    /// The calls for stats so far, in their order.
    fn asked(&self) -> Vec<Call> {
        self.engine.control().calls().into_iter().filter(|call| call.path.ends_with("/stats")).collect()
    }

    /// Samples stored of a container.
    fn samples(&self, container: &str) -> u64 {
        count(&self.config, &format!("SELECT count(*) FROM container_stats WHERE container_id = '{container}'"))
    }

    /// Waits until `more` samples of each of `containers` are stored.
    async fn more_samples(&self, containers: &[String], more: u64) {
        let now = || containers.iter().map(|container| self.samples(container)).collect::<Vec<_>>();
        let before = now();
        eventually_within(PATIENCE, &format!("{more} more samples of {} containers", containers.len()), || {
            now().iter().zip(&before).all(|(now, before)| *now >= before + more).then_some(())
        })
        .await;
    }
}

/// How many of these calls were in flight at once, at most. One that was not answered was until the end.
fn most_at_once(calls: &[Call]) -> usize {
    let mut edges: Vec<(Duration, bool)> = Vec::new();
    for call in calls {
        edges.push((call.asked, true));
        edges.extend(call.answered.map(|answered| (answered, false)));
    }
    // Where one ends as another begins, the end came first: the other one waited for it.
    edges.sort_unstable();
    let (mut open, mut most) = (0_usize, 0);
    for (_, is_begun) in edges {
        open = if is_begun { open + 1 } else { open.saturating_sub(1) };
        most = most.max(open);
    }
    most
}

/// What is wrong with the polls of these last four intervals: each container has one an interval, and every tenth of the
/// interval has its share. What was late on a busy machine counts where it came.
fn unsteady(calls: &[Call], interval: Duration, containers: usize) -> Option<String> {
    let until = calls.last()?.asked;
    let from = until.checked_sub(4 * interval)?;
    let (mut tenths, mut polls) = ([0_usize; 10], BTreeMap::<&str, usize>::new());
    for call in calls.iter().filter(|call| call.asked >= from) {
        tenths[((call.asked.as_secs_f64() / interval.as_secs_f64()).fract() * 10.0) as usize] += 1;
        *polls.entry(&call.path).or_default() += 1;
    }
    let each = 4 * containers / 10;
    let are_spread = tenths.iter().all(|count| (each / 4..=each * 2).contains(count));
    let are_regular = polls.len() == containers && polls.values().all(|count| (3..=5).contains(count));
    (!are_spread || !are_regular).then(|| format!("{each} are expected in each tenth: {tenths:?}; {polls:?}"))
}

#[test]
fn each_container_is_polled_once_an_interval_twelve_at_once_at_most_and_all_are_spread_over_it() {
    const CONTAINERS: usize = 100;
    let interval = Duration::from_secs(2);
    let world = world(Profile::Docker28, CONTAINERS, "2s");
    // An engine that answered at once would never have two in hand.
    world.engine.control().delay_next(usize::MAX, "/containers/", Duration::from_millis(50));
    let calls = on_a_system(async {
        let topology = world.start();
        // Any four intervals will do, after those of the beginning: a machine that stands still for a moment makes some uneven.
        let (mut wrong, end) = (String::new(), Instant::now() + 2 * PATIENCE);
        let calls = loop {
            assert!(Instant::now() < end, "never even: {wrong}");
            tokio::time::sleep(interval / 8).await;
            let calls = world.asked();
            if calls.len() < 7 * CONTAINERS {
                continue;
            }
            match unsteady(&calls, interval, CONTAINERS) {
                None => break calls,
                Some(what) => wrong = what,
            }
        };
        topology.kill().await;
        calls
    });
    assert_eq!(world.engine.control().served().stats_streams, 0);
    let most = most_at_once(&calls);
    assert!((2..=12).contains(&most), "{most} at once");
    // Nobody is asked more often than that, however uneven it is.
    let passed = calls.last().unwrap().asked.saturating_sub(calls[0].asked).as_secs_f64() / interval.as_secs_f64();
    assert!(calls.len() as f64 <= (passed + 2.0) * CONTAINERS as f64, "{} polls in {passed} intervals", calls.len());
}

#[test]
fn auto_polls_an_engine_that_answers_at_once_and_streams_from_an_older_one() {
    for (profile, streams) in [(Profile::Docker20, 5), (Profile::Docker28, 0)] {
        let world = world(profile, 5, "200ms");
        let containers = world.engine.control().ids();
        on_a_system(async {
            let topology = world.start();
            world.more_samples(&containers, 10).await;
            assert_eq!(world.engine.control().served().stats_streams, streams, "{profile:?}");
            // A stream is asked for once.
            assert_eq!(world.asked().len() == containers.len(), streams > 0, "{profile:?}: {}", world.asked().len());
            topology.kill().await;
        });
    }
}

#[test]
fn a_container_that_hangs_costs_its_own_samples_only_is_told_and_comes_back() {
    for profile in [Profile::Docker20, Profile::Docker28] {
        let world = world(profile, 5, "200ms");
        let control = world.engine.control();
        let (wedged, others) = (control.ids()[0].clone(), control.ids()[1..].to_vec());
        on_a_system(async {
            let topology = world.start();
            world.more_samples(&control.ids(), 3).await;
            let is_silent = |count| {
                let silent = topology.view().silent();
                let gauge = format!("dockstream_silent_streams{{host=\"sim\"}} {count}");
                let is_right = silent.len() == count && Sight::metrics(topology.view()).contains(&gauge);
                is_right.then_some(silent)
            };
            assert_eq!(is_silent(0), Some(Vec::new()));

            // A stream that carries nothing any more, and calls that are never answered.
            control.stall(&wedged).unwrap();
            control.hang_next(usize::MAX, &format!("/containers/{wedged}/stats"));
            let told = eventually_within(PATIENCE, "the silence is told", || is_silent(1)).await;
            assert_eq!(told[0].container_id.as_str(), wedged);
            let samples = world.samples(&wedged);
            world.more_samples(&others, 20).await;
            assert_eq!(world.samples(&wedged), samples, "{profile:?}");

            control.heal();
            world.more_samples(std::slice::from_ref(&wedged), 5).await;
            assert_eq!(is_silent(0), Some(Vec::new()), "{profile:?}");
            topology.kill().await;
        });
    }
}
