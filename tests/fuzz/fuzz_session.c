/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of an initiator that has logged in: the whole portal thread, with a
 * logical unit behind it.  Whatever comes, the session must end cleanly when
 * the connection does: no command, slot, extent or lane stays behind.
 */
#include "tests/unit/tap.h"

#include "tests/unit/portal_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Appends the digest of the @n bytes at @p to what is at @to; wrong if @wrong. */
static size_t
digest(uint8_t *to, const uint8_t *p, size_t n, bool wrong)
{
	crc32c_end(crc32c_feed(crc32c_begin(), p, n), to);
	to[1] ^= wrong;
	return ISCSI_DIGEST_LEN;
}

/* Puts digests where they belong, so that the bytes reach what is behind them.
 * Two values of a reserved byte make a wrong one. */
static size_t
with_digests(const struct iscsi_params *par, const uint8_t *in, size_t left, uint8_t *out)
{
	size_t n = 0, part;

	while (left >= ISCSI_BHS_LEN) {
		const uint8_t *h = in;
		uint32_t len = get_be24(h + BHS_DATA_LEN);

		part = MIN(left, ISCSI_BHS_LEN + h[BHS_AHS_WORDS] * (size_t)4);
		memcpy(out + n, in, part);
		n += part;
		if (par->header_digest)
			n += digest(out + n, in, part, h[3] == 0xbd);
		in += part;
		left -= part;
		part = MIN(left, len + (size_t)iscsi_pad(len));
		memcpy(out + n, in, part);
		n += part;
		if (par->data_digest && part)
			n += digest(out + n, in, part, h[3] == 0xdb);
		in += part;
		left -= part;
	}
	memcpy(out + n, in, left);
	return n + left;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t sink[65536];
	struct rig *r = rig_make(true);
	uint8_t *stream = malloc(size + (size / ISCSI_BHS_LEN + 1) * 2 * ISCSI_DIGEST_LEN);
	int i;

	assert(stream);
	r->params.initial_r2t = size & 1;
	r->params.header_digest = size >> 1 & 1;
	r->params.data_digest = size >> 2 & 1;
	size = with_digests(&r->params, data, size, stream);
	data = stream;
	r->pool_size = 1 << 20;
	rig_connect(r);
	while (size && !r->closed) {
		ssize_t n = send(r->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
		r->closed = n < 0 && errno != EAGAIN;
		for (i = 0; i < 4; i++)
			rig_pump(r);
		while (recv(r->fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			rig_pump(r);
	}
	tap_bad = 0;
	rig_end(r, 1);
	free(stream);
	assert(!tap_bad);
	return 0;
}
