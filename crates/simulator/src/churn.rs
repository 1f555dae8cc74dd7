//! Churn: jobs that come and go by themselves, by the seed, at a given rate.

use std::time::Duration;

use crate::spec::{ContainerSpec, Load};
use crate::world::{Key, Removal, World};

/// How the host churns.
#[derive(Default)]
pub(crate) struct ChurnState {
    /// Raised by each change of the rate: steps planned before are void.
    epoch: u64,
    rate: f64,
    jobs: Vec<Key>,
    made: u64,
}

/// Jobs alive at once, at most.
const MAX_JOBS: usize = 20;

/// The image of the jobs. Its tag moves, as that of a nightly build does.
const JOB_IMAGE: &str = "shop/job:nightly";

/// So many jobs are made of one build.
const JOBS_OF_A_BUILD: u64 = 10;

impl World {
    /// Starts, changes or (with 0) ends the churn; `rate` is steps per second.
    pub(crate) fn set_churn(&mut self, rate: f64) {
        self.churn.epoch += 1;
        self.churn.rate = rate;
        self.plan_churn();
    }

    /// One step: a job comes, or one of those that are there goes.
    pub(crate) fn churn_step(&mut self, epoch: u64) {
        if epoch != self.churn.epoch {
            return;
        }
        let known = std::mem::take(&mut self.churn.jobs);
        self.churn.jobs = known.into_iter().filter(|job| self.exists(*job)).collect();
        let jobs = self.churn.jobs.len();
        let comes = jobs == 0 || (jobs < MAX_JOBS && self.rng().bool());
        if comes {
            self.job_comes()
        } else {
            self.job_goes()
        }
        self.plan_churn();
    }

    fn plan_churn(&mut self) {
        if self.churn.rate > 0.0 {
            // Between half and one and a half times the mean.
            let factor = 0.5 + self.rng().f64();
            let (after, epoch) = (Duration::from_secs_f64(factor / self.churn.rate), self.churn.epoch);
            self.schedule_churn(after, epoch);
        }
    }

    fn job_comes(&mut self) {
        if self.churn.made.is_multiple_of(JOBS_OF_A_BUILD) {
            self.new_build();
        }
        self.churn.made += 1;
        let cores = 0.05 + 0.4 * self.rng().f64();
        let spec = ContainerSpec::new(format!("job-{}", self.churn.made))
            .image(JOB_IMAGE, "/app/job --once")
            .load(Load::wave(cores, Duration::from_secs(20)))
            .compose("jobs", "job");
        // Refused where a person took the name: then this step makes nothing.
        if let Ok(key) = self.create(spec) {
            self.churn.jobs.push(key);
            let _ = self.start(key);
        }
    }

    /// A new build is pulled; the old ones that nothing is made of any more are removed.
    fn new_build(&mut self) {
        self.pull(JOB_IMAGE);
        let is_old = |image: &&crate::world::Image| image.tags.is_empty();
        let old: Vec<String> = self.images().iter().filter(is_old).map(|image| image.id.clone()).collect();
        for image in old {
            // Refused where a job is still made of it.
            let _ = self.remove_image(&image);
        }
    }

    fn job_goes(&mut self) {
        let jobs = self.churn.jobs.len();
        let index = self.rng().usize(..jobs);
        let job = self.churn.jobs.swap_remove(index);
        let code = i64::from(self.rng().u8(..10) == 0);
        // Refused where a person stopped it: it is removed all the same.
        let _ = self.exit(job, code);
        let _ = self.remove(job, Removal::Forced);
    }
}
