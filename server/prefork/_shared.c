/* The compiled twins of `ipc.seat.Seat`, `ipc.scoreboard.ConnectionCounts` and `ipc.cells.Cells`: writing to memory that other
 * processes read.
 *
 * Owns: the stores and their order, nothing else. Runs in the worker, in any of its threads; always under the GIL, which makes each
 * method one step for the other threads of the process. The Python classes are the reference; the layout is theirs too: `LAYOUT`
 * says which one is compiled in here, and the Python side takes the twin only if it is the same.
 *
 * Other processes read at any moment, and this one may be killed at any moment. A step on the scoreboard is bracketed by its number, so
 * stores have an order: the first number before the rest, the rest before the last (__atomic, as the C11 memory model has them).
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "_seat.h"

/* The layout of a seat, in units of eight bytes; see ipc/seat.py and ipc/totals.py. */
enum {
    SEAT_BYTES = 2048,
    LINE_BYTES = 256,
    CLIENT_BYTES = 64,
    NUMBER_BEFORE = 0,
    BEGAN = 1,
    PROGRESS = 2,
    EXTENSION = 3,
    LINE = 4,
    CLIENT = LINE + LINE_BYTES / 8,
    NUMBER_AFTER = CLIENT + CLIENT_BYTES / 8,
    THREAD,
    WANTED,
    FINISHED,
    CLASSES, /* of status 1xx to 9xx */
    BYTES_IN = CLASSES + 9,
    BYTES_OUT,
    BUSY,
    EXCEPTIONS,
    SHED,
    QUEUED_SUM,
    DURATION,
};

/* Histograms, see ipc/histogram.py. */
enum { FIRST_OCTAVE = 15, LAST_OCTAVE = 36, BUCKETS = 4 * (LAST_OCTAVE - FIRST_OCTAVE + 1) };
enum { QUEUED = DURATION + BUCKETS, SEAT_END = QUEUED + BUCKETS };

_Static_assert(SEAT_END * 8 <= SEAT_BYTES, "the counters have room");

static unsigned
bucket(int64_t duration_ns)
{
    if (duration_ns <= (int64_t)6 << (FIRST_OCTAVE - 2))
        return 0;
    if (duration_ns > (int64_t)8 << (LAST_OCTAVE - 2))
        return BUCKETS - 1;
    uint64_t below = (uint64_t)duration_ns - 1;
    unsigned bits = 64 - (unsigned)__builtin_clzll(below);
    return 4 * bits + (unsigned)(below >> (bits - 3)) - (4 * FIRST_OCTAVE + 9);
}

static int64_t
now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Single writer: no other process stores here, no other thread runs meanwhile. */
static void
add(uint64_t *place, uint64_t amount)
{
    __atomic_store_n(place, *place + amount, __ATOMIC_RELAXED);
}

/* A writable view of another object's memory. */
static int
take_memory(PyObject *memory, Py_ssize_t at, Py_ssize_t size, Py_buffer *view)
{
    if (PyObject_GetBuffer(memory, view, PyBUF_WRITABLE) < 0)
        return -1;
    if (at < 0 || at > view->len || size > view->len - at || ((uintptr_t)view->buf + (size_t)at) % 8) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_ValueError, "no such place in the memory");
        return -1;
    }
    return 0;
}

static bool
has_arguments(const char *name, Py_ssize_t count, Py_ssize_t least, Py_ssize_t most)
{
    if (count >= least && count <= most)
        return true;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments (%zd given)", name, least, most, count);
    return false;
}

static bool
has_failed(int64_t number)
{
    return number == -1 && PyErr_Occurred();
}

