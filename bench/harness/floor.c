/* A server that does nothing else: epoll, recv, send, and the same bytes for everybody. What the kernel takes for a request, and thus
 * what no server can take less than. Ends the connection if the head says "Connection: close". floor PORT */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n" \
             "Server: floor/0.1.0\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
#define CLOSING "Connection: close\r\n"
static const char ANSWER[] = HEAD "\r\nHello, World!";
/* Not told so, wrk sends its next request on the connection that ends. */
static const char LAST_ANSWER[] = HEAD CLOSING "\r\nHello, World!";

static void
serve(int fd)
{
    static char head[65536];
    ssize_t size = recv(fd, head, sizeof head, 0);
    if (size < 0)
        return;
    int last = memmem(head, (size_t)size, CLOSING, sizeof CLOSING - 1) != NULL;
    if (size > 0)
        send(fd, last ? LAST_ANSWER : ANSWER, (last ? sizeof LAST_ANSWER : sizeof ANSWER) - 1, MSG_NOSIGNAL);
    if (!size || last)
        close(fd);
}

int
main(int count, char **arguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event events[256], event = {.events = EPOLLIN};
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
    if (count != 2)
        return 2;
    address.sin_port = htons((unsigned short)atoi(arguments[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    event.data.fd = listener;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 2048) < 0
        || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) {
        perror("floor");
        return 1;
    }
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != listener) {
                serve(events[i].data.fd);
                continue;
            }
            for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
                event.data.fd = fd;
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
