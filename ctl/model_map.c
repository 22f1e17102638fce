/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mappings: which LUN has which number in which target.  Pure; see model.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/model.h"

#define refuse(why, err, ...) (snprintf(why, MODEL_WHY, __VA_ARGS__), -(err))

struct model_mapping *
model_mapping_find(struct model_target *t, uint32_t number)
{
	struct model_mapping *p;

	list_for_each(p, &t->mappings, link)
		if (p->number == number)
			return p;
	return NULL;
}

static struct model_mapping *
find_lun(struct model_target *t, const struct model_lun *l)
{
	struct model_mapping *p;

	list_for_each(p, &t->mappings, link)
		if (p->lun == l)
			return p;
	return NULL;
}

int
model_lun_unmapped(struct model *m, const struct model_lun *l, char *why)
{
	struct model_target *t;

	list_for_each(t, &m->targets, link) {
		struct model_mapping *p = find_lun(t, l);

		if (p)
			return refuse(why, EBUSY, "LUN %s is mapped as number %u of %s: delete the "
				      "mapping first", l->name, p->number, t->name);
	}
	return 0;
}

/* The mappings are in order, so the first gap is the lowest free number. */
static uint32_t
lowest_free(struct model_target *t)
{
	struct model_mapping *p;
	uint32_t n = 0;

	list_for_each(p, &t->mappings, link) {
		if (p->number != n)
			break;
		n++;
	}
	return n;
}

static int
mapping_same(struct model_mapping *p, const struct model_lun *l, int64_t number, bool read_only,
	     char *why)
{
	const char *target = p->target->name;

	if (p->lun != l)
		return refuse(why, EEXIST, "number %u of %s exists and differs: it is LUN %s",
			      p->number, target, p->lun->name);
	/* One nexus has one way to a LUN: a second number would be a second set
	 * of rights on the same lane. */
	if (number >= 0 && p->number != number)
		return refuse(why, EEXIST, "LUN %s is already mapped in %s, as number %u", l->name,
			      target, p->number);
	if (p->read_only != read_only)
		return refuse(why, EEXIST, "the mapping of LUN %s in %s exists and differs: it is %s",
			      l->name, target, p->read_only ? "read-only" : "writable");
	return MODEL_SAME;
}

int
model_mapping_create(struct model *m, const char *target, const char *lun, int64_t number,
		     bool read_only, struct model_mapping **out, char *why)
{
	struct model_target *t = model_target_find(m, target);
	struct model_lun *l = model_lun_find(m, lun);
	struct model_mapping *p;

	if (number > MODEL_NUMBER_MAX)
		return refuse(why, EINVAL, "number %lld: a LUN has a number from 0 to %d",
			      (long long)number, MODEL_NUMBER_MAX);
	if (!t)
		return refuse(why, ENOENT, "no such target: %.230s", target);
	if (!l || l->pending)
		return refuse(why, ENOENT, "no such LUN: %.80s", lun);
	p = find_lun(t, l);
	if (!p && number >= 0)
		p = model_mapping_find(t, (uint32_t)number);
	if (p) {
		*out = p;
		return mapping_same(p, l, number, read_only, why);
	}
	if (t->n_mappings >= MODEL_MAPPINGS)
		return refuse(why, ENOSPC, "%s has %d mappings already, the most there can be",
			      t->name, MODEL_MAPPINGS);
	p = calloc(1, sizeof(*p));
	if (!p)
		return refuse(why, ENOMEM, "out of memory");
	p->target = t;
	p->lun = l;
	p->number = number < 0 ? lowest_free(t) : (uint32_t)number;
	p->read_only = read_only;
	model_mapping_relink(p);
	*out = p;
	return 0;
}

void
model_mapping_unlink(struct model_mapping *p)
{
	list_del(&p->link);
	p->lun->n_mappings--;
	p->target->n_mappings--;
}

void
model_mapping_relink(struct model_mapping *p)
{
	struct model_mapping *at;
	struct list *before = &p->target->mappings;

	list_for_each(at, &p->target->mappings, link)
		if (at->number > p->number) {
			before = &at->link;
			break;
		}
	list_add_tail(before, &p->link);
	p->lun->n_mappings++;
	p->target->n_mappings++;
}

void
model_mapping_free(struct model_mapping *p)
{
	free(p);
}
