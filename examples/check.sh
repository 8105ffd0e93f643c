#!/usr/bin/env bash
# Exercises the examples in both styles, as their users would: with curl, plain sockets, a shell in a
# terminal, real SMTP, FTP and DNS servers, Redis, PostgreSQL, OpenSSL and WebSockets. From the root of
# the repository:
#
#     examples/check.sh
#
# What is missing on this machine is skipped loudly; any failure ends it with 1.

set -euo pipefail

target=${CARGO_TARGET_DIR:-target}
# As the tests have built them: with all assertions.
cargo build --package facade-examples --examples
built=$target/debug/examples

"$built/compare" | tail -n 18
if "$built/compare" --nonsense 2>/dev/null; then
    echo "FAILED: compare takes arguments it does not know"
    exit 1
fi

# The same networks twice, and the planted bugs are found.
sim=$built/sim
told=$("$sim")
echo "sim: $told"
if [ "$told" != "$("$sim")" ]; then
    echo "FAILED: sim does not do the same twice"
    exit 1
fi
for bug in pieces retry; do
    echo "sim --bug $bug: $("$sim" --bug "$bug")"
done

if ! command -v python3 >/dev/null; then
    echo "SKIPPED: all other examples: python3 is missing"
    exit 0
fi

# An environment of its own for the SMTP, FTP and DNS servers and for WebSockets, made once.
venv=$target/check-venv
python=$venv/bin/python
if ! "$python" -c 'import aiosmtpd, dnslib, pyftpdlib, websockets' 2>/dev/null; then
    python3 -m venv "$venv" && "$python" -m pip install --quiet aiosmtpd==1.4.6 dnslib==0.9.26 pyftpdlib==2.2.0 \
        websockets==17.4 || python=python3
fi
"$python" examples/check.py "$built"
