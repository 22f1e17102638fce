/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where tgt-run lives: its directories, its two listening sockets, the
 * programs it starts.  Removes only what it made.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ctl/run.h"

#define OTHER "another tgt-run serves here"

static int
failed(const char *path, const char *why)
{
	run_say("%s: %s", path, why);
	return -1;
}

/* A path into a fixed buffer, so that nothing is ever cut off unnoticed. */
static int
set_path(char out[RUN_PATH_MAX], const char *dir, const char *name)
{
	if (snprintf(out, RUN_PATH_MAX, "%s%s%s", dir, *name ? "/" : "", name) < RUN_PATH_MAX)
		return 0;
	return failed(dir, strerror(ENAMETOOLONG));
}

/* Makes a directory (0700) and those above it (0755); *@made: it was missing. */
static int
make_dir(const char *path, bool *made)
{
	char part[RUN_PATH_MAX];
	struct stat st;

	*made = false;
	if (set_path(part, path, ""))
		return -1;
	for (char *p = part + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = 0;
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return failed(part, strerror(errno));
	}
	if (mkdir(part, 0700) == 0) {
		*made = true;
		return 0;
	}
	if (errno != EEXIST)
		return failed(part, strerror(errno));
	if (stat(part, &st) < 0 || !S_ISDIR(st.st_mode))
		return failed(part, "is not a directory");
	return 0;
}

/* A private directory that vanishes with us. */
static int
make_scratch(struct run *r)
{
	const char *base = geteuid() ? getenv("XDG_RUNTIME_DIR") : NULL;

	if (!base || strlen(base) > 60 || access(base, W_OK) < 0)
		base = getenv("TMPDIR");
	if (!base || strlen(base) > 60) /* sun_path has 108 bytes */
		base = "/tmp";
	if (set_path(r->scratch, base, "tgt-run.XXXXXX"))
		return -1;
	if (!mkdtemp(r->scratch)) {
		*r->scratch = 0;
		return failed(base, strerror(errno));
	}
	return 0;
}

static int
choose_runtime(struct run *r)
{
	const struct run_options *o = &r->opt;
	char dir[RUN_PATH_MAX];

	if (o->runtime)
		return set_path(r->runtime, o->runtime, "");
	if (o->socket) {
		if (set_path(dir, o->socket, ""))
			return -1;
		return set_path(r->runtime, dirname(dir), "");
	}
	if (!o->n_exports && !geteuid())
		return set_path(r->runtime, "/run/tgt", "");
	if (!o->n_exports && getenv("XDG_RUNTIME_DIR"))
		return set_path(r->runtime, getenv("XDG_RUNTIME_DIR"), "tgt");
	if (!*r->scratch && make_scratch(r))
		return -1;
	return set_path(r->runtime, r->scratch, "");
}

static int
choose_state(struct run *r)
{
	const char *home = getenv("XDG_STATE_HOME");
	bool made;
	int rc;

	if (r->opt.n_exports) {
		if (!*r->scratch && make_scratch(r))
			return -1;
		rc = set_path(r->state, r->scratch, "state");
	} else if (r->opt.state) {
		rc = set_path(r->state, r->opt.state, "");
	} else if (!geteuid()) {
		rc = set_path(r->state, "/var/lib/tgt", "");
	} else if (home && *home == '/') {
		rc = set_path(r->state, home, "tgt");
	} else if (getenv("HOME")) {
		rc = set_path(r->state, getenv("HOME"), ".local/state/tgt");
	} else {
		return failed("--state", "is needed: there is no HOME");
	}
	return rc ? rc : make_dir(r->state, &made);
}

static int
find_programs(struct run *r)
{
	char program[PATH_MAX + 64];
	ssize_t n;

	n = readlink("/proc/self/exe", r->bin, sizeof(r->bin) - 1);
	if (n < 0)
		return failed("/proc/self/exe", strerror(errno));
	r->bin[n] = 0;
	dirname(r->bin);
	if (r->opt.libexec) {
		if (!realpath(r->opt.libexec, r->libexec))
			return failed(r->opt.libexec, strerror(errno));
	} else {
		snprintf(r->libexec, sizeof(r->libexec), "%s", r->bin);
		snprintf(program, sizeof(program), "%s/%s", r->libexec, run_prog_names[RUN_CTLD]);
		/* As "make install" places them, seen from sbin. */
		if (access(program, X_OK) < 0)
			snprintf(r->libexec, sizeof(r->libexec), "%s/../libexec/tgt", r->bin);
	}
	for (enum run_prog p = 0; p < RUN_N_PROGS; p++) {
		snprintf(program, sizeof(program), "%s/%s", r->libexec, run_prog_names[p]);
		if (access(program, X_OK) < 0) {
			run_say("%s: %s (--libexec DIR says where the programs are)", program,
				strerror(errno));
			return -1;
		}
	}
	return 0;
}

/* The sockets alone cannot refuse one that starts at the same instant. */
static int
lock_runtime(struct run *r)
{
	r->lock_fd = open(r->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->lock_fd >= 0 && flock(r->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return failed(r->runtime, errno == EWOULDBLOCK ? OTHER : strerror(errno));
}

/* We have the lock: who still answers is what a killed tgt-run has left, and
 * that ends by itself. */
static int
open_socket(const char *path, int *fd)
{
	const struct timespec pause = { .tv_nsec = 50000000 };

	for (int i = 0; i < 100; i++) {
		*fd = chan_listen(path, 0600);
		if (*fd != -EADDRINUSE)
			break;
		nanosleep(&pause, NULL);
	}
	if (*fd >= 0)
		return 0;
	return failed(path, *fd == -EADDRINUSE ? OTHER : strerror(-*fd));
}

int
run_dirs_open(struct run *r)
{
	char dir[RUN_PATH_MAX];
	int rc = find_programs(r);

	if (!rc)
		rc = choose_runtime(r);
	if (!rc)
		rc = make_dir(r->runtime, &r->made_runtime);
	if (!rc)
		rc = lock_runtime(r);
	if (!rc)
		rc = choose_state(r);
	if (rc)
		return rc;
	rc = r->opt.socket ? set_path(r->control_path, r->opt.socket, "") :
			     set_path(r->control_path, r->runtime, "control.sock");
	/* The worker socket lies beside the control socket (docs/protocol.md). */
	if (!rc)
		rc = set_path(dir, r->control_path, "");
	if (!rc)
		rc = set_path(r->worker_path, dirname(dir), "worker.sock");
	if (!rc)
		rc = set_path(r->notify_path, r->runtime, "notify.sock");
	if (!rc)
		rc = open_socket(r->control_path, &r->control_fd);
	if (!rc)
		rc = open_socket(r->worker_path, &r->worker_fd);
	return rc;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	remove(path);
	return 0;
}

void
run_dirs_remove(struct run *r)
{
	if (r->control_fd >= 0) {
		close(r->control_fd);
		unlink(r->control_path);
	}
	if (r->worker_fd >= 0) {
		close(r->worker_fd);
		unlink(r->worker_path);
	}
	if (r->notify_fd >= 0) {
		close(r->notify_fd);
		unlink(r->notify_path);
	}
	r->control_fd = r->worker_fd = r->notify_fd = -1;
	if (r->made_runtime)
		rmdir(r->runtime);
	if (*r->scratch)
		nftw(r->scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	*r->scratch = 0;
	if (r->lock_fd >= 0)
		close(r->lock_fd);
	r->lock_fd = -1;
}
