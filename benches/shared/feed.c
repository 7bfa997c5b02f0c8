/* Sends numbered records of 64 bytes into a shared queue, a batch at a time, as many as it is told to on
 * its input: feed send|claim FD. The records are those of records.c. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <penstock.h>

enum { SIZE = 64, BATCH = 256 };

static unsigned char batch[BATCH][SIZE];
static penstock_bytes spans[BATCH];
static penstock_claimed claims[BATCH];

static void fill(unsigned char *record, uint64_t number)
{
    memcpy(record, &number, sizeof number);
    memset(record + sizeof number, (int)(number & 0xff), SIZE - sizeof number);
}

/* From memory of its own. */
static penstock_code send_batch(penstock_queue *queue, uint64_t first, size_t count)
{
    size_t sent;
    for (size_t i = 0; i < count; i++)
        fill(batch[i], first + i);
    return penstock_send_many(queue, spans, count, -1, &sent);
}

/* Into memory that penstock has made room in. */
static penstock_code commit_batch(penstock_queue *queue, uint64_t first, size_t count)
{
    size_t committed;
    for (size_t i = 0; i < count; i++) {
        penstock_code code = penstock_claim(queue, SIZE, &claims[i]);
        if (code != PENSTOCK_OK)
            return code;
        fill(claims[i].bytes, first + i);
    }
    return penstock_commit_many(queue, claims, count, -1, &committed);
}

int main(int count, char **arguments)
{
    penstock_queue *queue;
    uint64_t wanted;
    if (count != 3)
        return 2;
    int claims_first = strcmp(arguments[1], "claim") == 0;
    if (penstock_attach(atoi(arguments[2]), &queue) != PENSTOCK_OK) {
        fprintf(stderr, "feed: %s\n", penstock_last_error());
        return 1;
    }
    for (size_t i = 0; i < BATCH; i++)
        spans[i] = (penstock_bytes){batch[i], SIZE};
    while (read(STDIN_FILENO, &wanted, sizeof wanted) == sizeof wanted) {
        for (uint64_t first = 0; first < wanted; first += BATCH) {
            size_t some = wanted - first < BATCH ? (size_t)(wanted - first) : BATCH;
            penstock_code code = claims_first ? commit_batch(queue, first, some)
                                              : send_batch(queue, first, some);
            if (code != PENSTOCK_OK) {
                fprintf(stderr, "feed: %s\n", penstock_last_error());
                return 1;
            }
        }
    }
    return 0;
}
