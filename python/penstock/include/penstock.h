/* penstock.h: the C interface of SharedQueue, penstock's queue between processes.
 *
 * A queue is one shared-memory segment. Python makes it; a C program joins it by its descriptor or by its
 * name, and then puts and takes records of bytes. Every process may be killed or stopped at any
 * instruction: what it had sent is taken by the others, what waited beside it goes on.
 *
 * Every function
 *  - may be called from any thread at any time, on the same handle too, except where its comment says otherwise;
 *  - returns a penstock_code; with anything but PENSTOCK_OK nothing was changed, except where its comment says
 *    otherwise, and penstock_last_error() tells the calling thread what happened and what to do;
 *  - never ends the process, throws, or lets go of memory that is the caller's. Memory that the caller gets
 *    to see stays penstock's: there is nothing to free;
 *  - is not for signal handlers. Signals are left as they are: a handler runs at once, and a wait that it
 *    interrupted returns PENSTOCK_INTERRUPTED. penstock's own threads block all signals.
 * After a fork the child may go on with the handles: it joins the queues by itself, as another process.
 * Claims are its parent's.
 *
 * Times are milliseconds: 0 does not wait, a negative number waits without limit. A wait sleeps, and costs
 * nothing meanwhile.
 *
 * C99 and C++. Link with the file that penstock.library_path() names, or open it with dlopen; it needs no
 * Python. What lies between the two lines "declarations" can be given to cffi as it is.
 */
#ifndef PENSTOCK_H
#define PENSTOCK_H

#include <stddef.h>
#include <stdint.h>

/* The version of this interface. It is raised when something that was there changes; penstock_abi() is
 * that of the library. */
#define PENSTOCK_ABI 1

