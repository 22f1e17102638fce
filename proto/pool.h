/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The allocator of a data pool: which bytes of a shared mapping are in use.
 * Its metadata is private memory of the one process that allocates (the
 * portal for its lanes' pools, scsid for its scratch pool); the shared bytes
 * are never read or written here.  Pure: no I/O, no globals.
 *
 * Buddy system in pages of 4 KiB, LIFO free lists, so that the set of touched
 * pages stays small.  One thread.
 */
#ifndef PROTO_POOL_H
#define PROTO_POOL_H

#include "proto/lane.h"

enum { POOL_PAGE = 4096, POOL_ALLOC_MAX = 16 << 20 };

struct pool;

/* @size: bytes, a multiple of POOL_PAGE, at least one page, at most 4 GiB.
 * NULL with errno on bad size or ENOMEM. */
struct pool *pool_new(uint32_t id, uint64_t size);
void pool_free(struct pool *p);

/*
 * Allocates @len bytes (1..POOL_ALLOC_MAX) as at most LANE_EXT_MAX extents,
 * one where the pool has a free block (buddy) that large; the sum of the extents is exactly
 * @len.  All or nothing.  Returns the number of extents, -ENOMEM, or -EINVAL.
 */
int pool_get(struct pool *p, uint32_t len, struct lane_ext ext[LANE_EXT_MAX]);

/* Gives back what one pool_get returned.  Asserts on what was never given. */
void pool_put(struct pool *p, const struct lane_ext *ext, int n);

uint64_t pool_used(const struct pool *p); /* bytes, in whole pages */
uint64_t pool_size(const struct pool *p);

#endif
