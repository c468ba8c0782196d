/* The compiled twin of zygote/orphan.py: a child that is nobody's of ours, with one copy of the address space instead of two.
 *
 * Python's way forks a middle process, which forks the child and ends. Both are copies of a large process, and the first is made
 * for two system calls. Here the middle process borrows the memory of its parent, which the kernel suspends until it has ended
 * (vfork(2)); it forks the child, tells its pid and ends. It runs no code of Python and writes to this stack alone.
 *
 * fork(2) in a process that shares its memory: the C library writes only what belongs to the caller's thread, which is suspended,
 * and the child's own number into the child's own copy.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 512 };

/* What the middle process leaves for whoever goes on; in memory that both see. */
typedef struct {
    pid_t middle;
    pid_t child;
    int error;
} Outcome;

static void
announce(int fd, const char *head, size_t head_size, const char *tail, size_t tail_size, pid_t pid)
{
    if (fd < 0) {
        return;
    }
    char packet[LONGEST + 32];
    memcpy(packet, head, head_size);
    size_t size = head_size + (size_t)snprintf(packet + head_size, 24, "%ld", (long)pid);
    memcpy(packet + size, tail, tail_size);
    /* Nobody is there to be told of a failure: the channel's end tells it. */
    (void)!send(fd, packet, size + tail_size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Returns in the parent, and in the child on its own copy of this stack; never in the middle process. 1: in the child. */
static __attribute__((noinline)) int
borrow_and_fork(volatile Outcome *outcome, int fd, const char *head, size_t head_size, const char *tail, size_t tail_size)
{
    pid_t middle = vfork();
    if (middle < 0) {
        outcome->error = errno;
        return 0;
    }
    if (middle > 0) {
        outcome->middle = middle;
        return 0;
    }
    outcome->middle = getpid();
    pid_t child = fork();
    if (child == 0) {
        return 1;
    }
    if (child < 0) {
        outcome->error = errno;
        _exit(1);
    }
    outcome->child = child;
    announce(fd, head, head_size, tail, tail_size, child);
    _exit(0);
}

/* It has one call left to make when the child sees it; see zygote/hygiene.py, wait_until_adopted. */
static void
wait_until_adopted(pid_t middle)
{
    const struct timespec moment = {0, 500000};
    while (getppid() == middle) {
        nanosleep(&moment, NULL);
    }
}

static PyObject *
orphan_fork(PyObject *module, PyObject *args)
{
    int fd;
    const char *head, *tail;
    Py_ssize_t head_size, tail_size;
    if (!PyArg_ParseTuple(args, "iy#y#:fork", &fd, &head, &head_size, &tail, &tail_size)) {
        return NULL;
    }
    if (head_size + tail_size > LONGEST) {
        PyErr_SetString(PyExc_ValueError, "the announcement is too long");
        return NULL;
    }
    if (PySys_Audit("os.fork", NULL) < 0) {
        return NULL;
    }
    volatile Outcome outcome = {0, 0, 0};
    sigset_t all, before;
    sigfillset(&all);
    PyOS_BeforeFork();
    /* A handler that ran in the middle process would write to the memory of both. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int in_child = borrow_and_fork(&outcome, fd, head, (size_t)head_size, tail, (size_t)tail_size);
    if (in_child) {
        PyOS_AfterFork_Child();
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        wait_until_adopted(outcome.middle);
        Py_RETURN_TRUE;
    }
    int status = 0;
    if (outcome.middle > 0) {
        while (waitpid(outcome.middle, &status, 0) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    PyOS_AfterFork_Parent();
    if (outcome.error) {
        errno = outcome.error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    if (WIFSIGNALED(status)) {
        return PyErr_Format(PyExc_ChildProcessError, "the middle process was ended by signal %d", WTERMSIG(status));
    }
    Py_RETURN_FALSE;
}

static PyMethodDef methods[] = {
    {"fork", orphan_fork, METH_VARARGS, PyDoc_STR("See zygote/orphan.py.")},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "prefork._orphan", .m_size = 0, .m_methods = methods,
};

PyMODINIT_FUNC
PyInit__orphan(void)
{
    return PyModule_Create(&definition);
}
