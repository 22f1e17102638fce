/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The child's half of a start: from fork to exec.  Runs in the child only; all
 * of tgt-run's own descriptors are close-on-exec, so what is passed on is what
 * is put in place here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/run.h"
#include "proto/log.h"

enum { FIRST_FD = 3 }; /* SD_LISTEN_FDS_START */

static void __attribute__((noreturn))
die(const struct run_unit *u, const char *what)
{
	log_err("cannot start %s: %s: %s", u->name, what, strerror(errno));
	_exit(127);
}

/* The descriptors and names of tgt-ctld's socket activation. */
struct activation {
	int *fds;
	char *names;
	unsigned n;
};

static void
activation_add(struct activation *a, int fd, const char *name)
{
	if (a->n)
		strcat(a->names, ":");
	strcat(a->names, name);
	a->fds[a->n++] = fd;
}

static void
activate(struct run *r, struct run_unit *u, int sup)
{
	struct activation a = { 0 };
	struct run_stored *s;
	size_t bytes = 64;
	char number[16];

	list_for_each(s, &r->store, link)
		bytes += strlen(s->name) + 1;
	a.fds = calloc(r->n_store + 3, sizeof(*a.fds));
	a.names = calloc(1, bytes);
	if (!a.fds || !a.names)
		die(u, "memory");
	activation_add(&a, r->control_fd, "control");
	activation_add(&a, r->worker_fd, "worker");
	activation_add(&a, sup, "supervisor");
	list_for_each(s, &r->store, link)
		activation_add(&a, s->fd, s->name);

	/* First out of the way of the places they go to, then into place. */
	for (unsigned i = 0; i < a.n; i++) {
		a.fds[i] = fcntl(a.fds[i], F_DUPFD_CLOEXEC, FIRST_FD + (int)a.n);
		if (a.fds[i] < 0)
			die(u, "descriptors");
	}
	for (unsigned i = 0; i < a.n; i++) {
		if (dup2(a.fds[i], FIRST_FD + (int)i) < 0)
			die(u, "descriptors");
	}
	snprintf(number, sizeof(number), "%u", a.n);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", a.names, 1);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
}

/* What a worker inherits of our environment is what tgt-run was given, less
 * the supervision that was meant for tgt-run itself. */
static void
environment(const struct run *r, const struct run_unit *u)
{
	static const char *const ours[] = {
		"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID",
	};
	char number[16];

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		unsetenv(ours[i]);
	setenv("NOTIFY_SOCKET", r->notify_path, 1);
	if (u->id.prog == RUN_CTLD || u->id.prog == RUN_PORTAL) {
		setenv("WATCHDOG_USEC", "5000000", 1);
		snprintf(number, sizeof(number), "%d", (int)getpid());
		setenv("WATCHDOG_PID", number, 1);
	}
	if (r->opt.verbose)
		setenv("TGT_LOG", r->opt.n_exports ? "info" : "debug", 1);
	else if (r->opt.n_exports)
		setenv("TGT_LOG", "warn", 0);
}

static void
standard_streams(const struct run *r)
{
	dup2(r->null_fd, STDIN_FILENO);
	dup2(r->log_fd, STDERR_FILENO);
	dup2(r->log_fd, STDOUT_FILENO);
}

void
run_exec(struct run *r, struct run_unit *u, int gate, int sup)
{
	char path[PATH_MAX + 64], instance[RUN_INSTANCE_MAX + 16], sandbox[32];
	char *argv[6];
	int n = 0;
	char go;

	/* A terminal's Ctrl-C is for tgt-run, which ends things in order. */
	setsid();
	standard_streams(r);
	while (read(gate, &go, 1) < 0 && errno == EINTR)
		;
	close(gate);

	environment(r, u);
	snprintf(path, sizeof(path), "%s/%s", r->libexec, run_prog_names[u->id.prog]);
	snprintf(instance, sizeof(instance), "--instance=%s", u->id.instance);
	snprintf(sandbox, sizeof(sandbox), "--sandbox=%s",
		 r->opt.sandbox == SANDBOX_LOG ? "log" : "enforce");
	argv[n++] = path;
	argv[n++] = sandbox;
	if (u->id.prog == RUN_CTLD) {
		argv[n++] = (char *)(uintptr_t)"--state";
		argv[n++] = r->state;
		activate(r, u, sup);
	} else {
		argv[n++] = instance;
		argv[n++] = (char *)(uintptr_t)"--socket";
		argv[n++] = r->worker_path;
	}
	argv[n] = NULL;
	execv(path, argv);
	die(u, path);
}
