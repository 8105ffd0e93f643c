//! [`Shared`]: what an engine shares with its handles.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize},
    },
};

use crate::{
    handles::{
        at_fork,
        observer::Observer,
        queue::message::{Inbox, Sleeper},
        task::TaskPanic,
    },
    pure::{
        error::{self, Error},
        options::{ListenOptions, Sharing},
    },
    system::{descriptor::Descriptor, driver::Waker, env::Env, fork, signals::Signals},
};

/// What an engine shares with its handles.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: u32,
    pub(crate) inbox: Inbox,
    pub(crate) stop: AtomicBool,
    pub(crate) keep_alive: AtomicUsize,
    /// The next ticket. Changed only while the inbox is locked.
    pub(super) tickets: AtomicU64,
    pub(crate) env: Env,
    pub(crate) signals: Signals,
    pub(super) driver: &'static str,
    pub(super) task_panic: TaskPanic,
    pub(crate) observer: Observer,
}

impl Shared {
    pub(crate) fn new(
        env: Env,
        driver: &'static str,
        waker: Waker,
        task_panic: TaskPanic,
        observer: Observer,
    ) -> io::Result<Arc<Self>> {
        let id = at_fork::number_engine()?;
        Ok(Arc::new(Self {
            id,
            signals: Signals::new(id, waker.clone()),
            inbox: Inbox::new(Sleeper { engine: id, waker }),
            stop: AtomicBool::new(false),
            keep_alive: AtomicUsize::new(0),
            tickets: AtomicU64::new(1),
            env,
            driver,
            task_panic,
            observer,
        }))
    }

    /// Why nothing can be asked of the engine.
    pub(crate) fn refusal(&self) -> Error {
        if fork::is_inherited(self.id) { Error::Forked } else { Error::EngineClosed }
    }

    /// A TCP socket that listens.
    pub(crate) fn listen_tcp(
        &self,
        address: SocketAddr,
        sharing: Sharing,
        options: &ListenOptions,
    ) -> error::Result<Arc<Descriptor>> {
        // What ran here before ran on the same driver, in most cases.
        self.env.listen_tcp(address, sharing, options, self.driver == "io_uring")
    }
}
