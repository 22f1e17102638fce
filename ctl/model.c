/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration as objects and the rules about their values: see model.h.
 * Pure; mappings are in model_map.c.
 */
#include "ctl/model.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/run_rules.h"

#define refuse(why, err, ...) (snprintf(why, MODEL_WHY, __VA_ARGS__), -(err))

void
model_init(struct model *m, int (*random)(void *buf, size_t n))
{
	memset(m, 0, sizeof(*m));
	list_init(&m->targets);
	list_init(&m->luns);
	list_init(&m->portals);
	m->random = random;
}

void
model_done(struct model *m)
{
	struct model_target *t;
	struct model_lun *l;
	struct model_portal *p;

	while ((t = list_first(&m->targets, struct model_target, link))) {
		model_target_unlink(m, t);
		model_target_free(t);
	}
	while ((l = list_first(&m->luns, struct model_lun, link))) {
		model_lun_unlink(m, l);
		model_lun_free(l);
	}
	while ((p = list_first(&m->portals, struct model_portal, link))) {
		model_portal_unlink(m, p);
		model_portal_free(p);
	}
}

/* ---- values ---------------------------------------------------------- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

bool
model_name_ok(const char *s)
{
	size_t n = strlen(s);

	if (n < 1 || n > MODEL_NAME_MAX || !strcmp(s, ".") || !strcmp(s, "..") ||
	    !strcmp(s, "inventory"))
		return false;
	for (; *s; s++)
		if (!is_digit(*s) && !is_lower(*s) && !(*s >= 'A' && *s <= 'Z') &&
		    !strchr("._-", *s))
			return false;
	return true;
}

static bool
hex_digits(const char *s, size_t n)
{
	return strlen(s) == n && strspn(s, "0123456789abcdefABCDEF") == n;
}

/* iqn.YYYY-MM.reversed-domain[:anything] */
static bool
iqn_form_ok(const char *s)
{
	static const char form[] = "dddd-dd.";
	int month;

	for (size_t i = 0; i < sizeof(form) - 1; i++)
		if (form[i] == 'd' ? !is_digit(s[i]) : s[i] != form[i])
			return false;
	month = (s[5] - '0') * 10 + s[6] - '0';
	s += sizeof(form) - 1;
	return month >= 1 && month <= 12 && (is_lower(*s) || is_digit(*s));
}

bool
model_iqn_ok(const char *s)
{
	size_t n = strlen(s);

	if (n < 5 || n > MODEL_IQN_MAX)
		return false;
	if (!strncmp(s, "eui.", 4))
		return hex_digits(s + 4, 16);
	if (!strncmp(s, "naa.", 4))
		return hex_digits(s + 4, 16) || hex_digits(s + 4, 32);
	/* RFC 3722 knows no '_', but configurations of existing targets do. */
	for (const char *c = s; *c; c++)
		if (!is_digit(*c) && !is_lower(*c) && !strchr(".:-_", *c))
			return false;
	return !strncmp(s, "iqn.", 4) && iqn_form_ok(s + 4);
}

int
model_addr_canon(const char *s, char out[MODEL_ADDR_MAX + 1])
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, s, &v4) == 1)
		return inet_ntop(AF_INET, &v4, out, MODEL_ADDR_MAX + 1) ? 0 : -EINVAL;
	if (inet_pton(AF_INET6, s, &v6) == 1)
		return inet_ntop(AF_INET6, &v6, out, MODEL_ADDR_MAX + 1) ? 0 : -EINVAL;
	return -EINVAL;
}

/* Peripheral device addressing below 256 (SAM-5 4.7.7.2), flat space above. */
uint64_t
model_lun_encode(uint32_t number)
{
	return (uint64_t)(number < 256 ? number : 0x4000 | number) << 48;
}

/*
 * Flat space addressing, and peripheral device addressing.  The latter has 8
 * bits of number behind 6 bits of bus, and we have bus 0 only; but Linux and
 * libiscsi put a number of up to 14 bits that a user typed into these 14 bits
 * as it is, so that is how it is read.
 */
int
model_lun_decode(uint64_t lun)
{
	unsigned first = (unsigned)(lun >> 48);

	if (lun << 16 || first & 0x8000) /* more than one level; other methods */
		return -1;
	return (int)(first & 0x3fff);
}

static bool
printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static int
check_tpgt(uint32_t tpgt, char *why)
{
	if (tpgt >= 1 && tpgt <= 65535)
		return 0;
	return refuse(why, EINVAL, "target portal group tag %u: must be 1..65535", tpgt);
}

/* ---- targets --------------------------------------------------------- */

struct model_target *
model_target_find(struct model *m, const char *name)
{
	struct model_target *t;

	list_for_each(t, &m->targets, link)
		if (!strcmp(t->name, name))
			return t;
	return NULL;
}

