//! The guide: how to use the engine, and what it does. Text, and examples that run.
#![doc = include_str!("../guide/front.md")]

pub mod one_turn {
    #![doc = include_str!("../guide/one_turn.md")]
}

pub mod callbacks {
    #![doc = include_str!("../guide/callbacks.md")]
}

pub mod cancel_and_timeout {
    #![doc = include_str!("../guide/cancel_and_timeout.md")]
}

pub mod reading {
    #![doc = include_str!("../guide/reading.md")]
}

pub mod writing {
    #![doc = include_str!("../guide/writing.md")]
}

pub mod datagrams {
    #![doc = include_str!("../guide/datagrams.md")]
}

pub mod options {
    #![doc = include_str!("../guide/options.md")]
}

pub mod chains {
    #![doc = include_str!("../guide/chains.md")]
}

pub mod repeating {
    #![doc = include_str!("../guide/repeating.md")]
}

pub mod processes {
    #![doc = include_str!("../guide/processes.md")]
}

pub mod stopping {
    #![doc = include_str!("../guide/stopping.md")]
}

pub mod observing {
    #![doc = include_str!("../guide/observing.md")]
}

pub mod threads {
    #![doc = include_str!("../guide/threads.md")]
}

pub mod drivers {
    #![doc = include_str!("../guide/drivers.md")]
}

pub mod testing {
    // It is about the module `sim`, which is not there without the feature.
    #![cfg_attr(feature = "sim", doc = include_str!("../guide/testing.md"))]
    #![cfg_attr(
        not(feature = "sim"),
        doc = "Tests on a simulated network: a page that needs the cargo feature `sim`."
    )]
}

pub mod coming_from {
    #![doc = include_str!("../guide/coming_from.md")]
}

pub mod symptoms {
    #![doc = include_str!("../guide/symptoms.md")]
}
