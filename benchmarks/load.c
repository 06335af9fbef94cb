/* Drives a server: subscribers, publishers, and the clock.
 *
 *   load PORT key=value...
 *
 * It prints READY when everybody is connected, begins when a line comes on its
 * standard input, and prints one line of JSON at the end.  What is sent is in
 * files, made by the caller for each server; in them ~PP:SSSSSSSS is replaced by
 * publisher and number, and TTTTTT by the number of the topic.
 *
 *   mode=fanout    subscribers and publishers; in flight = publishers
 *   mode=connect   connect, wait for `ready`, close; `parallel` at once
 *   mode=resume    all connect; each is done when it has `expect` messages
 *   mode=hold      all connect and stay until standard input ends
 */
#define _GNU_SOURCE
#include "load.h"

#include <math.h>
#include <sys/resource.h>

static enum { FANOUT, CONNECT, RESUME, HOLD } mode;
static const char *ready_mark = "\r\n\r\n", *ack_mark = "HTTP/1.1 2";
static const char *open_mark = "";
static int subscribers = 0, publishers = 0, topics = 1, batch = 1, window = 1, per_ack = 1;
static int parallel = 256, expect = 0, slow = 0, wait_all = 1, spin = 1;
static int units = 0, warm_units = 0; /* where they are given, instead of the times */
static double seconds = 2, warm = 0.3, rate = 0;
static char *subscribe_text, *open_text = "", *unit_text;
static size_t subscribe_length, open_length, unit_length;

static struct connection *all;
static int opened, pending, next_to_open, done;
static int running, counting, failed;
static uint64_t most = UINT64_MAX; /* to be published until the run is over */
static uint64_t published, deliveries, wrong, handshakes, late;
static double began, last_read, last_delivery, idle;
static uint32_t histogram[200001]; /* of 10 microseconds each */

static struct connection *publisher(int number) { return &all[subscribers + number]; }

static void note_latency(double latency) {
    int bucket = latency * 1e5;
    histogram[bucket < 0 ? 0 : bucket > 200000 ? 200000 : bucket]++;
}

/* Whether `c` may publish its next unit now. */
static int may_publish(struct connection *c) {
    return running && published != most && c->state == READY && !c->out_left &&
           c->sent + batch - c->acknowledged <= (uint32_t)window && (!wait_all || !c->outstanding);
}

static void publish(struct connection *c, double at) {
    /* Each begins elsewhere, so that together they come by all topics soon. */
    uint32_t topic = (c->sent / batch + (uint64_t)c->publisher * topics / publishers) % topics;
    char *text = c->unit, *end = c->unit + c->unit_length;
    for (char *place = text; (place = memmem(place, end - place, "~", 1)); place += MARK_LENGTH) {
        if (place[3] != ':') die("the unit has a stray ~");
        print_number(place + 1, 2, c->publisher);
        print_number(place + 4, 8, ++c->sent);
        c->sent_at[c->sent & 63] = at;
    }
    if (topics > 1) {
        static char *places[8];
        static const char *of;
        static int count;
        if (of != c->unit) { /* where the topic stands in the text it was copied from */
            of = c->unit;
            count = 0;
            char *from = unit_text;
            while (count < 8 && (from = memmem(from, unit_text + unit_length - from, "TTTTTT", 6)))
                places[count++] = c->unit + (from - unit_text), from += 6;
        }
        for (int i = 0; i < count; i++) print_number(places[i], 6, topic);
    }
    if (wait_all) c->outstanding = (int64_t)batch * ((subscribers - slow) / topics);
    published += batch;
    c->out = c->unit;
    c->out_left = c->unit_length;
    if (!write_out(c)) die("a publisher's connection");
}

static void go_on(struct connection *c) {
    if (!rate)
        while (may_publish(c)) publish(c, now());
}

static void delivered(struct connection *c, uint32_t from, uint32_t seq) {
    c->received++;
    if (mode == RESUME) return;
    if (from >= (uint32_t)publishers) {
        wrong++;
        return;
    }
    uint32_t step = topics > 1 ? (uint32_t)topics * batch - batch + 1 : 1;
    uint32_t before = c->last[from];
    if (before && seq != before + 1 && seq != before + step) wrong++;
    c->last[from] = seq;
    deliveries++;
    if (c->index < slow) return;
    struct connection *p = publisher(from);
    last_delivery = last_read;
    if (counting) note_latency(last_delivery - p->sent_at[seq & 63]);
    if (wait_all && --p->outstanding == 0) go_on(p);
}

