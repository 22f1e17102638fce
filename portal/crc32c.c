/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CRC32C by ISA-L: see crc32c.h.
 */
#include "portal/crc32c.h"

#include <isa-l/crc.h>
#include <limits.h>

uint32_t
crc32c_feed(uint32_t crc, const void *data, size_t len)
{
	const unsigned char *p = data;

	/* The library counts in int. */
	while (len) {
		int n = len > INT_MAX ? INT_MAX : (int)len;

		crc = crc32_iscsi((unsigned char *)(uintptr_t)p, n, crc);
		p += n;
		len -= (size_t)n;
	}
	return crc;
}

void
crc32c_end(uint32_t crc, uint8_t digest[ISCSI_DIGEST_LEN])
{
	crc = ~crc;
	digest[0] = (uint8_t)crc;
	digest[1] = (uint8_t)(crc >> 8);
	digest[2] = (uint8_t)(crc >> 16);
	digest[3] = (uint8_t)(crc >> 24);
}
