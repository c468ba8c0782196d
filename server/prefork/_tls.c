/* The compiled twin of `worker.tls_records.RecordsInPython`: one record in, one response out.
 *
 * Owns: the ordinary case of `recv` and `send`, with the fields that they need. Runs in the worker, in the thread that has the
 * connection, under the GIL, which its system calls keep: they never wait. Must not know: OpenSSL, which only Python's own module calls.
 *
 * Python is the reference. Whatever is out of the ordinary - half a record, more than one, an answer of ours that waits, an error, a
 * full socket - goes on in the Python methods `_read_on`, `_send_much` and `_keep`, where every rule stands.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#define CHUNK_BYTES 65536 /* as in worker/tls_records.py */
#define COPIED_BYTES 4096 /* up to that, a copy is cheaper than a view */

static char received[65536]; /* written and read while the GIL is held */

static PyObject *write_name, *read_name, *pending_name, *read_on_name, *send_much_name, *keep_name, *record_bytes;

typedef struct {
    PyObject_HEAD
    PyObject *incoming, *outgoing, *decrypt, *encrypt, *unsent;
    int fd, owed;
    char early, ended;
} Records;

/* Small helpers -------------------------------------------------------------------------------------------------- */

/* 1: the object is empty, or its number 0; 0: it is not; -1: an exception is set. Takes the reference over. */
static int
is_nothing(PyObject *object)
{
    if (object == NULL)
        return -1;
    int is_true = PyObject_IsTrue(object);
    Py_DECREF(object);
    return is_true < 0 ? -1 : !is_true;
}

/* The field, for the time of a call: somebody else might replace it meanwhile. NULL with an exception. */
static PyObject *
held(PyObject *field)
{
    if (field == NULL)
        PyErr_SetString(PyExc_AttributeError, "not set");
    return Py_XNewRef(field);
}

static PyObject *
call_held(PyObject *field, PyObject *argument)
{
    PyObject *function = held(field);
    PyObject *result = function == NULL ? NULL : PyObject_CallOneArg(function, argument);
    Py_XDECREF(function);
    return result;
}

/* Of a MemoryBIO. */
static int
nothing_pending(PyObject *field)
{
    PyObject *memory = held(field);
    int nothing = memory == NULL ? -1 : is_nothing(PyObject_GetAttr(memory, pending_name));
    Py_XDECREF(memory);
    return nothing;
}

/* The exception that is set, as an object. */
static PyObject *
caught(void)
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

/* Python goes on behind `piece`, or with `error`. Takes the references over; either may be NULL. */
static PyObject *
read_on(Records *self, PyObject *piece, PyObject *error)
{
    PyObject *pieces = PyList_New(0), *result = NULL;
    if (pieces != NULL && (piece == NULL || !PyList_Append(pieces, piece))) {
        PyObject *arguments[] = {(PyObject *)self, pieces, error};
        result = PyObject_VectorcallMethod(read_on_name, arguments, error == NULL ? 2 : 3, NULL);
    }
    Py_XDECREF(pieces);
    Py_XDECREF(piece);
    Py_XDECREF(error);
    return result;
}

