//! How far a run is, on standard error: a bar on a terminal, elsewhere a line when something is done.
use crate::crowd::Crowd;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(200);
const WIDTH: usize = 30;

/// See the module.
pub struct Progress {
    wanted: bool,
    terminal: bool,
    begun: Instant,
    shown: Instant,
}

impl Progress {
    /// Tell nothing if it is not wanted.
    pub fn new(wanted: bool) -> Self {
        let now = Instant::now();
        Self { wanted, terminal: std::io::stderr().is_terminal(), begun: now, shown: now }
    }

    /// Show where it is. `share`: of the time; without it, how many of `all` members are settled counts.
    pub fn show(&mut self, what: &str, crowd: &Crowd, all: usize, share: Option<f64>) {
        if !self.wanted || !self.terminal || self.shown.elapsed() < EVERY {
            return;
        }
        self.shown = Instant::now();
        let standing = crowd.standing;
        let share = share.unwrap_or((standing.there + standing.failed) as f64 / all as f64).min(1.0);
        let full = (share * WIDTH as f64) as usize;
        let bar = "#".repeat(full) + &"-".repeat(WIDTH - full);
        self.write(&format!("\r\x1b[K{what} [{bar}] {}", self.line(crowd)));
    }

    /// Something is done.
    pub fn end(&mut self, what: &str, crowd: &Crowd) {
        if self.wanted {
            let clear = if self.terminal { "\r\x1b[K" } else { "" };
            self.write(&format!("{clear}{what}: {}\n", self.line(crowd)));
        }
    }

    fn line(&self, crowd: &Crowd) -> String {
        let (standing, seconds) = (crowd.standing, self.begun.elapsed().as_secs_f64());
        let mut line =
            format!("{} there, {} messages, {seconds:.1} s", standing.there, crowd.counts.messages);
        for (count, what) in [(standing.failed, "failed"), (standing.gone, "ended")] {
            if count > 0 {
                line += &format!(", {count} {what}");
            }
        }
        line
    }

    fn write(&self, text: &str) {
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}
