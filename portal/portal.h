/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The main thread of the portal: what main.c (daemon, ctld) and lobby.c
 * (listeners, logins) share.
 */
#ifndef PORTAL_PORTAL_H
#define PORTAL_PORTAL_H

#include "portal/catalog.h"
#include "portal/login.h"
#include "portal/registry.h"
#include "portal/thread.h"
#include "proto/daemon.h"

enum {
	GUESTS_MAX = 64, /* connections that are not logged in */
	LISTENERS_MAX = 64,
	LOGIN_TIMEOUT_S = 15,
	SESSIONS_MAX = 1024,
	CONNECTIONS_MAX = 2048,
};

struct portal;

struct listener {
	struct portal *portal;
	ev_io io;
	uint32_t id;
	int fd; /* -1: a free entry */
	uint16_t tpgt;
};

struct portal {
	struct daemon *daemon;
	struct thread threads[THREAD_MAX];
	unsigned n_threads;
	struct mailbox box; /* from the threads */
	struct catalog catalog;
	struct registry registry;
	struct login_limits limits;
	uint32_t max_sessions, max_connections, login_timeout_s;
	struct ping_policy ping;

	struct listener listeners[LISTENERS_MAX];
	bool started;
	bool full; /* not accepting: GUESTS_MAX is reached */
	int reserve; /* a descriptor to give up when there are none */
	struct list guests;
	unsigned n_guests;
	uint64_t next_cookie;
};

/* ---- lobby.c: accepts, runs login dialogues, hands over ---- */

/* Keeps @fd.  0 or -errno; @fd is closed on failure. */
int lobby_listen(struct portal *p, const Tgt__ListenerAdd *add, int fd);
void lobby_unlisten(struct portal *p, uint32_t id);
/* Accepting begins: the daemon's loop exists. */
void lobby_start(struct portal *p);
void lobby_stop(struct portal *p);
/* The answer to a guest's SessionOpen. */
void lobby_session_opened(struct portal *p, const Tgt__SessionOpened *m);
/* ... DiscoveryOpen. */
void lobby_discovery_opened(struct portal *p, const Tgt__DiscoveryOpened *m);

/* ---- main.c ---- */

/* A session is over, wherever it was: tells ctld, lets a successor go. */
void portal_session_over(struct portal *p, struct reg *g);
/* Says which LUNs @heir still has to leave alone. */
void portal_barrier(struct portal *p, struct reg *heir);
void portal_session_close(struct portal *p, uint32_t nexus);

#endif
