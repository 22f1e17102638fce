/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole-range lock (fence.h).  Must not keep or duplicate the descriptor.
 */
#include "storaged/fence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <time.h>

enum { POLL_MS = 4 };

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static pid_t
who(int fd, short type)
{
	/* l_len 0: to the end of the file, wherever it will be. */
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_GETLK, &fl) || fl.l_type == F_UNLCK || fl.l_pid < 0)
		return 0; /* -1: an OFD lock, which belongs to no process */
	return fl.l_pid;
}

/* Polls: a signal to end F_OFD_SETLKW would need a timer and a handler, and
 * the wait is a matter of milliseconds except behind a slow store. */
int
fence_take(int fd, bool exclusive, unsigned wait_ms, pid_t *holder)
{
	short type = exclusive ? F_WRLCK : F_RDLCK;
	uint64_t start = now_ms();

	*holder = 0;
	for (;;) {
		struct flock fl = { .l_type = type, .l_whence = SEEK_SET };
		struct timespec nap = { .tv_nsec = POLL_MS * 1000000L };

		if (!fcntl(fd, F_OFD_SETLK, &fl))
			return 0;
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return -errno;
		if (now_ms() - start >= wait_ms) {
			*holder = who(fd, type);
			return -EBUSY;
		}
		nanosleep(&nap, NULL);
	}
}
