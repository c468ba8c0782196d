/* What the parts of the fast path share: the objects it works with, where their fields are, and how those are read and written.
 * See `_fastpath.c`. */

#ifndef PREFORK_FASTPATH_H
#define PREFORK_FASTPATH_H


#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "_seat.h"

#define RECV_BYTES 65536 /* as in worker/connection.py */
#define COPY_BYTES 8192  /* up to that, one copy is cheaper than a second piece for the kernel */

/* Fields: object class and name. The order is that of `field_names`. */
enum {
    CONNECTION_EXECUTOR, CONNECTION_EXCHANGE, CONNECTION_RECEIVER, CONNECTION_SENDER, CONNECTION_SOCK, CONNECTION_FD,
    CONNECTION_CORRECT, CONNECTION_SERVED, CONNECTION_NUMBER, CONNECTION_EVENTS, CONNECTION_CLIENT_CLOSES,
    CONNECTION_KEPT, CONNECTION_PHASE, CONNECTION_BUSY, CONNECTION_DEADLINE, CONNECTION_BUCKET, CONNECTION_PARKED,
    EXCHANGE_HANDLER, EXCHANGE_CONTEXT, EXCHANGE_REQUEST, EXCHANGE_OURS, EXCHANGE_ARRIVED, EXCHANGE_RESPONSE, EXCHANGE_BROKEN,
    EXCHANGE_EXTENSION_NS, EXCHANGE_BEGAN_NS,
    EXCHANGE_SOCK, EXCHANGE_RECEIVER, EXCHANGE_SENDER,
    SENDER_SOCK, SENDER_OUTBOX, SENDER_CLAIM, OUTBOX_EMPTY,
    HANDLER_CLIENT_ADDRESS, HANDLER_WRITE_OUT, HANDLER_STARTED_NS, HANDLER_QUEUED_NS, HANDLER_REQUEST, HANDLER_ENVIRON, HANDLER_RESPONSE,
    HANDLER_BYTES_IN, HANDLER_DURATION_NS,
    RECEIVER_EXPECTS, RECEIVER_PENDING, RECEIVER_BASE, RECEIVER_NEW_BODY,
    REQUEST_HEAD, REQUEST_ENVIRON, REQUEST_BODY, REQUEST_BEGUN,
    HEAD_LINE, HEAD_METHOD, HEAD_MINOR, HEAD_KEEP_ALIVE, HEAD_CONTENT_LENGTH, HEAD_CHUNKED,
    RESPONSE_MINOR, RESPONSE_KEEP_ALIVE, RESPONSE_HEAD_ONLY, RESPONSE_DONE, RESPONSE_HEAD_SENT, RESPONSE_STATUS, RESPONSE_BODY_BYTES,
    RESPONSE_HEAD, RESPONSE_ITERABLE, RESPONSE_UNREAD, RESPONSE_LATER, RESPONSE_ENDED,
    ANSWER_BLOCK, ANSWER_CONTENT_LENGTH, ANSWER_CLOSE, ANSWER_HAS_DATE, ANSWER_HAS_SERVER, ANSWER_STATUS,
    STAMP_BOTH, STAMP_CLOSING,
    GATE_INSIDE, GATE_DUE,
    HOME_OPENED, HOME_REQUESTS, HOME_BACKLOG, HOME_OVERDUE, HOME_MEMBERS, HOME_ARRIVING, HOME_ON_COUNT, HOME_ON_ROOM,
    LOOP_NOW, LOOP_BEHIND_S, LOOP_CALLBACKS, LOOP_WHEEL, WHEEL_BUCKETS,
    FIELDS
};


/* What Python hands over, by the names of `worker.fastpath.Parts`. */
enum {
    HOME, CONTEXT, LOOP, EPOLL_FD, EXECUTOR, STATIC, SEAT, APPLICATION, WATCHED, GATE, STAMP, LIMITS, MOST_IN_MEMORY, HAS_OWN_LOG, ACCESS,
    KEEPALIVE_S, WORTH_ASKING_S, NEVER,
    PARSE_HEAD, BUILD_HEAD, CURRENT, BYTES_IO, SOCKET, BODY,
    REQUEST, RESPONSE,
    TICK_S, LAST_DATA_AT, HEADER_S, MODEL, HANDLER_CLASS,
    POOL, RESPOND, COMPLETED, SUSPENDED,
    EXPECTS_IDLE, PHASE_FRESH, PHASE_IDLE, PHASE_APPLICATION, PHASE_CLOSED, READ, PROCEED, GATHER_BYTES, LAST_LINES,
    PARTS
};


#define NAMES(X)                                                                                                       \
    X(_feed) X(_end_of_input) X(_start) X(_run) X(_behind) X(close) X(settle) X(run) \
    X(suspend) X(add) X(raised) X(serves) X(as_input) X(size) X(_catch_up) X(log_end) X(_report) X(handler_failed) X(wrapped) X(start_response)           \
    X(early_hints) X(write) X(on_event) X(write_through) X(fileno) X(recv) X(watch) X(forget)      \
    X(perform) X(take) X(end) X(number) X(on_claim) X(_cannot_wait) X(_not_made) X(open)                                                                              \
    X(keep_alive) X(began_ns) X(send) X(real)

