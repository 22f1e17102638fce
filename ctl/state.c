/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state file on its way to and from stable storage: see state.h.  What is
 * in it is state_json.c's.
 */
#include "ctl/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_FILE STATE_FILE ".new"

#define refuse(why, err, ...) (snprintf(why, STATE_WHY, __VA_ARGS__), -(err))

int
state_open(struct state *s, const char *dir, char *why)
{
	int err;

	s->dirfd = -1;
	if (snprintf(s->path, sizeof(s->path), "%s/" STATE_FILE, dir) >= (int)sizeof(s->path))
		return refuse(why, ENAMETOOLONG, "the name of the state directory is too long");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		err = errno;
		return refuse(why, err, "cannot create the state directory %s: %s", dir,
			      strerror(err));
	}
	s->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dirfd < 0) {
		err = errno;
		return refuse(why, err, "cannot open the state directory %s: %s", dir,
			      strerror(err));
	}
	if (flock(s->dirfd, LOCK_EX | LOCK_NB) < 0) {
		err = errno;
		state_close(s);
		return refuse(why, err, "the state directory %s is in use by another tgt-ctld",
			      dir);
	}
	return 0;
}

void
state_close(struct state *s)
{
	if (s->dirfd >= 0)
		close(s->dirfd);
	s->dirfd = -1;
}

/* All of a file that is not too large; -errno. */
static int
read_all(int fd, char **out, size_t *len)
{
	struct stat st;
	size_t n = 0;
	char *buf;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > STATE_SIZE_MAX)
		return -EFBIG;
	buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		return -ENOMEM;
	while (n < (size_t)st.st_size) {
		ssize_t got = read(fd, buf + n, (size_t)st.st_size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int err = -errno;

			free(buf);
			return err;
		}
		if (!got)
			break;
		n += (size_t)got;
	}
	buf[n] = 0;
	*out = buf;
	*len = n;
	return 0;
}

int
state_load(struct state *s, struct model *m, char *why)
{
	int fd = openat(s->dirfd, STATE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char *text = NULL;
	size_t len = 0;
	int err;

	if (fd < 0 && errno == ENOENT)
		return 0;
	err = fd < 0 ? -errno : read_all(fd, &text, &len);
	if (fd >= 0)
		close(fd);
	if (err)
		return refuse(why, -err, "%s: cannot be read: %s", s->path, strerror(-err));
	err = state_parse(text, len, s->path, m, why);
	free(text);
	if (err) {
		size_t n = strlen(why);

		snprintf(why + n, STATE_WHY - n, "; nothing was changed: repair the file, put a "
			 "copy back, or move it away to begin with an empty configuration");
	}
	return err;
}

static int
write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

/* Everything up to the rename: what fails here leaves the old file. */
static int
write_temp(struct state *s, const char *text)
{
	int fd = openat(s->dirfd, TEMP_FILE,
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, text, strlen(text));
	if (!err && fsync(fd) < 0)
		err = -errno;
	if (close(fd) < 0 && !err)
		err = -errno;
	return err;
}

int
state_save(struct state *s, struct model *m, char *why)
{
	char *text = state_print(m);
	int err = text ? write_temp(s, text) : -ENOMEM;

	free(text);
	if (!err && renameat(s->dirfd, TEMP_FILE, s->dirfd, STATE_FILE) < 0)
		err = -errno;
	if (err) {
		unlinkat(s->dirfd, TEMP_FILE, 0);
		return refuse(why, -err, "%s: cannot be written, nothing was changed: %s", s->path,
			      strerror(-err));
	}
	if (fsync(s->dirfd) < 0) {
		err = errno;
		return refuse(why, err, "%s: was written, but may not survive a power failure: %s",
			      s->path, strerror(err));
	}
	return 0;
}
