/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is what the initiators saw linearisable, block by block?  Every write has a
 * value of its own, so the answer is exact (Gibbons and Korach): the write of
 * a value and the reads that saw it form a cluster; from the first response to
 * the last invocation of a cluster the block must hold that value.
 *
 * A write without GOOD (cancelled, or of a dead portal) may have happened or
 * not; it counts when somebody saw it, and then within its interval.
 */
#include "tests/sim/sim.h"

struct cluster {
	uint64_t value;
	uint64_t first_resp, last_inv;
	uint64_t write_inv;
	bool counts;
};

static void
add(struct cluster *c, uint64_t inv, uint64_t resp)
{
	if (resp < c->first_resp)
		c->first_resp = resp;
	if (inv > c->last_inv)
		c->last_inv = inv;
}

static unsigned
add_writes(struct cluster *c, unsigned block)
{
	unsigned n = 1;

	c[0] = (struct cluster){ .first_resp = 0, .counts = true }; /* zeros, always there */
	for (unsigned id = 0; id < W.n_rec; id++) {
		const struct rec *r = &W.rec[id];

		if (r->kind != C_WRITE || block < r->lba || block >= (unsigned)r->lba + r->moved)
			continue;
		c[n++] = (struct cluster){
			.value = value_of(id, block - r->lba),
			.first_resp = r->resp, .last_inv = r->inv, .write_inv = r->inv,
			.counts = r->good,
		};
	}
	return n;
}

static void
add_reads(struct cluster *c, unsigned n, unsigned block)
{
	for (unsigned id = 0; id < W.n_rec; id++) {
		const struct rec *r = &W.rec[id];
		uint64_t v;
		unsigned i = 0;

		if (r->kind != C_READ || !r->good || block < r->lba ||
		    block >= (unsigned)r->lba + r->moved)
			continue;
		v = r->value[block - r->lba];
		while (i < n && c[i].value != v)
			i++;
		if (i == n) {
			sim_fail("command %u read block %u as %llx, which nobody wrote", id, block,
				 (unsigned long long)v);
			return;
		}
		if (r->resp < c[i].write_inv)
			sim_fail("command %u read block %u before it was written", id, block);
		c[i].counts = true;
		add(&c[i], r->inv, r->resp);
	}
}

static void
check_pair(const struct cluster *a, const struct cluster *b, unsigned block)
{
	bool a_fwd = a->first_resp < a->last_inv, b_fwd = b->first_resp < b->last_inv;

	if (a_fwd && b_fwd && a->first_resp < b->last_inv && b->first_resp < a->last_inv)
		sim_fail("block %u held %llx and %llx at the same time", block,
			 (unsigned long long)a->value, (unsigned long long)b->value);
	if (a_fwd && !b_fwd && a->first_resp < b->last_inv && b->first_resp < a->last_inv)
		sim_fail("block %u: %llx was written within the life of %llx and lost", block,
			 (unsigned long long)b->value, (unsigned long long)a->value);
}

void
history_check(void)
{
	struct cluster c[CMDS_MAX + 1];

	for (unsigned block = 0; block < BLOCKS && !W.failed; block++) {
		unsigned n = add_writes(c, block);

		add_reads(c, n, block);
		for (unsigned i = 0; i < n; i++)
			for (unsigned j = 0; j < n; j++)
				if (i != j && c[i].counts && c[j].counts)
					check_pair(&c[i], &c[j], block);
	}
}
