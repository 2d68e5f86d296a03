// The lower bound of the cost of an answer: nothing is parsed, selected or timed. It is written in C as the reference, and
// because it sets TCP_DEFER_ACCEPT, which Rust cannot without `unsafe`.
//
//   bare PORT REQUEST_LENGTH ANSWER_FILE CLOSE|KEEP    on 127.0.0.1, until it is killed
//
// CLOSE: a connection costs accept4, read, write and close; only the listener is in the poll. (A server with several
// listeners cannot block in accept4.)
// KEEP: an epoll loop that answers every REQUEST_LENGTH bytes.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static char answer[65536], input[65536];
static size_t answer_length;

static int listen_on(int port) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0) {
        perror("bare: cannot listen");
        exit(1);
    }
    return listener;
}

static void answer_and_close(int listener) {
    struct epoll_event event, interest = {.events = EPOLLIN, .data.fd = listener};
    int poll = epoll_create1(0);
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &interest);
    for (;;) {
        epoll_wait(poll, &event, 1, -1);
        for (;;) {
            int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (client < 0)
                break;
            if (read(client, input, sizeof input) > 0 && write(client, answer, answer_length) < 0)
                perror("bare: write");
            close(client);
        }
    }
}

static void answer_and_keep(int listener, size_t request_length) {
    struct epoll_event events[1024], interest = {.events = EPOLLIN, .data.fd = listener};
    int poll = epoll_create1(0);
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &interest);
    for (;;) {
        int count = epoll_wait(poll, events, 1024, -1);
        for (int i = 0; i < count; i++) {
            int client = events[i].data.fd;
            if (client == listener) {
                client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                interest.events = EPOLLIN | EPOLLET;
                interest.data.fd = client;
                epoll_ctl(poll, EPOLL_CTL_ADD, client, &interest);
                continue;
            }
            ssize_t length = read(client, input, sizeof input);
            if (length <= 0) {
                close(client);
                continue;
            }
            for (size_t done = 0; done + request_length <= (size_t)length; done += request_length)
                if (write(client, answer, answer_length) < 0)
                    perror("bare: write");
        }
    }
}

int main(int count, char **words) {
    if (count != 5)
        return 2;
    FILE *file = fopen(words[3], "r");
    if (file == NULL)
        return 1;
    answer_length = fread(answer, 1, sizeof answer, file);
    fclose(file);
    int listener = listen_on(atoi(words[1]));
    if (strcmp(words[4], "CLOSE") == 0)
        answer_and_close(listener);
    else
        answer_and_keep(listener, (size_t)atol(words[2]));
}
