/* The compiled twin of `http.head.parse_head` and `http.response.build_head`.
 *
 * Owns: the common case, nothing else. Runs in the worker, in whichever thread has the bytes; always under the GIL.
 *
 * The Python functions are the reference, and every rule stands there. What is written here takes the ordinary request
 * and the ordinary response in one pass; as soon as anything is out of the ordinary it calls the Python function that
 * decides: for a field line, for the request line, for the fields the server obeys, or for the whole. So this file never
 * refuses anything by itself, and what it may accept is only what its tables (made by the Python side) say.
 *
 * There is no cache here. Names are found in a table of names; it is filled once and never grows.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <string.h>

/* More lines or fields than that are left to Python; the default limit is 100. */
#define MAX_LINES 128
#define MAX_FIELDS 64

/* Slots of the table of names: a power of two, several times the names that Python knows at the start. */
#define NAME_SLOTS 2048
#define MAX_PROBES 8

/* Classes of characters, as `http.classes` makes them. */
enum { PATH_CHAR = 1, QUERY_CHAR = 2, HOST_CHAR = 4, TOKEN_CHAR = 8 };

/* What a field means to the server itself. */
enum role { ORDINARY, HOST, CONNECTION, LENGTH, OBEYED };

/* Kinds of response fields, as in `http.response`. */
enum { PLAIN = 0, CONTENT_LENGTH = 1, DATE = 4, SERVER = 5 };

typedef struct {
    PyObject *name, *key; /* owned; both NULL in a free slot */
    const char *text;     /* of `name` */
    Py_ssize_t size;
    enum role role;
} Name;

typedef struct {
    /* Requests. All objects are owned; NULL until `prepare_requests`. */
    PyObject *read_all;     /* parse_head(block, limits, environ) -> RequestHead */
    PyObject *read_line;    /* read_request_line(line, environ) -> RequestHead */
    PyObject *read_field;   /* _read_unusual_field(field, environ) -> None */
    PyObject *obey;         /* obey_fields(head, environ) -> None */
    PyObject *request_head; /* RequestHead(line, method, target, minor, keep_alive) */
    PyObject *names;        /* dict: name -> key; grows by what Python learns */
    PyObject *methods;      /* tuple of str */
    PyObject *classes;      /* bytes: 256 sets of classes */
    Name table[NAME_SLOTS];
    /* Responses. NULL until `prepare_responses`. */
    PyObject *build_all;     /* build_head(status, headers) -> ResponseHead */
    PyObject *response_head; /* ResponseHead(status, block, content_length, close, has_date, has_server) */
    PyObject *statuses;      /* dict: status string -> code */
    PyObject *kinds;         /* dict: name -> kind */
    PyObject *special;       /* dict: lower-case name -> kind that is not PLAIN */
    PyObject *name_classes;  /* bytes: as `classes` */
    /* Strings, interned. */
    PyObject *path_info, *query_string, *request_method, *raw_uri, *request_uri, *server_protocol;
    PyObject *http_1_1, *empty;
    PyObject *max_request_line, *max_header_bytes, *max_headers;
    PyObject *one; /* the number */
} State;

/* Characters ----------------------------------------------------------------------------------------------------- */

/* Whether there is a control character other than HTAB; all bytes together in `*seen`. Compilers make vectors of it. */
static bool
has_control(const unsigned char *text, Py_ssize_t size, unsigned char *seen)
{
    unsigned char bad = 0, all = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        unsigned char c = text[i];
        bad |= (unsigned char)((c < 0x20) & (c != 0x09)) | (unsigned char)(c == 0x7f);
        all |= c;
    }
    *seen = all;
    return bad != 0;
}

