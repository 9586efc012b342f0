//! Orders, a line each, as they come on standard input while a program is in its poller.
use freshwire_engine::net::sys::{self, EPOLLET, EPOLLHUP, EPOLLIN, Poller};
use std::io::{BufRead, Read};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// Whoever takes them; the end of standard input is their end.
pub struct Orders {
    lines: Receiver<String>,
    bell: std::os::unix::net::UnixStream,
}

impl Orders {
    /// Begin to listen.
    pub fn new() -> std::io::Result<Self> {
        let (sender, lines) = channel();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
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
    pub fn take(&mut self) -> Result<Option<String>, TryRecvError> {
        match self.lines.try_recv() {
            Ok(line) => {
                let _ = self.bell.read(&mut [0]);
                Ok(Some(line))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(end) => Err(end),
        }
    }
}
