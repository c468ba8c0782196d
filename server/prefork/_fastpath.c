/* The compiled twin of what `worker.connection`, `worker.exchange` and `wsgi.handler` do for an ordinary request.
 *
 * Owns: the order of the steps from the bytes of one request to the bytes of its response, nothing else. Runs in the worker, in the
 * loop thread that also runs the application (`threads = 1`); always under the GIL, which its system calls keep: they never wait.
 *
 * The Python methods are the reference, and every rule stands there. As soon as anything is out of the ordinary - half a head, a
 * body under way, a response that is no list of one piece with its length, a full socket, an error - the state is left exactly as
 * Python would have it at that point, and the Python method that goes on is called. So there is nothing here that refuses, frames,
 * times or logs, and nothing that is not also there. `worker/fastpath.py` says when it may be used at all.
 *
 * The objects are the Python side's own. Their fields are read and written where `__slots__` put them; the offsets are taken from
 * the classes when the worker starts, and a class that has none makes the worker do without this.
 */

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
    CONNECTION_RECV, CONNECTION_CORRECT, CONNECTION_SERVED, CONNECTION_NUMBER, CONNECTION_EVENTS, CONNECTION_CLIENT_CLOSES,
    CONNECTION_KEPT, CONNECTION_PHASE, CONNECTION_BUSY, CONNECTION_DEADLINE, CONNECTION_BUCKET, CONNECTION_PARKED,
    EXCHANGE_HANDLER, EXCHANGE_CONTEXT, EXCHANGE_REQUEST, EXCHANGE_OURS, EXCHANGE_ARRIVED, EXCHANGE_RESPONSE, EXCHANGE_BROKEN,
    EXCHANGE_EXTENSION_NS, EXCHANGE_BEGAN_NS,
    EXCHANGE_SOCK, EXCHANGE_RECEIVER, EXCHANGE_SENDER,
    SENDER_SOCK, SENDER_OUTBOX, OUTBOX_EMPTY, OUTBOX_PARTS,
    HANDLER_CLIENT_ADDRESS, HANDLER_WRITE_OUT, HANDLER_STARTED_NS, HANDLER_QUEUED_NS, HANDLER_REQUEST, HANDLER_ENVIRON, HANDLER_RESPONSE,
    HANDLER_BYTES_IN,
    RECEIVER_EXPECTS, RECEIVER_PENDING, RECEIVER_BASE,
    REQUEST_HEAD, REQUEST_ENVIRON, REQUEST_BODY, REQUEST_BEGUN,
    HEAD_LINE, HEAD_METHOD, HEAD_MINOR, HEAD_KEEP_ALIVE, HEAD_CONTENT_LENGTH, HEAD_CHUNKED,
    RESPONSE_MINOR, RESPONSE_KEEP_ALIVE, RESPONSE_HEAD_ONLY, RESPONSE_DONE, RESPONSE_HEAD_SENT, RESPONSE_STATUS, RESPONSE_BODY_BYTES,
    RESPONSE_HEAD, RESPONSE_ITERABLE, RESPONSE_UNREAD, RESPONSE_LATER, RESPONSE_ENDED,
    ANSWER_BLOCK, ANSWER_CONTENT_LENGTH, ANSWER_CLOSE, ANSWER_HAS_DATE, ANSWER_HAS_SERVER, ANSWER_STATUS,
    STAMP_BOTH, STAMP_CLOSING,
    GATE_INSIDE, GATE_DUE,
    FIELDS
};

static const struct {
    const char *owner, *name;
} field_names[FIELDS] = {
    {"connection", "_executor"}, {"connection", "_exchange"}, {"connection", "_receiver"}, {"connection", "_sender"},
    {"connection", "_sock"}, {"connection", "_fd"}, {"connection", "_recv"}, {"connection", "_correct"},
    {"connection", "_served"}, {"connection", "_number"}, {"connection", "_events"}, {"connection", "_client_closes"},
    {"connection", "_kept"}, {"connection", "phase"}, {"connection", "busy"}, {"connection", "deadline"}, {"connection", "bucket"},
    {"connection", "parked"},
    {"exchange", "_handler"}, {"exchange", "_context"}, {"exchange", "_request"}, {"exchange", "_ours"},
    {"exchange", "_arrived"}, {"exchange", "response"}, {"exchange", "broken"}, {"exchange", "_extension_ns"},
    {"exchange", "_began_ns"},
    {"exchange", "_sock"}, {"exchange", "_receiver"}, {"exchange", "_sender"},
    {"sender", "_sock"}, {"sender", "_outbox"}, {"outbox", "empty"}, {"outbox", "_parts"},
    {"handler", "client_address"}, {"handler", "_write_out"}, {"handler", "_started_ns"}, {"handler", "queued_ns"}, {"handler", "request"},
    {"handler", "environ"}, {"handler", "_response"}, {"handler", "bytes_in"},
    {"receiver", "expects"}, {"receiver", "pending"}, {"receiver", "_base"},
    {"request", "head"}, {"request", "environ"}, {"request", "body"}, {"request", "begun"},
    {"request_head", "line"}, {"request_head", "method"}, {"request_head", "minor"}, {"request_head", "keep_alive"},
    {"request_head", "content_length"}, {"request_head", "chunked"},
    {"response", "_minor"}, {"response", "keep_alive"}, {"response", "_head_only"}, {"response", "done"}, {"response", "head_sent"},
    {"response", "status"}, {"response", "body_bytes"}, {"response", "_head"},
    {"response", "_iterable"}, {"response", "unread"}, {"response", "later"}, {"response", "ended"},
    {"response_head", "block"}, {"response_head", "content_length"}, {"response_head", "close"},
    {"response_head", "has_date"}, {"response_head", "has_server"}, {"response_head", "status"},
    {"stamp", "both"}, {"stamp", "closing"},
    {"gate", "inside"}, {"gate", "_due"},
};

/* What Python hands over, by the names of `worker.fastpath.Parts`. */
enum {
    HOME, CONTEXT, LOOP, EXECUTOR, STATIC, SEAT, APPLICATION, WATCHED, GATE, STAMP, LIMITS, WRITES_LOG,
    KEEPALIVE_S, WORTH_ASKING_S, NEVER,
    PARSE_HEAD, BUILD_HEAD, CURRENT, BYTES_IO, SOCKET, BODY,
    REQUEST, RESPONSE,
    TICK_S, LAST_DATA_AT, HEADER_S, DEQUE, MODEL, HANDLER_CLASS,
    EXPECTS_IDLE, PHASE_IDLE, PHASE_APPLICATION, PHASE_CLOSED, READ, PROCEED, GATHER_BYTES, LAST_LINES,
    PARTS
};

