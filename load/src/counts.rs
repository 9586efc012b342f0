//! What has come, and how long after the change that it reports.
use crate::histogram::Histogram;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// What has come of one change.
#[derive(Debug, Default)]
struct Reach {
    members: usize,
    last_ns: u64,
    /// Delays that count only if everybody gets it: those of a change that is known by its POST alone.
    delays: Vec<u64>,
}

/// What has come since the last mark.
#[derive(Debug, Default)]
pub struct Counts {
    /// See `options::HELP`.
    pub messages: u64,
    /// Of everything, as it came.
    pub bytes: u64,
    /// Conditional GETs whose wait ended with nothing new.
    pub waits_ended: u64,
    /// Connections that were made again after the server had ended them between two requests.
    pub reconnects: u64,
    /// Messages of a change that this member had a message of already.
    pub repeated: u64,
    /// Messages of a change before the one that this member had a message of.
    pub backward: u64,
    /// Answers by their status.
    pub statuses: BTreeMap<u16, u64>,
    /// From the change to each member, or from a GET to its answer.
    pub each: Histogram,
    /// How long after the cut each member was there again.
    pub back: Histogram,
    /// From the time of a POST to its answer, and those answers by their status.
    pub posts: Histogram,
    /// Answers to POSTs by their status.
    pub post_statuses: BTreeMap<u16, u64>,
    changes: HashMap<u64, Reach>,
}

impl Counts {
    /// Count a message. `newest`: the newest change that its member knows of; `posted`: when the last POST was sent,
    /// which is the change of a message that has no stamp.
    pub fn message(&mut self, stamp: u64, now: u64, newest: &mut u64, posted: u64) {
        self.messages += 1;
        let change = if stamp == 0 { posted } else { stamp };
        if change == 0 {
            return;
        }
        if change <= *newest {
            *(if change == *newest { &mut self.repeated } else { &mut self.backward }) += 1;
            return;
        }
        *newest = change;
        let delay = now.saturating_sub(change);
        let reach = self.changes.entry(change).or_default();
        reach.members += 1;
        reach.last_ns = delay;
        if stamp == 0 {
            reach.delays.push(delay);
        } else {
            self.each.add(delay);
        }
    }

    /// Whether the change that is known by this POST has reached so many.
    pub fn has_reached(&self, posted: u64, members: usize) -> bool {
        self.changes.get(&posted).is_some_and(|reach| reach.members >= members)
    }

    /// As JSON; `everybody`: the members that read.
    pub fn as_json(mut self, everybody: usize) -> Value {
        let mut last = Histogram::default();
        let (mut reached_all, mut unattributed) = (0u64, 0u64);
        for reach in self.changes.values() {
            let whole = reach.members >= everybody;
            if whole {
                reached_all += 1;
                last.add(reach.last_ns);
                reach.delays.iter().for_each(|delay| self.each.add(*delay));
            } else {
                unattributed += reach.delays.len() as u64;
            }
        }
        json!({
            "messages": self.messages,
            "bytes": self.bytes,
            "changes": self.changes.len(),
            "reached_all": reached_all,
            "repeated": self.repeated,
            "backward": self.backward,
            "unattributed": unattributed,
            "waits_ended": self.waits_ended,
            "reconnects": self.reconnects,
            "statuses": self.statuses,
            "each_us": self.each.as_json(),
            "last_us": last.as_json(),
            "posts_us": self.posts.as_json(),
            "post_statuses": self.post_statuses,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_reached_all_if_each_member_has_a_message_of_it() {
        let (mut counts, mut a, mut b) = (Counts::default(), 0, 0);
        counts.message(1000, 3000, &mut a, 0);
        counts.message(1000, 9000, &mut b, 0);
        counts.message(5000, 6000, &mut a, 0);
        counts.message(5000, 6000, &mut a, 0);
        counts.message(1000, 9000, &mut a, 0);
        counts.message(0, 9000, &mut a, 0);
        let said = counts.as_json(2);
        let number = |key: &str| said[key].as_u64().unwrap();
        assert_eq!((number("messages"), number("changes"), number("reached_all")), (6, 2, 1));
        assert_eq!((number("repeated"), number("backward")), (1, 1));
        assert_eq!((&said["each_us"]["count"], &said["each_us"]["max"]), (&json!(3), &json!(8.0)));
        assert_eq!((&said["last_us"]["count"], &said["last_us"]["max"]), (&json!(1), &json!(8.0)));
    }

    #[test]
    fn without_a_stamp_a_message_is_of_the_last_post_if_that_reached_all() {
        let (mut counts, mut a, mut b) = (Counts::default(), 0, 0);
        counts.message(0, 150, &mut a, 100);
        assert!(!counts.has_reached(100, 2));
        counts.message(0, 170, &mut b, 100);
        assert!(counts.has_reached(100, 2));
        counts.message(0, 250, &mut a, 200);
        let said = counts.as_json(2);
        assert_eq!((&said["reached_all"], &said["unattributed"]), (&json!(1), &json!(1)));
        assert_eq!((&said["each_us"]["count"], &said["each_us"]["max"]), (&json!(2), &json!(0.07)));
    }
}
