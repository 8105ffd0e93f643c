//! Peers: what they send and read, how they end, what the books know of it. Checks no rule.

use std::{
    io::{ErrorKind, Read, Write},
    mem,
    net::Shutdown,
    time::Duration,
};

use super::world::World;

impl World {
    pub(super) fn peer_acts(&mut self) {
        if self.has_all_kinds && self.chance(0.3) {
            return self.datagram_peer_acts();
        }
        let waiting = self.listener.waiting.len();
        let count = self.streams.len();
        if count + waiting == 0 {
            return;
        }
        let stream = self.below(count);
        match self.below(20) {
            0 => self.peer_ends(stream),
            1..6 => self.peer_reads(stream, 4096),
            _ => {
                let len = match self.below(6) {
                    0 => self.below(2000),
                    _ => self.below(60),
                };
                let bytes = self.draw_bytes(len);
                self.peer_writes(stream, &bytes);
            }
        }
    }

    /// Returns how many bytes there was room for.
    pub(crate) fn peer_writes(&mut self, stream: usize, bytes: &[u8]) -> usize {
        let now = self.network.now();
        let line = &mut self.streams[stream];
        let Some(peer) = &mut line.peer else { return 0 };
        if line.peer_shut {
            return 0;
        }
        if line.handle.is_none() || line.closing {
            // Nobody may be there any more, and answer by a reset that overtakes what is under way.
            line.outflow.lossy = true;
        }
        let count = match peer.write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            Err(_) => {
                self.streams[stream].inflow.lossy = true;
                return 0;
            }
        };
        let transfer = match line.link.bandwidth {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            Some(rate) => Duration::from_secs_f64(count as f64 / rate as f64 + 1e-6),
            None => Duration::ZERO,
        };
        let at = (now + line.link.latency.end).max(line.inflow.clear_at());
        let at = at.saturating_add(transfer);
        line.inflow.send(&bytes[..count], at);
        self.say(|| format!("peer {stream} sends {count} bytes, there by {at:?}"));
        count
    }

    pub(crate) fn peer_reads(&mut self, stream: usize, most: usize) {
        let line = &mut self.streams[stream];
        let Some(peer) = &mut line.peer else { return };
        let mut buffer = vec![0; most];
        loop {
            match peer.read(&mut buffer) {
                Ok(0) => break line.peer_ended = true,
                Ok(count) => line.outflow.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    line.peer_ended = true;
                    break;
                }
            }
        }
    }

    fn peer_ends(&mut self, stream: usize) {
        match self.below(4) {
            0 | 1 => self.peer_shuts(stream),
            drawn => self.peer_goes(stream, drawn == 2),
        }
    }

    /// The peer closes its end, or resets the connection.
    pub(crate) fn peer_goes(&mut self, stream: usize, resets: bool) {
        let line = &mut self.streams[stream];
        let Some(peer) = line.peer.take() else { return };
        line.inflow.may_end = true;
        line.inflow.may_reset = true;
        line.inflow.lossy = true;
        line.outflow.lossy = true;
        self.say(|| format!("peer {stream} goes"));
        match resets {
            true => peer.reset(),
            false => drop(peer),
        }
    }

    pub(crate) fn peer_shuts(&mut self, stream: usize) {
        let line = &mut self.streams[stream];
        if let Some(peer) = &line.peer
            && !mem::replace(&mut line.peer_shut, true)
        {
            line.inflow.may_end = true;
            // The connection may be broken already.
            _ = peer.shutdown(Shutdown::Write);
        }
    }

    /// Open streams on which everything was told, so that nothing more is asked of them.
    pub(crate) fn quiet_streams(&self) -> Vec<usize> {
        let is_quiet = |&stream: &usize| {
            let line = &self.streams[stream];
            line.handle.is_some()
                && !line.closing
                && !line.peer_ended
                && !line.inflow.lossy
                && line.outflow.is_all_there()
                && !self.is_copied(stream)
                && self.ops.iter().all(|op| op.told || op.stream != stream)
        };
        (0..self.streams.len()).filter(is_quiet).collect()
    }
}
