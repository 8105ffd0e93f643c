//! The public surface of the two crates, a line an item, as it stands in the files beside this one:
//! a change of the surface is a change of these files, to be seen in its commit.
//!
//! `FACADE_BLESS=1 cargo test -p facade-tests --test surface` writes them anew.
#![cfg(target_os = "linux")]

use std::{
    env, fs,
    io::{Write, stderr},
    path::{Path, PathBuf},
    process::Command,
};

use public_api::Builder;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Says why nothing is compared; not by a macro, whose output the harness keeps to itself.
fn skip(why: &str) {
    stderr().write_all(format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}

/// What rustdoc knows of a crate, as JSON. A stable compiler is told that it may say so.
fn describe(package: &str, features: &[&str]) -> Option<PathBuf> {
    let target = root().join("target/surface");
    let made = Command::new(env!("CARGO"))
        .args(["rustdoc", "--lib", "--package", package, "--target-dir"])
        .arg(&target)
        .args(features)
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .current_dir(root())
        .env("RUSTC_BOOTSTRAP", "1")
        // What the tests' own tools are built with would be built anew for nothing.
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        skip(&format!("rustdoc describes nothing: {said}"));
        return None;
    }
    Some(target.join(format!("doc/{}.json", package.replace('-', "_"))))
}

/// Every public item, a line each.
fn list(package: &str, features: &[&str]) -> Option<String> {
    let described = describe(package, features)?;
    let listed = Builder::from_rustdoc_json(described)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build();
    match listed {
        Ok(surface) => Some(format!("{surface}\n")),
        Err(error) => {
            // Each compiler has a version of the format.
            skip(&format!("not the format of this compiler: {error}"));
            None
        }
    }
}

fn compare(package: &str, features: &[&str]) {
    let Some(surface) = list(package, features) else { return };
    let file = root().join(format!("tests/surface/{package}.txt"));
    if env::var_os("FACADE_BLESS").is_some() {
        fs::write(&file, &surface).unwrap();
    }
    let before = fs::read_to_string(&file).unwrap_or_default();
    let (before, now): (Vec<_>, Vec<_>) = (before.lines().collect(), surface.lines().collect());
    let gone: Vec<_> = before.iter().filter(|line| !now.contains(line)).collect();
    let new: Vec<_> = now.iter().filter(|line| !before.contains(line)).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "the surface of {package} has changed. If that is meant, FACADE_BLESS=1 writes it anew.\n\
         gone: {gone:#?}\nnew: {new:#?}"
    );
}

#[test]
fn the_surface_of_both_crates_is_as_it_is_written_down() {
    compare("facade-engine", &["--features", "sim"]);
    compare("facade-futures", &[]);
}
