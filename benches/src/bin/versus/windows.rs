//! What stands empty on the page until someone runs it on Windows: the load generator and most of the
//! servers here are for Linux.

use std::io::{self, Write};

pub(crate) fn write(out: &mut impl Write) -> io::Result<()> {
    out.write_all(TEXT.as_bytes())
}

const TEXT: &str = "\
Not measured here: on Windows,

```sh
FACADE_DRIVER=iocp cargo run --release -p facade-examples --example compare
FACADE_DRIVER=mio cargo run --release -p facade-examples --example compare
```

and what they print at their end, for each style.

| | callbacks, iocp | futures, iocp | callbacks, mio | futures, mio | bare mio |
|---|--:|--:|--:|--:|--:|
| round trips/s, 16 connections | | | | | |
| lines/s, 4 connections, bursts of 16 | | | | | |
| ns of engine per operation | | | | | – |
| allocations per operation | | | | | |
";
