//! By futures: one half of the stream writes while the other reads.

use std::net::SocketAddr;

use ::futures::future;
use facade_engine::Engine;
use facade_examples::{Result, say};
use facade_futures::Runtime;

use crate::{
    PATIENCE,
    resp::{OneAnswer, Pipeline},
};

pub(crate) fn talk(engine: Engine, server: SocketAddr, commands: Pipeline) -> Result<()> {
    let runtime = Runtime::from(engine);
    runtime.block_on(async {
        let mut stream = runtime.io().connect(server).timeout(PATIENCE).await?;
        let (answers, sending) = stream.split();
        let read = async {
            for _ in 0..commands.count {
                say(answers.read_with(OneAnswer::new()).timeout(PATIENCE).await?)?;
            }
            Ok(())
        };
        let write = async { Ok(sending.write(commands.bytes).timeout(PATIENCE).await?) };
        future::try_join(write, read).await.map(drop)
    })
}
