//! Copies between [`Stream`]s and their halves.

use facade_engine::{CopyOptions, Stream as EngineStream};

use crate::{
    operation::{OpFuture, Submit, op},
    stream::{ReadHalf, Stream, WriteHalf},
};

impl Stream {
    /// See [`Handle::copy`](facade_engine::Handle::copy). Yields how many bytes went to `to`, which
    /// stays open. To send back what comes, [`split`](Self::split) the stream and
    /// [copy](ReadHalf::copy_to) one half to the other.
    ///
    /// # Cancellation
    ///
    /// Dropped, it ends where it is: what was copied goes out, every other byte is unread here. How
    /// many those are nobody says then; a [timeout](OpFuture::timeout) does, by its
    /// [`PartialCopy`](facade_engine::Error::PartialCopy).
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::{io::{Write, read_to_string}, os::unix::net::UnixStream};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut source, from) = UnixStream::pair().unwrap();
    /// let (sink, to) = UnixStream::pair().unwrap();
    /// let (mut from, mut to) = (runtime.io().attach(from)?, runtime.io().attach(to)?);
    /// source.write_all(b"hello").unwrap();
    /// drop(source);
    /// runtime.block_on(async {
    ///     assert_eq!(from.copy_to(&mut to).await?, 5);
    ///     to.close().await
    /// })?;
    /// assert_eq!(read_to_string(sink).unwrap(), "hello");
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn copy_to(&mut self, to: &mut Self) -> OpFuture<u64, impl Submit<u64>> {
        self.read.copy_to(&mut to.write)
    }

    /// See [`Handle::copy_with`](facade_engine::Handle::copy_with), and [`copy_to`](Self::copy_to).
    pub fn copy_to_with(
        &mut self,
        to: &mut Self,
        options: CopyOptions,
    ) -> OpFuture<u64, impl Submit<u64>> {
        self.read.copy_to_with(&mut to.write, options)
    }

    /// See [`Handle::copy_both_ways`](facade_engine::Handle::copy_both_ways). Yields how many bytes
    /// went to `other`, and how many came from there.
    ///
    /// # Cancellation
    ///
    /// As [`copy_to`](Self::copy_to), both ways.
    ///
    /// ```
    /// use facade_futures::{Io, Result, Runtime, Stream};
    /// use std::net::SocketAddr;
    ///
    /// /// All that a proxy does for a client.
    /// async fn proxy(io: &Io, mut client: Stream, target: SocketAddr) -> Result<(u64, u64)> {
    ///     let mut server = io.connect(target).await?;
    ///     client.copy_both_ways(&mut server).await
    /// }
    /// # use futures::future::try_join;
    /// # let runtime = Runtime::new()?;
    /// # let io = runtime.io().clone();
    /// # runtime.block_on(async {
    /// #     let (mut front, mut back) = (io.listen("127.0.0.1:0")?, io.listen("127.0.0.1:0")?);
    /// #     let target = back.local_addr()?;
    /// #     let mut user = io.connect(front.local_addr()?).await?;
    /// #     let client = front.accept().await?;
    /// #     user.write("question").await?;
    /// #     user.shutdown_write().await?;
    /// #     let answer = async {
    /// #         let mut served = back.accept().await?;
    /// #         assert_eq!(served.read_all().await?, "question");
    /// #         served.write("an answer").await?;
    /// #         served.close().await
    /// #     };
    /// #     let (counts, ()) = try_join(proxy(&io, client, target), answer).await?;
    /// #     assert_eq!(counts, (8, 9));
    /// #     assert_eq!(user.read_all().await?, "an answer");
    /// #     Result::Ok(())
    /// # })?;
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn copy_both_ways(
        &mut self,
        other: &mut Self,
    ) -> OpFuture<(u64, u64), impl Submit<(u64, u64)>> {
        self.copy_both_ways_with(other, CopyOptions::new())
    }

    /// See [`Handle::copy_both_ways_with`](facade_engine::Handle::copy_both_ways_with), and
    /// [`copy_both_ways`](Self::copy_both_ways).
    pub fn copy_both_ways_with(
        &mut self,
        other: &mut Self,
        options: CopyOptions,
    ) -> OpFuture<(u64, u64), impl Submit<(u64, u64)>> {
        for stream in [&mut *self, &mut *other] {
            stream.read.engine();
            stream.write.engine();
        }
        let (one, other) = (self.engine_stream(), other.engine_stream());
        op(move |callback| one.handle().copy_both_ways_with(one, other, options, callback))
    }
}

impl Stream {
    /// The engine's stream for an operation that writes.
    pub(crate) fn engine_to_write(&mut self) -> &EngineStream {
        self.write.engine()
    }
}

impl ReadHalf {
    /// See [`Stream::copy_to`]. The two halves may be of one stream, which is an echo then.
    ///
    /// ```
    /// use facade_futures::{Result, Runtime};
    /// use std::{io::{Read, Write}, net::Shutdown, os::unix::net::UnixStream};
    ///
    /// let runtime = Runtime::new()?;
    /// let (mut peer, ours) = UnixStream::pair().unwrap();
    /// let mut stream = runtime.io().attach(ours)?;
    /// peer.write_all(b"hello").unwrap();
    /// peer.shutdown(Shutdown::Write).unwrap();
    /// let (reader, writer) = stream.split();
    /// assert_eq!(runtime.block_on(reader.copy_to(writer))?, 5);
    /// drop(stream);
    /// runtime.engine().run()?;
    /// let mut echo = String::new();
    /// peer.read_to_string(&mut echo).unwrap();
    /// assert_eq!(echo, "hello");
    /// # Ok::<(), facade_futures::Error>(())
    /// ```
    pub fn copy_to(&mut self, to: &mut WriteHalf) -> OpFuture<u64, impl Submit<u64>> {
        self.copy_to_with(to, CopyOptions::new())
    }

    /// See [`Stream::copy_to_with`].
    pub fn copy_to_with(
        &mut self,
        to: &mut WriteHalf,
        options: CopyOptions,
    ) -> OpFuture<u64, impl Submit<u64>> {
        let (from, to) = (self.engine(), to.engine());
        op(move |callback| from.handle().copy_with(from, to, options, callback))
    }
}
