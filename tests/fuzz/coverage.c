/* Which edges of the instrumented code ran: what `gcc -fsanitize-coverage=trace-pc` calls at each basic block. Read by
 * `fuzz.native` through ctypes. Compiled without instrumentation of its own. */

#include <stdint.h>

#define MAP_SIZE 8192

uint8_t prefork_coverage[MAP_SIZE];
static uintptr_t before;

void
__sanitizer_cov_trace_pc(void)
{
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    uint8_t *count = &prefork_coverage[(here ^ (before * 31)) & (MAP_SIZE - 1)];
    if (*count < 255)
        ++*count;
    before = here >> 1;
}
