/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fence of files and block devices: a whole-range lock on a freshly opened
 * description (Linux OFD lock, fcntl(2)).
 *
 * It is granted exactly when the last description of a dead storaged is gone,
 * and the kernel keeps that until its last write has landed; process exit
 * alone is no such proof.  It also excludes other LUNs on the same store, and
 * QEMU.  The locked descriptor must never be duplicated into another process.
 */
#ifndef STORAGED_FENCE_H
#define STORAGED_FENCE_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Takes the lock on all of @fd, exclusive or shared, waiting at most @wait_ms.
 * 0; -EBUSY: held by another; or -errno.  With -EBUSY *@holder is the pid of
 * the holder where the kernel tells it (POSIX locks), else 0.
 */
int fence_take(int fd, bool exclusive, unsigned wait_ms, pid_t *holder);

#endif