typedef struct {
#define X(name) PyObject *name;
    NAMES(X)
#undef X
    PyObject *path_info, *remote_addr, *remote_port, *prefork_peer, *wsgi_input, *wsgi_early_hints, *prefork_connection, *head;
    PyObject *nothing, *empty, *zero, *recv_bytes, *empty_line;
} Names;

typedef struct {
    PyObject_HEAD
    PyObject *parts[PARTS];
    Py_ssize_t offsets[FIELDS];
    PyTypeObject *connection_type, *start_response_type, *ear_type, *accepted_type, *taker_type;
    Names names;
    const SeatApi *seat_api;
    PyObject *last_due; /* of the gate, when it was looked at last */
    double keepalive_s, worth_asking_s, tick_s, header_s;
    socklen_t last_data_at;
    Py_ssize_t gather_bytes, most_in_memory;
    long read;
    int epoll_fd;
    bool held_back; /* the last response: the kernel has it, and sends it with the end of the connection */
    bool has_own_log, has_gate, pool;
    /* Outside of the object, which is filled with zeros: most requests touch one page of it. */
    char *received; /* RECV_BYTES */
    char *copied;   /* COPY_BYTES */
} FastPath;

/* What `_fastpath_socket.c` has for a socket. */
typedef struct {
    PyObject_HEAD
    FastPath *path;
    PyObject *real; /* Python's, or NULL */
    int fd, family;
} Accepted;

/* Fields --------------------------------------------------------------------------------------------------------- */

#define PLACE(object, field) ((PyObject **)((char *)(object) + self->offsets[field]))
/* Borrowed. All fields are set by the constructors of their classes. */
#define PEEK(object, field) (*PLACE(object, field))
#define IS_TRUE(object, field) (PEEK(object, field) == Py_True)

static inline void
put(PyObject **place, PyObject *value)
{
    PyObject *before = *place;
    Py_INCREF(value);
    *place = value;
    Py_XDECREF(before);
}

/* Takes the reference over. NULL: an exception is set, nothing is changed. */
static inline int
put_new(PyObject **place, PyObject *value)
{
    if (value == NULL)
        return -1;
    PyObject *before = *place;
    *place = value;
    Py_XDECREF(before);
    return 0;
}

static inline int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Nothing stands between the connection and its descriptor. */
static inline bool
is_plain(FastPath *self, PyObject *sock)
{
    return Py_TYPE(sock) == self->accepted_type || Py_TYPE(sock) == (PyTypeObject *)self->parts[SOCKET];
}

/* One more, of a field that holds a number. */
static inline int
count_up(PyObject **place)
{
    return put_new(place, PyLong_FromLongLong(PyLong_AsLongLong(*place) + 1));
}

/* As for a function that returns nothing: -1 with an exception. */
static inline int
done_with(PyObject *result)
{
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
}

static inline int
set_new(PyObject *object, PyObject *name, PyObject *value)
{
    if (value == NULL)
        return -1;
    int result = PyObject_SetAttr(object, name, value);
    Py_DECREF(value);
    return result;
}

static inline int
set_item_new(PyObject *dict, PyObject *key, PyObject *value)
{
    if (value == NULL)
        return -1;
    int result = PyDict_SetItem(dict, key, value);
    Py_DECREF(value);
    return result;
}

/* The exception that is set, as an object; it is set no more. New reference. */
static inline PyObject *
take_exception(void)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != NULL)
        PyException_SetTraceback(value, trace);
    Py_XDECREF(trace);
    Py_XDECREF(type);
    return value;
}

/* The parts ------------------------------------------------------------------------------------------------------ */

/* What has become of an exchange. */
enum outcome { FAILED = -1, COMPLETE, WAITING, PYTHON };

/* _fastpath_request.c */
PyObject *prefork_fastpath_read(FastPath *self, PyObject *connection);
PyObject *prefork_fastpath_perform(FastPath *self, PyObject *const *arguments, Py_ssize_t count);
/* _fastpath_response.c */
enum outcome prefork_fastpath_respond(FastPath *self, PyObject *connection, PyObject *request, PyObject *seat);
extern PyType_Spec prefork_start_response_spec;
/* _fastpath_connection.c */
PyObject *prefork_fastpath_connect(FastPath *self, PyObject *const *arguments, Py_ssize_t count);
PyObject *prefork_fastpath_ear(FastPath *self, PyObject *connection);
int prefork_fastpath_rest(FastPath *self, PyObject *connection);
bool prefork_fastpath_may_hold_back(FastPath *self, PyObject *connection);
extern PyType_Spec prefork_ear_spec;
/* _fastpath_watch.c */
int prefork_fastpath_await_first(FastPath *self, PyObject *connection);
int prefork_fastpath_unwatch(FastPath *self, PyObject *connection);
int prefork_fastpath_tell_count(FastPath *self);
int prefork_fastpath_closed(FastPath *self, PyObject *connection);
/* _fastpath_socket.c */
PyObject *prefork_fastpath_accepted(FastPath *self, int fd, int family);
int prefork_fastpath_close(PyObject *accepted);
extern PyType_Spec prefork_accepted_spec;
/* _fastpath_accept.c */
PyObject *prefork_fastpath_taker(FastPath *self, PyObject *arguments);
extern PyType_Spec prefork_taker_spec;

#endif
