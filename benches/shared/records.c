/* Writes numbered records of 64 bytes, a batch at a time, as many as it is told to on its input. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 64, BATCH = 256 };

static unsigned char batch[BATCH][SIZE];

/* Each record begins with its number; the rest is what a sensor might say. */
static void fill(uint64_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t number = first + i;
        memcpy(batch[i], &number, sizeof number);
        memset(batch[i] + sizeof number, (int)(number & 0xff), SIZE - sizeof number);
    }
}

static int send_to_pipe(int fd, size_t count)
{
    const unsigned char *next = batch[0];
    size_t left = count * SIZE;
    while (left > 0) {
        ssize_t written = write(fd, next, left);
        if (written < 0)
            return -1;
        next += written;
        left -= (size_t)written;
    }
    return 0;
}

int main(int count, char **arguments)
{
    uint64_t wanted;
    if (count != 3)
        return 2;
    int fd = atoi(arguments[2]);
    while (read(STDIN_FILENO, &wanted, sizeof wanted) == sizeof wanted) {
        for (uint64_t first = 0; first < wanted; first += BATCH) {
            size_t some = wanted - first < BATCH ? (size_t)(wanted - first) : BATCH;
            fill(first, some);
            if (send_to_pipe(fd, some) != 0) {
                perror("records");
                return 1;
            }
        }
    }
    return 0;
}