/* New reference; what ISO 8859-1 makes of `text`. */
static PyObject *
text_of(const unsigned char *text, Py_ssize_t size, bool ascii)
{
    if (!ascii) /* may be ASCII all the same: this decoder finds out */
        return PyUnicode_DecodeLatin1((const char *)text, size, NULL);
    PyObject *made = PyUnicode_New(size, 127);
    if (made != NULL && size)
        memcpy(PyUnicode_1BYTE_DATA(made), text, (size_t)size);
    return made;
}

/* Names ---------------------------------------------------------------------------------------------------------- */

static size_t
slot_of(const unsigned char *name, Py_ssize_t size)
{
    /* Well-known names differ in their length and a few characters; whoever makes others collide gains nothing, for the
     * table does not take them. */
    size_t hash = (size_t)size * 31 + name[0];
    hash = hash * 131 + name[size / 2];
    hash = hash * 131 + name[size - 1];
    hash = hash * 131 + name[size * 3 / 4];
    return (hash ^ (hash >> 11)) & (NAME_SLOTS - 1);
}

static const Name *
find_name(const State *state, const unsigned char *name, Py_ssize_t size)
{
    size_t slot = slot_of(name, size);
    for (int probe = 0; probe < MAX_PROBES; probe++) {
        const Name *known = &state->table[(slot + (size_t)probe) & (NAME_SLOTS - 1)];
        if (known->key == NULL)
            return NULL;
        if (known->size == size && memcmp(known->text, name, (size_t)size) == 0)
            return known;
    }
    return NULL;
}

static enum role
role_of(PyObject *key)
{
    static const struct {
        const char *key;
        enum role role;
    } roles[] = {
        {"HTTP_HOST", HOST},          {"HTTP_CONNECTION", CONNECTION}, {"HTTP_TRANSFER_ENCODING", OBEYED},
        {"CONTENT_LENGTH", LENGTH},   {"HTTP_EXPECT", OBEYED},
    };
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (PyUnicode_CompareWithASCIIString(key, roles[i].key) == 0)
            return roles[i].role;
    return ORDINARY;
}

/* Puts a name into the table; if there is no room near its place the dictionary will do. -1 with an exception. */
static int
add_name(State *state, PyObject *name, PyObject *key)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(name, &size);
    if (text == NULL)
        return -1;
    if (size == 0 || PyUnicode_GET_LENGTH(key) == 0) /* a dropped field is for Python */
        return 0;
    size_t slot = slot_of((const unsigned char *)text, size);
    for (int probe = 0; probe < MAX_PROBES; probe++) {
        Name *place = &state->table[(slot + (size_t)probe) & (NAME_SLOTS - 1)];
        if (place->key == NULL) {
            Py_INCREF(key);
            PyUnicode_InternInPlace(&key);
            *place = (Name){Py_NewRef(name), key, text, size, role_of(key)};
            return 0;
        }
    }
    return 0;
}

/* Requests ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const unsigned char *start;
    Py_ssize_t size;
    bool ascii;
} Line;

/* Cuts `block` at its CRLFs. The number of lines, or -1: too many, or a control character, bare CR or bare LF. */
static Py_ssize_t
cut_lines(const unsigned char *block, Py_ssize_t size, Line *lines)
{
    const unsigned char *at = block, *end = block + size;
    for (Py_ssize_t count = 0; count < MAX_LINES; count++) {
        const unsigned char *stop = at < end ? memchr(at, '\r', (size_t)(end - at)) : NULL;
        const unsigned char *line_end = stop ? stop : end;
        unsigned char seen;
        if (has_control(at, line_end - at, &seen))
            return -1;
        lines[count] = (Line){at, line_end - at, seen < 0x80};
        if (stop == NULL)
            return count + 1;
        if (stop + 1 == end || stop[1] != '\n')
            return -1;
        at = stop + 2;
    }
    return -1;
}

/* Whether `size` is at most the attribute `name` of `limits`. -1 with an exception. */
static int
within(PyObject *limits, PyObject *name, Py_ssize_t size)
{
    PyObject *limit = PyObject_GetAttr(limits, name);
    if (limit == NULL)
        return -1;
    Py_ssize_t most = PyLong_AsSsize_t(limit);
    Py_DECREF(limit);
    if (most == -1 && PyErr_Occurred())
        return -1;
    return size <= most;
}