static const char *const part_names[PARTS] = {
    "home", "context", "loop", "executor", "static", "seat", "application", "watched", "gate", "stamp", "limits", "writes_log",
    "keepalive_s", "worth_asking_s", "never",
    "parse_head", "build_head", "current", "bytes_io", "socket", "body",
    "request", "response",
    "tick_s", "last_data_at", "header_s", "deque", "model", "handler_class",
    "expects_idle", "phase_idle", "phase_application", "phase_closed", "read", "proceed", "gather_bytes", "last_lines",
};

#define NAMES(X)                                                                                                       \
    X(_feed) X(_end_of_input) X(_start) X(_run) X(_behind) X(close) X(settle) X(run) \
    X(suspend) X(add) X(raised) X(serves) X(as_input) X(size) X(_catch_up) X(log_end) X(wrapped) X(start_response)           \
    X(early_hints) X(write) X(on_event) X(write_through) X(fileno) X(recv) X(forget) X(closed)      \
    X(_forget_events) X(opened)                                                                                        \
    X(requests) X(keep_alive) X(backlog) X(now) X(behind_s) X(began_ns) X(send)

typedef struct {
#define X(name) PyObject *name;
    NAMES(X)
#undef X
    PyObject *path_info, *remote_addr, *wsgi_input, *wsgi_early_hints, *prefork_connection, *head;
    PyObject *nothing, *zero, *recv_bytes, *empty_line;
} Names;

typedef struct {
    PyObject_HEAD
    PyObject *parts[PARTS];
    Py_ssize_t offsets[FIELDS];
    PyTypeObject *connection_type, *start_response_type, *ear_type;
    Names names;
    const SeatApi *seat_api;
    PyObject *last_due; /* of the gate, when it was looked at last */
    double keepalive_s, worth_asking_s, tick_s, header_s;
    socklen_t last_data_at;
    Py_ssize_t gather_bytes;
    long read;
    bool writes_log, has_gate;
    char received[RECV_BYTES];
    char copied[COPY_BYTES];
} FastPath;

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

static int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* As for a function that returns nothing: -1 with an exception. */
static int
done_with(PyObject *result)
{
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
}

static int
set_new(PyObject *object, PyObject *name, PyObject *value)
{
    if (value == NULL)
        return -1;
    int result = PyObject_SetAttr(object, name, value);
    Py_DECREF(value);
    return result;
}

static int
set_item_new(PyObject *dict, PyObject *key, PyObject *value)
{
    if (value == NULL)
        return -1;
    int result = PyDict_SetItem(dict, key, value);
    Py_DECREF(value);
    return result;
}

/* The exception that is set, as an object; it is set no more. New reference. */
static PyObject *
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

/* Receiving ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const char *start;
    Py_ssize_t size;
    PyObject *data; /* owned; NULL until somebody wants an object */
} Input;

/* 1: something came, or the end; 0: nothing; -1: an exception is set. */
static int
receive(FastPath *self, PyObject *connection, Input *input)
{
    if (Py_TYPE(PEEK(connection, CONNECTION_SOCK)) == (PyTypeObject *)self->parts[SOCKET]) {
        int fd = (int)PyLong_AsLong(PEEK(connection, CONNECTION_FD));
        do
            input->size = recv(fd, self->received, RECV_BYTES, 0);
        while (input->size < 0 && errno == EINTR);
        input->start = self->received;
        if (input->size >= 0)
            return 1;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return 0;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    PyObject *data = PyObject_CallOneArg(PEEK(connection, CONNECTION_RECV), self->names.recv_bytes);
    if (data == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_BlockingIOError))
            return -1;
        PyErr_Clear();
        return 0;
    }
    if (!PyBytes_CheckExact(data)) {
        Py_DECREF(data);
        PyErr_SetString(PyExc_TypeError, "recv() must give bytes");
        return -1;
    }
    *input = (Input){PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), data};
    return 1;
}

/* Borrowed; NULL with an exception. */
static PyObject *
data_of(Input *input)
{
    if (input->data == NULL)
        input->data = PyBytes_FromStringAndSize(input->start, input->size);
    return input->data;
}

/* Where the head ends: the offset of its last CRLF CRLF; -1: it is not here, or begins with an empty line. */
static Py_ssize_t
end_of_head(const Input *input)
{
    const char *end = memmem(input->start, (size_t)input->size, "\r\n\r\n", 4);
    return end == NULL || end == input->start || input->start[0] == '\r' ? -1 : end - input->start;
}

/* What came is `_feed`'s. None, or NULL with an exception. */
static PyObject *
feed(FastPath *self, PyObject *connection, Input *input)
{
    PyObject *data = data_of(input);
    return data == NULL ? NULL : PyObject_CallMethodOneArg(connection, self->names._feed, data);
}

/* What stands behind the head is for the receiver. The request, or None: everything has been done. NULL with an exception. */
static PyObject *
read_behind(FastPath *self, PyObject *connection, PyObject *head, PyObject *environ, Input *input, Py_ssize_t at)
{
    PyObject *data = data_of(input), *place = data == NULL ? NULL : PyLong_FromSsize_t(at);
    if (place == NULL)
        return NULL;
    PyObject *arguments[] = {connection, head, environ, data, place};
    PyObject *request = PyObject_VectorcallMethod(self->names._behind, arguments, 5, NULL);
    Py_DECREF(place);
    return request;
}

/* The request that `input` completes, or None: everything has been done. NULL with an exception. */
static PyObject *
read_request(FastPath *self, PyObject *connection, Input *input)
{
    PyObject *receiver = PEEK(connection, CONNECTION_RECEIVER);
    Py_ssize_t end = -1;
    if (PEEK(receiver, RECEIVER_EXPECTS) == self->parts[EXPECTS_IDLE] && PyBytes_GET_SIZE(PEEK(receiver, RECEIVER_PENDING)) == 0)
        end = end_of_head(input);
    if (end < 0)
        return feed(self, connection, input);
    PyObject *environ = PyDict_Copy(PEEK(receiver, RECEIVER_BASE));
    PyObject *block = PyBytes_FromStringAndSize(input->start, end);
    PyObject *head = NULL, *request = NULL;
    if (environ != NULL && block != NULL) {
        PyObject *arguments[] = {block, self->parts[LIMITS], environ};
        head = PyObject_Vectorcall(self->parts[PARSE_HEAD], arguments, 3, NULL);
        if (head == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_Clear(); /* whoever reads it again finds the same, and knows what to do about it */
            request = feed(self, connection, input);
        }
    }
    if (head != NULL) {
        PyObject *length = PEEK(head, HEAD_CONTENT_LENGTH);
        bool bare = (length == Py_None || length == self->names.zero) && !IS_TRUE(head, HEAD_CHUNKED);
        if (bare && end + 4 == input->size) {
            PyObject *arguments[] = {head, environ};
            request = PyObject_Vectorcall(self->parts[REQUEST], arguments, 2, NULL);
        } else {
            Py_ssize_t at = end + 4;
            if (!bare && input->data == NULL) { /* only the body: one that is complete is then kept as it is */
                *input = (Input){input->start + at, input->size - at, NULL};
                at = 0;
            }
            request = read_behind(self, connection, head, environ, input, at);
        }
    }
    Py_XDECREF(head);
    Py_XDECREF(block);
    Py_XDECREF(environ);
    return request;
}

