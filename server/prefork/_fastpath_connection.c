/* The life of a connection around its requests: how it is made, who is told that something came, what becomes of it after a response.
 * See `_fastpath.c`. */

#include "_fastpath.h"

/* After a response ----------------------------------------------------------------------------------------------- */

/* As Connection.settle and `_say_goodbye`, where the client has nothing more to say. */
static int
close_in_peace(FastPath *self, PyObject *connection)
{
    put(PLACE(PEEK(connection, CONNECTION_EXCHANGE), EXCHANGE_RESPONSE), Py_None);
    put(PLACE(connection, CONNECTION_BUSY), Py_False);
    put(PLACE(connection, CONNECTION_PHASE), self->parts[PHASE_CLOSED]);
    if (prefork_fastpath_unwatch(self, connection) < 0)
        return -1;
    PyObject *sock = PEEK(connection, CONNECTION_SOCK);
    if (Py_TYPE(sock) == self->accepted_type) {
        /* Not left to close(2): should there be something unread, it would send a reset, and drop what is held back. */
        if (self->held_back)
            shutdown(((Accepted *)sock)->fd, SHUT_WR);
        if (prefork_fastpath_close(sock) < 0)
            return -1;
    } else if (done_with(PyObject_CallMethodNoArgs(sock, self->names.close)) < 0)
        return -1;
    return prefork_fastpath_closed(self, connection);
}

/* Whether the connection ends in peace as soon as the present response is out. */
static bool
ends(FastPath *self, PyObject *connection)
{
    PyObject *receiver = PEEK(connection, CONNECTION_RECEIVER);
    return !IS_TRUE(PEEK(PEEK(connection, CONNECTION_EXCHANGE), EXCHANGE_RESPONSE), RESPONSE_KEEP_ALIVE)
           && PyBytes_GET_SIZE(PEEK(receiver, RECEIVER_PENDING)) == 0 && IS_TRUE(connection, CONNECTION_CLIENT_CLOSES)
           && PEEK(receiver, RECEIVER_EXPECTS) == self->parts[EXPECTS_IDLE] && PEEK(connection, CONNECTION_KEPT) == Py_None;
}

/* Whether the response may wait for the end of its connection, which follows at once: then both are one packet, and the client wakes up
 * once. Not where somebody else's code, or another thread, comes in between. */
bool
prefork_fastpath_may_hold_back(FastPath *self, PyObject *connection)
{
    PyObject *sock = PEEK(connection, CONNECTION_SOCK);
    return Py_TYPE(sock) == self->accepted_type && ((Accepted *)sock)->family != AF_UNIX && !self->pool && !self->has_own_log
           && ends(self, connection);
}

/* As Connection._rest_without_loop, and `settle` where that says no. */
int
prefork_fastpath_rest(FastPath *self, PyObject *connection)
{
    PyObject *exchange = PEEK(connection, CONNECTION_EXCHANGE), *receiver = PEEK(connection, CONNECTION_RECEIVER);
    put(PLACE(exchange, EXCHANGE_CONTEXT), Py_None);
    double deadline = (double)now_ns() * 1e-9 + self->keepalive_s;
    bool pending = PyBytes_GET_SIZE(PEEK(receiver, RECEIVER_PENDING)) != 0;
    bool keep_alive = IS_TRUE(PEEK(exchange, EXCHANGE_RESPONSE), RESPONSE_KEEP_ALIVE);
    if (ends(self, connection))
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
    PyObject *model = self->parts[MODEL], *sender, *receiver, *exchange, *handler;
    if (put_new(PLACE(connection, CONNECTION_SENDER), copy_of(PEEK(model, CONNECTION_SENDER))) < 0
        || put_new(PLACE(connection, CONNECTION_RECEIVER), copy_of(PEEK(model, CONNECTION_RECEIVER))) < 0
        || put_new(PLACE(connection, CONNECTION_EXCHANGE), copy_of(PEEK(model, CONNECTION_EXCHANGE))) < 0)
        return -1;
    sender = PEEK(connection, CONNECTION_SENDER);
    receiver = PEEK(connection, CONNECTION_RECEIVER);
    exchange = PEEK(connection, CONNECTION_EXCHANGE);
    put(PLACE(sender, SENDER_SOCK), sock);
    put(PLACE(receiver, RECEIVER_BASE), environ);
    if (put_new(PLACE(sender, SENDER_OUTBOX), copy_of(PEEK(sender, SENDER_OUTBOX))) < 0)
        return -1;
    put(PLACE(exchange, EXCHANGE_SOCK), sock);
    put(PLACE(exchange, EXCHANGE_RECEIVER), receiver);
    put(PLACE(exchange, EXCHANGE_SENDER), sender);
    handler = make_handler(self, PEEK(exchange, EXCHANGE_HANDLER), sender, peer);
    return put_new(PLACE(exchange, EXCHANGE_HANDLER), handler);
}

PyObject *
prefork_fastpath_connect(FastPath *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "connect() takes four arguments");
        return NULL;
    }
    PyObject *sock = arguments[0], *connection = copy_of(self->parts[MODEL]);
    PyObject *fd = Py_TYPE(sock) == self->accepted_type ? PyLong_FromLong(((Accepted *)sock)->fd)
                                                        : PyObject_CallMethodNoArgs(sock, self->names.fileno);
    if (connection == NULL || fd == NULL) {
        Py_XDECREF(connection);
        Py_XDECREF(fd);
        return NULL;
    }
    put(PLACE(connection, CONNECTION_SOCK), sock);
    put(PLACE(connection, CONNECTION_CORRECT), arguments[3]);
    double deadline = (double)now_ns() * 1e-9 + self->header_s;
    put_new(PLACE(connection, CONNECTION_FD), fd);
    put(PLACE(connection, CONNECTION_NUMBER), PEEK(self->parts[HOME], HOME_OPENED));
    if (put_new(PLACE(connection, CONNECTION_DEADLINE), PyFloat_FromDouble(deadline)) < 0
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
        result = prefork_fastpath_read(self, connection);
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

PyType_Spec prefork_ear_spec = {
    "prefork._fastpath.Ear",
    sizeof(Ear),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    ear_slots,
};

PyObject *
prefork_fastpath_ear(FastPath *self, PyObject *connection)
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
