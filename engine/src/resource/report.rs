//! What resources are called, for errors and for whoever asks what is pending.

use crate::{core::Core, driver::Driver, medium::Medium, resource::Resource, table::Id};

impl Core {
    /// What a resource is called: by its address, or as what kind of descriptor it is.
    pub(crate) fn name_of(&self, resource: Id) -> String {
        let medium = match self.resources.get(resource) {
            Some(Resource::Stream(state)) => {
                if let Some(peer) = &state.settings.peer {
                    return peer.to_string();
                }
                state.medium
            }
            Some(Resource::Listener(_)) => Medium::Listener,
            Some(Resource::File(_)) => Medium::File { append: false },
            None => return String::new(),
        };
        match self.driver.descriptor(resource) {
            Some(descriptor) => descriptor.name(medium),
            None => medium.to_string(),
        }
    }
}