/* The request's turn --------------------------------------------------------------------------------------------- */

/* Whether the file server answers instead of the application; -1 with an exception. */
static int
is_static(FastPath *self, PyObject *request)
{
    if (self->parts[STATIC] == Py_None)
        return 0;
    PyObject *path = PyDict_GetItemWithError(PEEK(request, REQUEST_ENVIRON), self->names.path_info);
    PyObject *serves = path == NULL ? NULL : PyObject_CallMethodOneArg(self->parts[STATIC], self->names.serves, path);
    int ours = serves == NULL ? -1 : PyObject_IsTrue(serves);
    Py_XDECREF(serves);
    return ours;
}

/* Seconds since the last bytes of this client arrived, as net.tcp_info has it. */
static double
last_data_received_s(FastPath *self, PyObject *connection)
{
    char info[256];
    socklen_t size = self->last_data_at + 4;
    uint32_t milliseconds;
    if (size > sizeof info
        || getsockopt((int)PyLong_AsLong(PEEK(connection, CONNECTION_FD)), IPPROTO_TCP, TCP_INFO, info, &size) < 0
        || size < self->last_data_at + 4)
        return 0.0;
    memcpy(&milliseconds, info + self->last_data_at, 4);
    return milliseconds / 1000.0;
}

/* As Exchange.take for the application's: since when the request has waited. New reference; NULL with an exception. */
static PyObject *
take(FastPath *self, PyObject *connection, bool first)
{
    PyObject *exchange = PEEK(connection, CONNECTION_EXCHANGE);
    PyObject *now = PyObject_GetAttr(self->parts[LOOP], self->names.now);
    PyObject *behind = PyObject_GetAttr(self->parts[LOOP], self->names.behind_s);
    PyObject *backlog = PyObject_GetAttr(self->parts[HOME], self->names.backlog);
    if (now != NULL && behind != NULL && backlog != NULL
        && (PyFloat_AsDouble(behind) >= self->worth_asking_s || (first && backlog != Py_False))) {
        double waited_s = last_data_received_s(self, connection), arrived_s = (double)now_ns() * 1e-9 - waited_s;
        if (first) /* those behind this one in the queue of the listener have waited less */
            PyObject_SetAttr(self->parts[HOME], self->names.backlog,
                             waited_s > self->tick_s && arrived_s < PyFloat_AsDouble(now) ? Py_True : Py_False);
        if (waited_s > self->tick_s && arrived_s < PyFloat_AsDouble(now))
            put_new(&now, PyFloat_FromDouble(arrived_s));
    }
    Py_XDECREF(behind);
    Py_XDECREF(backlog);
    if (PyErr_Occurred())
        Py_CLEAR(now);
    if (now == NULL)
        return NULL;
    put(PLACE(exchange, EXCHANGE_OURS), Py_None);
    put(PLACE(exchange, EXCHANGE_ARRIVED), now);
    return now;
}

/* One more, of an attribute that holds a number. */
static int
count(PyObject *object, PyObject *name)
{
    PyObject *number = PyObject_GetAttr(object, name);
    if (number == NULL)
        return -1;
    long long value = PyLong_AsLongLong(number);
    Py_DECREF(number);
    return set_new(object, name, PyLong_FromLongLong(value + 1));
}

/* As Connection._start, up to the point at which the request is taken. */
static int
note_request(FastPath *self, PyObject *connection, PyObject *request, long *served)
{
    PyObject *environ = PEEK(request, REQUEST_ENVIRON), *correct = PEEK(connection, CONNECTION_CORRECT);
    if (count(self->parts[HOME], self->names.requests) < 0)
        return -1;
    put(PLACE(connection, CONNECTION_CLIENT_CLOSES), IS_TRUE(PEEK(request, REQUEST_HEAD), HEAD_KEEP_ALIVE) ? Py_False : Py_True);
    if (correct != Py_None && done_with(PyObject_CallOneArg(correct, environ)) < 0)
        return -1;
    *served = PyLong_AsLong(PEEK(connection, CONNECTION_SERVED)) + 1;
    if (put_new(PLACE(connection, CONNECTION_SERVED), PyLong_FromLong(*served)) < 0)
        return -1;
    PyObject *place = PyTuple_Pack(2, PEEK(connection, CONNECTION_NUMBER), PEEK(connection, CONNECTION_SERVED));
    return set_item_new(environ, self->names.prefork_connection, place);
}

/* The application ------------------------------------------------------------------------------------------------ */

/* As WSGIRequestHandler.respond, up to the application's input. The Response (owned), or NULL with an exception. */
static PyObject *
begin_response(FastPath *self, PyObject *exchange, PyObject *request, PyObject *arrived)
{
    const Names *names = &self->names;
    PyObject *handler = PEEK(exchange, EXCHANGE_HANDLER), *head = PEEK(request, REQUEST_HEAD);
    PyObject *environ = PEEK(request, REQUEST_ENVIRON);
    PyObject *client = PyDict_GetItemWithError(environ, names->remote_addr);
    if (client == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetObject(PyExc_KeyError, names->remote_addr);
        return NULL;
    }
    long long queued_ns =
        self->seat_api->begin(self->parts[SEAT], PEEK(head, HEAD_LINE), client, PyFloat_AsDouble(arrived), 0);
    if (queued_ns < 0 || put_new(PLACE(handler, HANDLER_QUEUED_NS), PyLong_FromLongLong(queued_ns)) < 0
        || put_new(PLACE(handler, HANDLER_STARTED_NS), PyLong_FromLongLong(now_ns())) < 0)
        return NULL;
    put(PLACE(handler, HANDLER_REQUEST), request);
    put(PLACE(handler, HANDLER_ENVIRON), environ);
    PyObject *keep_alive = PyObject_GetAttr(self->parts[HOME], names->keep_alive);
    if (keep_alive == NULL)
        return NULL;
    bool stays = keep_alive == Py_True && IS_TRUE(head, HEAD_KEEP_ALIVE);
    Py_DECREF(keep_alive);
    bool is_head = PyUnicode_Compare(PEEK(head, HEAD_METHOD), names->head) == 0;
    PyObject *arguments[] = {self->parts[STAMP], PEEK(handler, HANDLER_WRITE_OUT), PEEK(head, HEAD_MINOR),
                             is_head ? Py_True : Py_False, stays ? Py_True : Py_False};
    PyObject *response = PyObject_Vectorcall(self->parts[RESPONSE], arguments, 5, NULL);
    if (response == NULL)
        return NULL;
    put(PLACE(exchange, EXCHANGE_RESPONSE), response);
    put(PLACE(handler, HANDLER_RESPONSE), response);
    if (done_with(PyContextVar_Set(self->parts[CURRENT], response)) < 0
        || set_item_new(environ, names->wsgi_early_hints, PyObject_GetAttr(response, names->early_hints)) < 0)
        Py_CLEAR(response);
    return response;
}