static int
target_same(struct model_target *t, const char *alias, uint32_t tpgt, char *why)
{
	if (strcmp(t->alias, alias))
		return refuse(why, EEXIST, "target %s exists with another alias: \"%.64s\"",
			      t->name, t->alias);
	if (t->tpgt != tpgt)
		return refuse(why, EEXIST, "target %s exists with another portal group tag: %u",
			      t->name, t->tpgt);
	return MODEL_SAME;
}

int
model_target_create(struct model *m, const char *name, const char *alias, uint32_t tpgt,
		    struct model_target **out, char *why)
{
	struct model_target *t;
	int err;

	if (!model_iqn_ok(name))
		return refuse(why, EINVAL, "\"%.230s\" is no iSCSI name: use lower case letters, "
			      "digits, '.', '-' and ':', such as iqn.2026-11.org.example:disk", name);
	if (strlen(alias) > MODEL_ALIAS_MAX || !printable(alias))
		return refuse(why, EINVAL, "the alias of a target has at most %d printable bytes",
			      MODEL_ALIAS_MAX);
	tpgt = tpgt ? tpgt : 1;
	err = check_tpgt(tpgt, why);
	if (err)
		return err;
	t = model_target_find(m, name);
	if (t) {
		*out = t;
		return target_same(t, alias, tpgt, why);
	}
	if (m->n_targets >= MODEL_TARGETS)
		return refuse(why, ENOSPC, "there are %d targets already, the most there can be",
			      MODEL_TARGETS);
	t = calloc(1, sizeof(*t));
	if (!t)
		return refuse(why, ENOMEM, "out of memory");
	list_init(&t->mappings);
	list_init(&t->rules);
	t->id = ++m->last_target;
	t->tpgt = tpgt;
	t->generation = 1;
	strcpy(t->name, name); /* both lengths were checked above */
	strcpy(t->alias, alias);
	model_target_relink(m, t);
	*out = t;
	return 0;
}

int
model_target_redirect(struct model_target *t, const char *to, bool permanent, char *why)
{
	char addr[64], canon[MODEL_ADDR_MAX + 1], text[MODEL_REDIRECT_MAX + 1] = "";
	uint32_t port;

	if (*to && (run_parse_portal(to, addr, &port) || model_addr_canon(addr, canon)))
		return refuse(why, EINVAL, "\"%.80s\" is no address: write 192.0.2.1:3260 or "
			      "[2001:db8::1]:3260", to);
	if (!*to && permanent)
		return refuse(why, EINVAL, "without an address there is nothing permanent");
	if (*to)
		snprintf(text, sizeof(text), strchr(canon, ':') ? "[%s]:%u" : "%s:%u", canon,
			 port ? port : 3260);
	if (!strcmp(t->redirect, text) && t->redirect_permanent == permanent)
		return MODEL_SAME;
	strcpy(t->redirect, text);
	t->redirect_permanent = permanent;
	return 0;
}

void
model_target_unlink(struct model *m, struct model_target *t)
{
	struct model_mapping *p;

	list_for_each(p, &t->mappings, link)
		p->lun->n_mappings--;
	list_del(&t->link);
	m->n_targets--;
}

void
model_target_relink(struct model *m, struct model_target *t)
{
	struct list *at = m->targets.prev;
	struct model_mapping *p;

	list_for_each(p, &t->mappings, link)
		p->lun->n_mappings++;
	while (at != &m->targets && list_entry(at, struct model_target, link)->id > t->id)
		at = at->prev;
	list_add(at, &t->link);
	m->n_targets++;
}

void
model_target_free(struct model_target *t)
{
	struct model_mapping *p;
	struct model_rule *r;

	while ((r = list_first(&t->rules, struct model_rule, link))) {
		list_del(&r->link);
		model_rule_free(r);
	}
	while ((p = list_first(&t->mappings, struct model_mapping, link))) {
		list_del(&p->link);
		model_mapping_free(p);
	}
	free(t);
}

/* ---- LUNs ------------------------------------------------------------ */

struct model_lun *
model_lun_find(struct model *m, const char *name)
{
	struct model_lun *l;

	list_for_each(l, &m->luns, link)
		if (!strcmp(l->name, name))
			return l;
	return NULL;
}