/* The fast path of `read_request_line`: a known method, a plain target in origin form, HTTP/1.1.
 *
 * 1 with new references in `*method` and `*target`; 0: not such a line, nothing was touched; -1 with an exception. */
static int
read_plain_line(State *state, const Line *line, PyObject *environ, PyObject **method, PyObject **target)
{
    const unsigned char *at = line->start, *end = at + line->size;
    const unsigned char *classes = (const unsigned char *)PyBytes_AS_STRING(state->classes);
    PyObject *verb = NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(state->methods); i++) {
        PyObject *known = PyTuple_GET_ITEM(state->methods, i);
        Py_ssize_t size = PyUnicode_GET_LENGTH(known);
        if (size < line->size && at[size] == ' ' && memcmp(at, PyUnicode_1BYTE_DATA(known), (size_t)size) == 0) {
            verb = known;
            at += size + 1;
            break;
        }
    }
    if (verb == NULL || at == end || *at != '/')
        return 0;
    const unsigned char *path = at, *question = NULL;
    while (at < end && classes[*at] & PATH_CHAR)
        at++;
    if (at < end && *at == '?') {
        question = at++;
        while (at < end && classes[*at] & QUERY_CHAR)
            at++;
    }
    if (end - at != 9 || memcmp(at, " HTTP/1.1", 9) != 0)
        return 0;

    int status = -1;
    PyObject *whole = text_of(path, at - path, true), *path_info = NULL, *query = NULL;
    if (whole == NULL)
        return -1;
    if (question == NULL) {
        path_info = Py_NewRef(whole);
        query = Py_NewRef(state->empty);
    } else {
        path_info = text_of(path, question - path, true);
        query = text_of(question + 1, at - question - 1, true);
    }
    if (path_info != NULL && query != NULL
        && PyDict_SetItem(environ, state->path_info, path_info) == 0
        && PyDict_SetItem(environ, state->query_string, query) == 0
        && PyDict_SetItem(environ, state->request_method, verb) == 0
        && PyDict_SetItem(environ, state->raw_uri, whole) == 0
        && PyDict_SetItem(environ, state->request_uri, whole) == 0
        && PyDict_SetItem(environ, state->server_protocol, state->http_1_1) == 0) {
        *method = Py_NewRef(verb);
        *target = Py_NewRef(whole);
        status = 1;
    }
    Py_DECREF(whole);
    Py_XDECREF(path_info);
    Py_XDECREF(query);
    return status;
}

/* The fast part of `is_host`: a registered name of ordinary characters and perhaps a port. */
static bool
is_plain_host(const State *state, const unsigned char *host, Py_ssize_t size)
{
    const unsigned char *classes = (const unsigned char *)PyBytes_AS_STRING(state->classes);
    Py_ssize_t name = 0;
    while (name < size && classes[host[name]] & HOST_CHAR)
        name++;
    if (name > 255)
        return false;
    if (name == size)
        return true;
    if (host[name] != ':' || size - name - 1 > 5)
        return false;
    for (Py_ssize_t i = name + 1; i < size; i++)
        if (host[i] < '0' || host[i] > '9')
            return false;
    return true;
}

/* What the fields say to the server. */
typedef struct {
    bool python; /* the Python function has to look at them */
    bool host;
    bool close;
    long long content_length; /* -1: no such field, or Python has to read it */
} Notes;

/* -1 with an exception. */
static int
ask_python_for_field(State *state, const Line *line, PyObject *environ, Notes *notes)
{
    notes->python = true;
    PyObject *field = text_of(line->start, line->size, line->ascii);
    if (field == NULL)
        return -1;
    PyObject *nothing = PyObject_CallFunctionObjArgs(state->read_field, field, environ, NULL);
    Py_DECREF(field);
    Py_XDECREF(nothing);
    return nothing == NULL ? -1 : 0;
}

