/* The limit: accept, keep, and a loop of send().  It parses next to nothing.
 *
 *   limit PORT
 *
 * GET with Upgrade is answered 101 and gets WebSocket frames, any other GET an
 * event stream; the body of a POST goes to all of them, in one frame built once.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 65536

static int sockets[MOST], streams[MOST], socket_count, stream_count;
static char kind[MOST];
static const char *message = "{\"id\":\"1763700000123456\",\"channel\":\"bench\",\"type\":\"m\",\"data\":";

static void forget(int *list, int *count, int fd) {
    for (int i = 0; i < *count; i++)
        if (list[i] == fd) {
            list[i] = list[--*count];
            return;
        }
}

static void publish(const char *data, int length) {
    static char frame[70000], block[70000];
    int envelope = strlen(message) + length + 1;
    int head = 4;
    frame[0] = 0x81;
    if (envelope < 126) {
        frame[1] = envelope;
        head = 2;
    } else {
        frame[1] = 126;
        frame[2] = envelope >> 8;
        frame[3] = envelope;
    }
    int size = head + sprintf(frame + head, "%s%.*s}", message, length, data);
    for (int i = 0; i < socket_count; i++) send(sockets[i], frame, size, MSG_NOSIGNAL);
    if (stream_count) {
        char inner[66000];
        int inside = sprintf(inner, "id: 1763700000123456\ndata: %s%.*s}\n\n", message, length, data);
        size = sprintf(block, "%x\r\n%s\r\n", inside, inner);
        for (int i = 0; i < stream_count; i++) send(streams[i], block, size, MSG_NOSIGNAL);
    }
}

static void say(int fd, const char *text) { send(fd, text, strlen(text), MSG_NOSIGNAL); }

static void came(int fd, char *text, int length) {
    text[length] = 0;
    if (!strncmp(text, "POST", 4)) {
        char *data = strstr(text, "\"data\":");
        if (!data) return;
        data += 7;
        publish(data, text + length - data - 1);
        say(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    } else if (!strncmp(text, "GET", 3)) {
        if (strcasestr(text, "\r\nupgrade: websocket")) {
            say(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Accept: none\r\n\r\n");
            sockets[socket_count++] = fd;
            kind[fd] = 1;
        } else {
            say(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n6\r\n: hi\n\n\r\n");
            streams[stream_count++] = fd;
            kind[fd] = 2;
        }
    }
}

int main(int count, char **arguments) {
    struct rlimit files = {0, 0};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int on = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[count - 1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listening, (void *)&address, sizeof address) || listen(listening, 4096)) {
        perror("limit");
        return 1;
    }
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening}, events[512];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event);
    static char text[70000];
    for (;;) {
        int ready = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listening) {
                while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
                    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
                }
                continue;
            }
            int length = recv(fd, text, sizeof text - 1, 0);
            if (length > 0) {
                came(fd, text, length);
                continue;
            }
            if (kind[fd] == 1) forget(sockets, &socket_count, fd);
            if (kind[fd] == 2) forget(streams, &stream_count, fd);
            kind[fd] = 0;
            close(fd);
        }
    }
}
