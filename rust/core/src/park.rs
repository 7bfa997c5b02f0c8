//! The place where a blocked thread sleeps.
//!
//! Guarantee: a wake given before the park makes the park return at once; none is lost. Waking a
//! thread that does not sleep makes no system call.
//!
//! Most threads sleep on a futex, which costs no descriptor. The main thread, where Ctrl-C has to
//! be seen, sleeps in `ppoll` on an eventfd: with all signals blocked before, and the mask lifted
//! by `ppoll` itself, a signal between the last look and the sleep ends the sleep at once. (When
//! other threads let the signal through, the kernel may hand it to one of them in that moment;
//! so a sleep there is never longer than [`LOOK_AROUND`].)
//!
//! With more than two processors a thread looks for [`LOOKS`] spins, well below a microsecond, before
//! it sleeps: whoever wakes it then needs no system call. With two that processor is better left
//! to the one that is waited for.
//!
//! Where no interpreter's lock keeps the other one from running meanwhile, [`Parker::look_and_park`] looks
//! for as long as a sleep and a wake cost together, unless that was in vain lately; see [`crate::luck`].

use std::{
    hint, io,
    num::NonZero,
    os::fd::{AsRawFd, RawFd},
    ptr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    eventfd::EventFd,
    fork::Owner,
    hub::Bell,
    luck::{Luck, PATIENCE},
};

/// The longest sleep of a thread that must see signals.
pub const LOOK_AROUND: Duration = Duration::from_secs(1);

/// How often a thread looks whether it was woken before it sleeps, where processors are plenty.
const LOOKS: u32 = 64;

const AWAKE: u32 = 0;
const PARKED: u32 = 1;
const WOKEN: u32 = 2;

/// How a park ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parked {
    /// Woken, or spuriously: look again.
    Woken,
    /// The deadline has passed.
    Expired,
    /// A signal came in, or it is time to look whether one did.
    Interrupted,
    /// A nap is over, of one who naps: time to look whether a signal came in, and to sleep on.
    Rested,
}

#[derive(Debug)]
enum Bed {
    /// The state itself. Unlike the standard library's, it can be slept on while the thread's locals go.
    Futex,
    Poll(EventFd),
}

/// The sleeping place of one thread.
#[derive(Debug)]
pub struct Parker {
    /// The thread moves it AWAKE → PARKED → AWAKE, wakers to WOKEN; who finds PARKED calls.
    state: AtomicU32,
    luck: Luck,
    bed: Bed,
    owner: Owner,
}

thread_local! {
    static OWN: std::cell::RefCell<Option<Arc<Parker>>> = const { std::cell::RefCell::new(None) };
}

fn looks() -> u32 {
    static COUNT: OnceLock<u32> = OnceLock::new();
    *COUNT.get_or_init(|| {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        if processors > 2 { LOOKS } else { 0 }
    })
}

fn is_main_thread() -> bool {
    // SAFETY: neither call has arguments or can fail.
    unsafe { libc::gettid() == libc::getpid() }
}

impl Parker {
    /// The calling thread's parker: one for its life, another one after a fork.
    ///
    /// A thread that ends, and whose locals are gone, gets a new one each time.
    pub fn current() -> io::Result<Arc<Self>> {
        OWN.try_with(|own| {
            let mut own = own.borrow_mut();
            if let Some(parker) = own.as_ref().filter(|parker| parker.owner.is_here()) {
                return Ok(Arc::clone(parker));
            }
            let parker = Self::new()?;
            *own = Some(Arc::clone(&parker));
            Ok(parker)
        })
        .unwrap_or_else(|_| Self::new())
    }

    fn new() -> io::Result<Arc<Self>> {
        let bed = if is_main_thread() {
            Bed::Poll(EventFd::new()?)
        } else {
            Bed::Futex
        };
        Ok(Arc::new(Self {
            state: AtomicU32::new(AWAKE),
            luck: Luck::new(),
            bed,
            owner: Owner::current(),
        }))
    }

    /// Wakes the thread, or makes its next park return at once. True if that took a system call.
    pub fn unpark(&self) -> bool {
        if self.state.swap(WOKEN, Ordering::AcqRel) != PARKED {
            return false;
        }
        match &self.bed {
            Bed::Futex => wake(&self.state),
            Bed::Poll(event) => event.ring(),
        }
        true
    }