#ifdef __cplusplus
extern "C" {
#endif

/* ---- declarations ---- */

typedef enum penstock_code {
    PENSTOCK_OK = 0,
    PENSTOCK_EMPTY = 1,             /* nothing came in the time given */
    PENSTOCK_FULL = 2,              /* there was no room in the time given */
    PENSTOCK_INTERRUPTED = 3,       /* a signal handler ran during the wait: look, call again */
    PENSTOCK_SHUT_DOWN = 4,         /* the queue was shut down and, for a taker, nothing is left */
    PENSTOCK_CLOSED = 5,            /* this handle was closed */
    PENSTOCK_BAD_HANDLE = 6,        /* no handle of this process */
    PENSTOCK_BAD_CLAIM = 7,         /* no claim of this thread and handle, or one that has ended */
    PENSTOCK_BAD_ARGUMENT = 8,      /* a pointer that is missing, a number that makes no sense */
    PENSTOCK_TOO_LARGE = 9,         /* the record can never fit into this queue */
    PENSTOCK_TOO_SMALL = 10,        /* the record is larger than the buffer, and waits for a larger one */
    PENSTOCK_CROWDED = 11,          /* no seat is free in the queue, or no handle in this process */
    PENSTOCK_NOT_A_QUEUE = 12,      /* the descriptor is not that of a queue */
    PENSTOCK_OTHER_VERSION = 13,    /* the queue was made by a penstock with another layout */
    PENSTOCK_OTHER_NAMESPACE = 14,  /* the queue belongs to another pid namespace */
    PENSTOCK_NOT_FOUND = 15,        /* no living process of this user has a queue of that name */
    PENSTOCK_LEASE_LOST = 16,       /* the lease was over: somebody else has the record, or will */
    PENSTOCK_NO_MEMORY = 17,        /* the system has no memory for it, or this cgroup none left */
    PENSTOCK_DAMAGED = 18,          /* what lies in the segment does not add up */
    PENSTOCK_SYSTEM = 19,           /* a system call failed: the message has its error */
    PENSTOCK_FAULT = 20             /* a fault in penstock itself; please report it */
} penstock_code;

/* A queue that this process takes part in. Never followed as a pointer, so a stale or foreign one is
 * recognised: PENSTOCK_CLOSED or PENSTOCK_BAD_HANDLE. */
typedef struct penstock_queue penstock_queue;

/* Bytes to be sent. */
typedef struct penstock_bytes {
    const void *bytes;
    size_t length;
} penstock_bytes;

/* Room for one record, to be written to and then committed or abandoned. */
typedef struct penstock_claimed {
    void *bytes;    /* `length` of them; aligned to 16 */
    size_t length;  /* may be lowered before the commit */
    uint64_t token; /* penstock's own; 0 when the claim has ended */
} penstock_claimed;

/* What a record from a queue with ack=True is acknowledged by. */
typedef struct penstock_lease {
    uint64_t entry; /* both 0: nothing has to be acknowledged */
    uint64_t generation;
} penstock_lease;

/* A record that was received. */
typedef struct penstock_record {
    size_t offset;    /* where it begins in the buffer: a multiple of 8 */
    size_t length;    /* its bytes */
    penstock_lease lease;
    uint32_t kind;    /* a penstock_kind */
    uint32_t buffers; /* of a pickle or an array: how many large buffers stand behind the stream, in `length` too */
} penstock_record;

/* What the bytes of a record are. C programs send raw ones, which Python takes as bytes objects. The
 * others come from Python's put and aput; here they are bytes as they are in the queue. Other numbers
 * may come up later. */
typedef enum penstock_kind {
    PENSTOCK_RAW = 0,        /* bytes: from C, from put_bytes, or an object that was bytes */
    PENSTOCK_VIEW = 1,       /* bytes that Python takes as a memoryview */
    PENSTOCK_SHORT = 2,      /* a value in penstock's own short code, which may change */
    PENSTOCK_PICKLE = 3,     /* a pickle stream, and its large buffers behind it */
    PENSTOCK_TEXT_LATIN1 = 4, /* a string whose characters take 1 byte each */
    PENSTOCK_TEXT_UCS2 = 5,  /* 2 bytes each, in this machine's order */
    PENSTOCK_TEXT_UCS4 = 6,  /* 4 bytes each, in this machine's order */
    PENSTOCK_ARRAY = 7,      /* a numpy array: a head that may change, and its content behind it */
    PENSTOCK_MIXED = 8       /* as SHORT, with numpy arrays in it, whose content stands behind it */
} penstock_kind;

/* What can be waited for. */
typedef enum penstock_side {
    PENSTOCK_ITEMS = 0, /* a record to take */
    PENSTOCK_ROOM = 1   /* room to put one */
} penstock_side;

/* The figures of a queue at one moment: those of all processes first, then this handle's own. */
typedef struct penstock_figures {
    uint64_t items;           /* inside now */
    uint64_t bytes;           /* what they take */
    uint64_t leased;          /* out under a lease now */
    uint64_t participants;    /* processes that take part now */
    uint64_t dead;            /* processes that died and whose records are still in use */
    uint64_t waiting_getters; /* processes in which somebody waits for a record now */
    uint64_t waiting_putters; /* processes in which somebody waits for room now */
    uint64_t max_bytes;       /* what may be inside; the largest record */
    uint64_t max_items;       /* how many may be inside; 0 without a bound */
    uint64_t sent;            /* records sent so far */
    uint64_t taken;           /* records taken so far */
    uint64_t wakes;           /* sleepers woken; none while the others are awake */
    uint64_t system_calls;    /* system calls made for that */
    uint64_t burials;         /* deaths noticed first */
} penstock_figures;

/* --- versions and errors --- */

/* PENSTOCK_ABI as the library has it. */
uint32_t penstock_abi(void);

/* The layout of the segments that the library reads: processes with different ones refuse each other. */
uint32_t penstock_layout(void);

/* penstock's version, such as "0.1.0"; valid for ever. */
const char *penstock_version(void);

/* What a code says, in a few words; valid for ever. Unknown codes have a text, too. */
const char *penstock_error_message(penstock_code code);

/* Why the calling thread's last call that failed did: the queue, the numbers, what to do. "" before any.
 * Valid until this thread's next call into penstock; at most 511 bytes, UTF-8. */
const char *penstock_last_error(void);

/* --- joining and leaving --- */

/* Joins the queue behind a descriptor (SharedQueue.fileno() in Python, inherited over exec or received
 * over a socket). The descriptor is duplicated: it stays the caller's, who may close it. Each handle takes
 * a seat in the queue with its first record: there are 64, 8 of them for those who begin by taking. */
penstock_code penstock_attach(int fd, penstock_queue **queue);

/* Joins the queue that Python made with SharedQueue(name=...), through any living process that has it;
 * waits up to `timeout` for one to answer. Processes of the same user, pid and network namespace only. */
penstock_code penstock_attach_name(const char *name, int64_t timeout, penstock_queue **queue);

/* Leaves the queue. Calls on this handle in other threads return PENSTOCK_CLOSED, waits at once. What was
 * sent stays in the queue; claims, and a record that was too large for its buffer, are dropped. Leaving
 * is not needed: a process that ends, however it ends, is seen to. */
penstock_code penstock_close(penstock_queue *queue);

/* --- sending --- */

/* Puts a copy of the bytes into the queue as one record, waiting for room up to `timeout`. */
penstock_code penstock_send(penstock_queue *queue, const void *bytes, size_t length, int64_t timeout);

/* Puts `count` records in, in order, waiting for room up to `timeout` for all of them. One step and at
 * most one wake for up to 256 of them: much cheaper than one by one. `*sent` says how many went in,
 * whatever is returned: those stay in. */
penstock_code penstock_send_many(penstock_queue *queue, const penstock_bytes *records, size_t count,
                                 int64_t timeout, size_t *sent);

/* --- writing in place --- */

/* Room for a record of up to `length` bytes, to be written to by the calling thread. It is in the queue only
 * when it is committed: a process that dies before leaves nothing. Never waits. More than 16 KiB are in
 * shared memory already, if there is room there, and are not copied again; less are in memory of this
 * thread, and copied once by the commit (a record in the lane itself would keep the process's other
 * threads from sending until it is committed). The bytes are not cleared. A claim ends with its
 * thread. */
penstock_code penstock_claim(penstock_queue *queue, size_t length, penstock_claimed *claim);

/* Puts the claimed record into the queue, waiting for room up to `timeout`. With PENSTOCK_OK the claim has
 * ended; otherwise it is as it was. For the thread that claimed. */
penstock_code penstock_commit(penstock_queue *queue, penstock_claimed *claim, int64_t timeout);

/* Commits `count` claims, in the order given, as penstock_send_many does: the first `*committed` of them have
 * ended then, the others are as they were. For the thread that claimed. */
penstock_code penstock_commit_many(penstock_queue *queue, penstock_claimed *claims, size_t count,
                                   int64_t timeout, size_t *committed);

/* Ends a claim; nothing is sent. For the thread that claimed. */
penstock_code penstock_abandon(penstock_queue *queue, penstock_claimed *claim);

/* --- receiving --- */

/* Takes the oldest record into `buffer`, waiting for one up to `timeout`; `record` says what it is. With
 * PENSTOCK_TOO_SMALL record->length says how many bytes it has: it was taken and stays with this handle,
 * which hands it out next, to a buffer that is large enough. No record is larger than the queue's
 * max_bytes. A record that was taken dies with its taker, unless the queue has ack=True. */
penstock_code penstock_receive(penstock_queue *queue, void *buffer, size_t capacity,
                               penstock_record *record, int64_t timeout);

/* Takes between 1 and `max` records, as many as there are and fit, waiting for the first up to `timeout`. They
 * stand in `buffer` one behind the other, each from a multiple of 8 on; `records` say where. `*received`
 * says how many. One step for all of them: much cheaper than one by one. Records that were taken in that
 * step and did not fit stay with this handle, too, and come first in the next call. PENSTOCK_TOO_SMALL as
 * in penstock_receive, with the length in records[0]. */
penstock_code penstock_receive_many(penstock_queue *queue, void *buffer, size_t capacity,
                                    penstock_record *records, size_t max, int64_t timeout,
                                    size_t *received);

/* Says that a record from a queue with ack=True was dealt with: nobody else gets it. PENSTOCK_LEASE_LOST if the
 * lease was over before. Until then a record goes to another taker when this process dies or the queue's
 * lease time is up. */
penstock_code penstock_acknowledge(penstock_queue *queue, penstock_lease lease);

/* Hands a record from a queue with ack=True back, for the next taker, who may be this one. */
penstock_code penstock_give_back(penstock_queue *queue, penstock_lease lease);

/* --- the queue as a whole --- */

/* Waits until there is a record to take, or room for one: PENSTOCK_OK, or PENSTOCK_EMPTY or PENSTOCK_FULL
 * when the time is up. Another taker or sender may be quicker still. */
penstock_code penstock_wait(penstock_queue *queue, penstock_side side, int64_t timeout);

/* Refuses further records from everybody in every process, and wakes all who wait. What is inside can still
 * be taken, unless `immediate` is not 0: then it is dropped. Cannot be undone. */
penstock_code penstock_shutdown(penstock_queue *queue, int immediate);

/* The figures now; `size` is sizeof(penstock_figures), so that a program built against another version gets
 * those that both know. */
penstock_code penstock_statistics(penstock_queue *queue, penstock_figures *figures, size_t size);

/* ---- declarations ---- */

#ifdef __cplusplus
}
#endif

#endif
