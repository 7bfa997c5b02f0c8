//! Figures of a queue at one moment.

use std::ptr;

use crate::{
    border::border,
    code::Code,
    failure::Failure,
    handles::{self, Handle, Opaque},
};

/// As `penstock_figures` in the header; later versions add fields at the end.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Figures {
    pub items: u64,
    pub bytes: u64,
    pub leased: u64,
    pub participants: u64,
    pub dead: u64,
    pub waiting_getters: u64,
    pub waiting_putters: u64,
    pub max_bytes: u64,
    pub max_items: u64,
    pub sent: u64,
    pub taken: u64,
    pub wakes: u64,
    pub system_calls: u64,
    pub burials: u64,
}

impl Figures {
    fn of(handle: &Handle) -> Result<Self, Failure> {
        let settings = handle.queue.settings();
        let now = handle
            .queue
            .statistics()
            .map_err(|error| handle.failure(&error))?;
        Ok(Self {
            items: now.items as u64,
            bytes: now.bytes as u64,
            leased: now.leased as u64,
            participants: now.participants as u64,
            dead: now.dead as u64,
            waiting_getters: now.getters as u64,
            waiting_putters: now.putters as u64,
            max_bytes: settings.max_bytes as u64,
            max_items: settings.max_items.map_or(0, u64::from),
            sent: now.sent,
            taken: now.taken,
            wakes: now.wakes,
            system_calls: now.system_calls,
            burials: now.burials,
        })
    }
}

/// The figures now.
///
/// # Safety
/// `size` bytes at `figures` are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn penstock_statistics(
    queue: *const Opaque,
    figures: *mut Figures,
    size: usize,
) -> Code {
    border(|| {
        if figures.is_null() || size == 0 {
            let text = "figures is NULL or has no size; hand in where they go, and its sizeof";
            return Err(Failure::argument(text));
        }
        let now = Figures::of(&*handles::enter(queue)?)?;
        let known = size.min(size_of::<Figures>());
        let figures: *mut u8 = figures.cast();
        // SAFETY: writable by the caller's promise, and read no further than `now` goes. What a later
        // header has beyond it is zero.
        unsafe {
            figures.copy_from_nonoverlapping((&raw const now).cast(), known);
            ptr::write_bytes(figures.add(known), 0, size - known);
        }
        Ok(())
    })
}
