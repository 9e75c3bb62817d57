/* A wall clock that is wrong by CLOCK_SHIFT_SECONDS, for one process: loaded before the C library. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = syscall(SYS_clock_gettime, clock, time);
    const char *shift = getenv("CLOCK_SHIFT_SECONDS");
    if (result == 0 && shift && clock == CLOCK_REALTIME)
        time->tv_sec += atol(shift);
    return result;
}
