/* A C program that takes part in a queue: peer fd|name VERB [COUNT]
 *
 * The records of a sender are numbered and padded: { number, number * 3, ... }. */

#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <penstock.h>

#define BATCH 64

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, penstock_last_error());
    exit(1);
}

static void check(penstock_code code, const char *what)
{
    if (code != PENSTOCK_OK)
        fail(what);
}

/* The bytes of the record of that number: 16 and some more. */
static size_t length_of(uint64_t number)
{
    return 16 + number % 48;
}

static void fill(void *bytes, uint64_t number)
{
    uint64_t head[2];
    head[0] = number;
    head[1] = number * 3;
    memset(bytes, (int)(number & 0xff), length_of(number));
    memcpy(bytes, head, sizeof head);
}

static int is_right(const unsigned char *bytes, size_t length, uint64_t number)
{
    unsigned char wanted[16 + 48];
    fill(wanted, number);
    return length == length_of(number) && memcmp(bytes, wanted, length) == 0;
}

/* Claims and commits in batches whose size changes; for ever if `count` is 0. */
static void produce(penstock_queue *queue, uint64_t count)
{
    uint64_t next = 0;
    while (count == 0 || next < count) {
        penstock_claimed claims[BATCH];
        size_t wanted = 1 + next % BATCH, committed, i;
        if (count != 0 && wanted > count - next)
            wanted = (size_t)(count - next);
        for (i = 0; i < wanted; i++) {
            check(penstock_claim(queue, length_of(next + i), &claims[i]), "claim");
            fill(claims[i].bytes, next + i);
        }
        check(penstock_commit_many(queue, claims, wanted, -1, &committed), "commit");
        if (committed != wanted)
            fail("committed less");
        next += wanted;
        if (count == 0 && next < 2 * BATCH) {
            printf("begun\n");
            fflush(stdout);
        }
    }
    printf("sent %" PRIu64 "\n", next);
}

/* Takes until the queue is shut down; says how many were right. */
static void consume(penstock_queue *queue)
{
    static unsigned char buffer[1 << 12];
    penstock_record records[BATCH];
    uint64_t next = 0;
    for (;;) {
        size_t received, i;
        penstock_code code =
            penstock_receive_many(queue, buffer, sizeof buffer, records, BATCH, -1, &received);
        if (code == PENSTOCK_SHUT_DOWN)
            break;
        check(code, "receive");
        for (i = 0; i < received; i++, next++) {
            if (records[i].kind != PENSTOCK_RAW
                || !is_right(buffer + records[i].offset, records[i].length, next)) {
                fprintf(stderr, "record %" PRIu64 " is wrong\n", next);
                exit(1);
            }
        }
    }
    printf("received %" PRIu64 "\n", next);
}

/* Waits for one record that never comes, with no limit. */
static void park(penstock_queue *queue)
{
    char buffer[64];
    penstock_record record;
    printf("parks\n");
    fflush(stdout);
    check(penstock_receive(queue, buffer, sizeof buffer, &record, -1), "receive");
    printf("received %.*s\n", (int)record.length, buffer);
}

/* Claims, writes, and never commits. */
static void hold(penstock_queue *queue)
{
    penstock_claimed small, large;
    check(penstock_claim(queue, 64, &small), "claim");
    check(penstock_claim(queue, 100000, &large), "claim");
    memset(small.bytes, 1, small.length);
    memset(large.bytes, 1, large.length);
    printf("holds\n");
    fflush(stdout);
    pause();
}

static volatile sig_atomic_t rung;

static void ring(int signal)
{
    (void)signal;
    rung = 1;
}

/* A signal ends a wait, and the handler has run. */
static void interrupted(penstock_queue *queue)
{
    char buffer[64];
    penstock_record record;
    struct sigaction action;
    penstock_code code;
    memset(&action, 0, sizeof action);
    action.sa_handler = ring;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, NULL);
    printf("parks\n");
    fflush(stdout);
    code = penstock_receive(queue, buffer, sizeof buffer, &record, -1);
    printf("%s, %s\n", code == PENSTOCK_INTERRUPTED ? "interrupted" : penstock_last_error(),
           rung ? "rung" : "not rung");
}

/* The child of a fork goes on with the handle, beside its parent. */
static void fork_and_send(penstock_queue *queue)
{
    pid_t child;
    check(penstock_send(queue, "before", 6, -1), "send");
    child = fork();
    check(penstock_send(queue, child == 0 ? "child" : "parent", child == 0 ? 5 : 6, -1), "send");
    if (child == 0)
        _exit(0);
    printf("forked\n");
}

int main(int argc, char **argv)
{
    penstock_queue *queue;
    char *end;
    long fd;
    uint64_t count = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    if (argc < 3 || penstock_abi() != PENSTOCK_ABI)
        return 2;
    fd = strtol(argv[1], &end, 10);
    if (*end == '\0')
        check(penstock_attach((int)fd, &queue), "attach");
    else
        check(penstock_attach_name(argv[1], 10000, &queue), "attach_name");
    if (strcmp(argv[2], "produce") == 0)
        produce(queue, count);
    else if (strcmp(argv[2], "consume") == 0)
        consume(queue);
    else if (strcmp(argv[2], "park") == 0)
        park(queue);
    else if (strcmp(argv[2], "hold") == 0)
        hold(queue);
    else if (strcmp(argv[2], "interrupted") == 0)
        interrupted(queue);
    else if (strcmp(argv[2], "fork") == 0)
        fork_and_send(queue);
    else
        return 2;
    check(penstock_close(queue), "close");
    return 0;
}
