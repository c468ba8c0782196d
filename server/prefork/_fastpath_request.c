/* From the bytes of a request to its turn: `Connection.read`, `RequestReceiver.feed`, `Connection._start` and `Exchange.perform`, as far
 * as they concern an ordinary request. See `_fastpath.c`. */

#include "_fastpath.h"

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
    PyObject *sock = PEEK(connection, CONNECTION_SOCK);
    if (is_plain(self, sock)) {
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
    PyObject *data = PyObject_CallMethodOneArg(sock, self->names.recv, self->names.recv_bytes);
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

/* As RequestReceiver._begin for a body that is all here and stays in memory. The request, or NULL with an exception. */
static PyObject *
request_with_body(FastPath *self, PyObject *receiver, PyObject *head, PyObject *environ, const char *start, Py_ssize_t size)
{
    PyObject *content = PyBytes_FromStringAndSize(start, size), *request = NULL;
    PyObject *body = content == NULL ? NULL : PyObject_CallNoArgs(PEEK(receiver, RECEIVER_NEW_BODY));
    if (body != NULL && done_with(PyObject_CallMethodOneArg(body, self->names.write, content)) == 0) {
        PyObject *arguments[] = {head, environ, body};
        request = PyObject_Vectorcall(self->parts[REQUEST], arguments, 3, NULL);
    }
    Py_XDECREF(body);
    Py_XDECREF(content);
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
        } else if (PyLong_CheckExact(length) && PyLong_AsSsize_t(length) == input->size - end - 4
                   && input->size - end - 4 <= self->most_in_memory && PEEK(receiver, RECEIVER_NEW_BODY) != Py_None) {
            request = request_with_body(self, receiver, head, environ, input->start + end + 4, input->size - end - 4);
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
    PyObject *exchange = PEEK(connection, CONNECTION_EXCHANGE), *home = self->parts[HOME], *loop = self->parts[LOOP];
    PyObject *now = Py_NewRef(PEEK(loop, LOOP_NOW));
    if (PyFloat_AsDouble(PEEK(loop, LOOP_BEHIND_S)) >= self->worth_asking_s || (first && PEEK(home, HOME_BACKLOG) != Py_False)) {
        double waited_s = last_data_received_s(self, connection), arrived_s = (double)now_ns() * 1e-9 - waited_s;
        bool waited = waited_s > self->tick_s && arrived_s < PyFloat_AsDouble(now);
        if (first) /* those behind this one in the queue of the listener have waited less */
            put(PLACE(home, HOME_BACKLOG), waited ? Py_True : Py_False);
        if (waited)
            put_new(&now, PyFloat_FromDouble(arrived_s));
    }
    if (PyErr_Occurred()) {
        Py_DECREF(now);
        return NULL;
    }
    put(PLACE(exchange, EXCHANGE_OURS), Py_None);
    put(PLACE(exchange, EXCHANGE_ARRIVED), now);
    return now;
}

/* As Connection._start, up to the point at which the request is taken. */
static int
note_request(FastPath *self, PyObject *connection, PyObject *request, long *served)
{
    PyObject *environ = PEEK(request, REQUEST_ENVIRON), *correct = PEEK(connection, CONNECTION_CORRECT);
    if (count_up(PLACE(self->parts[HOME], HOME_REQUESTS)) < 0)
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

/* As Exchange.perform: the exchange in a context of its own. FAILED only where that could not begin; an error of the exchange is left
 * for Python to raise. */
static enum outcome
run_in_context(FastPath *self, PyObject *connection, PyObject *request, PyObject *seat)
{
    PyObject *exchange = PEEK(connection, CONNECTION_EXCHANGE), *context = PyContext_CopyCurrent();
    if (context == NULL)
        return FAILED;
    put(PLACE(exchange, EXCHANGE_CONTEXT), context);
    if (PyContext_Enter(context) < 0) {
        Py_DECREF(context);
        return FAILED;
    }
    enum outcome outcome = prefork_fastpath_respond(self, connection, request, seat);
    if (outcome == FAILED) {
        put_new(PLACE(exchange, EXCHANGE_BROKEN), take_exception());
        outcome = PYTHON;
    }
    PyContext_Exit(context);
    Py_DECREF(context);
    return outcome;
}

/* Whether the request is one for `prefork_fastpath_respond`. */
static bool
is_ordinary(FastPath *self, PyObject *request)
{
    PyObject *body = PEEK(request, REQUEST_BODY);
    return PEEK(request, REQUEST_BEGUN) == Py_None && (body == Py_None || Py_IS_TYPE(body, (PyTypeObject *)self->parts[BODY]));
}

PyObject *
prefork_fastpath_perform(FastPath *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !Py_IS_TYPE(arguments[0], self->connection_type) || !Py_IS_TYPE(arguments[1], self->seat_api->type)) {
        PyErr_SetString(PyExc_TypeError, "perform() takes a Connection and a Seat");
        return NULL;
    }
    PyObject *connection = arguments[0], *exchange = PEEK(connection, CONNECTION_EXCHANGE);
    PyObject *request = PEEK(exchange, EXCHANGE_REQUEST);
    if (PEEK(exchange, EXCHANGE_OURS) != Py_None || request == Py_None || !is_ordinary(self, request))
        return PyObject_CallMethodOneArg(exchange, self->names.perform, self->parts[RESPOND]);
    Py_INCREF(request);
    put(PLACE(exchange, EXCHANGE_REQUEST), Py_None);
    enum outcome outcome = run_in_context(self, connection, request, arguments[1]);
    Py_DECREF(request);
    switch (outcome) {
    case COMPLETE:
        return Py_NewRef(self->parts[COMPLETED]);
    case WAITING:
        return Py_NewRef(self->parts[SUSPENDED]);
    case PYTHON:
        return PyObject_CallMethodOneArg(exchange, self->names.perform, self->parts[PROCEED]);
    default:
        return NULL;
    }
}

/* The exchange in the loop's thread, and what is left to do. */
static int
run_at_once(FastPath *self, PyObject *connection, PyObject *request)
{
    PyObject *arguments[] = {self->parts[EXECUTOR], connection, self->parts[PROCEED]};
    switch (run_in_context(self, connection, request, self->parts[SEAT])) {
    case COMPLETE:
        return prefork_fastpath_rest(self, connection);
    case WAITING:
        return done_with(PyObject_CallMethodNoArgs(connection, self->names.settle));
    case PYTHON:
        return done_with(PyObject_VectorcallMethod(self->names.run, arguments, 3, NULL));
    default:
        return -1;
    }
}

/* As Connection._start. */
static int
start(FastPath *self, PyObject *connection, PyObject *request)
{
    if (self->pool || !is_ordinary(self, request))
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
    int result = run_at_once(self, connection, request);
    Py_DECREF(arrived);
    return result;
}

PyObject *
prefork_fastpath_read(FastPath *self, PyObject *connection)
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
