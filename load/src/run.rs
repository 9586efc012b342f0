//! The order of events: connect, measure, report; or connect, and take orders.
use crate::counts::Counts;
use crate::crowd::Crowd;
use crate::options::Options;
use crate::orders::Orders;
use crate::process;
use crate::progress::Progress;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long to wait at the end for what has been sent to arrive.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// What the clocks of a stretch of time say.
struct Stretch {
    since: Instant,
    own_ns: u64,
    server_ns: Option<u64>,
}

impl Stretch {
    fn begin(options: &Options) -> Self {
        Self {
            since: Instant::now(),
            own_ns: process::own_cpu_ns(),
            server_ns: process::cpu_ns(&options.pids),
        }
    }

    fn client(&self) -> Value {
        let (wall, own) = (self.since.elapsed(), process::own_cpu_ns() - self.own_ns);
        json!({ "cpu_s": own as f64 / 1e9, "cpu_share": own as f64 / wall.as_nanos().max(1) as f64 })
    }

    fn server_cpu_ns(&self, options: &Options) -> Option<u64> {
        Some(process::cpu_ns(&options.pids)?.saturating_sub(self.server_ns?))
    }
}

/// Everything that a run has.
struct Run<'a> {
    options: &'a Options,
    stop: &'a AtomicBool,
    progress: Progress,
    crowd: Crowd,
    begun: Instant,
    memory_before: Option<u64>,
}

/// Do all of it. Without a time, orders are taken from standard input and `say` gets the answers. `stop` ends it early;
/// what has been measured so far is returned.
pub fn run(options: &Options, stop: &AtomicBool, say: &mut dyn FnMut(&Value)) -> Result<Value, String> {
    let orders = match options.seconds {
        Some(_) => None,
        None => Some(Orders::new().map_err(|error| error.to_string())?),
    };
    let memory_before = process::private_bytes(&options.pids);
    if memory_before.is_none() {
        return Err(format!("there is no process {:?} whose memory and CPU time can be read", options.pids));
    }
    let crowd = Crowd::new(options, orders.as_ref())?;
    let progress = Progress::new(options.progress);
    let mut run = Run { options, stop, progress, crowd, begun: Instant::now(), memory_before };
    run.connect();
    match orders {
        None => Ok(run.measure(options.seconds.unwrap_or(0.0))),
        Some(orders) => Ok(run.obey(orders, say)),
    }
}

