/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the operator configured: targets, LUNs, mappings, portals.  Pure: no
 * I/O, no globals, no clock; randomness is injected.  It knows nothing of
 * processes (ctl/broker.h) and nothing of files (ctl/state.h).
 *
 * A LUN is a store with an identity; a mapping {target, number} points to it.
 *
 * Every call that can be refused fills @why (MODEL_WHY bytes) with one sentence
 * for the operator.  Creating returns 0 (created), MODEL_SAME (exists, and is
 * the same) or -errno: EINVAL a value no object can have, EEXIST exists and
 * differs, ENOENT, ENOSPC a limit, EBUSY in use.
 */
#ifndef CTL_MODEL_H
#define CTL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/access.h"
#include "proto/util.h"

enum {
	MODEL_SAME = 1,
	MODEL_WHY = 512,

	MODEL_NUMBER_MAX = 16383, /* flat space addressing, SAM-5 4.7.7.3 */
	MODEL_NAME_MAX = 64, /* LUN name */
	MODEL_IQN_MAX = 223, /* RFC 7143 4.2.7.1 */
	MODEL_ALIAS_MAX = 255,
	MODEL_PATH_MAX = 4095,
	MODEL_ADDR_MAX = 63,
	MODEL_REDIRECT_MAX = MODEL_ADDR_MAX + 8, /* brackets and port */
	MODEL_SERIAL_MAX = 32,

	MODEL_TARGETS = 12000, /* the ids of all of them are one message */
	MODEL_LUNS = 4096,
	MODEL_MAPPINGS = 4096, /* in one target: their list is one message */
	MODEL_PORTALS = 64,
	MODEL_RULES = 256, /* in one target */
};

struct model_target {
	struct list link;
	struct list mappings; /* by number */
	unsigned n_mappings;
	struct list rules; /* struct model_rule; none: nobody may log in */
	unsigned n_rules;
	uint32_t id; /* from 1, never reused, not stored */
	uint32_t generation; /* of the LUN list, from 1, not stored */
	uint32_t tpgt;
	char name[MODEL_IQN_MAX + 1];
	char alias[MODEL_ALIAS_MAX + 1];
	char redirect[MODEL_REDIRECT_MAX + 1]; /* addr:port where to log in instead, or "" */
	bool redirect_permanent;
};

struct model_lun {
	struct list link;
	char name[MODEL_NAME_MAX + 1];
	char backend[16];
	char *path; /* "" for null */
	uint64_t size; /* bytes; null only */
	uint32_t block_size;
	bool read_only;
	bool pending; /* being created: not stored, cannot be mapped */
	char serial[MODEL_SERIAL_MAX + 1]; /* VPD 80h */
	uint64_t naa, naa_ext; /* NAA-6, SPC-4 7.8.6.6.5 */
	unsigned n_mappings;
	void *rt; /* the broker's */
};

struct model_mapping {
	struct list link;
	struct model_target *target;
	struct model_lun *lun;
	uint32_t number;
	bool read_only;
};

/* Who may log in: initiators that match both. */
struct model_rule {
	struct list link;
	struct model_target *target;
	struct access_net net;
	char initiator[ACCESS_PATTERN_MAX + 1]; /* a pattern */
	char address[ACCESS_NET_MAX + 1]; /* text of net */
};

struct model_portal {
	struct list link;
	uint32_t id; /* never reused while stored: names the listener */
	uint32_t port;
	uint32_t tpgt;
	char addr[MODEL_ADDR_MAX + 1];
	char state[160]; /* "listening", or why not; not stored */
	int fd; /* the listening socket, or -1; the broker's */
	bool opening; /* the supervisor was asked */
	bool pending; /* being created: not stored, not shown */
};

struct model {
	struct list targets; /* by id */
	struct list luns, portals;
	unsigned n_targets, n_luns, n_portals;
	uint32_t last_target; /* id */
	/* Fills @buf with @n random bytes; 0 or -errno. */
	int (*random)(void *buf, size_t n);
};

/* What the operator asks a LUN to be. */
struct lun_spec {
	const char *name, *backend, *path;
	uint64_t size;
	uint32_t block_size; /* 0: 512 */
	bool read_only;
};

void model_init(struct model *m, int (*random)(void *buf, size_t n));
void model_done(struct model *m); /* frees everything */

/* ---- values ---------------------------------------------------------- */