/* The application, with the gate open while it runs (see worker/interruption.py). NULL with an exception of its own, or the one
 * that was due.
 *
 * An interruption that comes too late finds the gate shut: handlers of signals run between byte codes, and there are none here. */
static PyObject *
call_application(FastPath *self, PyObject *environ, PyObject *start_response)
{
    PyObject *arguments[] = {environ, start_response};
    if (!self->has_gate)
        return PyObject_Vectorcall(self->parts[APPLICATION], arguments, 2, NULL);
    PyObject *gate = self->parts[GATE], *result = NULL;
    put(PLACE(gate, GATE_INSIDE), Py_True);
    int failed = 0;
    if (PEEK(gate, GATE_DUE) != self->last_due) {
        put(&self->last_due, PEEK(gate, GATE_DUE));
        failed = done_with(PyObject_CallMethodNoArgs(gate, self->names._catch_up));
    }
    if (!failed)
        result = PyObject_Vectorcall(self->parts[APPLICATION], arguments, 2, NULL);
    put(PLACE(gate, GATE_INSIDE), Py_False);
    return result;
}

/* What the application gets as `start_response`: Response.start_response, without a step of Python where that is called once, with a
 * status and a list. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    FastPath *path;
    PyObject *response;
} StartResponse;

static PyObject *
start_response_call(PyObject *callable, PyObject *const *arguments, size_t flags, PyObject *names)
{
    StartResponse *me = (StartResponse *)callable;
    FastPath *self = me->path;
    PyObject *response = me->response;
    if (PyVectorcall_NARGS(flags) != 2 || names != NULL || PEEK(response, RESPONSE_HEAD) != Py_None
        || IS_TRUE(response, RESPONSE_DONE)) {
        PyObject *method = PyObject_GetAttr(response, self->names.start_response);
        if (method == NULL)
            return NULL;
        PyObject *result = PyObject_Vectorcall(method, arguments, PyVectorcall_NARGS(flags), names);
        Py_DECREF(method);
        return result;
    }
    PyObject *head = PyObject_Vectorcall(self->parts[BUILD_HEAD], arguments, 2, NULL);
    if (head == NULL)
        return NULL;
    put(PLACE(response, RESPONSE_STATUS), PEEK(head, ANSWER_STATUS));
    put_new(PLACE(response, RESPONSE_HEAD), head);
    return PyObject_GetAttr(response, self->names.write);
}

static PyObject *
make_start_response(FastPath *self, PyObject *response)
{
    StartResponse *me = PyObject_GC_New(StartResponse, self->start_response_type);
    if (me == NULL)
        return NULL;
    me->call = start_response_call;
    me->path = (FastPath *)Py_NewRef(self);
    me->response = Py_NewRef(response);
    PyObject_GC_Track(me);
    return (PyObject *)me;
}

static int
start_response_traverse(StartResponse *me, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(me));
    Py_VISIT(me->path);
    Py_VISIT(me->response);
    return 0;
}

static void
start_response_dealloc(StartResponse *me)
{
    PyTypeObject *type = Py_TYPE(me);
    PyObject_GC_UnTrack(me);
    Py_DECREF(me->path);
    Py_DECREF(me->response);
    PyObject_GC_Del(me);
    Py_DECREF(type);
}

static PyMemberDef start_response_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(StartResponse, call), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot start_response_slots[] = {
    {Py_tp_dealloc, start_response_dealloc},
    {Py_tp_traverse, start_response_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, start_response_members},
    {0, NULL},
};

static PyType_Spec start_response_spec = {
    "prefork._fastpath.StartResponse",
    sizeof(StartResponse),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    start_response_slots,
};

/* `wsgi.input`, then the application. What it returned (owned), or NULL with an exception that is answered with a 500. */
static PyObject *
run_application(FastPath *self, PyObject *request, PyObject *response)
{
    PyObject *environ = PEEK(request, REQUEST_ENVIRON), *body = PEEK(request, REQUEST_BODY);
    PyObject *stream = body == Py_None ? PyObject_CallNoArgs(self->parts[BYTES_IO])
                                       : PyObject_CallMethodNoArgs(body, self->names.as_input);
    if (set_item_new(environ, self->names.wsgi_input, stream) < 0)
        return NULL;
    PyObject *start_response = make_start_response(self, response);
    if (start_response == NULL)
        return NULL;
    PyObject *result = call_application(self, environ, start_response);
    Py_DECREF(start_response);
    if (result == NULL || !self->has_gate || PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return result;
    PyObject *wrapped = PyObject_CallMethodOneArg(self->parts[WATCHED], self->names.wrapped, result);
    Py_DECREF(result);
    return wrapped;
}

/* The one piece of a body that goes out with its head, where nothing else is to be said (Response._whole); NULL: it is another
 * kind of response. Borrowed. */
static PyObject *
only_piece(FastPath *self, PyObject *connection, PyObject *response)
{
    PyObject *body = PEEK(response, RESPONSE_ITERABLE), *answer = PEEK(response, RESPONSE_HEAD);
    if (!(PyList_CheckExact(body) || PyTuple_CheckExact(body)) || PySequence_Fast_GET_SIZE(body) != 1 || answer == Py_None)
        return NULL;
    PyObject *piece = PySequence_Fast_GET_ITEM(body, 0), *declared = PEEK(answer, ANSWER_CONTENT_LENGTH);
    if (!PyBytes_CheckExact(piece) || declared == Py_None)
        return NULL;
    Py_ssize_t size = PyBytes_GET_SIZE(piece);
    long status = PyLong_AsLong(PEEK(answer, ANSWER_STATUS));
    int overflow;
    bool ordinary = size <= self->gather_bytes && PyLong_AsLongLongAndOverflow(declared, &overflow) == size
                    && PyLong_AsLong(PEEK(response, RESPONSE_MINOR)) && status != 204 && status != 304
                    && !IS_TRUE(response, RESPONSE_HEAD_ONLY) && !IS_TRUE(response, RESPONSE_HEAD_SENT)
                    && !IS_TRUE(response, RESPONSE_DONE) && PEEK(response, RESPONSE_UNREAD) == Py_None
                    && PEEK(response, RESPONSE_LATER) == Py_None && !IS_TRUE(answer, ANSWER_CLOSE)
                    && !IS_TRUE(answer, ANSWER_HAS_DATE) && !IS_TRUE(answer, ANSWER_HAS_SERVER)
                    && !IS_TRUE(self->parts[STAMP], STAMP_CLOSING)
                    && IS_TRUE(PEEK(PEEK(connection, CONNECTION_SENDER), SENDER_OUTBOX), OUTBOX_EMPTY);
    return ordinary ? piece : NULL;
}

/* Sending -------------------------------------------------------------------------------------------------------- */

enum { PIECES = 4 };

typedef struct {
    struct iovec pieces[PIECES];
    size_t size;
} Output;

static void
add_piece(Output *output, int index, PyObject *bytes)
{
    output->pieces[index] = (struct iovec){PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
    output->size += output->pieces[index].iov_len;
}

static void
copy_pieces(const Output *output, char *to)
{
    for (int i = 0; i < PIECES; i++) {
        memcpy(to, output->pieces[i].iov_base, output->pieces[i].iov_len);
        to += output->pieces[i].iov_len;
    }
}

/* All of it as an object. New reference. */
static PyObject *
joined(const Output *output)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)output->size);
    if (bytes != NULL)
        copy_pieces(output, PyBytes_AS_STRING(bytes));
    return bytes;
}

