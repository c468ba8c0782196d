/* The compiled twins of `observe.access_format.ApacheLineInPython` and of the short way through `observe.access.AccessLog`.
 *
 * Owns: writing the line of a request in which nothing has to be escaped. Runs in the worker, in any of its threads, always under the
 * GIL. Python is the reference, and writes every other line. Must not know: where lines go, what they are escaped to.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { SECOND_NS = 1000000000, TIME_BYTES = 48, DIGITS = 20 };

/* What is read from environ; the last two are in "combined" alone. */
enum { ADDR, USER, METHOD, TARGET, PROTOCOL, REFERER, AGENT, KEYS, COMMON_KEYS = REFERER };

static const char *const names[KEYS] = {
    "REMOTE_ADDR", "REMOTE_USER", "REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL", "HTTP_REFERER", "HTTP_USER_AGENT",
};

/* ApacheLine ----------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    bool combined;
    PyObject *time_text;
    PyObject *keys[KEYS];
    int64_t second; /* which `now` is the text of */
    size_t now_size;
    char now[TIME_BYTES];
} ApacheLine;

typedef struct {
    const char *bytes;
    size_t size;
} Text;

static PyObject *
line_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *parameters[] = {"combined", "time_text", NULL};
    int combined;
    PyObject *time_text;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "pO:ApacheLine", parameters, &combined, &time_text))
        return NULL;
    ApacheLine *self = (ApacheLine *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->combined = combined;
    self->time_text = Py_NewRef(time_text);
    self->second = -1;
    for (int i = 0; i < KEYS; i++) {
        self->keys[i] = PyUnicode_InternFromString(names[i]);
        if (self->keys[i] == NULL) {
            Py_DECREF(self);
            return NULL;
        }
    }
    return (PyObject *)self;
}

static int
line_traverse(ApacheLine *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->time_text);
    return 0;
}

static int
line_clear(ApacheLine *self)
{
    Py_CLEAR(self->time_text);
    return 0;
}

static void
line_dealloc(ApacheLine *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)line_clear(self);
    for (int i = 0; i < KEYS; i++)
        Py_XDECREF(self->keys[i]);
    type->tp_free(self);
    Py_DECREF(type);
}

static bool
is_nothing(PyObject *value)
{
    return value == NULL || value == Py_None || (PyUnicode_CheckExact(value) && PyUnicode_GET_LENGTH(value) == 0);
}

/* False: not a string of ASCII. */
static bool
as_text(PyObject *value, Text *text)
{
    if (value == NULL || !PyUnicode_CheckExact(value))
        return false;
#if PY_VERSION_HEX < 0x030c0000
    if (PyUnicode_READY(value) < 0) {
        PyErr_Clear();
        return false;
    }
#endif
    if (!PyUnicode_IS_ASCII(value))
        return false;
    *text = (Text){(const char *)PyUnicode_1BYTE_DATA(value), (size_t)PyUnicode_GET_LENGTH(value)};
    return true;
}

static bool
as_text_or_dash(PyObject *value, Text *text)
{
    if (is_nothing(value)) {
        *text = (Text){"-", 1};
        return true;
    }
    return as_text(value, text);
}

/* The decimal digits of `value`, which ends at `end`; NULL bytes: it is none that is written here. */
static Text
as_digits(PyObject *value, char *end)
{
    int overflow = 0;
    long long number = PyLong_CheckExact(value) ? PyLong_AsLongLongAndOverflow(value, &overflow) : -1;
    if (number < 0 || overflow)
        return (Text){NULL, 0};
    char *at = end;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    return (Text){at, (size_t)(end - at)};
}

static char *
put(char *to, const char *from, size_t size)
{
    memcpy(to, from, size);
    return to + size;
}

/* Whether `text` holds what has to be escaped; for ASCII. `first`: the first character that has not. */
static bool
is_odd(Text text, unsigned char first)
{
    unsigned odd = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.bytes[i];
        odd |= (unsigned)(c < first) | (unsigned)(c > 0x7e) | (unsigned)(c == '"') | (unsigned)(c == '\\');
    }
    return odd != 0;
}

