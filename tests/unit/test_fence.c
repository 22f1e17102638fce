/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storaged/fence.c: who excludes whom, and that the wait ends when the holder
 * does.  Locks belong to open descriptions, so one process is enough.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/util.h"
#include "storaged/fence.h"
#include "tests/unit/tap.h"

static char path[] = "/tmp/tgt-fence-XXXXXX";

static int
open_file(void)
{
	return open(path, O_RDWR | O_CLOEXEC);
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
test_who_excludes_whom(void)
{
	static const struct {
		bool first, second; /* exclusive */
		int expect;
	} rows[] = {
		{ true, true, -EBUSY },
		{ true, false, -EBUSY },
		{ false, true, -EBUSY },
		{ false, false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int a = open_file(), b = open_file();
		pid_t holder = 77;

		CHECK_EQ(fence_take(a, rows[i].first, 0, &holder), 0);
		CHECK_EQ(fence_take(b, rows[i].second, 0, &holder), rows[i].expect);
		CHECK_EQ(holder, 0); /* an OFD lock names nobody */
		close(a);
		CHECK_EQ(fence_take(b, true, 0, &holder), 0);
		close(b);
	}
}

static void
test_wrong_mode(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	pid_t holder;

	CHECK_EQ(fence_take(fd, true, 0, &holder), -EBADF);
	CHECK_EQ(fence_take(fd, false, 0, &holder), 0);
	close(fd);
	CHECK_EQ(fence_take(-1, false, 0, &holder), -EBADF);
}

static void
test_waits_no_longer_than_told(void)
{
	int a = open_file(), b = open_file();
	pid_t holder;
	int64_t start;

	fence_take(a, true, 0, &holder);
	start = now_ms();
	CHECK_EQ(fence_take(b, true, 60, &holder), -EBUSY);
	CHECK(now_ms() - start >= 60);
	CHECK(now_ms() - start < 5000);
	close(a);
	close(b);
}

static void *
close_soon(void *arg)
{
	usleep(30000);
	close(*(int *)arg);
	return NULL;
}

static void
test_granted_when_the_holder_ends(void)
{
	int a = open_file(), b = open_file();
	pthread_t t;
	pid_t holder;

	fence_take(a, true, 0, &holder);
	pthread_create(&t, NULL, close_soon, &a);
	CHECK_EQ(fence_take(b, true, 10000, &holder), 0);
	pthread_join(t, NULL);
	close(b);
}

/* Whoever takes POSIX locks (an older QEMU) is excluded, and named. */
static void
test_posix_lock_names_its_holder(void)
{
	int fd = open_file(), go[2], up[2];
	pid_t holder, child;
	char c = 0;

	CHECK(!pipe(go) && !pipe(up));
	child = fork();
	if (!child) {
		struct flock fl = { .l_type = F_WRLCK, .l_start = 100, .l_len = 1 };
		int mine = open_file();

		fcntl(mine, F_SETLK, &fl);
		if (write(up[1], &c, 1) != 1 || read(go[0], &c, 1) != 1)
			_exit(1);
		_exit(0);
	}
	CHECK(read(up[0], &c, 1) == 1);
	CHECK_EQ(fence_take(fd, true, 0, &holder), -EBUSY);
	CHECK_EQ(holder, child);
	CHECK(write(go[1], &c, 1) == 1);
	waitpid(child, NULL, 0);
	CHECK_EQ(fence_take(fd, true, 1000, &holder), 0);
	close(fd);
}

int
main(void)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	TEST(test_who_excludes_whom);
	TEST(test_wrong_mode);
	TEST(test_waits_no_longer_than_told);
	TEST(test_granted_when_the_holder_ends);
	TEST(test_posix_lock_names_its_holder);
	unlink(path);
	return tap_done();
}