/* How many bytes the socket took; -1 with an exception. */
static Py_ssize_t
send_plainly(FastPath *self, int fd, Output *output)
{
    ssize_t sent;
    if (output->size <= COPY_BYTES)
        copy_pieces(output, self->copied);
    do {
        if (output->size <= COPY_BYTES)
            sent = send(fd, self->copied, output->size, MSG_NOSIGNAL);
        else {
            struct msghdr message = {.msg_iov = output->pieces, .msg_iovlen = PIECES};
            sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        }
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static Py_ssize_t
send_through(FastPath *self, PyObject *sock, Output *output)
{
    PyObject *bytes = joined(output);
    PyObject *sent = bytes == NULL ? NULL : PyObject_CallMethodOneArg(sock, self->names.send, bytes);
    Py_XDECREF(bytes);
    if (sent == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_BlockingIOError))
            return -1;
        PyErr_Clear();
        return 0;
    }
    Py_ssize_t count = PyLong_AsSsize_t(sent);
    Py_DECREF(sent);
    return count;
}

/* As Response._whole and Sender.pump. 1: all is out; 0: the rest is in the outbox; -1 with an exception. */
static int
send_whole(FastPath *self, PyObject *connection, PyObject *response, PyObject *piece)
{
    Output output = {.size = 0};
    add_piece(&output, 0, PEEK(PEEK(response, RESPONSE_HEAD), ANSWER_BLOCK));
    add_piece(&output, 1, PEEK(self->parts[STAMP], STAMP_BOTH));
    add_piece(&output, 2, IS_TRUE(response, RESPONSE_KEEP_ALIVE) ? self->names.empty_line : self->parts[LAST_LINES]);
    add_piece(&output, 3, piece);
    put(PLACE(response, RESPONSE_HEAD_SENT), Py_True);
    put(PLACE(response, RESPONSE_DONE), Py_True);
    if (put_new(PLACE(response, RESPONSE_BODY_BYTES), PyLong_FromSsize_t(PyBytes_GET_SIZE(piece))) < 0)
        return -1;
    PyObject *sock = PEEK(connection, CONNECTION_SOCK);
    Py_ssize_t sent = Py_TYPE(sock) == (PyTypeObject *)self->parts[SOCKET]
                          ? send_plainly(self, (int)PyLong_AsLong(PEEK(connection, CONNECTION_FD)), &output)
                          : send_through(self, sock, &output);
    if (sent < 0 || (size_t)sent == output.size)
        return sent < 0 ? -1 : 1;
    PyObject *all = joined(&output), *rest = NULL;
    if (all != NULL)
        rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(all) + sent, (Py_ssize_t)output.size - sent);
    Py_XDECREF(all);
    if (rest == NULL)
        return -1;
    PyObject *outbox = PEEK(PEEK(connection, CONNECTION_SENDER), SENDER_OUTBOX);
    int kept = done_with(PyObject_CallMethodOneArg(outbox, self->names.add, rest));
    Py_DECREF(rest);
    return kept;
}

/* The end of the exchange ---------------------------------------------------------------------------------------- */

/* As WSGIRequestHandler.end for a response that went out whole, and the seat's part. */
static int
end_response(FastPath *self, PyObject *exchange, PyObject *request, PyObject *response)
{
    const Names *names = &self->names;
    PyObject *handler = PEEK(exchange, EXCHANGE_HANDLER), *body = PEEK(request, REQUEST_BODY);
    PyObject *bytes_in = body == Py_None ? Py_NewRef(names->zero) : PyObject_GetAttr(body, names->size);
    if (bytes_in == NULL)
        return -1;
    int result = 0;
    put(PLACE(handler, HANDLER_BYTES_IN), bytes_in);
    if (self->writes_log) {
        PyObject *arguments[] = {handler, response};
        result = done_with(PyObject_VectorcallMethod(names->log_end, arguments, 2, NULL));
    }
    if (!result && body != Py_None)
        result = done_with(PyObject_CallMethodNoArgs(body, names->close));
    put(PLACE(response, RESPONSE_ENDED), Py_True);
    put(PLACE(handler, HANDLER_REQUEST), Py_None);
    put(PLACE(handler, HANDLER_RESPONSE), Py_None);
    if (!result)
        result = put_new(PLACE(handler, HANDLER_ENVIRON), PyDict_New());
    if (!result)
        self->seat_api->finish(self->parts[SEAT], PyLong_AsLong(PEEK(response, RESPONSE_STATUS)),
                               PyLong_AsLongLong(PEEK(response, RESPONSE_BODY_BYTES)), PyLong_AsLongLong(bytes_in), 0);
    Py_DECREF(bytes_in);
    return result;
}

/* As Exchange._perform, where the socket is full. */
static int
suspend(FastPath *self, PyObject *exchange)
{
    PyObject *seat = self->parts[SEAT];
    if (put_new(PLACE(exchange, EXCHANGE_EXTENSION_NS), PyObject_CallMethodNoArgs(seat, self->names.suspend)) < 0)
        return -1;
    return put_new(PLACE(exchange, EXCHANGE_BEGAN_NS), PyObject_GetAttr(seat, self->names.began_ns));
}

/* What has become of the exchange. */
enum outcome { FAILED = -1, COMPLETE, WAITING, PYTHON };

/* The whole exchange, in its context. FAILED: with an exception. */
static enum outcome
respond(FastPath *self, PyObject *connection, PyObject *request, PyObject *arrived)
{
    PyObject *exchange = PEEK(connection, CONNECTION_EXCHANGE);
    PyObject *response = begin_response(self, exchange, request, arrived);
    if (response == NULL)
        return FAILED;
    enum outcome outcome = PYTHON;
    PyObject *result = run_application(self, request, response), *piece = NULL;
    if (result != NULL) {
        put_new(PLACE(response, RESPONSE_ITERABLE), result);
        piece = only_piece(self, connection, response);
    } else {
        PyObject *error = take_exception();
        if (done_with(PyObject_CallMethodOneArg(exchange, self->names.raised, error)) < 0)
            outcome = FAILED;
        Py_DECREF(error);
    }
    if (piece != NULL) {
        Py_INCREF(piece);
        put(PLACE(response, RESPONSE_ITERABLE), self->names.nothing);
        int sent = send_whole(self, connection, response, piece);
        Py_DECREF(piece);
        if (sent > 0)
            outcome = end_response(self, exchange, request, response) < 0 ? FAILED : COMPLETE;
        else
            outcome = sent < 0 || suspend(self, exchange) < 0 ? FAILED : WAITING;
    }
    Py_DECREF(response);
    return outcome;
}

