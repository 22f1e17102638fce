/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The allocator of a data pool: a buddy system over pages, all metadata in
 * private memory.  Pure; must not touch the shared bytes.
 *
 * A block of order k is 2^k pages and lies on a multiple of its size.  What a
 * request does not need of a block goes back at once, so an allocation is a
 * run of pages, not a power of two.
 */
#include "proto/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { ORDERS = 13 }; /* 2^12 pages of 4 KiB: POOL_ALLOC_MAX */

_Static_assert((POOL_PAGE << (ORDERS - 1)) == POOL_ALLOC_MAX, "the largest block");

#define NO_PAGE UINT32_MAX

enum page_state {
	INSIDE = 0, /* of a block or a run that begins before it */
	FREE_HEAD,
	USED_HEAD,
};

struct page {
	uint32_t next; /* FREE_HEAD: its list.  USED_HEAD: pages in the run */
	uint32_t prev; /* FREE_HEAD */
	uint8_t state; /* enum page_state */
	uint8_t order; /* FREE_HEAD */
};

struct pool {
	uint32_t id;
	uint32_t n_pages;
	uint32_t used; /* pages */
	uint32_t head[ORDERS]; /* free blocks, last freed first */
	struct page pages[];
};

/* ---- free blocks ----------------------------------------------------------- */

static void
push(struct pool *p, uint32_t page, unsigned order)
{
	struct page *b = &p->pages[page];

	b->state = FREE_HEAD;
	b->order = (uint8_t)order;
	b->prev = NO_PAGE;
	b->next = p->head[order];
	if (b->next != NO_PAGE)
		p->pages[b->next].prev = page;
	p->head[order] = page;
}

static void
drop(struct pool *p, uint32_t page)
{
	struct page *b = &p->pages[page];

	if (b->prev != NO_PAGE)
		p->pages[b->prev].next = b->next;
	else
		p->head[b->order] = b->next;
	if (b->next != NO_PAGE)
		p->pages[b->next].prev = b->prev;
	b->state = INSIDE;
}

/* Frees one block, merging it with its buddy as long as that is free and whole. */
static void
free_block(struct pool *p, uint32_t page, unsigned order)
{
	for (; order < ORDERS - 1; order++) {
		uint32_t buddy = page ^ 1u << order;

		if (buddy >= p->n_pages || p->pages[buddy].state != FREE_HEAD ||
		    p->pages[buddy].order != order)
			break;
		drop(p, buddy);
		page &= ~(1u << order);
	}
	push(p, page, order);
}

/* Frees a run: the largest aligned blocks that fit it, from the front. */
static void
free_run(struct pool *p, uint32_t page, uint32_t n)
{
	while (n) {
		unsigned order = 31 - (unsigned)__builtin_clz(n);
		unsigned align = page ? (unsigned)__builtin_ctz(page) : ORDERS;

		if (order > align)
			order = align;
		if (order > ORDERS - 1)
			order = ORDERS - 1;
		free_block(p, page, order);
		page += 1u << order;
		n -= 1u << order;
	}
}

/* ---- runs ------------------------------------------------------------------- */

/* The smallest order whose block holds @n pages. */
static unsigned
order_of(uint32_t n)
{
	return n == 1 ? 0 : 32 - (unsigned)__builtin_clz(n - 1);
}

/* The order of the free block to take for @n pages: the smallest that holds
 * them, else the largest there is; ORDERS: the pool is full. */
static unsigned
choose(const struct pool *p, uint32_t n)
{
	unsigned want = order_of(n);

	for (unsigned k = want; k < ORDERS; k++) {
		if (p->head[k] != NO_PAGE)
			return k;
	}
	for (unsigned k = want; k-- > 0;) {
		if (p->head[k] != NO_PAGE)
			return k;
	}
	return ORDERS;
}

/* Takes a run of up to @n pages; returns how many, 0 when the pool is full. */
static uint32_t
take_run(struct pool *p, uint32_t n, uint32_t *page)
{
	unsigned order = choose(p, n);
	uint32_t got;

	if (order == ORDERS)
		return 0;
	*page = p->head[order];
	drop(p, *page);
	got = 1u << order;
	if (got > n) {
		free_run(p, *page + n, got - n);
		got = n;
	}
	p->pages[*page].state = USED_HEAD;
	p->pages[*page].next = got;
	p->used += got;
	return got;
}

static void
give_run(struct pool *p, uint32_t page, uint32_t n)
{
	assert(page < p->n_pages && p->pages[page].state == USED_HEAD);
	assert(p->pages[page].next == n);
	p->pages[page].state = INSIDE;
	p->used -= n;
	free_run(p, page, n);
}

/* ---- the interface ----------------------------------------------------------- */

struct pool *
pool_new(uint32_t id, uint64_t size)
{
	uint32_t n_pages = (uint32_t)(size / POOL_PAGE);
	struct pool *p;

	if (!size || size % POOL_PAGE || size > UINT64_C(4) << 30) {
		errno = EINVAL;
		return NULL;
	}
	p = calloc(1, sizeof(*p) + n_pages * sizeof(p->pages[0]));
	if (!p)
		return NULL;
	p->id = id;
	p->n_pages = n_pages;
	for (unsigned k = 0; k < ORDERS; k++)
		p->head[k] = NO_PAGE;
	free_run(p, 0, n_pages);
	return p;
}

void
pool_free(struct pool *p)
{
	free(p);
}

int
pool_get(struct pool *p, uint32_t len, struct lane_ext ext[LANE_EXT_MAX])
{
	uint32_t left = len;
	int n;

	if (!len || len > POOL_ALLOC_MAX)
		return -EINVAL;
	for (n = 0; left && n < LANE_EXT_MAX; n++) {
		uint32_t page, got = take_run(p, (left + POOL_PAGE - 1) / POOL_PAGE, &page);

		if (!got)
			break;
		ext[n].pool = p->id;
		ext[n].off = (uint64_t)page * POOL_PAGE;
		ext[n].len = got * POOL_PAGE < left ? got * POOL_PAGE : left;
		left -= ext[n].len;
	}
	if (!left)
		return n;
	pool_put(p, ext, n);
	return -ENOMEM;
}

void
pool_put(struct pool *p, const struct lane_ext *ext, int n)
{
	/* Backwards, so that the lists are as they were before the pool_get. */
	while (n-- > 0) {
		assert(ext[n].pool == p->id && ext[n].off % POOL_PAGE == 0);
		assert(ext[n].off / POOL_PAGE < p->n_pages);
		give_run(p, (uint32_t)(ext[n].off / POOL_PAGE),
			 (uint32_t)(((uint64_t)ext[n].len + POOL_PAGE - 1) / POOL_PAGE));
	}
}

uint64_t
pool_used(const struct pool *p)
{
	return (uint64_t)p->used * POOL_PAGE;
}

uint64_t
pool_size(const struct pool *p)
{
	return (uint64_t)p->n_pages * POOL_PAGE;
}
