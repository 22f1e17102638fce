/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sessions of this portal as the main thread knows them: who they are
 * (for session reinstatement, RFC 7143 6.3.5), their TSIH, which thread has
 * them.  Pure.
 */
#ifndef PORTAL_REGISTRY_H
#define PORTAL_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "portal/iscsi.h"
#include "proto/util.h"

struct guest;

struct reg {
	struct list link;
	uint64_t id; /* never reused */
	uint32_t nexus; /* 0: discovery */
	uint16_t tsih;
	unsigned thread;
	bool handed; /* its thread has it; before that its guest does */
	bool closing; /* its thread was told to end it */
	bool held; /* LUNs of it may wait for the end of an older one */
	bool ending; /* its thread has cancelled its commands; they are left on: */
	uint64_t *busy; /* LUNs, n_busy */
	size_t n_busy;
	struct guest *guest;
	char initiator[ISCSI_NAME_MAX + 1];
	char target[ISCSI_NAME_MAX + 1];
	uint8_t isid[ISCSI_ISID_LEN];
};

struct registry {
	struct list sessions;
	unsigned n;
	uint64_t next_id;
	uint16_t last_tsih;
	unsigned per_thread[8];
};

void registry_init(struct registry *r);

/* A session with an id and a TSIH of its own, on the thread with the fewest.
 * NULL: out of memory or of TSIHs. */
struct reg *registry_add(struct registry *r, const char *initiator, const uint8_t *isid,
			 const char *target, unsigned n_threads);
void registry_remove(struct registry *r, struct reg *g);
struct reg *registry_find(struct registry *r, uint64_t id);
struct reg *registry_by_tsih(struct registry *r, uint16_t tsih);

/* Commands of @g are left on these LUNs only.  Out of memory: as it was. */
void registry_busy(struct reg *g, const uint64_t *lun, size_t n);

/* The LUNs that commands of @heir have to wait for: those where an older session
 * of its name still has some.  false: all of them (or no memory). @older: how many
 * there are; *lun is malloc'ed. */
bool registry_barrier(struct registry *r, const struct reg *heir, unsigned *older, uint64_t **lun,
		      size_t *n);

/* The same initiator port and target: the next after @after, NULL: the first. */
struct reg *registry_same(struct registry *r, const struct reg *as, struct reg *after);

#endif
