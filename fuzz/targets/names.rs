//! Hosts, services, paths and names of sockets as anybody may write them: an answer or a typed
//! error, never a panic.
#![no_main]

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use arbitrary::Arbitrary;
use facade_engine::{AddrInfo, Address, Callback, Engine, Error, Hints, sim::Network};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Case<'a> {
    Lookup { host: &'a str, service: Service<'a> },
    Path(&'a [u8]),
    Abstract(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
enum Service<'a> {
    Port(u16),
    Name(&'a str),
}

fuzz_target!(|case: Case<'_>| {
    let network = Network::new(1);
    let engine = Engine::builder().simulated(&network.host("here")).build().unwrap();
    match case {
        Case::Lookup { host, service } => {
            let host = host.to_owned();
            let asked = host.clone();
            let heard =
                Callback::from_fn(move |_, found: Result<Vec<AddrInfo>, Error>| match found {
                    Ok(found) => assert!(!found.is_empty(), "{asked:?}"),
                    Err(error) => assert!(
                        matches!(error, Error::Resolve { .. } | Error::InvalidInput { .. }),
                        "{asked:?}: {error:?}"
                    ),
                });
            match service {
                Service::Port(port) => engine.getaddrinfo(&host, port, Hints::default(), heard),
                Service::Name(name) => engine.getaddrinfo(&host, name, Hints::default(), heard),
            };
        }
        Case::Path(path) => connect(&engine, Path::new(OsStr::from_bytes(path)).into()),
        Case::Abstract(name) => connect(&engine, Address::UnixAbstract(name)),
    }
    engine.run().unwrap();
});

/// Nobody listens anywhere, so nothing can be connected to.
fn connect(engine: &Engine, address: Address) {
    let heard = Callback::from_fn(move |_, outcome: Result<_, Error>| {
        assert!(!outcome.err().expect("nobody listens").to_string().is_empty());
    });
    engine.connect(address, heard);
}
