/* A library whose thread calls back: as fast as it can, or whenever it is asked to. */

#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void (*number_fn)(uint64_t number);
typedef void (*block_fn)(uint64_t number, const char *data, size_t length);

struct job {
    pthread_t thread;
    number_fn number;
    block_fn block;
    uint64_t count;
    size_t length;
    sem_t asked;
};

static void *run_burst(void *argument) {
    struct job *job = argument;
    for (uint64_t i = 0; i < job->count; i++)
        job->number(i);
    return NULL;
}

static void *run_blocks(void *argument) {
    struct job *job = argument;
    char *data = malloc(job->length);
    if (data == NULL)
        abort();
    for (uint64_t i = 0; i < job->count; i++) {
        memset(data, (int)i, 64); /* each call has something else to say */
        job->block(i, data, job->length);
    }
    free(data);
    return NULL;
}

static void *run_asked(void *argument) {
    struct job *job = argument;
    for (uint64_t i = 0; i < job->count; i++) {
        while (sem_wait(&job->asked) != 0)
            ;
        job->number(i);
    }
    return NULL;
}

static struct job *start(void *(*run)(void *), number_fn number, block_fn block, uint64_t count,
                         size_t length) {
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL)
        abort();
    job->number = number;
    job->block = block;
    job->count = count;
    job->length = length;
    if (sem_init(&job->asked, 0, 0) != 0 || pthread_create(&job->thread, NULL, run, job) != 0)
        abort();
    return job;
}

struct job *burst(number_fn number, uint64_t count) { return start(run_burst, number, NULL, count, 0); }

struct job *blocks(block_fn block, uint64_t count, size_t length) {
    return start(run_blocks, NULL, block, count, length);
}

struct job *whenever_asked(number_fn number, uint64_t count) {
    return start(run_asked, number, NULL, count, 0);
}

void ask(struct job *job) { sem_post(&job->asked); }

void join(struct job *job) {
    pthread_join(job->thread, NULL);
    sem_destroy(&job->asked);
    free(job);
}
