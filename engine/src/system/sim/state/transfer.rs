//! How bytes get from one end of a connection to the other, and how the ends end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    pure::table::Id,
    system::{
        driver::Release,
        sim::{
            Link,
            state::{Attempt, Fate, Happening, NetworkState, Received, Result, Role, abridged},
            trace::digest,
        },
        sys::errno::Errno,
    },
};

/// The largest piece that is sent at once.
const PIECE_MAX: usize = 64 << 10;

impl NetworkState {
    /// Takes up to `most` of what has arrived.
    pub(crate) fn receive(&mut self, id: Id, most: usize) -> Attempt<Received> {
        let coming = self.sockets.get(id).is_some_and(|socket| socket.coming > 0);
        let Some(connection) = self.connection(id) else {
            return Attempt::Done(Received::Failed(Errno::NOTCONN));
        };
        let taken = most.min(connection.arrived.len());
        let received = if taken > 0 {
            let other = connection.other;
            let bytes = connection.arrived.split_to(taken).freeze();
            // There is room for more.
            self.touch(other);
            Received::Bytes(bytes)
        } else if let Some(error) = connection.error.take() {
            Received::Failed(error)
        } else if connection.ended || connection.broken {
            Received::End
        } else {
            return Attempt::WouldBlock { coming };
        };
        Attempt::Done(received)
    }

    /// Whether a read would not have to wait.
    pub(crate) fn is_readable(&self, id: Id) -> bool {
        match self.sockets.get(id).map(|socket| &socket.role) {
            Some(Role::Connected(connection)) => {
                !connection.arrived.is_empty() || connection.ended || connection.broken
            }
            Some(Role::Datagrams(datagrams)) => datagrams.is_readable(),
            _ => false,
        }
    }

    /// Whether the other end has ended its direction, or the connection is broken, as far as this
    /// end can know.
    pub(crate) fn is_peer_gone(&self, id: Id) -> bool {
        match self.sockets.get(id).map(|socket| &socket.role) {
            Some(Role::Connected(connection)) => connection.ended || connection.broken,
            _ => false,
        }
    }

    /// How many bytes have arrived.
    pub(crate) fn arrived_len(&self, id: Id) -> usize {
        match self.sockets.get(id).map(|socket| &socket.role) {
            Some(Role::Connected(connection)) => connection.arrived.len(),
            _ => 0,
        }
    }

    /// Fills the way to an end, as if its other end had sent so much. Returns how much that was.
    pub(crate) fn fill(&mut self, id: Id) -> usize {
        let Some(other) = self.connection(id).map(|connection| connection.other) else { return 0 };
        let Attempt::Done(Ok(room)) = self.room(other) else { return 0 };
        if let Some(connection) = self.connection(id) {
            connection.arrived.resize(connection.arrived.len() + room, 0);
        }
        room
    }

    /// How many bytes a send would take, or how it would fail. The system tells an error once.
    pub(crate) fn room(&mut self, id: Id) -> Attempt<Result<usize>> {
        let Some(socket) = self.sockets.get(id) else { return Attempt::Done(Err(Errno::BADF)) };
        let tcp = socket.tcp;
        let Some(connection) = self.connection(id) else {
            return Attempt::Done(Err(Errno::NOTCONN));
        };
        if let Some(error) = connection.error.take() {
            return Attempt::Done(Err(error));
        }
        if connection.broken || connection.shut {
            return Attempt::Done(Err(Errno::PIPE));
        }
        let (other, buffer, under_way) =
            (connection.other, connection.link.buffer, connection.under_way);
        match self.connection(other).filter(|remote| !remote.broken) {
            Some(remote) => match buffer.saturating_sub(under_way + remote.arrived.len()) {
                // Only the reader makes room.
                0 => Attempt::WouldBlock { coming: false },
                room => Attempt::Done(Ok(room)),
            },
            // A Unix socket knows that the other end is gone, TCP is told when it sends.
            None if !tcp => Attempt::Done(Err(Errno::PIPE)),
            None => Attempt::Done(Ok(buffer)),
        }
    }

    /// Sends all of `bytes`, for which there is room.
    pub(crate) fn send(&mut self, id: Id, bytes: &[u8]) {
        self.note(id, 8, digest(bytes), |name| {
            format!("{name}: sends {} bytes: {}", bytes.len(), abridged(bytes))
        });
        let mut rest = Bytes::copy_from_slice(bytes);
        while !rest.is_empty() {
            let Some(connection) = self.connection(id) else { return };
            let link = Arc::clone(&connection.link);
            if connection.severed {
                return self.reset_by_answer(id);
            }
            let len = match self.rng.chance(link.split) {
                true => self.rng.part_of(rest.len()),
                false => rest.len(),
            };
            let mut piece = rest.split_to(len.min(PIECE_MAX));
            let fate = self.fate_of(id, piece.len());
            if let Some((left, _)) = fate {
                piece.truncate(left);
            }
            let at = self.send_piece(id, piece, &link);
            if let Some((_, fate)) = fate {
                return self.suffer(id, fate, at);
            }
        }
    }

    /// What happens to a direction that is about to carry so many bytes more, and after how many.
    #[expect(clippy::cast_possible_truncation, reason = "below a length")]
    fn fate_of(&mut self, id: Id, len: usize) -> Option<(usize, Fate)> {
        let connection = self.connection(id)?;
        let (after, fate) = connection.fate?;
        let left = after.saturating_sub(connection.sent);
        (left < len as u64).then_some((left as usize, fate))
    }

