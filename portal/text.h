/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iSCSI text: key=value pairs, each ended by a NUL (RFC 7143 6.1).  A reader
 * over (pointer, end), value parsers, and a bounded growing buffer.  Pure but
 * for the allocation.  It must not know what a key means (portal/keys.h).
 */
#ifndef PORTAL_TEXT_H
#define PORTAL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes inside someone else's buffer; not NUL-terminated. */
struct text_span {
	const char *ptr;
	size_t len;
};

struct text_pair {
	struct text_span key; /* 1..63 bytes of the key-name alphabet */
	struct text_span value; /* any bytes but NUL; may be empty */
};

/*
 * Takes the next pair off @in (the rest of the text).  1: a pair; 0: the end;
 * -EPROTO: no '=', an illegal or overlong key name, or no NUL at the end.
 * Empty strings between pairs are skipped.
 */
int text_next(struct text_span *in, struct text_pair *out);

/* Takes the next element off a comma-separated list; false at the end. An
 * empty element is returned as such. */
bool text_list_next(struct text_span *list, struct text_span *out);

bool text_equal(struct text_span s, const char *literal);

/* Decimal or 0x hexadecimal number of 6.1 (no sign, no leading zeros in decimal).
 * 0, or -EPROTO. */
int text_number(struct text_span s, uint64_t *out);
/* Yes or No. 0, or -EPROTO. */
int text_bool(struct text_span s, bool *out);
/* An iSCSI name (4.2.7): 1..223 bytes, type iqn, eui or naa, no control character or blank. */
bool text_is_name(struct text_span s);

/* A buffer that grows up to @max bytes; the first failure sticks in @err. */
struct text_buf {
	char *ptr;
	size_t len, cap, max;
	int err; /* 0, -ENOMEM, or -EMSGSIZE: more than max */
};

void text_buf_init(struct text_buf *b, size_t max);
/* Frees; the buffer is then as after text_buf_init. */
void text_buf_done(struct text_buf *b);
/* Empties without freeing; clears err. */
void text_buf_reset(struct text_buf *b);
void text_buf_append(struct text_buf *b, const void *p, size_t n);
/* Adds "key=value" and its NUL. */
void text_add(struct text_buf *b, const char *key, const char *value);
void text_add_span(struct text_buf *b, struct text_span key, const char *value);
void text_add_number(struct text_buf *b, const char *key, uint64_t value);

#endif