static int
know_the_time(ApacheLine *self, int64_t second)
{
    if (second == self->second)
        return 0;
    PyObject *made = PyObject_CallFunction(self->time_text, "L", (long long)second);
    if (made == NULL)
        return -1;
    Text text;
    if (!as_text(made, &text) || text.size > TIME_BYTES) {
        Py_DECREF(made);
        PyErr_SetString(PyExc_ValueError, "that is no time");
        return -1;
    }
    memcpy(self->now, text.bytes, text.size);
    self->now_size = text.size;
    self->second = second;
    Py_DECREF(made);
    return 0;
}

/* The line; None: it has to be written by Python. Strings of `found` are somebody's, and stay. No Python code runs here. */
static PyObject *
written(ApacheLine *self, PyObject *const *found, PyObject *status, PyObject *body_bytes)
{
    Text addr, method, target, protocol, referer = {"", 0}, agent = {"", 0};
    char status_digits[DIGITS], bytes_digits[DIGITS];
    Text code = as_digits(status, status_digits + DIGITS), size = as_digits(body_bytes, bytes_digits + DIGITS);
    if (code.bytes == NULL || size.bytes == NULL || !is_nothing(found[USER]) || !as_text_or_dash(found[ADDR], &addr) ||
        !as_text(found[METHOD], &method) || method.size == 0 || !as_text(found[TARGET], &target) ||
        !as_text(found[PROTOCOL], &protocol))
        Py_RETURN_NONE;
    if (self->combined && !(as_text_or_dash(found[REFERER], &referer) && as_text_or_dash(found[AGENT], &agent)))
        Py_RETURN_NONE;
    if (is_odd(addr, '!') || is_odd(method, ' ') || is_odd(target, ' ') || is_odd(protocol, ' ') || is_odd(referer, ' ') ||
        is_odd(agent, ' '))
        Py_RETURN_NONE;

    static const char after_addr[] = " - - [", after_time[] = "] \"", between[] = "\" \"";
    size_t length = addr.size + sizeof after_addr - 1 + self->now_size + sizeof after_time - 1 + method.size + 1 + target.size +
                    1 + protocol.size + 2 + code.size + 1 + size.size + 1;
    if (self->combined)
        length += 2 + referer.size + sizeof between - 1 + agent.size + 1;
    PyObject *line = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (line == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(line);
    to = put(to, addr.bytes, addr.size);
    to = put(to, after_addr, sizeof after_addr - 1);
    to = put(to, self->now, self->now_size);
    to = put(to, after_time, sizeof after_time - 1);
    to = put(to, method.bytes, method.size);
    *to++ = ' ';
    to = put(to, target.bytes, target.size);
    *to++ = ' ';
    to = put(to, protocol.bytes, protocol.size);
    to = put(to, "\" ", 2);
    to = put(to, code.bytes, code.size);
    *to++ = ' ';
    to = put(to, size.bytes, size.size);
    if (self->combined) {
        to = put(to, " \"", 2);
        to = put(to, referer.bytes, referer.size);
        to = put(to, between, sizeof between - 1);
        to = put(to, agent.bytes, agent.size);
        *to++ = '"';
    }
    *to = '\n';
    return line;
}

static PyObject *
write_line(ApacheLine *self, PyObject *environ, PyObject *status, PyObject *body_bytes, int64_t now_ns)
{
    if (!PyDict_CheckExact(environ) || now_ns < 0)
        Py_RETURN_NONE;
    /* An application may have put keys there whose comparison is its code: what has been found is held meanwhile. */
    PyObject *found[KEYS] = {NULL}, *line = NULL;
    int keys = self->combined ? KEYS : COMMON_KEYS, i = 0;
    for (; i < keys; i++) {
        found[i] = PyDict_GetItemWithError(environ, self->keys[i]);
        if (found[i] == NULL && PyErr_Occurred())
            break;
        Py_XINCREF(found[i]);
    }
    if (i == keys && know_the_time(self, now_ns / SECOND_NS) == 0)
        line = written(self, found, status, body_bytes);
    while (i-- > 0)
        Py_XDECREF(found[i]);
    return line;
}

static PyObject *
line_write(ApacheLine *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 4) {
        PyErr_Format(PyExc_TypeError, "write() takes 4 arguments (%zd given)", count);
        return NULL;
    }
    long long now_ns = PyLong_AsLongLong(arguments[3]);
    if (now_ns == -1 && PyErr_Occurred())
        return NULL;
    return write_line(self, arguments[0], arguments[1], arguments[2], now_ns);
}

#define FASTCALL(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL

