/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A log-linear histogram of nanoseconds: every power of two is split in 64
 * equal buckets, so a percentile is within 0.8 % of the true value.  Pure.
 */
#ifndef TESTS_TOOLS_HIST_H
#define TESTS_TOOLS_HIST_H

#include <stdint.h>

enum {
	HIST_SUB_BITS = 6,
	HIST_SUB = 1 << HIST_SUB_BITS,
	HIST_BUCKETS = (65 - HIST_SUB_BITS) * HIST_SUB,
};

struct hist {
	uint64_t n, max;
	uint64_t bucket[HIST_BUCKETS];
};

static inline void
hist_add(struct hist *h, uint64_t v)
{
	unsigned shift = v < HIST_SUB ? 0 : 63 - (unsigned)__builtin_clzll(v) - HIST_SUB_BITS;

	/* v >> shift is below HIST_SUB in the first row and has its top bit set in the others */
	h->bucket[(v < HIST_SUB ? 0 : (shift + 1) * HIST_SUB) + ((v >> shift) & (HIST_SUB - 1))]++;
	h->n++;
	if (v > h->max)
		h->max = v;
}

/* The middle of the bucket that holds the quantile @q (0..1); 0 when empty. */
static inline double
hist_quantile(const struct hist *h, double q)
{
	uint64_t rank = (uint64_t)(q * (double)h->n), seen = 0;

	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		unsigned row = i / HIST_SUB, shift = row ? row - 1 : 0;
		uint64_t low = (uint64_t)(i % HIST_SUB + (row ? HIST_SUB : 0)) << shift;

		double middle = (double)low + (double)(1ull << shift) / 2;

		seen += h->bucket[i];
		if (seen > rank)
			return middle < (double)h->max ? middle : (double)h->max;
	}
	return (double)h->max;
}

#endif
