//! Running a model under many schedules of shuttle.
//!
//! Every run draws others; a failure prints its schedule for `shuttle::replay`, and
//! `SHUTTLE_RANDOM_SEED` brings a whole run back.
#![allow(
    dead_code,
    reason = "each test file is a crate of its own and uses what it needs"
)]

use shuttle::{
    Config, Runner,
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};

/// Schedules of each model, unless SHUTTLE_ITERATIONS says otherwise.
const ITERATIONS: usize = 1_000;
/// Of the schedules with few preemptions: so many, less one.
const DEPTH: usize = 4;

/// Runs `model` under half of the schedules with a switch anywhere, and under half with few of them:
/// a fault that needs a thread to stay away for long is met by the second kind.
pub(crate) fn explore(model: fn()) {
    let iterations = std::env::var("SHUTTLE_ITERATIONS").map_or(ITERATIONS, |number| {
        number.parse().expect("SHUTTLE_ITERATIONS is a number")
    });
    let half = iterations.div_ceil(2);
    run(RandomScheduler::new(half), model);
    run(PctScheduler::new(DEPTH, half), model);
}

fn run(scheduler: impl Scheduler + 'static, model: fn()) {
    let mut config = Config::new();
    // That it takes all orderings for SeqCst is told in `sync`.
    config.silence_warnings = true;
    config.stack_size = 1 << 18;
    Runner::new(scheduler, config).run(model);
}

/// One of `these`, as the schedule decides.
pub(crate) fn one_of<T: Clone>(these: &[T]) -> T {
    these[thread_rng().gen_range(0..these.len())].clone()
}

/// A number below `end`, as the schedule decides.
pub(crate) fn below(end: usize) -> usize {
    thread_rng().gen_range(0..end)
}

/// Lets others run for a while.
pub(crate) fn linger() {
    for _ in 0..below(4) {
        shuttle::thread::yield_now();
    }
}
