/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INQUIRY (SPC-4 6.6): standard data and vital product data.  It advertises
 * what the opcode table does and nothing else; a field left zero means "not
 * reported" in every page here.
 */
#include "scsid/inquiry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	PROTOCOL_ISCSI = 5, /* SPC-4 table 435 */
	CODE_BINARY = 1, CODE_ASCII = 2, CODE_UTF8 = 3,
	ASSOC_LU = 0x00, ASSOC_PORT = 0x10, ASSOC_DEVICE = 0x20, /* in place */
	DESIG_T10 = 1, DESIG_NAA = 3, DESIG_RELATIVE_PORT = 4, DESIG_TPG = 5, DESIG_NAME = 8,
	DESIG_NAME_MAX = 252, /* a one-byte length that is a multiple of four */
	/* All ports of a logical unit have the same access to it: one group. */
	TARGET_PORT_GROUP = 1,
};

/* An ASCII field: left-aligned, filled with spaces (SPC-4 4.3.1). */
static void
ascii(uint8_t *dst, size_t width, const char *src)
{
	size_t n = strnlen(src, width);

	memset(dst, ' ', width);
	memcpy(dst, src, n);
}

void
inquiry_standard(uint8_t buf[INQUIRY_STANDARD_LEN], const struct lu *lu)
{
	/* Architecture, transport, primary, device type; no version claimed (SPC-4
	 * table 147): SAM-5, iSCSI, SPC-4, SBC-3. */
	static const uint16_t versions[] = { 0x00a0, 0x0960, 0x0460, 0x04c0 };
	size_t n = ARRAY_SIZE(versions);

	if (lu->inventory)
		n--; /* no device there, so no device type's standard */
	memset(buf, 0, INQUIRY_STANDARD_LEN);
	buf[0] = lu->inventory ? 0x7f : 0x00; /* PERIPHERAL QUALIFIER, DEVICE TYPE */
	buf[2] = 0x06; /* VERSION: SPC-4 */
	buf[3] = 0x12; /* HISUP, RESPONSE DATA FORMAT 2; NORMACA 0 */
	buf[4] = INQUIRY_STANDARD_LEN - 5; /* ADDITIONAL LENGTH */
	buf[7] = 0x02; /* CMDQUE */
	ascii(buf + 8, 8, lu->vendor);
	ascii(buf + 16, 16, lu->product);
	ascii(buf + 32, 4, lu->revision);
	for (size_t i = 0; i < n; i++)
		put_be16(buf + 58 + 2 * i, versions[i]);
}

/* ---- vital product data ---- */

static size_t
serial_number(uint8_t *p, const struct lu *lu, const struct nexus *n)
{
	size_t len = strnlen(lu->serial, sizeof(lu->serial) - 1);

	if (!len) { /* not available: spaces (SPC-4 7.8.16) */
		memset(p, ' ', 4);
		return 4;
	}
	memcpy(p, lu->serial, len);
	return len;
}

/* Appends one designation descriptor (SPC-4 7.8.6.1). */
static uint8_t *
designator(uint8_t *p, uint8_t assoc, uint8_t code_set, uint8_t type, const void *data,
	   uint8_t len)
{
	p[0] = code_set;
	p[1] = assoc | type;
	if (assoc != ASSOC_LU) {
		p[0] |= PROTOCOL_ISCSI << 4;
		p[1] |= 0x80; /* PIV */
	}
	p[2] = 0;
	p[3] = len;
	memcpy(p + 4, data, len);
	return p + 4 + len;
}

/* A SCSI name string: terminated and filled with zeros to a multiple of four
 * (SPC-4 7.8.6.10).  A name that the length byte cannot hold is left out. */
static uint8_t *
name_designator(uint8_t *p, uint8_t assoc, const char *name, size_t n)
{
	uint8_t buf[DESIG_NAME_MAX] = { 0 };
	size_t padded = (n + 4) & ~(size_t)3;

	if (!n || padded > sizeof(buf))
		return p;
	memcpy(buf, name, n);
	return designator(p, assoc, CODE_UTF8, DESIG_NAME, buf, (uint8_t)padded);
}

static uint8_t *
lu_designators(uint8_t *p, const struct lu *lu)
{
	uint8_t t10[8 + 16 + sizeof(lu->serial) - 1], naa[16];
	size_t n = strnlen(lu->serial, sizeof(lu->serial) - 1);
	char name[4 + 32 + 1];

	ascii(t10, 8, lu->vendor);
	ascii(t10 + 8, 16, lu->product);
	memcpy(t10 + 24, lu->serial, n);
	p = designator(p, ASSOC_LU, CODE_ASCII, DESIG_T10, t10, (uint8_t)(24 + n));
	if (lu->naa >> 60 != 6) /* no NAA IEEE Registered Extended was given */
		return p;
	put_be64(naa, lu->naa);
	put_be64(naa + 8, lu->naa_ext);
	p = designator(p, ASSOC_LU, CODE_BINARY, DESIG_NAA, naa, sizeof(naa));
	snprintf(name, sizeof(name), "naa.%016llX%016llX", (unsigned long long)lu->naa,
		 (unsigned long long)lu->naa_ext);
	return name_designator(p, ASSOC_LU, name, sizeof(name) - 1);
}