/* What a few digits and nothing else say; -1: it is something else. */
static long long
plain_number(const unsigned char *text, Py_ssize_t size)
{
    long long number = 0;
    if (size < 1 || size > 15)
        return -1;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

static void
note_role(State *state, enum role role, const unsigned char *value, Py_ssize_t size, Notes *notes)
{
    switch (role) {
    case ORDINARY:
        break;
    case HOST:
        notes->host = true;
        if (!is_plain_host(state, value, size))
            notes->python = true;
        break;
    case CONNECTION:
        if (size == 5 && memcmp(value, "close", 5) == 0)
            notes->close = true;
        else if (size != 10 || memcmp(value, "keep-alive", 10) != 0)
            notes->python = true;
        break;
    case LENGTH:
        notes->content_length = plain_number(value, size);
        if (notes->content_length < 0)
            notes->python = true;
        break;
    case OBEYED:
        notes->python = true;
        break;
    }
}

/* One field line into `environ`. -1 with an exception. */
static int
read_field(State *state, const Line *line, PyObject *environ, Notes *notes)
{
    const unsigned char *start = line->start, *end = start + line->size;
    const unsigned char *colon = line->size ? memchr(start, ':', (size_t)line->size) : NULL;
    if (colon == NULL || colon == start || end - colon < 2 || colon[1] != ' ')
        return ask_python_for_field(state, line, environ, notes);
    PyObject *key; /* owned */
    enum role role;
    const Name *known = find_name(state, start, colon - start);
    if (known != NULL) {
        key = Py_NewRef(known->key);
        role = known->role;
    } else {
        PyObject *name = text_of(start, colon - start, line->ascii);
        if (name == NULL)
            return -1;
        key = PyDict_GetItemWithError(state->names, name);
        Py_XINCREF(key);
        Py_DECREF(name);
        if (key == NULL && PyErr_Occurred())
            return -1;
        if (key == NULL || PyUnicode_GET_LENGTH(key) == 0) {
            Py_XDECREF(key);
            return ask_python_for_field(state, line, environ, notes);
        }
        role = role_of(key);
    }
    const unsigned char *value = colon + 2;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    PyObject *text = text_of(value, end - value, line->ascii);
    if (text == NULL) {
        Py_DECREF(key);
        return -1;
    }
    Py_ssize_t before = PyDict_GET_SIZE(environ);
    PyObject *there = PyDict_SetDefault(environ, key, text); /* borrowed */
    Py_DECREF(key);
    Py_DECREF(text);
    if (there == NULL)
        return -1;
    if (PyDict_GET_SIZE(environ) == before) /* it was there: a repeated field */
        return ask_python_for_field(state, line, environ, notes);
    note_role(state, role, value, end - value, notes);
    return 0;
}

/* The RequestHead of `lines`, whose limits are kept, with everything in `environ`. NULL with an exception. */
static PyObject *
read_lines(State *state, const Line *lines, Py_ssize_t count, PyObject *environ)
{
    Notes notes = {.content_length = -1};
    PyObject *method = NULL, *target = NULL, *head = NULL;
    PyObject *text = text_of(lines[0].start, lines[0].size, lines[0].ascii);
    if (text == NULL)
        return NULL;
    int plain = read_plain_line(state, &lines[0], environ, &method, &target);
    if (plain < 0)
        goto done;
    if (!plain) {
        notes.python = true;
        head = PyObject_CallFunctionObjArgs(state->read_line, text, environ, NULL);
        if (head == NULL)
            goto done;
    }
    for (Py_ssize_t i = 1; i < count; i++)
        if (read_field(state, &lines[i], environ, &notes) < 0) {
            Py_CLEAR(head);
            goto done;
        }
    bool python = notes.python || !notes.host;
    if (head == NULL) {
        PyObject *keep_alive = notes.close && !python ? Py_False : Py_True;
        bool has_length = notes.content_length >= 0 && !python;
        PyObject *length = has_length ? PyLong_FromLongLong(notes.content_length) : Py_NewRef(Py_None);
        PyObject *arguments[] = {text, method, target, state->one, keep_alive, Py_None, length};
        if (length != NULL)
            head = PyObject_Vectorcall(state->request_head, arguments, has_length ? 7 : 5, NULL);
        Py_XDECREF(length);
    }
    if (head != NULL && python) {
        PyObject *nothing = PyObject_CallFunctionObjArgs(state->obey, head, environ, NULL);
        if (nothing == NULL)
            Py_CLEAR(head);
        Py_XDECREF(nothing);
    }
done:
    Py_DECREF(text);
    Py_XDECREF(method);
    Py_XDECREF(target);
    return head;
}

PyDoc_STRVAR(parse_head_doc,
"parse_head(block, limits, environ, /)\n--\n\n"
"As prefork.http.head.parse_head_in_python.");

static PyObject *
parse_head(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    if (state->request_head == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "prepare_requests has not been called");
        return NULL;
    }
    if (count != 3 || !PyBytes_CheckExact(arguments[0]) || !PyDict_CheckExact(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "parse_head takes bytes, limits and a dict");
        return NULL;
    }
    PyObject *block = arguments[0], *limits = arguments[1], *environ = arguments[2];
    Line lines[MAX_LINES];
    Py_ssize_t size = PyBytes_GET_SIZE(block);
    Py_ssize_t found = cut_lines((const unsigned char *)PyBytes_AS_STRING(block), size, lines);
    int good = found > 0;
    if (good)
        good = within(limits, state->max_request_line, lines[0].size);
    if (good > 0)
        good = within(limits, state->max_header_bytes, size - lines[0].size);
    if (good > 0)
        good = within(limits, state->max_headers, found - 1);
    if (good < 0)
        return NULL;
    if (!good) /* wrong or very long: which of it, and what follows, Python says */
        return PyObject_Vectorcall(state->read_all, arguments, 3, NULL);
    return read_lines(state, lines, found, environ);
}

