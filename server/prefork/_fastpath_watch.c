/* A connection among the others: what the loop watches it for, until when, and how many there are. `Connection._wait_for` and `_forget_events`,
 * `EventLoop.add` and `remove`, `DeadlineWheel.watch` and `forget`, `Connections.closed`. See `_fastpath.c`. */

#include "_fastpath.h"

#include <math.h>
#include <sys/epoll.h>

/* Deadlines -------------------------------------------------------------------------------------------------------- */

/* The others of a bucket, which must not be left empty. Borrowed; NULL: Python has to see to it, or an exception is set. */
static PyObject *
members_of(FastPath *self, PyObject *key, Py_ssize_t at_least)
{
    PyObject *members = PyDict_GetItemWithError(PEEK(PEEK(self->parts[LOOP], LOOP_WHEEL), WHEEL_BUCKETS), key);
    return members != NULL && PySet_GET_SIZE(members) >= at_least ? members : NULL;
}

/* As DeadlineWheel.watch. */
static int
watch(FastPath *self, PyObject *connection)
{
    double deadline = PyFloat_AsDouble(PEEK(connection, CONNECTION_DEADLINE));
    if (isfinite(deadline) && PEEK(connection, CONNECTION_BUCKET) == self->names.zero) {
        PyObject *key = PyLong_FromDouble(floor(deadline) + 1);
        PyObject *members = key == NULL ? NULL : members_of(self, key, 1);
        int result = members == NULL ? -1 : PySet_Add(members, connection);
        if (!result)
            put(PLACE(connection, CONNECTION_BUCKET), key);
        Py_XDECREF(key);
        if (members != NULL || PyErr_Occurred())
            return result;
    }
    return done_with(PyObject_CallMethodOneArg(self->parts[LOOP], self->names.watch, connection));
}

/* As DeadlineWheel.forget. */
static int
forget(FastPath *self, PyObject *connection)
{
    PyObject *key = PEEK(connection, CONNECTION_BUCKET);
    if (key == self->names.zero)
        return 0;
    PyObject *members = members_of(self, key, 2);
    if (members == NULL)
        return PyErr_Occurred() ? -1 : done_with(PyObject_CallMethodOneArg(self->parts[LOOP], self->names.forget, connection));
    put(PLACE(connection, CONNECTION_BUCKET), self->names.zero);
    return PySet_Discard(members, connection) < 0 ? -1 : 0;
}

/* Events ----------------------------------------------------------------------------------------------------------- */

/* As Connection._wait_for(READ), where nothing is watched. */
int
prefork_fastpath_await_first(FastPath *self, PyObject *connection)
{
    PyObject *fd = PEEK(connection, CONNECTION_FD), *ear = prefork_fastpath_ear(self, connection);
    if (ear == NULL)
        return -1;
    struct epoll_event event = {.events = (uint32_t)self->read, .data = {.fd = (int)PyLong_AsLong(fd)}};
    int result = -1;
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        PyObject *error = take_exception();
        result = done_with(PyObject_CallMethodOneArg(connection, self->names._cannot_wait, error));
        Py_DECREF(error);
    } else if (PyDict_SetItem(PEEK(self->parts[LOOP], LOOP_CALLBACKS), fd, ear) == 0) {
        put_new(PLACE(connection, CONNECTION_EVENTS), PyLong_FromLong(self->read));
        result = watch(self, connection);
    }
    Py_DECREF(ear);
    return result;
}

/* As Connection._forget_events, and `forget` of the wheel. */
int
prefork_fastpath_unwatch(FastPath *self, PyObject *connection)
{
    if (forget(self, connection) < 0)
        return -1;
    if (PEEK(connection, CONNECTION_EVENTS) == self->names.zero)
        return 0;
    PyObject *fd = PEEK(connection, CONNECTION_FD), *ear = PyDict_GetItemWithError(PEEK(self->parts[LOOP], LOOP_CALLBACKS), fd);
    put(PLACE(connection, CONNECTION_EVENTS), self->names.zero);
    if (ear == NULL)
        return PyErr_Occurred() ? -1 : 0;
    Py_INCREF(ear);
    struct epoll_event unused = {0};
    int result = PyDict_DelItem(PEEK(self->parts[LOOP], LOOP_CALLBACKS), fd);
    /* Not left to close(2): a process that the application forked may have the same socket, and then it would stay (epoll(7)). */
    if (!result && epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, (int)PyLong_AsLong(fd), &unused) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        result = -1;
    }
    Py_DECREF(ear);
    return result;
}

/* How many --------------------------------------------------------------------------------------------------------- */

/* As Connections._tell_count. */
int
prefork_fastpath_tell_count(FastPath *self)
{
    PyObject *home = self->parts[HOME];
    Py_ssize_t open = PySet_GET_SIZE(PEEK(home, HOME_MEMBERS)) + PySet_GET_SIZE(PEEK(home, HOME_ARRIVING));
    open += PyLong_AsSsize_t(PEEK(home, HOME_OVERDUE));
    PyObject *arguments[] = {PyLong_FromSsize_t(open), PEEK(home, HOME_OPENED)};
    if (arguments[0] == NULL)
        return -1;
    int result = done_with(PyObject_Vectorcall(PEEK(home, HOME_ON_COUNT), arguments, 2, NULL));
    Py_DECREF(arguments[0]);
    return result;
}

/* As Connections.closed. */
int
prefork_fastpath_closed(FastPath *self, PyObject *connection)
{
    PyObject *home = self->parts[HOME];
    if (PySet_Discard(PEEK(home, HOME_MEMBERS), connection) < 0 || prefork_fastpath_tell_count(self) < 0)
        return -1;
    PyObject *on_room = PEEK(home, HOME_ON_ROOM);
    return on_room == Py_None ? 0 : done_with(PyObject_CallNoArgs(on_room));
}