static void start_one(struct connection *c) {
    start_connecting(c, c->publisher < 0 && c->index < slow ? 4096 : 0);
    pending++;
    if (c->publisher < 0) {
        static char *texts; /* each subscriber's own, for the number of its topic */
        if (topics > 1) {
            if (!texts) texts = malloc((size_t)subscribers * subscribe_length);
            char *mine = texts + (size_t)c->index * subscribe_length;
            memcpy(mine, subscribe_text, subscribe_length);
            for (char *at = mine; (at = memmem(at, mine + subscribe_length - at, "TTTTTT", 6));)
                print_number(at, 6, c->index % topics);
            c->out = mine;
        } else
            c->out = subscribe_text;
        c->out_left = subscribe_length;
    } else {
        c->out = open_text;
        c->out_left = open_length;
    }
}

static void open_more(int total) {
    while (next_to_open < total && pending < parallel) start_one(&all[next_to_open++]);
}

static void became_ready(struct connection *c) {
    c->state = READY;
    pending--;
    opened++;
    handshakes++;
    if (c->publisher < 0 && c->index < slow) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
}

static void advance(struct connection *c) {
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            errno = error;
            die("connecting");
        }
        c->state = OPENING;
        if (tls_context) {
            c->ssl = SSL_new(tls_context);
            SSL_set_fd(c->ssl, c->fd);
            SSL_set_connect_state(c->ssl);
            c->state = HANDSHAKE;
        }
    }
    if (c->state == HANDSHAKE) {
        ERR_clear_error();
        int result = SSL_do_handshake(c->ssl);
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
        if (result != 1) {
            if (!waits(c, result)) {
                ERR_print_errors_fp(stderr);
                die("TLS handshake");
            }
            return;
        }
        c->state = OPENING;
    }
    if (!write_out(c)) die("a connection ended");
    if (!c->out_left) watch(c, EPOLL_CTL_MOD, EPOLLIN);
    if (c->publisher >= 0 && !*open_mark && c->state == OPENING && !c->out_left) became_ready(c);
}

static void readable(struct connection *c) {
    static char buffer[HEADROOM + 262144];
    char *data;
    do {
        int length = read_behind_carry(c, buffer, sizeof buffer - HEADROOM, &data);
        if (length < 0) {
            if (failed++ < 3) fprintf(stderr, "load: connection %d ended\n", c->index);
            close_connection(c);
            return;
        }
        if (!length) return;
        last_read = now();
        if (c->state == OPENING) {
            const char *mark = c->publisher < 0 ? ready_mark : open_mark;
            char *found = memmem(data, length, mark, strlen(mark));
            if (memmem(data, length, "HTTP/1.1 4", 10) || memmem(data, length, "HTTP/1.1 5", 10)) {
                fprintf(stderr, "load: refused: %.*s\n", length > 600 ? 600 : length, data);
                exit(1);
            }
            if (!found) {
                int keep = length < HEADROOM ? length : HEADROOM;
                carry_over(c, data + length - keep, data + length);
                continue;
            }
            c->carried = 0;
            became_ready(c);
            found += strlen(mark);
            if (c->publisher < 0) each_marker(c, found, data + length - found, delivered);
        } else if (c->publisher < 0) {
            each_marker(c, data, length, delivered);
            if (mode == HOLD && (data[0] & 0xff) == 0x89) {
                c->out = "\x8a\x80\0\0\0"; /* an empty pong, masked */
                c->out_left = 6;
                if (!write_out(c)) die("a pong");
            }
        } else {
            int acks = count_marks(c, data, length, ack_mark);
            c->acknowledged += acks * per_ack;
            if (!acks && memmem(data, length, "\"error\"", 7) && failed++ < 3)
                fprintf(stderr, "load: %.*s\n", length > 600 ? 600 : length, data);
            go_on(c);
        }
        if (mode == RESUME && (int)c->received == expect) {
            done++;
            c->received++;
        }
    } while (c->ssl && SSL_has_pending(c->ssl));
}

