/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Builds sense data in fixed and in descriptor format (SPC-4 4.5), and names
 * additional sense codes.  Pure: it must not know commands or logical units.
 */
#include "scsid/sense.h"

#include <string.h>

#include "proto/bytes.h"
#include "proto/scsi.h"
#include "proto/util.h"

enum { DESC_INFORMATION = 0x00, DESC_SENSE_KEY_SPECIFIC = 0x02 }; /* SPC-4 table 29 */

/* The three sense-key specific bytes: field pointer (SPC-4 4.5.2.4.2). */
static void
field_pointer(uint8_t *p, const struct sense *s)
{
	p[0] = 0x80; /* SKSV */
	if (s->in_cdb)
		p[0] |= 0x40;
	if (s->bit >= 0)
		p[0] |= (uint8_t)(0x08 | (s->bit & 7)); /* BPV */
	put_be16(p + 1, s->field);
}

size_t
sense_fixed(uint8_t buf[SENSE_FIXED_LEN], const struct sense *s)
{
	memset(buf, 0, SENSE_FIXED_LEN);
	buf[0] = 0x70;
	buf[2] = s->key;
	if (s->has_info && s->info <= UINT32_MAX) {
		buf[0] |= 0x80; /* VALID */
		put_be32(buf + 3, (uint32_t)s->info);
	}
	buf[7] = SENSE_FIXED_LEN - 8; /* ADDITIONAL SENSE LENGTH */
	put_be16(buf + 12, s->asc);
	if (s->has_field)
		field_pointer(buf + 15, s);
	return SENSE_FIXED_LEN;
}

size_t
sense_descriptor(uint8_t buf[SENSE_DESC_MAX], const struct sense *s)
{
	size_t len = 8;

	memset(buf, 0, SENSE_DESC_MAX);
	buf[0] = 0x72;
	buf[1] = s->key;
	put_be16(buf + 2, s->asc);
	if (s->has_info) {
		uint8_t *d = buf + len;

		d[0] = DESC_INFORMATION;
		d[1] = 10;
		d[2] = 0x80; /* VALID */
		put_be64(d + 4, s->info);
		len += 12;
	}
	if (s->has_field) {
		uint8_t *d = buf + len;

		d[0] = DESC_SENSE_KEY_SPECIFIC;
		d[1] = 6;
		field_pointer(d + 4, s);
		len += 8;
	}
	buf[7] = (uint8_t)(len - 8);
	return len;
}

const char *
sense_text(uint16_t asc_ascq)
{
	static const struct {
		uint16_t code;
		const char *text;
	} codes[] = {
#define SENSE_ROW(name, value, text) { value, text },
		SCSI_ASC_LIST(SENSE_ROW)
#undef SENSE_ROW
	};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].code == asc_ascq)
			return codes[i].text;
	return NULL;
}
