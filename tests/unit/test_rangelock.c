/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The range lock against a brute-force model: random requests, random
 * releases of held and of waiting ones, checked after every step.
 */
#include "scsid/rangelock.h"

#include <stdlib.h>

#include "tests/unit/tap.h"

enum { REQS = 48, RANGES = 3, STEPS = 4000 };

struct one {
	struct rangelock_req req;
	struct rangelock_range r[RANGES];
	bool live, granted; /* what the model says */
	uint64_t age;
};

static uint64_t seed;

static uint32_t
rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed >> 11) % n);
}

static bool
conflict(const struct one *a, const struct one *b)
{
	if (!a->req.writer && !b->req.writer)
		return false;
	for (unsigned i = 0; i < a->req.n; i++)
		for (unsigned j = 0; j < b->req.n; j++)
			if (a->r[i].lo < b->r[j].hi && b->r[j].lo < a->r[i].hi)
				return true;
	return false;
}

/* The definition: granted when no earlier live request conflicts. */
static void
model(struct one *v)
{
	for (int i = 0; i < REQS; i++) {
		if (!v[i].live)
			continue;
		v[i].granted = true;
		for (int j = 0; j < REQS; j++)
			if (v[j].live && v[j].age < v[i].age && conflict(&v[i], &v[j]))
				v[i].granted = false;
	}
}

/* Depth, order and augmentation of the tree; returns the height. */
static int
check_tree(const struct rangelock_range *t, uint64_t *max)
{
	uint64_t lm = 0, rm = 0;
	int l, r;

	*max = 0;
	if (!t)
		return 0;
	l = check_tree(t->left, &lm);
	r = check_tree(t->right, &rm);
	*max = MAX(t->hi, MAX(lm, rm));
	CHECK(t->max == *max);
	CHECK(l - r <= 1 && r - l <= 1);
	CHECK(!t->left || t->left->lo <= t->lo);
	CHECK(!t->right || t->right->lo >= t->lo);
	return 1 + MAX(l, r);
}

static void
fill(struct one *o, uint64_t age, uint32_t space, uint32_t write_pct)
{
	o->req.ranges = o->r;
	o->req.n = (uint16_t)(rnd(8) ? 1 : rnd(RANGES + 1));
	o->req.writer = rnd(100) < write_pct;
	for (unsigned i = 0; i < o->req.n; i++) {
		o->r[i].lo = rnd(space);
		o->r[i].hi = o->r[i].lo + 1 + rnd(rnd(10) ? 8 : space);
	}
	o->live = true;
	o->age = age;
}

static void
run(uint64_t s, uint32_t space, uint32_t write_pct)
{
	static struct one v[REQS];
	struct rangelock rl;
	uint64_t age = 0, max;
	int live = 0;

	seed = s * 0x9e3779b97f4a7c15u + 1;
	memset(v, 0, sizeof(v));
	rangelock_init(&rl);
	for (int step = 0; step < STEPS && !tap_bad; step++) {
		struct one *o = &v[rnd(REQS)];
		struct list granted = LIST_INIT(granted);
		struct rangelock_req *g;
		uint64_t last = 0;

		if (!o->live) {
			bool got;

			fill(o, ++age, space, write_pct);
			model(v);
			got = rangelock_acquire(&rl, &o->req);
			CHECK(got == o->granted);
			live++;
		} else {
			rangelock_release(&rl, &o->req, &granted);
			o->live = false;
			live--;
			list_for_each(g, &granted, link) {
				struct one *w = container_of(g, struct one, req);

				CHECK(w->live && !w->granted && g->seq > last);
				last = g->seq;
				list_del(&g->link);
			}
			model(v);
		}
		for (int i = 0; i < REQS; i++)
			if (v[i].live)
				CHECK(v[i].granted == rangelock_granted(&v[i].req));
		check_tree(rl.root, &max);
	}
	for (int i = 0; i < REQS; i++) {
		struct list granted = LIST_INIT(granted);

		if (v[i].live)
			rangelock_release(&rl, &v[i].req, &granted);
	}
	CHECK(!rl.root && !rl.writers && list_empty(&rl.readers));
}

static void
test_model_mixed(void)
{
	for (uint64_t s = 1; s <= 12; s++)
		run(s, 64, 40);
}

static void
test_model_sparse(void)
{
	for (uint64_t s = 1; s <= 6; s++)
		run(s, 100000, 50);
}

static void
test_model_mostly_readers(void)
{
	for (uint64_t s = 1; s <= 12; s++)
		run(s, 32, 5);
}

static void
test_model_writers_only(void)
{
	for (uint64_t s = 1; s <= 4; s++)
		run(s, 16, 100);
}

static void
set(struct one *o, uint64_t lo, uint64_t hi, bool writer)
{
	memset(o, 0, sizeof(*o));
	o->req.ranges = o->r;
	o->req.n = 1;
	o->req.writer = writer;
	o->r[0].lo = lo;
	o->r[0].hi = hi;
}

/* A reader behind a waiting writer does not overtake it. */
static void
test_fifo(void)
{
	struct rangelock rl;
	struct one a, b, c;
	struct list granted = LIST_INIT(granted);

	rangelock_init(&rl);
	set(&a, 0, 8, false);
	set(&b, 4, 12, true);
	set(&c, 0, 6, false);
	CHECK(rangelock_acquire(&rl, &a.req));
	CHECK(!rl.root); /* no writer: not in the tree */
	CHECK(!rangelock_acquire(&rl, &b.req));
	CHECK(!rangelock_acquire(&rl, &c.req));
	rangelock_release(&rl, &a.req, &granted);
	CHECK(list_first(&granted, struct rangelock_req, link) == &b.req);
	list_del(&b.req.link);
	CHECK(list_empty(&granted));
	rangelock_release(&rl, &b.req, &granted);
	CHECK(list_first(&granted, struct rangelock_req, link) == &c.req);
	list_del(&c.req.link);
	rangelock_release(&rl, &c.req, &granted);
	CHECK(!rl.root);
}

/* A waiting writer that is taken out lets those behind it go. */
static void
test_leave_queue(void)
{
	struct rangelock rl;
	struct one a, b, c;
	struct list granted = LIST_INIT(granted);

	rangelock_init(&rl);
	set(&a, 0, UINT64_MAX, false);
	set(&b, UINT64_MAX - 1, UINT64_MAX, true);
	set(&c, 0, UINT64_MAX, false);
	CHECK(rangelock_acquire(&rl, &a.req));
	CHECK(!rangelock_acquire(&rl, &b.req));
	CHECK(!rangelock_acquire(&rl, &c.req));
	rangelock_release(&rl, &b.req, &granted);
	CHECK(list_first(&granted, struct rangelock_req, link) == &c.req);
}

int
main(void)
{
	TEST(test_model_mixed);
	TEST(test_model_sparse);
	TEST(test_model_mostly_readers);
	TEST(test_model_writers_only);
	TEST(test_fifo);
	TEST(test_leave_queue);
	return tap_done();
}
