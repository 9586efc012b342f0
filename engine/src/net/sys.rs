//! The system calls of a shard, as functions that are safe to call: the engine's only `unsafe`.
//!
//! Every descriptor handed in is owned by the caller and open for the length of the call; a descriptor that is not only
//! makes the kernel answer `EBADF`. Buffers are Rust slices, so their pointers and lengths are valid by construction.
#![allow(unsafe_code)]
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub use libc::{EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP};

/// One readiness report: `.events` and the key given at [`Poller::add`] in `.u64`.
pub type Ready = libc::epoll_event;

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// An epoll instance.
pub struct Poller(OwnedFd);

impl Poller {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; a descriptor that is returned is new and ours.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) }))
    }

    /// Report `events` of `fd` under `key`. Readiness that is there already is reported too.
    pub fn add(&self, fd: RawFd, events: i32, key: u64) -> io::Result<()> {
        let mut event = Ready { events: events as u32, u64: key };
        // SAFETY: `event` lives through the call.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) })?;
        Ok(())
    }

    /// Stop reporting `fd`.
    pub fn remove(&self, fd: RawFd) {
        // SAFETY: a null event is allowed for DEL.
        unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
    }

    /// Wait up to `timeout_ms`; how many of `ready` were filled.
    pub fn wait(&self, ready: &mut [Ready], timeout_ms: i32) -> usize {
        // SAFETY: the kernel writes at most `ready.len()` elements.
        let n = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), ready.as_mut_ptr(), ready.len() as i32, timeout_ms)
        };
        n.max(0) as usize
    }
}

/// A counter that wakes a sleeping [`Poller`].
pub struct WakeFd(OwnedFd);

impl WakeFd {
    /// A new one, at rest.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; a descriptor that is returned is new and ours.
        Ok(Self(unsafe {
            OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?)
        }))
    }

    /// Make it readable.
    pub fn signal(&self) {
        let one = 1u64;
        // SAFETY: eight readable bytes.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Put it to rest.
    pub fn clear(&self) {
        let mut count = 0u64;
        // SAFETY: eight writable bytes.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }

    /// For registration with a poller.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A clock that makes a [`Poller`] report at a time, to the microsecond.
pub struct Timer(OwnedFd);

impl Timer {
    /// A new one, at rest.
    pub fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no pointers; a descriptor that is returned is new and ours.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags))?) };
        Ok(Self(fd))
    }

    /// Become readable once `after` has passed, and be at rest until then.
    pub fn set(&self, after: Duration) {
        let after = after.max(Duration::from_nanos(1)); // zero would stop it
        let it_value =
            libc::timespec { tv_sec: after.as_secs() as libc::time_t, tv_nsec: after.subsec_nanos().into() };
        let once = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        // SAFETY: the struct is read, and nothing is written.
        unsafe { libc::timerfd_settime(self.0.as_raw_fd(), 0, &raw const once, std::ptr::null_mut()) };
    }

    /// For registration with a poller.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

// `send` and `recv` are the system calls themselves: those of the C library are cancellation points, which costs two
// atomic operations each and serves nobody here.

fn would_block(n: isize) -> io::Result<Option<usize>> {
    if n >= 0 {
        return Ok(Some(n as usize));
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
        _ => Err(error),
    }
}

/// Send without waiting; `None`: the socket is full.
pub fn send(fd: RawFd, bytes: &[u8]) -> io::Result<Option<usize>> {
    // SAFETY: the pointer and length are those of a slice.
    would_block(unsafe {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        libc::syscall(libc::SYS_sendto, fd, bytes.as_ptr(), bytes.len(), flags, 0usize, 0usize) as isize
    })
}

/// Send two buffers as one, without waiting; `None`: the socket is full.
pub fn send_two(fd: RawFd, first: &[u8], second: &[u8]) -> io::Result<Option<usize>> {
    let parts =
        [first, second].map(|b| libc::iovec { iov_base: b.as_ptr().cast_mut().cast(), iov_len: b.len() });
    // SAFETY: zeroed is a valid msghdr; the parts outlive the call and are only read.
    would_block(unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = parts.as_ptr().cast_mut();
        message.msg_iovlen = parts.len();
        libc::sendmsg(fd, &message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
    })
}

