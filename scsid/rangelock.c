/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The range lock: see rangelock.h.  An AVL tree ordered by the low end, each
 * node knowing the greatest high end below it.  AVL because its depth is
 * bounded whatever ranges an initiator chooses.  Must not allocate.
 */
#include "scsid/rangelock.h"

#include <assert.h>

/* ---- the tree ------------------------------------------------------------ */

static int
height(const struct rangelock_range *r)
{
	return r ? r->height : 0;
}

static void
update(struct rangelock_range *r)
{
	r->height = 1 + MAX(height(r->left), height(r->right));
	r->max = r->hi;
	if (r->left)
		r->max = MAX(r->max, r->left->max);
	if (r->right)
		r->max = MAX(r->max, r->right->max);
}

static struct rangelock_range *
rotate_right(struct rangelock_range *r)
{
	struct rangelock_range *top = r->left;

	r->left = top->right;
	top->right = r;
	update(r);
	update(top);
	return top;
}

static struct rangelock_range *
rotate_left(struct rangelock_range *r)
{
	struct rangelock_range *top = r->right;

	r->right = top->left;
	top->left = r;
	update(r);
	update(top);
	return top;
}

static struct rangelock_range *
balance(struct rangelock_range *r)
{
	int lean = height(r->left) - height(r->right);

	if (lean > 1) {
		if (height(r->left->left) < height(r->left->right))
			r->left = rotate_left(r->left);
		return rotate_right(r);
	}
	if (lean < -1) {
		if (height(r->right->right) < height(r->right->left))
			r->right = rotate_right(r->right);
		return rotate_left(r);
	}
	update(r);
	return r;
}

/* A strict order: ranges with the same low end lie in order of arrival. */
static bool
before(const struct rangelock_range *a, const struct rangelock_range *b)
{
	if (a->lo != b->lo)
		return a->lo < b->lo;
	if (a->req->seq != b->req->seq)
		return a->req->seq < b->req->seq;
	return a < b; /* the same request's array */
}

static struct rangelock_range *
insert(struct rangelock_range *root, struct rangelock_range *r)
{
	if (!root) {
		r->left = r->right = NULL;
		update(r);
		return r;
	}
	if (before(r, root))
		root->left = insert(root->left, r);
	else
		root->right = insert(root->right, r);
	return balance(root);
}

static struct rangelock_range *
take_first(struct rangelock_range *root, struct rangelock_range **first)
{
	if (!root->left) {
		*first = root;
		return root->right;
	}
	root->left = take_first(root->left, first);
	return balance(root);
}

static struct rangelock_range *
erase(struct rangelock_range *root, struct rangelock_range *r)
{
	struct rangelock_range *next, *rest;

	assert(root);
	if (root != r) {
		if (before(r, root))
			root->left = erase(root->left, r);
		else
			root->right = erase(root->right, r);
		return balance(root);
	}
	if (!root->right)
		return root->left;
	rest = take_first(root->right, &next);
	next->left = root->left;
	next->right = rest;
	return balance(next);
}

/* Calls @fn for every range that overlaps @r. */
static void
overlaps(struct rangelock_range *node, const struct rangelock_range *r,
	 void (*fn)(struct rangelock_req *mine, struct rangelock_req *other, struct list *granted),
	 struct rangelock_req *mine, struct list *granted)
{
	while (node && node->max > r->lo) {
		overlaps(node->left, r, fn, mine, granted);
		if (node->lo >= r->hi)
			return;
		if (node->hi > r->lo)
			fn(mine, node->req, granted);
		node = node->right;
	}
}

/* ---- the lock ------------------------------------------------------------ */

static void
count_blocker(struct rangelock_req *mine, struct rangelock_req *other, struct list *granted)
{
	(void)granted;
	if (mine->writer || other->writer)
		mine->blockers++;
}

/* Oldest first, so that what was waiting goes on in the order it came. */
static void
add_by_seq(struct list *granted, struct rangelock_req *req)
{
	struct list *at = granted->prev;

	while (at != granted && list_entry(at, struct rangelock_req, link)->seq > req->seq)
		at = at->prev;
	list_add(at, &req->link);
}

static void
drop_blocker(struct rangelock_req *mine, struct rangelock_req *other, struct list *granted)
{
	if (other->seq < mine->seq || !(mine->writer || other->writer))
		return;
	assert(other->blockers);
	if (--other->blockers == 0)
		add_by_seq(granted, other);
}

static void
enter_tree(struct rangelock *rl, struct rangelock_req *req)
{
	for (unsigned i = 0; i < req->n; i++) {
		req->ranges[i].req = req;
		rl->root = insert(rl->root, &req->ranges[i]);
	}
	req->in_tree = true;
}

void
rangelock_init(struct rangelock *rl)
{
	rl->root = NULL;
	list_init(&rl->readers);
	rl->writers = 0;
	rl->seq = 0;
}

bool
rangelock_acquire(struct rangelock *rl, struct rangelock_req *req)
{
	struct rangelock_req *reader;

	req->blockers = 0;
	req->in_tree = false;
	req->seq = ++rl->seq;
	list_init(&req->link);
	if (!req->writer && !rl->writers) {
		list_add_tail(&rl->readers, &req->link);
		return true;
	}
	/* The first writer pays for entering the readers that it must see. */
	if (req->writer && rl->writers++ == 0)
		list_for_each(reader, &rl->readers, link) {
			list_del(&reader->link);
			enter_tree(rl, reader);
		}
	for (unsigned i = 0; i < req->n; i++) {
		assert(req->ranges[i].lo < req->ranges[i].hi);
		overlaps(rl->root, &req->ranges[i], count_blocker, req, NULL);
	}
	enter_tree(rl, req);
	return req->blockers == 0;
}

void
rangelock_release(struct rangelock *rl, struct rangelock_req *req, struct list *granted)
{
	list_del(&req->link);
	if (req->writer) {
		assert(rl->writers);
		rl->writers--;
	}
	if (!req->in_tree)
		return;
	for (unsigned i = 0; i < req->n; i++)
		rl->root = erase(rl->root, &req->ranges[i]);
	req->in_tree = false;
	for (unsigned i = 0; i < req->n; i++)
		overlaps(rl->root, &req->ranges[i], drop_blocker, req, granted);
}
