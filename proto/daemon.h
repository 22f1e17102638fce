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

#define TGT_VERSION "0.1"

struct daemon {
	const char *instance; /* --instance */
	const char *socket; /* --socket, TGT_WORKER_SOCKET, /run/tgt/worker.sock */
	enum sandbox_mode sandbox; /* --sandbox */
	struct ev_loop *loop;
	struct chan ctld; /* usable from the start step on; read after READY */
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
	/* A message in the loop.  -EPROTO ends the process, another -errno is
	 * logged. */
	int (*message)(struct daemon *d, const Tgt__WorkerMsg *msg,
		       struct chan_msg *m);
	/* ctld's channel ended and is closed; optional (default: break the
	 * loop).  Must end the process within 5 s. */
	void (*orphaned)(struct daemon *d);
	/* SIGTERM; optional (default: break the loop). */
	void (*stop)(struct daemon *d);

	/* EVBACKEND_...; 0: epoll. */
	unsigned loop_backend;

	const struct sandbox_rule *rules; /* without the common ones */
	size_t n_rules;
};

/*
 * Runs the steps.  Options: --instance NAME --socket PATH
 * --sandbox=enforce|log --verbose --help --version.  SIGTERM and SIGINT kill
 * as usual until the loop is entered, then run the stop step.
 * Returns the exit status of the process: 0, 1 failure, 2 usage.  The struct
 * daemon and its loop stay valid afterwards, so that main can stop watchers and
 * free; the channel is closed.
 */
int daemon_main(const struct daemon_steps *steps, void *ctx, int argc, char **argv);

/* From the start step on: leave the loop, exit with @code. */
void daemon_exit(struct daemon *d, int code);

/* Sends to ctld; a message that cannot be queued is logged.  0 or -errno. */
int daemon_send(struct daemon *d, const Tgt__WorkerMsg *msg);

/* READY=1, WATCHDOG=1, STATUS=..., FDSTORE=1 with descriptors, to the
 * NOTIFY_SOCKET of the environment (connected by notify_open, before
 * lock-down); a no-op where there is none.  0 or -errno. */
int notify_open(void);
/* Half of WATCHDOG_USEC in seconds if this process is watched, else 0. */
double notify_watchdog_period(void);
int notify_send(const char *state, const int *fds, int n_fds);

#endif
