/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sealed memfds: what may be mapped, how, and what may not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/shm.h"
#include "tap.h"

static void
test_create(void)
{
	size_t size = 4 * shm_page();
	struct stat st;
	int fd = shm_create("test", size);

	CHECK(fd >= 0);
	CHECK_EQ(fstat(fd, &st), 0);
	CHECK_EQ(st.st_size, size);
	CHECK_EQ(st.st_mode & 0777, 0600);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
		 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	CHECK_EQ(ftruncate(fd, 0), -1);
	CHECK_EQ(errno, EPERM);
	CHECK_EQ(ftruncate(fd, (off_t)(2 * size)), -1);
	CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	close(fd);
	CHECK_EQ(shm_create("test", 0), -EINVAL);
	CHECK_EQ(shm_create("test", shm_page() + 1), -EINVAL);
	CHECK_EQ(shm_create("test", SIZE_MAX / shm_page() * shm_page()), -EINVAL);
}

static void
test_create_fails(void)
{
	struct rlimit old, none;
	char name[300];

	memset(name, 'x', sizeof(name) - 1); /* memfd_create(2): 249 bytes at most */
	name[sizeof(name) - 1] = '\0';
	CHECK_EQ(shm_create(name, shm_page()), -EINVAL);
	/* RLIMIT_FSIZE stops the ftruncate: nothing unsealed may be left open. */
	getrlimit(RLIMIT_FSIZE, &old);
	none = old;
	none.rlim_cur = 0;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &none);
	CHECK_EQ(shm_create("test", shm_page()), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	signal(SIGXFSZ, SIG_DFL);
	CHECK_EQ(shm_reopen_ro(-1), -ENOENT);
}

static void
test_map(void)
{
	size_t size = 2 * shm_page();
	int fd = shm_create("test", size);
	int ro = shm_reopen_ro(fd);
	char *w = shm_map(fd, size, true);
	char *r = shm_map(ro, size, false);

	CHECK(ro >= 0);
	CHECK_EQ(fcntl(ro, F_GETFD), FD_CLOEXEC);
	CHECK(w && r && w != r);
	strcpy(w, "seen");
	CHECK_STR(r, "seen");
	w[size - 1] = 'z';
	CHECK_EQ(r[size - 1], 'z');

	/* The reader cannot make it writable, neither now nor later. */
	errno = 0;
	CHECK(!shm_map(ro, size, true));
	CHECK_EQ(errno, EACCES);
	CHECK_EQ(mprotect(r, size, PROT_READ | PROT_WRITE), -1);
	CHECK_EQ(errno, EACCES);
	CHECK_EQ(write(ro, "x", 1), -1);
	shm_unmap(w, size);
	shm_unmap(r, size);
	shm_unmap(NULL, size);
	close(fd);
	close(ro);
}

static sigjmp_buf trapped;

static void
on_trap(int sig)
{
	siglongjmp(trapped, sig);
}

static int
touch(volatile char *p)
{
	int sig = sigsetjmp(trapped, 1);

	if (!sig)
		(void)*p;
	return sig;
}

static void
test_guard_pages(void)
{
	size_t size = shm_page();
	int fd = shm_create("test", size);
	char *p = shm_map(fd, size, true);

	signal(SIGSEGV, on_trap);
	CHECK_EQ(touch(p), 0);
	CHECK_EQ(touch(p + size - 1), 0);
	CHECK_EQ(touch(p - 1), SIGSEGV);
	CHECK_EQ(touch(p + size), SIGSEGV);
	signal(SIGSEGV, SIG_DFL);
	shm_unmap(p, size);
	close(fd);
}

/* What a confused or hostile sender might pass instead of an object. */
static void
test_map_refuses(void)
{
	size_t size = 2 * shm_page();
	int good = shm_create("test", size);
	int bare = memfd_create("bare", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int some = memfd_create("some", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	FILE *temp = tmpfile();
	int file = fileno(temp);
	int pipes[2];

	CHECK_EQ(pipe(pipes), 0);
	CHECK_EQ(ftruncate(bare, (off_t)size) | ftruncate(some, (off_t)size) |
		 ftruncate(file, (off_t)size), 0);
	fcntl(some, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);

	const struct { const char *what; int fd; size_t size; int err; } rows[] = {
		{ "not sealed", bare, size, EPROTO },
		{ "seals may be added", some, size, EPROTO },
		{ "a file", file, size, EPROTO },
		{ "a pipe", pipes[0], size, EPROTO },
		{ "closed", -1, size, EPROTO },
		{ "too small", good, size + shm_page(), EPROTO },
		{ "too large", good, size - shm_page(), EPROTO },
		{ "no size", good, 0, EINVAL },
		{ "no whole pages", good, size - 1, EINVAL },
		{ "overflow", good, SIZE_MAX / shm_page() * shm_page(), EINVAL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		errno = 0;
		CHECK_MSG(!shm_map(rows[i].fd, rows[i].size, false), "%s: mapped", rows[i].what);
		CHECK_MSG(errno == rows[i].err, "%s: errno %d", rows[i].what, errno);
	}
	close(good);
	close(bare);
	close(some);
	fclose(temp);
	close(pipes[0]);
	close(pipes[1]);
}

int
main(void)
{
	TEST(test_create);
	TEST(test_create_fails);
	TEST(test_map);
	TEST(test_guard_pages);
	TEST(test_map_refuses);
	return tap_done();
}