/* Seat ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    Py_buffer memory;
    uint64_t *fields;
    long long began_ns;
    unsigned long long number;
} Seat;

static PyObject *
seat_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"memory", "at", NULL};
    PyObject *memory;
    Py_ssize_t at;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "On:Seat", names, &memory, &at))
        return NULL;
    Seat *self = (Seat *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (take_memory(memory, at, SEAT_BYTES, &self->memory) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->fields = (uint64_t *)((char *)self->memory.buf + at);
    return (PyObject *)self;
}

static void
seat_dealloc(Seat *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->memory); /* does nothing if there is none */
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
seat_sit(Seat *self, PyObject *thread)
{
    unsigned long long ident = PyLong_AsUnsignedLongLong(thread);
    if (ident == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    self->fields[THREAD] = ident;
    Py_RETURN_NONE;
}

static void
write_text(uint64_t *field, size_t room, const char *text, Py_ssize_t size)
{
    size_t length = (size_t)size < room ? (size_t)size : room;
    memcpy(field, text, length);
    memset((char *)field + length, 0, room - length);
}

static long long
begin_step(PyObject *seat, PyObject *line_text, PyObject *client_text, double arrived_s, unsigned long long extension_ns)
{
    Seat *self = (Seat *)seat;
    Py_ssize_t line_size, client_size;
    const char *line = PyUnicode_AsUTF8AndSize(line_text, &line_size);
    if (line == NULL)
        return -1;
    const char *client = PyUnicode_AsUTF8AndSize(client_text, &client_size);
    if (client == NULL)
        return -1;

    uint64_t *fields = self->fields;
    uint64_t number = ++self->number;
    int64_t now = self->began_ns = now_ns();
    __atomic_store_n(&fields[NUMBER_BEFORE], number, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    fields[BEGAN] = fields[PROGRESS] = (uint64_t)now;
    fields[EXTENSION] = extension_ns;
    write_text(&fields[LINE], LINE_BYTES, line, line_size);
    write_text(&fields[CLIENT], CLIENT_BYTES, client, client_size);
    __atomic_store_n(&fields[NUMBER_AFTER], number, __ATOMIC_RELEASE);
    if (!(arrived_s > 0.0))
        return 0;
    int64_t queued = arrived_s < 9e9 ? now - (int64_t)(arrived_s * 1e9) : 0;
    if (queued < 0)
        queued = 0;
    add(&fields[QUEUED_SUM], (uint64_t)queued);
    add(&fields[QUEUED + bucket(queued)], 1);
    return queued;
}

static PyObject *
seat_begin(Seat *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (!has_arguments("begin", count, 2, 4))
        return NULL;
    double arrived_s = count > 2 ? PyFloat_AsDouble(arguments[2]) : 0.0;
    if (arrived_s == -1.0 && PyErr_Occurred())
        return NULL;
    unsigned long long extension_ns = count > 3 ? PyLong_AsUnsignedLongLong(arguments[3]) : 0;
    if (extension_ns == (unsigned long long)-1 && PyErr_Occurred())
        return NULL;
    long long queued = begin_step((PyObject *)self, arguments[0], arguments[1], arrived_s, extension_ns);
    return queued < 0 ? NULL : PyLong_FromLongLong(queued);
}

static PyObject *
seat_progress(Seat *self, PyObject *Py_UNUSED(nothing))
{
    __atomic_store_n(&self->fields[PROGRESS], (uint64_t)now_ns(), __ATOMIC_RELAXED);
    Py_RETURN_NONE;
}

static PyObject *
seat_extend(Seat *self, PyObject *by)
{
    long long by_ns = PyLong_AsLongLong(by);
    if (has_failed(by_ns))
        return NULL;
    add(&self->fields[EXTENSION], (uint64_t)by_ns);
    Py_RETURN_NONE;
}

static PyObject *
seat_suspend(Seat *self, PyObject *Py_UNUSED(nothing))
{
    add(&self->fields[BUSY], (uint64_t)(now_ns() - self->began_ns));
    __atomic_store_n(&self->fields[FINISHED], self->number, __ATOMIC_RELEASE);
    return PyLong_FromUnsignedLongLong(self->fields[EXTENSION]);
}

static void
finish_step(PyObject *seat, long long status, long long bytes_out, long long bytes_in, long long began_ns)
{
    Seat *self = (Seat *)seat;
    uint64_t *fields = self->fields;
    int64_t now = now_ns(), began = began_ns ? began_ns : self->began_ns;
    if (status >= 100 && status < 1000)
        add(&fields[CLASSES + status / 100 - 1], 1);
    add(&fields[BYTES_IN], (uint64_t)bytes_in);
    add(&fields[BYTES_OUT], (uint64_t)bytes_out);
    add(&fields[BUSY], (uint64_t)(now - self->began_ns));
    add(&fields[DURATION + bucket(now - began)], 1);
    __atomic_store_n(&fields[FINISHED], self->number, __ATOMIC_RELEASE);
}

static PyObject *
seat_finish(Seat *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (!has_arguments("finish", count, 2, 4))
        return NULL;
    long long numbers[4] = {0};
    for (Py_ssize_t i = 0; i < count; i++) {
        numbers[i] = PyLong_AsLongLong(arguments[i]);
        if (has_failed(numbers[i]))
            return NULL;
    }
    finish_step((PyObject *)self, numbers[0], numbers[1], numbers[2], numbers[3]);
    Py_RETURN_NONE;
}

static PyObject *
seat_count_exceptions(Seat *self, PyObject *number)
{
    long long more = PyLong_AsLongLong(number);
    if (has_failed(more))
        return NULL;
    add(&self->fields[EXCEPTIONS], (uint64_t)more);
    Py_RETURN_NONE;
}

static PyObject *
seat_count_shed(Seat *self, PyObject *Py_UNUSED(nothing))
{
    add(&self->fields[SHED], 1);
    Py_RETURN_NONE;
}

static PyObject *
seat_wanted(Seat *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(__atomic_load_n(&self->fields[WANTED], __ATOMIC_RELAXED));
}

#define FASTCALL(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL

static PyMethodDef seat_methods[] = {
    {"sit", (PyCFunction)seat_sit, METH_O, "sit(thread)\n--\n\nThe thread with this ident sits here from now on."},
    {"begin", FASTCALL(seat_begin), "begin(line, client, arrived_s=0.0, extension_ns=0)\n--\n\nA step begins."},
    {"progress", (PyCFunction)seat_progress, METH_NOARGS, "progress()\n--\n\nA piece of the response is out."},
    {"extend", (PyCFunction)seat_extend, METH_O, "extend(by_ns)\n--\n\nThe step may take so much longer."},
    {"suspend", (PyCFunction)seat_suspend, METH_NOARGS, "suspend()\n--\n\nThe thread leaves the response."},
    {"finish", FASTCALL(seat_finish), "finish(status, bytes_out, bytes_in=0, began_ns=0)\n--\n\nThe response is out."},
    {"count_exceptions", (PyCFunction)seat_count_exceptions, METH_O, "count_exceptions(count)\n--\n\nThe application raised."},
    {"count_shed", (PyCFunction)seat_count_shed, METH_NOARGS, "count_shed()\n--\n\nA request was turned away."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef seat_members[] = {
    {"number", T_ULONGLONG, offsetof(Seat, number), READONLY, "Of the step that runs, or ran last."},
    {"began_ns", T_LONGLONG, offsetof(Seat, began_ns), READONLY, "When that step began."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef seat_getters[] = {
    {"wanted", (getter)seat_wanted, NULL, "The number of the step that the master wants interrupted.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot seat_slots[] = {
    {Py_tp_new, seat_new},          {Py_tp_dealloc, seat_dealloc},  {Py_tp_methods, seat_methods},
    {Py_tp_members, seat_members}, {Py_tp_getset, seat_getters}, {Py_tp_doc, "Seat(memory, at)\n--\n\nSee ipc/seat.py."},
    {0, NULL},
};

static PyType_Spec seat_spec = {"prefork._shared.Seat", sizeof(Seat), 0, Py_TPFLAGS_DEFAULT, seat_slots};

/* ConnectionCounts ----------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    Py_buffer memory;
    uint64_t *numbers;
} Counts;

static PyObject *
counts_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"memory", "at", NULL};
    PyObject *memory;
    Py_ssize_t at;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "On:ConnectionCounts", names, &memory, &at))
        return NULL;
    Counts *self = (Counts *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (take_memory(memory, at, 2 * 8, &self->memory) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->numbers = (uint64_t *)((char *)self->memory.buf + at);
    return (PyObject *)self;
}

static void
counts_dealloc(Counts *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->memory);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
counts_tell(Counts *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (!has_arguments("tell", count, 2, 2))
        return NULL;
    for (Py_ssize_t i = 0; i < 2; i++) {
        unsigned long long number = PyLong_AsUnsignedLongLong(arguments[i]);
        if (number == (unsigned long long)-1 && PyErr_Occurred())
            return NULL;
        __atomic_store_n(&self->numbers[i], number, __ATOMIC_RELAXED);
    }
    Py_RETURN_NONE;
}

static PyMethodDef counts_methods[] = {
    {"tell", FASTCALL(counts_tell), "tell(count, opened)\n--\n\nSo many are open, and so many have been so far."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot counts_slots[] = {
    {Py_tp_new, counts_new},
    {Py_tp_dealloc, counts_dealloc},
    {Py_tp_methods, counts_methods},
    {Py_tp_doc, "ConnectionCounts(memory, at)\n--\n\nSee ipc/scoreboard.py."},
    {0, NULL},
};

static PyType_Spec counts_spec = {"prefork._shared.ConnectionCounts", sizeof(Counts), 0, Py_TPFLAGS_DEFAULT, counts_slots};

/* Cells ---------------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    Py_buffer memory;
    double *cells;
    Py_ssize_t count;
} Cells;

static PyObject *
cells_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"memory", "at", "count", NULL};
    PyObject *memory;
    Py_ssize_t at, count;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "Onn:Cells", names, &memory, &at, &count))
        return NULL;
    if (count < 1 || count > 1 << 20) {
        PyErr_SetString(PyExc_ValueError, "no such number of cells");
        return NULL;
    }
    Cells *self = (Cells *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (take_memory(memory, at, count * 8, &self->memory) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->cells = (double *)((char *)self->memory.buf + at);
    self->count = count;
    return (PyObject *)self;
}

static void
cells_dealloc(Cells *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->memory);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Eight bytes at once: a reader in another process never sees half of one. */
static void
store(double *place, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    __atomic_store_n((uint64_t *)place, bits, __ATOMIC_RELAXED);
}

static double *
cell_at(Cells *self, PyObject *index)
{
    Py_ssize_t at = PyLong_AsSsize_t(index);
    if (at == -1 && PyErr_Occurred())
        return NULL;
    if (at < 0 || at >= self->count) {
        PyErr_SetString(PyExc_IndexError, "no such cell");
        return NULL;
    }
    return &self->cells[at];
}

static PyObject *
cells_add(Cells *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (!has_arguments("add", count, 2, 2))
        return NULL;
    double *place = cell_at(self, arguments[0]), amount = place == NULL ? 0.0 : PyFloat_AsDouble(arguments[1]);
    if (place == NULL || (amount == -1.0 && PyErr_Occurred()))
        return NULL;
    store(place, *place + amount);
    Py_RETURN_NONE;
}

static PyObject *
cells_set(Cells *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (!has_arguments("set", count, 2, 2))
        return NULL;
    double *place = cell_at(self, arguments[0]), value = place == NULL ? 0.0 : PyFloat_AsDouble(arguments[1]);
    if (place == NULL || (value == -1.0 && PyErr_Occurred()))
        return NULL;
    store(place, value);
    Py_RETURN_NONE;
}

static PyObject *
cells_observe(Cells *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (!has_arguments("observe", count, 2, 2))
        return NULL;
    double *place = cell_at(self, arguments[0]), value = place == NULL ? 0.0 : PyFloat_AsDouble(arguments[1]);
    if (place == NULL || (value == -1.0 && PyErr_Occurred()))
        return NULL;
    store(place, *place + 1.0);
    store(self->cells, *self->cells + value);
    Py_RETURN_NONE;
}

static PyObject *
cells_get(Cells *self, PyObject *index)
{
    double *place = cell_at(self, index);
    return place == NULL ? NULL : PyFloat_FromDouble(*place);
}

static PyMethodDef cells_methods[] = {
    {"add", FASTCALL(cells_add), "add(index, amount)\n--\n\nAdd to one cell."},
    {"set", FASTCALL(cells_set), "set(index, value)\n--\n\nSet one cell."},
    {"observe", FASTCALL(cells_observe), "observe(index, value)\n--\n\nAdd `value` to cell 0 and 1 to another."},
    {"get", (PyCFunction)cells_get, METH_O, "get(index)\n--\n\nWhat is in one cell."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot cells_slots[] = {
    {Py_tp_new, cells_new},
    {Py_tp_dealloc, cells_dealloc},
    {Py_tp_methods, cells_methods},
    {Py_tp_doc, "Cells(memory, at, count)\n--\n\nSee ipc/cells.py."},
    {0, NULL},
};

static PyType_Spec cells_spec = {"prefork._shared.Cells", sizeof(Cells), 0, Py_TPFLAGS_DEFAULT, cells_slots};

/* The module ----------------------------------------------------------------------------------------------------- */

static PyObject *
module_bucket(PyObject *Py_UNUSED(module), PyObject *duration)
{
    long long duration_ns = PyLong_AsLongLong(duration);
    if (has_failed(duration_ns))
        return NULL;
    return PyLong_FromLong((long)bucket(duration_ns));
}

static PyMethodDef functions[] = {
    {"bucket", module_bucket, METH_O, "bucket(duration_ns)\n--\n\nAs in ipc/histogram.py; for the tests."},
    {NULL, NULL, 0, NULL},
};

static SeatApi seat_api = {NULL, begin_step, finish_step};

static int
add_seat_api(PyObject *module)
{
    PyObject *type = PyObject_GetAttrString(module, "Seat");
    if (type == NULL)
        return -1;
    Py_XSETREF(seat_api.type, (PyTypeObject *)type); /* kept for ever, as the capsule may be */
    PyObject *capsule = PyCapsule_New(&seat_api, SEAT_API_NAME, NULL);
    if (capsule == NULL)
        return -1;
    int added = PyModule_AddObjectRef(module, "SEAT_API", capsule);
    Py_DECREF(capsule);
    return added;
}

static int
exec_module(PyObject *module)
{
    PyType_Spec *specs[] = {&seat_spec, &counts_spec, &cells_spec};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        PyObject *type = PyType_FromModuleAndSpec(module, specs[i], NULL);
        if (type == NULL)
            return -1;
        int added = PyModule_AddType(module, (PyTypeObject *)type);
        Py_DECREF(type);
        if (added < 0)
            return -1;
    }
    if (add_seat_api(module) < 0)
        return -1;
    PyObject *layout = Py_BuildValue("(iiiiiiiiiiiiii)", SEAT_BYTES, LINE_BYTES, CLIENT_BYTES, NUMBER_AFTER, THREAD, WANTED,
                                     FINISHED, CLASSES, BYTES_IN, DURATION, QUEUED, SEAT_END, FIRST_OCTAVE, LAST_OCTAVE);
    if (layout == NULL)
        return -1;
    int added = PyModule_AddObjectRef(module, "LAYOUT", layout);
    Py_DECREF(layout);
    return added;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec_module},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "prefork._shared",
    .m_doc = "Writing to memory that other processes read.",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__shared(void)
{
    return PyModuleDef_Init(&definition);
}
