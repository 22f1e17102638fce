/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CRC32C: the examples of RFC 3720 B.4, pieces against the whole, and a
 * bit-by-bit reference for every length and alignment.
 */
#include "portal/crc32c.h"
#include "proto/bytes.h"
#include "proto/util.h"
#include "tests/unit/tap.h"

static const uint8_t read10[48] = { /* RFC 3720 B.4: an iSCSI SCSI Read (10) command PDU */
	0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
	0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
};

static void
digest(const void *p, size_t n, uint8_t out[4])
{
	crc32c_end(crc32c_feed(crc32c_begin(), p, n), out);
}

static void
test_rfc3720_b4(void)
{
	uint8_t zeros[32] = { 0 }, ones[32], up[32], down[32], d[4];

	memset(ones, 0xff, sizeof(ones));
	for (int i = 0; i < 32; i++) {
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	const struct {
		const uint8_t *data;
		size_t len;
		uint8_t digest[4];
	} rows[] = {
		{ zeros, 32, { 0xaa, 0x36, 0x91, 0x8a } },
		{ ones, 32, { 0x43, 0xab, 0xa8, 0x62 } },
		{ up, 32, { 0x4e, 0x79, 0xdd, 0x46 } },
		{ down, 32, { 0x5c, 0xdb, 0x3f, 0x11 } },
		{ read10, 48, { 0x56, 0x3a, 0x96, 0xd9 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		digest(rows[i].data, rows[i].len, d);
		CHECK_MSG(!memcmp(d, rows[i].digest, 4), "row %zu: %02x%02x%02x%02x", i, d[0],
			  d[1], d[2], d[3]);
	}
}

static uint32_t
reference(const uint8_t *p, size_t n)
{
	uint32_t crc = UINT32_MAX;

	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return crc;
}

static void
test_against_reference(void)
{
	static uint8_t buf[1400];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 131 + (i >> 3));
	for (size_t off = 0; off < 9; off++)
		for (size_t len = 0; len <= 1300; len += 1 + len / 40)
			CHECK_EQ(crc32c_feed(crc32c_begin(), buf + off, len),
				 reference(buf + off, len));
}

static void
test_pieces(void)
{
	uint8_t whole[4], parts[4];

	digest(read10, sizeof(read10), whole);
	for (size_t cut = 0; cut <= sizeof(read10); cut++) {
		uint32_t crc = crc32c_feed(crc32c_begin(), read10, cut);

		crc = crc32c_feed(crc, read10 + cut, sizeof(read10) - cut);
		crc32c_end(crc, parts);
		CHECK_MEM(whole, parts, 4);
	}
}

int
main(void)
{
	TEST(test_rfc3720_b4);
	TEST(test_against_reference);
	TEST(test_pieces);
	return tap_done();
}
