//! The states behind `penstock.resilience`: what decides whether a call may be made, for one process or for all
//! worker processes of a machine.

mod adaptive;
mod breaker;
mod budget;
mod concurrency;
mod keyed;
mod moment;
mod rate;
mod shortcuts;

pub(crate) use self::{
    adaptive::AdaptiveState, breaker::BreakerState, budget::BudgetState,
    concurrency::ConcurrencyState, moment::set_states_clock, rate::RateState,
    shortcuts::install as install_shortcuts,
};
