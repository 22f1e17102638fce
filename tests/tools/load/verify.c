/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --verify: every 16 bytes that are written say where they belong and which
 * write they come from, {LBA, run, generation}, and every read is compared
 * with the last write.  A session has a region of its own and never two
 * commands at a time in one chunk of it, so what must be there is certain.
 */
#include <string.h>

#include "tests/tools/load/load.h"

enum { STAMP = 16 };

static void
stamp(const struct session *s, uint8_t *at, uint64_t lba, uint32_t gen)
{
	put_be64(at, lba);
	put_be32(at + 8, s->load->run_id);
	put_be32(at + 12, gen);
}

static uint64_t
lba_of(const struct session *s, const struct req *r, uint32_t offset)
{
	return (r->chunk * s->load->block + offset) / s->block_len;
}

/* @r->chunk is where to look first; the region is longer than the queue. */
void
verify_pick(struct session *s, struct req *r)
{
	uint64_t i = r->chunk - s->first;

	while (s->map[i].busy)
		i = (i + 1) % s->chunks;
	s->map[i].busy = true;
	r->chunk = s->first + i;
	r->gen = s->map[i].gen;
	if (!r->gen)
		r->write = true;
	if (!r->write)
		return;
	r->gen = ++s->gen;
	for (uint32_t at = 0; at < s->load->block; at += STAMP)
		stamp(s, r->buf + at, lba_of(s, r, at), r->gen);
}

bool
verify_read(struct session *s, const struct req *r)
{
	uint8_t want[STAMP];

	for (uint32_t at = 0; at < s->load->block; at += STAMP) {
		const uint8_t *got = r->buf + at;

		stamp(s, want, lba_of(s, r, at), r->gen);
		if (!memcmp(got, want, STAMP))
			continue;
		complain(s, "wrong data at LBA %llu + %u: written for LBA %llu by run %08x as its "
			 "%u, wanted run %08x, %u", (unsigned long long)get_be64(want),
			 at % s->block_len, (unsigned long long)get_be64(got), get_be32(got + 8),
			 get_be32(got + 12), get_be32(want + 8), get_be32(want + 12));
		return false;
	}
	return true;
}

/* A write that failed may have happened or not, in part or as a whole. */
void
verify_end(struct session *s, const struct req *r, bool good)
{
	struct chunk *c = &s->map[r->chunk - s->first];

	c->busy = false;
	if (r->write)
		c->gen = good ? r->gen : 0;
}
