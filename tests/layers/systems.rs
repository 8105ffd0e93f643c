//! What differs from system to system stands in one place: a test reads the sources of the engine for
//! everything that has to be asked or called differently, outside that place.

use std::{fs, path::Path};

/// Where systems may differ: what they call differently, what drives them, what is public on one.
const PLACES: [&str; 3] = ["system/sys/", "system/driver/", "os/"];

/// What shows that something is for one system only.
const MARKS: [&str; 9] = [
    "cfg(unix",
    "cfg(windows",
    "cfg(target_",
    "cfg(all(unix",
    "cfg(any(unix",
    "std::os::",
    "rustix::",
    "libc::",
    "windows_sys::",
];

#[test]
fn what_differs_from_system_to_system_stands_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/src");
    let (mut elsewhere, mut inside) = (Vec::new(), 0);
    read(&root, &root, &mut |file, source| {
        // Tests come last in a file, and ask what they like.
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let code = code.split("#[cfg(all(test").next().unwrap_or_default();
        let lines = code.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        let marked = lines.filter(|line| MARKS.iter().any(|mark| line.contains(mark)));
        if PLACES.iter().any(|place| file.starts_with(place)) {
            inside += marked.count();
        } else {
            elsewhere.extend(marked.map(|line| format!("{file}: {line}")));
        }
    });
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
    assert!(inside > 50, "the sources were not found: {inside}");
}

/// Hands each source on, with its path below the root.
fn read(root: &Path, folder: &Path, f: &mut impl FnMut(&str, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, f);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            f(name, &fs::read_to_string(&path).unwrap());
        }
    }
}
