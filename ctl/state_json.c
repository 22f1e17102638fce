/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state file's text: JSON, strict both ways.  Pure.  A key that is not in
 * the tables below, is missing, or has a value of another type is an error: a
 * configuration is never understood in part.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/state.h"

enum { DEPTH_MAX = 8, KEYS_MAX = 10 };

/* One value of an object; a table of these is the format. */
struct key {
	const char *name;
	enum json_type type;
};

struct value {
	const char *s;
	int64_t n; /* int and boolean */
};

struct reader {
	const char *name; /* of the file */
	struct model *m;
	char *why;
};

/* One array of the file. */
struct section {
	const char *name;
	struct key keys[KEYS_MAX]; /* in the order of the values of add() */
	int (*add)(struct model *m, const struct value *v, char *why);
	int since; /* the first version with it; ascending */
};

static int
add_target(struct model *m, const struct value *v, char *why)
{
	struct model_target *t;

	if (v[2].n < 1 || v[2].n > 65535)
		return -ERANGE;
	return model_target_create(m, v[0].s, v[1].s, (uint32_t)v[2].n, &t, why);
}

static int
add_lun(struct model *m, const struct value *v, char *why)
{
	struct lun_spec s = { .name = v[0].s, .backend = v[1].s, .path = v[2].s,
			      .size = (uint64_t)v[3].n, .block_size = (uint32_t)v[4].n,
			      .read_only = v[5].n };
	uint64_t naa, naa_ext;
	struct model_lun *l;
	int end = 0;

	if (v[3].n < 0 || v[4].n < 512 || v[4].n > 4096)
		return -ERANGE;
	if (strlen(v[7].s) != 32 ||
	    strspn(v[7].s, "0123456789abcdef") != 32 ||
	    sscanf(v[7].s, "%16" SCNx64 "%16" SCNx64 "%n", &naa, &naa_ext, &end) != 2 || end != 32) {
		snprintf(why, MODEL_WHY, "naa: must be 32 hexadecimal digits");
		return -EINVAL;
	}
	return model_lun_restore(m, &s, v[6].s, naa, naa_ext, &l, why);
}

static int
add_mapping(struct model *m, const struct value *v, char *why)
{
	struct model_mapping *p;

	if (v[1].n < 0)
		return -ERANGE;
	return model_mapping_create(m, v[0].s, v[2].s, v[1].n, v[3].n, &p, why);
}

static int
add_portal(struct model *m, const struct value *v, char *why)
{
	struct model_portal *p;

	if (v[0].n < 1 || v[0].n > INT32_MAX || v[2].n < 1 || v[2].n > 65535 || v[3].n < 1 ||
	    v[3].n > 65535)
		return -ERANGE;
	return model_portal_create(m, (uint32_t)v[0].n, v[1].s, (uint32_t)v[2].n,
				   (uint32_t)v[3].n, &p, why);
}

static int
add_access(struct model *m, const struct value *v, char *why)
{
	struct model_rule *r;

	return model_rule_create(m, v[0].s, v[1].s, v[2].s, &r, why);
}

static int
add_redirect(struct model *m, const struct value *v, char *why)
{
	struct model_target *t = model_target_find(m, v[0].s);

	if (!t || !*v[1].s || *t->redirect) {
		snprintf(why, MODEL_WHY, "no such target, no address, or the target's second one");
		return -EINVAL;
	}
	return model_target_redirect(t, v[1].s, v[2].n, why);
}

static const struct section sections[] = {
	{ "targets",
	  { { "name", json_type_string }, { "alias", json_type_string },
	    { "tpgt", json_type_int } },
	  add_target, 1 },
	{ "luns",
	  { { "name", json_type_string }, { "backend", json_type_string },
	    { "path", json_type_string }, { "size", json_type_int },
	    { "block_size", json_type_int }, { "read_only", json_type_boolean },
	    { "serial", json_type_string }, { "naa", json_type_string } },
	  add_lun, 1 },
	{ "mappings", /* after what they point to */
	  { { "target", json_type_string }, { "number", json_type_int },
	    { "lun", json_type_string }, { "read_only", json_type_boolean } },
	  add_mapping, 1 },
	{ "portals",
	  { { "id", json_type_int }, { "addr", json_type_string }, { "port", json_type_int },
	    { "tpgt", json_type_int } },
	  add_portal, 1 },
	{ "access",
	  { { "target", json_type_string }, { "initiator", json_type_string },
	    { "address", json_type_string } },
	  add_access, 2 },
	{ "redirects",
	  { { "target", json_type_string }, { "address", json_type_string },
	    { "permanent", json_type_boolean } },
	  add_redirect, 3 },
};

/* ---- reading --------------------------------------------------------- */

/* A string with a NUL inside would be cut by every C function behind this. */
static bool
take_value(struct json_object *o, enum json_type type, struct value *v)
{
	if (!o || !json_object_is_type(o, type))
		return false;
	v->s = "";
	v->n = 0;
	if (type == json_type_string) {
		v->s = json_object_get_string(o);
		return strlen(v->s) == (size_t)json_object_get_string_len(o);
	}
	v->n = type == json_type_boolean ? json_object_get_boolean(o) : json_object_get_int64(o);
	/* json-c clamps; nothing legal lies at the edge. */
	return type == json_type_boolean || (v->n > INT64_MIN && v->n < INT64_MAX);
}

