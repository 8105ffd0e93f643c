//! What only Windows has: sockets and handles.
