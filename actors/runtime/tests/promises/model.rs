//! Random scripts of failures, against a model that fits a page.

use actor_runtime::testkit::{Cast, Deed, run};
use actor_runtime::{Backoff, Exit, GroupSpec, Intensity, NodeState, RestartPolicy, Strategy};
use proptest::prelude::{Just, ProptestConfig, any, prop_assert_eq, prop_oneof, proptest};
use tokio::time::sleep;

use super::{millis, node, start};

const NAMES: [&str; 3] = ["a", "b", "c"];
const WINDOW_MS: u64 = 1000;

#[derive(Clone, Copy, Debug)]
struct Step {
    after_ms: u64,
    child: usize,
    fails: bool,
}

/// What a group of three does, said in the simplest way: no backoff, one window for all.
struct Model {
    strategy: Strategy,
    policies: [RestartPolicy; 3],
    max: usize,
    now: u64,
    failures: Vec<u64>,
    restarts: [u64; 3],
    ended: [bool; 3],
    has_escalated: bool,
}

impl Model {
    fn take(&mut self, step: Step) {
        self.now += step.after_ms;
        let exit = if step.fails { Exit::failure("x") } else { Exit::Normal };
        if self.has_escalated || self.ended[step.child] {
            return;
        }
        if !self.policies[step.child].restarts(&exit) {
            self.ended[step.child] = true;
            return;
        }
        self.failures.push(self.now);
        if self.failures.iter().filter(|at| self.now - **at < WINDOW_MS).count() > self.max {
            self.has_escalated = true;
            return;
        }
        for other in 0..3 {
            let affected = match self.strategy {
                Strategy::OneForOne => other == step.child,
                Strategy::RestForOne => other >= step.child,
                Strategy::OneForAll => true,
            };
            if affected && !self.ended[other] {
                self.restarts[other] += 1;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_failures_restart_and_escalate_as_the_model_says(
        strategy in prop_oneof![Just(Strategy::OneForOne), Just(Strategy::RestForOne), Just(Strategy::OneForAll)],
        policies in any::<[u8; 3]>(),
        max in 0_u32..6,
        script in proptest::collection::vec((2_u64..400, 0_usize..3, any::<bool>()), 0..25),
    ) {
        let policies = policies.map(|n| [RestartPolicy::Permanent, RestartPolicy::Transient, RestartPolicy::Temporary][usize::from(n) % 3]);
        let script = script.into_iter().map(|(after_ms, child, fails)| Step { after_ms, child, fails });
        let mut model = Model {
            strategy, policies, max: max as usize, now: 0, failures: vec![], restarts: [0; 3], ended: [false; 3], has_escalated: false,
        };
        run(async {
            let cast = Cast::default();
            let mine = cast.clone();
            let intensity = Intensity::try_new(max, millis(WINDOW_MS)).unwrap();
            let root = start(GroupSpec::new("root", strategy, intensity, Backoff::NONE, move |_| {
                NAMES.iter().zip(policies).map(|(name, policy)| mine.actor(name).policy(policy)).collect()
            })).await;
            let tree = root.tree();
            for step in script {
                sleep(millis(step.after_ms - 1)).await;
                let exit = if step.fails { Exit::failure("x") } else { Exit::Normal };
                let sent = cast.outlet(NAMES[step.child]).send(Deed::Finish(exit)).await;
                prop_assert_eq!(sent.is_err(), model.has_escalated || model.ended[step.child]);
                sleep(millis(1)).await;
                model.take(step);
                let has_escalated = tree.view().state == NodeState::Stopped;
                prop_assert_eq!(has_escalated, model.has_escalated);
                if has_escalated {
                    continue;
                }
                for (child, name) in NAMES.iter().enumerate() {
                    let seen = node(&tree, name);
                    prop_assert_eq!(seen.restarts, model.restarts[child]);
                    prop_assert_eq!(seen.state == NodeState::Stopped, model.ended[child]);
                }
            }
            root.kill().await;
            Ok(())
        })?;
    }
}
