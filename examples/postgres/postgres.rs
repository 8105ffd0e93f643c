//! By futures, as the crate has it: a task for the connection, and a client that talks to it.

use std::{error::Error as _, net::SocketAddr, pin::pin, process::ExitCode, time::Duration};

use facade_engine::{DriverChoice, Engine};
use facade_examples::{Result, driver, say};
use facade_futures::{Io, Runtime};
use futures::future::{self, Either};
use tokio_postgres::{Client, Config, NoTls, Row, types::Type};

const USAGE: &str = "\
usage: postgres [--driver auto|mio|io_uring|iocp] [--timeout SECONDS] --server ADDR:PORT
                --user NAME QUERY [PARAMETER ...]

Asks the server, with the parameters as texts $1, $2 and so on, and prints the rows. A query that
takes longer than SECONDS, else 30, is cancelled.";

struct Options {
    driver: DriverChoice,
    patience: Duration,
    server: SocketAddr,
    user: String,
    query: String,
    parameters: Vec<String>,
}

pub(crate) fn run() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            Ok(Options {
                driver: arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default(),
                patience: arguments
                    .opt_value_from_str("--timeout")?
                    .map_or(Duration::from_secs(30), Duration::from_secs_f32),
                server: arguments.value_from_str("--server")?,
                user: arguments.value_from_str("--user")?,
                query: arguments.free_from_str()?,
                parameters: std::iter::from_fn(|| arguments.opt_free_from_str().transpose())
                    .collect::<Result<_, _>>()?,
            })
        },
        |options| {
            let engine = Engine::builder().driver(options.driver).build()?;
            let runtime = Runtime::from(engine);
            runtime.block_on(ask(runtime.io(), &options))
        },
    )
}

async fn ask(io: &Io, options: &Options) -> Result<()> {
    let stream = io.connect(options.server).timeout(options.patience).await?;
    let mut config = Config::new();
    config.user(&options.user).dbname("postgres");
    let connecting = config.connect_raw(stream, NoTls);
    let (client, connection) = io.timeout(options.patience, connecting).await??;
    let connection = io.spawn(connection);
    let outcome = query(io, &client, options).await;
    // The last client is gone: the connection says goodbye, and ends.
    drop(client);
    connection.await?;
    for row in outcome? {
        let columns: Vec<_> = (0..row.len()).map(|column| show(&row, column)).collect();
        say(columns.join(" | "))?;
    }
    Ok(())
}

/// A query that takes too long is not only left alone: the server is told, on a connection of its
/// own, and then the query ends with an error as any other does.
async fn query(io: &Io, client: &Client, options: &Options) -> Result<Vec<Row>> {
    let parameters: Vec<_> =
        options.parameters.iter().map(|text| (text as _, Type::TEXT)).collect();
    let answer = pin!(client.query_typed(&options.query, &parameters));
    let rows = match future::select(answer, io.sleep(options.patience)).await {
        Either::Left((rows, _)) => rows,
        Either::Right((_, answer)) => {
            let stream = io.connect(options.server).timeout(options.patience).await?;
            client.cancel_token().cancel_query_raw(stream, NoTls).await?;
            answer.await
        }
    };
    // What the server says is the source of the crate's error.
    rows.map_err(|error| {
        error.source().map_or_else(|| error.to_string(), ToString::to_string).into()
    })
}

/// A column in words, of the types that the example knows.
fn show(row: &Row, column: usize) -> String {
    fn text<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
    }
    match *row.columns()[column].type_() {
        Type::BOOL => text(row.get::<_, Option<bool>>(column)),
        Type::INT4 => text(row.get::<_, Option<i32>>(column)),
        Type::INT8 => text(row.get::<_, Option<i64>>(column)),
        Type::TEXT | Type::NAME => text(row.get::<_, Option<&str>>(column)),
        ref other => format!("({other})"),
    }
}
