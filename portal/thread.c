/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loop of a portal thread: sockets, then every lane with work outstanding,
 * then what is to be sent, then one publish a lane.
 *
 * While commands are in flight it spins for a bounded time that adapts to
 * whether spinning helped lately, yielding each turn; when idle it blocks.
 */
#include "portal/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "portal/conn.h"
#include "portal/session.h"
#include "portal/tcp.h"
#include "portal/tmf.h"

enum {
	SPIN_MAX_NS = 50000,
	SPIN_MIN_NS = 4000,
	SPIN_REST = 16, /* sleeps between attempts when spinning does not help */
	SPIN_SOCKETS = 4, /* turns between looks at the sockets */
	TURN_MAX = 8, /* repetitions before the sockets get their turn */
};

void
thread_ping(struct thread *th, double now)
{
	struct session *s;

	list_for_each(s, &th->sessions, link)
		conn_ping(s->conn, now);
}

static void
on_ping_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct thread *th = container_of(w, struct thread, ping_timer);

	if (list_empty(&th->sessions))
		ev_timer_stop(loop, w);
	else
		thread_ping(th, ev_now(loop));
}

void
thread_ping_start(struct thread *th)
{
	uint32_t least = th->ping.interval_s;

	if (!least || ev_is_active(&th->ping_timer))
		return;
	if (th->ping.timeout_s)
		least = MIN(least, th->ping.timeout_s);
	/* A silence is seen one look after it began, and its end one look late. */
	ev_timer_set(&th->ping_timer, least / 10., least / 10.);
	ev_timer_start(th->loop, &th->ping_timer);
}

int
thread_init(struct thread *th, unsigned index, struct mailbox *main_box,
	    void (*up)(void *owner, struct mail *m), struct catalog *catalog,
	    const struct login_limits *limits)
{
	th->index = index;
	th->main_box = main_box;
	th->up = up;
	th->catalog = catalog;
	th->limits = limits;
	th->spin_ns = SPIN_MAX_NS;
	list_init(&th->planes);
	list_init(&th->busy);
	list_init(&th->dirty_planes);
	list_init(&th->dirty_conns);
	list_init(&th->sessions);
	list_init(&th->ending);
	list_init(&th->farewells);
	list_init(&th->opening);
	tmf_thread_init(th);
	th->rxbuf = malloc(THREAD_RXBUF);
	th->loop = th->rxbuf ? ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV) : NULL;
	if (!th->loop)
		return -ENOMEM;
	mailbox_init(&th->box, th->loop, th);
	ev_init(&th->ping_timer, on_ping_timer);
	return 0;
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
reap(struct thread *th)
{
	struct session *s;
	struct plane *p;

	list_for_each(s, &th->ending, link) {
		if (!s->over)
			continue;
		th->reap = true;
		lunmap_done(s);
		thread_session_over(th, s);
		session_free(s);
	}
	if (!th->reap)
		return;
	th->reap = false;
	list_for_each(p, &th->planes, link) {
		if (p->refs || p->in_use || !list_empty(&p->waiting))
			continue;
		/* A LunOpened on its way may name a lane that nobody uses any
		 * more; after LaneRevoke it cannot. */
		if (p->revoked || list_empty(&th->opening))
			plane_close(p);
		else
			th->reap = true;
	}
}

/* Everything but the sockets.  Returns how much the lanes had to say. */
static int
turn(struct thread *th)
{
	struct plane *p;
	struct conn *c;
	int n = 0, i;

	for (i = 0; i < TURN_MAX; i++) {
		th->again = false;
		list_for_each(p, &th->busy, busy)
			n += plane_poll(p);
		while ((c = list_first(&th->dirty_conns, struct conn, dirty))) {
			list_del(&c->dirty);
			c->ops->flush(c);
		}
		while ((p = list_first(&th->dirty_planes, struct plane, dirty)))
			plane_publish(p);
		reap(th);
		if (!th->again)
			break;
	}
	return n;
}

/* Says on every busy lane that a doorbell is needed; false: something came. */
static bool
sleep_lanes(struct thread *th)
{
	struct plane *p;
	bool quiet = true;

	list_for_each(p, &th->busy, busy)
		if (!p->frozen)
			quiet &= lane_sub_sleep(p->sub);
	return quiet;
}

static void
wake_lanes(struct thread *th)
{
	struct plane *p;

	list_for_each(p, &th->busy, busy)
		lane_sub_wake(p->sub);
}

static void
spin(struct thread *th)
{
	uint64_t start = now_ns();
	bool helped = false;
	unsigned i;

	if (!th->spin_ns && th->spin_rest-- == 0)
		th->spin_ns = SPIN_MIN_NS;
	if (!th->spin_ns)
		return;
	for (i = 1; !list_empty(&th->busy) && !th->stop; i++) {
		sched_yield();
		if (i % SPIN_SOCKETS == 0)
			ev_run(th->loop, EVRUN_NOWAIT);
		if (turn(th)) {
			helped = true;
			start = now_ns();
		} else if (now_ns() - start > th->spin_ns) {
			break;
		}
	}
	if (helped || list_empty(&th->busy)) {
		th->spin_ns = MIN(2 * th->spin_ns, (uint64_t)SPIN_MAX_NS);
	} else {
		th->spin_ns /= 2;
		if (th->spin_ns < SPIN_MIN_NS) {
			th->spin_ns = 0;
			th->spin_rest = SPIN_REST;
		}
	}
}

void
thread_once(struct thread *th)
{
	ev_run(th->loop, EVRUN_NOWAIT);
	turn(th);
}

static void *
run(void *arg)
{
	struct thread *th = arg;

	while (!th->stop) {
		bool quiet = sleep_lanes(th) && !th->again;

		ev_run(th->loop, quiet ? EVRUN_ONCE : EVRUN_NOWAIT);
		wake_lanes(th);
		turn(th);
		if (!list_empty(&th->busy))
			spin(th);
	}
	return NULL;
}

int
thread_start(struct thread *th)
{
	sigset_t all, old;
	int err;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&th->tid, NULL, run, th);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

static void
run_stop(void *owner, struct mail *m)
{
	struct thread *th = owner;

	th->stop = true;
	free(m);
}

void
thread_stop(struct thread *th)
{
	struct mail *m = mail_new(sizeof(*m));

	m->run = run_stop;
	mailbox_post(&th->box, m);
	pthread_join(th->tid, NULL);
}

void
thread_done(struct thread *th)
{
	tcp_end_farewells(th);
	ev_timer_stop(th->loop, &th->tmf_timer);
	ev_loop_destroy(th->loop);
	free(th->rxbuf);
}