static PyMethodDef line_methods[] = {
    {"write", FASTCALL(line_write), "write(environ, status, body_bytes, now_ns)\n--\n\nThe line, or None."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot line_slots[] = {
    {Py_tp_new, line_new},
    {Py_tp_dealloc, line_dealloc},
    {Py_tp_traverse, line_traverse},
    {Py_tp_clear, line_clear},
    {Py_tp_methods, line_methods},
    {Py_tp_doc, "ApacheLine(combined, time_text)\n--\n\nSee observe/access_format.py."},
    {0, NULL},
};

static PyType_Spec line_spec = {"prefork._access.ApacheLine", sizeof(ApacheLine), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                                line_slots};

/* Batch ---------------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    ApacheLine *line;
    PyObject *held;
    Py_ssize_t most;
    PyObject *otherwise;
} Batch;

typedef struct {
    PyTypeObject *line_type;
} State;

static PyObject *
batch_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *parameters[] = {"line", "held", "most", "otherwise", NULL};
    State *state = PyType_GetModuleState(type);
    PyObject *line, *held, *otherwise;
    Py_ssize_t most;
    if (state == NULL || !PyArg_ParseTupleAndKeywords(arguments, keywords, "O!O!nO:Batch", parameters, state->line_type, &line,
                                                      &PyList_Type, &held, &most, &otherwise))
        return NULL;
    Batch *self = (Batch *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->line = (ApacheLine *)Py_NewRef(line);
    self->held = Py_NewRef(held);
    self->most = most;
    self->otherwise = Py_NewRef(otherwise);
    return (PyObject *)self;
}

static int
batch_traverse(Batch *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->line);
    Py_VISIT(self->held);
    Py_VISIT(self->otherwise);
    return 0;
}

static int
batch_clear(Batch *self)
{
    Py_CLEAR(self->line);
    Py_CLEAR(self->held);
    Py_CLEAR(self->otherwise);
    return 0;
}

static void
batch_dealloc(Batch *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)batch_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
batch_tell(Batch *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count < 4 || count > 6) {
        PyErr_Format(PyExc_TypeError, "tell() takes 4 to 6 arguments (%zd given)", count);
        return NULL;
    }
    /* The last one that there is room for goes the other way, which then writes them all. */
    if (PyList_GET_SIZE(self->held) + 1 < self->most) {
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        int64_t now_ns = (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
        PyObject *line = write_line(self->line, arguments[0], arguments[1], arguments[2], now_ns);
        if (line == NULL)
            return NULL;
        if (line != Py_None) {
            int appended = PyList_Append(self->held, line);
            Py_DECREF(line);
            if (appended < 0)
                return NULL;
            Py_RETURN_NONE;
        }
        Py_DECREF(line);
    }
    return PyObject_Vectorcall(self->otherwise, arguments, (size_t)count, NULL);
}

static PyMethodDef batch_methods[] = {
    {"tell", FASTCALL(batch_tell),
     "tell(environ, status, body_bytes, duration_ns, queued_ns=0, bytes_in=0)\n--\n\nThe response is out."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot batch_slots[] = {
    {Py_tp_new, batch_new},
    {Py_tp_dealloc, batch_dealloc},
    {Py_tp_traverse, batch_traverse},
    {Py_tp_clear, batch_clear},
    {Py_tp_methods, batch_methods},
    {Py_tp_doc, "Batch(line, held, most, otherwise)\n--\n\nSee observe/access.py."},
    {0, NULL},
};

static PyType_Spec batch_spec = {"prefork._access.Batch", sizeof(Batch), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, batch_slots};

/* The module ----------------------------------------------------------------------------------------------------- */

static PyObject *
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type == NULL || PyModule_AddType(module, (PyTypeObject *)type) == 0)
        return type;
    Py_DECREF(type);
    return NULL;
}

static int
exec_module(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->line_type = (PyTypeObject *)add_type(module, &line_spec);
    PyObject *batch = state->line_type == NULL ? NULL : add_type(module, &batch_spec);
    Py_XDECREF(batch);
    return batch == NULL ? -1 : 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->line_type);
    return 0;
}

static int
module_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->line_type);
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec_module},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "prefork._access",
    .m_doc = "Lines of the access log.",
    .m_size = sizeof(State),
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC
PyInit__access(void)
{
    return PyModuleDef_Init(&definition);
}