static int
read_entry(struct reader *r, const struct section *s, size_t i, struct json_object *o)
{
	char inner[MODEL_WHY] = "a number is out of range";
	struct value v[KEYS_MAX];
	int n = 0, err;

	if (!json_object_is_type(o, json_type_object)) {
		snprintf(r->why, STATE_WHY, "%s: %s[%zu] is no object", r->name, s->name, i);
		return -EINVAL;
	}
	for (; n < KEYS_MAX && s->keys[n].name; n++) {
		struct json_object *member = NULL;

		json_object_object_get_ex(o, s->keys[n].name, &member);
		if (take_value(member, s->keys[n].type, &v[n]))
			continue;
		snprintf(r->why, STATE_WHY, "%s: %s[%zu].%s is missing or no %s", r->name, s->name,
			 i, s->keys[n].name, json_type_to_name(s->keys[n].type));
		return -EINVAL;
	}
	if (json_object_object_length(o) != n) {
		snprintf(r->why, STATE_WHY, "%s: %s[%zu] has a key that this version does not know",
			 r->name, s->name, i);
		return -EINVAL;
	}
	err = s->add(r->m, v, inner);
	if (err == MODEL_SAME) {
		snprintf(inner, sizeof(inner), "is there twice");
		err = -EEXIST;
	}
	if (err)
		snprintf(r->why, STATE_WHY, "%s: %s[%zu]: %s", r->name, s->name, i, inner);
	return err;
}

static int
read_section(struct reader *r, const struct section *s, struct json_object *root)
{
	struct json_object *array;
	size_t n;
	int err = 0;

	if (!json_object_object_get_ex(root, s->name, &array) ||
	    !json_object_is_type(array, json_type_array)) {
		snprintf(r->why, STATE_WHY, "%s: the array \"%s\" is missing", r->name, s->name);
		return -EINVAL;
	}
	n = json_object_array_length(array);
	for (size_t i = 0; !err && i < n; i++)
		err = read_entry(r, s, i, json_object_array_get_idx(array, i));
	return err;
}

/* Version 1 knew no rules and admitted everybody: so it was meant. */
static int
admit_all(struct reader *r)
{
	struct model_target *t;
	struct model_rule *rule;
	int err = 0;

	list_for_each(t, &r->m->targets, link)
		if (!err)
			err = model_rule_create(r->m, t->name, ACCESS_ALL, ACCESS_ALL, &rule,
						r->why);
	return err;
}

static int
read_root(struct reader *r, struct json_object *root)
{
	int n = 0, err = 0;
	struct json_object *o = NULL;
	struct value v;

	if (!json_object_is_type(root, json_type_object) ||
	    !json_object_object_get_ex(root, "tgt-ng", &o) ||
	    !take_value(o, json_type_int, &v)) {
		snprintf(r->why, STATE_WHY, "%s: is no state of tgt-ng", r->name);
		return -EINVAL;
	}
	if (v.n < 1 || v.n > STATE_VERSION) {
		snprintf(r->why, STATE_WHY, "%s: has version %" PRId64 ", this tgt-ctld knows %d",
			 r->name, v.n, STATE_VERSION);
		return -EINVAL;
	}
	while (n < (int)ARRAY_SIZE(sections) && sections[n].since <= v.n)
		n++;
	if (json_object_object_length(root) != n + 1) {
		snprintf(r->why, STATE_WHY, "%s: has a key that this version does not know",
			 r->name);
		return -EINVAL;
	}
	for (int i = 0; !err && i < n; i++)
		err = read_section(r, &sections[i], root);
	return !err && v.n == 1 ? admit_all(r) : err;
}

