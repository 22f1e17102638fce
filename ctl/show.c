/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Printing an answer: see show.h.  Fields are read by their protobuf
 * descriptors, so that a key of the JSON is always the name in control.proto.
 */
#include "ctl/show.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/run_rules.h"
#include "proto/util.h"

enum { COLUMNS = 10, CELL = 4200 };

struct column {
	const char *title;
	const char *field;
	/* How a value is put, if not as it is. */
	void (*format)(const ProtobufCMessage *m, const char *field, char *cell);
};

static void format_size(const ProtobufCMessage *m, const char *field, char *cell);
static void format_access(const ProtobufCMessage *m, const char *field, char *cell);
static void format_host(const ProtobufCMessage *m, const char *field, char *cell);

#define AS_IS(title, field) { title, field, NULL }

static const struct kind {
	enum show_what what;
	const char *key; /* in JSON, and the title of the table */
	const char *field; /* of ControlReply */
	struct column columns[COLUMNS];
} kinds[] = {
	{ SHOW_TARGETS, "targets", "target",
	  { AS_IS("TARGET", "name"), AS_IS("TAG", "tpgt"), AS_IS("SESSIONS", "sessions"),
	    AS_IS("REDIRECT", "redirect"), AS_IS("ALIAS", "alias") } },
	{ SHOW_LUNS, "luns", "lun",
	  { AS_IS("LUN", "name"), AS_IS("STATE", "state"), { "SIZE", "size", format_size },
	    AS_IS("BLOCK", "block_size"), { "ACCESS", "read_only", format_access },
	    AS_IS("RESTARTS", "restarts"), AS_IS("BACKEND", "backend"), AS_IS("PATH", "path"),
	    AS_IS("DETAIL", "detail") } },
	{ SHOW_MAPPINGS, "mappings", "mapping",
	  { AS_IS("TARGET", "target"), AS_IS("NUMBER", "number"), AS_IS("LUN", "lun"),
	    { "ACCESS", "read_only", format_access } } },
	{ SHOW_ACCESS, "access", "access",
	  { AS_IS("TARGET", "target"), AS_IS("INITIATOR", "initiator"),
	    AS_IS("FROM", "address") } },
	{ SHOW_PORTALS, "portals", "portal",
	  { { "PORTAL", "addr", format_host }, AS_IS("TAG", "tpgt"), AS_IS("STATE", "state") } },
	{ SHOW_SESSIONS, "sessions", "session",
	  { AS_IS("SESSION", "nexus"), AS_IS("INITIATOR", "initiator"), AS_IS("TARGET", "target"),
	    AS_IS("ADDRESS", "address") } },
};

/* ---- fields ---------------------------------------------------------- */

static const ProtobufCFieldDescriptor *
find_field(const ProtobufCMessage *m, const char *name, const void **value)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);

	assert(f);
	*value = (const char *)m + f->offset;
	return f;
}

static uint64_t
number_of(const ProtobufCFieldDescriptor *f, const void *value)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL:
		return *(const protobuf_c_boolean *)value != 0;
	case PROTOBUF_C_TYPE_UINT64:
		return *(const uint64_t *)value;
	case PROTOBUF_C_TYPE_INT32:
		return (uint64_t)(int64_t)*(const int32_t *)value;
	default:
		return *(const uint32_t *)value;
	}
}

static uint64_t
get_number(const ProtobufCMessage *m, const char *field)
{
	const void *value;
	const ProtobufCFieldDescriptor *f = find_field(m, field, &value);

	return number_of(f, value);
}

static void
format_size(const ProtobufCMessage *m, const char *field, char *cell)
{
	uint64_t n = get_number(m, field);
	char text[32] = "-";

	if (n)
		run_human_size(n, text);
	snprintf(cell, CELL, "%s", text);
}

static void
format_access(const ProtobufCMessage *m, const char *field, char *cell)
{
	snprintf(cell, CELL, "%s", get_number(m, field) ? "ro" : "rw");
}

static void
format_host(const ProtobufCMessage *m, const char *field, char *cell)
{
	const Tgt__Portal *p = (const Tgt__Portal *)m;

	snprintf(cell, CELL, strchr(p->addr, ':') ? "[%s]:%u" : "%s:%u", p->addr, p->port);
}

/* Terminals must not be told what to do by a name or a path. */
static void
make_printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

static void
format_cell(const ProtobufCMessage *m, const struct column *col, char *cell)
{
	const void *value;
	const ProtobufCFieldDescriptor *f = find_field(m, col->field, &value);

	if (col->format)
		col->format(m, col->field, cell);
	else if (f->type == PROTOBUF_C_TYPE_STRING)
		snprintf(cell, CELL, "%s", *(char *const *)value);
	else
		snprintf(cell, CELL, "%" PRId64, (int64_t)number_of(f, value));
	make_printable(cell);
}

/* The objects of one kind in one datagram. */
static size_t
objects_of(const Tgt__ControlReply *r, const struct kind *k, ProtobufCMessage ***objects)
{
	const void *value;
	const ProtobufCFieldDescriptor *f = find_field(&r->base, k->field, &value);

	*objects = *(ProtobufCMessage **const *)value;
	return *(const size_t *)(const void *)((const char *)r + f->quantifier_offset);
}

/* ---- tables ---------------------------------------------------------- */

static void
put_row(FILE *out, const struct kind *k, const int *width, const ProtobufCMessage *m)
{
	char cell[CELL];

	for (int c = 0; c < COLUMNS && k->columns[c].title; c++) {
		bool last = c + 1 == COLUMNS || !k->columns[c + 1].title;

		if (m)
			format_cell(m, &k->columns[c], cell);
		else
			snprintf(cell, sizeof(cell), "%s", k->columns[c].title);
		if (last)
			fprintf(out, "%s\n", cell);
		else
			fprintf(out, "%-*s  ", width[c], cell);
	}
}

