/* From the queue of a listener to a connection that reads: `Listener.accept`, `Reception.receive` where nothing comes before HTTP, and
 * `Connections.open`. See `_fastpath.c`. */

#include "_fastpath.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <sys/un.h>
#include <unistd.h>

/* Who has come ------------------------------------------------------------------------------------------------------ */

typedef union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    struct sockaddr_un local;
    struct sockaddr_storage room;
} Address;

/* What accept(2) gave, as Python has it, and the same as text. */
typedef struct {
    PyObject *peer;              /* owned */
    PyObject *host, *port, *text; /* owned; of the first two neither: it has no address */
} Peer;

static void
forget_peer(Peer *peer)
{
    Py_CLEAR(peer->peer);
    Py_CLEAR(peer->host);
    Py_CLEAR(peer->port);
    Py_CLEAR(peer->text);
}

static char *
write_number(char *to, unsigned number)
{
    char digits[10];
    int count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *to++ = digits[--count];
    return to;
}

static PyObject *
ascii(const char *from, const char *to)
{
    PyObject *made = PyUnicode_New(to - from, 127);
    if (made != NULL)
        memcpy(PyUnicode_1BYTE_DATA(made), from, (size_t)(to - from));
    return made;
}

/* `text` is "host:port" or "[host]:port". */
static void
set_texts(Peer *peer, const char *text, const char *host, const char *end_of_host, const char *port, const char *end)
{
    peer->text = ascii(text, end);
    peer->host = ascii(host, end_of_host);
    peer->port = ascii(port, end);
}

static void
peer_of_ipv4(Peer *peer, const struct sockaddr_in *address)
{
    char text[32], *end = text;
    const unsigned char *bytes = (const unsigned char *)&address->sin_addr;
    for (int i = 0; i < 4; i++) {
        end = write_number(end, bytes[i]);
        *end++ = '.';
    }
    char *end_of_host = end - 1;
    unsigned port = ntohs(address->sin_port);
    *end_of_host = ':';
    end = write_number(end, port);
    set_texts(peer, text, text, end_of_host, end_of_host + 1, end);
    PyObject *number = PyLong_FromLong((long)port);
    if (peer->host != NULL && number != NULL)
        peer->peer = PyTuple_Pack(2, peer->host, number);
    Py_XDECREF(number);
}

static void
peer_of_ipv6(Peer *peer, const struct sockaddr_in6 *address)
{
    char text[INET6_ADDRSTRLEN + 16], *end;
    unsigned port = ntohs(address->sin6_port);
    text[0] = '[';
    if (inet_ntop(AF_INET6, &address->sin6_addr, text + 1, INET6_ADDRSTRLEN) == NULL) {
        PyErr_SetFromErrno(PyExc_OSError);
        return;
    }
    char *end_of_host = end = text + strlen(text);
    *end++ = ']';
    *end++ = ':';
    char *begin_of_port = end;
    end = write_number(end, port);
    set_texts(peer, text, text + 1, end_of_host, begin_of_port, end);
    if (peer->host != NULL)
        peer->peer = Py_BuildValue("OIII", peer->host, port, (unsigned)ntohl(address->sin6_flowinfo), (unsigned)address->sin6_scope_id);
}

static void
peer_of_unix(Peer *peer, const struct sockaddr_un *address, socklen_t size)
{
    Py_ssize_t length = (Py_ssize_t)size - (Py_ssize_t)offsetof(struct sockaddr_un, sun_path);
    peer->text = PyUnicode_FromString("unix");
    /* Names in the abstract namespace (unix(7)) are bytes for Python. */
    peer->peer = length > 0 && !address->sun_path[0] ? PyBytes_FromStringAndSize(address->sun_path, length)
                                                     : PyUnicode_DecodeFSDefault(address->sun_path);
}

/* -1 with an exception. */
static int
find_peer(Peer *peer, const Address *address, socklen_t size)
{
    *peer = (Peer){NULL, NULL, NULL, NULL};
    if (address->any.sa_family == AF_INET)
        peer_of_ipv4(peer, &address->four);
    else if (address->any.sa_family == AF_INET6)
        peer_of_ipv6(peer, &address->six);
    else
        peer_of_unix(peer, &address->local, size);
    if (peer->peer != NULL && peer->text != NULL && (address->any.sa_family == AF_UNIX || (peer->host != NULL && peer->port != NULL)))
        return 0;
    forget_peer(peer);
    return -1;
}

/* As wsgi.environ.connection_environ. New reference; NULL with an exception. */
static PyObject *
environ_for(FastPath *self, PyObject *listener, const Peer *peer)
{
    const Names *names = &self->names;
    PyObject *environ = PyDict_Copy(listener);
    if (environ == NULL)
        return NULL;
    PyObject *host = peer->host == NULL ? names->empty : peer->host;
    if (PyDict_SetItem(environ, names->prefork_peer, peer->text) < 0 || PyDict_SetItem(environ, names->remote_addr, host) < 0
        || (peer->port != NULL && PyDict_SetItem(environ, names->remote_port, peer->port) < 0))
        Py_CLEAR(environ);
    return environ;
}

/* One listener ------------------------------------------------------------------------------------------------------ */

