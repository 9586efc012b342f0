//! What has come, and how long after the change that it reports.
use crate::follow::Told;
use crate::histogram::Histogram;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// What has come of one change.
#[derive(Debug, Default)]
struct Reach {
    members: usize,
    first_ns: u64,
    last_ns: u64,
    /// Of a change that is known by its POST alone.
    posted: Option<Posted>,
}

/// A POST is the change of the messages without a stamp that come after it, if that cannot be another.
#[derive(Debug)]
struct Posted {
    /// Nothing was on its way when it was sent.
    alone: bool,
    /// It had reached everybody when the next was sent.
    whole: bool,
    /// They count if both are so.
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
    /// How waits ended.
    waits: BTreeMap<Told, u64>,
    /// Reads because of a notice: the position that what was read reflects, and its stamp.
    rereads: HashMap<(u64, u64), u64>,
    /// Of those, the ones that were made before the position of their notice, as they say themselves.
    early: u64,
    /// Reads without a notice that lack a change whose POST had been answered.
    polled_stale: u64,
    /// The changes whose POST was answered: their position, and their stamp.
    made: Vec<(u64, u64)>,
    changes: HashMap<u64, Reach>,
    /// When the last POST was sent.
    posted: u64,
    /// When the last message came.
    heard: u64,
    /// Messages whose delay is not known, although there was a POST before them.
    unattributed: u64,
}

impl Counts {
    /// A POST is being sent, so long after the one before; `readers`: how many should have got that one.
    pub fn post(&mut self, now: u64, interval_ns: u64, readers: usize) {
        self.settle(readers);
        self.posted = now;
        let alone = now.saturating_sub(self.heard) > interval_ns / 2;
        let posted = Posted { alone, whole: false, delays: vec![] };
        self.changes.insert(now, Reach { posted: Some(posted), ..Reach::default() });
    }

    /// The last POST has had its time.
    pub fn settle(&mut self, readers: usize) {
        let Some(reach) = self.changes.get_mut(&self.posted) else { return };
        let Some(posted) = &mut reach.posted else { return };
        posted.whole = posted.alone && reach.members >= readers;
        for delay in std::mem::take(&mut posted.delays) {
            if posted.whole {
                self.each.add(delay);
            } else {
                self.unattributed += 1;
            }
        }
        self.posted = 0;
    }

    /// Whether nothing is expected any more: the last POST has reached so many, or all is quiet for this long.
    pub fn is_quiet(&self, readers: usize, now: u64, silence_ns: u64) -> bool {
        let reached = self.changes.get(&self.posted).is_none_or(|reach| reach.members >= readers);
        reached || now.saturating_sub(self.posted.max(self.heard)) > silence_ns
    }

    /// Count a message. `newest`: the newest change that its member knows of.
    pub fn message(&mut self, stamp: u64, now: u64, newest: &mut u64) {
        self.messages += 1;
        self.heard = now;
        let change = if stamp == 0 { self.posted } else { stamp };
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
        if reach.members == 0 {
            reach.first_ns = delay;
        }
        reach.members += 1;
        reach.last_ns = delay;
        match &mut reach.posted {
            Some(posted) => posted.delays.push(delay),
            None => self.each.add(delay),
        }
    }

    /// A wait has ended.
    pub fn told(&mut self, told: Told) {
        *self.waits.entry(told).or_default() += 1;
    }

    /// A representation was read because of a notice at `least`.
    pub fn reread(&mut self, least: u64, made_at: u64, stamp: u64) {
        self.early += u64::from(made_at < least);
        *self.rereads.entry((least.max(made_at), stamp)).or_default() += 1;
    }

    /// The POST of a change was answered.
    pub fn made(&mut self, position: u64, stamp: u64) {
        self.made.push((position, stamp));
    }

    /// The newest change whose POST was answered; 0: none.
    pub fn last_made(&self) -> u64 {
        self.made.last().map_or(0, |made| made.1)
    }

    /// A representation was read without any notice.
    pub fn polled(&mut self, stamp: u64) {
        self.polled_stale += u64::from(stamp < self.last_made());
    }

    /// Reads that do not show a change which they must: it was made at the position of their notice or before, or had
    /// been answered when they came.
    fn stale(&self) -> u64 {
        let is_stale = |at: u64, stamp: u64| self.made.iter().any(|made| made.0 <= at && made.1 > stamp);
        let all = self.rereads.iter();
        let because = all.filter(|((at, stamp), _)| is_stale(*at, *stamp)).map(|(_, count)| count);
        self.polled_stale + because.sum::<u64>()
    }

