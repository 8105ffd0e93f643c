//! What both styles share: arguments, certificates and what rustls makes of them.

use std::{
    io::{Read, stdin},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use facade_engine::{DriverChoice, Engine};
use facade_examples::{Result, Style, driver, say, signals};
use futures_rustls::{
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName,
        pem::{self, PemObject},
    },
    rustls::{ClientConfig, RootCertStore, ServerConfig},
};

use crate::{callbacks, futures};

const USAGE: &str = "\
usage: tls [--style callbacks|futures] [--driver auto|mio|io_uring|iocp] --cert PEM --key PEM
           --listen ADDR:PORT
       tls [--style ..] [--driver ..] --ca PEM --name NAME --server ADDR:PORT < text

Sends back what comes, until SIGINT or SIGTERM; or sends the text, and prints what comes back until
the server has said that it ends.";

/// How long may pass before the peer says something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How much is read at once.
pub(crate) const CHUNK: usize = 64 << 10;

enum Role {
    Server { listen: SocketAddr, cert: PathBuf, key: PathBuf },
    Client { server: SocketAddr, name: String, ca: PathBuf },
}

/// Whom the client talks to, and what it sends.
pub(crate) struct Request {
    pub(crate) server: SocketAddr,
    pub(crate) name: ServerName<'static>,
    pub(crate) text: Vec<u8>,
}

struct Options {
    style: Style,
    driver: DriverChoice,
    role: Role,
}

pub(crate) fn run() -> ExitCode {
    facade_examples::run(
        USAGE,
        |arguments| {
            let style = arguments.opt_value_from_str("--style")?.unwrap_or(Style::Callbacks);
            let driver = arguments.opt_value_from_fn("--driver", driver)?.unwrap_or_default();
            let role = match arguments.opt_value_from_str("--listen")? {
                Some(listen) => Role::Server {
                    listen,
                    cert: arguments.value_from_str("--cert")?,
                    key: arguments.value_from_str("--key")?,
                },
                None => Role::Client {
                    server: arguments.value_from_str("--server")?,
                    name: arguments.value_from_str("--name")?,
                    ca: arguments.value_from_str("--ca")?,
                },
            };
            Ok(Options { style, driver, role })
        },
        work,
    )
}

fn work(options: Options) -> Result<()> {
    let engine = Engine::builder().driver(options.driver).build()?;
    match options.role {
        Role::Server { listen, cert, key } => {
            let config = server_config(&cert, &key)?;
            let signals = signals(&engine)?;
            let listener = engine.listen(listen)?;
            say(format_args!("listening on {}", listener.local_addr()?))?;
            match options.style {
                Style::Callbacks => callbacks::serve(&engine, &listener, &signals, config)?,
                Style::Futures => futures::serve(engine, listener, signals, config)?,
            }
            Ok(())
        }
        Role::Client { server, name, ca } => {
            let config = client_config(&ca)?;
            let mut text = Vec::new();
            stdin().read_to_end(&mut text)?;
            let request = Request { server, name: name.try_into()?, text };
            match options.style {
                Style::Callbacks => callbacks::talk(&engine, request, config),
                Style::Futures => futures::talk(engine, request, config),
            }
        }
    }
}

fn server_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let certs = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
    let (certs, key) = (of(cert, certs)?, of(key, PrivateKeyDer::from_pem_file(key))?);
    Ok(ServerConfig::builder().with_no_client_auth().with_single_cert(certs, key)?.into())
}

fn client_config(ca: &Path) -> Result<Arc<ClientConfig>> {
    let certs: Vec<_> = of(ca, CertificateDer::pem_file_iter(ca).and_then(Iterator::collect))?;
    let mut roots = RootCertStore::empty();
    for cert in certs {
        roots.add(cert)?;
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth().into())
}

/// Says of a failure which file it is about.
fn of<T>(file: &Path, read: Result<T, pem::Error>) -> Result<T> {
    read.map_err(|error| format!("{}: {error}", file.display()).into())
}
