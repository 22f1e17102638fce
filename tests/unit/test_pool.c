/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The allocator of data pools, against a page map kept by the test. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "proto/pool.h"
#include "proto/util.h"
#include "nomem.h"
#include "tap.h"

enum { PAGES = 1000 }; /* no power of two */

static bool taken[PAGES];

/* Enters (or removes) the pages of an allocation; false: one was not free (taken). */
static bool
mark(const struct lane_ext *ext, int n, bool on)
{
	bool good = true;

	for (int i = 0; i < n; i++) {
		uint64_t page = ext[i].off / POOL_PAGE;
		uint64_t end = page + (ext[i].len + POOL_PAGE - 1) / POOL_PAGE;

		if (ext[i].off % POOL_PAGE || !ext[i].len || end > PAGES)
			return false;
		for (; page < end; page++) {
			good = good && taken[page] != on;
			taken[page] = on;
		}
	}
	return good;
}

static uint64_t
sum(const struct lane_ext *ext, int n)
{
	uint64_t s = 0;

	for (int i = 0; i < n; i++)
		s += ext[i].len;
	return s;
}

static void
test_sizes(void)
{
	static const struct { uint64_t size; bool good; } rows[] = {
		{ 0, false }, { 1, false }, { POOL_PAGE - 1, false }, { POOL_PAGE, true },
		{ POOL_PAGE + 1, false }, { 3 * POOL_PAGE, true }, { MIB(64), true },
		{ UINT64_C(4) << 30, true }, { (UINT64_C(4) << 30) + POOL_PAGE, false },
		{ UINT64_MAX - POOL_PAGE + 1, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pool *p = pool_new(7, rows[i].size);

		CHECK_MSG(!!p == rows[i].good, "size %llu", (unsigned long long)rows[i].size);
		if (!p) {
			CHECK_EQ(errno, EINVAL);
			continue;
		}
		CHECK_EQ(pool_size(p), rows[i].size);
		CHECK_EQ(pool_used(p), 0);
		pool_free(p);
	}
	pool_free(NULL);
}

static void
test_no_memory(void)
{
	struct nomem m;
	struct pool *p;
	int err;

	if (!NOMEM_WORKS)
		return;
	nomem_begin(&m);
	p = pool_new(1, MIB(1));
	err = errno;
	nomem_end(&m);
	CHECK(!p);
	CHECK_EQ(err, ENOMEM);
}

static void
test_one(void)
{
	struct pool *p = pool_new(7, MIB(64));
	struct lane_ext e[LANE_EXT_MAX], f[LANE_EXT_MAX];

	CHECK_EQ(pool_get(p, 0, e), -EINVAL);
	CHECK_EQ(pool_get(p, POOL_ALLOC_MAX + 1, e), -EINVAL);
	CHECK_EQ(pool_get(p, UINT32_MAX, e), -EINVAL);
	CHECK_EQ(pool_get(p, 1, e), 1);
	CHECK_EQ(e[0].pool, 7);
	CHECK_EQ(e[0].len, 1);
	CHECK_EQ(pool_used(p), POOL_PAGE);
	/* The last page freed is the next one given: the touched set stays small. */
	pool_put(p, e, 1);
	CHECK_EQ(pool_get(p, 512, f), 1);
	CHECK_EQ(f[0].off, e[0].off);
	pool_put(p, f, 1);
	CHECK_EQ(pool_get(p, POOL_ALLOC_MAX, e), 1);
	CHECK_EQ(pool_used(p), POOL_ALLOC_MAX);
	CHECK_EQ(pool_get(p, 5 * POOL_PAGE - 1, f), 1); /* not a power of two */
	CHECK_EQ(f[0].len, 5 * POOL_PAGE - 1);
	CHECK_EQ(pool_used(p), POOL_ALLOC_MAX + 5 * POOL_PAGE);
	pool_put(p, f, 1);
	pool_put(p, e, 1);
	CHECK_EQ(pool_used(p), 0);
	/* All merged again: the whole can be had in its largest blocks. */
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pool_get(p, POOL_ALLOC_MAX, e), 1);
	CHECK_EQ(pool_get(p, 1, e), -ENOMEM);
	CHECK_EQ(pool_used(p), pool_size(p));
	pool_free(p);
}

/* Every other page taken: nothing above four single pages can be had. */
static void
test_fragments(void)
{
	struct pool *p = pool_new(0, 16 * POOL_PAGE);
	struct lane_ext one[16][LANE_EXT_MAX], e[LANE_EXT_MAX];
	int n;

	for (int i = 0; i < 16; i++)
		CHECK_EQ(pool_get(p, POOL_PAGE, one[i]), 1);
	for (int i = 0; i < 16; i += 2)
		pool_put(p, one[i], 1);
	CHECK_EQ(pool_get(p, 5 * POOL_PAGE, e), -ENOMEM);
	CHECK_EQ(pool_used(p), 8 * POOL_PAGE);
	n = pool_get(p, 4 * POOL_PAGE - 100, e);
	CHECK_EQ(n, 4);
	CHECK_EQ(sum(e, n), 4 * POOL_PAGE - 100);
	pool_put(p, e, n);
	CHECK_EQ(pool_used(p), 8 * POOL_PAGE);
	/* A larger hole is used whole, the rest from the small ones. */
	pool_put(p, one[1], 1);
	n = pool_get(p, 3 * POOL_PAGE, e);
	CHECK_EQ(n, 2);
	CHECK_EQ(e[0].len, 2 * POOL_PAGE);
	pool_free(p);
}

static void
test_random(void)
{
	enum { LIVE = 64 };
	static struct { struct lane_ext e[LANE_EXT_MAX]; int n; uint32_t len; } live[LIVE];
	struct pool *p = pool_new(3, (uint64_t)PAGES * POOL_PAGE);
	struct lane_ext e[LANE_EXT_MAX];
	unsigned refused = 0;

	srandom(1);
	for (int round = 0; round < 200000; round++) {
		int i = (int)(random() % LIVE);

		if (live[i].n) {
			CHECK(mark(live[i].e, live[i].n, false));
			pool_put(p, live[i].e, live[i].n);
			live[i].n = 0;
			continue;
		}
		live[i].len = (uint32_t)(random() % (40 * POOL_PAGE)) + 1;
		live[i].n = pool_get(p, live[i].len, live[i].e);
		if (live[i].n < 0) {
			CHECK_EQ(live[i].n, -ENOMEM);
			live[i].n = 0;
			refused++;
			continue;
		}
		CHECK(mark(live[i].e, live[i].n, true));
		CHECK_EQ(sum(live[i].e, live[i].n), live[i].len);
		if (tap_bad)
			break;
	}
	CHECK(refused > 0);
	for (int i = 0; i < LIVE; i++)
		pool_put(p, live[i].e, live[i].n);
	CHECK_EQ(pool_used(p), 0);
	CHECK_EQ(pool_get(p, 512 * POOL_PAGE, e), 1); /* 1000 = 512 + 256 + ... : whole again */
	CHECK_EQ(pool_get(p, 256 * POOL_PAGE, e), 1);
	pool_free(p);
}

int
main(void)
{
	TEST(test_sizes);
	TEST(test_no_memory);
	TEST(test_one);
	TEST(test_fragments);
	TEST(test_random);
	return tap_done();
}
