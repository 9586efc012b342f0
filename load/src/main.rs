//! The command `freshwire-load`.
use freshwire_load::options::{HELP, Options};
use freshwire_load::run::run;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() || words.iter().any(|word| matches!(&**word, "-h" | "--help")) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The first one asks for what has been measured, the second ends it at once.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone());
        let _ = signal_hook::flag::register(signal, stop.clone());
    }
    let mut say = |value: &serde_json::Value| {
        let _ = writeln!(std::io::stdout().lock(), "{value}");
    };
    let (options, mut code) = (Options::from_words(words), ExitCode::SUCCESS);
    let wrong = |error: String| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    };
    match options.and_then(|options| run(&options, &stop, &mut say)) {
        Ok(report) => say(&report),
        Err(error) => code = wrong(error),
    }
    code
}
