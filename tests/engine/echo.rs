//! The first program that anybody writes.

use std::{
    io::{Read, Write},
    net::Shutdown,
};

use facade_engine::{Callback, Error, Handle, Stream};

use super::driver;

fn serve(engine: &Handle, stream: Stream) {
    let again = stream.clone();
    engine.read_line(
        &stream,
        Callback::new(
            move |engine, line| {
                let stream = again.clone();
                let next = Callback::new(
                    move |engine, _| serve(engine, stream),
                    |_, error| panic!("{error}"),
                );
                engine.write_line(&again, line, next);
            },
            |_, error| assert!(matches!(error, Error::EndOfStream), "{error}"),
        ),
    );
}

#[test]
fn lines_come_back_in_order_and_the_run_ends_with_the_connection() {
    let engine = driver::engine();
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    engine.accept(
        &listener,
        Callback::new(|engine, stream| serve(engine, stream), |_, error| panic!("{error}")),
    );
    let mut client = driver::connect(address).unwrap();
    for number in 0..100 {
        client.write_all(format!("line {number}\nagain\n").as_bytes()).unwrap();
    }
    client.shutdown(Shutdown::Write).unwrap();
    engine.run().unwrap();
    let mut answers = String::new();
    client.read_to_string(&mut answers).unwrap();
    let expected: String = (0..100).map(|number| format!("line {number}\r\nagain\r\n")).collect();
    assert_eq!(answers, expected);
}
