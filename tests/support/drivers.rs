//! The drivers that every test of the suite runs on, a module each with the same items.

/// The completion driver of Linux.
///
/// Where it cannot be had, its tests fail. With `SKIP_IO_URING=1` they run on the readiness driver
/// instead, and say so.
pub mod io_uring {
    use std::{
        env,
        io::{Write, stderr},
        sync::Once,
    };

    use facade_engine::{Builder, DriverChoice, Engine};

    /// What it is called.
    pub const NAME: &str = "io_uring";

    /// An engine on this driver with default limits.
    pub fn engine() -> Engine {
        builder().build().expect("io_uring can be had; SKIP_IO_URING=1 leaves its tests out")
    }

    /// A builder of engines on this driver.
    pub fn builder() -> Builder {
        static SAID: Once = Once::new();
        if env::var_os("SKIP_IO_URING").is_none() {
            return Engine::builder().driver(DriverChoice::IoUring);
        }
        SAID.call_once(|| {
            // Not by a macro, whose output the harness keeps to itself.
            stderr().write_all(b"SKIPPED: the tests of io_uring run on mio\n").unwrap();
        });
        Engine::builder().driver(DriverChoice::Mio)
    }
}

/// The readiness driver.
pub mod mio {
    use facade_engine::{Builder, DriverChoice, Engine};

    /// What it is called.
    pub const NAME: &str = "mio";

    /// An engine on this driver with default limits.
    pub fn engine() -> Engine {
        builder().build().expect("the mio driver is always there")
    }

    /// A builder of engines on this driver.
    pub fn builder() -> Builder {
        Engine::builder().driver(DriverChoice::Mio)
    }
}
