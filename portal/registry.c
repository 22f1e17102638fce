/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sessions of this portal: see registry.h.
 */
#include "portal/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void
registry_init(struct registry *r)
{
	memset(r, 0, sizeof(*r));
	list_init(&r->sessions);
}

struct reg *
registry_by_tsih(struct registry *r, uint16_t tsih)
{
	struct reg *g;

	list_for_each(g, &r->sessions, link)
		if (g->tsih == tsih)
			return g;
	return NULL;
}

static uint16_t
free_tsih(struct registry *r)
{
	unsigned i;

	for (i = 0; i < UINT16_MAX; i++) {
		if (++r->last_tsih == 0)
			r->last_tsih = 1;
		if (!registry_by_tsih(r, r->last_tsih))
			return r->last_tsih;
	}
	return 0;
}

struct reg *
registry_add(struct registry *r, const char *initiator, const uint8_t *isid, const char *target,
	     unsigned n_threads)
{
	uint16_t tsih = free_tsih(r);
	struct reg *g = tsih ? calloc(1, sizeof(*g)) : NULL;
	unsigned i;

	if (!g)
		return NULL;
	g->id = ++r->next_id;
	g->tsih = tsih;
	snprintf(g->initiator, sizeof(g->initiator), "%s", initiator);
	snprintf(g->target, sizeof(g->target), "%s", target);
	memcpy(g->isid, isid, sizeof(g->isid));
	for (i = 1; i < n_threads; i++)
		if (r->per_thread[i] < r->per_thread[g->thread])
			g->thread = i;
	r->per_thread[g->thread]++;
	list_add_tail(&r->sessions, &g->link);
	r->n++;
	return g;
}

void
registry_remove(struct registry *r, struct reg *g)
{
	r->per_thread[g->thread]--;
	r->n--;
	list_del(&g->link);
	free(g->busy);
	free(g);
}

struct reg *
registry_find(struct registry *r, uint64_t id)
{
	struct reg *g;

	list_for_each(g, &r->sessions, link)
		if (g->id == id)
			return g;
	return NULL;
}

struct reg *
registry_same(struct registry *r, const struct reg *as, struct reg *after)
{
	struct list *l = after ? after->link.next : r->sessions.next;

	for (; l != &r->sessions; l = l->next) {
		struct reg *g = list_entry(l, struct reg, link);

		/* iSCSI names compare as they are normalised: in lower case. */
		if (!strcasecmp(g->initiator, as->initiator) &&
		    !strcasecmp(g->target, as->target) &&
		    !memcmp(g->isid, as->isid, sizeof(g->isid)))
			return g;
	}
	return NULL;
}

void
registry_busy(struct reg *g, const uint64_t *lun, size_t n)
{
	uint64_t *copy = malloc((n + 1) * sizeof(*copy));

	if (!copy)
		return;
	memcpy(copy, lun, n * sizeof(*copy));
	free(g->busy);
	g->busy = copy;
	g->n_busy = n;
	g->ending = true;
}

bool
registry_barrier(struct registry *r, const struct reg *heir, unsigned *older, uint64_t **lun,
		 size_t *n)
{
	struct reg *g = NULL;
	bool known = true;
	size_t max = 0;

	*n = 0;
	*older = 0;
	while ((g = registry_same(r, heir, g)) && g != heir) {
		++*older;
		known &= g->ending;
		max += g->n_busy;
	}
	*lun = known ? malloc((max + 1) * sizeof(**lun)) : NULL;
	if (!*lun)
		return false;
	while ((g = registry_same(r, heir, g == heir ? NULL : g)) && g != heir) {
		memcpy(*lun + *n, g->busy, g->n_busy * sizeof(**lun));
		*n += g->n_busy;
	}
	return true;
}
