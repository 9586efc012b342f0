//! The floor: the least that a server can do on this kernel to push a message: accept, keep only the descriptor, and
//! one `send(2)` a subscriber and tick.
//!
//! `floor MESSAGE_FILE` prints its port; whoever connects and says anything gets the message. `run RATE SECONDS` on
//! standard input sends it, with the time of the tick in it, to everybody at that rate and prints what became of it.
use freshwire_engine::net::sys::{self, EPOLLET, EPOLLIN, Poller, Ready};
use freshwire_load::orders::Orders;
use freshwire_load::stamp::{DIGITS, find_stamp, now_ns};
use std::error::Error;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

const LISTENER: u64 = u64::MAX;
const ORDERS: u64 = u64::MAX - 1;
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("floor MESSAGE_FILE")?;
    let mut message = std::fs::read(file)?;
    let stamp = find_stamp(&message).ok_or("the message has no stamp")?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    sys::tune_listener(listener.as_raw_fd(), 0);
    println!("{}", listener.local_addr()?.port());

    let poller = Poller::new()?;
    let mut orders = Orders::new()?;
    poller.add(listener.as_raw_fd(), EPOLLIN, LISTENER)?;
    orders.ring(&poller, ORDERS)?;
    let mut subscribers: Vec<RawFd> = vec![];
    let mut ready = vec![Ready { events: 0, u64: 0 }; 512];
    let mut scratch = vec![0; 64 * 1024];
    let hello = [HEAD, &message].concat();
    loop {
        let n = poller.wait(&mut ready, -1);
        for Ready { u64: key, .. } in ready[..n].iter().copied() {
            match key {
                ORDERS => loop {
                    match orders.take() {
                        Ok(Some(order)) => {
                            let (rate, seconds) = parse(&order)?;
                            println!("{}", run(&subscribers, &mut message, stamp, rate, seconds));
                        }
                        Ok(None) => break,
                        Err(_) => return Ok(()),
                    }
                },
                LISTENER => {
                    while let Ok(Some((fd, _))) = sys::accept(listener.as_raw_fd()) {
                        subscribers.push(fd);
                        poller.add(fd, EPOLLIN | EPOLLET, fd as u64)?;
                    }
                }
                fd => match sys::recv(fd as RawFd, &mut scratch) {
                    Ok(Some(1..)) => _ = sys::send(fd as RawFd, &hello),
                    Ok(None) => {}
                    _ => {
                        subscribers.retain(|subscriber| *subscriber != fd as RawFd);
                        sys::close(fd as RawFd);
                    }
                },
            }
        }
    }
}

/// `run RATE SECONDS`
fn parse(order: &str) -> Result<(f64, f64), Box<dyn Error>> {
    let mut words = order.split_whitespace();
    if words.next() != Some("run") {
        return Err(format!("no such order: {order}").into());
    }
    let mut number =
        || words.next().ok_or("run RATE SECONDS")?.parse::<f64>().map_err(Box::<dyn Error>::from);
    Ok((number()?, number()?))
}

/// Send at a steady rate; a tick whose time is over before it could begin is missed.
fn run(
    subscribers: &[RawFd],
    message: &mut [u8],
    stamp: usize,
    rate: f64,
    seconds: f64,
) -> serde_json::Value {
    let (start, ticks) = (Instant::now(), (rate * seconds) as u32);
    let (mut missed, mut sent, mut refused) = (0u32, 0u64, 0u64);
    for tick in 0..ticks {
        let (begin, end) =
            [tick, tick + 1].map(|n| start + Duration::from_secs_f64(f64::from(n) / rate)).into();
        if Instant::now() >= end {
            missed += 1;
            continue;
        }
        std::thread::sleep(begin.saturating_duration_since(Instant::now()));
        message[stamp..stamp + DIGITS].copy_from_slice(format!("{:020}", now_ns()).as_bytes());
        for fd in subscribers {
            match sys::send(*fd, message) {
                Ok(Some(n)) if n == message.len() => sent += 1,
                _ => refused += 1,
            }
        }
    }
    serde_json::json!({ "changes": ticks, "missed": missed, "sent": sent, "refused": refused })
}