/* Gives `size` received bytes to OpenSSL. */
static int
put_in(Records *self, Py_ssize_t size)
{
    PyObject *data = size <= COPIED_BYTES ? PyBytes_FromStringAndSize(received, size)
                                          : PyMemoryView_FromMemory(received, size, PyBUF_READ);
    PyObject *memory = data == NULL ? NULL : held(self->incoming);
    PyObject *done = memory == NULL ? NULL : PyObject_CallMethodOneArg(memory, write_name, data);
    Py_XDECREF(memory);
    Py_XDECREF(data);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

PyDoc_STRVAR(recv_doc, "recv(size, /)\n--\n\nEverything that can be decrypted of what is there.");

static PyObject *
records_recv(Records *self, PyObject *argument)
{
    if (self->early) {
        self->early = false;
        return read_on(self, NULL, NULL);
    }
    size_t most = PyLong_AsSize_t(argument);
    if (most == (size_t)-1 && PyErr_Occurred())
        return NULL;
    if (most > sizeof received)
        most = sizeof received;
    ssize_t size;
    do
        size = recv(self->fd, received, most, 0);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (self->ended || !size)
        return PyBytes_FromStringAndSize(received, size);
    if (put_in(self, size) < 0)
        return NULL;
    PyObject *piece = call_held(self->decrypt, record_bytes);
    if (piece == NULL)
        return read_on(self, NULL, caught());
    int empty = is_nothing(Py_NewRef(piece));
    int all = empty ? 0 : nothing_pending(self->incoming);
    if (all > 0)
        all = nothing_pending(self->outgoing);
    if (all > 0)
        all = is_nothing(held(self->unsent));
    if (empty < 0 || all < 0) {
        Py_DECREF(piece);
        return NULL;
    }
    if (empty)
        Py_CLEAR(piece);
    return all ? piece : read_on(self, piece, NULL);
}

/* Sending -------------------------------------------------------------------------------------------------------- */

/* A socket that takes nothing has taken 0. */
static ssize_t
send_now(int fd, PyObject *records)
{
    ssize_t sent;
    do
        sent = send(fd, PyBytes_AS_STRING(records), (size_t)PyBytes_GET_SIZE(records), MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (sent < 0)
        PyErr_SetFromErrno(PyExc_OSError);
    return sent;
}

/* What OpenSSL has made of `data`, and whatever waited before it. NULL with an exception. */
static PyObject *
encrypted(Records *self, PyObject *data)
{
    PyObject *done = call_held(self->encrypt, data), *records = NULL;
    if (done == NULL)
        return NULL;
    Py_DECREF(done);
    PyObject *memory = held(self->outgoing);
    if (memory != NULL)
        records = PyObject_CallMethodNoArgs(memory, read_name);
    Py_XDECREF(memory);
    if (records != NULL && !PyBytes_CheckExact(records)) {
        PyErr_SetString(PyExc_TypeError, "a MemoryBIO gives bytes");
        Py_CLEAR(records);
    }
    return records;
}

PyDoc_STRVAR(send_doc, "send(data, /)\n--\n\nEncrypts and sends until the socket is full.");

static PyObject *
records_send(Records *self, PyObject *data)
{
    Py_ssize_t size = PyObject_Length(data);
    int nothing_waits = size < 0 ? -1 : is_nothing(held(self->unsent));
    if (nothing_waits < 0)
        return NULL;
    if (!nothing_waits || self->owed || !size || size > CHUNK_BYTES)
        return PyObject_CallMethodOneArg((PyObject *)self, send_much_name, data);
    PyObject *records = encrypted(self, data), *result = NULL;
    if (records == NULL)
        return NULL;
    ssize_t sent = send_now(self->fd, records);
    if (sent >= 0 && sent == PyBytes_GET_SIZE(records))
        result = PyLong_FromSsize_t(size);
    else if (sent >= 0) {
        PyObject *arguments[] = {(PyObject *)self, records, PyLong_FromSsize_t(sent), PyLong_FromSsize_t(size)};
        if (arguments[2] != NULL && arguments[3] != NULL)
            result = PyObject_VectorcallMethod(keep_name, arguments, 4, NULL);
        Py_XDECREF(arguments[2]);
        Py_XDECREF(arguments[3]);
    }
    Py_DECREF(records);
    return result;
}

/* The type ------------------------------------------------------------------------------------------------------- */

static int
records_clear(Records *self)
{
    Py_CLEAR(self->incoming);
    Py_CLEAR(self->outgoing);
    Py_CLEAR(self->decrypt);
    Py_CLEAR(self->encrypt);
    Py_CLEAR(self->unsent);
    return 0;
}

static int
records_traverse(Records *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->incoming);
    Py_VISIT(self->outgoing);
    Py_VISIT(self->decrypt);
    Py_VISIT(self->encrypt);
    Py_VISIT(self->unsent);
    return 0;
}

static void
records_dealloc(Records *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    records_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef records_members[] = {
    {"_incoming", T_OBJECT_EX, offsetof(Records, incoming), 0, NULL},
    {"_outgoing", T_OBJECT_EX, offsetof(Records, outgoing), 0, NULL},
    {"_decrypt", T_OBJECT_EX, offsetof(Records, decrypt), 0, NULL},
    {"_encrypt", T_OBJECT_EX, offsetof(Records, encrypt), 0, NULL},
    {"_unsent", T_OBJECT_EX, offsetof(Records, unsent), 0, NULL},
    {"_fd", T_INT, offsetof(Records, fd), 0, NULL},
    {"_owed", T_INT, offsetof(Records, owed), 0, NULL},
    {"_early", T_BOOL, offsetof(Records, early), 0, NULL},
    {"_ended", T_BOOL, offsetof(Records, ended), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef records_methods[] = {
    {"recv", (PyCFunction)records_recv, METH_O, recv_doc},
    {"send", (PyCFunction)records_send, METH_O, send_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot records_slots[] = {
    {Py_tp_dealloc, records_dealloc},
    {Py_tp_traverse, records_traverse},
    {Py_tp_clear, records_clear},
    {Py_tp_members, records_members},
    {Py_tp_methods, records_methods},
    {Py_tp_doc, "See worker/tls_records.py."},
    {0, NULL},
};

static PyType_Spec records_spec = {
    "prefork._tls.Records",
    sizeof(Records),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    records_slots,
};

static int
exec_module(PyObject *module)
{
    PyObject **names[] = {&write_name, &read_name, &pending_name, &read_on_name, &send_much_name, &keep_name};
    const char *texts[] = {"write", "read", "pending", "_read_on", "_send_much", "_keep"};
    for (int i = 0; i < 6; i++)
        if (*names[i] == NULL && (*names[i] = PyUnicode_InternFromString(texts[i])) == NULL)
            return -1;
    if (record_bytes == NULL && (record_bytes = PyLong_FromLong(16384)) == NULL) /* as in worker/tls_records.py */
        return -1;
    PyObject *type = PyType_FromModuleAndSpec(module, &records_spec, NULL);
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
    .m_name = "prefork._tls",
    .m_doc = "One record of TLS in, one response out.",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__tls(void)
{
    return PyModuleDef_Init(&definition);
}
