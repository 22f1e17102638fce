/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A backend of plain memory for tests of storaged/serve.c: it can hold requests
 * back, fail, lack capabilities, and remembers in which order it was asked.
 */
#ifndef TESTS_MEMSTORE_H
#define TESTS_MEMSTORE_H

#include <errno.h>
#include <string.h>

#include "storaged/backend.h"

enum { MEM_SIZE = 1 << 20, MEM_HELD_MAX = 1024 };

struct memstore {
	struct backend b;
	bool hold; /* keep requests until mem_end */
	bool can_cancel;
	int fail; /* -errno for all */
	struct blk_req *held[MEM_HELD_MAX];
	unsigned n_held;
	unsigned n_ops;
	struct {
		uint8_t op, flags;
		uint64_t off;
	} ops[MEM_HELD_MAX];
	uint8_t bytes[MEM_SIZE];
};

static inline void
mem_move(struct memstore *m, struct blk_req *r)
{
	uint64_t off = r->off;

	if (m->fail || r->op == BLK_FLUSH) {
		blk_done(r, m->fail);
		return;
	}
	for (unsigned i = 0; i < r->n_iov; i++) {
		void *at = m->bytes + off;

		if (r->op == BLK_READ)
			memcpy(r->iov[i].iov_base, at, r->iov[i].iov_len);
		else
			memcpy(at, r->iov[i].iov_base, r->iov[i].iov_len);
		off += r->iov[i].iov_len;
	}
	blk_done(r, 0);
}

static inline void
mem_submit(struct backend *b, struct blk_req *r)
{
	struct memstore *m = (struct memstore *)b;
	unsigned n = m->n_ops++ % MEM_HELD_MAX;

	m->ops[n].op = r->op;
	m->ops[n].flags = r->flags;
	m->ops[n].off = r->off;
	if (m->hold && m->n_held < MEM_HELD_MAX)
		m->held[m->n_held++] = r;
	else
		mem_move(m, r);
}

/* Ends the @i-th request held back. */
static inline void
mem_end(struct memstore *m, unsigned i)
{
	struct blk_req *r = m->held[i];

	memmove(&m->held[i], &m->held[i + 1], (--m->n_held - i) * sizeof(m->held[0]));
	mem_move(m, r);
}

static inline void
mem_cancel(struct backend *b, struct blk_req *r)
{
	struct memstore *m = (struct memstore *)b;

	for (unsigned i = 0; i < m->n_held && m->can_cancel; i++)
		if (m->held[i] == r) {
			memmove(&m->held[i], &m->held[i + 1],
				(--m->n_held - i) * sizeof(m->held[0]));
			blk_done(r, -ECANCELED);
			return;
		}
}

static const struct backend_type mem_type = {
	.name = "memory", .submit = mem_submit, .cancel = mem_cancel,
};

static inline void
mem_init(struct memstore *m)
{
	memset(m, 0, sizeof(*m));
	m->b.type = &mem_type;
	m->b.caps = BLK_CAP_FLUSH | BLK_CAP_FUA;
	m->b.size = MEM_SIZE;
}

#endif
