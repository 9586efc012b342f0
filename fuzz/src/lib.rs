//! What must hold for any input. Each function takes bytes and panics if a property does not hold; the fuzz targets look
//! for such bytes, and `tests/corpus.rs` feeds every input that was ever kept to the same functions on stable Rust.
//!
//! A target is a line in [`TARGETS`], a file in `targets/` and a `[[bin]]` in `Cargo.toml` (see `docs/fuzzing.md`).
mod cache;
mod conditional;
mod fields;
mod hosts;
mod http;
mod pieces;
mod positions;
mod sse;
mod tags;
mod websocket;

/// One target: bytes in, a panic if something does not hold.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("heads", http::heads),
    ("bodies", http::bodies),
    ("pipelines", http::pipelines),
    ("frames", websocket::frames),
    ("messages", websocket::messages),
    ("inflate", websocket::inflate),
    ("handshakes", websocket::handshakes),
    ("events", sse::events),
    ("streams", sse::streams),
    ("tags", tags::tags),
    ("positions", positions::positions),
    ("fields", fields::fields),
    ("conditional", conditional::conditional),
    ("hosts", hosts::hosts),
    ("paths", hosts::paths),
    ("cache", cache::cache),
];

/// Run the target of this name.
///
/// # Panics
/// If there is none, or a property does not hold.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name");
    target(data);
}
