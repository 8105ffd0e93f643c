//! What the tests have in common: engines by driver, peers, and callbacks that note what they heard.

pub mod drivers;
