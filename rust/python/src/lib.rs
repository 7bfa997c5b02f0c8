//! `penstock._native`: one file per type. Here objects are converted, the interpreter is let go
//! of around what may block, and errors are mapped; everything else lives in `penstock-core`.

// Named nowhere, and there for those who open the extension from C, or with cffi.
extern crate penstock_capi as _;

use pyo3::prelude::*;

mod callback;
mod ending;
mod errors;
mod events;
mod hub;
mod loop_watch;
mod metrics;
mod queue;
mod resilience;
mod running_loop;
mod shared;
mod shortcut;
mod tracing;
mod waiter;

/// The native half of penstock; import its names through the rooms, not from here.
#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::callback::CallbackBacklog;
    #[pymodule_export]
    use crate::events::{
        Carrier, Emission, Emitter, Handler, Outcome, Outcomes, Route, Tally, set_task_hooks,
    };
    #[pymodule_export]
    use crate::hub::{Hub, Place};
    #[pymodule_export]
    use crate::loop_watch::{LoopWatch, WatchedSelector};
    #[pymodule_export]
    use crate::metrics::{
        Counter, Distribution, Gauge, Histogram, MeasuredCall, Measurement, Timing,
        measure_function,
    };
    #[pymodule_export]
    use crate::queue::{
        LifoQueue, PriorityQueue, Queue, QueueItems, QueueOperation, Reservation, select,
        select_blocking,
    };
    #[pymodule_export]
    use crate::resilience::{
        AdaptiveState, BreakerState, BudgetState, ConcurrencyState, RateState, set_states_clock,
    };
    #[pymodule_export]
    use crate::running_loop::running_loop_reader;
    #[pymodule_export]
    use crate::shared::{
        Arena, Lease, Parcel, Port, SharedItems, SharedQueue, Slab, born_at_once, decode_short,
        die_with, encode_short, know_shared_array, plain_memory,
    };

    #[pymodule_export]
    use crate::tracing::{
        Activation, FinishedSpan, Sampler, Span, SpanEvent, SpanLink, SpanStore, TraceContext,
        Tracer, current_context_bytes, current_span, default_store, tracing_statistics,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        module.add("build_profile", profile)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("NOT_NOW", crate::queue::not_now(module.py()))?;
        crate::events::install_send(module.py());
        crate::events::install_shortcuts(module.py())?;
        crate::metrics::install_send(module.py());
        crate::queue::install_steps(module.py());
        crate::queue::install_shortcuts(module.py())?;
        crate::shared::install_shortcuts(module.py())?;
        crate::resilience::install_shortcuts(module.py())?;
        penstock_core::resilience::table::prepare();
        Ok(())
    }
}
