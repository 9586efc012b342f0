//! Every input that was kept goes through its target: what was found once stays found.
use std::fs;
use std::path::Path;

#[test]
fn every_property_holds_for_every_input_that_was_kept() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in freshwire_fuzz::TARGETS {
        let mut inputs = 0;
        for folder in ["corpus", "found"].map(|kind| root.join(kind).join(name)) {
            for input in fs::read_dir(&folder).into_iter().flatten() {
                let path = input.expect("a file").path();
                let data = fs::read(&path).expect("a readable input");
                if let Err(panic) = std::panic::catch_unwind(|| target(&data)) {
                    eprintln!("{} breaks a property of {name}", path.display());
                    std::panic::resume_unwind(panic);
                }
                inputs += 1;
            }
        }
        assert!(inputs > 0, "{name} has no inputs: has its folder another name?");
    }
}