/* Responses ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const char *name, *value;
    Py_ssize_t name_size, value_size;
} Field;

typedef struct {
    Field fields[MAX_FIELDS];
    Py_ssize_t count;
    Py_ssize_t size; /* of all lines together, with their ends */
    long long content_length; /* -1: none */
    bool has_date, has_server;
} Fields;

/* Whether `name`, which Python's table does not hold, is a token and steers nothing in any spelling.
 * 0: let Python look at it; -1 with an exception. */
static int
is_plain_name(State *state, const unsigned char *name, Py_ssize_t size)
{
    const unsigned char *classes = (const unsigned char *)PyBytes_AS_STRING(state->name_classes);
    unsigned char folded[64];
    if (size == 0 || size > (Py_ssize_t)sizeof folded)
        return 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (!(classes[name[i]] & TOKEN_CHAR))
            return 0;
        folded[i] = name[i] >= 'A' && name[i] <= 'Z' ? (unsigned char)(name[i] | 0x20) : name[i];
    }
    PyObject *text = text_of(folded, size, true);
    if (text == NULL)
        return -1;
    int special = PyDict_Contains(state->special, text);
    Py_DECREF(text);
    return special < 0 ? -1 : !special;
}

/* A str of one byte a character, made by nobody's subclass; NULL (without exception) for anything else. */
static const unsigned char *
one_byte_text(PyObject *text, Py_ssize_t *size)
{
    if (!PyUnicode_CheckExact(text))
        return NULL;
#if PY_VERSION_HEX < 0x030C0000
    if (!PyUnicode_IS_READY(text))
        return NULL;
#endif
    if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND)
        return NULL;
    *size = PyUnicode_GET_LENGTH(text);
    return PyUnicode_1BYTE_DATA(text);
}

