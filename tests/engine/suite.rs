//! The modules of the suite, listed once. Each test says `super::driver::engine()`.

use super::driver;

#[path = "echo.rs"]
mod echo;
