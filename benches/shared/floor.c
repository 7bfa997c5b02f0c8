/* What the machine itself charges for a round trip between two processes: one word each way.
 *
 * Compiled when a row needs it, loaded by both sides, called without the interpreter's lock. */

#define _GNU_SOURCE
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct line {
    _Alignas(64) uint32_t there;
    _Alignas(64) uint32_t back;
};

static void await(uint32_t *word, uint32_t value, int sleeps)
{
    uint32_t seen;
    while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != value) {
        if (sleeps)
            syscall(SYS_futex, word, FUTEX_WAIT, seen, 0, 0, 0);
        else
            __builtin_ia32_pause();
    }
}

static void tell(uint32_t *word, uint32_t value, int sleeps)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    if (sleeps)
        syscall(SYS_futex, word, FUTEX_WAKE, 1, 0, 0, 0);
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* Answer `n` words, the first of which follows `before`. */
void echo(struct line *line, uint32_t before, uint32_t n, int sleeps)
{
    for (uint32_t i = 1; i <= n; i++) {
        await(&line->there, before + i, sleeps);
        tell(&line->back, before + i, sleeps);
    }
}

/* Send `n` words and wait for each to come back; `samples` are nanoseconds. */
void trips(struct line *line, uint32_t before, uint32_t n, int sleeps, int64_t *samples)
{
    for (uint32_t i = 1; i <= n; i++) {
        int64_t sent = now();
        tell(&line->there, before + i, sleeps);
        await(&line->back, before + i, sleeps);
        samples[i - 1] = now() - sent;
    }
}
