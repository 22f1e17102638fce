/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by verbs*.c only: a request on its way to its answer.
 */
#ifndef CTL_VERBS_PRIV_H
#define CTL_VERBS_PRIV_H

#include "ctl/verbs.h"

enum { VERB_LATER = 1 }; /* the handler has made a struct pending of it */

/* A request while its handler runs.  The handler returns 0 (the reply says so,
 * with c->why as a warning), VERB_LATER, or -errno with c->why. */
struct call {
	struct verbs *v;
	void *client;
	uint32_t id;
	const Tgt__ControlRequest *req;
	char why[VERBS_WHY];
	const struct model_target *target; /* to be in the answer */
	const struct model_lun *lun;
	const struct model_mapping *mapping;
	const struct model_portal *portal;
	const struct model_rule *rule;
};

/* A request that is answered later. */
struct pending {
	struct list link;
	void *client; /* NULL: nobody waits any more */
	uint32_t id;
	unsigned ticks;
	struct model_lun *lun;
	struct model_portal *portal;
	bool deleting; /* lun: waits for LUN_GONE, then answers err, text */
	int err; /* positive */
	char text[VERBS_WHY];
};

#define refuse(c, err, ...) (snprintf((c)->why, sizeof((c)->why), __VA_ARGS__), -(err))

struct pending *pending_new(struct call *c); /* NULL: no memory; fills c->why */
void pending_reply(struct verbs *v, struct pending *p, int err, const char *text); /* frees */

/* ---- verbs_lun.c ----------------------------------------------------- */
int verb_create_lun(struct call *c);
int verb_delete_lun(struct call *c);
void pending_lun_tick(struct verbs *v, struct pending *p);

/* ---- verbs_portal.c -------------------------------------------------- */
int verb_create_portal(struct call *c);
int verb_delete_portal(struct call *c);
void portals_retry(struct verbs *v);

/* ---- verbs_access.c -------------------------------------------------- */
int verb_create_access(struct call *c);
int verb_delete_access(struct call *c);

/* ---- verbs_show.c ---------------------------------------------------- */
int verb_show(struct call *c);
void reply_objects(struct call *c, int err);

#endif
