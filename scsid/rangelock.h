/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A reader/writer lock over byte ranges.  Pure: no I/O, no globals, no
 * allocation: the nodes are the caller's.
 *
 * A request conflicts with every earlier one, held or still waiting, that
 * overlaps it, unless both are readers.  It is granted when nothing earlier
 * that conflicts is left, all of its ranges at once.  So it is first come,
 * first served per overlap, nobody starves, and there is no deadlock: a
 * request waits for earlier ones only.
 *
 * Everything granted at one time is pairwise independent.  That is what makes
 * it right to run any part of it again after a crash (docs/recovery.md).
 *
 * Cost: while no writer holds or waits, a reader costs one test and a list
 * insertion; else an interval tree, O(log n) for each range that overlaps.
 */
#ifndef SCSID_RANGELOCK_H
#define SCSID_RANGELOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/util.h"

struct rangelock_req;

/* One range [lo, hi) in bytes; the rest is the lock's. */
struct rangelock_range {
	uint64_t lo, hi; /* lo < hi */
	uint64_t max; /* greatest hi in the subtree */
	struct rangelock_range *left, *right;
	struct rangelock_req *req;
	int height;
};

/* The caller fills in ranges, n and writer, and keeps all of it in place until
 * rangelock_release.  n = 0 conflicts with nothing. */
struct rangelock_req {
	struct rangelock_range *ranges;
	uint16_t n;
	bool writer;

	bool in_tree;
	uint32_t blockers; /* earlier conflicting ranges; 0: granted */
	uint64_t seq;
	struct list link; /* of the lock; after release's @granted the caller's */
};

struct rangelock {
	struct rangelock_range *root;
	struct list readers; /* granted while there was no writer; not in the tree */
	uint32_t writers; /* held or waiting */
	uint64_t seq;
};

void rangelock_init(struct rangelock *rl);

/* True: granted at once.  False: a later rangelock_release will grant it. */
bool rangelock_acquire(struct rangelock *rl, struct rangelock_req *req);

/* Gives a held request back, or takes a waiting one out of the queue.  What
 * this grants is appended to @granted by @link, oldest first. */
void rangelock_release(struct rangelock *rl, struct rangelock_req *req, struct list *granted);

static inline bool
rangelock_granted(const struct rangelock_req *req)
{
	return req->blockers == 0;
}

#endif
