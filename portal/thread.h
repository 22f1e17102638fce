/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One event-loop thread of the portal: its sessions, its lanes, its turn.
 * Nothing of a thread is touched by another one; they talk by mail.
 */
#ifndef PORTAL_THREAD_H
#define PORTAL_THREAD_H

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>

#include "portal/login.h"
#include "portal/mailbox.h"
#include "portal/plane.h"

struct catalog;
struct lun_entry;
struct session;

enum { THREAD_MAX = 4, THREAD_RXBUF = 64 << 10 };

/* Looking after silent initiators, seconds; 0: off. */
struct ping_policy {
	uint32_t interval_s; /* a NOP-In when nothing came for so long */
	uint32_t timeout_s; /* the connection ends when that is not answered */
};

struct thread {
	unsigned index;
	struct ev_loop *loop;
	struct mailbox box;
	struct mailbox *main_box;
	void (*up)(void *owner, struct mail *m); /* runs a struct up there */
	struct catalog *catalog;
	const struct login_limits *limits;
	struct ping_policy ping; /* the owner's to set after thread_init() */
	ev_timer ping_timer; /* one for all sessions, none while there is none */
	pthread_t tid;

	struct list planes;
	struct list busy; /* planes with slots in use */
	struct list dirty_planes;
	struct list dirty_conns;
	struct list sessions;
	struct list ending; /* sessions without a connection */
	struct list farewells; /* connections whose peers are to close them */
	struct list opening; /* LUN entries waiting for LunOpened */
	struct list tmfs; /* task management functions to answer, in order */
	ev_timer tmf_timer; /* for the first of them */
	double tmf_patience; /* seconds */
	uint64_t next_cookie;
	bool again; /* this turn made work for another */
	bool reap; /* a lane may be without use */
	bool stop;
	uint64_t spin_ns; /* how long spinning is worth it at the moment */
	unsigned spin_rest; /* sleeps until the next attempt */
	uint8_t *rxbuf; /* THREAD_RXBUF bytes, of whoever reads right now */
};

/* A mail from a thread to the main thread. */
enum up_kind { UP_LUN_OPEN, UP_SESSION_BUSY, UP_SESSION_OVER, UP_LANE_RELEASED, UP_VIOLATION };
struct up {
	struct mail mail;
	enum up_kind kind;
	struct thread *th;
	uint64_t id; /* session, or cookie */
	uint64_t lun;
	uint32_t nexus, lane;
	char text[120];
	size_t n_busy;
	uint64_t busy[]; /* UP_SESSION_BUSY: LUNs */
};

/* Before lock-down: the loop and its descriptors.  0 or -errno. */
int thread_init(struct thread *th, unsigned index, struct mailbox *main_box,
		void (*up)(void *owner, struct mail *m), struct catalog *catalog,
		const struct login_limits *limits);
/* After lock-down.  0 or -errno. */
int thread_start(struct thread *th);
/* One pass over sockets and lanes without waiting, for a thread that was not
 * started: tests drive it by hand. */
void thread_once(struct thread *th);
/* A session has come: pings begin, if there are any. */
void thread_ping_start(struct thread *th);
/* Looks after all sessions at @now, seconds of the loop's clock; for the timer
 * and for tests. */
void thread_ping(struct thread *th, double now);
/* Ends the loop, cancelling nothing, and joins. */
void thread_stop(struct thread *th);
/* Frees the loop of a thread that does not run and has no session. */
void thread_done(struct thread *th);

/* ---- from the main thread ---- */

struct session_offer {
	uint64_t id;
	uint32_t nexus;
	int fd; /* consumed */
	uint32_t *visible; /* of a discovery session, malloc'ed: consumed */
	size_t n_visible;
	bool held;
	struct login_result login;
};
void thread_add_session(struct thread *th, const struct session_offer *offer);
/* Closes it; UP_SESSION_OVER follows (also when it is already gone: once). */
void thread_end_session(struct thread *th, uint64_t id);
/* The older incarnations have no command left but on these LUNs. */
void thread_go_session(struct thread *th, uint64_t id, const uint64_t *lun, size_t n);
/* @cfg only when @is_new; its descriptors are consumed. @err: positive errno. */
void thread_lun_opened(struct thread *th, uint64_t cookie, int err, uint32_t lane,
		       const struct plane_config *cfg);
void thread_epoch(struct thread *th, uint32_t lane, uint32_t epoch);
void thread_revoke(struct thread *th, uint32_t lane);
/* @n 0: all LUNs of the target. */
void thread_invalidate(struct thread *th, const char *target, const uint64_t *lun, size_t n);

/* ---- from the thread itself ---- */

void thread_lun_open(struct thread *th, struct lun_entry *e);
void thread_session_busy(struct thread *th, const struct session *s, const uint64_t *lun,
			 size_t n);
void thread_session_over(struct thread *th, const struct session *s);
void thread_lane_released(struct thread *th, uint32_t lane);
void thread_violation(struct thread *th, uint32_t lane, const char *what);

#endif
