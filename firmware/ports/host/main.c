/* The serial app as a program: one TCP connection on 127.0.0.1 is its serial line. It says where it listens, and
 * ends when the connection or its standard input does, so that it never outlives whoever started it. */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tf_app.h"

#define WAIT_MS 1 /* own clock: a control step is due every 2 ms */

static int line = -1; /* the connection; tf_port_t's send has no place for it */
static bool restart;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t time_us(void)
{
    return (uint32_t)(now_ns() / 1000u);
}

static uint32_t cost(void)
{
    return (uint32_t)now_ns();
}

/* None while the other end does not listen: whoever asks and never reads must not stop the flight. */
static uint32_t room(void)
{
    struct pollfd fd = {.fd = line, .events = POLLOUT};

    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) != 0 ? UINT32_MAX : 0u;
}

static void send_all(const uint8_t *bytes, uint32_t n)
{
    while (n > 0) {
        const ssize_t sent = send(line, bytes, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return; /* the next read sees the end, too */
        bytes += sent;
        n -= (uint32_t)sent;
    }
}

static void reset(void)
{
    restart = true;
}

static uint32_t stack_bytes(void)
{
    return 0;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Waits for one connection; gives up when standard input closes. */
static int accept_one(void)
{
    const int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;

    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &length) != 0)
        fail("tinyfly host: cannot listen");
    printf("listening 127.0.0.1:%u\n", (unsigned)ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        struct pollfd fds[2] = {{.fd = listener, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
        char ignored[64];

        if (poll(fds, 2, -1) < 0)
            fail("tinyfly host: poll");
        if (fds[1].revents != 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
            exit(0);
        if (fds[0].revents != 0)
            break;
    }
    const int connection = accept(listener, NULL, NULL);
    if (connection < 0)
        fail("tinyfly host: accept");
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    close(listener);
    return connection;
}

/* Takes in what has come; false at the end of the connection or of standard input. */
static bool receive(tf_app_t *app)
{
    struct pollfd fds[2] = {{.fd = line, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    uint8_t bytes[TF_RING_BYTES]; /* never more than the ring takes */

    if (poll(fds, 2, WAIT_MS) < 0)
        return false;
    if (fds[1].revents != 0 && read(STDIN_FILENO, bytes, sizeof bytes) <= 0)
        return false;
    if (fds[0].revents == 0)
        return true;
    const ssize_t n = recv(line, bytes, sizeof bytes, 0);
    for (ssize_t i = 0; i < n; i++)
        tf_app_receive(app, bytes[i]);
    return n > 0;
}

int main(void)
{
    static tf_app_t app;
    tf_port_t port = {
        .time_us = time_us,
        .cost = cost,
        .room = room,
        .send = send_all,
        .reset = reset,
        .stack_bytes = stack_bytes,
        .cost_unit = TF_COST_UNIT_NANOSECONDS,
        .cost_hz = 1000000000u,
        .target = TF_TARGET,
    };

    line = accept_one();
    do {
        restart = false;
        tf_app_init(&app, &port, (uint32_t)now_ns() ^ (uint32_t)getpid() << 16);
        port.cause = TF_CAUSE_REQUEST; /* of the next start */
        while (!restart && receive(&app))
            while (tf_app_poll(&app) && !restart)
                ;
    } while (restart);
    return 0;
}
