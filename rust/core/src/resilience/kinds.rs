//! Which states can lie in a table.

use super::{
    adaptive::Adaptive, breaker::Breaker, budget::Budget, ledger::Ledger, rate::Rate, table::State,
};

macro_rules! state {
    ($type:ty, $kind:literal, $number:literal) => {
        // SAFETY: `repr(C)`, of atomic words only, all of them zero by default.
        unsafe impl State for $type {
            const KIND: &'static str = $kind;
            const NUMBER: u32 = $number;
        }
    };
}

state!(Breaker, "breaker", 1);
state!(Rate, "rate", 2);
state!(Budget, "budget", 3);
state!(Ledger, "concurrency", 4);
state!(Adaptive, "adaptive", 5);