/* As Connection.settle and `_say_goodbye`, where the client has nothing more to say. */
static int
close_in_peace(FastPath *self, PyObject *connection)
{
    put(PLACE(PEEK(connection, CONNECTION_EXCHANGE), EXCHANGE_RESPONSE), Py_None);
    put(PLACE(connection, CONNECTION_BUSY), Py_False);
    put(PLACE(connection, CONNECTION_PHASE), self->parts[PHASE_CLOSED]);
    if (PyObject_IsTrue(PEEK(connection, CONNECTION_BUCKET))
        && done_with(PyObject_CallMethodOneArg(self->parts[LOOP], self->names.forget, connection)) < 0)
        return -1;
    if (PyLong_AsLong(PEEK(connection, CONNECTION_EVENTS))
        && done_with(PyObject_CallMethodNoArgs(connection, self->names._forget_events)) < 0)
        return -1;
    if (done_with(PyObject_CallMethodNoArgs(PEEK(connection, CONNECTION_SOCK), self->names.close)) < 0)
        return -1;
    return done_with(PyObject_CallMethodOneArg(self->parts[HOME], self->names.closed, connection));
}

/* As Connection._rest_without_loop, and `settle` where that says no. */
static int
rest(FastPath *self, PyObject *connection)
{
    PyObject *exchange = PEEK(connection, CONNECTION_EXCHANGE), *receiver = PEEK(connection, CONNECTION_RECEIVER);
    put(PLACE(exchange, EXCHANGE_CONTEXT), Py_None);
    double deadline = (double)now_ns() * 1e-9 + self->keepalive_s;
    bool pending = PyBytes_GET_SIZE(PEEK(receiver, RECEIVER_PENDING)) != 0;
    bool keep_alive = IS_TRUE(PEEK(exchange, EXCHANGE_RESPONSE), RESPONSE_KEEP_ALIVE);
    if (!keep_alive && !pending && IS_TRUE(connection, CONNECTION_CLIENT_CLOSES)
        && PEEK(receiver, RECEIVER_EXPECTS) == self->parts[EXPECTS_IDLE] && PEEK(connection, CONNECTION_KEPT) == Py_None)
        return close_in_peace(self, connection);
    bool stays = keep_alive && !pending
                 && PyLong_AsLong(PEEK(connection, CONNECTION_EVENTS)) == self->read
                 && PyFloat_AsDouble(PEEK(connection, CONNECTION_BUCKET)) <= deadline + 1
                 && !IS_TRUE(connection, CONNECTION_PARKED);
    if (!stays)
        return done_with(PyObject_CallMethodNoArgs(connection, self->names.settle));
    put(PLACE(exchange, EXCHANGE_RESPONSE), Py_None);
    put(PLACE(connection, CONNECTION_PHASE), self->parts[PHASE_IDLE]);
    put(PLACE(connection, CONNECTION_BUSY), Py_False);
    return put_new(PLACE(connection, CONNECTION_DEADLINE), PyFloat_FromDouble(deadline));
}

/* As Exchange.perform: the exchange in a context of its own, and what is left to do. */
static int
run_in_context(FastPath *self, PyObject *connection, PyObject *request, PyObject *arrived)
{
    PyObject *exchange = PEEK(connection, CONNECTION_EXCHANGE), *context = PyContext_CopyCurrent();
    if (context == NULL)
        return -1;
    put(PLACE(exchange, EXCHANGE_CONTEXT), context);
    if (PyContext_Enter(context) < 0) {
        Py_DECREF(context);
        return -1;
    }
    enum outcome outcome = respond(self, connection, request, arrived);
    if (outcome == FAILED)
        put_new(PLACE(exchange, EXCHANGE_BROKEN), take_exception());
    PyContext_Exit(context);
    Py_DECREF(context);
    if (outcome == COMPLETE)
        return rest(self, connection);
    if (outcome == WAITING)
        return done_with(PyObject_CallMethodNoArgs(connection, self->names.settle));
    PyObject *arguments[] = {self->parts[EXECUTOR], connection, self->parts[PROCEED]};
    return done_with(PyObject_VectorcallMethod(self->names.run, arguments, 3, NULL));
}

/* As Connection._start. */
static int
start(FastPath *self, PyObject *connection, PyObject *request)
{
    PyObject *body = PEEK(request, REQUEST_BODY);
    if (PEEK(request, REQUEST_BEGUN) != Py_None || (body != Py_None && Py_TYPE(body) != (PyTypeObject *)self->parts[BODY]))
        return done_with(PyObject_CallMethodOneArg(connection, self->names._start, request));
    long served = 0;
    if (note_request(self, connection, request, &served) < 0)
        return -1;
    PyObject *first = served == 1 ? Py_True : Py_False;
    int ours = is_static(self, request);
    if (ours) {
        PyObject *arguments[] = {connection, request, first};
        return ours < 0 ? -1 : done_with(PyObject_VectorcallMethod(self->names._run, arguments, 3, NULL));
    }
    PyObject *arrived = take(self, connection, served == 1);
    if (arrived == NULL)
        return -1;
    put(PLACE(connection, CONNECTION_EXECUTOR), self->parts[EXECUTOR]);
    put(PLACE(connection, CONNECTION_PHASE), self->parts[PHASE_APPLICATION]);
    put(PLACE(connection, CONNECTION_DEADLINE), self->parts[NEVER]);
    put(PLACE(connection, CONNECTION_BUSY), Py_True);
    int result = run_in_context(self, connection, request, arrived);
    Py_DECREF(arrived);
    return result;
}

PyDoc_STRVAR(read_doc,
"read(connection, /)\n--\n\n"
"As Connection.read, between two requests. Loop thread.");