int
state_parse(const char *text, size_t len, const char *name, struct model *m, char *why)
{
	struct reader r = { .name = name, .m = m, .why = why };
	struct json_tokener *tok = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *root = NULL;
	enum json_tokener_error jerr = json_tokener_error_size;
	size_t at = 0;
	int err;

	if (!tok) {
		snprintf(why, STATE_WHY, "%s: out of memory", name);
		return -ENOMEM;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	if (len < INT_MAX) {
		root = json_tokener_parse_ex(tok, text, (int)len);
		jerr = json_tokener_get_error(tok);
		at = json_tokener_get_parse_end(tok);
	}
	while (!jerr && at < len && strchr(" \t\r\n", text[at]) && text[at])
		at++;
	if (jerr == json_tokener_continue) {
		snprintf(why, STATE_WHY, "%s:%zu: the file ends too early", name, len);
		err = -EINVAL;
	} else if (jerr || at < len) {
		snprintf(why, STATE_WHY, "%s:%zu: damaged: %s", name, at,
			 jerr ? json_tokener_error_desc(jerr) : "something follows the end");
		err = -EINVAL;
	} else {
		err = read_root(&r, root);
	}
	json_object_put(root);
	json_tokener_free(tok);
	return err;
}

/* ---- writing --------------------------------------------------------- */

/* Adds a member; a NULL anywhere makes @bad true. */
static void
put(struct json_object *o, const char *key, struct json_object *value, bool *bad)
{
	if (!value || json_object_object_add(o, key, value)) {
		json_object_put(value);
		*bad = true;
	}
}

static struct json_object *
append(struct json_object *array, bool *bad)
{
	struct json_object *o = json_object_new_object();

	if (!o || json_object_array_add(array, o)) {
		json_object_put(o);
		*bad = true;
		return NULL;
	}
	return o;
}

static void
print_targets(struct model *m, struct json_object *array, bool *bad)
{
	struct model_target *t;
	struct json_object *o;

	list_for_each(t, &m->targets, link) {
		if (!(o = append(array, bad)))
			return;
		put(o, "name", json_object_new_string(t->name), bad);
		put(o, "alias", json_object_new_string(t->alias), bad);
		put(o, "tpgt", json_object_new_int64(t->tpgt), bad);
	}
}

static void
print_luns(struct model *m, struct json_object *array, bool *bad)
{
	struct model_lun *l;
	struct json_object *o;
	char naa[33];

	list_for_each(l, &m->luns, link) {
		if (l->pending)
			continue;
		if (!(o = append(array, bad)))
			return;
		snprintf(naa, sizeof(naa), "%016" PRIx64 "%016" PRIx64, l->naa, l->naa_ext);
		put(o, "name", json_object_new_string(l->name), bad);
		put(o, "backend", json_object_new_string(l->backend), bad);
		put(o, "path", json_object_new_string(l->path), bad);
		put(o, "size", json_object_new_int64((int64_t)l->size), bad);
		put(o, "block_size", json_object_new_int64(l->block_size), bad);
		put(o, "read_only", json_object_new_boolean(l->read_only), bad);
		put(o, "serial", json_object_new_string(l->serial), bad);
		put(o, "naa", json_object_new_string(naa), bad);
	}
}

static void
print_mappings(struct model *m, struct json_object *array, bool *bad)
{
	struct model_target *t;
	struct model_mapping *p;
	struct json_object *o;

	list_for_each(t, &m->targets, link) {
		list_for_each(p, &t->mappings, link) {
			if (!(o = append(array, bad)))
				return;
			put(o, "target", json_object_new_string(t->name), bad);
			put(o, "number", json_object_new_int64(p->number), bad);
			put(o, "lun", json_object_new_string(p->lun->name), bad);
			put(o, "read_only", json_object_new_boolean(p->read_only), bad);
		}
	}
}

static void
print_portals(struct model *m, struct json_object *array, bool *bad)
{
	struct model_portal *p;
	struct json_object *o;

	list_for_each(p, &m->portals, link) {
		if (p->pending)
			continue;
		if (!(o = append(array, bad)))
			return;
		put(o, "id", json_object_new_int64(p->id), bad);
		put(o, "addr", json_object_new_string(p->addr), bad);
		put(o, "port", json_object_new_int64(p->port), bad);
		put(o, "tpgt", json_object_new_int64(p->tpgt), bad);
	}
}

static void
print_access(struct model *m, struct json_object *array, bool *bad)
{
	struct model_target *t;
	struct model_rule *r;
	struct json_object *o;

	list_for_each(t, &m->targets, link) {
		list_for_each(r, &t->rules, link) {
			if (!(o = append(array, bad)))
				return;
			put(o, "target", json_object_new_string(t->name), bad);
			put(o, "initiator", json_object_new_string(r->initiator), bad);
			put(o, "address", json_object_new_string(r->address), bad);
		}
	}
}

static void
print_redirects(struct model *m, struct json_object *array, bool *bad)
{
	struct model_target *t;
	struct json_object *o;

	list_for_each(t, &m->targets, link) {
		if (!*t->redirect)
			continue;
		if (!(o = append(array, bad)))
			return;
		put(o, "target", json_object_new_string(t->name), bad);
		put(o, "address", json_object_new_string(t->redirect), bad);
		put(o, "permanent", json_object_new_boolean(t->redirect_permanent), bad);
	}
}

static void (*const printers[])(struct model *m, struct json_object *array, bool *bad) = {
	print_targets, print_luns, print_mappings, print_portals, print_access,
	print_redirects,
};

char *
state_print(struct model *m)
{
	struct json_object *root = json_object_new_object();
	bool bad = !root;
	char *copy = NULL;

	if (root)
		put(root, "tgt-ng", json_object_new_int(STATE_VERSION), &bad);
	for (size_t i = 0; !bad && i < ARRAY_SIZE(sections); i++) {
		struct json_object *array = json_object_new_array();

		put(root, sections[i].name, array, &bad);
		if (!bad)
			printers[i](m, array, &bad);
	}
	if (!bad) {
		const char *text = json_object_to_json_string_ext(
			root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);

		if (text && asprintf(&copy, "%s\n", text) < 0)
			copy = NULL;
	}
	json_object_put(root);
	return copy;
}
