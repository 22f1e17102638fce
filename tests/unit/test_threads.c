/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storaged/threads.c: every job runs once and comes back once, in no more
 * threads than allowed, and none before the first job.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "storaged/threads.h"
#include "tests/unit/tap.h"

struct work {
	struct thread_job job;
	atomic_int runs;
	int reaps;
};

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void
count(struct thread_job *j)
{
	struct work *w = container_of(j, struct work, job);

	atomic_fetch_add(&w->runs, 1);
}

static void
wait_at_gate(struct thread_job *j)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	count(j);
}

static int
reap(struct threads *t, int wait_ms)
{
	struct pollfd p = { .fd = threads_fd(t), .events = POLLIN };
	struct list out = LIST_INIT(out);
	struct thread_job *j;
	int n = 0;

	poll(&p, 1, wait_ms);
	threads_reap(t, &out);
	while ((j = list_first(&out, struct thread_job, link))) {
		list_del(&j->link);
		container_of(j, struct work, job)->reaps++;
		n++;
	}
	return n;
}

static void
test_limits(void)
{
	struct threads *t = threads_new(0);

	CHECK(t != NULL);
	CHECK_EQ(threads_started(t), 0);
	CHECK_EQ(reap(t, 0), 0);
	threads_free(t);
	threads_free(NULL);
	CHECK(threads_new(THREADS_MAX + 1) == NULL);
}

static void
test_every_job_once(void)
{
	static struct work w[500];
	struct threads *t = threads_new(3);
	int got = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(w); i++) {
		w[i].job.run = count;
		threads_submit(t, &w[i].job);
		if (i % 7 == 0)
			got += reap(t, 0);
	}
	for (int tries = 0; got < (int)ARRAY_SIZE(w) && tries < 1000; tries++)
		got += reap(t, 1000);
	CHECK_EQ(got, ARRAY_SIZE(w));
	CHECK(threads_started(t) >= 1 && threads_started(t) <= 3);
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++)
		CHECK(atomic_load(&w[i].runs) == 1 && w[i].reaps == 1);
	threads_free(t);
}

/* A job that waits must not hold up one that a further thread could run. */
static void
test_starts_more_when_busy(void)
{
	struct work slow = { .job.run = wait_at_gate }, fast = { .job.run = count };
	struct threads *t = threads_new(2);

	pthread_mutex_lock(&gate);
	threads_submit(t, &slow.job);
	threads_submit(t, &fast.job);
	CHECK_EQ(reap(t, 5000), 1);
	CHECK_EQ(fast.reaps, 1);
	CHECK_EQ(threads_started(t), 2);
	CHECK_EQ(reap(t, 0), 0); /* and the eventfd is clear again */
	pthread_mutex_unlock(&gate);
	CHECK_EQ(reap(t, 5000), 1);
	CHECK_EQ(slow.reaps, 1);
	threads_free(t);
}

static void
test_reuses_idle(void)
{
	struct work w = { .job.run = count };
	struct threads *t = threads_new(4);

	for (int i = 0; i < 20; i++) {
		threads_submit(t, &w.job);
		CHECK_EQ(reap(t, 5000), 1);
		usleep(1000); /* so that the thread is idle again */
	}
	CHECK(threads_started(t) <= 2);
	threads_free(t);
}

static void
test_cancel(void)
{
	struct work slow = { .job.run = wait_at_gate }, queued = { .job.run = count };
	struct threads *t = threads_new(1);

	pthread_mutex_lock(&gate);
	threads_submit(t, &slow.job);
	usleep(20000); /* so that it has begun */
	threads_submit(t, &queued.job);
	CHECK(threads_cancel(t, &queued.job));
	CHECK(!threads_cancel(t, &queued.job));
	CHECK(!threads_cancel(t, &slow.job));
	pthread_mutex_unlock(&gate);
	CHECK_EQ(reap(t, 5000), 1);
	CHECK(!threads_cancel(t, &slow.job));
	threads_free(t);
	CHECK_EQ(atomic_load(&queued.runs), 0);
	CHECK_EQ(atomic_load(&slow.runs), 1);
}

static void
test_free_runs_what_is_queued(void)
{
	struct work w[8] = { 0 };
	struct threads *t = threads_new(2);

	for (unsigned i = 0; i < ARRAY_SIZE(w); i++) {
		w[i].job.run = count;
		threads_submit(t, &w[i].job);
	}
	threads_free(t);
	for (unsigned i = 0; i < ARRAY_SIZE(w); i++)
		CHECK_EQ(atomic_load(&w[i].runs), 1);
}

int
main(void)
{
	TEST(test_limits);
	TEST(test_every_job_once);
	TEST(test_starts_more_when_busy);
	TEST(test_reuses_idle);
	TEST(test_cancel);
	TEST(test_free_runs_what_is_queued);
	return tap_done();
}
