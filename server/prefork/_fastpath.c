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

#include "_fastpath.h"

static const struct {
    const char *owner, *name;
} field_names[FIELDS] = {
    {"connection", "_executor"}, {"connection", "_exchange"}, {"connection", "_receiver"}, {"connection", "_sender"},
    {"connection", "_sock"}, {"connection", "_fd"}, {"connection", "_correct"},
    {"connection", "_served"}, {"connection", "_number"}, {"connection", "_events"}, {"connection", "_client_closes"},
    {"connection", "_kept"}, {"connection", "phase"}, {"connection", "busy"}, {"connection", "deadline"}, {"connection", "bucket"},
    {"connection", "parked"},
    {"exchange", "_handler"}, {"exchange", "_context"}, {"exchange", "_request"}, {"exchange", "_ours"},
    {"exchange", "_arrived"}, {"exchange", "response"}, {"exchange", "broken"}, {"exchange", "_extension_ns"},
    {"exchange", "_began_ns"},
    {"exchange", "_sock"}, {"exchange", "_receiver"}, {"exchange", "_sender"},
    {"sender", "_sock"}, {"sender", "_outbox"}, {"sender", "claim"}, {"outbox", "empty"},
    {"handler", "client_address"}, {"handler", "_write_out"}, {"handler", "_started_ns"}, {"handler", "queued_ns"}, {"handler", "request"},
    {"handler", "environ"}, {"handler", "_response"}, {"handler", "bytes_in"}, {"handler", "duration_ns"},
    {"receiver", "expects"}, {"receiver", "pending"}, {"receiver", "_base"}, {"receiver", "_new_body"},
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
    {"home", "opened"}, {"home", "requests"}, {"home", "backlog"}, {"home", "overdue"}, {"home", "_members"}, {"home", "_arriving"},
    {"home", "on_count"}, {"home", "on_room"},
    {"loop", "now"}, {"loop", "behind_s"}, {"loop", "_callbacks"}, {"loop", "_wheel"}, {"wheel", "_buckets"},
};

/* What Python hands over, by the names of `worker.fastpath.Parts`. */
static const char *const part_names[PARTS] = {
    "home", "context", "loop", "epoll_fd", "executor", "static", "seat", "application", "watched", "gate", "stamp", "limits", "most_in_memory", "has_own_log", "access",
    "keepalive_s", "worth_asking_s", "never",
    "parse_head", "build_head", "current", "bytes_io", "socket", "body",
    "request", "response",
    "tick_s", "last_data_at", "header_s", "model", "handler_class",
    "pool", "respond", "completed", "suspended",
    "expects_idle", "phase_fresh", "phase_idle", "phase_application", "phase_closed", "read", "proceed", "gather_bytes", "last_lines",
};

PyDoc_STRVAR(read_doc,
"read(connection, /)\n--\n\n"
"As Connection.read, between two requests. Loop thread.");

PyDoc_STRVAR(connect_doc,
"connect(sock, peer, environ, correct, /)\n--\n\n"
"As Connection(home, sock, peer, environ, correct). Loop thread.");

PyDoc_STRVAR(perform_doc,
"perform(connection, seat, /)\n--\n\n"
"As Exchange.perform(RESPOND), for a thread of a pool that sits on `seat`.");

PyDoc_STRVAR(ear_doc,
"ear(connection, /)\n--\n\n"
"What the loop is to call for this connection.");

PyDoc_STRVAR(taker_doc,
"taker(fd, environ, trusts, correct, complete, /)\n--\n\n"
"What accepts from this listener and receives, as Acceptor wants it. The rest is what Reception has of it.");

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
        {&names->remote_port, "REMOTE_PORT"},
        {&names->prefork_peer, "prefork.peer"},
        {&names->empty, ""},
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
    self->pool = self->parts[POOL] == Py_True;
    self->has_own_log = self->parts[HAS_OWN_LOG] == Py_True;
    self->keepalive_s = PyFloat_AsDouble(self->parts[KEEPALIVE_S]);
    self->worth_asking_s = PyFloat_AsDouble(self->parts[WORTH_ASKING_S]);
    self->tick_s = PyFloat_AsDouble(self->parts[TICK_S]);
    self->header_s = PyFloat_AsDouble(self->parts[HEADER_S]);
    self->last_data_at = (socklen_t)PyLong_AsLong(self->parts[LAST_DATA_AT]);
    self->most_in_memory = PyLong_AsSsize_t(self->parts[MOST_IN_MEMORY]);
    self->gather_bytes = PyLong_AsSsize_t(self->parts[GATHER_BYTES]);
    self->read = PyLong_AsLong(self->parts[READ]);
    self->epoll_fd = (int)PyLong_AsLong(self->parts[EPOLL_FD]);
    self->seat_api = PyCapsule_Import(SEAT_API_NAME, 0);
    if (self->seat_api != NULL && !self->pool && !Py_IS_TYPE(self->parts[SEAT], self->seat_api->type))
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
    self->received = PyMem_RawMalloc(RECV_BYTES + COPY_BYTES);
    if (self->received == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->copied = self->received + RECV_BYTES;
    PyObject *connection = PyDict_GetItemString(classes, "connection");
    if (take_parts(self, parts) < 0 || find_offsets(self, classes) < 0 || make_names(&self->names) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->connection_type = (PyTypeObject *)Py_NewRef(connection);
    self->start_response_type = (PyTypeObject *)PyType_FromSpec(&prefork_start_response_spec);
    self->ear_type = (PyTypeObject *)PyType_FromSpec(&prefork_ear_spec);
    self->accepted_type = (PyTypeObject *)PyType_FromSpec(&prefork_accepted_spec);
    self->taker_type = (PyTypeObject *)PyType_FromSpec(&prefork_taker_spec);
    if (!self->start_response_type || !self->ear_type || !self->accepted_type || !self->taker_type) {
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
    Py_VISIT(self->accepted_type);
    Py_VISIT(self->taker_type);
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
    Py_CLEAR(self->accepted_type);
    Py_CLEAR(self->taker_type);
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
    PyMem_RawFree(self->received);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef fastpath_methods[] = {
    {"read", (PyCFunction)prefork_fastpath_read, METH_O, read_doc},
    {"perform", (PyCFunction)(void (*)(void))prefork_fastpath_perform, METH_FASTCALL, perform_doc},
    {"ear", (PyCFunction)prefork_fastpath_ear, METH_O, ear_doc},
    {"connect", (PyCFunction)(void (*)(void))prefork_fastpath_connect, METH_FASTCALL, connect_doc},
    {"taker", (PyCFunction)prefork_fastpath_taker, METH_VARARGS, taker_doc},
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