    /// Sends one piece. Returns when it arrives.
    fn send_piece(&mut self, from: Id, bytes: Bytes, link: &Link) -> Duration {
        let latency = self.rng.duration(&link.latency);
        let transfer = match link.bandwidth {
            Some(rate) => Duration::from_secs_f64(usize_to_f64(bytes.len()) / u64_to_f64(rate)),
            None => Duration::ZERO,
        };
        let now = self.now;
        let Some(connection) = self.connection(from) else { return now };
        let at = (now + latency).max(connection.clear_at) + transfer;
        connection.clear_at = at;
        if !bytes.is_empty() {
            connection.sent += bytes.len() as u64;
            connection.under_way += bytes.len();
            let to = connection.other;
            self.schedule(at, Happening::Piece { from, to, bytes });
        }
        at
    }

    /// A direction meets its fate.
    fn suffer(&mut self, id: Id, fate: Fate, at: Duration) {
        let Some(connection) = self.connection(id) else { return };
        let other = connection.other;
        match fate {
            Fate::Reset => {
                connection.severed = true;
                self.schedule(at, Happening::Reset { to: id });
                self.schedule(at, Happening::Reset { to: other });
            }
            Fate::End => {
                connection.severed = true;
                self.schedule(at, Happening::End { to: other });
            }
        }
    }

    /// Sends no more: the other end hears so behind all bytes.
    pub(crate) fn shut(&mut self, id: Id) -> Result<()> {
        let Some(connection) = self.connection(id) else { return Err(Errno::NOTCONN) };
        if std::mem::replace(&mut connection.shut, true) || connection.severed {
            return Ok(());
        }
        self.say_end(id);
        Ok(())
    }

    fn say_end(&mut self, id: Id) {
        let latency = self.latency_of(id);
        let now = self.now;
        let Some(connection) = self.connection(id) else { return };
        let (at, to) = ((now + latency).max(connection.clear_at), connection.other);
        connection.clear_at = at;
        self.schedule(at, Happening::End { to });
    }

    /// Closes a socket. A connection is ended, or reset if that is asked for or bytes are unread.
    pub(crate) fn close(&mut self, id: Id, release: Release) {
        let Some(socket) = self.sockets.get(id) else { return };
        match &socket.role {
            Role::Connected(connection) => {
                let unread = !connection.arrived.is_empty() && release != Release::Drain;
                // A Unix socket cannot be reset.
                let reset = matches!(release, Release::Reset | Release::ResetForAll) && socket.tcp;
                let (ended, other) = (connection.shut || connection.severed, connection.other);
                let (broken, at) = (connection.broken, connection.clear_at);
                self.note(id, 9, u64::from(reset), |name| match reset || unread {
                    true => format!("{name}: closed, with a reset"),
                    false => format!("{name}: closed"),
                });
                if broken {
                    // It knows.
                } else if reset || unread {
                    let latency = self.latency_of(id);
                    let at = (self.now + latency).max(at);
                    self.schedule(at, Happening::Reset { to: other });
                } else if !ended {
                    self.say_end(id);
                }
            }
            Role::Listening(_) => self.end_listening(id),
            Role::Datagrams(_) => self.end_datagrams(id),
            _ => {}
        }
        if let Some(socket) = self.sockets.remove(id) {
            if socket.counted {
                self.hosts[socket.host].descriptors -= 1;
            }
            if let Role::Connected(connection) = socket.role {
                // One that waits for room need not wait any longer.
                self.touch(connection.other);
            }
        }
    }

    pub(super) fn arrive(&mut self, from: Id, to: Id, bytes: &[u8]) {
        self.note(to, 1, digest(bytes), |name| {
            format!("{name}: {} bytes arrive: {}", bytes.len(), abridged(bytes))
        });
        if let Some(sender) = self.connection(from) {
            sender.under_way -= bytes.len();
        }
        match self.connection(to) {
            Some(connection) if !connection.broken => {
                connection.arrived.extend_from_slice(bytes);
                self.touch(to);
            }
            // Nobody is there any more, and says so.
            _ => self.reset_by_answer(from),
        }
    }

    /// Resets the end that has sent something into the void.
    fn reset_by_answer(&mut self, from: Id) {
        let Some(connection) = self.connection(from) else { return };
        let link = Arc::clone(&connection.link);
        let at = self.now + self.rng.duration(&link.latency);
        self.schedule(at, Happening::Reset { to: from });
    }

    pub(super) fn break_connection(&mut self, to: Id) {
        self.note(to, 3, 0, |name| format!("{name}: reset"));
        let Some(connection) = self.connection(to) else { return };
        if !connection.broken {
            connection.broken = true;
            connection.error = Some(Errno::CONNRESET);
            let other = connection.other;
            self.touch(to);
            // One that waits for room need not wait any longer.
            self.touch(other);
        }
    }

    pub(super) fn draw_fate(&mut self, link: &Link) -> Option<(u64, Fate)> {
        let fate = match (self.rng.chance(link.reset), self.rng.chance(link.end)) {
            (true, _) => Fate::Reset,
            (false, true) => Fate::End,
            (false, false) => return None,
        };
        Some((self.rng.below(link.within), fate))
    }

    pub(super) fn latency_of(&mut self, id: Id) -> Duration {
        let Some(connection) = self.connection(id) else { return Duration::ZERO };
        let link = Arc::clone(&connection.link);
        self.rng.duration(&link.latency)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a length of time, which is no exact one")]
const fn usize_to_f64(number: usize) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "a length of time, which is no exact one")]
const fn u64_to_f64(number: u64) -> f64 {
    number as f64
}
