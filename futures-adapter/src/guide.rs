//! The guide: how to use the futures. Text, and examples that run.
#![doc = include_str!("../guide/front.md")]

pub mod futures {
    #![doc = include_str!("../guide/futures.md")]
}

pub mod coming_from_tokio {
    #![doc = include_str!("../guide/coming_from_tokio.md")]
}

pub mod with_crates {
    // Its examples take crates that this one does not: they are run with those of `examples/`.
    #![cfg_attr(not(doctest), doc = include_str!("../guide/with_crates.md"))]
}