static int
check_store(const struct lun_spec *s, uint32_t block_size, char *why)
{
	if (!strcmp(s->backend, "null")) {
		if (*s->path)
			return refuse(why, EINVAL, "backend null has no path");
		if (s->size < block_size || s->size % block_size || s->size > INT64_MAX)
			return refuse(why, EINVAL, "backend null needs a size, a multiple of the "
				      "block size %u", block_size);
		return 0;
	}
	if (strcmp(s->backend, "rdwr"))
		return refuse(why, EINVAL, "backend \"%.32s\" is unknown: there are rdwr and null",
			      s->backend);
	if (s->size)
		return refuse(why, EINVAL, "backend rdwr takes the size of the file");
	if (s->path[0] != '/' || strlen(s->path) > MODEL_PATH_MAX || !printable(s->path))
		return refuse(why, EINVAL, "backend rdwr needs an absolute path of a file or block "
			      "device, not \"%.128s\"", s->path);
	return 0;
}

static int
check_lun(const struct lun_spec *s, uint32_t block_size, char *why)
{
	if (!model_name_ok(s->name))
		return refuse(why, EINVAL, "\"%.80s\" is no LUN name: 1 to %d of A-Z a-z 0-9 . _ - "
			      "(and not \"inventory\")", s->name, MODEL_NAME_MAX);
	if (block_size < 512 || block_size > 4096 || (block_size & (block_size - 1)))
		return refuse(why, EINVAL, "block size %u: must be 512, 1024, 2048 or 4096",
			      block_size);
	return check_store(s, block_size, why);
}

static int
lun_same(const struct model_lun *l, const struct lun_spec *s, uint32_t block_size, char *why)
{
	if (strcmp(l->backend, s->backend))
		return refuse(why, EEXIST, "LUN %s exists and differs: its backend is %s", l->name,
			      l->backend);
	if (strcmp(l->path, s->path))
		return refuse(why, EEXIST, "LUN %s exists and differs: its path is %.300s", l->name,
			      l->path);
	if (l->size != s->size)
		return refuse(why, EEXIST, "LUN %s exists and differs: its size is %llu bytes",
			      l->name, (unsigned long long)l->size);
	if (l->block_size != block_size)
		return refuse(why, EEXIST, "LUN %s exists and differs: its block size is %u",
			      l->name, l->block_size);
	if (l->read_only != s->read_only)
		return refuse(why, EEXIST, "LUN %s exists and differs: it is %s", l->name,
			      l->read_only ? "read-only" : "writable");
	if (l->pending)
		return refuse(why, EBUSY, "LUN %s is being created by another request", l->name);
	return MODEL_SAME;
}

static int
lun_new(struct model *m, const struct lun_spec *s, struct model_lun **out, char *why)
{
	uint32_t block_size = s->block_size ? s->block_size : 512;
	struct model_lun *l;
	int err = check_lun(s, block_size, why);

	if (err)
		return err;
	l = model_lun_find(m, s->name);
	if (l) {
		*out = l;
		return lun_same(l, s, block_size, why);
	}
	if (m->n_luns >= MODEL_LUNS)
		return refuse(why, ENOSPC, "there are %d LUNs already, the most there can be",
			      MODEL_LUNS);
	l = calloc(1, sizeof(*l));
	if (!l || !(l->path = strdup(s->path))) {
		free(l);
		return refuse(why, ENOMEM, "out of memory");
	}
	strcpy(l->name, s->name); /* lengths were checked by check_lun */
	strcpy(l->backend, s->backend);
	l->size = s->size;
	l->block_size = block_size;
	l->read_only = s->read_only;
	list_init(&l->link);
	*out = l;
	return 0;
}

static bool
identity_taken(struct model *m, const char *serial, uint64_t naa, uint64_t naa_ext)
{
	struct model_lun *l;

	list_for_each(l, &m->luns, link)
		if (!strcmp(l->serial, serial) || (l->naa == naa && l->naa_ext == naa_ext))
			return true;
	return false;
}

/*
 * NAA 6 asks for an IEEE company id, and the project has none: this one has the
 * "locally administered" bit set, so it can never be a company's.  The 100 bits
 * behind it are random.
 */
enum { LOCAL_COMPANY_ID = 0x727467 };

static int
make_identity(struct model *m, struct model_lun *l)
{
	struct {
		uint64_t naa, naa_ext, serial;
	} r;

	do {
		int err = m->random(&r, sizeof(r));

		if (err)
			return err;
		l->naa = 6ULL << 60 | (uint64_t)LOCAL_COMPANY_ID << 36 | r.naa >> 28;
		l->naa_ext = r.naa_ext;
		snprintf(l->serial, sizeof(l->serial), "%016llx", (unsigned long long)r.serial);
	} while (identity_taken(m, l->serial, l->naa, l->naa_ext));
	return 0;
}

int
model_lun_create(struct model *m, const struct lun_spec *s, struct model_lun **out, char *why)
{
	struct model_lun *l;
	int err = lun_new(m, s, &l, why);

	if (err == MODEL_SAME)
		*out = l;
	if (err)
		return err;
	err = make_identity(m, l);
	if (err) {
		model_lun_free(l);
		return refuse(why, -err, "no random numbers: %s", strerror(-err));
	}
	l->pending = true;
	model_lun_relink(m, l);
	*out = l;
	return 0;
}

