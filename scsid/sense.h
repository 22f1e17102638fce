/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sense data from its parts, in both formats (SPC-4 4.5).  Pure.
 */
#ifndef SCSID_SENSE_H
#define SCSID_SENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SENSE_FIXED_LEN = 18, /* SPC-4 4.5.3 */
	SENSE_DESC_MAX = 8 + 12 + 8, /* header, information, sense-key specific */
};

struct sense {
	uint8_t key; /* enum sense_key */
	uint16_t asc; /* enum scsi_asc: ASC << 8 | ASCQ */
	bool has_info;
	uint64_t info; /* INFORMATION: for a block device an LBA (SBC-3 4.18) */
	bool has_field; /* a field pointer (SPC-4 4.5.2.4.2) */
	bool in_cdb; /* C/D: the field is in the CDB, not in the parameter list */
	uint16_t field; /* byte */
	int8_t bit; /* left-most bit of the field; -1: the whole byte */
};

/* Fixed format, response code 70h; always SENSE_FIXED_LEN bytes.  An INFORMATION
 * that does not fit 32 bits is left out: VALID 0 (SPC-4 4.5.3). */
size_t sense_fixed(uint8_t buf[SENSE_FIXED_LEN], const struct sense *s);
/* Descriptor format, response code 72h.  Returns its length (SPC-4 4.5.2). */
size_t sense_descriptor(uint8_t buf[SENSE_DESC_MAX], const struct sense *s);

/* The standard's text for a code, NULL if the X-list has none. */
const char *sense_text(uint16_t asc_ascq);

#endif
