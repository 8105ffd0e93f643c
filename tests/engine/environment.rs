//! What surrounds an engine: the environment, which wins over the program.

use std::{env, process::Command};

use facade_engine::{DriverChoice, Engine, Error, Result};
use facade_tests::starting;

/// The driver that only this system has.
#[cfg(unix)]
const NATIVE: (&str, DriverChoice) = ("io_uring", DriverChoice::IoUring);
#[cfg(windows)]
const NATIVE: (&str, DriverChoice) = ("iocp", DriverChoice::Iocp);

#[test]
fn promise_19_the_environment_wins_over_the_builder() {
    const CASE: &str = "FACADE_TEST_DRIVER_CASE";
    let build = |choice| Engine::builder().driver(choice).build();
    let named = |result: Result<Engine>| match result {
        Ok(engine) => engine.driver().to_owned(),
        Err(Error::Unsupported { what }) => format!("unsupported: {what}"),
        Err(error) => panic!("{error:?}"),
    };
    if let Ok(expected) = env::var(CASE) {
        for choice in [DriverChoice::Auto, DriverChoice::Mio, NATIVE.1] {
            let name = named(build(choice));
            assert!(name.contains(&expected), "{choice:?}: {name}");
        }
        return;
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let test = format!("{module}::promise_19_the_environment_wins_over_the_builder");
    let cases = [
        ("mio", "mio"),
        (NATIVE.0, NATIVE.0),
        ("iouring", "unsupported: FACADE_DRIVER=iouring: it can be auto, mio"),
        ("MIO", "unsupported: FACADE_DRIVER=MIO: it can be auto, mio"),
    ];
    for (value, expected) in cases {
        // The environment is the whole process's, so each value has a process of its own.
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args([&test, "--exact", "--nocapture"])
            .env("FACADE_DRIVER", value)
            .env(CASE, expected);
        let output = starting::output(&mut command);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{value}: {output:?}");
    }
}

#[test]
fn a_driver_of_another_system_is_unsupported() {
    // The environment would win.
    if env::var_os("FACADE_DRIVER").is_some() {
        return;
    }
    let (other, has_it) = match cfg!(windows) {
        true => (DriverChoice::IoUring, "only Linux has it"),
        false => (DriverChoice::Iocp, "only Windows has completion ports"),
    };
    let error = Engine::builder().driver(other).build().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains(has_it), "{error}");
}