static PyObject *
fastpath_read(FastPath *self, PyObject *connection)
{
    if (Py_TYPE(connection) != self->connection_type) {
        PyErr_SetString(PyExc_TypeError, "read() takes a Connection");
        return NULL;
    }
    Input input = {NULL, 0, NULL};
    int got = receive(self, connection, &input);
    if (got < 0) {
        if (!PyErr_ExceptionMatches(PyExc_OSError))
            return NULL;
        PyErr_Clear();
        return PyObject_CallMethodNoArgs(connection, self->names.close);
    }
    if (!got)
        Py_RETURN_NONE;
    if (!input.size) {
        Py_XDECREF(input.data);
        return PyObject_CallMethodNoArgs(connection, self->names._end_of_input);
    }
    PyObject *request = read_request(self, connection, &input);
    Py_XDECREF(input.data);
    if (request == NULL || request == Py_None)
        return request;
    int result = start(self, connection, request);
    Py_DECREF(request);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* New connections ------------------------------------------------------------------------------------------------- */

/* A new object with the same values in its slots: what the constructor of its class makes of nothing in particular. */
static PyObject *
copy_of(PyObject *model)
{
    PyTypeObject *type = Py_TYPE(model);
    PyObject *made = type->tp_alloc(type, 0);
    if (made == NULL)
        return NULL;
    for (Py_ssize_t at = sizeof(PyObject); at + (Py_ssize_t)sizeof(PyObject *) <= type->tp_basicsize; at += sizeof(PyObject *))
        *(PyObject **)((char *)made + at) = Py_XNewRef(*(PyObject **)((char *)model + at));
    return made;
}

/* As the constructor of the handler. */
static PyObject *
make_handler(FastPath *self, PyObject *model, PyObject *sender, PyObject *peer)
{
    PyObject *write_out = PyObject_GetAttr(sender, self->names.write_through), *handler = NULL;
    if (write_out == NULL)
        return NULL;
    if (self->parts[HANDLER_CLASS] != Py_None) { /* a subclass with a constructor, or a dictionary, of its own */
        PyObject *arguments[] = {self->parts[CONTEXT], peer, write_out};
        handler = PyObject_Vectorcall(self->parts[HANDLER_CLASS], arguments, 3, NULL);
    } else if ((handler = copy_of(model)) != NULL) {
        put(PLACE(handler, HANDLER_CLIENT_ADDRESS), peer);
        put(PLACE(handler, HANDLER_WRITE_OUT), write_out);
        if (put_new(PLACE(handler, HANDLER_ENVIRON), PyDict_New()) < 0)
            Py_CLEAR(handler);
    }
    Py_DECREF(write_out);
    return handler;
}

/* Sender and outbox, receiver, exchange and handler, as the constructor of the connection makes them. */
static int
furnish(FastPath *self, PyObject *connection, PyObject *sock, PyObject *peer, PyObject *environ)
{
    PyObject *model = self->parts[MODEL], *sender, *receiver, *exchange, *handler, *outbox;
    if (put_new(PLACE(connection, CONNECTION_SENDER), copy_of(PEEK(model, CONNECTION_SENDER))) < 0
        || put_new(PLACE(connection, CONNECTION_RECEIVER), copy_of(PEEK(model, CONNECTION_RECEIVER))) < 0
        || put_new(PLACE(connection, CONNECTION_EXCHANGE), copy_of(PEEK(model, CONNECTION_EXCHANGE))) < 0)
        return -1;
    sender = PEEK(connection, CONNECTION_SENDER);
    receiver = PEEK(connection, CONNECTION_RECEIVER);
    exchange = PEEK(connection, CONNECTION_EXCHANGE);
    put(PLACE(sender, SENDER_SOCK), sock);
    put(PLACE(receiver, RECEIVER_BASE), environ);
    outbox = copy_of(PEEK(sender, SENDER_OUTBOX));
    if (put_new(PLACE(sender, SENDER_OUTBOX), outbox) < 0
        || put_new(PLACE(outbox, OUTBOX_PARTS), PyObject_CallNoArgs(self->parts[DEQUE])) < 0)
        return -1;
    put(PLACE(exchange, EXCHANGE_SOCK), sock);
    put(PLACE(exchange, EXCHANGE_RECEIVER), receiver);
    put(PLACE(exchange, EXCHANGE_SENDER), sender);
    handler = make_handler(self, PEEK(exchange, EXCHANGE_HANDLER), sender, peer);
    return put_new(PLACE(exchange, EXCHANGE_HANDLER), handler);
}

PyDoc_STRVAR(connect_doc,
"connect(sock, peer, environ, correct, /)\n--\n\n"
"As Connection(home, sock, peer, environ, correct). Loop thread.");

static PyObject *
fastpath_connect(FastPath *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "connect() takes four arguments");
        return NULL;
    }
    PyObject *sock = arguments[0], *connection = copy_of(self->parts[MODEL]);
    if (connection == NULL)
        return NULL;
    put(PLACE(connection, CONNECTION_SOCK), sock);
    put(PLACE(connection, CONNECTION_CORRECT), arguments[3]);
    double deadline = (double)now_ns() * 1e-9 + self->header_s;
    if (put_new(PLACE(connection, CONNECTION_FD), PyObject_CallMethodNoArgs(sock, self->names.fileno)) < 0
        || put_new(PLACE(connection, CONNECTION_RECV), PyObject_GetAttr(sock, self->names.recv)) < 0
        || put_new(PLACE(connection, CONNECTION_NUMBER), PyObject_GetAttr(self->parts[HOME], self->names.opened)) < 0
        || put_new(PLACE(connection, CONNECTION_DEADLINE), PyFloat_FromDouble(deadline)) < 0
        || furnish(self, connection, sock, arguments[1], arguments[2]) < 0)
        Py_CLEAR(connection);
    return connection;
}

/* What epoll's news of one connection is told to: `read` between two requests, else Connection.on_event. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    FastPath *path;
    PyObject *connection;
} Ear;

static PyObject *
ear_call(PyObject *callable, PyObject *const *arguments, size_t flags, PyObject *names)
{
    Ear *me = (Ear *)callable;
    FastPath *self = me->path;
    if (PyVectorcall_NARGS(flags) != 1 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "it takes the events");
        return NULL;
    }
    /* The loop may drop this one meanwhile, and with it the connection. */
    PyObject *connection = Py_NewRef(me->connection), *result;
    if (!IS_TRUE(connection, CONNECTION_BUSY) && PEEK(connection, CONNECTION_PHASE) == self->parts[PHASE_IDLE])
        result = fastpath_read(self, connection);
    else
        result = PyObject_CallMethodOneArg(connection, self->names.on_event, arguments[0]);
    Py_DECREF(connection);
    return result;
}

static int
ear_traverse(Ear *me, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(me));
    Py_VISIT(me->path);
    Py_VISIT(me->connection);
    return 0;
}

static void
ear_dealloc(Ear *me)
{
    PyTypeObject *type = Py_TYPE(me);
    PyObject_GC_UnTrack(me);
    Py_DECREF(me->path);
    Py_DECREF(me->connection);
    PyObject_GC_Del(me);
    Py_DECREF(type);
}

static PyMemberDef ear_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Ear, call), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot ear_slots[] = {
    {Py_tp_dealloc, ear_dealloc},
    {Py_tp_traverse, ear_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, ear_members},
    {0, NULL},
};

static PyType_Spec ear_spec = {
    "prefork._fastpath.Ear",
    sizeof(Ear),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    ear_slots,
};

