/* From the call of the application to the last byte of its response: `WSGIRequestHandler.respond` and `end`, `Response.start_response` and
 * `_whole`, `Sender.pump`, as far as they concern an ordinary request. See `_fastpath.c`. */

#include "_fastpath.h"

/* The application ------------------------------------------------------------------------------------------------ */

/* Who may answer this step (see worker/takeover.py): whoever takes over has to find the request at its handler. */
static int
tell_claim(FastPath *self, PyObject *seat, PyObject *claim)
{
    PyObject *on_claim = PyObject_GetAttr(self->parts[HOME], self->names.on_claim);
    PyObject *number = PyObject_GetAttr(seat, self->names.number);
    int result = -1;
    if (on_claim == Py_None && number != NULL)
        result = 0;
    else if (on_claim != NULL && number != NULL) {
        PyObject *arguments[] = {number, claim};
        result = done_with(PyObject_Vectorcall(on_claim, arguments, 2, NULL));
    }
    Py_XDECREF(on_claim);
    Py_XDECREF(number);
    return result;
}

/* As WSGIRequestHandler.respond, up to the application's input. The Response (owned), or NULL with an exception. */
static PyObject *
begin_response(FastPath *self, PyObject *exchange, PyObject *request, PyObject *seat, PyObject *claim)
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
    double arrived_s = PyFloat_AsDouble(PEEK(exchange, EXCHANGE_ARRIVED));
    long long queued_ns = self->seat_api->begin(seat, PEEK(head, HEAD_LINE), client, arrived_s, 0);
    if (queued_ns < 0 || put_new(PLACE(handler, HANDLER_QUEUED_NS), PyLong_FromLongLong(queued_ns)) < 0
        || put_new(PLACE(handler, HANDLER_STARTED_NS), PyLong_FromLongLong(now_ns())) < 0)
        return NULL;
    put(PLACE(handler, HANDLER_REQUEST), request);
    put(PLACE(handler, HANDLER_ENVIRON), environ);
    if (claim != Py_None && tell_claim(self, seat, claim) < 0)
        return NULL;
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

PyType_Spec prefork_start_response_spec = {
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
    int flags = MSG_NOSIGNAL | (self->held_back ? MSG_MORE : 0);
    if (output->size <= COPY_BYTES)
        copy_pieces(output, self->copied);
    do {
        if (output->size <= COPY_BYTES)
            sent = send(fd, self->copied, output->size, flags);
        else {
            struct msghdr message = {.msg_iov = output->pieces, .msg_iovlen = PIECES};
            sent = sendmsg(fd, &message, flags);
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
    self->held_back = output.size <= COPY_BYTES && prefork_fastpath_may_hold_back(self, connection);
    Py_ssize_t sent = is_plain(self, sock)
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

/* As WSGIRequestHandler.log_end and log_request, where no subclass has its own. */
static int
tell_access_log(FastPath *self, PyObject *handler, PyObject *response)
{
    int64_t started_ns = PyLong_AsLongLong(PEEK(handler, HANDLER_STARTED_NS));
    if (put_new(PLACE(handler, HANDLER_DURATION_NS), PyLong_FromLongLong(now_ns() - started_ns)) < 0)
        return -1;
    PyObject *entry[] = {PEEK(handler, HANDLER_ENVIRON), PEEK(response, RESPONSE_STATUS), PEEK(response, RESPONSE_BODY_BYTES),
                         PEEK(handler, HANDLER_DURATION_NS), PEEK(handler, HANDLER_QUEUED_NS), PEEK(handler, HANDLER_BYTES_IN)};
    enum { ENTRIES = sizeof entry / sizeof *entry };
    /* Comparing keys of an environ may run the application's code. */
    for (int i = 0; i < ENTRIES; i++)
        Py_INCREF(entry[i]);
    int told = done_with(PyObject_Vectorcall(self->parts[ACCESS], entry, ENTRIES, NULL));
    for (int i = 0; i < ENTRIES; i++)
        Py_DECREF(entry[i]);
    if (told == 0)
        return 0;
    PyObject *report[] = {handler, take_exception(), self->names.handler_failed};
    int reported = done_with(PyObject_VectorcallMethod(self->names._report, report, 3, NULL));
    Py_DECREF(report[1]);
    return reported;
}

/* As WSGIRequestHandler.end for a response that went out whole, and the seat's part. */
static int
end_response(FastPath *self, PyObject *exchange, PyObject *request, PyObject *response, PyObject *seat)
{
    const Names *names = &self->names;
    PyObject *handler = PEEK(exchange, EXCHANGE_HANDLER), *body = PEEK(request, REQUEST_BODY);
    PyObject *bytes_in = body == Py_None ? Py_NewRef(names->zero) : PyObject_GetAttr(body, names->size);
    if (bytes_in == NULL)
        return -1;
    int result = 0;
    put(PLACE(handler, HANDLER_BYTES_IN), bytes_in);
    if (self->parts[ACCESS] != Py_None) {
        result = tell_access_log(self, handler, response);
    } else if (self->has_own_log) {
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
        self->seat_api->finish(seat, PyLong_AsLong(PEEK(response, RESPONSE_STATUS)),
                               PyLong_AsLongLong(PEEK(response, RESPONSE_BODY_BYTES)), PyLong_AsLongLong(bytes_in), 0);
    Py_DECREF(bytes_in);
    return result;
}

/* As Exchange._perform, where the socket is full. */
static int
suspend(FastPath *self, PyObject *exchange, PyObject *seat)
{
    if (put_new(PLACE(exchange, EXCHANGE_EXTENSION_NS), PyObject_CallMethodNoArgs(seat, self->names.suspend)) < 0)
        return -1;
    return put_new(PLACE(exchange, EXCHANGE_BEGAN_NS), PyObject_GetAttr(seat, self->names.began_ns));
}

/* The right to send, for good. -1 with an exception: somebody else has answered. */
static int
take_claim(FastPath *self, PyObject *claim)
{
    PyObject *taken = PyObject_CallMethodNoArgs(claim, self->names.take);
    if (taken == Py_False)
        PyErr_SetString(PyExc_ConnectionAbortedError, "the request took too long and has been answered");
    int result = taken == Py_True ? 0 : -1;
    Py_XDECREF(taken);
    return result;
}

/* The whole exchange, in its context. FAILED: with an exception. */
enum outcome
prefork_fastpath_respond(FastPath *self, PyObject *connection, PyObject *request, PyObject *seat)
{
    PyObject *exchange = PEEK(connection, CONNECTION_EXCHANGE);
    PyObject *claim = PEEK(PEEK(connection, CONNECTION_SENDER), SENDER_CLAIM);
    PyObject *response = begin_response(self, exchange, request, seat, claim);
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
        int sent = -1;
        if (claim == Py_None || take_claim(self, claim) == 0) {
            put(PLACE(response, RESPONSE_ITERABLE), self->names.nothing);
            sent = send_whole(self, connection, response, piece);
        }
        Py_DECREF(piece);
        if (sent > 0 && (claim == Py_None || done_with(PyObject_CallMethodNoArgs(claim, self->names.end)) == 0))
            outcome = end_response(self, exchange, request, response, seat) < 0 ? FAILED : COMPLETE;
        else
            outcome = sent != 0 || suspend(self, exchange, seat) < 0 ? FAILED : WAITING;
    }
    Py_DECREF(response);
    return outcome;
}
