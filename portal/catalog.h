/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this portal serves: its targets and the addresses it listens on.
 * Written by the main thread, read for SendTargets by all.
 */
#ifndef PORTAL_CATALOG_H
#define PORTAL_CATALOG_H

#include <pthread.h>
#include <stdint.h>

#include "portal/discovery.h"

struct catalog_target {
	char *name;
	char *alias; /* "" or TargetAlias */
	uint16_t tpgt;
};

struct catalog_portal {
	uint32_t id;
	char *addr;
	uint16_t port, tpgt;
};

struct catalog {
	pthread_mutex_t lock;
	struct catalog_target *targets;
	struct disco_target *names; /* the same, as discovery wants it */
	size_t n_targets;
	struct catalog_portal *portals;
	struct disco_portal *addrs;
	size_t n_portals;
};

void catalog_init(struct catalog *c);
void catalog_done(struct catalog *c);

/* Adds or updates.  0 or -ENOMEM. */
int catalog_target(struct catalog *c, uint32_t id, const char *name, const char *alias,
		   uint16_t tpgt);
void catalog_target_remove(struct catalog *c, const char *name);
int catalog_portal(struct catalog *c, uint32_t id, const char *addr, uint16_t port, uint16_t tpgt);
void catalog_portal_remove(struct catalog *c, uint32_t id);

/* The main thread only: the row, or NULL. */
const struct catalog_target *catalog_find(const struct catalog *c, const char *name);

/* Fills the lists of @v, which stay valid until catalog_unlock. */
void catalog_lock(struct catalog *c, struct disco_view *v);
void catalog_unlock(struct catalog *c);

#endif
