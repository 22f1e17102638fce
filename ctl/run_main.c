/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-run: supervises tgt-ng where there is no systemd (containers, tests, a
 * shell), and in the foreground exports files with no configuration at all.
 *
 * It keeps its privileges, because it starts processes that need some; so it
 * must stay small, and must not read anything an initiator or an operator sent.
 */
#include "ctl/run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/daemon.h"
#include "proto/log.h"

void
run_say(const char *fmt, ...)
{
	char line[PATH_MAX + 1024] = "tgt-run: ";
	size_t start = strlen(line), len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + start, sizeof(line) - start - 1, fmt, ap);
	va_end(ap);
	len = strlen(line);
	for (size_t i = start; i < len; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[len++] = '\n';
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
}

void
run_stop(struct run *r, int code)
{
	if (r->stopping)
		return;
	r->stopping = true;
	r->exit_code = code;
	run_ctld_tell_terminate(r);
	run_units_stop_all(r);
}

static void
on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct run *r = w->data;

	if (r->stopping) {
		run_units_kill_all(r); /* the second one means at once */
		return;
	}
	log_info("ending: signal=%d", w->signum);
	/* What the processes have to say about being ended matters again. */
	run_log_release(r, false);
	run_stop(r, 0);
}

static void
watch_signal(struct run *r, ev_signal *w, int signum)
{
	ev_signal_init(w, on_signal, signum);
	w->data = r;
	ev_signal_start(r->loop, w);
}

/* Every LUN and lane costs descriptors; the children inherit the limit. */
static void
raise_descriptor_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	lim.rlim_cur = MIN(lim.rlim_max, (rlim_t)1048576);
	setrlimit(RLIMIT_NOFILE, &lim);
}

/* 0, 1 and 2 must be open, or a socket would get one of these numbers. */
static int
open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == 0);
	return fd < 0 ? -errno : fd;
}

/* Before anything is made that would have to be removed; and as PID 1 a signal
 * that nobody watches is none.  They are seen to when the loop runs. */
static void
watch_signals(struct run *r)
{
	watch_signal(r, &r->term, SIGTERM);
	watch_signal(r, &r->interrupt, SIGINT);
	if (r->opt.n_exports)
		watch_signal(r, &r->hup, SIGHUP); /* the terminal is gone */
}

static int
start(struct run *r)
{
	const struct run_unit_name ctld = { .prog = RUN_CTLD };
	int err;

	err = run_notify_open(r);
	if (!err && r->opt.n_exports)
		err = run_log_start(r);
	if (!err)
		err = run_unit_start(r, &ctld);
	if (!err && r->opt.n_exports)
		err = run_export_start(r);
	return err;
}

static void
clean_up(struct run *r)
{
	run_export_free(r);
	run_ctld_close(r);
	run_units_free(r);
	run_listeners_free(r);
	run_store_free(r);
	run_log_free(r);
	run_dirs_remove(r);
	ev_loop_destroy(r->loop);
	close(r->null_fd);
}

static int
run(struct run *r)
{
	int err;

	r->control_fd = r->worker_fd = r->notify_fd = r->lock_fd = r->sup.fd = -1;
	r->log_fd = STDERR_FILENO;
	list_init(&r->units);
	list_init(&r->listeners);
	list_init(&r->store);
	r->null_fd = open_standard_streams();
	/* What we were started with by accident is not for the processes. */
	close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	r->loop = ev_default_loop(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (r->null_fd < 0 || !r->loop) {
		run_say("cannot start: %s", strerror(errno));
		return 1;
	}
	if (notify_open() < 0)
		run_say("NOTIFY_SOCKET cannot be reached");
	unsetenv("NOTIFY_SOCKET");

	run_units_init(r);
	watch_signals(r);
	r->exit_code = 1;
	if (run_dirs_open(r) == 0) {
		err = start(r);
		if (err) {
			run_say("cannot start: %s", strerror(-err));
			run_stop(r, 1);
		}
		if (!r->finished)
			ev_run(r->loop, 0);
	}
	clean_up(r);
	return r->exit_code;
}

int
run_main(int argc, char **argv)
{
	static struct run r;
	int rc = run_parse_args(&r.opt, argc, argv);

	if (rc >= 0)
		return rc;
	log_open("tgt-run", NULL,
		 r.opt.n_exports ? (r.opt.verbose ? LOG_LEVEL_INFO : LOG_LEVEL_WARN) :
				   (r.opt.verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO));
	return run(&r);
}
