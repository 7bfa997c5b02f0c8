//! A port's bell: an end of a pair of sockets. A byte says that there is something to look at, a
//! closed end that nobody is there any more.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::Duration,
};

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// Look again.
    Ready,
    /// The time is up.
    Expired,
    /// A signal came in.
    Interrupted,
    /// The other side closed its end.
    HungUp,
}

pub(super) struct Bell(OwnedFd);

impl Bell {
    pub(super) const fn new(end: OwnedFd) -> Self {
        Self(end)
    }

    /// One end, and the other for whoever is to have it.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let mut fds = [-1; 2];
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: room for two descriptors.
        if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both are new and owned by nobody else.
        let [one, other] = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        Ok((Self(one), other))
    }

    /// To be polled for reading.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Never waits.
    pub(super) fn ring(&self) {
        let byte = [1_u8];
        // SAFETY: one readable byte. A full socket means that the other side is rung already; a
        // closed one is found out by whoever watches the process.
        unsafe {
            libc::send(
                self.0.as_raw_fd(),
                byte.as_ptr().cast(),
                1,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
    }

    /// Forgets the rings so far. False: the other side has closed its end.
    pub(super) fn answer(&self) -> bool {
        let mut bytes = [0_u8; 64];
        loop {
            // SAFETY: 64 writable bytes.
            let count = unsafe {
                libc::recv(
                    self.0.as_raw_fd(),
                    bytes.as_mut_ptr().cast(),
                    bytes.len(),
                    libc::MSG_DONTWAIT,
                )
            };
            match count {
                0 => return false,
                64 => {}
                _ => return true,
            }
        }
    }

    /// Sleeps until it is rung, and forgets the rings.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<Waited> {
        let mut entry = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let timeout = timeout.map_or(-1, |timeout| {
            i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        // SAFETY: one entry, alive during the call.
        match unsafe { libc::poll(&raw mut entry, 1, timeout) } {
            0 => Ok(Waited::Expired),
            1.. if self.answer() => Ok(Waited::Ready),
            1.. => Ok(Waited::HungUp),
            _ => {
                let error = io::Error::last_os_error();
                match error.kind() {
                    io::ErrorKind::Interrupted => Ok(Waited::Interrupted),
                    _ => Err(error),
                }
            }
        }
    }
}
