/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MODE SENSE(6) and (10) (SPC-4 6.13, 6.14) and the mode pages behind them.
 * A page is listed only if every field it reports is true of this target.
 */
#include "scsid/mode.h"

#include <string.h>

enum {
	PAGE_ALL = 0x3f, SUBPAGE_ALL = 0xff,
	DSP_WP = 0x80, DSP_DPOFUA = 0x10, /* DEVICE-SPECIFIC PARAMETER, SBC-3 6.5.1 */
};

/* Caching (SBC-3 6.5.5): the page cache behind the store is a volatile write
 * cache as long as it can be flushed. */
static void
fill_caching(uint8_t *p, const struct lu *lu)
{
	if (lu->can_flush)
		p[2] = 0x04; /* WCE */
}

/* Control (SPC-4 7.5.8): one task set for all nexuses, fixed-format sense data,
 * no TASK ABORTED status. */
static void
fill_control(uint8_t *p, const struct lu *lu)
{
	p[3] = 0x10; /* QUEUE ALGORITHM MODIFIER: unrestricted; QERR 00b */
}

/* Informational exceptions control (SPC-4 7.5.11): none are reported. */
static void
fill_exceptions(uint8_t *p, const struct lu *lu)
{
	p[2] = 0x08; /* DEXCPT */
}

/* In ascending order: 3Fh returns them so (SPC-4 6.13.1). */
static const struct mode_page {
	uint8_t code;
	uint8_t len; /* PAGE LENGTH: bytes after the two of the header */
	void (*fill)(uint8_t *p, const struct lu *lu); /* NULL: all zero is the truth */
} pages[] = {
	{ 0x01, 0x0a, NULL }, /* read-write error recovery, SBC-3 6.5.8: no options */
	{ 0x08, 0x12, fill_caching },
	{ 0x0a, 0x0a, fill_control },
	{ 0x1c, 0x0a, fill_exceptions },
};

size_t
mode_pages(uint8_t buf[MODE_PAGES_MAX], const struct lu *lu, uint8_t page, uint8_t subpage,
	   enum mode_pc pc)
{
	size_t len = 0;

	if (subpage != 0 && subpage != SUBPAGE_ALL)
		return 0; /* no page of ours has subpages */
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		uint8_t *p = buf + len;

		if (page != PAGE_ALL && page != pages[i].code)
			continue;
		memset(p, 0, 2u + pages[i].len);
		p[0] = pages[i].code; /* PS and SPF 0 */
		p[1] = pages[i].len;
		if (pages[i].fill && pc != MODE_CHANGEABLE)
			pages[i].fill(p, lu);
		len += 2u + pages[i].len;
	}
	return len;
}

/* The block descriptor (SBC-3 6.5.2), short or long LBA; returns its length. */
static size_t
block_descriptor(uint8_t *p, const struct lu *lu, bool long_lba)
{
	size_t len = long_lba ? 16 : 8;

	memset(p, 0, len);
	if (long_lba)
		put_be64(p, lu->blocks);
	else
		put_be32(p, (uint32_t)MIN(lu->blocks, (uint64_t)UINT32_MAX));
	put_be32(p + len - 4, lu->block_size);
	if (!long_lba)
		p[4] = 0; /* LOGICAL BLOCK LENGTH has three bytes here */
	return len;
}

static enum verdict
mode_sense(struct cmd *c, bool ten, uint32_t alloc_len)
{
	const struct lu *lu = c->lu;
	enum mode_pc pc = c->cdb[2] >> 6;
	bool dbd = c->cdb[1] & 0x08, long_lba = c->cdb[1] & 0x10; /* LLBAA: only in (10) */
	uint8_t buf[8 + 16 + MODE_PAGES_MAX], dsp = 0;
	size_t head = ten ? 8 : 4, bd = 0, n;

	if (pc == MODE_SAVED)
		return cmd_sense(c, ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
	if (!dbd)
		bd = block_descriptor(buf + head, lu, long_lba);
	n = mode_pages(buf + head + bd, lu, c->cdb[2] & 0x3f, c->cdb[3], pc);
	if (!n) {
		bool bad_subpage = c->cdb[3] && c->cdb[3] != SUBPAGE_ALL;

		return bad_subpage ? cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, 3, 7) :
				     cmd_sense_cdb(c, ASC_INVALID_FIELD_IN_CDB, 2, 5);
	}
	n += head + bd;

	if (lu->read_only || c->nexus->read_only)
		dsp |= DSP_WP;
	if (lu->can_flush)
		dsp |= DSP_DPOFUA;
	memset(buf, 0, head);
	if (ten) {
		put_be16(buf, (uint16_t)(n - 2)); /* MODE DATA LENGTH */
		buf[3] = dsp;
		buf[4] = bd == 16; /* LONGLBA */
		put_be16(buf + 6, (uint16_t)bd);
	} else {
		buf[0] = (uint8_t)(n - 1);
		buf[2] = dsp;
		buf[3] = (uint8_t)bd;
	}
	append_bytes(&c->reply, buf, n);
	return cmd_reply(c, alloc_len);
}

enum verdict
mode_sense_6(struct cmd *c)
{
	return mode_sense(c, false, c->cdb[4]);
}

enum verdict
mode_sense_10(struct cmd *c)
{
	return mode_sense(c, true, get_be16(c->cdb + 7));
}
