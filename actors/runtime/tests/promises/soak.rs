//! Many messages, many panics, and nothing lost but what panicked.

use actor_runtime::testkit::{Cast, Deed, assert_all_permits_back, run};
use actor_runtime::{Backoff, ExitKind};
use tokio::time::sleep;

use super::{GRACE, at_most, group_of, restarts, seconds, start};

const MESSAGES: u64 = 100_000;

#[test]
fn a_hundred_thousand_messages_lose_exactly_those_that_panic() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    run(async {
        let mut random = fastrand::Rng::with_seed(seed);
        let cast = Cast::default();
        let mine = cast.clone();
        let root = start(group_of(at_most(u32::MAX), Backoff::NONE, move || vec![mine.actor_with_room("a", 64)])).await;
        let outlet = cast.outlet("a");
        let mut expected = Vec::new();
        let mut failures = 0;
        for n in 0..MESSAGES {
            let deed = match random.u32(..1000) {
                0..4 => Deed::Panic,
                4..7 => Deed::PanicInWait,
                7..10 => Deed::Finish(actor_runtime::Exit::failure("x")),
                10..15 => {
                    expected.push(n);
                    Deed::Slow(n, seconds(1))
                }
                _ => {
                    expected.push(n);
                    Deed::Note(n)
                }
            };
            failures += u64::from(matches!(deed, Deed::Panic | Deed::PanicInWait | Deed::Finish(_)));
            outlet.send(deed).await.unwrap();
        }
        sleep(seconds(100)).await;
        assert_all_permits_back(outlet.gauge());
        assert_eq!(outlet.gauge().settled(), MESSAGES);
        assert_eq!(restarts(&root.tree(), ["a"]), [failures]);
        assert_eq!(root.drain(GRACE).await.exit.kind(), ExitKind::Drained);
        let handled: Vec<u64> =
            cast.of("a").iter().filter_map(|done| done.strip_prefix("handled ")?.parse().ok()).collect();
        assert_eq!(handled.len(), expected.len(), "seed {seed}");
        assert!(handled == expected, "in another order, seed {seed}");
    });
}
