//! The states of resilience against plain models, step by step in virtual time.
#![cfg(not(any(penstock_loom, penstock_shuttle)))]

use std::collections::VecDeque;

use penstock_core::resilience::{
    Everybody, Holder,
    breaker::{Breaker, BreakerRules, Permit, State, WHOLE, Window},
    buckets::BUCKETS,
    rate::{Grant, Rate, RateRules},
};
use proptest::prelude::*;

const ME: Holder = Holder::new(0, 0);
/// Moments are multiples of it: 16 ns is what a breaker remembers an opening by.
const UNIT: u64 = 16_000;

#[derive(Debug, Clone, Copy)]
enum Step {
    Acquire,
    /// Of the permits that are out, that one; its outcome, and whether it was slow.
    Record(usize, Option<bool>, bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Acquire),
        5 => (0usize..8, prop_oneof![
            3 => Just(Some(true)), 4 => Just(Some(false)), 1 => Just(None)
        ], any::<bool>()).prop_map(|(number, ok, slow)| Step::Record(number, ok, slow)),
        2 => (0u64..40).prop_map(|units| Step::Pass(units * UNIT)),
    ]
}

fn rules() -> impl Strategy<Value = BreakerRules> {
    let window = prop_oneof![
        Just(Window::Consecutive),
        (1usize..40).prop_map(Window::Count),
        (1u64..10).prop_map(|units| Window::Time(units * BUCKETS as u64 * UNIT)),
    ];
    let rate = prop_oneof![Just(0), 100_000u64..=WHOLE];
    (
        window,
        1u32..6,
        rate.clone(),
        rate,
        1u64..8,
        1usize..4,
        1u32..4,
        0u32..3,
    )
        .prop_map(
            |(
                window,
                failure_threshold,
                failure_rate,
                slow_rate,
                min_calls,
                probes,
                success_threshold,
                probe_failures,
            )| {
                BreakerRules {
                    window,
                    failure_threshold,
                    failure_rate,
                    slow_rate,
                    slow_after: 1_000,
                    min_calls: if window == Window::Consecutive {
                        1
                    } else {
                        min_calls
                    },
                    open_for: 50 * UNIT,
                    probes,
                    success_threshold,
                    probe_failures,
                    probe_expires: 0,
                }
            },
        )
}

/// A breaker as one would write it down: a state, a list of outcomes, and counts.
struct Model {
    rules: BreakerRules,
    state: State,
    /// Raised with every change: what was let through before does not count.
    era: u64,
    opened: u64,
    in_a_row: u32,
    /// When, failed, slow.
    outcomes: VecDeque<(u64, bool, bool)>,
    out: u32,
    successes: u32,
    failures: u32,
}

impl Model {
    fn go(&mut self, state: State, now: u64) {
        (self.state, self.opened) = (state, now);
        self.era += 1;
        (self.in_a_row, self.out, self.successes, self.failures) = (0, 0, 0, 0);
        self.outcomes.clear();
    }

    /// Whether it lets a call through, and in which era.
    fn acquire(&mut self, now: u64) -> Option<u64> {
        if self.state == State::Open && now >= self.opened + self.rules.open_for {
            self.go(State::HalfOpen, now);
        }
        match self.state {
            State::Closed => Some(self.era),
            State::Open => None,
            State::HalfOpen => {
                let most = self.rules.success_threshold + self.rules.probe_failures;
                let may = self.out < self.rules.probes as u32
                    && self.out + self.successes + self.failures < most;
                self.out += u32::from(may);
                may.then_some(self.era)
            }
        }
    }

