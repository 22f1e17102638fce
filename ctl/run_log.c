/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of a foreground export.  The processes write to a pipe; their lines
 * are held back while the export is being set up, because what goes wrong then
 * is told in one sentence of our own, and printed as they come afterwards.
 *
 * The pipe's writing end does not block: processes that serve I/O must never
 * wait for whoever reads a terminal.  A line too many is lost, not waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/run.h"
#include "proto/log.h"

enum { HELD_MAX = 65536 };

struct run_log {
	struct run *run;
	ev_io io;
	int fd;
	bool holding;
	bool line_start;
	bool strip; /* "<N>" is for a journal, not for a terminal */
	size_t n_held;
	char held[HELD_MAX];
	char *said[RUN_EXPORTS_MAX]; /* what the user has read already */
	unsigned n_said;
};

static void
put(const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(STDERR_FILENO, data, len);

		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
}

static bool
was_said(const struct run_log *l, const char *line, size_t len)
{
	for (unsigned i = 0; i < l->n_said; i++) {
		if (memmem(line, len, l->said[i], strlen(l->said[i])))
			return true;
	}
	return false;
}

void
run_log_said(struct run *r, const char *text)
{
	struct run_log *l = r->log;
	char *copy = l && l->n_said < ARRAY_SIZE(l->said) ? strdup(text) : NULL;

	if (copy)
		l->said[l->n_said++] = copy;
}

/* Lines without their "<N>", which log_line writes at the start of a line. */
static void
print(struct run_log *l, const char *data, size_t len)
{
	while (len) {
		const char *nl = memchr(data, '\n', len);
		size_t n = nl ? (size_t)(nl - data) + 1 : len;
		size_t skip = l->strip && l->line_start && n > 3 && data[0] == '<' &&
			      data[2] == '>' ? 3 : 0;

		if (!was_said(l, data, n))
			put(data + skip, n - skip);
		l->line_start = nl != NULL;
		data += n;
		len -= n;
	}
}

/* Reads what is there; false when there is nothing more. */
static bool
take(struct run_log *l)
{
	char buf[8192];
	ssize_t n = read(l->fd, buf, sizeof(buf));
	size_t len;

	if (n <= 0)
		return false;
	len = (size_t)n;
	if (!l->holding) {
		print(l, buf, len);
		return true;
	}
	len = MIN(len, sizeof(l->held) - l->n_held);
	memcpy(l->held + l->n_held, buf, len);
	l->n_held += len;
	return true;
}

static void
on_log(struct ev_loop *loop, ev_io *w, int revents)
{
	take(w->data);
}

int
run_log_start(struct run *r)
{
	struct run_log *l = calloc(1, sizeof(*l));
	int fds[2];

	if (!l)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
		int err = -errno;

		free(l);
		return err;
	}
	l->run = r;
	l->fd = fds[0];
	l->holding = !r->opt.verbose;
	l->line_start = true;
	l->strip = isatty(STDERR_FILENO);
	if (l->holding)
		log_open("tgt-run", NULL, 0); /* our own lines are held back too */
	r->log_fd = fds[1];
	r->log = l;
	ev_io_init(&l->io, on_log, l->fd, EV_READ);
	l->io.data = l;
	ev_io_start(r->loop, &l->io);
	return 0;
}

void
run_log_release(struct run *r, bool print_held)
{
	struct run_log *l = r->log;

	if (!l || !l->holding)
		return;
	while (take(l))
		;
	l->holding = false;
	log_open("tgt-run", NULL, LOG_LEVEL_WARN);
	if (print_held)
		print(l, l->held, l->n_held);
	l->n_held = 0;
}

void
run_log_free(struct run *r)
{
	struct run_log *l = r->log;

	if (!l)
		return;
	while (take(l))
		;
	while (l->n_said)
		free(l->said[--l->n_said]);
	ev_io_stop(r->loop, &l->io);
	close(l->fd);
	close(r->log_fd);
	r->log_fd = -1;
	r->log = NULL;
	free(l);
}
