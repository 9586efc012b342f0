//! What the floor and the crowd have in common: the stamp in a message, and the orders that come on standard input.
//!
//! A message carries the time of the change it reports, as 20 digits after [`MARK`], so that whoever gets it knows
//! which change it is of and how long it took. System calls are the engine's own, so that both sides make the same.
use freshwire_engine::net::sys::{self, EPOLLET, EPOLLHUP, EPOLLIN, Poller};
use std::io::{BufRead, Read};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, channel};
use std::time::{SystemTime, UNIX_EPOCH};

/// Stands before the stamp of a message.
pub const MARK: &[u8] = b"\"at\":\"";
/// Digits of a stamp.
pub const DIGITS: usize = 20;

/// Nanoseconds since 1970: what a stamp says.
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Where the digits of a stamp begin, if all of them are there.
pub fn find_stamp(bytes: &[u8]) -> Option<usize> {
    let at = memchr::memmem::find(bytes, MARK)? + MARK.len();
    (bytes.len() >= at + DIGITS).then_some(at)
}

/// The number that the digits say.
pub fn read_stamp(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |n, digit| n * 10 + u64::from(digit.wrapping_sub(b'0')))
}

/// Orders, a line each, as they come on standard input; its end is the end of the program.
pub struct Orders {
    lines: Receiver<String>,
    bell: std::os::unix::net::UnixStream,
}

impl Orders {
    /// Begin to listen.
    pub fn new() -> std::io::Result<Self> {
        let (sender, lines) = channel();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                let _ = sender.send(line);
                sys::send(theirs.as_raw_fd(), b"!").ok();
            }
            drop(sender); // before the bell rings for the last time
        });
        Ok(Self { lines, bell: ours })
    }

    /// Have `poller` report under `key` that there may be an order.
    pub fn ring(&self, poller: &Poller, key: u64) -> std::io::Result<()> {
        poller.add(self.bell.as_raw_fd(), EPOLLIN | EPOLLHUP | EPOLLET, key)
    }

    /// The next order that has come, if any; an error at the end of standard input.
    pub fn take(&mut self) -> Result<Option<String>, std::sync::mpsc::TryRecvError> {
        match self.lines.try_recv() {
            Ok(line) => {
                let _ = self.bell.read(&mut [0]);
                Ok(Some(line))
            }
            Err(std::sync::mpsc::TryRecvError::Empty) => Ok(None),
            Err(end) => Err(end),
        }
    }
}