    fn record(&mut self, era: u64, ok: Option<bool>, is_slow: bool, now: u64) {
        if era != self.era {
            return;
        }
        if self.state == State::HalfOpen {
            self.out -= 1;
            let Some(ok) = ok else { return };
            if ok && !(is_slow && self.rules.slow_rate > 0) {
                self.successes += 1;
                if self.successes >= self.rules.success_threshold {
                    self.go(State::Closed, now);
                }
            } else if self.failures >= self.rules.probe_failures {
                self.go(State::Open, now);
            } else {
                self.failures += 1;
            }
            return;
        }
        let Some(ok) = ok else { return };
        if self.rules.window == Window::Consecutive {
            self.in_a_row = if ok { 0 } else { self.in_a_row + 1 };
            if self.in_a_row >= self.rules.failure_threshold {
                self.go(State::Open, now);
            }
            return;
        }
        self.outcomes.push_back((now, !ok, is_slow));
        match self.rules.window {
            Window::Count(size) => {
                while self.outcomes.len() > size {
                    self.outcomes.pop_front();
                }
            }
            Window::Time(length) => {
                // Whole tenths of it.
                let tenth = length / BUCKETS as u64;
                let first = (now / tenth).saturating_sub(BUCKETS as u64 - 1);
                self.outcomes.retain(|it| it.0 / tenth >= first);
            }
            Window::Consecutive => unreachable!(),
        }
        let calls = self.outcomes.len() as u64;
        let failures = self.outcomes.iter().filter(|it| it.1).count() as u64;
        let slow = self.outcomes.iter().filter(|it| it.2).count() as u64;
        let reaches = |count: u64, rate: u64| rate > 0 && count * WHOLE >= rate * calls;
        if calls >= self.rules.min_calls
            && (failures >= u64::from(self.rules.failure_threshold)
                || reaches(failures, self.rules.failure_rate)
                || reaches(slow, self.rules.slow_rate))
        {
            self.go(State::Open, now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_breaker_does_what_a_list_of_outcomes_says(
        rules in rules(), steps in prop::collection::vec(step(), 1..200)
    ) {
        let breaker = Breaker::default();
        let mut model = Model {
            rules, state: State::Closed, era: 0, opened: 0, in_a_row: 0,
            outcomes: VecDeque::new(), out: 0, successes: 0, failures: 0,
        };
        let mut now = 7 * UNIT;
        let mut out: VecDeque<(Permit, u64)> = VecDeque::new();
        for step in steps {
            let before = model.era;
            let change = match step {
                Step::Acquire => {
                    let (permit, change) = breaker.acquire(&rules, ME, || now, &Everybody);
                    let expected = model.acquire(now);
                    prop_assert_eq!(permit.is_some(), expected.is_some(), "{:?}", step);
                    if let (Some(permit), Some(era)) = (permit, expected) {
                        out.push_back((permit, era));
                    }
                    change
                }
                Step::Record(number, ok, is_slow) => {
                    let Some((permit, era)) = out.remove(number % out.len().max(1)) else { continue };
                    let duration = if is_slow { 1_000 } else { 999 };
                    model.record(era, ok, is_slow, now);
                    breaker.record(&rules, ME, permit, ok, duration, || now)
                }
                Step::Pass(time) => {
                    now += time;
                    None
                }
            };
            prop_assert_eq!(change.is_some(), model.era != before, "{:?}", step);
            let word = breaker.word();
            prop_assert_eq!(word.state(), model.state, "{:?}", step);
            prop_assert_eq!(word.generation(), model.era);
            if model.state == State::HalfOpen {
                prop_assert_eq!(word.probes().count_ones(), model.out);
                prop_assert_eq!(word.successes(), model.successes);
                prop_assert_eq!(word.failures(), model.failures);
            }
        }
    }

    #[test]
    fn a_rate_does_what_a_bucket_says(
        limit in 1u64..50, burst in 1u64..50, steps in prop::collection::vec((0u64..2_000, 1u64..4), 1..300)
    ) {
        // In fractions of a call, so that nothing is rounded: a call costs 1,000, a nanosecond brings `limit`.
        let price = 1_000;
        let rules = RateRules::new(limit as f64, price * limit, burst).unwrap();
        // So a call costs 1,000 ns whatever the limit.
        let rate = Rate::default();
        let (mut level, mut now) = (burst * price, 0u64);
        for (pass, n) in steps {
            now += pass;
            level = (level + pass).min(burst * price);
            let grant = rate.acquire(&rules, n, 0, now);
            if n <= burst && level >= n * price {
                level -= n * price;
                prop_assert_eq!(grant, Grant::Now);
            } else if n <= burst {
                prop_assert_eq!(grant, Grant::Refused(n * price - level));
            } else {
                prop_assert_eq!(grant, Grant::Refused(u64::MAX));
            }
            prop_assert_eq!(rate.available(&rules, now), level / price);
        }
    }
}