static void
measure(const struct kind *k, int *width, const ProtobufCMessage *m)
{
	char cell[CELL];

	for (int c = 0; c < COLUMNS && k->columns[c].title; c++) {
		if (m)
			format_cell(m, &k->columns[c], cell);
		else
			snprintf(cell, sizeof(cell), "%s", k->columns[c].title);
		width[c] = MAX(width[c], (int)strlen(cell));
	}
}

static void
for_each_object(const struct answer *a, const struct kind *k,
		void (*each)(FILE *out, const struct kind *k, int *width, const ProtobufCMessage *m),
		FILE *out, int *width)
{
	for (size_t i = 0; i < a->n; i++) {
		ProtobufCMessage **objects;
		size_t n = objects_of(a->r[i], k, &objects);

		for (size_t j = 0; j < n; j++)
			each(out, k, width, objects[j]);
	}
}

static void
each_measure(FILE *out, const struct kind *k, int *width, const ProtobufCMessage *m)
{
	measure(k, width, m);
	width[COLUMNS]++; /* the count */
}

static void
each_put(FILE *out, const struct kind *k, int *width, const ProtobufCMessage *m)
{
	put_row(out, k, width, m);
}

int
show_text(FILE *out, const struct answer *a, unsigned what)
{
	bool several = what & (what - 1), printed = false;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int width[COLUMNS + 1] = { 0 };

		if (!(what & kinds[i].what))
			continue;
		measure(&kinds[i], width, NULL);
		for_each_object(a, &kinds[i], each_measure, out, width);
		if (several && !width[COLUMNS])
			continue;
		if (printed)
			fputc('\n', out);
		printed = true;
		put_row(out, &kinds[i], width, NULL);
		for_each_object(a, &kinds[i], each_put, out, width);
	}
	if (several && !printed)
		fputs("nothing is configured\n", out);
	return 0;
}

/* ---- JSON ------------------------------------------------------------ */

/* The bytes of the UTF-8 character at @s (RFC 3629 4), 0: there is none. */
static size_t
utf8_length(const unsigned char *s)
{
	static const struct {
		unsigned char first, last, low, high; /* lead; second byte */
		unsigned char len;
	} rows[] = {
		{ 0x01, 0x7f, 0, 0xff, 1 },	{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },	{ 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 },	{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },	{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = 1;

		if (*s < rows[i].first || *s > rows[i].last)
			continue;
		if (rows[i].len > 1 && (s[1] < rows[i].low || s[1] > rows[i].high))
			return 0;
		while (++n < rows[i].len)
			if ((s[n] & 0xc0) != 0x80)
				return 0;
		return rows[i].len;
	}
	return 0;
}

/* A file name can be any bytes, JSON cannot: what is no UTF-8 becomes U+FFFD. */
static struct json_object *
json_string(const char *s)
{
	char *clean = malloc(3 * strlen(s) + 1), *out = clean;
	struct json_object *o;

	if (!clean)
		return NULL;
	while (*s) {
		size_t n = utf8_length((const unsigned char *)s);

		memcpy(out, n ? s : "\xef\xbf\xbd", n ? n : 3);
		out += n ? n : 3;
		s += n ? n : 1;
	}
	*out = 0;
	o = json_object_new_string(clean);
	free(clean);
	return o;
}

static struct json_object *
json_value(const ProtobufCFieldDescriptor *f, const void *value)
{
	if (f->type == PROTOBUF_C_TYPE_STRING)
		return json_string(*(char *const *)value);
	if (f->type == PROTOBUF_C_TYPE_BOOL)
		return json_object_new_boolean(number_of(f, value) != 0);
	if (f->type == PROTOBUF_C_TYPE_INT32)
		return json_object_new_int64((int64_t)number_of(f, value));
	return json_object_new_uint64(number_of(f, value));
}

static struct json_object *
json_of(const ProtobufCMessage *m)
{
	struct json_object *o = json_object_new_object();

	for (unsigned i = 0; o && i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		struct json_object *v;

		if (!strcmp(f->name, "auto_number")) /* part of the request only */
			continue;
		v = json_value(f, (const char *)m + f->offset);
		if (!v || json_object_object_add(o, f->name, v)) {
			json_object_put(v);
			json_object_put(o);
			return NULL;
		}
	}
	return o;
}

static int
json_kind(const struct answer *a, const struct kind *k, struct json_object *array)
{
	for (size_t i = 0; i < a->n; i++) {
		ProtobufCMessage **objects;
		size_t n = objects_of(a->r[i], k, &objects);

		for (size_t j = 0; j < n; j++) {
			struct json_object *o = json_of(objects[j]);

			if (!o || json_object_array_add(array, o)) {
				json_object_put(o);
				return -ENOMEM;
			}
		}
	}
	return 0;
}

int
show_json(FILE *out, const struct answer *a, unsigned what)
{
	struct json_object *root = json_object_new_object();
	int err = root ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < ARRAY_SIZE(kinds); i++) {
		struct json_object *array;

		if (!(what & kinds[i].what))
			continue;
		array = json_object_new_array();
		if (!array || json_object_object_add(root, kinds[i].key, array)) {
			json_object_put(array);
			err = -ENOMEM;
		} else {
			err = json_kind(a, &kinds[i], array);
		}
	}
	if (!err)
		fprintf(out, "%s\n",
			json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
	return err;
}
