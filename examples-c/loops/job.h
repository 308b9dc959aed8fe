/* The job that the event loops in this folder have: 1,000 small matrix products and one mistake, by requests whose
 * completions collect in a port. The loop waits for the port's event handle and calls job_step. */
#ifndef JOB_H
#define JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <weft.h>

typedef struct job {
    weft_context context;
    weft_queue queue;
    weft_port port;
    /* Matrices for all products, a place for each result, and a number that is no row of a table. */
    weft_buffer a, b, d, index;
    uint32_t submitted, completed, batches, mistakes;
} job;

/* Creates what the job needs and submits the first requests. Ends the program if that fails. */
void job_begin(job *job);

/* The event handle: readable while completions wait. Watch it, but do not read or close it. */
int job_fd(const job *job);

/* Takes all completions that wait and submits as many requests anew. True when all are complete. Never blocks. */
bool job_step(job *job);

/* Compares the results with a plain computation, prints a line, and gives back what job_begin created. The exit code. */
int job_end(job *job, const char *loop);

#endif