static void turn(int timeout) {
    static struct epoll_event events[1024];
    double from = now();
    int count = epoll_wait(epoll_fd, events, 1024, timeout);
    if (count <= 0 && !timeout) idle += now() - from;
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->state == CLOSED) continue;
        if (c->state != READY || (events[i].events & EPOLLOUT)) advance(c);
        /* Read in the midst of a handshake would end it unseen. */
        if (c->state >= OPENING && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
            readable(c);
        if (mode == CONNECT && c->state == READY) {
            close_connection(c);
            start_one(c);
        }
    }
}

static double percentile(double share) {
    uint64_t total = 0, sum = 0;
    for (int i = 0; i <= 200000; i++) total += histogram[i];
    for (int i = 0; i <= 200000; i++)
        if ((sum += histogram[i]) >= total * share && total) return i * 1e-5 + 5e-6;
    return 0;
}

static double cpu(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_utime.tv_sec + use.ru_stime.tv_sec +
           (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

static int outstanding(void) {
    for (int i = 0; i < publishers; i++)
        if (publisher(i)->outstanding || publisher(i)->sent != publisher(i)->acknowledged) return 1;
    return 0;
}

/* Publishes for `length` seconds or `most` units, and then until all has arrived. */
static void run_for(double length, int most_units) {
    if (most_units) length = 60;
    most = most_units ? published + (uint64_t)most_units * batch : UINT64_MAX;
    double end = now() + length, due = now(), give_up = end + 15;
    int at = 0;
    running = 1;
    for (int i = 0; i < publishers; i++) go_on(publisher(i));
    while (now() < end && published != most) {
        if (!rate) {
            /* A generator that sleeps is woken by the server's own core, at the
             * server's cost, and the more so the more it sleeps: a client over a
             * network costs no server that. */
            turn(spin ? 0 : 10);
            continue;
        }
        if (now() < due) {
            turn(due - now() > 0.002 ? 1 : 0);
            continue;
        }
        for (int tried = 0; tried < publishers; tried++, at++)
            if (may_publish(publisher(at % publishers))) {
                publish(publisher(at++ % publishers), due);
                due += 1 / rate;
                break;
            }
        if (now() > due + 1 / rate) late++;
        turn(0);
    }
    running = 0;
    while (outstanding() && now() < give_up) turn(10);
    if (outstanding()) failed++;
    double settled = now() + 1.5;
    while (!wait_all && !slow && now() < settled &&
           deliveries < published * (subscribers / topics))
        turn(10);
}

static void drain_slow(void) {
    double give_up = now() + 60;
    for (int i = 0; i < slow; i++) watch(&all[i], EPOLL_CTL_ADD, EPOLLIN);
    while (deliveries < published * (subscribers / topics) && now() < give_up) turn(10);
}

static void argument(char *text) {
    char *value = strchr(text, '=');
    if (!value) die(text);
    *value++ = 0;
#define NUMBER(name) if (!strcmp(text, #name)) name = atof(value); else
#define TEXT(key, name) if (!strcmp(text, key)) name = value; else
#define FROM_FILE(key, name, length) if (!strcmp(text, key)) name = read_file(value, &length); else
    NUMBER(subscribers) NUMBER(publishers) NUMBER(topics) NUMBER(batch) NUMBER(window)
    NUMBER(per_ack) NUMBER(parallel) NUMBER(expect) NUMBER(slow) NUMBER(seconds) NUMBER(warm)
    NUMBER(rate) NUMBER(wait_all) NUMBER(spin) NUMBER(units) NUMBER(warm_units)
    if (!strcmp(text, "mode"))
        mode = !strcmp(value, "connect")  ? CONNECT
               : !strcmp(value, "resume") ? RESUME
               : !strcmp(value, "hold")   ? HOLD
                                          : FANOUT;
    else
    TEXT("ready", ready_mark) TEXT("ack", ack_mark) TEXT("opened", open_mark)
    FROM_FILE("subscribe", subscribe_text, subscribe_length)
    FROM_FILE("open", open_text, open_length)
    FROM_FILE("publish", unit_text, unit_length)
    if (!strcmp(text, "tls")) {
        speak_tls();
    } else {
        fprintf(stderr, "load: no such option: %s\n", text);
        exit(2);
    }
}

static void wait_for_line(void) {
    char line[64];
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(0);
}

int main(int count, char **arguments) {
    struct rlimit files = {1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    server_address.sin_family = AF_INET;
    server_address.sin_port = htons(atoi(arguments[1]));
    server_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 2; i < count; i++) argument(arguments[i]);
    epoll_fd = epoll_create1(0);

    int connecting = mode == CONNECT;
    if (connecting) subscribers = parallel;
    int total = subscribers + publishers;
    all = calloc(total, sizeof *all);
    for (int i = 0; i < total; i++) {
        struct connection *c = &all[i];
        c->index = i;
        c->publisher = i < subscribers ? -1 : i - subscribers;
        if (i < subscribers)
            c->last = calloc(publishers ? publishers : 1, sizeof *c->last);
        else {
            c->unit = malloc(unit_length);
            memcpy(c->unit, unit_text, unit_length);
            c->unit_length = unit_length;
        }
    }

    if (mode == RESUME) {
        printf("READY\n");
        wait_for_line();
        began = now();
        while (done < subscribers && now() < began + 120) {
            open_more(total);
            turn(10);
        }
        printf("{\"seconds\":%.6f,\"done\":%d,\"failed\":%d}\n", now() - began, done, failed);
        return 0;
    }
    double patience = now() + 120;
    while (!connecting && opened < total) {
        open_more(total);
        turn(10);
        if (now() > patience) {
            fprintf(stderr, "load: only %d of %d connected\n", opened, total);
            return 1;
        }
    }
    double settle = now() + 0.2;
    while (now() < settle) turn(10);
    printf("READY\n");
    wait_for_line();
    if (mode == HOLD) {
        fcntl(0, F_SETFL, O_NONBLOCK);
        char line[64];
        for (;;) {
            turn(50);
            ssize_t got = read(0, line, sizeof line);
            if (got >= 0 || errno != EAGAIN) break;
        }
        printf("{\"held\":%d,\"failed\":%d}\n", opened, failed);
        return 0;
    }
    if (connecting) {
        open_more(total);
        double end = now() + warm;
        while (now() < end) turn(spin ? 0 : 10);
        handshakes = 0;
        printf("BEGIN\n");
        wait_for_line();
        began = now();
        double used = cpu();
        idle = 0;
        while (now() < began + seconds) turn(spin ? 0 : 10);
        double took = now() - began;
        printf("{\"seconds\":%.6f,\"handshakes\":%lu,\"failed\":%d,\"generator\":%.4f}\n", took,
               handshakes, failed, fmax(0, cpu() - used - idle) / took);
        return 0;
    }
    if (warm || warm_units) run_for(warm, warm_units);
    if (failed) fprintf(stderr, "load: the warm-up did not finish\n");
    printf("BEGIN\n");
    wait_for_line();
    uint64_t before = deliveries, published_before = published;
    double used = cpu();
    counting = 1;
    began = now();
    idle = 0;
    run_for(seconds, units);
    double took = (wait_all ? last_delivery : now()) - began;
    /* Where something else had this core meanwhile, the waiting is the longer. */
    used = fmax(0, cpu() - used - idle) / (now() - began);
    uint64_t counted = deliveries - before, sent = published - published_before;
    printf("END\n");
    wait_for_line();
    if (slow) drain_slow();
    uint64_t missing = published * (subscribers / topics) - deliveries;
    printf("{\"seconds\":%.6f,\"published\":%lu,\"deliveries\":%lu,\"wrong\":%lu,"
           "\"missing\":%ld,\"failed\":%d,\"late\":%lu,\"generator\":%.4f,"
           "\"p50\":%.6f,\"p90\":%.6f,\"p99\":%.6f,\"p999\":%.6f}\n",
           took, sent, counted, wrong, (long)missing, failed, late, used, percentile(.5),
           percentile(.9), percentile(.99), percentile(.999));
    return 0;
}
