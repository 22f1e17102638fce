/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which lane serves which LUN of a session: a cache in front of LunOpen, with
 * the commands that wait for its answer.
 */
#ifndef PORTAL_LUNMAP_H
#define PORTAL_LUNMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/util.h"

struct cmd;
struct plane;
struct session;

enum lun_state {
	LUN_CLOSED, /* not asked for, or held back by session reinstatement */
	LUN_OPENING, /* LunOpen is on its way */
	LUN_OPEN, /* plane is valid */
};

struct lun_entry {
	struct list link; /* of the session */
	struct list open_link; /* of the thread, in LUN_OPENING */
	struct session *sess; /* NULL: it was over before the answer */
	uint64_t lun;
	uint64_t cookie; /* of the LunOpen in LUN_OPENING */
	enum lun_state state;
	bool stale; /* invalidated while opening: ask again */
	struct plane *plane;
	struct list parked; /* commands, in order */
};

struct lunmap {
	struct list entries; /* most recently used first */
	unsigned n;
};

enum { LUNMAP_MAX = 1024 }; /* LUNs a session may have open */

void lunmap_init(struct lunmap *m);

/* Sends @c to the lane of its LUN, or parks it until there is one. */
void lunmap_submit(struct session *s, struct cmd *c);

/* What LunOpened says: @err 0 and @plane, or a positive errno. */
void lunmap_opened(struct lun_entry *e, struct plane *plane, int err);

/* Reinstatement went on: asks for the LUNs that commands wait for, if they may. */
void lunmap_go(struct session *s);

/* What is known of @lun (all when NULL) is stale. */
void lunmap_invalidate(struct session *s, const uint64_t *lun, size_t n);

/* Forgets everything that leads to @p.  Its commands must be over. */
void lunmap_forget(struct session *s, struct plane *p);

/* Forgets all entries; none may have commands.  What is opening is the thread's
 * from here on, until lunmap_opened(): ctld may keep a LunOpen for as long as
 * the LUN does not come up, and answers it when it hears that the session is over. */
void lunmap_done(struct session *s);

#endif
