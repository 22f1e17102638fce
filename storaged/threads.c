/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bounded thread pool (threads.h).  Must not touch what a job is about,
 * allocate after threads_new, or create processes: clone(2) with CLONE_THREAD
 * is all that the sandbox allows.
 */
#include "storaged/threads.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* preadv, pwritev and fdatasync need next to nothing; a sanitizer needs more. */
enum { STACK_SIZE = 256 << 10 };

struct threads {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list queue; /* jobs that wait */
	struct list finished; /* jobs to reap */
	unsigned max, started, idle, queued;
	bool ending;
	atomic_bool some; /* finished is not empty */
	int fd;
	pthread_attr_t attr;
	pthread_t thread[];
};

static void
ring(struct threads *t)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(t->fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	/* EAGAIN: the counter is full, so it is readable all the same. */
}

/* With the lock held, so that "list not empty", "some" and "eventfd readable"
 * are one fact; the bell last, so that who hears it sees the others. */
static void
finish(struct threads *t, struct thread_job *j)
{
	if (list_empty(&t->finished)) {
		atomic_store_explicit(&t->some, true, memory_order_release);
		ring(t);
	}
	list_add_tail(&t->finished, &j->link);
}

static void *
worker(void *arg)
{
	struct threads *t = arg;
	struct thread_job *j;

	pthread_mutex_lock(&t->lock);
	for (;;) {
		while (!t->queued && !t->ending) {
			t->idle++;
			pthread_cond_wait(&t->work, &t->lock);
			t->idle--;
		}
		if (!t->queued)
			break;
		j = list_first(&t->queue, struct thread_job, link);
		list_del(&j->link);
		t->queued--;
		pthread_mutex_unlock(&t->lock);
		j->run(j);
		pthread_mutex_lock(&t->lock);
		finish(t, j);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

struct threads *
threads_new(unsigned max)
{
	struct threads *t;
	int err;

	if (!max)
		max = THREADS_DEFAULT;
	if (max > THREADS_MAX) {
		errno = EINVAL;
		return NULL;
	}
	t = calloc(1, sizeof(*t) + max * sizeof(t->thread[0]));
	if (!t)
		return NULL;
	t->max = max;
	list_init(&t->queue);
	list_init(&t->finished);
	t->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->fd < 0) {
		err = errno;
		free(t);
		errno = err;
		return NULL;
	}
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	pthread_attr_init(&t->attr);
	pthread_attr_setstacksize(&t->attr, STACK_SIZE);
	return t;
}

void
threads_free(struct threads *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->ending = true;
	pthread_cond_broadcast(&t->work);
	pthread_mutex_unlock(&t->lock);
	for (unsigned i = 0; i < t->started; i++)
		pthread_join(t->thread[i], NULL);
	pthread_attr_destroy(&t->attr);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	close(t->fd);
	free(t);
}

/* With the lock held.  Signals belong to the loop's thread, so the new one
 * inherits a mask that blocks them all. */
static bool
start_one(struct threads *t)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&t->thread[t->started], &t->attr, worker, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return false;
	t->started++;
	return true;
}

void
threads_submit(struct threads *t, struct thread_job *j)
{
	bool queue;

	pthread_mutex_lock(&t->lock);
	if (t->idle <= t->queued && t->started < t->max)
		start_one(t); /* a failure matters only if there is no other */
	queue = t->started > 0;
	if (queue) {
		list_add_tail(&t->queue, &j->link);
		t->queued++;
		pthread_cond_signal(&t->work);
	} else {
		j->run(j);
		finish(t, j);
	}
	pthread_mutex_unlock(&t->lock);
}

bool
threads_cancel(struct threads *t, struct thread_job *j)
{
	struct thread_job *q;
	bool found = false;

	pthread_mutex_lock(&t->lock);
	list_for_each(q, &t->queue, link) {
		if (q != j)
			continue;
		list_del(&j->link);
		t->queued--;
		found = true;
		break;
	}
	pthread_mutex_unlock(&t->lock);
	return found;
}

int
threads_fd(const struct threads *t)
{
	return t->fd;
}

void
threads_reap(struct threads *t, struct list *out)
{
	struct thread_job *j;
	uint64_t count;
	ssize_t n;

	/* Asked once a turn: costs a load when there is nothing. */
	if (!atomic_load_explicit(&t->some, memory_order_acquire))
		return;
	pthread_mutex_lock(&t->lock);
	do
		n = read(t->fd, &count, sizeof(count));
	while (n < 0 && errno == EINTR);
	atomic_store_explicit(&t->some, false, memory_order_relaxed);
	list_for_each(j, &t->finished, link) {
		list_del(&j->link);
		list_add_tail(out, &j->link);
	}
	pthread_mutex_unlock(&t->lock);
}

unsigned
threads_started(struct threads *t)
{
	unsigned n;

	pthread_mutex_lock(&t->lock);
	n = t->started;
	pthread_mutex_unlock(&t->lock);
	return n;
}
