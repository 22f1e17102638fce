/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Big-endian accessors and a bounded read cursor.  Pure: no I/O, no globals.
 * SCSI and iSCSI put every multi-byte field on the wire in big-endian order
 * (SPC-4 3.7, RFC 7143 11.1); nothing may cast a wire pointer to a struct.
 */
#ifndef PROTO_BYTES_H
#define PROTO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t
get_be16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t
get_be24(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
}

static inline uint32_t
get_be32(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)get_be16(b) << 16 | get_be16(b + 2);
}

static inline uint64_t
get_be64(const void *p)
{
	const uint8_t *b = p;

	return (uint64_t)get_be32(b) << 32 | get_be32(b + 4);
}

static inline void
put_be16(void *p, uint16_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

static inline void
put_be24(void *p, uint32_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)(v >> 16);
	b[1] = (uint8_t)(v >> 8);
	b[2] = (uint8_t)v;
}

static inline void
put_be32(void *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16((uint8_t *)p + 2, (uint16_t)v);
}

static inline void
put_be64(void *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32((uint8_t *)p + 4, (uint32_t)v);
}

/*
 * An append-only writer with a capacity: a reply builder can truncate, it
 * cannot overflow.  @need counts what would have been written, so that the
 * caller can tell a truncated reply (need > cap) from a whole one.
 */
struct appender {
	uint8_t *buf;
	size_t cap;
	size_t len;
	size_t need;
};

static inline void
appender_init(struct appender *a, void *buf, size_t cap)
{
	a->buf = buf;
	a->cap = cap;
	a->len = 0;
	a->need = 0;
}

static inline void
append_bytes(struct appender *a, const void *src, size_t n)
{
	size_t room = a->cap - a->len;
	size_t take = n < room ? n : room;

	if (take)
		memcpy(a->buf + a->len, src, take);
	a->len += take;
	a->need += n;
}

static inline bool
appender_truncated(const struct appender *a)
{
	return a->need > a->cap;
}

#endif