PyDoc_STRVAR(ear_doc,
"ear(connection, /)\n--\n\n"
"What the loop is to call for this connection.");

static PyObject *
fastpath_ear(FastPath *self, PyObject *connection)
{
    if (Py_TYPE(connection) != self->connection_type) {
        PyErr_SetString(PyExc_TypeError, "ear() takes a Connection");
        return NULL;
    }
    Ear *me = PyObject_GC_New(Ear, self->ear_type);
    if (me == NULL)
        return NULL;
    me->call = ear_call;
    me->path = (FastPath *)Py_NewRef(self);
    me->connection = Py_NewRef(connection);
    PyObject_GC_Track(me);
    return (PyObject *)me;
}

/* The type ------------------------------------------------------------------------------------------------------- */

static int
find_offsets(FastPath *self, PyObject *classes)
{
    for (int field = 0; field < FIELDS; field++) {
        PyObject *owner = PyDict_GetItemString(classes, field_names[field].owner);
        if (owner == NULL || !PyType_Check(owner)) {
            PyErr_Format(PyExc_TypeError, "no class for %s", field_names[field].owner);
            return -1;
        }
        PyObject *member = PyObject_GetAttrString(owner, field_names[field].name);
        if (member == NULL)
            return -1;
        bool is_slot = Py_IS_TYPE(member, &PyMemberDescr_Type) && ((PyMemberDescrObject *)member)->d_member->type == T_OBJECT_EX;
        if (is_slot)
            self->offsets[field] = ((PyMemberDescrObject *)member)->d_member->offset;
        Py_DECREF(member);
        if (!is_slot) {
            PyErr_Format(PyExc_TypeError, "%s.%s is no slot", field_names[field].owner, field_names[field].name);
            return -1;
        }
    }
    return 0;
}

static int
make_names(Names *names)
{
    const struct {
        PyObject **place;
        const char *text;
    } others[] = {
        {&names->path_info, "PATH_INFO"},
        {&names->remote_addr, "REMOTE_ADDR"},
        {&names->wsgi_input, "wsgi.input"},
        {&names->wsgi_early_hints, "wsgi.early_hints"},
        {&names->prefork_connection, "prefork.connection"},
        {&names->head, "HEAD"},
#define X(name) {&names->name, #name},
        NAMES(X)
#undef X
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if ((*others[i].place = PyUnicode_InternFromString(others[i].text)) == NULL)
            return -1;
    names->nothing = PyTuple_New(0);
    names->zero = PyLong_FromLong(0);
    names->recv_bytes = PyLong_FromLong(RECV_BYTES);
    names->empty_line = PyBytes_FromString("\r\n");
    return names->nothing && names->zero && names->recv_bytes && names->empty_line ? 0 : -1;
}

static int
take_parts(FastPath *self, PyObject *parts)
{
    for (int part = 0; part < PARTS; part++)
        if ((self->parts[part] = PyObject_GetAttrString(parts, part_names[part])) == NULL)
            return -1;
    self->has_gate = self->parts[GATE] != Py_None;
    self->writes_log = self->parts[WRITES_LOG] == Py_True;
    self->keepalive_s = PyFloat_AsDouble(self->parts[KEEPALIVE_S]);
    self->worth_asking_s = PyFloat_AsDouble(self->parts[WORTH_ASKING_S]);
    self->tick_s = PyFloat_AsDouble(self->parts[TICK_S]);
    self->header_s = PyFloat_AsDouble(self->parts[HEADER_S]);
    self->last_data_at = (socklen_t)PyLong_AsLong(self->parts[LAST_DATA_AT]);
    self->gather_bytes = PyLong_AsSsize_t(self->parts[GATHER_BYTES]);
    self->read = PyLong_AsLong(self->parts[READ]);
    self->seat_api = PyCapsule_Import(SEAT_API_NAME, 0);
    if (self->seat_api != NULL && !Py_IS_TYPE(self->parts[SEAT], self->seat_api->type))
        PyErr_SetString(PyExc_TypeError, "the seat is Python's");
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *
fastpath_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"parts", "classes", NULL};
    PyObject *parts, *classes;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO!:FastPath", names, &parts, &PyDict_Type, &classes))
        return NULL;
    FastPath *self = (FastPath *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    PyObject *connection = PyDict_GetItemString(classes, "connection");
    if (take_parts(self, parts) < 0 || find_offsets(self, classes) < 0 || make_names(&self->names) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->connection_type = (PyTypeObject *)Py_NewRef(connection);
    self->start_response_type = (PyTypeObject *)PyType_FromSpec(&start_response_spec);
    self->ear_type = (PyTypeObject *)PyType_FromSpec(&ear_spec);
    if (self->start_response_type == NULL || self->ear_type == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    self->last_due = Py_NewRef(Py_None);
    return (PyObject *)self;
}

static int
fastpath_traverse(FastPath *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->connection_type);
    Py_VISIT(self->start_response_type);
    Py_VISIT(self->ear_type);
    for (int part = 0; part < PARTS; part++)
        Py_VISIT(self->parts[part]);
    return 0;
}

static int
fastpath_clear(FastPath *self)
{
    for (int part = 0; part < PARTS; part++)
        Py_CLEAR(self->parts[part]);
    Py_CLEAR(self->connection_type);
    Py_CLEAR(self->start_response_type);
    Py_CLEAR(self->ear_type);
    return 0;
}

static void
fastpath_dealloc(FastPath *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    fastpath_clear(self);
    Py_CLEAR(self->last_due);
    PyObject **names = (PyObject **)&self->names;
    for (size_t i = 0; i < sizeof self->names / sizeof *names; i++)
        Py_CLEAR(names[i]);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef fastpath_methods[] = {
    {"read", (PyCFunction)fastpath_read, METH_O, read_doc},
    {"ear", (PyCFunction)fastpath_ear, METH_O, ear_doc},
    {"connect", (PyCFunction)(void (*)(void))fastpath_connect, METH_FASTCALL, connect_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot fastpath_slots[] = {
    {Py_tp_new, fastpath_new},
    {Py_tp_dealloc, fastpath_dealloc},
    {Py_tp_traverse, fastpath_traverse},
    {Py_tp_clear, fastpath_clear},
    {Py_tp_methods, fastpath_methods},
    {Py_tp_doc, "FastPath(parts, classes)\n--\n\nSee worker/fastpath.py."},
    {0, NULL},
};

static PyType_Spec fastpath_spec = {
    "prefork._fastpath.FastPath",
    sizeof(FastPath),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    fastpath_slots,
};

static int
exec_module(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &fastpath_spec, NULL);
    if (type == NULL)
        return -1;
    int added = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return added;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec_module},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "prefork._fastpath",
    .m_doc = "The ordinary request in one piece.",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__fastpath(void)
{
    return PyModuleDef_Init(&definition);
}