impl Run<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Serve until `done` or the time is over.
    fn until(&mut self, end: Option<Instant>, what: &str, mut done: impl FnMut(&Crowd) -> bool) {
        let begin = Instant::now();
        while !self.stopped() && !done(&self.crowd) {
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            self.crowd.turn(left.max(Duration::from_millis(1)));
            let share = end.map(|end| begin.elapsed().as_secs_f64() / (end - begin).as_secs_f64());
            self.progress.show(what, &self.crowd, self.options.connections, share);
        }
    }

    fn connect(&mut self) -> Value {
        self.until(None, "connecting", Crowd::is_settled);
        self.progress.end("connected", &self.crowd);
        json!(self.begun.elapsed().as_secs_f64())
    }

    fn measure(&mut self, seconds: f64) -> Value {
        let connect_s = self.begun.elapsed().as_secs_f64();
        let connected = self.crowd.standing.there + self.crowd.standing.gone;
        if self.crowd.standing.there > 0 {
            let settled = Instant::now() + Duration::from_secs_f64(self.options.settle_s);
            self.until(Some(settled), "settling", |_| false);
        }
        let memory_after = process::private_bytes(&self.options.pids);
        let greetings = std::mem::take(&mut self.crowd.counts).messages;
        let stretch = Stretch::begin(self.options);
        self.crowd.start(Some(seconds));
        let end = stretch.since + Duration::from_secs_f64(seconds);
        self.until(Some(end), "measuring", |crowd| crowd.standing.there == 0);
        let measured = stretch.since.elapsed().as_secs_f64();
        let client = stretch.client();
        self.crowd.rest();
        self.until(Some(Instant::now() + LAST_WAIT), "waiting for the last", Crowd::is_quiet);
        let unanswered = self.crowd.stop();
        let server_ns = stretch.server_cpu_ns(self.options);
        if connected > 0 {
            self.progress.end("measured", &self.crowd);
        }
        let mut said = self.marked(measured, client);
        let messages = said["messages"].as_u64().unwrap_or(0);
        let more = json!({
            "transport": self.options.transport,
            "connections": self.options.connections,
            "connected": connected,
            "connect_s": connect_s,
            "greetings": greetings,
            "unanswered": unanswered,
            "interrupted": self.stopped(),
            "server": (!self.options.pids.is_empty()).then(|| json!({
                "cpu_s": server_ns.map(|ns| ns as f64 / 1e9),
                "cpu_us_per_message":
                    server_ns.filter(|_| messages > 0).map(|ns| ns as f64 / 1e3 / messages as f64),
                "private_bytes_before": self.memory_before,
                "private_bytes_after": memory_after,
                "private_bytes_per_connection": memory_after.zip(self.memory_before)
                    .filter(|_| connected > 0)
                    .map(|(after, before)| (after as f64 - before as f64) / connected as f64),
            })),
        });
        merge(&mut said, more);
        said
    }

    /// What has come since the last mark.
    fn marked(&mut self, seconds: f64, client: Value) -> Value {
        let (everybody, expected) = (self.crowd.everybody(), self.crowd.expected());
        self.crowd.counts.settle(expected);
        let behind = self.crowd.behind();
        let mut said = std::mem::take(&mut self.crowd.counts).as_json(everybody);
        let standing = self.crowd.standing;
        merge(
            &mut said,
            json!({
                "seconds": seconds,
                "newest": self.crowd.newest(),
                "behind": behind,
                "there": standing.there,
                "gone": standing.gone + standing.failed,
                "failed": self.crowd.failed,
                "ended": self.crowd.ended,
                "client": client,
            }),
        );
        said
    }

    fn obey(&mut self, mut orders: Orders, say: &mut dyn FnMut(&Value)) -> Value {
        let connect_s = self.begun.elapsed().as_secs_f64();
        let mut stretch = Stretch::begin(self.options);
        let greetings = std::mem::take(&mut self.crowd.counts).messages;
        let standing = self.crowd.standing;
        let mut awaiting = false;
        say(&json!({
            "ready": standing.there,
            "gone": standing.gone + standing.failed,
            "failed": self.crowd.failed,
            "ended": self.crowd.ended,
            "connect_s": connect_s,
            "greetings": greetings,
        }));
        loop {
            if awaiting && self.crowd.counts.any_reached(self.crowd.everybody()) {
                awaiting = false;
                say(&self.marked(stretch.since.elapsed().as_secs_f64(), stretch.client()));
                stretch = Stretch::begin(self.options);
            }
            let order = match orders.take() {
                Ok(Some(order)) => order,
                Ok(None) if !self.stopped() => {
                    self.crowd.turn(Duration::MAX);
                    continue;
                }
                _ => "leave".into(),
            };
            match order.trim() {
                "mark" | "leave" => {
                    let (seconds, client) = (stretch.since.elapsed().as_secs_f64(), stretch.client());
                    self.crowd.rest();
                    self.until(Some(Instant::now() + LAST_WAIT), "waiting for answers", |crowd| {
                        crowd.unanswered() == 0
                    });
                    let unanswered = self.crowd.stop();
                    let mut said = self.marked(seconds, client);
                    merge(&mut said, json!({ "unanswered": unanswered }));
                    if order.trim() == "leave" {
                        return said;
                    }
                    say(&said);
                    stretch = Stretch::begin(self.options);
                }
                "await" => {
                    (self.crowd.counts, awaiting) = (Counts::default(), true);
                    say(&json!({ "awaiting": self.crowd.everybody() }));
                    stretch = Stretch::begin(self.options);
                }
                order @ ("cut" | "return") => {
                    let begun = Instant::now();
                    self.crowd.counts.back = Counts::default().back;
                    let away = if order == "cut" { self.crowd.cut() } else { self.crowd.come_back() };
                    self.until(None, "coming back", Crowd::is_settled);
                    say(&json!({
                        "cut": away,
                        "back": self.crowd.standing.there,
                        "back_s": begun.elapsed().as_secs_f64(),
                        "back_us": self.crowd.counts.back.as_json(),
                        "failed": self.crowd.failed,
                    }));
                }
                "go" => self.crowd.start(None),
                other => say(&json!({ "error": format!("there is no order {other:?}") })),
            }
        }
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}
