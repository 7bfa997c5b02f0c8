//! The one descriptor by which a sleeping event loop, or a main thread, is called: an eventfd.
//!
//! Where a sandbox does not know that system call, a pipe does the same with two descriptors.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use crate::hub::Bell;

/// Wakes whoever polls it; closed when dropped.
#[derive(Debug)]
pub struct EventFd {
    /// What is polled and read.
    reader: OwnedFd,
    /// The other end of a pipe; an eventfd is its own.
    writer: Option<OwnedFd>,
}

impl EventFd {
    /// A new one: non-blocking, closed on exec.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call has no memory arguments; a negative answer is handled.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd >= 0 {
            return Ok(Self {
                // SAFETY: the descriptor is new and owned by nobody else.
                reader: unsafe { OwnedFd::from_raw_fd(fd) },
                writer: None,
            });
        }
        let failure = io::Error::last_os_error();
        match failure.raw_os_error() {
            Some(libc::ENOSYS | libc::EPERM) => Self::pipe(),
            _ => Err(failure),
        }
    }

    fn pipe() -> io::Result<Self> {
        let mut ends = [-1; 2];
        // SAFETY: room for two descriptors; a failure is handled.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both are new and owned by nobody else.
        let [reader, writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(Self {
            reader,
            writer: Some(writer),
        })
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

impl Bell for EventFd {
    fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        let fd = self.writer.as_ref().unwrap_or(&self.reader).as_raw_fd();
        // SAFETY: eight readable bytes. The call can fail only when the counter is at its limit or
        // the pipe is full, and then the reader is woken anyhow.
        unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
    }

    fn clear(&self) {
        let mut rings = [0_u8; 512];
        loop {
            let fd = self.reader.as_raw_fd();
            // SAFETY: as many writable bytes; "would block" means that nothing had been rung.
            let read = unsafe { libc::read(fd, rings.as_mut_ptr().cast(), rings.len()) };
            // An eventfd gives all its rings at once.
            if self.writer.is_none() || read < rings.len().cast_signed() {
                return;
            }
        }
    }
}

#[cfg(all(test, not(penstock_loom)))]
mod tests {
    use super::{AsRawFd, Bell, EventFd};

    fn is_readable(bell: &EventFd) -> bool {
        let mut entry = libc::pollfd {
            fd: bell.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry, which outlives the call.
        unsafe { libc::poll(&raw mut entry, 1, 0) == 1 }
    }

    #[test]
    fn it_is_readable_from_the_first_ring_to_the_clear() {
        for bell in [EventFd::new().unwrap(), EventFd::pipe().unwrap()] {
            assert!(!is_readable(&bell));
            for rings in [1, 2, 100, 100_000] {
                for _ in 0..rings {
                    bell.ring();
                }
                assert!(is_readable(&bell));
                bell.clear();
                assert!(!is_readable(&bell));
                bell.clear();
            }
        }
    }
}