static size_t
device_identification(uint8_t *p, const struct lu *lu, const struct nexus *n)
{
	const char *port = n->target_port, *end = strstr(port, ",t,");
	size_t port_len = strnlen(port, sizeof(n->target_port) - 1);
	uint8_t *start = p, number[4] = { 0 };

	p = lu_designators(p, lu);
	p = name_designator(p, ASSOC_PORT, port, port_len);
	put_be16(number + 2, TARGET_PORT_GROUP);
	p = designator(p, ASSOC_PORT, CODE_BINARY, DESIG_TPG, number, sizeof(number));
	put_be16(number + 2, n->relative_port);
	p = designator(p, ASSOC_PORT, CODE_BINARY, DESIG_RELATIVE_PORT, number, sizeof(number));
	/* The target device is named by the iSCSI name alone (RFC 7143 4.4.1). */
	if (end)
		p = name_designator(p, ASSOC_DEVICE, port, (size_t)(end - port));
	return (size_t)(p - start);
}

/* Block limits (SBC-3 6.6.3).  No UNMAP, WRITE SAME or COMPARE AND WRITE: their
 * limits are zero. */
static size_t
block_limits(uint8_t *p, const struct lu *lu, const struct nexus *n)
{
	uint64_t max = lu->block_size ? lu->max_transfer / lu->block_size : 0;

	memset(p, 0, 0x3c);
	if (lu->phys_exp && lu->phys_exp < 16)
		put_be16(p + 2, (uint16_t)(1u << lu->phys_exp)); /* OPTIMAL ... GRANULARITY */
	put_be32(p + 4, (uint32_t)MIN(max, (uint64_t)UINT32_MAX)); /* MAXIMUM TRANSFER LENGTH */
	return 0x3c;
}

/* Block device characteristics (SBC-3 6.6.2): the medium behind a file is not
 * known, so nothing is reported. */
static size_t
block_characteristics(uint8_t *p, const struct lu *lu, const struct nexus *n)
{
	memset(p, 0, 0x3c);
	return 0x3c;
}

/* Logical block provisioning (SBC-3 6.6.4): none (LBPME is 0). */
static size_t
block_provisioning(uint8_t *p, const struct lu *lu, const struct nexus *n)
{
	memset(p, 0, 4);
	return 4;
}

static size_t supported_pages(uint8_t *p, const struct lu *lu, const struct nexus *n);

/* In ascending order (SPC-4 7.8.20). */
static const struct vpd_page {
	uint8_t code;
	size_t (*fill)(uint8_t *p, const struct lu *lu, const struct nexus *n);
} vpd_pages[] = {
	{ 0x00, supported_pages },
	{ 0x80, serial_number },
	{ 0x83, device_identification },
	{ 0xb0, block_limits },
	{ 0xb1, block_characteristics },
	{ 0xb2, block_provisioning },
};

static size_t
supported_pages(uint8_t *p, const struct lu *lu, const struct nexus *n)
{
	for (size_t i = 0; i < ARRAY_SIZE(vpd_pages); i++)
		p[i] = vpd_pages[i].code;
	return ARRAY_SIZE(vpd_pages);
}

int
inquiry_vpd(uint8_t buf[INQUIRY_VPD_MAX], const struct lu *lu, const struct nexus *n,
	    uint8_t page)
{
	for (size_t i = 0; i < ARRAY_SIZE(vpd_pages); i++) {
		size_t len;

		if (vpd_pages[i].code != page)
			continue;
		len = vpd_pages[i].fill(buf + 4, lu, n);
		buf[0] = 0x00; /* connected; direct access block device */
		buf[1] = page;
		put_be16(buf + 2, (uint16_t)len);
		return (int)(4 + len);
	}
	return -ENOENT;
}

enum verdict
inquiry_run(struct cmd *c)
{
	bool evpd = c->cdb[1] & 1;
	uint8_t page = c->cdb[2], buf[INQUIRY_VPD_MAX];
	int len = INQUIRY_STANDARD_LEN;

	if (!evpd) {
		if (page)
			return cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, 2, 7);
		inquiry_standard(buf, c->lu);
	} else if (c->lu->inventory) {
		/* Vital product data of no logical unit (SPC-6 6.7.1). */
		return cmd_sense(c, ILLEGAL_REQUEST, ASC_LU_NOT_SUPPORTED);
	} else {
		len = inquiry_vpd(buf, c->lu, c->nexus, page);
		if (len < 0)
			return cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, 2, 7);
	}
	append_bytes(&c->reply, buf, (size_t)len);
	return cmd_reply(c, get_be16(c->cdb + 3));
}
