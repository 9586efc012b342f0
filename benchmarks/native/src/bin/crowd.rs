//! The crowd: many connections that have each sent one request, and count what comes.
//!
//! `crowd ADDRESS COUNT REQUEST_FILE greeted|silent` connects, prints `ready` once everybody has what it asked for
//! (`greeted`: a first message each; `silent`: nothing is expected), and keeps reading. `mark` on standard input prints
//! what has come since the last one, and how long after the change that it reports. `await` prints `awaiting`, and then
//! how the next change came to everybody, once it has.
use freshwire_benchmarks::{DIGITS, MARK, Orders, find_stamp, now_ns, read_stamp};
use freshwire_engine::net::sys::{self, EPOLLET, EPOLLIN, EPOLLRDHUP, Poller, Ready};
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

const ORDERS: u64 = u64::MAX;
/// Connections that may wait for their first message at once: less than any listener's backlog.
const WINDOW: usize = 64;
/// How often a connect that fails is tried again.
const TRIES: u32 = 5;

struct Member {
    socket: TcpStream,
    /// The end of what was read, where a stamp may have been cut.
    tail: Vec<u8>,
    /// Of the newest message.
    stamp: u64,
    greeted: bool,
    gone: bool,
}

/// Of what is said of delays: a hundredth.
const STEP: f64 = 1.01;

/// What has come of one change.
#[derive(Default)]
struct Reach {
    /// Those that got it, each counted once.
    members: usize,
    first_ns: u64,
    last_ns: u64,
    /// How many waited so long, by the power of [`STEP`] that it is nearest to, microseconds.
    waited: BTreeMap<i32, u32>,
}

impl Reach {
    fn take(&mut self, waited_ns: u64) {
        if self.members == 0 {
            self.first_ns = waited_ns;
        }
        self.members += 1;
        self.last_ns = waited_ns;
        let power = (waited_ns as f64 / 1000.0).max(1.0).log(STEP).round();
        *self.waited.entry(power as i32).or_default() += 1;
    }

    fn json(&self, stamp: u64) -> serde_json::Value {
        serde_json::json!({
            "stamp": stamp,
            "members": self.members,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "waited": self.waited,
        })
    }
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
    /// Connects that failed and were tried again, by reason.
    retried: BTreeMap<String, u32>,
    /// The next change that comes to everybody is to be told.
    awaiting: bool,
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

    /// Connect; what fails is tried again a few times.
    fn connect(&mut self, address: SocketAddr) -> std::io::Result<TcpStream> {
        let mut tries = 0;
        loop {
            match TcpStream::connect(address) {
                Err(error) if tries < TRIES => {
                    tries += 1;
                    *self.retried.entry(error.to_string()).or_default() += 1;
                    std::thread::sleep(std::time::Duration::from_millis(100 << tries));
                }
                result => return result,
            }
        }
    }

    fn obey(&mut self) {
        loop {
            match self.orders.take() {
                Ok(Some(order)) if order == "await" => {
                    (self.counts, self.awaiting) = (Counts::default(), true);
                    println!("awaiting");
                }
                Ok(Some(order)) if order == "newest" => println!("{}", self.newest()),
                Ok(Some(_)) => println!("{}", self.mark()),
                Ok(None) => return,
                Err(_) => return self.ended = true,
            }
        }
    }

    fn read(&mut self, index: usize) {
        let everybody = self.members.len();
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
                let stamp = read_stamp(&bytes[digits..at]);
                let first_time = std::mem::replace(&mut member.stamp, stamp) != stamp;
                let reached = self.counts.take(stamp, now, first_time);
                if self.awaiting && reached == everybody {
                    self.awaiting = false;
                    println!("{}", self.counts.changes[&stamp].json(stamp));
                }
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

    /// What has come of the newest change.
    fn newest(&self) -> serde_json::Value {
        match self.counts.changes.iter().max_by_key(|(stamp, _)| **stamp) {
            Some((stamp, reach)) => reach.json(*stamp),
            None => Reach::default().json(0),
        }
    }

    /// What has come since the last mark.
    fn mark(&mut self) -> serde_json::Value {
        let counts = std::mem::take(&mut self.counts);
        let everybody = self.members.len();
        let whole = counts.changes.iter().filter(|(_, reach)| reach.members == everybody);
        let last: Vec<u32> =
            whole.map(|(_, reach)| (reach.last_ns / 1000) as u32).collect();
        serde_json::json!({
            "messages": counts.messages,
            "bytes": counts.bytes,
            "changes": counts.changes.len(),
            "reached_all": last.len(),
            "gone": self.gone,
            "retried": self.retried,
            "each_us": quantiles(counts.each_us),
            "last_us": quantiles(last),
        })
    }
}

impl Counts {
    /// Count a message; how many members have got this change.
    fn take(&mut self, stamp: u64, now: u64, first_time: bool) -> usize {
        let waited_ns = now.saturating_sub(stamp);
        self.messages += 1;
        self.each_us.push((waited_ns / 1000) as u32);
        let reach = self.changes.entry(stamp).or_default();
        if first_time {
            reach.take(waited_ns);
        }
        reach.members
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
        retried: BTreeMap::new(),
        awaiting: false,
        ended: false,
    };
    crowd.orders.ring(&crowd.poller, ORDERS)?;
    for index in 0..count {
        let mut socket = crowd.connect(address)?;
        socket.write_all(&request)?;
        crowd.poller.add(socket.as_raw_fd(), EPOLLIN | EPOLLRDHUP | EPOLLET, index as u64)?;
        crowd.members.push(Member { socket, tail: vec![], stamp: 0, greeted: false, gone: false });
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
