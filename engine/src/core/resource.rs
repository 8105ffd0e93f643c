//! What the driver works for and operations wait at: streams, listeners, files and sockets of
//! datagrams.
//!
//! A stream has at most one reception and one send in the driver, a listener one accepting. What
//! they bring or take belongs to the resource: unread bytes, unsent bytes, untaken connections.
//! Operations queue there, so cancelling one takes it out of a queue and nothing else.

use crate::{
    core::{
        Core, child::ChildState, datagrams::DatagramsState, file::FileState,
        listener::ListenerState, stream::StreamState, watch::WatchState,
    },
    pure::table::Id,
};

/// Something with a descriptor.
pub(crate) enum Resource {
    Stream(StreamState),
    Listener(Box<ListenerState>),
    File(Box<FileState>),
    Watch(Box<WatchState>),
    Datagrams(Box<DatagramsState>),
    Child(Box<ChildState>),
}

/// How many resources are pending by themselves. Each has a flag that says whether it is counted.
#[derive(Debug, Default)]
pub(crate) struct Unsettled(usize);

impl Unsettled {
    pub(crate) const fn count(&self) -> usize {
        self.0
    }

    /// Counts a resource, or does not count it any more. The one place where this is done.
    #[inline]
    pub(crate) fn set(&mut self, is_counted: &mut bool, counts: bool) {
        match (*is_counted, counts) {
            (false, true) => self.0 += 1,
            (true, false) => self.0 -= 1,
            _ => return,
        }
        *is_counted = counts;
    }
}

impl Resource {
    /// Whether it is counted among the unsettled ones.
    fn unsettled(&mut self) -> &mut bool {
        match self {
            Self::Stream(state) => &mut state.unsettled,
            Self::Listener(state) => &mut state.unsettled,
            Self::File(state) => &mut state.unsettled,
            Self::Watch(state) => &mut state.unsettled,
            Self::Datagrams(state) => &mut state.unsettled,
            Self::Child(state) => &mut state.unsettled,
        }
    }
}

impl Core {
    /// Says whether a resource is pending by itself: it has bytes unsent, or is closing.
    pub(crate) fn set_unsettled(&mut self, resource: Id, unsettled: bool) {
        if let Some(resource) = self.resources.get_mut(resource) {
            self.unsettled.set(resource.unsettled(), unsettled);
        }
    }

    /// The last clone of something is gone: it closes once nothing is pending on it.
    pub(crate) fn release(&mut self, resource: Id) {
        match self.resources.get(resource) {
            Some(Resource::Stream(_)) => self.release_stream(resource),
            Some(Resource::Listener(_)) => self.release_listener(resource),
            Some(Resource::File(_)) => self.release_file(resource),
            Some(Resource::Datagrams(_)) => self.release_datagrams(resource),
            Some(Resource::Child(_)) => self.release_child(resource),
            // Nobody holds one.
            Some(Resource::Watch(_)) | None => {}
        }
    }

    /// Takes a resource out of the table, and out of the count.
    pub(crate) fn remove_resource(&mut self, resource: Id) -> Option<Resource> {
        self.set_unsettled(resource, false);
        self.resources.remove(resource)
    }
}

/// What the driver does for a resource in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is submitted.
    Idle,
    /// Submitted; its terminal completion is to come.
    Running,
    /// Submitted and cancelled; its terminal completion is still to come.
    Stopping,
}
