/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The nexus table: see nexus.h.  Must not decide anything about a command.
 */
#include "scsid/nexus.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_MIN = 16 };

/* ctld numbers nexuses from 1 upwards, so the low bits spread them. */
static struct nexus_entry **
bucket(const struct nexus_table *t, uint32_t id)
{
	return &t->bucket[id & (t->n_buckets - 1)];
}

int
nexus_table_init(struct nexus_table *t)
{
	memset(t, 0, sizeof(*t));
	list_init(&t->all);
	t->bucket = calloc(BUCKETS_MIN, sizeof(*t->bucket));
	if (!t->bucket)
		return -ENOMEM;
	t->n_buckets = BUCKETS_MIN;
	return 0;
}

void
nexus_table_done(struct nexus_table *t)
{
	struct nexus *n;

	if (!t->bucket)
		return;
	list_for_each(n, &t->all, link)
		nexus_del(t, container_of(n, struct nexus_entry, n));
	free(t->bucket);
	t->bucket = NULL;
}

struct nexus_entry *
nexus_find(const struct nexus_table *t, uint32_t id)
{
	struct nexus_entry *ne = *bucket(t, id);

	while (ne && ne->n.id != id)
		ne = ne->chain;
	return ne;
}

static int
grow(struct nexus_table *t)
{
	struct nexus_table bigger = *t;
	struct nexus *n;

	if (t->count < t->n_buckets * 2)
		return 0;
	bigger.n_buckets *= 2;
	bigger.bucket = calloc(bigger.n_buckets, sizeof(*bigger.bucket));
	if (!bigger.bucket)
		return -ENOMEM;
	list_for_each(n, &t->all, link) {
		struct nexus_entry *ne = container_of(n, struct nexus_entry, n);

		ne->chain = *bucket(&bigger, n->id);
		*bucket(&bigger, n->id) = ne;
	}
	free(t->bucket);
	t->bucket = bigger.bucket;
	t->n_buckets = bigger.n_buckets;
	return 0;
}

static int
copy_luns(struct nexus *n, uint32_t generation, const uint64_t *luns, uint32_t n_luns)
{
	uint64_t *copy = NULL;

	if (n_luns) {
		copy = calloc(n_luns, sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, luns, n_luns * sizeof(*copy));
	}
	free(n->luns);
	n->luns = copy;
	n->n_luns = n_luns;
	n->luns_generation = generation;
	return 0;
}

/* false: does not fit */
static bool
copy_name(char *dst, size_t size, const char *src)
{
	size_t len = src ? strlen(src) : 0;

	if (len >= size)
		return false;
	memcpy(dst, src ? src : "", len + 1);
	return true;
}

int
nexus_add(struct nexus_table *t, const struct nexus_conf *conf)
{
	struct nexus_entry *ne;
	int rc = -EINVAL;

	if (!conf->id)
		return -EINVAL;
	if (nexus_find(t, conf->id))
		return -EEXIST;
	ne = calloc(1, sizeof(*ne));
	if (!ne)
		return -ENOMEM;
	ne->n.id = conf->id;
	ne->n.lane = conf->lane;
	ne->n.relative_port = conf->relative_port;
	ne->n.read_only = conf->read_only;
	if (!copy_name(ne->n.initiator_port, sizeof(ne->n.initiator_port), conf->initiator_port) ||
	    !copy_name(ne->n.target_port, sizeof(ne->n.target_port), conf->target_port))
		goto out;
	rc = copy_luns(&ne->n, conf->luns_generation, conf->luns, conf->n_luns);
	if (rc)
		goto out;
	rc = grow(t);
	if (rc)
		goto out;
	if (conf->fresh)
		nexus_ua(&ne->n, ASC_POWER_ON_OR_RESET);
	ne->chain = *bucket(t, conf->id);
	*bucket(t, conf->id) = ne;
	list_add_tail(&t->all, &ne->n.link);
	t->count++;
	return 0;
out:
	free(ne->n.luns);
	free(ne);
	return rc;
}

void
nexus_del(struct nexus_table *t, struct nexus_entry *ne)
{
	struct nexus_entry **p = bucket(t, ne->n.id);

	while (*p && *p != ne)
		p = &(*p)->chain;
	assert(*p);
	*p = ne->chain;
	list_del(&ne->n.link);
	t->count--;
	free(ne->n.luns);
	free(ne);
}

int
nexus_luns(struct nexus_table *t, uint32_t id, uint32_t generation, const uint64_t *luns,
	   uint32_t n)
{
	struct nexus_entry *ne = nexus_find(t, id);
	int rc;

	if (!ne)
		return -ENOENT;
	if (generation == ne->n.luns_generation)
		return 0;
	rc = copy_luns(&ne->n, generation, luns, n);
	if (!rc)
		nexus_ua(&ne->n, ASC_REPORTED_LUNS_CHANGED);
	return rc;
}

void
nexus_ua_all(struct nexus_table *t, uint16_t asc_ascq)
{
	struct nexus *n;

	list_for_each(n, &t->all, link)
		nexus_ua(n, asc_ascq);
}
