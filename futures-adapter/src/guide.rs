//! The guide: how to use the futures. Text, and examples that run.
#![doc = include_str!("../guide/front.md")]

pub mod futures {
    #![doc = include_str!("../guide/futures.md")]
}
