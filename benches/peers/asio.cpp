// A server on standalone Asio: echo, or with --lines each line back with CRLF, a write a line.
//
// One thread, and the context is told so: then it takes no locks. Handlers are lambdas, their
// memory is recycled by Asio.

#include <asio.hpp>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

using asio::ip::tcp;

namespace {

constexpr std::size_t buffer_len = 16 * 1024, longest = 1024 * 1024;

struct echo : std::enable_shared_from_this<echo> {
    explicit echo(tcp::socket socket) : socket(std::move(socket)) {}

    void read() {
        socket.async_read_some(asio::buffer(bytes), [self = shared_from_this()](auto error, std::size_t count) {
            if (!error) self->write(count);
        });
    }

    void write(std::size_t count) {
        asio::async_write(socket, asio::buffer(bytes, count), [self = shared_from_this()](auto error, std::size_t) {
            if (!error) self->read();
        });
    }

    tcp::socket socket;
    // Not initialised: an idle connection pays for the pages that were used.
    std::array<char, buffer_len> bytes;
};

struct echo_lines : std::enable_shared_from_this<echo_lines> {
    explicit echo_lines(tcp::socket socket) : socket(std::move(socket)) {}

    void read() {
        asio::async_read_until(socket, unread, '\n', [self = shared_from_this()](auto error, std::size_t count) {
            if (!error) self->write(count);
        });
    }

    void write(std::size_t count) {
        auto begin = static_cast<const char *>(unread.data().data());
        auto len = count - 1;
        if (len > 0 && begin[len - 1] == '\r') len--;
        line.assign(begin, len);
        line += "\r\n";
        unread.consume(count);
        asio::async_write(socket, asio::buffer(line), [self = shared_from_this()](auto error, std::size_t) {
            if (!error) self->read();
        });
    }

    tcp::socket socket;
    asio::streambuf unread{longest};
    std::string line;
};

template <typename Connection> void accept(tcp::acceptor &acceptor) {
    acceptor.async_accept([&acceptor](auto error, tcp::socket socket) {
        if (!error) std::make_shared<Connection>(std::move(socket))->read();
        accept<Connection>(acceptor);
    });
}

} // namespace

int main(int count, char **arguments) {
    std::string listen = "127.0.0.1:0";
    bool lines = false;
    for (int i = 1; i < count; i++) {
        if (std::strcmp(arguments[i], "--version") == 0) {
            std::printf("%d.%d.%d\n", ASIO_VERSION / 100000, ASIO_VERSION / 100 % 1000, ASIO_VERSION % 100);
            return 0;
        } else if (std::strcmp(arguments[i], "--lines") == 0) {
            lines = true;
        } else if (std::strcmp(arguments[i], "--listen") == 0 && i + 1 < count) {
            listen = arguments[++i];
        }
    }
    auto colon = listen.find(':');
    auto port = static_cast<unsigned short>(std::stoi(listen.substr(colon + 1)));
    asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
    tcp::acceptor acceptor(context);
    tcp::endpoint endpoint(asio::ip::make_address(listen.substr(0, colon)), port);
    acceptor.open(endpoint.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen(4096);
    // Connections inherit it.
    acceptor.set_option(tcp::no_delay(true));
    std::printf("listening on %s:%d\n", listen.substr(0, colon).c_str(), acceptor.local_endpoint().port());
    std::fflush(stdout);
    if (lines) accept<echo_lines>(acceptor);
    else accept<echo>(acceptor);
    context.run();
}
