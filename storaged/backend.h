/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract between serve.c and a backend (one kind of backing store).
 *
 * A backend is a file of static functions with one designated initialiser at
 * its bottom.  It holds no checks of ranges, of read-only or of capabilities:
 * serve.c makes them once for all, and supplies what a backend cannot do
 * natively.  It never sees a lane, a slot or a pool.
 *
 * Threads.  open, start, submit, cancel, reap and close are called by one
 * thread, the loop.  blk_done is called in that thread only, from within
 * submit, cancel or reap; a backend with threads of its own hands its results
 * over behind event_fd and reap.
 */
#ifndef STORAGED_BACKEND_H
#define STORAGED_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "proto/lane.h"
#include "storaged/threads.h"

#define BACKEND_INO_DEVICE UINT64_MAX

/* What a backend does natively. */
enum blk_cap {
	BLK_CAP_FLUSH = 1 << 0, /* BLK_FLUSH makes completed writes durable */
	BLK_CAP_FUA = 1 << 1, /* BLK_WRITE honours BLK_FUA */
};

/*
 * One request, from submit until blk_done.  The iovecs cover exactly @len
 * bytes of pool memory that the peer can change at any time: it is payload,
 * nothing may be decided by it.  The backend may change @iov, @n_iov and all
 * of the last group, nothing else.
 */
struct blk_req {
	uint8_t op; /* enum blk_op */
	uint8_t flags; /* BLK_FUA */
	uint8_t n_iov;
	uint64_t off; /* bytes in the store */
	uint64_t len; /* bytes; 0 for BLK_FLUSH */
	struct iovec iov[LANE_EXT_MAX];

	/* The owner's: how blk_done reaches it, and where it came from. */
	void (*done)(struct blk_req *r, int err);
	void *owner;
	uint32_t slot;
	uint8_t asked; /* the op as requested */
	bool busy, cancelled;

	/* The backend's. */
	struct backend *backend;
	struct thread_job job;
	uint64_t moved; /* bytes done so far */
	int err;
};

/* Ends a request: 0 or -errno.  The request belongs to its owner again, which
 * may submit another one in its place before this returns. */
static inline void
blk_done(struct blk_req *r, int err)
{
	r->done(r, err);
}

/* What a store is opened with, from ctld's StoragedConfig. */
struct backend_conf {
	const char *path;
	uint64_t size; /* bytes; 0: the store's own */
	uint32_t block_size; /* bytes, a power of two, 512..4096 */
	bool read_only;
	unsigned fence_wait_ms;
	unsigned io_threads; /* bound of the thread pool; 0: the default */
	/* Where a flush that failed is remembered beyond this process: 0 or its
	 * errno, as the last incarnation left it; NULL: nowhere. */
	_Atomic uint64_t *flush_failed;
};

/* Why a store could not be opened, for the operator; what is worth telling
 * although it could. */
struct backend_report {
	char text[512]; /* a sentence: what, where, what to do; "" for none */
	bool permanent; /* a retry cannot help */
};

/* The part every backend's own structure begins with. */
struct backend {
	const struct backend_type *type;
	unsigned caps; /* enum blk_cap; set by open, a subset of the type's */
	uint64_t size; /* bytes, whole blocks; set by open */
	/* Identity of the store: st_dev and st_ino of a file; st_rdev and
	 * BACKEND_INO_DEVICE of a block device; 0 and 0 where it has none. */
	uint64_t dev, ino;
};

struct backend_type {
	const char *name; /* as in the configuration */
	unsigned caps; /* enum blk_cap: what it can do at best */

	/* Before lock-down, privileged: opens, fences and measures the store.
	 * 0 and *@b, or -errno and @rep->text. */
	int (*open)(const struct backend_conf *conf, struct backend **b,
		    struct backend_report *rep);

	/* Begins a request; ends it with blk_done now or later.  Must not
	 * block longer than a copy of the data where that can be avoided. */
	void (*submit)(struct backend *b, struct blk_req *r);

	/* Optional: ends @r early with blk_done(r, -ECANCELED) if it has not
	 * begun; otherwise does nothing. */
	void (*cancel)(struct backend *b, struct blk_req *r);

	/* Optional, together: a descriptor readable when results wait, and the
	 * call that takes them.  reap returns how many requests it ended. */
	int (*event_fd)(struct backend *b);
	unsigned (*reap)(struct backend *b);

	/* Waits for what has begun, then frees. */
	void (*close)(struct backend *b);
};

/* The backend of that name, or NULL. */
const struct backend_type *backend_find(const char *name);

/* "null, rdwr" into @buf, for messages. */
const char *backend_names(char *buf, size_t size);

/* Rounds a store down to whole blocks (with a warning in @rep when that loses
 * something) and to @conf->size if that is set.  0; -EINVAL and @rep when
 * nothing usable is left. */
int backend_fit(const struct backend_conf *conf, const char *what, uint64_t bytes,
		uint64_t *usable, struct backend_report *rep);

#endif
