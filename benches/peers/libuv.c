/* A server on libuv: echo, or with --lines each line back with CRLF, a write a line.
 *
 * At its best: one receive buffer for all connections, and a write is tried at once; only what the
 * socket does not take is copied and queued, and nothing is read until it has gone out. */

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

enum { BUFFER = 64 * 1024, BACKLOG = 4096, LONGEST = 1024 * 1024 };

typedef struct {
    uv_tcp_t tcp;
    /* The line that is not finished, and room for it. */
    char *line;
    size_t line_len, line_room;
} connection_t;

/* What the socket did not take at once. */
typedef struct {
    uv_write_t request;
    char bytes[];
} rest_t;

static char received[BUFFER], answer[LONGEST + 2];
static int lines;

static void check(int result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "libuv: %s: %s\n", what, uv_strerror(result));
        exit(1);
    }
}

static void freed(uv_handle_t *handle) {
    connection_t *connection = (connection_t *)handle;
    free(connection->line);
    free(connection);
}

static void end(connection_t *connection) {
    if (!uv_is_closing((uv_handle_t *)connection)) {
        uv_close((uv_handle_t *)connection, freed);
    }
}

static void allocate(uv_handle_t *handle, size_t size, uv_buf_t *buffer) {
    (void)handle, (void)size;
    *buffer = uv_buf_init(received, sizeof received);
}

static void arrived(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer);

static void written(uv_write_t *request, int status) {
    uv_stream_t *stream = request->handle;
    free(request);
    if (status < 0) {
        end((connection_t *)stream);
    } else if (uv_stream_get_write_queue_size(stream) == 0) {
        uv_read_start(stream, allocate, arrived);
    }
}

static void answer_with(connection_t *connection, char *bytes, size_t count) {
    uv_stream_t *stream = (uv_stream_t *)&connection->tcp;
    uv_buf_t buffer = uv_buf_init(bytes, count);
    int sent = uv_try_write(stream, &buffer, 1);
    if (sent == UV_EAGAIN) {
        sent = 0;
    }
    if (sent < 0) {
        end(connection);
    } else if ((size_t)sent < count) {
        rest_t *rest = malloc(sizeof *rest + count - sent);
        memcpy(rest->bytes, bytes + sent, count - sent);
        buffer = uv_buf_init(rest->bytes, count - sent);
        uv_read_stop(stream);
        if (uv_write(&rest->request, stream, &buffer, 1, written) < 0) {
            free(rest);
            end(connection);
        }
    }
}

/* Adds to the unfinished line; false if it gets too long. */
static int extend(connection_t *connection, const char *bytes, size_t count) {
    size_t len = connection->line_len + count;
    if (len > LONGEST) {
        return 0;
    }
    if (len > connection->line_room) {
        connection->line_room = len < 256 ? 256 : 2 * len;
        connection->line = realloc(connection->line, connection->line_room);
    }
    memcpy(connection->line + connection->line_len, bytes, count);
    connection->line_len = len;
    return 1;
}

static void answer_line(connection_t *connection, const char *line, size_t len) {
    if (len > 0 && line[len - 1] == '\r') {
        len--;
    }
    memcpy(answer, line, len);
    memcpy(answer + len, "\r\n", 2);
    answer_with(connection, answer, len + 2);
}

static void answer_lines(connection_t *connection, const char *bytes, size_t count) {
    while (count > 0) {
        const char *lf = memchr(bytes, '\n', count);
        size_t len = lf ? (size_t)(lf - bytes) : count;
        if (!lf || connection->line_len > 0) {
            if (!extend(connection, bytes, len)) {
                end(connection);
                return;
            }
        }
        if (!lf) {
            return;
        }
        if (connection->line_len > 0) {
            answer_line(connection, connection->line, connection->line_len);
            connection->line_len = 0;
        } else {
            answer_line(connection, bytes, len);
        }
        if (uv_is_closing((uv_handle_t *)connection)) {
            return;
        }
        bytes += len + 1;
        count -= len + 1;
    }
}

static void arrived(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    connection_t *connection = (connection_t *)stream;
    if (count < 0) {
        end(connection);
    } else if (count > 0 && lines) {
        answer_lines(connection, buffer->base, count);
    } else if (count > 0) {
        answer_with(connection, buffer->base, count);
    }
}

static void connected(uv_stream_t *listener, int status) {
    check(status, "listen");
    connection_t *connection = calloc(1, sizeof *connection);
    check(uv_tcp_init(listener->loop, &connection->tcp), "uv_tcp_init");
    if (uv_accept(listener, (uv_stream_t *)&connection->tcp) < 0) {
        end(connection);
        return;
    }
    check(uv_read_start((uv_stream_t *)&connection->tcp, allocate, arrived), "uv_read_start");
}

int main(int count, char **arguments) {
    const char *address = "127.0.0.1:0";
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--version") == 0) {
            puts(uv_version_string());
            return 0;
        } else if (strcmp(arguments[i], "--lines") == 0) {
            lines = 1;
        } else if (strcmp(arguments[i], "--listen") == 0 && i + 1 < count) {
            address = arguments[++i];
        }
    }
    char host[64] = "";
    int port = 0;
    sscanf(address, "%63[0-9.]:%d", host, &port);

    signal(SIGPIPE, SIG_IGN);
    static uv_tcp_t listener;
    uv_loop_t *loop = uv_default_loop();
    struct sockaddr_in name;
    int name_len = sizeof name, one = 1, descriptor;
    check(uv_ip4_addr(host, port, &name), "address");
    check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    check(uv_tcp_bind(&listener, (struct sockaddr *)&name, 0), "bind");
    check(uv_listen((uv_stream_t *)&listener, BACKLOG, connected), "listen");
    /* Connections inherit it. */
    check(uv_fileno((uv_handle_t *)&listener, &descriptor), "uv_fileno");
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    check(uv_tcp_getsockname(&listener, (struct sockaddr *)&name, &name_len), "getsockname");
    printf("listening on %s:%d\n", host, ntohs(name.sin_port));
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
