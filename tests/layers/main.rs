//! The layers of the engine, as its `use` lines show them: a file names its own layer or a lower
//! one, and files do not name one another in a circle. ARCHITECTURE.md says what the layers are.
#![cfg(target_os = "linux")]

mod imports;
mod systems;

use std::{collections::BTreeSet, path::Path};

use imports::{File, Imports};

/// From the lowest to the highest: folders of `engine/src`.
const LAYERS: [&str; 6] = ["pure", "system", "handles", "core", "api", "os"];

/// The one exception: what programs hold and the state behind it name each other, because the state
/// holds callbacks, and a callback is given a handle that submits to the state.
const TOGETHER: [&str; 2] = ["handles", "core"];

/// In no layer: it holds text and no code.
const GUIDE: &str = "guide";

fn engine() -> Imports {
    Imports::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/src"))
}

fn layer(file: &File) -> &str {
    file.first().map_or("", String::as_str)
}

fn height(file: &File) -> usize {
    LAYERS.iter().position(|name| *name == layer(file)).expect("a file of a layer")
}

fn is_exempt(file: &File) -> bool {
    TOGETHER.contains(&layer(file))
}

#[test]
fn every_file_is_in_a_layer() {
    let engine = engine();
    let is_inside = |file: &File| LAYERS.contains(&layer(file)) || layer(file) == GUIDE;
    let outside: Vec<_> =
        engine.files().filter(|file| !is_inside(file) && !file.is_empty()).collect();
    assert!(outside.is_empty(), "outside the layers: {outside:?}");
    assert!(engine.files().count() > 80, "the files were not found");
}

#[test]
fn a_file_names_its_own_layer_or_a_lower_one() {
    let mut broken = BTreeSet::new();
    for (from, to) in engine().edges() {
        let is_exception = is_exempt(from) && is_exempt(to);
        if height(to) > height(from) && !is_exception {
            broken.insert(format!("{} names {}", from.join("::"), to.join("::")));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn no_files_name_one_another_in_a_circle() {
    let circles = engine().circles();
    let broken = circles.iter().filter(|circle| !circle.iter().all(is_exempt));
    let broken: Vec<Vec<_>> =
        broken.map(|circle| circle.iter().map(|file| file.join("::")).collect()).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    // The exception, so that a test that sees nothing fails.
    assert_eq!(circles.len(), 1);
}
