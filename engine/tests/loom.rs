//! The two flag protocols under every order of steps that loom finds: `make loom`. Nothing here runs otherwise.
//!
//! A sleeper that nobody wakes goes on asking until loom has had enough of it ("exceeded maximum number of branches");
//! what else must hold is asserted.
#![cfg(loom)]
use freshwire_engine::net::inbox::Inbox;
use freshwire_engine::net::ring::Ring;
use loom::sync::{Arc, Mutex, MutexGuard};
use loom::thread;

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // More forced switches between threads than any known mistake needs.
    builder.preemption_bound = Some(3);
    builder.check(check);
}

/// Each producer's items, in its order.
fn in_order(seen: &[(u32, u32)], producers: u32, each: u32) {
    for producer in 0..producers {
        let its: Vec<u32> = seen.iter().filter(|(p, _)| *p == producer).map(|(_, n)| *n).collect();
        assert_eq!(its, (0..each).collect::<Vec<_>>());
    }
}

/// As a shard does it (`Shard::run`): take, work, sleep only if the inbox says so, wake.
fn serve(inbox: &Inbox<(u32, u32)>, items: usize) -> Vec<(u32, u32)> {
    let (mut seen, mut work) = (vec![], vec![]);
    while seen.len() < items {
        inbox.take(&mut work);
        seen.append(&mut work);
        if seen.len() < items && inbox.park() {
            inbox.wake.wait();
            inbox.wake.clear();
        }
        inbox.unpark();
    }
    seen
}

#[test]
fn no_work_of_two_producers_is_left_in_the_inbox_of_a_shard_that_sleeps() {
    model(|| {
        let inbox = Arc::new(Inbox::new().unwrap());
        let producers: Vec<_> = (0..2)
            .map(|p| {
                let inbox = inbox.clone();
                thread::spawn(move || inbox.push((p, 0)))
            })
            .collect();
        in_order(&serve(&inbox, 2), 2, 1);
        producers.into_iter().for_each(|p| p.join().unwrap());
        assert!(inbox.wake.signals() <= 2, "one wake a push at most");
    });
}

#[test]
fn what_was_left_quietly_is_seen_after_one_flush() {
    model(|| {
        let inbox = Arc::new(Inbox::new().unwrap());
        let producer = {
            let inbox = inbox.clone();
            thread::spawn(move || {
                inbox.push_quietly((0, 0));
                inbox.push_quietly((0, 1));
                inbox.flush();
            })
        };
        in_order(&serve(&inbox, 2), 1, 2);
        producer.join().unwrap();
        assert!(inbox.wake.signals() <= 1, "one wake a flush at most");
    });
}

/// As `Shard::run` and `shard::help` do it: what the shard has done is behind its lock, and a producer that finds it asleep
/// does its own work there.
#[test]
fn what_is_done_for_a_shard_that_sleeps_is_done_once_and_nothing_else_is_left_for_it() {
    const ITEMS: usize = 2;
    model(|| {
        let inbox = Arc::new(Inbox::new().unwrap());
        let shard = Arc::new(Mutex::new(vec![]));
        let helper = {
            let (inbox, shard) = (inbox.clone(), shard.clone());
            thread::spawn(move || {
                inbox.push_quietly((0, 0));
                if inbox.claim(|_| ()).is_none() {
                    return;
                }
                let slept_on = shard.try_lock().is_ok_and(|mut seen: MutexGuard<'_, Vec<_>>| {
                    take(&inbox, &mut seen);
                    seen.len() < ITEMS && inbox.park()
                });
                if !slept_on {
                    inbox.wake.signal();
                }
            })
        };
        let producer = {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.push((1, 0)))
        };
        loop {
            let mut seen = shard.lock().unwrap();
            take(&inbox, &mut seen);
            let over = seen.len() == ITEMS;
            let sleeps = !over && inbox.park();
            drop(seen);
            if over {
                break;
            }
            if sleeps {
                inbox.wake.wait();
                inbox.wake.clear();
            }
            inbox.unpark();
        }
        helper.join().unwrap();
        producer.join().unwrap();
        in_order(&shard.lock().unwrap(), 2, 1);
    });
}

fn take(inbox: &Inbox<(u32, u32)>, seen: &mut Vec<(u32, u32)>) {
    let mut work = vec![];
    inbox.take(&mut work);
    seen.append(&mut work);
}

/// As the event loop does it: sleep until the descriptor is readable, then drain.
fn drain(ring: &Ring<(u32, u32)>, items: usize, limit: usize) -> Vec<(u32, u32)> {
    let mut seen = vec![];
    while seen.len() < items {
        ring.event().wait();
        ring.drain(limit, |item| seen.push(item));
    }
    seen
}

#[test]
fn no_item_of_two_producers_is_left_in_the_ring_of_a_loop_that_sleeps() {
    model(|| {
        let ring = Arc::new(Ring::new().unwrap());
        let producers: Vec<_> = (0..2)
            .map(|p| {
                let ring = ring.clone();
                thread::spawn(move || {
                    ring.push((p, 0));
                    ring.wake();
                })
            })
            .collect();
        in_order(&drain(&ring, 2, 8), 2, 1);
        producers.into_iter().for_each(|p| p.join().unwrap());
        assert!(ring.event().signals() <= 2, "one wake a push at most");
    });
}

#[test]
fn a_batch_that_is_full_leaves_the_ring_readable_for_the_rest() {
    model(|| {
        let ring = Arc::new(Ring::new().unwrap());
        let producer = {
            let ring = ring.clone();
            thread::spawn(move || {
                ring.push((0, 0));
                ring.wake();
                ring.push((0, 1));
                ring.push((0, 2));
                ring.wake();
            })
        };
        in_order(&drain(&ring, 3, 2), 1, 3);
        producer.join().unwrap();
    });
}
