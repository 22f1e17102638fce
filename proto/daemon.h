/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one start-up order of every worker (docs/architecture.md):
 *
 *   options -> connect, HELLO -> receive configuration and descriptors ->
 *   privileged opens -> rlimits -> drop uid/gid/capabilities ->
 *   no_new_privs, landlock, seccomp -> READY -> loop
 *
 * A worker supplies the steps; daemon_main runs them.
 */
#ifndef PROTO_DAEMON_H
#define PROTO_DAEMON_H

#include <ev.h>

#include "proto/chan.h"
#include "proto/sandbox.h"
#include "proto/worker.pb-c.h"

struct daemon {
	const char *instance; /* --instance */
	const char *socket; /* --socket, TGT_WORKER_SOCKET, /run/tgt/worker.sock */
	enum sandbox_mode sandbox; /* --sandbox */
	struct ev_loop *loop;
	struct chan ctld; /* in the loop once READY was sent */
	const struct daemon_steps *steps;
	void *ctx;
	int exit_code;
};

struct daemon_steps {
	const char *name; /* "tgt-scsid" */
	const char *summary; /* one line for --help */
	Tgt__Role role;

	/* A message before ConfigDone.  May take descriptors.  0 or -errno. */
	int (*configure)(struct daemon *d, const Tgt__WorkerMsg *msg,
			 struct chan_msg *m);
	/* Privileged opens; optional.  On failure fills @failed (text is
	 * static or allocated and never freed) and returns -errno. */
	int (*open)(struct daemon *d, Tgt__Failed *failed);
	/* After lock-down: start watchers and threads, fill @ready. */
	int (*start)(struct daemon *d, Tgt__Ready *ready);
	/* A message in the loop.  -EPROTO ends the process. */
	int (*message)(struct daemon *d, const Tgt__WorkerMsg *msg,
		       struct chan_msg *m);
	/* ctld's channel ended; optional (default: log and go on).  */
	void (*orphaned)(struct daemon *d);
	/* SIGTERM; optional (default: break the loop). */
	void (*stop)(struct daemon *d);

	const struct sandbox_rule *rules; /* without the common ones */
	size_t n_rules;
};

/* Returns the exit status of the process. */
int daemon_main(const struct daemon_steps *steps, void *ctx, int argc, char **argv);

/* Sends to ctld; a message that cannot be queued is logged.  0 or -errno. */
int daemon_send(struct daemon *d, const Tgt__WorkerMsg *msg);

/* READY=1, WATCHDOG=1, STATUS=..., FDSTORE=1 with descriptors, to the
 * NOTIFY_SOCKET of the environment (connected by notify_open, before
 * lock-down); a no-op where there is none.  0 or -errno. */
int notify_open(void);
int notify_send(const char *state, const int *fds, int n_fds);

#endif
