/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated store, a backend for serve.c: blocks move one by one, at any
 * time between submit and completion, straight from and into pool memory.
 * When storaged dies, what was in flight may land later, block by block, or
 * never, until the fence of the next storaged.
 */
#include <string.h>

#include "tests/sim/sim.h"

static void
land(struct store_op *o, unsigned i)
{
	uint64_t *v = &W.store.value[o->first + i];

	o->landed |= (uint8_t)(1u << i);
	if (o->op == BLK_READ) {
		*o->at[i] = *v;
		return;
	}
	*v = *o->at[i];
	if (!*v || *v >= value_of(W.n_rec, 0)) {
		sim_fail("the store was given %llx, which nobody wrote", (unsigned long long)*v);
		return;
	}
	sim_log("    block %u := %llx%s", o->first + i, (unsigned long long)*v,
		o->r ? "" : " (late)");
	if (W.rec[(*v - 1) / 16].ended)
		sim_fail("command %u had an effect on block %u after its end",
			 (unsigned)((*v - 1) / 16), o->first + i);
}

static bool
all_landed(const struct store_op *o)
{
	return o->landed == (1u << o->n) - 1;
}

static void
drop(struct store_op *o)
{
	o->used = false;
	W.store.n_used--;
}

/* What is in flight must be pairwise independent (docs/recovery.md). */
static void
check_independent(const struct store_op *o)
{
	for (unsigned i = 0; i < STORE_OPS; i++) {
		const struct store_op *p = &W.store.ops[i];

		if (p->used && p != o && p->first < o->first + o->n &&
		    o->first < p->first + p->n && (p->op == BLK_WRITE || o->op == BLK_WRITE) &&
		    !W.opt.no_rangelock && !W.opt.no_drain && !W.opt.no_fence)
			sim_fail("the store has overlapping requests in flight");
	}
}

static void
fill(struct store_op *o, struct blk_req *r)
{
	unsigned b = 0;

	o->used = true;
	o->r = r;
	o->op = r->op;
	o->first = (uint8_t)(r->off / BLOCK);
	o->n = 0;
	o->landed = 0;
	o->ready = false;
	W.store.n_used++;
	for (unsigned i = 0; i < r->n_iov; i++)
		for (size_t k = 0; k < r->iov[i].iov_len && b < XFER_MAX; k += BLOCK)
			o->at[b++] = (void *)((uint8_t *)r->iov[i].iov_base + k);
	o->n = (uint8_t)b;
	if (r->op != BLK_FLUSH && b * BLOCK != r->len)
		sim_fail("a request's extents are not its length");
}

/* As long as storaged lives, the outcome of what it executed can be harvested:
 * however often scsid dies, no command is executed twice. */
static void
check_once(const struct store_op *o)
{
	uint64_t v = o->op == BLK_WRITE ? *o->at[0] : 0;
	struct rec *r;

	if (!v || v >= value_of(W.n_rec, 0) || W.opt.no_drain)
		return;
	r = &W.rec[(v - 1) / 16];
	if (r->runs_in == 1 + W.proc[STORAGED].deaths)
		sim_fail("command %u is executed twice by one storaged",
			 (unsigned)((v - 1) / 16));
	r->runs_in = 1 + W.proc[STORAGED].deaths;
}

static void
store_submit(struct backend *be, struct blk_req *r)
{
	struct store_op *o = W.store.ops;

	(void)be;
	while (o->used)
		o++;
	fill(o, r);
	check_independent(o);
	check_once(o);
	if (rnd(4) == 0) { /* as from a page cache: at once */
		for (unsigned i = 0; i < o->n; i++)
			land(o, i);
		drop(o);
		blk_done(r, 0);
	} else {
		o->ready = o->n == 0;
	}
}

static unsigned
store_reap(struct backend *be)
{
	unsigned n = 0;

	(void)be;
	for (unsigned i = 0; i < STORE_OPS && W.store.n_used; i++) {
		struct store_op *o = &W.store.ops[i];
		struct blk_req *r = o->r;

		if (!o->used || !o->ready || !r)
			continue;
		drop(o);
		blk_done(r, 0);
		n++;
	}
	return n;
}

static const struct backend_type store_type = {
	.name = "simulated",
	.caps = BLK_CAP_FLUSH | BLK_CAP_FUA,
	.submit = store_submit,
	.reap = store_reap,
};

void
store_begin_seed(void)
{
	memset(&W.store, 0, sizeof(W.store));
	W.store.backend.type = &store_type;
	W.store.backend.caps = store_type.caps;
	W.store.backend.size = BLOCKS * BLOCK;
}

/* One block of one request moves. */
void
store_step(void)
{
	unsigned at = rnd(STORE_OPS);

	for (unsigned i = 0; i < STORE_OPS; i++) {
		struct store_op *o = &W.store.ops[(at + i) % STORE_OPS];

		if (!o->used || o->ready)
			continue;
		if (!all_landed(o)) {
			unsigned b = rnd(o->n);

			while (o->landed & 1u << b)
				b = (b + 1) % o->n;
			land(o, b);
		}
		if (all_landed(o)) {
			if (!o->r) {
				drop(o);
				return;
			}
			o->ready = true;
			W.proc[STORAGED].asleep = false; /* the backend's event_fd */
		}
		return;
	}
}

void
store_orphan(void)
{
	for (unsigned i = 0; i < STORE_OPS; i++) {
		struct store_op *o = &W.store.ops[i];

		if (!o->used)
			continue;
		if (o->op != BLK_WRITE || o->ready) {
			drop(o);
			continue;
		}
		o->r = NULL;
		/* Some blocks are lost with the process. */
		for (unsigned b = 0; b < o->n; b++)
			if (rnd(3) == 0)
				o->landed |= (uint8_t)(1u << b);
		if (all_landed(o))
			drop(o);
	}
}

bool
store_fenced(void)
{
	for (unsigned i = 0; i < STORE_OPS; i++)
		if (W.store.ops[i].used && !W.store.ops[i].r)
			return false;
	return true;
}

bool
store_can_land(void)
{
	for (unsigned i = 0; i < STORE_OPS && W.store.n_used; i++)
		if (W.store.ops[i].used && !W.store.ops[i].ready)
			return true;
	return false;
}
