/* What other compiled parts may do with a seat of the scoreboard without going through Python (`_shared.c`, `ipc/seat.py`). */

#ifndef PREFORK_SEAT_H
#define PREFORK_SEAT_H

#define SEAT_API_NAME "prefork._shared.SEAT_API"

typedef struct {
    PyTypeObject *type; /* of the seats that these functions take */
    /* A step begins; how long its request has waited, in nanoseconds. -1 with an exception. */
    long long (*begin)(PyObject *seat, PyObject *line, PyObject *client, double arrived_s, unsigned long long extension_ns);
    /* It is over. */
    void (*finish)(PyObject *seat, long long status, long long bytes_out, long long bytes_in, long long began_ns);
} SeatApi;

#endif
