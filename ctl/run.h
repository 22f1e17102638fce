/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-run from the inside: one struct run, and the parts that share it.
 *
 *   run_main.c    start and end
 *   run_args.c    the command line as a table
 *   run_dirs.c    directories and sockets: made, found, removed
 *   run_units.c   restart, stop, watchdog, why a process died
 *   run_exec.c    between fork and exec
 *   run_ctld.c    the conversation with tgt-ctld; TCP listeners
 *   run_notify.c  the sd_notify subset: READY, WATCHDOG, FDSTORE
 *   run_export.c  --lun: a control client that sets up the export
 *   run_print.c   --lun: what the user gets to read
 *   run_log.c     --lun: the log lines of the processes, held back and filtered
 *
 * tgt-run never parses the bytes of an initiator, and never of an operator.
 */
#ifndef CTL_RUN_H
#define CTL_RUN_H

#include <ev.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/run_rules.h"
#include "proto/chan.h"
#include "proto/control.pb-c.h"
#include "proto/sandbox.h"
#include "proto/util.h"
#include "proto/worker.pb-c.h"

enum {
	RUN_UNITS_MAX = 16384,
	RUN_LISTENERS_MAX = 1024,
	RUN_STORE_MAX = 65536, /* descriptors kept for tgt-ctld */
	RUN_EXPORTS_MAX = 256, /* --lun and --null of one command line */
	RUN_INITIATORS_MAX = 64,
};

/* A path long enough for everything below a runtime directory. */
#define RUN_PATH_MAX 512

struct run;

struct run_unit {
	struct list link;
	struct run *run;
	struct run_unit_name id;
	char name[RUN_UNIT_MAX]; /* "tgt-scsid@NAME", "tgt-ctld" */
	pid_t pid; /* 0: not running */
	int gate; /* the child execs when this closes; -1: it has */
	bool wanted; /* to be restarted */
	bool ready;
	bool hung; /* the watchdog killed it */
	ev_tstamp started;
	struct run_backoff backoff;
	ev_tstamp watchdog_due;
	ev_timer restart, watchdog, kill;
};

struct run_listener {
	struct list link;
	char *name;
	char addr[64];
	uint32_t port;
	int fd;
};

/* A descriptor that tgt-ctld stored. */
struct run_stored {
	struct list link;
	int fd;
	char name[];
};

/* One --lun or --null. */
struct run_export {
	const char *arg; /* as given */
	char path[PATH_MAX]; /* absolute; "" for --null */
	char name[RUN_INSTANCE_MAX + 1];
	uint64_t size;
	uint32_t block_size;
};

struct run_options {
	const char *state, *runtime, *socket, *libexec;
	enum sandbox_mode sandbox;
	bool verbose;

	/* --lun */
	struct run_export exports[RUN_EXPORTS_MAX];
	unsigned n_exports;
	char addr[64];
	uint32_t port;
	char target[RUN_IQN_MAX + 1];
	bool read_only;
	uint32_t block_size;
	const char *initiators[RUN_INITIATORS_MAX]; /* patterns; never none */
	unsigned n_initiators;
};

struct run {
	struct ev_loop *loop;
	struct run_options opt;
	char bin[PATH_MAX]; /* where tgt-run and tgt-ctl are */
	char libexec[PATH_MAX + 32]; /* where the others are */
	char state[RUN_PATH_MAX], runtime[RUN_PATH_MAX];
	char control_path[RUN_PATH_MAX], worker_path[RUN_PATH_MAX], notify_path[RUN_PATH_MAX];
	char scratch[RUN_PATH_MAX]; /* removed with all it holds at the end; or "" */
	bool made_runtime;
	int lock_fd; /* the runtime directory, locked */
	int control_fd, worker_fd, notify_fd;
	int null_fd;
	int log_fd; /* stderr of the children */

	struct list units;
	unsigned n_units;
	unsigned n_gated;
	struct run_unit ctld;
	bool ctld_was_ready; /* some incarnation */
	struct chan sup; /* to tgt-ctld; fd -1: none */
	struct list listeners;
	unsigned n_listeners;
	struct list store;
	unsigned n_store;

	bool stopping;
	bool finished; /* everything has ended: leave the loop */
	int stage; /* enum run_prog being stopped */
	int exit_code;
	uint64_t oom_kills; /* as last seen */

	ev_signal term, interrupt, hup;
	ev_child child;
	ev_prepare gates;
	ev_io notify;

	struct run_setup *setup; /* --lun */
	struct run_log *log; /* --lun */
};

/* tgt-run itself: the exit status.  Once a process. */
int run_main(int argc, char **argv);

/* One clear line on stderr for the user. */
void run_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Ends the service in order; the loop ends when every process has.  The first
 * call decides the exit code. */
void run_stop(struct run *r, int code);

/* ---- run_args.c ---- */
/* -1: go on with @o; else the exit status. */
int run_parse_args(struct run_options *o, int argc, char **argv);

/* ---- run_dirs.c ---- */
/* Directories, sockets, programs: 0, or -1 after run_say. */
int run_dirs_open(struct run *r);
void run_dirs_remove(struct run *r);

/* ---- run_units.c ---- */
void run_units_init(struct run *r);
/* Starts tgt-ctld, or any other: 0 or -errno. */
int run_unit_start(struct run *r, const struct run_unit_name *id);
void run_unit_stop(struct run *r, const struct run_unit_name *id);
void run_unit_kill(struct run *r, const struct run_unit_name *id, const char *why);
struct run_unit *run_unit_by_pid(struct run *r, pid_t pid);
void run_unit_ready(struct run_unit *u);
void run_unit_alive(struct run_unit *u); /* WATCHDOG=1 */
/* Stops the groups in order; calls run_all_stopped's loop break at the end. */
void run_units_stop_all(struct run *r);
void run_units_kill_all(struct run *r);
void run_units_free(struct run *r);

/* In the child, after fork: descriptors and environment, then exec. */
void run_exec(struct run *r, struct run_unit *u, int gate, int sup)
	__attribute__((noreturn)); /* run_exec.c */

/* ---- run_ctld.c ---- */
/* A new conversation; *@theirs is the end to give to the child.  0 or -errno. */
int run_ctld_open(struct run *r, int *theirs);
void run_ctld_close(struct run *r);
void run_ctld_tell_started(struct run *r, const struct run_unit *u);
void run_ctld_tell_exited(struct run *r, const char *unit, pid_t pid, Tgt__DeathCause cause,
			  int code, bool will_restart, double delay);
void run_ctld_tell_terminate(struct run *r);
bool run_ctld_flushed(const struct run *r); /* all that was said is on its way */
void run_listeners_free(struct run *r);

/* ---- run_notify.c ---- */
int run_notify_open(struct run *r);
void run_notify_drain(struct run *r);
void run_store_free(struct run *r);

/* ---- run_export.c ---- */
int run_export_start(struct run *r);
void run_export_ctld_gone(struct run *r, const char *why);
void run_export_free(struct run *r);

/* ---- run_print.c ---- */
void run_print_export(const struct run *r, const char *addr, uint32_t port);

/* ---- run_log.c ---- */
int run_log_start(struct run *r);
/* Ends holding back: what was held is printed, or forgotten. */
void run_log_release(struct run *r, bool print);
/* Lines with this text in them need not be printed. */
void run_log_said(struct run *r, const char *text);
void run_log_free(struct run *r);

#endif
