/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and writing key=value text.  Pure but for the buffer's allocation.
 */
#include "portal/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "portal/iscsi.h"
#include "proto/util.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* key-name, 6.1: a standard-label (a letter first), up to 63 bytes. */
static bool
is_key(struct text_span s)
{
	if (!s.len || s.len > ISCSI_KEY_MAX || !is_letter(s.ptr[0]))
		return false;
	for (size_t i = 1; i < s.len; i++) {
		char c = s.ptr[i];

		/* '#' and '/' come with extension keys such as "X#NAME" (13.22). */
		if (!is_letter(c) && !is_digit(c) && !memchr(".-+@_#/", c, 7))
			return false;
	}
	return true;
}

int
text_next(struct text_span *in, struct text_pair *out)
{
	const char *nul, *eq;

	while (in->len && !*in->ptr) {
		in->ptr++;
		in->len--;
	}
	if (!in->len)
		return 0;
	nul = memchr(in->ptr, 0, in->len);
	if (!nul)
		return -EPROTO;
	eq = memchr(in->ptr, '=', (size_t)(nul - in->ptr));
	if (!eq)
		return -EPROTO;
	out->key = (struct text_span){ in->ptr, (size_t)(eq - in->ptr) };
	out->value = (struct text_span){ eq + 1, (size_t)(nul - eq - 1) };
	if (!is_key(out->key))
		return -EPROTO;
	in->len -= (size_t)(nul + 1 - in->ptr);
	in->ptr = nul + 1;
	return 1;
}

bool
text_list_next(struct text_span *list, struct text_span *out)
{
	const char *comma;

	if (!list->ptr)
		return false;
	comma = list->len ? memchr(list->ptr, ',', list->len) : NULL;
	out->ptr = list->ptr;
	if (!comma) {
		out->len = list->len;
		*list = (struct text_span){ NULL, 0 };
		return true;
	}
	out->len = (size_t)(comma - list->ptr);
	list->len -= out->len + 1;
	list->ptr = comma + 1;
	return true;
}

bool
text_equal(struct text_span s, const char *literal)
{
	return s.len == strlen(literal) && !memcmp(s.ptr, literal, s.len);
}

static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

int
text_number(struct text_span s, uint64_t *out)
{
	unsigned base = 10;
	uint64_t n = 0;

	if (s.len > 2 && s.ptr[0] == '0' && (s.ptr[1] == 'x' || s.ptr[1] == 'X')) {
		base = 16;
		s.ptr += 2;
		s.len -= 2;
	} else if (!s.len || (s.len > 1 && s.ptr[0] == '0')) {
		return -EPROTO;
	}
	for (size_t i = 0; i < s.len; i++) {
		unsigned d = (unsigned)hex_value(s.ptr[i]);

		if (d >= base || __builtin_mul_overflow(n, base, &n) ||
		    __builtin_add_overflow(n, d, &n))
			return -EPROTO;
	}
	*out = n;
	return 0;
}

int
text_bool(struct text_span s, bool *out)
{
	bool yes = text_equal(s, "Yes");

	if (!yes && !text_equal(s, "No"))
		return -EPROTO;
	*out = yes;
	return 0;
}

bool
text_is_name(struct text_span s)
{
	static const char types[][5] = { "iqn.", "eui.", "naa." };
	bool typed = false;

	if (s.len < 5 || s.len > ISCSI_NAME_MAX)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		typed |= !memcmp(s.ptr, types[i], 4);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];

		if (c <= ' ' || c == 0x7f)
			return false;
	}
	return typed;
}

void
text_buf_init(struct text_buf *b, size_t max)
{
	*b = (struct text_buf){ .max = max };
}

void
text_buf_done(struct text_buf *b)
{
	free(b->ptr);
	text_buf_init(b, b->max);
}

void
text_buf_reset(struct text_buf *b)
{
	b->len = 0;
	b->err = 0;
}

static int
text_buf_grow(struct text_buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : 512;
	char *p;

	while (cap < need)
		cap *= 2; /* need <= max, far below the top of size_t */
	cap = MIN(cap, b->max);
	p = realloc(b->ptr, cap);
	if (!p)
		return -ENOMEM;
	b->ptr = p;
	b->cap = cap;
	return 0;
}

void
text_buf_append(struct text_buf *b, const void *p, size_t n)
{
	if (b->err || !n)
		return;
	if (n > b->max - b->len) {
		b->err = -EMSGSIZE;
		return;
	}
	if (n > b->cap - b->len) {
		b->err = text_buf_grow(b, b->len + n);
		if (b->err)
			return;
	}
	memcpy(b->ptr + b->len, p, n);
	b->len += n;
}

void
text_add_span(struct text_buf *b, struct text_span key, const char *value)
{
	text_buf_append(b, key.ptr, key.len);
	text_buf_append(b, "=", 1);
	text_buf_append(b, value, strlen(value) + 1);
}

void
text_add(struct text_buf *b, const char *key, const char *value)
{
	text_add_span(b, (struct text_span){ key, strlen(key) }, value);
}

void
text_add_number(struct text_buf *b, const char *key, uint64_t value)
{
	char s[24];

	snprintf(s, sizeof(s), "%" PRIu64, value);
	text_add(b, key, s);
}