/* A plain decimal that fits; -1 for anything else. */
static long long
decimal(const unsigned char *text, Py_ssize_t size)
{
    if (size < 1 || size > 18)
        return -1;
    long long number = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

/* One (name, value) into `fields`. 1: taken, 0: let Python look at the whole, -1 with an exception.
 *
 * No Python code runs in here, so what `pair` refers to stays. */
static int
take_field(State *state, PyObject *pair, Fields *fields)
{
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2)
        return 0;
    PyObject *name = PyTuple_GET_ITEM(pair, 0);
    Py_ssize_t name_size, value_size;
    const unsigned char *name_text = one_byte_text(name, &name_size);
    const unsigned char *value_text = one_byte_text(PyTuple_GET_ITEM(pair, 1), &value_size);
    unsigned char seen;
    if (name_text == NULL || value_text == NULL || has_control(value_text, value_size, &seen))
        return 0;
    PyObject *known = PyDict_GetItemWithError(state->kinds, name); /* borrowed */
    if (known == NULL) {
        if (PyErr_Occurred())
            return -1;
        int plain = is_plain_name(state, name_text, name_size);
        if (plain <= 0)
            return plain;
    } else {
        switch (PyLong_AsLong(known)) {
        case PLAIN:
            break;
        case CONTENT_LENGTH:
            if (fields->content_length >= 0) /* twice */
                return 0;
            fields->content_length = decimal(value_text, value_size);
            if (fields->content_length < 0)
                return 0;
            break;
        case DATE:
            fields->has_date = true;
            break;
        case SERVER:
            fields->has_server = true;
            break;
        default:
            PyErr_Clear();
            return 0;
        }
    }
    fields->fields[fields->count++] =
        (Field){(const char *)name_text, (const char *)value_text, name_size, value_size};
    fields->size += name_size + value_size + 4;
    return 1;
}

static char *
append(char *at, const char *text, Py_ssize_t size)
{
    memcpy(at, text, (size_t)size);
    return at + size;
}

/* The status line and the field lines. NULL with an exception. */
static PyObject *
write_block(const unsigned char *status, Py_ssize_t status_size, const Fields *fields)
{
    PyObject *block = PyBytes_FromStringAndSize(NULL, 9 + status_size + 2 + fields->size);
    if (block == NULL)
        return NULL;
    char *at = append(PyBytes_AS_STRING(block), "HTTP/1.1 ", 9);
    at = append(at, (const char *)status, status_size);
    at = append(at, "\r\n", 2);
    for (Py_ssize_t i = 0; i < fields->count; i++) {
        const Field *field = &fields->fields[i];
        at = append(at, field->name, field->name_size);
        at = append(at, ": ", 2);
        at = append(at, field->value, field->value_size);
        at = append(at, "\r\n", 2);
    }
    return block;
}

/* The ResponseHead of what `start_response` was given; Py_None (new reference): let Python look; NULL with an exception. */
static PyObject *
build_plain_head(State *state, PyObject *status, PyObject *headers)
{
    Py_ssize_t status_size;
    const unsigned char *status_text = one_byte_text(status, &status_size);
    if (status_text == NULL || status_size < 5 || !PyList_CheckExact(headers) || PyList_GET_SIZE(headers) > MAX_FIELDS)
        Py_RETURN_NONE;
    PyObject *code = PyDict_GetItemWithError(state->statuses, status); /* borrowed */
    if (code == NULL) {
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    long number = PyLong_AsLong(code);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    Fields fields;
    fields.count = fields.size = 0;
    fields.content_length = -1;
    fields.has_date = fields.has_server = false;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        int taken = take_field(state, PyList_GET_ITEM(headers, i), &fields);
        if (taken < 0)
            return NULL;
        if (!taken)
            Py_RETURN_NONE;
    }
    if (number < 200 || (number == 204 && fields.content_length >= 0))
        Py_RETURN_NONE;

    PyObject *head = NULL;
    PyObject *block = write_block(status_text, status_size, &fields);
    PyObject *length =
        fields.content_length < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(fields.content_length);
    if (block != NULL && length != NULL) {
        PyObject *arguments[] = {
            code, block, length, Py_False, fields.has_date ? Py_True : Py_False, fields.has_server ? Py_True : Py_False,
        };
        head = PyObject_Vectorcall(state->response_head, arguments, fields.has_date || fields.has_server ? 6 : 3, NULL);
    }
    Py_XDECREF(block);
    Py_XDECREF(length);
    return head;
}

