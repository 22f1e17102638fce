/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The digest of iSCSI: CRC32C (RFC 7143 13.1; generator 11EDC6F41h, RFC 3385),
 * computed by ISA-L, which picks the fastest code for the processor.  Pure.
 */
#ifndef PORTAL_CRC32C_H
#define PORTAL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

enum { ISCSI_DIGEST_LEN = 4 };

/* A running digest: start with crc32c_begin(), feed, read with crc32c_end(). */
static inline uint32_t
crc32c_begin(void)
{
	return UINT32_MAX;
}

uint32_t crc32c_feed(uint32_t crc, const void *data, size_t len);

/* Stores the digest in the order of the wire: the least significant byte first
 * (RFC 3720 B.4 shows it so; RFC 7143 13.1 refers to the same mapping). */
void crc32c_end(uint32_t crc, uint8_t digest[ISCSI_DIGEST_LEN]);

#endif
