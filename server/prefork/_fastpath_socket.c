/* The socket of an accepted connection, as far as an ordinary request needs it: a descriptor.
 *
 * Python's object for it asks the kernel twice (getsockname, ioctl), which costs as much as what it is asked for afterwards. Here that
 * object is made when somebody asks for anything but `fileno`, `shutdown`, `close` and `family`, and then has the last word. */

#include "_fastpath.h"

#include <unistd.h>

PyObject *
prefork_fastpath_accepted(FastPath *self, int fd, int family)
{
    Accepted *me = PyObject_GC_New(Accepted, self->accepted_type);
    if (me == NULL)
        return NULL;
    me->fd = fd;
    me->family = family;
    me->path = (FastPath *)Py_NewRef(self);
    me->real = NULL;
    PyObject_GC_Track(me);
    return (PyObject *)me;
}

/* socket.socket for this descriptor, once. Borrowed; NULL with an exception. */
static PyObject *
real_socket(Accepted *me)
{
    if (me->real != NULL)
        return me->real;
    if (me->fd < 0) { /* one that is closed, to say so */
        PyObject *made = PyObject_CallNoArgs(me->path->parts[SOCKET]);
        if (made != NULL && done_with(PyObject_CallMethodNoArgs(made, me->path->names.close)) < 0)
            Py_CLEAR(made);
        return me->real = made;
    }
    /* SOCK_NONBLOCK: Python shall know what accept4(2) has set already. */
    return me->real = PyObject_CallFunction(me->path->parts[SOCKET], "iiii", me->family, SOCK_STREAM | SOCK_NONBLOCK, 0, me->fd);
}

static PyObject *
accepted_getattro(PyObject *object, PyObject *name)
{
    Accepted *me = (Accepted *)object;
    if (me->real == NULL || name == me->path->names.close || name == me->path->names.real) {
        PyObject *found = PyObject_GenericGetAttr(object, name);
        if (found != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError))
            return found;
        PyErr_Clear();
    }
    PyObject *real = real_socket(me);
    return real == NULL ? NULL : PyObject_GetAttr(real, name);
}

static PyObject *
accepted_fileno(Accepted *me, PyObject *Py_UNUSED(nothing))
{
    return PyLong_FromLong(me->fd);
}

int
prefork_fastpath_close(PyObject *object)
{
    Accepted *me = (Accepted *)object;
    int fd = me->fd;
    me->fd = -1;
    if (me->real != NULL)
        return done_with(PyObject_CallMethodNoArgs(me->real, me->path->names.close));
    /* As Python: who has been reset is closed too, and others' errors there are none. */
    if (fd >= 0 && close(fd) < 0 && errno != ECONNRESET) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

static PyObject *
accepted_close(Accepted *me, PyObject *Py_UNUSED(nothing))
{
    if (prefork_fastpath_close((PyObject *)me) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
accepted_shutdown(Accepted *me, PyObject *how)
{
    long value = PyLong_AsLong(how);
    if (value == -1 && PyErr_Occurred())
        return NULL;
    if (shutdown(me->fd, (int)value) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static int
accepted_traverse(Accepted *me, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(me));
    Py_VISIT(me->path);
    Py_VISIT(me->real);
    return 0;
}

static void
accepted_dealloc(Accepted *me)
{
    PyTypeObject *type = Py_TYPE(me);
    PyObject_GC_UnTrack(me);
    if (me->real == NULL && me->fd >= 0)
        close(me->fd);
    Py_XDECREF(me->real);
    Py_DECREF(me->path);
    PyObject_GC_Del(me);
    Py_DECREF(type);
}

static PyMethodDef accepted_methods[] = {
    {"fileno", (PyCFunction)accepted_fileno, METH_NOARGS, "As that of a socket."},
    {"shutdown", (PyCFunction)accepted_shutdown, METH_O, "As that of a socket."},
    {"close", (PyCFunction)accepted_close, METH_NOARGS, "As that of a socket."},
    {NULL, NULL, 0, NULL},
};

static PyObject *
accepted_real(Accepted *me, void *Py_UNUSED(closure))
{
    return Py_XNewRef(real_socket(me));
}

static PyGetSetDef accepted_properties[] = {
    {"real", (getter)accepted_real, NULL, "Python's socket for it.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef accepted_members[] = {
    {"family", T_INT, offsetof(Accepted, family), READONLY, "As that of a socket, a number."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot accepted_slots[] = {
    {Py_tp_dealloc, accepted_dealloc},
    {Py_tp_traverse, accepted_traverse},
    {Py_tp_getattro, accepted_getattro},
    {Py_tp_methods, accepted_methods},
    {Py_tp_members, accepted_members},
    {Py_tp_getset, accepted_properties},
    {0, NULL},
};

PyType_Spec prefork_accepted_spec = {
    "prefork._fastpath.Accepted",
    sizeof(Accepted),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    accepted_slots,
};
