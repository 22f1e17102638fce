/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this portal serves: see catalog.h.
 */
#include "portal/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void
catalog_init(struct catalog *c)
{
	memset(c, 0, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
}

void
catalog_done(struct catalog *c)
{
	while (c->n_targets)
		catalog_target_remove(c, c->targets[0].name);
	while (c->n_portals)
		catalog_portal_remove(c, c->portals[0].id);
	free(c->targets);
	free(c->names);
	free(c->portals);
	free(c->addrs);
	pthread_mutex_destroy(&c->lock);
}

static struct catalog_target *
find(const struct catalog *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->n_targets; i++)
		if (!strcasecmp(c->targets[i].name, name))
			return &c->targets[i];
	return NULL;
}

const struct catalog_target *
catalog_find(const struct catalog *c, const char *name)
{
	return find(c, name);
}

/* Room for one more in two parallel arrays. */
static int
grow(void **a, size_t a_size, void **b, size_t b_size, size_t n)
{
	void *na = reallocarray(*a, n + 1, a_size), *nb;

	if (!na)
		return -ENOMEM;
	*a = na;
	nb = reallocarray(*b, n + 1, b_size);
	if (!nb)
		return -ENOMEM;
	*b = nb;
	return 0;
}

static int
target_add(struct catalog *c, uint32_t id, const char *name, char *alias, uint16_t tpgt)
{
	char *copy = strdup(name);
	void *a = c->targets, *b = c->names;
	int err = copy ? 0 : -ENOMEM;

	if (!err) {
		err = grow(&a, sizeof(*c->targets), &b, sizeof(*c->names), c->n_targets);
		c->targets = a;
		c->names = b;
	}
	if (err) {
		free(copy);
		return err;
	}
	c->targets[c->n_targets] =
		(struct catalog_target){ .name = copy, .alias = alias, .tpgt = tpgt };
	c->names[c->n_targets] = (struct disco_target){ .name = copy, .id = id };
	c->n_targets++;
	return 0;
}

int
catalog_target(struct catalog *c, uint32_t id, const char *name, const char *alias,
	       uint16_t tpgt)
{
	char *acopy = strdup(alias);
	struct catalog_target *t;
	int err = 0;

	if (!acopy)
		return -ENOMEM;
	pthread_mutex_lock(&c->lock);
	t = find(c, name);
	if (t) {
		free(t->alias);
		t->alias = acopy;
		t->tpgt = tpgt;
		c->names[t - c->targets].id = id;
	} else {
		err = target_add(c, id, name, acopy, tpgt);
	}
	pthread_mutex_unlock(&c->lock);
	if (err)
		free(acopy);
	return err;
}

void
catalog_target_remove(struct catalog *c, const char *name)
{
	struct catalog_target *t;
	size_t i;

	pthread_mutex_lock(&c->lock);
	t = find(c, name);
	if (t) {
		i = (size_t)(t - c->targets);
		free(t->name);
		free(t->alias);
		c->n_targets--;
		memmove(t, t + 1, (c->n_targets - i) * sizeof(*t));
		memmove(&c->names[i], &c->names[i + 1], (c->n_targets - i) * sizeof(c->names[0]));
	}
	pthread_mutex_unlock(&c->lock);
}

int
catalog_portal(struct catalog *c, uint32_t id, const char *addr, uint16_t port, uint16_t tpgt)
{
	char *copy = strdup(addr);
	void *a = c->portals, *b = c->addrs;
	int err;

	if (!copy)
		return -ENOMEM;
	pthread_mutex_lock(&c->lock);
	err = grow(&a, sizeof(*c->portals), &b, sizeof(*c->addrs), c->n_portals);
	c->portals = a;
	c->addrs = b;
	if (!err) {
		c->portals[c->n_portals] = (struct catalog_portal){
			.id = id, .addr = copy, .port = port, .tpgt = tpgt
		};
		c->addrs[c->n_portals] =
			(struct disco_portal){ .addr = copy, .port = port, .tpgt = tpgt };
		c->n_portals++;
	}
	pthread_mutex_unlock(&c->lock);
	if (err)
		free(copy);
	return err;
}

void
catalog_portal_remove(struct catalog *c, uint32_t id)
{
	size_t i;

	pthread_mutex_lock(&c->lock);
	for (i = 0; i < c->n_portals && c->portals[i].id != id; i++)
		;
	if (i < c->n_portals) {
		free(c->portals[i].addr);
		c->n_portals--;
		memmove(&c->portals[i], &c->portals[i + 1],
			(c->n_portals - i) * sizeof(c->portals[0]));
		memmove(&c->addrs[i], &c->addrs[i + 1], (c->n_portals - i) * sizeof(c->addrs[0]));
	}
	pthread_mutex_unlock(&c->lock);
}

void
catalog_lock(struct catalog *c, struct disco_view *v)
{
	pthread_mutex_lock(&c->lock);
	v->targets = c->names;
	v->n_targets = c->n_targets;
	v->portals = c->addrs;
	v->n_portals = c->n_portals;
}

void
catalog_unlock(struct catalog *c)
{
	pthread_mutex_unlock(&c->lock);
}
