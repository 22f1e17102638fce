/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared-memory objects: sealed memfds that ctld creates and hands out.
 */
#ifndef PROTO_SHM_H
#define PROTO_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

size_t shm_page(void); /* the size of a page of memory, bytes */

/*
 * Creates an object of @size bytes (whole pages), sized once and sealed with
 * F_SEAL_SHRINK|GROW|SEAL, MFD_NOEXEC_SEAL where the kernel has it, mode 0600.
 * Returns a read-write descriptor (CLOEXEC) or -errno.
 */
int shm_create(const char *name, size_t size);

/* A new read-only description of the same object (via /proc/self/fd). */
int shm_reopen_ro(int fd);

/*
 * Maps a received descriptor after checking that it is a memfd of exactly
 * @size bytes with the seals above.  A guard page lies on either side.
 * Returns NULL with errno (EPROTO: not such an object; EINVAL: @size is not
 * whole pages; EACCES: @writable and the description is read-only).
 */
void *shm_map(int fd, size_t size, bool writable);
void shm_unmap(void *p, size_t size); /* NULL is fine */

#endif