/* Accepts and receives one, as `Acceptor` wants it. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    FastPath *path;
    int fd;
    PyObject *environ, *trusts, *correct, *complete;
} Taker;

/* As Connections._new and Connection.start. -1 with an exception. */
static int
open_connection(FastPath *self, PyObject *sock, PyObject *peer, PyObject *environ, PyObject *correct)
{
    PyObject *home = self->parts[HOME];
    if (self->parts[HANDLER_CLASS] != Py_None) { /* whose constructor may raise */
        PyObject *arguments[] = {home, sock, peer, environ, correct};
        return done_with(PyObject_VectorcallMethod(self->names.open, arguments, 5, NULL));
    }
    if (count_up(PLACE(home, HOME_OPENED)) < 0)
        return -1;
    PyObject *arguments[] = {sock, peer, environ, correct};
    PyObject *connection = prefork_fastpath_connect(self, arguments, 4);
    if (connection == NULL) {
        PyObject *report[] = {home, sock, take_exception()};
        int told = done_with(PyObject_VectorcallMethod(self->names._not_made, report, 3, NULL));
        Py_DECREF(report[2]);
        return told;
    }
    int result = PySet_Add(PEEK(home, HOME_MEMBERS), connection);
    if (!result)
        result = prefork_fastpath_tell_count(self);
    if (!result)
        result = done_with(prefork_fastpath_read(self, connection));
    if (!result && PEEK(connection, CONNECTION_PHASE) == self->parts[PHASE_FRESH])
        result = prefork_fastpath_await_first(self, connection);
    Py_DECREF(connection);
    return result;
}

/* As Reception.receive. -1 with an exception; the descriptor is somebody's in any case. */
static int
receive_one(Taker *me, int fd, const Address *address, socklen_t size)
{
    FastPath *self = me->path;
    PyObject *sock = prefork_fastpath_accepted(self, fd, address->any.sa_family);
    if (sock == NULL) {
        close(fd);
        return -1;
    }
    Peer peer;
    int result = -1;
    if (find_peer(&peer, address, size) == 0) {
        PyObject *correct = me->correct, *trusted = NULL;
        if (correct != Py_None) {
            trusted = PyObject_CallOneArg(me->trusts, peer.peer);
            if (trusted != Py_True)
                correct = me->complete;
        }
        PyObject *environ = correct != Py_None && PyErr_Occurred() ? NULL : environ_for(self, me->environ, &peer);
        if (environ != NULL)
            result = open_connection(self, sock, peer.peer, environ, correct);
        Py_XDECREF(environ);
        Py_XDECREF(trusted);
        forget_peer(&peer);
    }
    Py_DECREF(sock);
    return result;
}

static PyObject *
taker_call(PyObject *callable, PyObject *const *Py_UNUSED(arguments), size_t flags, PyObject *names)
{
    Taker *me = (Taker *)callable;
    Address address;
    int fd;
    if (PyVectorcall_NARGS(flags) != 0 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "it takes nothing");
        return NULL;
    }
    memset(&address, 0, sizeof address);
    socklen_t size;
    do {
        size = sizeof address;
        fd = accept4(me->fd, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && errno == EINTR && PyErr_CheckSignals() == 0);
    if (fd >= 0) {
        if (receive_one(me, fd, &address, size) < 0)
            return NULL;
        Py_RETURN_TRUE;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) /* another worker was faster */
        Py_RETURN_FALSE;
    if (!PyErr_Occurred())
        PyErr_SetFromErrno(PyExc_OSError);
    return NULL;
}

PyObject *
prefork_fastpath_taker(FastPath *self, PyObject *arguments)
{
    PyObject *environ, *trusts, *correct, *complete;
    int fd;
    if (!PyArg_ParseTuple(arguments, "iO!OOO:taker", &fd, &PyDict_Type, &environ, &trusts, &correct, &complete))
        return NULL;
    Taker *me = PyObject_GC_New(Taker, self->taker_type);
    if (me == NULL)
        return NULL;
    me->call = taker_call;
    me->path = (FastPath *)Py_NewRef(self);
    me->fd = fd;
    me->environ = Py_NewRef(environ);
    me->trusts = Py_NewRef(trusts);
    me->correct = Py_NewRef(correct);
    me->complete = Py_NewRef(complete);
    PyObject_GC_Track(me);
    return (PyObject *)me;
}

static int
taker_traverse(Taker *me, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(me));
    Py_VISIT(me->path);
    Py_VISIT(me->environ);
    Py_VISIT(me->trusts);
    Py_VISIT(me->correct);
    Py_VISIT(me->complete);
    return 0;
}

static void
taker_dealloc(Taker *me)
{
    PyTypeObject *type = Py_TYPE(me);
    PyObject_GC_UnTrack(me);
    Py_DECREF(me->path);
    Py_DECREF(me->environ);
    Py_DECREF(me->trusts);
    Py_DECREF(me->correct);
    Py_DECREF(me->complete);
    PyObject_GC_Del(me);
    Py_DECREF(type);
}

static PyMemberDef taker_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Taker, call), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot taker_slots[] = {
    {Py_tp_dealloc, taker_dealloc},
    {Py_tp_traverse, taker_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, taker_members},
    {0, NULL},
};

PyType_Spec prefork_taker_spec = {
    "prefork._fastpath.Taker",
    sizeof(Taker),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    taker_slots,
};