bool model_name_ok(const char *s); /* [A-Za-z0-9._-]{1,64}, not "." ".." "inventory" */
bool model_iqn_ok(const char *s); /* iqn., eui. or naa. name, RFC 7143 4.2.7 */
/* Canonical text of an IPv4 or IPv6 literal, without brackets; 0 or -EINVAL. */
int model_addr_canon(const char *s, char out[MODEL_ADDR_MAX + 1]);

/* The 8 bytes of a LUN (SAM-5 4.7, single level) as a big-endian number. */
uint64_t model_lun_encode(uint32_t number);
/* 0..MODEL_NUMBER_MAX, or -1 for an address that cannot be a mapping. */
int model_lun_decode(uint64_t lun);

/* ---- targets --------------------------------------------------------- */

int model_target_create(struct model *m, const char *name, const char *alias, uint32_t tpgt,
			struct model_target **out, char *why);
struct model_target *model_target_find(struct model *m, const char *name);
/* @to: an address with or without a port (then 3260), or "". 0, MODEL_SAME or -EINVAL. */
int model_target_redirect(struct model_target *t, const char *to, bool permanent, char *why);
/* Takes the target (with its mappings) out and puts it back: an undo. */
void model_target_unlink(struct model *m, struct model_target *t);
void model_target_relink(struct model *m, struct model_target *t);
void model_target_free(struct model_target *t); /* unlinked; frees its mappings */

/* ---- LUNs ------------------------------------------------------------ */

/* The new LUN has a fresh identity and is pending. */
int model_lun_create(struct model *m, const struct lun_spec *s, struct model_lun **out, char *why);
/* From stored state: the identity is given.  Not pending. */
int model_lun_restore(struct model *m, const struct lun_spec *s, const char *serial,
		      uint64_t naa, uint64_t naa_ext, struct model_lun **out, char *why);
struct model_lun *model_lun_find(struct model *m, const char *name);
/* 0, or -EBUSY naming a target it is mapped in. */
int model_lun_unmapped(struct model *m, const struct model_lun *l, char *why);
void model_lun_unlink(struct model *m, struct model_lun *l);
void model_lun_relink(struct model *m, struct model_lun *l);
void model_lun_free(struct model_lun *l);

/* ---- mappings -------------------------------------------------------- */

/* @number < 0: the LUN's number if it is mapped, else the lowest free one. */
int model_mapping_create(struct model *m, const char *target, const char *lun, int64_t number,
			 bool read_only, struct model_mapping **out, char *why);
struct model_mapping *model_mapping_find(struct model_target *t, uint32_t number);
void model_mapping_unlink(struct model_mapping *p);
void model_mapping_relink(struct model_mapping *p);
void model_mapping_free(struct model_mapping *p); /* unlinked */

/* ---- access rules ---------------------------------------------------- */

/* @initiator or @address, but not both, may be "": ALL. */
int model_rule_create(struct model *m, const char *target, const char *initiator,
		      const char *address, struct model_rule **out, char *why);
/* The rule that model_rule_create would find: 0 and *out, -ENOENT, -EINVAL. */
int model_rule_find(struct model *m, const char *target, const char *initiator,
		    const char *address, struct model_rule **out, char *why);
void model_rule_unlink(struct model_rule *r);
void model_rule_relink(struct model_rule *r);
void model_rule_free(struct model_rule *r); /* unlinked */
/* Does a rule of @t admit this initiator, from this address ("addr:port")? */
bool model_admits(struct model_target *t, const char *initiator, const char *peer);

/* ---- portals --------------------------------------------------------- */

/* Checks a request: the canonical address goes to @canon.  0, MODEL_SAME with
 * *out, or -errno.  Port 0 is any free port and never the same. */
int model_portal_check(struct model *m, const char *addr, uint32_t port, uint32_t tpgt,
		       char canon[MODEL_ADDR_MAX + 1], struct model_portal **out, char *why);
/* @id 0: a new one.  Port 0 is allowed until the real one is known. */
int model_portal_create(struct model *m, uint32_t id, const char *addr, uint32_t port,
			uint32_t tpgt, struct model_portal **out, char *why);
struct model_portal *model_portal_find(struct model *m, const char *addr, uint32_t port);
struct model_portal *model_portal_by_id(struct model *m, uint32_t id);
void model_portal_unlink(struct model *m, struct model_portal *p);
void model_portal_relink(struct model *m, struct model_portal *p);
void model_portal_free(struct model_portal *p);

#endif
