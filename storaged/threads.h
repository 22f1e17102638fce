/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bounded pool of threads for system calls that block.  Threads start when
 * the first work that needs them arrives and stay.  Jobs run in the order of
 * submission (with several threads: begin in it); finished jobs come back
 * through a list and an eventfd to the one thread that submits.
 */
#ifndef STORAGED_THREADS_H
#define STORAGED_THREADS_H

#include <stdbool.h>

#include "proto/util.h"

enum { THREADS_DEFAULT = 4, THREADS_MAX = 64 };

/* Embedded in what is to be done; belongs to the pool from threads_submit
 * until threads_reap or threads_cancel gives it back. */
struct thread_job {
	struct list link;
	void (*run)(struct thread_job *j); /* in a pool thread; must not free j */
};

struct threads;

/* @max: 1..THREADS_MAX, 0 for THREADS_DEFAULT.  NULL with errno. */
struct threads *threads_new(unsigned max);

/* Waits for the running jobs; queued ones are run too.  Results not reaped are
 * dropped.  NULL is fine. */
void threads_free(struct threads *t);

/* Queues @j.  Where not even one thread can be started, runs it at once. */
void threads_submit(struct threads *t, struct thread_job *j);

/* True: @j had not begun, will not run and is the caller's again. */
bool threads_cancel(struct threads *t, struct thread_job *j);

/* Readable while finished jobs wait. */
int threads_fd(const struct threads *t);

/* Moves every finished job to the end of @out and clears the eventfd. */
void threads_reap(struct threads *t, struct list *out);

unsigned threads_started(struct threads *t); /* for tests and metrics */

#endif