    /// Whether a change has reached so many since the last mark.
    pub fn any_reached(&self, members: usize) -> bool {
        self.changes.values().any(|reach| reach.members >= members)
    }

    /// As JSON; `everybody`: the members that read.
    pub fn as_json(&self, everybody: usize) -> Value {
        let (mut first, mut last) = (Histogram::default(), Histogram::default());
        let (mut changes, mut reached_all) = (0u64, 0u64);
        for reach in self.changes.values().filter(|reach| reach.members > 0) {
            changes += 1;
            if reach.posted.as_ref().map_or(reach.members >= everybody, |posted| posted.whole) {
                reached_all += 1;
                first.add(reach.first_ns);
                last.add(reach.last_ns);
            }
        }
        json!({
            "messages": self.messages,
            "bytes": self.bytes,
            "changes": changes,
            "reached_all": reached_all,
            "repeated": self.repeated,
            "backward": self.backward,
            "unattributed": self.unattributed,
            "waits_ended": self.waits_ended,
            "waits": self.waits,
            "rereads": self.rereads.values().sum::<u64>(),
            "stale": self.stale(),
            "early": self.early,
            "reconnects": self.reconnects,
            "statuses": self.statuses,
            "each_us": self.each.as_json(),
            "first_us": first.as_json(),
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
        counts.message(1000, 3000, &mut a);
        assert!(!counts.any_reached(2));
        counts.message(1000, 9000, &mut b);
        assert!(counts.any_reached(2));
        counts.message(5000, 6000, &mut a);
        counts.message(5000, 6000, &mut a);
        counts.message(1000, 9000, &mut a);
        counts.message(0, 9000, &mut a);
        let said = counts.as_json(2);
        let number = |key: &str| said[key].as_u64().unwrap();
        assert_eq!((number("messages"), number("changes"), number("reached_all")), (6, 2, 1));
        assert_eq!((number("repeated"), number("backward")), (1, 1));
        assert_eq!((&said["each_us"]["count"], &said["each_us"]["max"]), (&json!(3), &json!(8.0)));
        assert_eq!((&said["first_us"]["count"], &said["first_us"]["max"]), (&json!(1), &json!(2.0)));
        assert_eq!((&said["last_us"]["count"], &said["last_us"]["max"]), (&json!(1), &json!(8.0)));
    }

    #[test]
    fn a_read_after_a_notice_is_stale_if_it_lacks_a_change_before_its_position() {
        let mut counts = Counts::default();
        counts.made(10, 1000);
        counts.made(11, 2000);
        for (least, made_at, stamp) in [(10, 10, 1000), (10, 10, 2000), (10, 11, 1000), (11, 9, 1000)] {
            counts.reread(least, made_at, stamp);
        }
        counts.told(Told::Nothing);
        counts.polled(1000);
        counts.polled(2000);
        let said = counts.as_json(1);
        assert_eq!((&said["rereads"], &said["stale"], &said["early"]), (&json!(4), &json!(3), &json!(1)));
        assert_eq!(said["waits"], json!({ "nothing": 1 }));
    }

    #[test]
    fn without_a_stamp_a_message_is_of_the_last_post_if_that_reached_all() {
        let (mut counts, mut a, mut b) = (Counts::default(), 0, 0);
        counts.post(1000, 100, 2);
        counts.message(0, 1050, &mut a);
        assert!(!counts.is_quiet(2, 1060, 1000));
        counts.message(0, 1070, &mut b);
        assert!(counts.is_quiet(2, 1070, 1000));
        counts.post(2000, 100, 2);
        counts.message(0, 2020, &mut a);
        assert!(!counts.is_quiet(2, 2500, 1000) && counts.is_quiet(2, 3021, 1000));
        counts.settle(2);
        let said = counts.as_json(2);
        assert_eq!(
            (&said["changes"], &said["reached_all"], &said["unattributed"]),
            (&json!(2), &json!(1), &json!(1))
        );
        assert_eq!((&said["each_us"]["count"], &said["each_us"]["max"]), (&json!(2), &json!(0.07)));
    }

    #[test]
    fn a_post_that_was_sent_while_messages_came_is_not_known_to_be_their_change() {
        let (mut counts, mut a) = (Counts::default(), 0);
        counts.post(1000, 100, 1);
        counts.message(0, 1070, &mut a);
        counts.post(1100, 100, 1);
        counts.message(0, 1110, &mut a);
        counts.post(1200, 100, 1);
        counts.message(0, 1210, &mut a);
        counts.settle(1);
        let said = counts.as_json(1);
        assert_eq!((&said["reached_all"], &said["unattributed"]), (&json!(2), &json!(1)));
        assert_eq!(&said["each_us"]["count"], &json!(2));
    }
}
