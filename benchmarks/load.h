/* Connections of the load generator: a socket, TLS where asked for, and the
 * search for the marker ~PP:SSSSSSSS (publisher and number) in what is read.
 *
 * Rule: every server is read alike.  Framing (SSE, chunks, WebSocket) is not
 * parsed; a message is its marker, and markers are checked one by one.
 */
#ifndef LOAD_H
#define LOAD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MARK_LENGTH 12
#define HEADROOM 64

enum state { CLOSED, CONNECTING, HANDSHAKE, OPENING, READY };

struct connection {
    int fd;
    enum state state;
    int publisher; /* its number, or -1 for a subscriber */
    int index;
    SSL *ssl;
    char carry[HEADROOM]; /* the end of the last read, in which something may begin */
    int carried;
    const char *out; /* what is still to be written */
    size_t out_left;
    uint32_t *last; /* of each publisher, as this subscriber saw it */
    uint64_t received;
    /* publishers only */
    char *unit;
    size_t unit_length;
    uint32_t sent, acknowledged;
    int64_t outstanding; /* deliveries that are still to come */
    double sent_at[64];
};

static SSL_CTX *tls_context;
static int epoll_fd;
static struct sockaddr_in server_address;

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void watch(struct connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &event) < 0) die("epoll_ctl");
}

/* One version and one cipher, whatever the server would choose: else what is
 * compared is AES-128 of one with AES-256 of another.  Read ahead, or a record
 * costs two reads, of its head and of the rest. */
static void speak_tls(void) {
    tls_context = SSL_CTX_new(TLS_client_method());
    if (!SSL_CTX_set_min_proto_version(tls_context, TLS1_3_VERSION) ||
        !SSL_CTX_set_max_proto_version(tls_context, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(tls_context, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set1_groups_list(tls_context, "X25519"))
        die("TLS");
    SSL_CTX_set_read_ahead(tls_context, 1);
    SSL_CTX_set_mode(tls_context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

/* What the last call on `c`, which gave `result`, came to.  OpenSSL looks into one
 * queue of errors for the whole thread: `ERR_clear_error` has to come before each
 * call, or the end of one connection is taken for the end of all others. */
static int waits(struct connection *c, int result) {
    int error = SSL_get_error(c->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* Many addresses of the loopback network, or the ports of one would run out. */
static void start_connecting(struct connection *c, int receive_buffer) {
    static uint32_t turn;
    struct sockaddr_in from = {.sin_family = AF_INET};
    int on = 1;
    from.sin_addr.s_addr = htonl(0x7f000100 + 1 + turn++ % 250);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (receive_buffer)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (bind(c->fd, (void *)&from, sizeof from) < 0) die("bind");
    if (connect(c->fd, (void *)&server_address, sizeof server_address) < 0 && errno != EINPROGRESS)
        die("connect");
    c->state = CONNECTING;
    c->carried = 0;
    watch(c, EPOLL_CTL_ADD, EPOLLOUT | EPOLLIN);
}

static void close_connection(struct connection *c) {
    if (c->ssl) {
        SSL_set_quiet_shutdown(c->ssl, 1);
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    close(c->fd);
    c->state = CLOSED;
}

/* Bytes read, 0 where there are none now, -1 at the end. */
static int read_some(struct connection *c, char *into, int room) {
    if (c->ssl) {
        ERR_clear_error();
        int got = SSL_read(c->ssl, into, room);
        if (got > 0) return got;
        return waits(c, got) ? 0 : -1;
    }
    ssize_t got = recv(c->fd, into, room, 0);
    if (got > 0) return got;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* Writes what waits; whether the connection is well. */
static int write_out(struct connection *c) {
    while (c->out_left) {
        ssize_t sent;
        if (c->ssl) {
            ERR_clear_error();
            sent = SSL_write(c->ssl, c->out, c->out_left);
            if (sent <= 0) {
                if (!waits(c, sent)) return 0;
                sent = 0;
            }
        } else {
            sent = send(c->fd, c->out, c->out_left, MSG_NOSIGNAL);
            if (sent < 0) {
                if (errno != EAGAIN) return 0;
                sent = 0;
            }
        }
        c->out += sent;
        c->out_left -= sent;
        if (!sent) {
            watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return 1;
        }
    }
    return 1;
}

/* Reads once behind what was carried over; `*data` is both, and the result its length. */
static int read_behind_carry(struct connection *c, char *buffer, int room, char **data) {
    int got = read_some(c, buffer + HEADROOM, room);
    if (got <= 0) return got;
    *data = buffer + HEADROOM - c->carried;
    memcpy(*data, c->carry, c->carried);
    return got + c->carried;
}

static void carry_over(struct connection *c, const char *from, const char *end) {
    c->carried = end - from;
    memcpy(c->carry, from, c->carried);
}

/* How many times `mark` is in what was read; the rest is carried over. */
static int count_marks(struct connection *c, char *data, int length, const char *mark) {
    int size = strlen(mark), count = 0;
    char *at = data, *end = data + length, *found;
    while ((found = memmem(at, end - at, mark, size))) {
        count++;
        at = found + size;
    }
    int keep = end - at < size - 1 ? end - at : size - 1;
    carry_over(c, end - keep, end);
    return count;
}

static int number(const char *at, int digits, uint32_t *value) {
    *value = 0;
    for (int i = 0; i < digits; i++) {
        unsigned digit = (unsigned char)at[i] - '0';
        if (digit > 9) return 0;
        *value = *value * 10 + digit;
    }
    return 1;
}

static void print_number(char *at, int digits, uint32_t value) {
    while (digits--) {
        at[digits] = '0' + value % 10;
        value /= 10;
    }
}

/* Calls `delivered` for each marker. */
static void each_marker(struct connection *c, char *data, int length,
                        void (*delivered)(struct connection *, uint32_t, uint32_t)) {
    char *at = data, *end = data + length;
    uint32_t publisher, seq;
    while ((at = memchr(at, '~', end - at))) {
        if (end - at < MARK_LENGTH) {
            carry_over(c, at, end);
            return;
        }
        if (at[3] == ':' && number(at + 1, 2, &publisher) && number(at + 4, 8, &seq)) {
            delivered(c, publisher, seq);
            at += MARK_LENGTH;
        } else
            at++;
        if (at >= end) break;
    }
    c->carried = 0;
}

static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    char *text = malloc(1 << 20);
    *length = fread(text, 1, (1 << 20) - 1, file);
    text[*length] = 0;
    fclose(file);
    return text;
}

#endif
