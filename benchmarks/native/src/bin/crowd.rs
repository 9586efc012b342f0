//! The crowd: many connections that have each sent one request, and count what comes.
//!
//! `crowd ADDRESS COUNT REQUEST_FILE greeted|silent` connects, prints `ready` once everybody has what it asked for
//! (`greeted`: a first message each; `silent`: nothing is expected), and keeps reading. `mark` on standard input prints
//! what has come since the last one, and how long after the change that it reports.
use freshwire_benchmarks::{DIGITS, MARK, Orders, find_stamp, now_ns, read_stamp};
use freshwire_engine::net::sys::{self, EPOLLET, EPOLLIN, EPOLLRDHUP, Poller, Ready};
use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

const ORDERS: u64 = u64::MAX;
/// Connections that may wait for their first message at once: less than any listener's backlog.
const WINDOW: usize = 64;

struct Member {
    socket: TcpStream,
    /// The end of what was read, where a stamp may have been cut.
    tail: Vec<u8>,
    greeted: bool,
    gone: bool,
}

/// What has come of one change.
#[derive(Default)]
struct Reach {
    members: usize,
    last_ns: u64,
}

#[derive(Default)]
struct Counts {
    messages: u64,
    bytes: u64,
    changes: HashMap<u64, Reach>,
    each_us: Vec<u32>,
}

struct Crowd {
    poller: Poller,
    members: Vec<Member>,
    orders: Orders,
    counts: Counts,
    scratch: Vec<u8>,
    ready: Vec<Ready>,
    greeted: usize,
    gone: usize,
    ended: bool,
}

impl Crowd {
    /// Serve what is there, waiting for it at most so long.
    fn turn(&mut self, timeout_ms: i32) {
        let n = self.poller.wait(&mut self.ready, timeout_ms);
        for at in 0..n {
            match self.ready[at].u64 {
                ORDERS => self.obey(),
                member => self.read(member as usize),
            }
        }
    }

    fn obey(&mut self) {
        loop {
            match self.orders.take() {
                Ok(Some(_)) => println!("{}", self.mark()),
                Ok(None) => return,
                Err(_) => return self.ended = true,
            }
        }
    }

    fn read(&mut self, index: usize) {
        let member = &mut self.members[index];
        loop {
            let held = member.tail.len();
            self.scratch[..held].copy_from_slice(&member.tail);
            let n = match sys::recv(member.socket.as_raw_fd(), &mut self.scratch[held..]) {
                Ok(Some(n)) if n > 0 => n,
                Ok(None) => return,
                _ => {
                    self.gone += usize::from(!std::mem::replace(&mut member.gone, true));
                    return;
                }
            };
            self.counts.bytes += n as u64;
            let now = now_ns();
            let bytes = &self.scratch[..held + n];
            let mut at = 0;
            while let Some(found) = find_stamp(&bytes[at..]) {
                let digits = at + found;
                at = digits + DIGITS;
                self.counts.take(read_stamp(&bytes[digits..at]), now);
                self.greeted += usize::from(!std::mem::replace(&mut member.greeted, true));
            }
            member.tail.clear();
            let rest = at.max(bytes.len().saturating_sub(MARK.len() + DIGITS - 1));
            if memchr::memchr(MARK[0], &bytes[rest..]).is_some() {
                member.tail.extend_from_slice(&bytes[rest..]);
            }
            if n < self.scratch.len() - held {
                return;
            }
        }
    }

    /// What has come since the last mark.
    fn mark(&mut self) -> serde_json::Value {
        let counts = std::mem::take(&mut self.counts);
        let everybody = self.members.len();
        let whole = counts.changes.iter().filter(|(_, reach)| reach.members == everybody);
        let last: Vec<u32> =
            whole.map(|(stamp, reach)| (reach.last_ns.saturating_sub(*stamp) / 1000) as u32).collect();
        serde_json::json!({
            "messages": counts.messages,
            "bytes": counts.bytes,
            "changes": counts.changes.len(),
            "reached_all": last.len(),
            "gone": self.gone,
            "each_us": quantiles(counts.each_us),
            "last_us": quantiles(last),
        })
    }
}

impl Counts {
    fn take(&mut self, stamp: u64, now: u64) {
        self.messages += 1;
        self.each_us.push((now.saturating_sub(stamp) / 1000) as u32);
        let reach = self.changes.entry(stamp).or_default();
        reach.members += 1;
        reach.last_ns = now;
    }
}

fn quantiles(mut values: Vec<u32>) -> serde_json::Value {
    values.sort_unstable();
    let at = |share: f64| values.get((values.len() as f64 * share) as usize).or(values.last());
    serde_json::json!({ "p50": at(0.5), "p99": at(0.99), "max": values.last() })
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, count, request, greeting] = &words[..] else {
        return Err("crowd ADDRESS COUNT REQUEST_FILE greeted|silent".into());
    };
    let (address, count, request) =
        (address.parse::<SocketAddr>()?, count.parse::<usize>()?, std::fs::read(request)?);
    let expects = greeting == "greeted";
    let mut crowd = Crowd {
        poller: Poller::new()?,
        members: Vec::with_capacity(count),
        orders: Orders::new()?,
        counts: Counts::default(),
        scratch: vec![0; 256 * 1024],
        ready: vec![Ready { events: 0, u64: 0 }; 512],
        greeted: 0,
        gone: 0,
        ended: false,
    };
    crowd.orders.ring(&crowd.poller, ORDERS)?;
    for index in 0..count {
        let mut socket = TcpStream::connect(address)?;
        socket.write_all(&request)?;
        crowd.poller.add(socket.as_raw_fd(), EPOLLIN | EPOLLRDHUP | EPOLLET, index as u64)?;
        crowd.members.push(Member { socket, tail: vec![], greeted: false, gone: false });
        let waits = |crowd: &Crowd| crowd.members.len() - crowd.greeted - crowd.gone;
        if expects {
            while waits(&crowd) >= WINDOW && !crowd.ended {
                crowd.turn(1000);
            }
        } else if index % WINDOW == 0 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
    while expects && crowd.greeted + crowd.gone < count && !crowd.ended {
        crowd.turn(1000);
    }
    crowd.counts = Counts::default();
    println!("ready {}", count - crowd.gone);
    while !crowd.ended {
        crowd.turn(-1);
    }
    Ok(())
}
