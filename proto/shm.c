/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared-memory objects: sealed memfds.  Creates, reopens, checks and maps
 * them; must not look at what is in them.
 */
#include "proto/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

size_t
shm_page(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static bool
good_size(size_t size)
{
	return size && size % shm_page() == 0 && size <= PTRDIFF_MAX - 2 * shm_page();
}

int
shm_create(const char *name, size_t size)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd, err;

	if (!good_size(size))
		return -EINVAL;
	fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* a kernel before 6.3 */
		fd = memfd_create(name, flags);
	if (fd < 0)
		return -errno;
	/* Sized before it is sealed, sealed before anyone else can see it. */
	if (!fchmod(fd, 0600) && !ftruncate(fd, (off_t)size) && !fcntl(fd, F_ADD_SEALS, SEALS))
		return fd;
	err = errno;
	close(fd);
	return -err;
}

int
shm_reopen_ro(int fd)
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	int ro;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	return ro < 0 ? -errno : ro;
}

/* The kernel adds seals of its own (F_SEAL_EXEC): a superset is right. */
static bool
is_shm(int fd, size_t size)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals >= 0 && (seals & SEALS) == SEALS && !fstat(fd, &st) &&
	       (uintmax_t)st.st_size == size;
}

void *
shm_map(int fd, size_t size, bool writable)
{
	size_t page = shm_page();
	uint8_t *guard;
	void *p;
	int err;

	if (!good_size(size)) {
		errno = EINVAL;
		return NULL;
	}
	if (!is_shm(fd, size)) {
		errno = EPROTO;
		return NULL;
	}
	guard = mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		     -1, 0);
	if (guard == MAP_FAILED)
		return NULL;
	p = mmap(guard + page, size, PROT_READ | (writable ? PROT_WRITE : 0),
		 MAP_SHARED | MAP_FIXED, fd, 0);
	if (p != MAP_FAILED)
		return p;
	err = errno;
	munmap(guard, size + 2 * page);
	errno = err;
	return NULL;
}

void
shm_unmap(void *p, size_t size)
{
	size_t page = shm_page();

	if (p)
		munmap((uint8_t *)p - page, size + 2 * page);
}
