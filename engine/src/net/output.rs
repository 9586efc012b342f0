//! Standard output, written by a thread of its own: who reads it may be slow, or gone, and the shards do not wait.
//!
//! What there is no room for is lost, and counted. Called by shards for the access log.
use super::sys;
use std::io::ErrorKind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes kept for a reader that is slow.
const MOST_BYTES: usize = 1024 * 1024;
/// How long a reader may take for the last of it when all else has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Before an output that does not block is tried again.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    /// The thread has some of them in hand.
    writing: bool,
    ended: bool,
}

/// Lines on their way out.
pub struct Output {
    pending: Mutex<Pending>,
    changed: Condvar,
    /// Told how many lines were lost.
    on_loss: Box<dyn Fn(u64) + Send + Sync>,
}

impl Output {
    /// Nothing yet, and a thread that writes what will come.
    pub fn start(on_loss: impl Fn(u64) + Send + Sync + 'static) -> std::io::Result<Arc<Self>> {
        let output = Arc::new(Self::new(on_loss));
        let own = output.clone();
        std::thread::Builder::new().name("freshwire-log".into()).spawn(move || {
            sys::block_signals();
            own.run(sys::write_stdout);
        })?;
        Ok(output)
    }

    fn new(on_loss: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { pending: Mutex::default(), changed: Condvar::new(), on_loss: Box::new(on_loss) }
    }

    fn lose(&self, lines: &[u8]) {
        (self.on_loss)(lines.iter().filter(|&&byte| byte == b'\n').count() as u64);
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whole lines, to be written soon.
    pub fn write(&self, lines: &[u8]) {
        let mut pending = self.pending();
        if pending.bytes.len() + lines.len() > MOST_BYTES {
            drop(pending);
            return self.lose(lines);
        }
        pending.bytes.extend_from_slice(lines);
        if !pending.writing {
            self.changed.notify_all();
        }
    }

    /// Nothing more will come: wait a little until all is written.
    pub fn end(&self) {
        let mut pending = self.pending();
        pending.ended = true;
        self.changed.notify_all();
        let unwritten = |pending: &mut Pending| pending.writing || !pending.bytes.is_empty();
        let _ = self.changed.wait_timeout_while(pending, LAST_WORDS, unwritten);
    }

    fn run(&self, write: impl Fn(&[u8]) -> std::io::Result<usize>) {
        let mut batch = vec![];
        loop {
            let mut pending = self.pending();
            pending.writing = false;
            self.changed.notify_all();
            while pending.bytes.is_empty() {
                if pending.ended {
                    return;
                }
                pending = self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut pending.bytes, &mut batch);
            pending.writing = true;
            drop(pending);
            self.write_all(&batch, &write);
            batch.clear();
        }
    }

    /// As much as the other end takes; what cannot be written at all is lost.
    fn write_all(&self, mut left: &[u8], write: impl Fn(&[u8]) -> std::io::Result<usize>) {
        while !left.is_empty() {
            match write(left) {
                Ok(n) => left = &left[n.min(left.len())..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                Err(_) => return self.lose(left),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::mpsc;

    fn output() -> (Arc<Output>, Arc<AtomicU64>) {
        let lost = Arc::new(AtomicU64::new(0));
        let counted = lost.clone();
        (Arc::new(Output::new(move |lines| _ = counted.fetch_add(lines, Relaxed))), lost)
    }

    #[test]
    fn what_comes_is_written_in_order_by_the_end() {
        let (output, _) = output();
        let (sender, written) = mpsc::channel();
        let own = output.clone();
        let thread = std::thread::spawn(move || {
            own.run(|bytes| {
                let some = bytes.len().min(3);
                sender.send(bytes[..some].to_vec()).unwrap();
                Ok(some)
            });
        });
        for line in ["one\n", "two\n", "three\n"] {
            output.write(line.as_bytes());
        }
        output.end();
        thread.join().unwrap();
        assert_eq!(written.iter().flatten().collect::<Vec<_>>(), b"one\ntwo\nthree\n");
    }

    #[test]
    fn an_output_that_takes_nothing_holds_nobody_up() {
        let (output, lost) = output();
        let (begun, began) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let own = output.clone();
        let thread = std::thread::spawn(move || {
            own.run(|bytes| {
                begun.send(()).unwrap();
                let _ = released.recv();
                Ok(bytes.len())
            });
        });
        output.write(b"stuck\n");
        began.recv().unwrap();
        let line = [b"x".repeat(1023), vec![b'\n']].concat();
        (0..1030).for_each(|_| output.write(&line));
        assert_eq!(lost.load(Relaxed), 6);
        drop(release);
        output.end();
        thread.join().unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let (output, lost) = output();
        output.write_all(b"a\nb\n", |_| Err(ErrorKind::StorageFull.into()));
        assert_eq!(lost.load(Relaxed), 2);
    }
}
