//! What resources are called, for errors, and what is pending at them, for whoever asks.

use std::{collections::HashMap, fmt};

use crate::{
    core::{
        Core, Kind, Pending,
        closing::Closing,
        file::Task,
        pending::PendingOperation,
        repeat::Taker,
        resource::Resource,
        stream::{
            StreamState,
            read::{Form, Plain},
        },
    },
    pure::{metrics::Metrics, table::Id},
    system::{driver::Driver, fd_kind::FdKind},
};

impl Core {
    /// What a resource is called: by its address, or as what kind of descriptor it is.
    pub(crate) fn name_of(&self, resource: Id) -> String {
        let fd_kind = match self.resources.get(resource) {
            Some(Resource::Stream(state)) => {
                if let Some(peer) = &state.settings.peer {
                    return peer.to_string();
                }
                state.fd_kind
            }
            Some(Resource::Listener(_)) => FdKind::Listener,
            Some(Resource::File(_)) => FdKind::File { append: false },
            Some(Resource::Watch(state)) => return state.name.clone(),
            Some(Resource::Datagrams(state)) => state.fd_kind,
            Some(Resource::Child(state)) => return state.name(),
            None => return String::new(),
        };
        match self.driver.descriptor(resource) {
            Some(descriptor) => descriptor.name(fd_kind),
            None => fd_kind.to_string(),
        }
    }

    /// Everything that [`pending`](Self::pending) counts.
    pub(crate) fn report(&self) -> Vec<PendingOperation> {
        let deadlines: HashMap<_, _> = self.timers.deadlines().collect();
        let entry = |operation, resource: Id, timer| PendingOperation {
            operation,
            on: self.resources.get(resource).map(|_| self.name_of(resource)),
            deadline: deadlines.get(&timer).copied(),
            count: 1,
        };
        let mut all = Vec::new();
        for id in self.pending.ids() {
            let Some(pending) = self.pending.get(id) else { continue };
            let resource = match &pending.kind {
                Kind::Connect(connecting) => connecting.resources().next().unwrap_or(Id::NONE),
                _ => pending.resource,
            };
            all.push(entry(operation(pending), resource, pending.timer));
        }
        for id in self.resources.ids() {
            let (is_sending, is_closing) = match self.resources.get(id) {
                Some(Resource::Stream(state)) => {
                    if let Some(head_read) = &state.head_read {
                        all.push(entry(head_read.operation(), id, head_read.timer));
                    }
                    let is_closing = state.rare.is_closing();
                    (!is_closing && state.outgoing.len() > 0, is_closing)
                }
                Some(Resource::Listener(state)) => (false, state.closing.is_some()),
                Some(Resource::File(state)) => (false, state.closing.is_some()),
                Some(Resource::Watch(state)) => (false, state.unsettled),
                Some(Resource::Datagrams(state)) => (false, state.closing.is_some()),
                Some(Resource::Child(state)) => (false, state.unsettled),
                None => (false, false),
            };
            if is_sending {
                all.push(entry("send", id, 0));
            }
            if is_closing {
                all.push(entry("closing", id, 0));
            }
        }
        all.extend(PendingOperation::several("callback", self.ready.len()));
        all.extend(PendingOperation::several("submission", self.put_off()));
        all.extend(PendingOperation::several("drop", self.deferred_drops.len()));
        all.extend(PendingOperation::several("task", self.tasks.len()));
        all
    }

    /// How much was done, and how much there is to do. What the engine knows beside this is left out.
    pub(crate) fn metrics(&self) -> Metrics {
        let counts = &self.counts;
        let mut metrics = Metrics {
            bytes_received: counts.bytes_received,
            bytes_sent: counts.bytes_sent,
            connections_accepted: counts.connections_accepted,
            datagrams_received: counts.datagrams_received,
            datagrams_sent: counts.datagrams_sent,
            late_completions: counts.late_completions,
            ready: self.ready.len(),
            lanes: self.pool.lanes(),
            operations: self.shared.observer.operations(),
            ..Metrics::default()
        };
        for id in self.resources.ids() {
            match self.resources.get(id) {
                Some(Resource::Stream(state)) => {
                    metrics.unread += state.unread.len();
                    metrics.unsent += state.outgoing.len() + state.queued;
                }
                Some(Resource::Datagrams(state)) => metrics.unsent += state.queued(),
                // Of somebody else's.
                Some(Resource::Watch(_)) | None => continue,
                Some(Resource::Listener(_) | Resource::File(_) | Resource::Child(_)) => {}
            }
            metrics.resources += 1;
        }
        metrics
    }

    /// Says of a stream or listener what waits there.
    pub(crate) fn describe(&self, id: Id, f: &mut fmt::DebugStruct<'_, '_>) {
        let Some(resource) = self.resources.get(id) else { return };
        f.field("on", &format_args!("{}", self.name_of(id)));
        let mut operations = Vec::new();
        if let Resource::Stream(StreamState { unread, outgoing, queued, head_read, .. }) = resource
        {
            f.field("unread", &unread.len()).field("unsent", &(outgoing.len() + queued));
            operations.extend(head_read.as_ref().map(|head_read| head_read.operation()));
        }
        if let Resource::Datagrams(state) = resource {
            f.field("untaken", &state.untaken()).field("unsent", &state.queued());
        }
        for other in self.pending.ids() {
            if let Some(pending) = self.pending.get(other).filter(|other| other.resource == id) {
                operations.push(operation(pending));
            }
        }
        f.field("pending", &operations);
        let closing: Option<&Closing> = match resource {
            Resource::Stream(state) => state.rare.closing.as_deref(),
            Resource::Listener(state) => state.closing.as_deref(),
            Resource::File(state) => state.closing.as_deref(),
            Resource::Watch(_) | Resource::Child(_) => None,
            Resource::Datagrams(state) => state.closing.as_deref(),
        };
        f.field("closing", &closing.is_some());
    }
}

/// The name of an operation's method, as far as it is known.
fn operation(pending: &Pending) -> &'static str {
    match &pending.kind {
        Kind::Read(read) => match &read.form {
            Form::Bytes(matcher, _) => matcher.operation(),
            Form::Other(_) => "read",
            Form::User(_) => "read_with",
            Form::Repeat(Plain::Line(_), _) => "each_line",
            Form::Repeat(..) => "each_chunk",
            Form::Copy(_) => "copy",
        },
        Kind::Write(_) => "write",
        Kind::Flush(_) => "flush",
        Kind::ShutdownWrite(_) => "shutdown_write",
        Kind::Accept(Taker::Once(_)) => "accept",
        Kind::Accept(Taker::Each(_)) => "each_connection",
        Kind::Every(_) => "every",
        Kind::Connect(_) => "connect",
        Kind::Poll { readiness, .. } => readiness.operation(),
        Kind::Close => "close",
        Kind::Sleep { .. } => "sleep",
        Kind::Signal(_, Taker::Once(_)) => "signal",
        Kind::Signal(_, Taker::Each(_)) => "each_signal",
        Kind::Thread(job) => job.operation(),
        Kind::Wait(_) => "wait",
        Kind::File(task) => match **task {
            Task::Read { .. } => "read_at",
            Task::Write { .. } => "write_at",
            Task::Sync { .. } => "sync",
        },
        Kind::ReceiveFrom(Taker::Once(_)) => "recv_from",
        Kind::ReceiveFrom(Taker::Each(_)) => "each_datagram",
        Kind::SendTo(_) => "send_to",
        Kind::Copy(_) | Kind::CopyTo(_) => "copy",
        Kind::Chain(_) => "chain",
        Kind::Claimed(_) => "claim",
    }
}
