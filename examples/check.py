"""The client's side of check.sh: starts each example in both styles and talks to it."""

import os
import pwd
import resource
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

BIN = Path(sys.argv[1])
STYLES = ("callbacks", "futures")
DRIVERS = ("mio", "io_uring")
STYLES_AND_DRIVERS = [(style, driver) for style in STYLES for driver in DRIVERS]
PATIENCE = 20
failures = []


def check(what, ok, seen=""):
    print(f"{'ok' if ok else 'FAILED'}: {what}" + ("" if ok else f": {seen!r}"), flush=True)
    if not ok:
        failures.append(what)


@contextmanager
def server(name, *arguments, stop=signal.SIGTERM):
    """A running example; ends it by the signal, which must be a clean end."""
    command = [BIN / name, *arguments, "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        host, port = line.removeprefix("listening on ").strip().rsplit(":", 1)
        server.pid = process.pid
        yield host, int(port)
        process.send_signal(stop)
        code = process.wait(PATIENCE)
        check(f"{name} {' '.join(arguments)} ends on {stop.name} with 0", code == 0, code)
    finally:
        process.kill()
        process.wait()


def exchange(address, *pieces, pause=0.0, shut=True):
    """Sends the pieces, ends the outgoing direction, and returns all that comes back."""
    with socket.create_connection(address, PATIENCE) as peer:

        def send():
            for piece in pieces:
                peer.sendall(piece)
                time.sleep(pause)
            if shut:
                peer.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = bytearray()
        try:
            while chunk := peer.recv(1 << 16):
                received += chunk
        except OSError as error:
            received += f"<{error}>".encode()
        sender.join()
        return bytes(received)


def check_echo(style):
    data = bytes(range(256)) * 8000
    with server("echo", "--style", style, stop=signal.SIGINT) as address:
        check(f"echo {style}: 2 MB come back", exchange(address, data) == data)
        check(f"echo {style}: byte by byte", exchange(address, *b"a b c".split(), pause=0.02) == b"abc")
        with socket.create_connection(address, PATIENCE) as idle:
            idle.sendall(b"x")
            check(f"echo {style}: one byte", idle.recv(9) == b"x")
            # The server ends with this connection open.
    with server("echo", "--style", style, "--lines") as address:
        lines = b"".join(b"line %d of many\r\n" % number for number in range(50_000))
        check(f"echo {style}: lines come back", exchange(address, lines) == lines)
        seen = exchange(address, b"one\ntw", b"o\r\n\r\nunfinished", pause=0.02)
        check(f"echo {style}: lines end with CRLF", seen == b"one\r\ntwo\r\n\r\n", seen)
        check_many_lines(f"echo {style}: 200 connections", address)
    with server("echo", "--style", style, "--lines", "--engines", "2") as address:
        check_many_lines(f"echo {style}: 200 connections on two engines", address)


@contextmanager
def web_server(files):
    """The web server of Python, with these files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1",
                   "--directory", folder, "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as process:
            try:
                yield "127.0.0.1", int(process.stdout.readline().split(" port ")[1].split()[0])
            finally:
                process.kill()


def check_proxy(style):
    with server("echo", "--style", style) as (host, port):
        with server("proxy", "--style", style, f"{host}:{port}") as address:
            # Only when our end is handed on does the echo end, and hand on its own.
            data = bytes(range(256)) * 40_000
            seen = exchange(address, data)
            check(f"proxy {style}: 10 MB there and back, and both ends", seen == data, len(seen))
            with socket.create_connection(address, PATIENCE) as idle:
                idle.sendall(b"x")
                check(f"proxy {style}: one byte", idle.recv(9) == b"x")
        with server("proxy", "--style", style, "127.0.0.1:1") as address:
            check(f"proxy {style}: nobody there", exchange(address, b"x", shut=False) in (b"",
                  b"<[Errno 104] Connection reset by peer>"))
    big = bytes(range(256)) * 200_000
    with web_server({"big": big}) as (host, port):
        with server("proxy", "--style", style, f"localhost:{port}") as address:
            if not shutil.which("curl"):
                return print("SKIPPED: proxy with curl: curl is missing")
            url = f"http://{address[0]}:{address[1]}/big"
            command = ["curl", "--silent", "--show-error", "--max-time", str(PATIENCE), url]
            done = subprocess.run(command, capture_output=True)
            check(f"proxy {style}: curl, 51 MB of a web server", done.stdout == big, done.stderr)
    if not shutil.which("wrk"):
        return print("SKIPPED: proxy with wrk: wrk is missing")
    with server("http", "--style", style) as (host, port):
        with server("proxy", "--style", style, f"{host}:{port}") as address:
            url = f"http://{address[0]}:{address[1]}/"
            done = subprocess.run(["wrk", "-t1", "-c64", "-d2s", url], capture_output=True, text=True)
            ok = "requests in" in done.stdout and "Socket errors" not in done.stdout
            check(f"proxy {style}: wrk, 64 connections", ok, done.stdout)


def check_many_lines(what, address, count=200, among=None, at_once=False):
    """Lines of many peers come back, maybe `among` others that begin like this. They come `at_once` if
    the server is stopped meanwhile."""
    peers = [socket.create_connection(address, PATIENCE) for _ in range(count)]
    if at_once:
        for peer in peers:
            peer.sendall(b"x\n")
            peer.recv(99)
        os.kill(server.pid, signal.SIGSTOP)
    for number, peer in enumerate(peers):
        peer.sendall(b"%d\n" % number)
    if at_once:
        os.kill(server.pid, signal.SIGCONT)
    seen = []
    for peer in peers:
        lines = peer.makefile("rb")
        line = lines.readline()
        while among and line.startswith(among):
            line = lines.readline()
        seen.append(line)
    want = [b"%d\r\n" % number for number in range(count)]
    check(what, seen == want, seen)
    for peer in peers:
        peer.close()


class Guest:
    """Somebody in the chat, who reads line by line."""

    def __init__(self, address, name):
        self.socket = socket.create_connection(address, PATIENCE)
        self.lines = self.socket.makefile("rb")
        self.asked = self.lines.readline()
        self.say(name)

    def say(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def hear(self, count=1):
        return [self.lines.readline().decode().rstrip("\r\n") for _ in range(count)]

    def leave(self):
        self.lines.close()
        self.socket.close()


def check_chat(style):
    with server("chat", "--style", style) as address:
        ann = Guest(address, "ann")
        check(f"chat {style}: it asks for a name", ann.asked == b"Your name?\r\n", ann.asked)
        check(f"chat {style}: one comes", ann.hear() == ["* ann is here"])
        bob = Guest(address, "bob")
        both = ann.hear() + bob.hear()
        check(f"chat {style}: another comes", both == ["* bob is here"] * 2, both)
        ann.say("hello\r")
        bob.say("hello, ann")
        seen = ann.hear(2) + bob.hear(2)
        check(f"chat {style}: everybody hears all", sorted(seen) == sorted(["ann: hello", "bob: hello, ann"] * 2), seen)
        # Bob stops reading, and ann does not wait for him. What is said fills what the system holds
        # for him, and what the chat does.
        text = "x" * 4000
        gone = []

        def hear_of_bob():
            while "* bob has left" not in gone:
                gone.extend(ann.hear())

        hearing = threading.Thread(target=hear_of_bob, daemon=True)
        hearing.start()
        for _ in range(5000):
            if not hearing.is_alive():
                break
            ann.say(text)
        hearing.join(PATIENCE)
        check(f"chat {style}: who does not read is shown out", not hearing.is_alive())
        bob.leave()
        ann.leave()
        eve = Guest(address, "eve")
        check(f"chat {style}: and it goes on", eve.hear(1)[-1] == "* eve is here")
        # The server ends with this connection open.


def check_http(style):
    get = b"GET / HTTP/1.1\r\nHost: x\r\n"
    post = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
    with server("http", "--style", style) as address:

        def status(*pieces, **more):
            return exchange(address, *pieces, **more).split(b"\r\n")[0].decode()

        def expect(code, what, *pieces, **more):
            seen = status(*pieces, **more)
            check(f"http {style}: {code} {what}", seen.startswith(f"HTTP/1.1 {code} "), seen)

        expect(200, "to a request", get + b"\r\n")
        expect(200, "to a request in pieces", *(bytes([byte]) for byte in get + b"\r\n"), pause=0.001)
        expect(404, "for an unknown path", b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        expect(405, "for a method that is not allowed", b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n")
        expect(400, "to garbage", b"garbage\r\n\r\n", shut=False)
        expect(400, "without a host", b"GET / HTTP/1.1\r\n\r\n", shut=False)
        expect(400, "to a bad length", get + b"Content-Length: -1\r\n\r\n", shut=False)
        expect(400, "to two lengths", get + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", shut=False)
        expect(431, "to a long head", get + b"X: " + b"x" * 20_000 + b"\r\n\r\n", shut=False)
        expect(413, "to a long body", post + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
        expect(501, "to chunks", post + b"Transfer-Encoding: chunked\r\n\r\n", shut=False)
        expect(505, "to HTTP/2.0", b"GET / HTTP/2.0\r\n\r\n", shut=False)

        body = b"x" * (1 << 20)
        seen = exchange(address, post + b"Content-Length: 1048576\r\n\r\n" + body)
        check(f"http {style}: 1 MiB comes back", seen.endswith(b"\r\n\r\n" + body), seen[:200])
        requests = (post + b"Content-Length: 3\r\n\r\nabc" + get + b"\r\n") * 50
        seen = exchange(address, requests + get + b"Connection: close\r\n\r\n", shut=False)
        answers = seen.count(b"HTTP/1.1 200 OK\r\n"), seen.count(b"\r\n\r\nabc")
        check(f"http {style}: 101 pipelined requests", answers == (101, 50), answers)

        if not shutil.which("curl"):
            print("SKIPPED: http with curl: curl is missing")
            return
        url = f"http://{address[0]}:{address[1]}"

        def curl(what, want, *arguments):
            command = ["curl", "--silent", "--show-error", "--max-time", str(PATIENCE), *arguments]
            done = subprocess.run(command, capture_output=True)
            seen = done.stdout + done.stderr
            check(f"http {style}: curl, {what}", done.returncode == 0 and seen == want, seen[:500])

        keep = "%{http_code} %{num_connects}\n"
        curl("two requests on one connection", b"Hello, world!\n200 1\nHello, world!\n200 0\n",
             "--write-out", keep, f"{url}/", f"{url}/?again")
        curl("HEAD", b"200", "--head", "--output", "/dev/null", "--write-out", "%{http_code}", url)
        curl("404", b"404", "--output", "/dev/null", "--write-out", "%{http_code}", f"{url}/no")
        curl("--data", b"hello", "--data", "hello", f"{url}/echo")
        with tempfile.NamedTemporaryFile() as file:
            file.write(body)
            file.flush()
            data = ("--data-binary", f"@{file.name}", "--header", "Expect: 100-continue")
            curl("1 MiB after 100 Continue", body, *data, f"{url}/echo")
            file.write(body)
            file.flush()
            for how, more in (("waiting for 100", ()), ("sent at once", ("--header", "Expect:"))):
                curl(f"413 for 2 MiB {how}", b"413", "--data-binary", f"@{file.name}", *more,
                     "--output", "/dev/null", "--write-out", "%{http_code}", f"{url}/echo")


def check_smtp(style):
    try:
        from aiosmtpd.controller import Controller
    except ImportError:
        print("SKIPPED: smtp: aiosmtpd is missing")
        return

    mails = []

    class Handler:
        async def handle_RCPT(self, server, session, envelope, address, options):
            if address.startswith("nobody@"):
                return "550 5.1.1 no such user"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server, session, envelope):
            mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
            return "250 2.0.0 taken"

    def send(address, message=b"Subject: x\n\nhello\n", to=("b@example.org",), more=()):
        command = [BIN / "smtp", "--style", style, "--server", f"{address[0]}:{address[1]}",
                   "--from", "a@example.org", *more]
        for mailbox in to:
            command += ["--to", mailbox]
        try:
            done = subprocess.run(command, input=message, capture_output=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return None, b"does not end"
        return done.returncode, done.stdout + done.stderr

    def expect(code, text, what, *arguments, **more):
        seen = send(*arguments, **more)
        check(f"smtp {style}: {what}", seen[0] == code and text in seen[1], seen)

    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        address, taken = ("localhost", port), b"sent: 250 2.0.0 taken"
        expect(0, taken, "two recipients", address, to=("b@example.org", "c@example.org"))
        want = ("a@example.org", ["b@example.org", "c@example.org"], b"Subject: x\r\n\r\nhello\r\n")
        check(f"smtp {style}: the mail as it was sent", mails[-1:] == [want], mails[-1:])
        dots = b"\n.\n..\n.a\nlast ."
        expect(0, taken, "lines that begin with dots", address, message=dots)
        check(f"smtp {style}: dots arrive", mails[-1][2] == b"\r\n.\r\n..\r\n.a\r\nlast .\r\n", mails[-1])
        long = b"\n" + (b"x" * 990 + b"\n") * 3000
        expect(0, taken, "3 MB of long lines", address, message=long)
        check(f"smtp {style}: they arrive", mails[-1][2] == long.replace(b"\n", b"\r\n"))
        expect(1, b"RCPT TO:<nobody@example.org>: the server said: 550 5.1.1 no such user",
               "a refused recipient", address, to=("b@example.org", "nobody@example.org"))
        expect(1, b"the message: the server said: 500", "a line too long for the server", address,
               message=b"\n" + b"x" * 5000 + b"\n")
        expect(2, b"is no address of a mail", "an address that is none", address, to=("b> c",))
    finally:
        controller.stop()
    expect(1, b"Connection refused", "nobody listens", address)
    expect(1, b"getaddrinfo of \"no-such-host.invalid\"", "no such host", ("no-such-host.invalid", 25))

    def bad_server(what, text, *replies, then):
        """A server that gives some replies, one a command, and then ends or says nothing more."""
        listener = socket.create_server(("127.0.0.1", 0))
        over = threading.Event()

        def serve():
            with listener, listener.accept()[0] as peer:
                for number, reply in enumerate(replies):
                    if number > 0:
                        peer.recv(1 << 16)
                    peer.sendall(reply)
                if then == "silence":
                    over.wait(PATIENCE)

        thread = threading.Thread(target=serve)
        thread.start()
        message = b"\n" + b"x" * 70 + b"\n"
        if "big" in what:
            message *= 200_000
        begin = time.monotonic()
        expect(1, text, what, listener.getsockname(), message=message, more=("--timeout", "1"))
        took = time.monotonic() - begin
        check(f"smtp {style}: {what}, in time", took < 6, took)
        over.set()
        thread.join()

    ready, hello, ok = b"220 ready\r\n", b"250-me\r\n250 8BITMIME\r\n", b"250 ok\r\n"
    bad_server("no greeting", b"timed out", then="silence")
    bad_server("a busy server", b"the server said: 421 busy", b"421 busy\r\n", then="end")
    bad_server("gone before the greeting", b"ended the connection", then="end")
    bad_server("EHLO refused", b"EHLO: the server said: 502 no", ready, b"502 no\r\n", then="silence")
    bad_server("half an answer to EHLO", b"EHLO: timed out", ready, b"250-me\r\n", then="silence")
    bad_server("gone after EHLO", b"MAIL FROM:<a@example.org>: ", ready, hello, then="end")
    bad_server("silent after MAIL", b"RCPT TO:<b@example.org>: timed out", ready, hello, ok, then="silence")
    bad_server("a big message that nobody reads", b"the message: only ",
               ready, hello, ok, ok, b"354 go on\r\n", then="silence")


def check_inotify(style):
    with tempfile.TemporaryDirectory() as folder:
        command = [BIN / "inotify", "--style", style, folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            process.stdout.readline()
            for name in ("one", "two three"):
                Path(folder, name).touch()
                seen = process.stdout.readline()
                check(f"inotify {style}: {name} appears", seen == f"{name}\n", seen)
            process.send_signal(signal.SIGTERM)
            code = process.wait(PATIENCE)
            check(f"inotify {style} ends on SIGTERM with 0", code == 0, code)
        finally:
            process.kill()
            process.wait()


def in_close_wait(port):
    """How many of a server's connections it has not closed although their peers have."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "08" and int(row[1].split(":")[1], 16) == port for row in rows)


def comes_to_rest(pid):
    """Whether a process does nothing at all for a while, before patience is at an end."""

    def ran():
        tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sorted(task.read_text().split()[2] for task in tasks)

    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        before = ran()
        time.sleep(0.3)
        if ran() == before:
            return True
    return False


def check_hyper(driver):
    name = f"hyper on {driver}"
    with server("hyper", "--driver", driver) as address:
        host, port = address
        url = f"http://{host}:{port}/"
        peers = [socket.create_connection(address, PATIENCE) for _ in range(1000)]
        for time_around in "once", "again":
            for peer in peers:
                peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answers = [peer.recv(999) for peer in peers]
            greeted = all(b"hello" in answer for answer in answers)
            check(f"{name}: 1,000 connections, {time_around}", greeted, answers[0])
        check(f"{name}: 1,000 connections that wait take no CPU", comes_to_rest(server.pid))
        for peer in peers:
            peer.close()
        if shutil.which("h2load"):
            command = ["h2load", "--requests=20000", "--clients=50", "--max-concurrent-streams=10", url]
            done = subprocess.run(command, capture_output=True, text=True)
            ok = "20000 succeeded, 0 failed, 0 errored" in done.stdout
            check(f"{name}: h2load, 10 requests at once on each of 50 connections", ok, done.stdout)
        else:
            print("SKIPPED: hyper with h2load: h2load is missing")
        if not shutil.which("curl"):
            print("SKIPPED: hyper with curl: curl is missing")
            return

        def curl(what, want, *arguments):
            command = ["curl", "--silent", "--show-error", "--max-time", str(PATIENCE), *arguments]
            done = subprocess.run(command, capture_output=True)
            ok = done.returncode == 0 and done.stdout == want
            check(f"{name}: curl, {what}", ok, (done.stderr, done.stdout[:500]))

        with tempfile.NamedTemporaryFile() as file:
            body = bytes(range(256)) * (50 << 12)
            file.write(body)
            file.flush()
            data = "--data-binary", f"@{file.name}"
            chunked = "--header", "Transfer-Encoding: chunked"
            curl("two requests on one connection", b"hello\nhello\n", "--http1.1", url, url)
            # Two on one connection by HTTP/2 are for h2load: curl before 8.0 fails, with any server
            # (curl/curl#10634).
            for version in ("--http1.1", "--http2-prior-knowledge"):
                curl(version, b"hello\n", version, url)
                curl(f"{version}, 50 MiB there and back", body, version, *data, url)
            curl("50 MiB in chunks", body, *data, *chunked, url)
            curl("50 MiB to a slow reader", body, *data, "--limit-rate", "40M", url)
        waiting = in_close_wait(port)
        check(f"{name}: all connections are closed", waiting == 0, waiting)


def check_dns(style):
    """Against a server of dnslib, which loses each first question, and against what dig says."""
    try:
        from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, A
        from dnslib.server import BaseResolver, DNSLogger, DNSServer
    except ImportError:
        print(f"SKIPPED: dns {style}: dnslib is missing", flush=True)
        return

    class Zone(BaseResolver):
        def resolve(self, request, handler):
            reply, name, kind = request.reply(), str(request.q.qname), QTYPE[request.q.qtype]
            if name == "alias.example.":
                reply.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME("host.example")))
                name = "host.example."
            if name == "host.example." and kind == "A":
                reply.add_answer(*(RR(name, rdata=A(f"192.0.2.{last}"), ttl=60) for last in (1, 2, 3)))
            elif name == "host.example.":
                reply.add_answer(RR(name, QTYPE.AAAA, rdata=AAAA("2001:db8::7"), ttl=60))
            elif name == "long.example.":
                reply.header.tc = 1
            elif name == "busy.example.":
                reply.header.rcode = RCODE.SERVFAIL
            else:
                reply.header.rcode = RCODE.NXDOMAIN
            return reply

    answers = DNSServer(Zone(), port=0, address="127.0.0.1", logger=DNSLogger("-request,-reply,-truncated,-error"))
    answers.start_thread()
    address = answers.server.server_address
    # In between: what loses each first question of a client, and says something else first.
    between = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    between.bind(("127.0.0.1", 0))
    seen = set()

    def lose():
        while True:
            question, client = between.recvfrom(1 << 16)
            if question == b"stop":
                return
            if client not in seen:
                seen.add(client)
                between.sendto(b"garbage", client)
                between.sendto(bytes(12), client)
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as onward:
                onward.settimeout(PATIENCE)
                onward.sendto(question, address)
                between.sendto(onward.recv(1 << 16), client)

    loser = threading.Thread(target=lose)
    loser.start()

    def ask(server, name, *more):
        command = [BIN / "dns", "--style", style, "--server", "%s:%d" % server, "--name", name, *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, (done.stdout + done.stderr).split("\n")[:-1]

    def expect(what, want, *question):
        told = ask(*question)
        check(f"dns {style}: {what}", told == want, told)

    hosts = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    expect("addresses", (0, hosts), address, "host.example")
    expect("addresses of IPv6", (0, ["2001:db8::7"]), address, "host.example.", "--ipv6")
    expect("addresses behind an alias", (0, hosts), address, "alias.example")
    expect("a question that was lost", (0, hosts), between.getsockname(), "host.example")
    expect("an answer that is cut short", (1, ["the answer is cut short: ask by TCP"]), address, "long.example")
    expect("an unknown name", (1, ["there is no such name"]), address, "no.example")
    expect("a busy server", (1, ["the server refuses: code 2"]), address, "busy.example")
    expect("no name", (1, ['"a..b" is no name']), address, "a..b")
    if dig := shutil.which("dig"):
        command = [dig, "@127.0.0.1", "-p", str(address[1]), "+short", "host.example"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout
        check(f"dns {style}: as dig says", told.split("\n")[:-1] == hosts, told)
    else:
        print("SKIPPED: dns: dig is missing", flush=True)
    answers.stop()
    answers.server.server_close()
    code, told = ask(address, "host.example")
    check(f"dns {style}: nobody there", code == 1 and "Connection refused" in told[0], told)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        expect("a silent server", (1, ["timed out"]), silent.getsockname(), "host.example")
    between.sendto(b"stop", between.getsockname())
    loser.join()
    between.close()


def check_expect(style):
    def talk(what, script, want, *peer, code=0):
        try:
            done = subprocess.run([BIN / "expect", "--style", style, *peer], input=script.encode(),
                                  capture_output=True, timeout=PATIENCE)
            seen = done.returncode, done.stdout + done.stderr
        except subprocess.TimeoutExpired:
            seen = None, b"does not end"
        check(f"expect {style}: {what}", seen[0] == code and want in seen[1], seen)

    bash = ("--", "env", "PS1=ready> ", "bash", "--norc", "--noprofile", "--noediting", "-i")
    script = """
# A shell in a terminal, which tells of its size, and in which Ctrl-C interrupts.
expect ready>
send stty size
line 24 80
expect ready>
send sh -c 'echo begun; exec sleep 1000'
line begun
type \\x03
expect ready>
send echo it was $?
line it was 130
expect ready>
type \\x04
end
"""
    talk("a shell in a terminal", script, b"it was 130", *bash)
    talk("a timeout", "timeout 1\nexpect never said\n", b"line 2, expect never said: timed out",
         "--", "sleep", "1000", code=1)
    talk("the end comes first", "expect never said\n", b"expect never said: end of stream", "--", "true",
         code=1)
    talk("no such program", "end\n", b"spawn no-such-program: ", "--", "no-such-program", code=1)
    talk("a script that makes no sense", "expect (\n", b"line 1, expect (: ", "--", "true", code=1)
    talk("no peer", "", b"usage: expect", code=2)

    try:
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.servers import ThreadedFTPServer
    except ImportError:
        print("SKIPPED: expect with an FTP server: pyftpdlib is missing")
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "greeting.txt").write_text("hello\n")
        handler, handler.authorizer = FTPHandler, DummyAuthorizer()
        handler.authorizer.add_user("user", "secret", folder)
        server = ThreadedFTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"{server.address[0]}:{server.address[1]}"
        script = """
line 220 *
send USER user
line 331 *
send PASS secret
line 230 *
send TYPE I
line 200 *
send SIZE greeting.txt
expect 213 ([0-9]+)\\r\\n
send PASV
expect 227 [^(]*\\(127,0,0,1,[0-9]+,[0-9]+\\)
send QUIT
line 221 *
end
"""
        talk("an FTP server", script, b"213 6\r\n", address)
        wrong = "timeout 2\nline 220 *\nsend USER user\nsend PASS wrong\nline 230 *\n"
        talk("an FTP server that is told a wrong password", wrong, b"line 5, line 230 *: ", address, code=1)
        server.close_all()


def client(name, *arguments, text=b""):
    """Runs an example to its end: its exit code, and what it has said."""
    try:
        command = [BIN / name, *arguments]
        done = subprocess.run(command, input=text, capture_output=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None, b"does not end"
    return done.returncode, done.stdout + done.stderr


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@contextmanager
def peer(command, ready, **more):
    """A server that is no example, from when it says that it is ready."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    seen = b""
    try:
        while line := process.stdout.readline():
            seen += line
            if ready in line:
                break
        else:
            raise OSError(f"{command[0]} does not start: {seen!r}")
        # Nobody reads what it still has to say, and it must not wait for that.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def one_connection(talk):
    """A server that talks with one client."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE)

    def serve():
        with listener, listener.accept()[0] as connection:
            talk(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    yield "127.0.0.1:%d" % listener.getsockname()[1]
    thread.join()


def check_redis():
    if not shutil.which("redis-server"):
        return print("SKIPPED: redis: redis-server is missing")
    port = free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with tempfile.TemporaryDirectory() as folder, peer(command, b"Ready to accept", cwd=folder):
        for style, driver in STYLES_AND_DRIVERS:
            how = ("--style", style, "--driver", driver)

            def expect(code, want, what, commands, server=f"127.0.0.1:{port}"):
                seen = client("redis", *how, "--server", server, text=commands)
                check(f"redis {style} on {driver}: {what}", seen == (code, want), (seen[0], seen[1][:300]))

            expect(0, b"OK\n", "one command", b"FLUSHALL\n")
            commands = b"""
                SET name facade
                GET name
                GET nothing
                INCR name
                RPUSH list a b c
                LRANGE list 0 -1
                XADD stream 1-1 key value
                XRANGE stream - +
                XRANGE stream 2 +
            """
            want = b"OK\nfacade\n(nil)\n(error) ERR value is not an integer or out of range\n(integer) 3\n" \
                b"[a, b, c]\n1-1\n[[1-1, [key, value]]]\n[]\n"
            expect(0, want, "all kinds of answers", commands)
            want = b"".join(b"(integer) %d\n" % number for number in range(1, 50_001))
            expect(0, want, "50,000 commands at once, answers in order", b"INCR counter\n" * 50_000)
            want = b"(integer) 3000001\n" + b"\0" * 3_000_000 + b"x\nPONG\n"
            expect(0, want, "3 MB in one answer", b"SETRANGE big 3000000 x\nGET big\nPING\n")
            expect(0, b"", "no command", b"")
            refused = b"connect to 127.0.0.1:1: Connection refused (os error 111)\n"
            expect(1, refused, "nobody there", b"PING\n", server="127.0.0.1:1")

            def answers(answer):
                return lambda connection: (connection.recv(99), connection.sendall(answer))

            for answer in b"$1\r\nxyz", b"hello\r\n", b"*-2\r\n", b"*1\r\n" * 99 + b"+x\r\n", b"$9999999999999999999\r\n":
                with one_connection(answers(answer)) as bad:
                    expect(1, b"the answer makes no sense\n", f"{answer[:9]}", b"PING\n", server=bad)
            with one_connection(answers(b"+OK\r\n$9\r\nhalf")) as bad:
                expect(1, b"OK\nend of stream\n", "half an answer", b"PING\nPING\n", server=bad)


@contextmanager
def certificates():
    """A certificate for localhost, its key, and the one that signed it, by openssl."""
    with tempfile.TemporaryDirectory() as folder:
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        Path(folder, "names").write_text("subjectAltName=DNS:localhost\n")
        for command in (
            ("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=check"),
            ("req", *new, "-keyout", "key.pem", "-out", "request", "-subj", "/CN=localhost"),
            ("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
             "-days", "2", "-extfile", "names", "-out", "cert.pem"),
        ):
            subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
        yield (str(Path(folder, name)) for name in ("cert.pem", "key.pem", "ca.pem"))


def check_tls():
    if not shutil.which("openssl"):
        return print("SKIPPED: tls: openssl is missing")
    with certificates() as (cert, key, ca):
        for style, driver in STYLES_AND_DRIVERS:
            name, how = f"tls {style} on {driver}", ("--style", style, "--driver", driver)
            with server("tls", *how, "--cert", cert, "--key", key) as address:
                check_tls_server(name, address, ca)
            check_tls_client(name, how, cert, key, ca)


def to_and_fro(secure, data):
    """Sends as it receives, until as much has come back; returns that. In one thread: OpenSSL's
    connections are for one at a time."""
    secure.setblocking(False)
    seen, sent, begun = b"", 0, time.monotonic()
    while len(seen) < len(data):
        stuck = True
        with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if sent < len(data):
                sent += secure.send(data[sent:sent + (1 << 16)])
                stuck = False
        with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            piece = secure.recv(1 << 16)
            if not piece:
                break
            seen += piece
            stuck = False
        if stuck:
            select.select([secure], [secure] if sent < len(data) else [], [], PATIENCE)
            if time.monotonic() - begun > PATIENCE:
                break
    secure.settimeout(PATIENCE)
    return seen


def check_tls_server(name, address, ca):
    for version in "-tls1_2", "-tls1_3":
        command = ["openssl", "s_client", "-connect", f"{address[0]}:{address[1]}", "-CAfile", ca, "-brief",
                   "-verify_return_error", "-verify_hostname", "localhost", version]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            process.stdin.write(b"hello\n")
            process.stdin.flush()
            seen = process.stdout.readline()
            check(f"{name}: openssl s_client {version}", seen == b"hello\n", seen)
            process.stdin.close()
            code = process.wait(PATIENCE)
            check(f"{name}: openssl s_client {version} ends with 0", code == 0, code)
    context = ssl.create_default_context(cafile=ca)

    def connect():
        plain = socket.create_connection(address, PATIENCE)
        return context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)

    data = bytes(range(256)) * 8000
    with connect() as secure:
        seen = to_and_fro(secure, data)
        check(f"{name}: 2 MB come back", seen == data, len(seen))
        try:
            # Fails if the server's close_notify does not come.
            seen = secure.unwrap().close()
        except OSError as error:
            seen = error
        check(f"{name}: close_notify for close_notify", seen is None, seen)
    with connect() as secure:
        secure.sendall(b"x")
        secure.recv(1)
        # It goes without a word.
    with connect() as secure:
        secure.sendall(b"y")
        check(f"{name}: and the next one is served", secure.recv(1) == b"y")
    seen = exchange(address, b"GET / HTTP/1.1\r\n\r\n", shut=False)
    check(f"{name}: an alert for what is no TLS", seen[:1] == b"\x15", seen)


def check_tls_client(name, how, cert, key, ca):
    def talk(address, text, host="localhost", ca=ca):
        return client("tls", *how, "--ca", ca, "--name", host, "--server", address, text=text)

    for version in "-tls1_2", "-tls1_3":
        address = f"127.0.0.1:{free_port()}"
        command = ["openssl", "s_server", "-accept", address, "-cert", cert, "-key", key, "-rev", version]
        with peer(command, b"ACCEPT"):
            seen = talk(address, b"one\ntwo\n")
            check(f"{name}: openssl s_server {version}", seen == (0, b"eno\nowt\n"), seen)
            code, seen = talk(address, b"x", host="example.org")
            check(f"{name}: a certificate for another name, {version}", code == 1 and b"not valid for name" in seen, seen)
            code, seen = talk(address, b"x", ca=cert)
            check(f"{name}: an unknown issuer, {version}", code == 1 and b"UnknownIssuer" in seen, seen)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    def answer(connection, says_goodbye):
        with context.wrap_socket(connection, server_side=True) as secure:
            length = 0
            while piece := secure.recv(1 << 16):
                length += len(piece)
            secure.sendall(b"%d" % length)
            if says_goodbye:
                secure.unwrap()

    with one_connection(lambda connection: answer(connection, True)) as address:
        seen = talk(address, b"x" * 3_000_000)
        check(f"{name}: 3 MB and close_notify", seen == (0, b"3000000"), seen)
    with one_connection(lambda connection: answer(connection, False)) as address:
        code, seen = talk(address, b"xyz")
        check(f"{name}: an end without close_notify is an error", code == 1 and b"close_notify" in seen, seen)


def check_websocket(driver):
    try:
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect
        from websockets.sync.server import serve
    except ImportError:
        return print("SKIPPED: websocket: websockets is missing")
    name, how = f"websocket on {driver}", ("--driver", driver)
    with server("websocket", *how) as (host, port):
        with connect(f"ws://{host}:{port}/", max_size=None) as socket_:
            for what, message in (("a text", "hello, wörld"), ("bytes", bytes(range(256))),
                                  ("nothing", ""), ("3 MB", b"x" * 3_000_000)):
                socket_.send(message)
                seen = socket_.recv(PATIENCE)
                check(f"{name}: {what} comes back", seen == message, seen[:99])
            socket_.send(["in ", "three ", "pieces"])
            seen = socket_.recv(PATIENCE)
            check(f"{name}: pieces come back as one", seen == "in three pieces", seen)
            check(f"{name}: a ping is answered", socket_.ping().wait(PATIENCE))
            socket_.close(code=4000)
            code = socket_.protocol.close_code
            check(f"{name}: the close is answered with its code", code == 4000, code)
        seen = exchange((host, port), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", shut=False)
        check(f"{name}: a request that is no handshake", b"101" not in seen, seen)

    closed = []

    def answer(connection):
        try:
            for message in connection:
                connection.send(message[::-1])
        except ConnectionClosed:
            pass
        closed.append(connection.protocol.close_code)

    with serve(answer, "127.0.0.1", 0) as peer_:
        threading.Thread(target=peer_.serve_forever, daemon=True).start()
        address = "%s:%d" % peer_.socket.getsockname()
        lines = [str(number) for number in range(2000)]
        seen = client("websocket", *how, "--server", address, text="\n".join(lines).encode())
        want = "".join(line[::-1] + "\n" for line in lines).encode()
        check(f"{name}: 2,000 lines to a server, and answers", seen == (0, want), (seen[0], seen[1][-200:]))
        peer_.shutdown()
    # No code was given.
    check(f"{name}: the server has heard the close", closed == [1005], closed)
    with one_connection(lambda connection: connection.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")) as address:
        code, seen = client("websocket", *how, "--server", address)
        check(f"{name}: a server of something else", code == 1 and b"404" in seen, seen)


@contextmanager
def postgres_server(programs):
    """A server of its own, without passwords. It refuses to be root."""
    user = None
    if os.geteuid() == 0:
        users = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in users else "nobody"
    with tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, user)
        as_user = {"cwd": folder, "user": user, "env": {**os.environ, "LC_ALL": "C"}}
        data, port = Path(folder, "data"), free_port()
        command = [programs / "initdb", "-D", data, "-U", "facade", "-A", "trust", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, **as_user)
        command = [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1",
                   "-c", "unix_socket_directories=", "-c", "fsync=off"]
        with peer(command, b"ready to accept connections", **as_user):
            yield f"127.0.0.1:{port}"


def check_postgres():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found += [Path(path) for path in [shutil.which("initdb")] if path]
    if not found:
        return print("SKIPPED: postgres: PostgreSQL is missing")
    with postgres_server(found[-1].parent) as address:
        for driver in DRIVERS:

            def expect(code, want, what, *arguments, server=address):
                seen = client("postgres", "--driver", driver, "--server", server, "--user", "facade", *arguments)
                check(f"postgres on {driver}: {what}", seen == (code, want), (seen[0], seen[1][:300]))

            expect(0, b"1 | two | true | NULL\n", "a query", "SELECT 1, 'two', true, NULL::bigint")
            expect(0, b"facade | 'quoted\n", "parameters", "SELECT $1, $2", "facade", "'quoted")
            rows = b"".join(b"%d | %s\n" % (number, b"x" * 100) for number in range(1, 20_001))
            expect(0, rows, "20,000 rows", "SELECT n, repeat('x', 100) FROM generate_series(1, 20000) AS n")
            expect(0, b"", "no rows", "CREATE TEMPORARY TABLE t (n int)")
            expect(1, b"ERROR: relation \"nothing\" does not exist\n", "an error", "SELECT * FROM nothing")
            begin = time.monotonic()
            expect(1, b"ERROR: canceling statement due to user request\n", "a query is cancelled",
                   "--timeout", "0.5", "SELECT pg_sleep(60)")
            took = time.monotonic() - begin
            check(f"postgres on {driver}: it is cancelled in time", took < 15, took)
            refused = b"connect to 127.0.0.1:1: Connection refused (os error 111)\n"
            expect(1, refused, "nobody there", "SELECT 1", server="127.0.0.1:1")


def check_embed():
    for loop in "calloop", "mio":
        for style, driver in STYLES_AND_DRIVERS:
            name = f"embed {style} on {driver} in {loop}"
            how = ("--loop", loop, "--style", style, "--driver", driver)
            with server("embed", *how, "--tick", "0.05") as address:
                ann, bob = Guest(address, "ann"), Guest(address, "bob")
                # Lines are answered by the engine, between ticks of the loop's timer.
                for guest, own in (ann, "ann"), (bob, "bob"):
                    seen = [guest.asked.decode().strip()]
                    while own not in seen or len(seen) < 4:
                        seen += guest.hear()
                    ticks = [line for line in seen if line != own]
                    first = int(ticks[0].split()[1])
                    want = [f"tick {first + later}" for later in range(len(ticks))]
                    check(f"{name}: a line, and ticks", ticks == want and seen.count(own) == 1, seen)
                ann.leave()
                check_many_lines(f"{name}: 200 connections", address, among=b"tick ")
                check(f"{name}: ticks go on", bob.hear()[0].startswith("tick"))
                # The server ends with this connection open.
            # Nothing but the engine's deadline wakes the loop here,
            with server("embed", *how, "--tick", "1000", "--patience", "0.2") as address:
                seen = exchange(address, b"one\n", shut=False)
                check(f"{name}: who says nothing is shown out", seen == b"one\r\ntoo slow\r\n", seen)
            # and here what comes, which may be more than a turn takes.
            with server("embed", *how, "--tick", "1000", "--patience", "1000") as address:
                check_many_lines(f"{name}: 600 lines at once", address, count=600, at_once=True)
                data = b"".join(b"line %d\r\n" % number for number in range(50_000))
                seen = exchange(address, data)
                check(f"{name}: 50,000 lines come back", seen == data, len(seen))


# Servers have it of this program, for a thousand connections.
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
for driver in DRIVERS:
    check_hyper(driver)
    check_websocket(driver)
check_redis()
check_tls()
check_postgres()
check_embed()
for style in STYLES:
    check_inotify(style)
    check_expect(style)
    check_echo(style)
    check_chat(style)
    check_http(style)
    check_smtp(style)
    check_dns(style)
    check_proxy(style)
check_echo("repeating")
print(f"{len(failures)} failed" if failures else "all passed")
sys.exit(bool(failures))