/// Receive without waiting; `None`: nothing there. `Some(0)`: the peer has ended its side.
pub fn recv(fd: RawFd, into: &mut [u8]) -> io::Result<Option<usize>> {
    // SAFETY: the pointer and length are those of a slice.
    would_block(unsafe {
        let flags = libc::MSG_DONTWAIT;
        libc::syscall(libc::SYS_recvfrom, fd, into.as_mut_ptr(), into.len(), flags, 0usize, 0usize) as isize
    })
}

/// Accept one connection, with its peer's address (`None` for a Unix socket); `None`: nobody waits.
pub fn accept(listener: RawFd) -> io::Result<Option<(RawFd, Option<SocketAddr>)>> {
    // SAFETY: storage and length describe each other; the kernel writes no more than `length`.
    unsafe {
        let mut storage: libc::sockaddr_storage = zeroed();
        let mut length = size_of::<libc::sockaddr_storage>() as u32;
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let n = libc::accept4(listener, (&raw mut storage).cast(), &mut length, flags);
        Ok(would_block(n as isize)?.map(|fd| (fd as RawFd, address(&storage))))
    }
}

/// The local end of a TCP connection.
pub fn local_address(fd: RawFd) -> Option<SocketAddr> {
    // SAFETY: as in `accept`.
    unsafe {
        let mut storage: libc::sockaddr_storage = zeroed();
        let mut length = size_of::<libc::sockaddr_storage>() as u32;
        (libc::getsockname(fd, (&raw mut storage).cast(), &mut length) == 0).then_some(())?;
        address(&storage)
    }
}

fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let at = (storage as *const libc::sockaddr_storage).cast::<u8>();
    match storage.ss_family as i32 {
        // SAFETY: the family says which struct it is, and sockaddr_storage is large and aligned enough for each.
        libc::AF_INET => unsafe {
            let v4 = &*at.cast::<libc::sockaddr_in>();
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(v4.sin_port)))
        },
        // SAFETY: as above.
        libc::AF_INET6 => unsafe {
            let v6 = &*at.cast::<libc::sockaddr_in6>();
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::new(ip.to_canonical(), u16::from_be(v6.sin6_port)))
        },
        _ => None,
    }
}

/// Take over an open descriptor that nobody else owns.
pub fn own(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: any number may be asked about.
    check(if fd < 0 { -1 } else { unsafe { libc::fcntl(fd, libc::F_GETFD) } })?;
    // SAFETY: it is open, and the caller gives it away.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Close a descriptor.
pub fn close(fd: RawFd) {
    // SAFETY: the caller owns it and forgets it.
    unsafe { libc::close(fd) };
}

/// End our side: the peer reads what was sent, then the end of the stream.
pub fn shutdown_write(fd: RawFd) {
    // SAFETY: no pointers.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// Options that accepted connections inherit from their listener: no Nagle, little unsent data in the kernel, and an
/// end for peers that vanish.
pub fn tune_listener(fd: RawFd, user_timeout_ms: u32) {
    let set = |level: i32, name: i32, value: i32| {
        // SAFETY: a four-byte option value. It fails harmlessly on a Unix socket.
        unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), 4) };
    };
    set(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    set(libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, 16 * 1024);
    set(libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, user_timeout_ms as i32);
    // SAFETY: no pointers.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}

/// Bytes that the kernel holds because the peer has not acknowledged them.
pub fn queued(fd: RawFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one int.
    unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    usize::try_from(bytes).unwrap_or(0)
}

/// How many descriptors this process may have open.
pub fn descriptor_limit() -> usize {
    // SAFETY: the struct is written by the kernel.
    unsafe {
        let mut limit: libc::rlimit = zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur as usize
    }
}

/// Let this process have as many open as it may ask for; how many.
pub fn raise_descriptor_limit() -> usize {
    // SAFETY: the struct is written by the kernel, then read.
    unsafe {
        let mut limit: libc::rlimit = zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
    descriptor_limit()
}

/// Milliseconds of the monotonic clock, at the resolution of the kernel's tick (1 to 4 ms).
pub fn now_ms() -> u64 {
    // SAFETY: the struct is written by the kernel.
    unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time);
        time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
    }
}

/// Let no signal be handled on this thread.
pub fn block_signals() {
    // SAFETY: the set is filled before it is used.
    unsafe {
        let mut all: libc::sigset_t = zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
}

/// Write to standard output, waiting if that waits; how much of it was written.
pub fn write_stdout(bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length are those of a slice.
    let n = unsafe { libc::write(1, bytes.as_ptr().cast(), bytes.len()) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}
