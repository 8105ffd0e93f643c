//! By futures: one answer is awaited after the other.

use std::net::SocketAddr;

use facade_engine::{DriverChoice, Engine};
use facade_futures::Runtime;

use super::resp::OneAnswer;
use super::{Done, Talk, check};

pub(super) fn talk(driver: DriverChoice, server: SocketAddr, talk: &Talk) -> Done {
    let runtime = Runtime::from(Engine::builder().driver(driver).build()?);
    runtime.block_on(async {
        let mut stream = runtime.io().connect(server).await?;
        for _ in 0..talk.pipelines {
            stream.write(talk.bytes.bytes.clone()).await?;
            for place in 0..talk.commands {
                check(place, &stream.read_with(OneAnswer::new()).await?);
            }
        }
        Ok(())
    })
}