PyDoc_STRVAR(build_head_doc,
"build_head(status, headers, /)\n--\n\n"
"As prefork.http.response.build_head_in_python.");

static PyObject *
build_head(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    State *state = PyModule_GetState(module);
    if (state->response_head == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "prepare_responses has not been called");
        return NULL;
    }
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "build_head takes a status and headers");
        return NULL;
    }
    PyObject *head = build_plain_head(state, arguments[0], arguments[1]);
    if (head != Py_None)
        return head;
    Py_DECREF(head);
    return PyObject_Vectorcall(state->build_all, arguments, 2, NULL);
}

/* The module ----------------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(prepare_requests_doc,
"prepare_requests(read_all, read_line, read_field, obey, request_head, names, methods, classes, /)\n--\n\n"
"Hands over what parse_head calls and looks up; once, before its first call.");

static PyObject *
prepare_requests(PyObject *module, PyObject *arguments)
{
    State *state = PyModule_GetState(module);
    PyObject *read_all, *line, *field, *obey, *request_head, *names, *methods, *classes;
    if (!PyArg_ParseTuple(arguments, "OOOOOO!O!S:prepare_requests", &read_all, &line, &field, &obey,
                          &request_head, &PyDict_Type, &names, &PyTuple_Type, &methods, &classes))
        return NULL;
    if (state->request_head != NULL || PyBytes_GET_SIZE(classes) != 256) {
        PyErr_SetString(PyExc_ValueError, "prepare_requests: called twice, or not 256 classes");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(methods); i++) {
        PyObject *method = PyTuple_GET_ITEM(methods, i);
        if (!PyUnicode_Check(method) || !PyUnicode_IS_ASCII(method)) {
            PyErr_SetString(PyExc_TypeError, "prepare_requests: methods are ASCII strings");
            return NULL;
        }
    }
    PyObject *name, *key;
    Py_ssize_t position = 0;
    while (PyDict_Next(names, &position, &name, &key)) {
        if (!PyUnicode_Check(name) || !PyUnicode_Check(key)) {
            PyErr_SetString(PyExc_TypeError, "prepare_requests: names and keys are strings");
            return NULL;
        }
        if (add_name(state, name, key) < 0)
            return NULL;
    }
    state->names = Py_NewRef(names);
    state->read_all = Py_NewRef(read_all);
    state->read_line = Py_NewRef(line);
    state->read_field = Py_NewRef(field);
    state->obey = Py_NewRef(obey);
    state->methods = Py_NewRef(methods);
    state->classes = Py_NewRef(classes);
    state->request_head = Py_NewRef(request_head); /* last: it says that all is here */
    Py_RETURN_NONE;
}

PyDoc_STRVAR(prepare_responses_doc,
"prepare_responses(build_all, response_head, statuses, kinds, special, classes, /)\n--\n\n"
"Hands over what build_head calls and looks up; once, before its first call.");

