/* A library that calls back: from threads of its own, or at once from whoever calls it. */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*tick_fn)(uint64_t number, void *user);
typedef int (*text_fn)(int code, const char *text, const int16_t *samples, int count, void *user);
typedef void (*done_fn)(int status, const char *text, void *user);

struct job {
    pthread_t thread;
    tick_fn tick;
    text_fn text;
    void *user;
    uint64_t count;
    atomic_ullong returned; /* calls that have returned */
    atomic_ullong refused;  /* those that were answered with something else than zero */
    atomic_int is_stopped;
};

static void *run_ticks(void *argument) {
    struct job *job = argument;
    for (uint64_t i = 0; i < job->count && !atomic_load(&job->is_stopped); i++) {
        errno = EDOM;
        if (job->tick(i, job->user) != 0)
            atomic_fetch_add(&job->refused, 1);
        if (errno != EDOM)
            abort(); /* a callback must leave it alone */
        atomic_fetch_add(&job->returned, 1);
    }
    return NULL;
}

static void *run_texts(void *argument) {
    struct job *job = argument;
    char text[32];
    int16_t samples[8];
    for (uint64_t i = 0; i < job->count && !atomic_load(&job->is_stopped); i++) {
        int count = (int)(i % 9);
        snprintf(text, sizeof text, "event %llu", (unsigned long long)i);
        for (int k = 0; k < count; k++)
            samples[k] = (int16_t)(-(int)(i % 1000) - k);
        if (job->text(-(int)(i % 1000), text, samples, count, job->user) != 0)
            atomic_fetch_add(&job->refused, 1);
        memset(text, '#', sizeof text - 1); /* it was good during the call only */
        memset(samples, 0x55, sizeof samples);
        atomic_fetch_add(&job->returned, 1);
    }
    return NULL;
}

static struct job *start(void *(*run)(void *), tick_fn tick, text_fn text, void *user, uint64_t count) {
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL)
        abort();
    job->tick = tick;
    job->text = text;
    job->user = user;
    job->count = count;
    if (pthread_create(&job->thread, NULL, run, job) != 0)
        abort();
    return job;
}

struct job *ticks_start(tick_fn tick, void *user, uint64_t count) {
    return start(run_ticks, tick, NULL, user, count);
}

struct job *texts_start(text_fn text, void *user, uint64_t count) {
    return start(run_texts, NULL, text, user, count);
}

void ticks_now(tick_fn tick, void *user, uint64_t count, uint64_t *refused) {
    struct job job = {.tick = tick, .user = user, .count = count};
    run_ticks(&job);
    *refused = atomic_load(&job.refused);
}

uint64_t job_returned(struct job *job) { return atomic_load(&job->returned); }

uint64_t job_refused(struct job *job) { return atomic_load(&job->refused); }

void job_stop(struct job *job) { atomic_store(&job->is_stopped, 1); }

void job_join(struct job *job) {
    pthread_join(job->thread, NULL);
    free(job);
}

/* A library that cleans up when its thread ends: two ticks come from a destructor, and two from the next round. */

static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

static void run_exit(void *argument) {
    struct job *job = argument;
    for (int i = 0; i < 2; i++) {
        job->tick(job->count++, job->user);
        atomic_fetch_add(&job->returned, 1);
    }
    if (!atomic_exchange(&job->is_stopped, 1))
        pthread_setspecific(exit_key, job);
}

static void make_exit_key(void) {
    if (pthread_key_create(&exit_key, run_exit) != 0)
        abort();
}

static void *run_and_exit(void *argument) {
    struct job *job = argument;
    pthread_once(&exit_once, make_exit_key);
    pthread_setspecific(exit_key, job);
    return run_ticks(job);
}

struct job *exit_ticks_start(tick_fn tick, void *user, uint64_t count) {
    return start(run_and_exit, tick, NULL, user, count);
}

/* One operation, one answer: `calls` times, from a thread. Refuses a negative number. */

struct operation {
    int number;
    int calls;
    done_fn done;
    void *user;
};

static void *run_operation(void *argument) {
    struct operation operation = *(struct operation *)argument;
    free(argument);
    for (int i = 0; i < operation.calls; i++) {
        char text[32];
        snprintf(text, sizeof text, "answer %d", i);
        operation.done(operation.number * 2, text, operation.user);
    }
    return NULL;
}

int operate(int number, int calls, done_fn done, void *user) {
    if (number < 0)
        return -1;
    struct operation *operation = malloc(sizeof *operation);
    pthread_t thread;
    if (operation == NULL)
        return -2;
    *operation = (struct operation){number, calls, done, user};
    if (pthread_create(&thread, NULL, run_operation, operation) != 0)
        return -3;
    pthread_detach(thread);
    return 0;
}

/* All kinds of arguments, some of them on the stack, from the calling thread. */

typedef double (*wide_fn)(signed char a, unsigned char b, short c, unsigned short d, int e, unsigned f,
                          long g, unsigned long h, long long i, size_t j, _Bool k, float l, double m,
                          const void *n, float o, double p, double q, double r, double s, double t,
                          float u, double v, int w);

double call_wide(wide_fn wide, int sign) {
    return wide((signed char)(sign * 100), 200, (short)(sign * 30000), 60000, sign * 2000000000, 4000000000u,
                sign * 9000000000000000000L, 18000000000000000000ul, sign * 1LL, 5, sign > 0, 0.5f, -2.25,
                (const void *)0x1234, 3.5f, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5f, 10.5, sign * 7);
}