int
model_lun_restore(struct model *m, const struct lun_spec *s, const char *serial, uint64_t naa,
		  uint64_t naa_ext, struct model_lun **out, char *why)
{
	struct model_lun *l;
	size_t n = strlen(serial);
	int err;

	if (n < 1 || n > MODEL_SERIAL_MAX || strspn(serial, "0123456789abcdefghijklmnopqrstuvwxyz"
						    "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-") != n)
		return refuse(why, EINVAL, "serial \"%.40s\": 1 to %d of A-Z a-z 0-9 . _ -",
			      serial, MODEL_SERIAL_MAX);
	if (naa >> 60 != 6)
		return refuse(why, EINVAL, "naa: must begin with 6");
	if (identity_taken(m, serial, naa, naa_ext))
		return refuse(why, EEXIST, "two LUNs have the same serial or naa");
	err = lun_new(m, s, &l, why);
	if (err == MODEL_SAME)
		return refuse(why, EEXIST, "LUN %s is there twice", s->name);
	if (err)
		return err;
	strcpy(l->serial, serial);
	l->naa = naa;
	l->naa_ext = naa_ext;
	model_lun_relink(m, l);
	*out = l;
	return 0;
}

void
model_lun_unlink(struct model *m, struct model_lun *l)
{
	list_del(&l->link);
	m->n_luns--;
}

void
model_lun_relink(struct model *m, struct model_lun *l)
{
	list_add_tail(&m->luns, &l->link);
	m->n_luns++;
}

void
model_lun_free(struct model_lun *l)
{
	if (!l)
		return;
	free(l->path);
	free(l);
}

/* ---- portals --------------------------------------------------------- */

struct model_portal *
model_portal_find(struct model *m, const char *addr, uint32_t port)
{
	struct model_portal *p;

	list_for_each(p, &m->portals, link)
		if (p->port == port && !strcmp(p->addr, addr))
			return p;
	return NULL;
}

struct model_portal *
model_portal_by_id(struct model *m, uint32_t id)
{
	struct model_portal *p;

	list_for_each(p, &m->portals, link)
		if (p->id == id)
			return p;
	return NULL;
}

int
model_portal_check(struct model *m, const char *addr, uint32_t port, uint32_t tpgt,
		   char canon[MODEL_ADDR_MAX + 1], struct model_portal **out, char *why)
{
	struct model_portal *p;

	tpgt = tpgt ? tpgt : 1;
	if (model_addr_canon(addr, canon))
		return refuse(why, EINVAL, "\"%.64s\" is no IPv4 or IPv6 address: a portal is "
			      "written 192.0.2.1:3260 or [2001:db8::1]:3260", addr);
	if (port > 65535)
		return refuse(why, EINVAL, "port %u: must be 0..65535", port);
	if (check_tpgt(tpgt, why))
		return -EINVAL;
	p = port ? model_portal_find(m, canon, port) : NULL;
	if (p && p->tpgt != tpgt)
		return refuse(why, EEXIST, "portal %s:%u exists with another portal group tag: %u",
			      canon, port, p->tpgt);
	if (p) {
		*out = p;
		return MODEL_SAME;
	}
	if (m->n_portals >= MODEL_PORTALS)
		return refuse(why, ENOSPC, "there are %d portals already, the most there can be",
			      MODEL_PORTALS);
	return 0;
}

int
model_portal_create(struct model *m, uint32_t id, const char *addr, uint32_t port, uint32_t tpgt,
		    struct model_portal **out, char *why)
{
	char canon[MODEL_ADDR_MAX + 1];
	struct model_portal *p;
	int err = model_portal_check(m, addr, port, tpgt, canon, out, why);

	if (err)
		return err;
	if (id && model_portal_by_id(m, id))
		return refuse(why, EEXIST, "two portals have the id %u", id);
	for (; !id || model_portal_by_id(m, id); id++)
		;
	p = calloc(1, sizeof(*p));
	if (!p)
		return refuse(why, ENOMEM, "out of memory");
	p->id = id;
	p->port = port;
	p->tpgt = tpgt ? tpgt : 1;
	p->fd = -1;
	strcpy(p->addr, canon);
	model_portal_relink(m, p);
	*out = p;
	return 0;
}

void
model_portal_unlink(struct model *m, struct model_portal *p)
{
	list_del(&p->link);
	m->n_portals--;
}

void
model_portal_relink(struct model *m, struct model_portal *p)
{
	list_add_tail(&m->portals, &p->link);
	m->n_portals++;
}

void
model_portal_free(struct model_portal *p)
{
	free(p);
}