static PyObject *
prepare_responses(PyObject *module, PyObject *arguments)
{
    State *state = PyModule_GetState(module);
    PyObject *build_all, *response_head, *statuses, *kinds, *special, *classes;
    if (!PyArg_ParseTuple(arguments, "OOO!O!O!S:prepare_responses", &build_all, &response_head, &PyDict_Type,
                          &statuses, &PyDict_Type, &kinds, &PyDict_Type, &special, &classes))
        return NULL;
    if (state->response_head != NULL || PyBytes_GET_SIZE(classes) != 256) {
        PyErr_SetString(PyExc_ValueError, "prepare_responses: called twice, or not 256 classes");
        return NULL;
    }
    state->build_all = Py_NewRef(build_all);
    state->statuses = Py_NewRef(statuses);
    state->kinds = Py_NewRef(kinds);
    state->special = Py_NewRef(special);
    state->name_classes = Py_NewRef(classes);
    state->response_head = Py_NewRef(response_head);
    Py_RETURN_NONE;
}

/* All references of a state, the table aside: one list for those who make, visit and give them back. */
#define REFERENCES(state)                                                                                      \
    &(state)->read_all, &(state)->read_line, &(state)->read_field, &(state)->obey, &(state)->request_head,     \
        &(state)->names, &(state)->methods, &(state)->classes, &(state)->build_all, &(state)->response_head,   \
        &(state)->statuses, &(state)->kinds, &(state)->special, &(state)->name_classes, &(state)->path_info,   \
        &(state)->query_string, &(state)->request_method, &(state)->raw_uri, &(state)->request_uri,            \
        &(state)->server_protocol, &(state)->http_1_1, &(state)->empty, &(state)->max_request_line,            \
        &(state)->max_header_bytes, &(state)->max_headers, &(state)->one

static int
exec_module(PyObject *module)
{
    State *state = PyModule_GetState(module);
    const struct {
        PyObject **place;
        const char *text;
    } strings[] = {
        {&state->path_info, "PATH_INFO"},
        {&state->query_string, "QUERY_STRING"},
        {&state->request_method, "REQUEST_METHOD"},
        {&state->raw_uri, "RAW_URI"},
        {&state->request_uri, "REQUEST_URI"},
        {&state->server_protocol, "SERVER_PROTOCOL"},
        {&state->http_1_1, "HTTP/1.1"},
        {&state->empty, ""},
        {&state->max_request_line, "max_request_line"},
        {&state->max_header_bytes, "max_header_bytes"},
        {&state->max_headers, "max_headers"},
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        if ((*strings[i].place = PyUnicode_InternFromString(strings[i].text)) == NULL)
            return -1;
    return (state->one = PyLong_FromLong(1)) == NULL ? -1 : 0;
}

static int
traverse_module(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    PyObject **references[] = {REFERENCES(state)};
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        Py_VISIT(*references[i]);
    return 0; /* the table holds strings only */
}

static int
clear_module(PyObject *module)
{
    State *state = PyModule_GetState(module);
    PyObject **references[] = {REFERENCES(state)};
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        Py_CLEAR(*references[i]);
    for (size_t i = 0; i < NAME_SLOTS; i++) {
        Py_CLEAR(state->table[i].name);
        Py_CLEAR(state->table[i].key);
    }
    return 0;
}

static void
free_module(void *module)
{
    (void)clear_module(module);
}

static PyMethodDef functions[] = {
    {"parse_head", (PyCFunction)(void (*)(void))parse_head, METH_FASTCALL, parse_head_doc},
    {"build_head", (PyCFunction)(void (*)(void))build_head, METH_FASTCALL, build_head_doc},
    {"prepare_requests", prepare_requests, METH_VARARGS, prepare_requests_doc},
    {"prepare_responses", prepare_responses, METH_VARARGS, prepare_responses_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec_module},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "prefork._speedups",
    .m_doc = "The common case of reading request heads and building response heads.",
    .m_size = sizeof(State),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = traverse_module,
    .m_clear = clear_module,
    .m_free = free_module,
};

PyMODINIT_FUNC
PyInit__speedups(void)
{
    return PyModuleDef_Init(&definition);
}