    /// Sleeps until woken, until `deadline`, or until a signal. Called by the parker's thread only.
    pub fn park(&self, deadline: Option<Instant>) -> Parked {
        self.park_after(looks(), deadline)
    }

    /// As [`Parker::park`], for a thread whose waker may run at the same time.
    pub fn look_and_park(&self, deadline: Option<Instant>) -> Parked {
        self.luck.try_with(|| self.looks_for(PATIENCE));
        self.park_after(0, deadline)
    }

    /// Whether it was woken within that time.
    fn looks_for(&self, time: Duration) -> bool {
        let start = Instant::now();
        loop {
            for _ in 0..LOOKS / 4 {
                if self.state.load(Ordering::Relaxed) == WOKEN {
                    return true;
                }
                hint::spin_loop();
            }
            if start.elapsed() >= time {
                return false;
            }
        }
    }

    fn park_after(&self, looks: u32, deadline: Option<Instant>) -> Parked {
        for _ in 0..looks {
            if self.state.load(Ordering::Relaxed) == WOKEN {
                break;
            }
            hint::spin_loop();
        }
        if self
            .state
            .compare_exchange(AWAKE, PARKED, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            self.state.store(AWAKE, Ordering::Release);
            return Parked::Woken;
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match &self.bed {
            Bed::Futex => sleep(&self.state, PARKED, left),
            Bed::Poll(event) => {
                poll(
                    event.as_raw_fd(),
                    left.map_or(LOOK_AROUND, |left| left.min(LOOK_AROUND)),
                );
                // A waker's write may still be on its way; then the next park returns in vain.
                event.clear();
            }
        }
        if self.state.swap(AWAKE, Ordering::AcqRel) == WOKEN {
            return Parked::Woken;
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Parked::Expired;
        }
        Parked::Interrupted
    }
}

/// Sleeps while `word` is `value`, for at most `time`; may return before.
fn sleep(word: &AtomicU32, value: u32, time: Option<Duration>) {
    let time = time.map(|time| libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(time.subsec_nanos()),
    });
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word and the time are alive during the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wait, value, time) };
}

/// Wakes the one who sleeps on `word`.
fn wake(word: &AtomicU32) {
    let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word is alive during the call; waking touches nothing.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wake, 1) };
}

/// Waits until `fd` is readable, the time is up, or a signal comes that the caller lets through.
fn poll(fd: RawFd, time: Duration) {
    let mut entry = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(time.subsec_nanos()),
    };
    // SAFETY: the signal sets are filled in by libc before they are read, and one pollfd and the
    // timespec outlive the call. The mask found before is restored whatever `ppoll` answers.
    unsafe {
        let mut all = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        libc::ppoll(&raw mut entry, 1, &raw const time, &raw const before);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
    }
}

#[cfg(all(test, not(penstock_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_looks_is_woken_without_a_system_call() {
        thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            let looking = scope.spawn(move || {
                let parker = Parker::current().unwrap();
                tell.send(Arc::clone(&parker)).unwrap();
                parker.park_after(u32::MAX, None)
            });
            let parker = told.recv().unwrap();
            assert!(!parker.unpark());
            assert_eq!(looking.join().unwrap(), Parked::Woken);
        });
    }

    #[test]
    fn a_thread_that_was_not_woken_sleeps_to_its_deadline() {
        thread::scope(|scope| {
            let sleeping = scope.spawn(|| {
                let parker = Parker::current().unwrap();
                let deadline = Instant::now() + Duration::from_millis(1);
                loop {
                    match parker.park_after(LOOKS, Some(deadline)) {
                        Parked::Interrupted => {}
                        parked => return (parked, deadline <= Instant::now()),
                    }
                }
            });
            assert_eq!(sleeping.join().unwrap(), (Parked::Expired, true));
        });
    }

    #[test]
    fn looking_is_tried_as_long_as_it_is_of_use() {
        thread::scope(|scope| {
            scope.spawn(|| {
                let parker = Parker::current().unwrap();
                let would_look = || {
                    let mut looks = false;
                    parker.luck.try_with(|| {
                        looks = true;
                        true
                    });
                    looks
                };
                for _ in 0..100 {
                    assert!(!parker.unpark());
                    assert_eq!(parker.look_and_park(None), Parked::Woken);
                }
                assert!(would_look());
                for _ in 0..12 {
                    assert_eq!(parker.look_and_park(Some(Instant::now())), Parked::Expired);
                }
                assert!(!would_look());
            });
        });
    }
}
