/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I_T nexuses that ctld announced to this logical unit.  What a command
 * may do follows from its nexus's entry, never from what the command says.
 * Pure; allocates only when a nexus is added or its LUN list changes.
 */
#ifndef SCSID_NEXUS_H
#define SCSID_NEXUS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/util.h"
#include "scsid/cmd.h"

/* What NexusAdd says.  Strings and lists are copied. */
struct nexus_conf {
	uint32_t id, lane;
	const char *initiator_port, *target_port;
	uint16_t relative_port;
	bool read_only; /* mapping or LUN */
	bool fresh; /* owes the power-on unit attention (SAM-5 5.14, 29h/00h) */
	uint32_t luns_generation;
	const uint64_t *luns;
	uint32_t n_luns;
};

struct nexus_entry {
	struct nexus n;
	uint32_t busy; /* commands of it in the engine */
	bool dropping; /* NexusDrop waits for busy to become 0 */
	struct nexus_entry *chain; /* hash */
};

struct nexus_table {
	struct nexus_entry **bucket;
	uint32_t n_buckets; /* a power of two */
	uint32_t count;
	struct list all; /* struct nexus.link, in order of arrival */
};

int nexus_table_init(struct nexus_table *t); /* 0 or -ENOMEM */
void nexus_table_done(struct nexus_table *t); /* frees every entry; half-built is fine */

/* 0; -EEXIST, -ENOMEM, -EINVAL (id 0, a port name that is too long). */
int nexus_add(struct nexus_table *t, const struct nexus_conf *conf);
void nexus_del(struct nexus_table *t, struct nexus_entry *ne);

/* NULL: not announced. */
struct nexus_entry *nexus_find(const struct nexus_table *t, uint32_t id);

/* A new LUN list: REPORTED LUNS DATA HAS CHANGED (SPC-4 6.33) is owed until the
 * nexus has read it.  0, -ENOENT, -ENOMEM. */
int nexus_luns(struct nexus_table *t, uint32_t id, uint32_t generation, const uint64_t *luns,
	       uint32_t n);

/* A unit attention for every nexus (SAM-5 6.3.3). */
void nexus_ua_all(struct nexus_table *t, uint16_t asc_ascq);

#endif
