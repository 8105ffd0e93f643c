//! The drivers that every test of the suite runs on, a module each with the same functions.

/// The readiness driver.
pub mod mio {
    use facade_engine::{Builder, DriverChoice, Engine};

    /// An engine on this driver with default limits.
    pub fn engine() -> Engine {
        builder().build().expect("the mio driver is always there")
    }

    /// A builder of engines on this driver.
    pub fn builder() -> Builder {
        Engine::builder().driver(DriverChoice::Mio)
    }
}
