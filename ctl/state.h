/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The durable configuration: a JSON file in the state directory.  A change is
 * on stable storage before it is answered; a damaged file is refused, never
 * replaced.
 */
#ifndef CTL_STATE_H
#define CTL_STATE_H

#include "ctl/model.h"

#define STATE_FILE "state.json"

enum { STATE_VERSION = 3, STATE_WHY = 2048, STATE_SIZE_MAX = 64 << 20 };

/* ---- pure: text <-> model -------------------------------------------- */

/*
 * Adds what @text says to the empty @m.  0, or -errno and @why (STATE_WHY
 * bytes) begins with "@name:offset: " or "@name: luns[3]: ".
 */
int state_parse(const char *text, size_t len, const char *name, struct model *m, char *why);
/* The text of a model without what is pending; malloc'ed, NULL: no memory. */
char *state_print(struct model *m);

/* ---- the directory --------------------------------------------------- */

struct state {
	int dirfd;
	char path[768]; /* of the file, for messages */
};

/* Opens (creates, mode 0700) and locks the directory.  0 or -errno and @why. */
int state_open(struct state *s, const char *dir, char *why);
/* No file is an empty configuration.  0 or -errno and @why. */
int state_load(struct state *s, struct model *m, char *why);
/* Temporary, fsync, rename, fsync of the directory.  0 or -errno and @why;
 * after an error the old or the new file is there, never a part of one. */
_Static_assert((int)STATE_WHY >= (int)MODEL_WHY, "a reason of the model fits");
int state_save(struct state *s, struct model *m, char *why);
void state_close(struct state *s);

#endif
