/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MODE SENSE(6) and (10): headers, block descriptors, pages, page control.
 */
#include "scsid/mode.h"

#include "tests/unit/scsi_case.h"
#include "tests/unit/tap.h"

static void
test_header_6(void)
{
	static const uint8_t want[12] = { 4 + 8 + 20 - 1, 0, 0x10, 8, 0, 1, 0, 0, 0, 0, 2, 0 };
	struct scsi_case t;

	case_init(&t);
	CHECK_EQ(RUN(&t, 0x1a, 0, 0x08, 0, 0xff), CMD_DONE);
	CHECK_EQ(t.cmd.status, STATUS_GOOD);
	CHECK_EQ(t.cmd.reply.len, 32);
	CHECK_MEM(t.reply, want, 12); /* SPC-4 7.5.5, SBC-3 6.5.2 */
	RUN(&t, 0x1a, 0x08, 0x08, 0, 0xff); /* DBD */
	CHECK_EQ(t.cmd.reply.len, 24);
	CHECK_EQ(get_be32(t.reply), 0x17001000);
	RUN(&t, 0x1a, 0, 0x08, 0, 4); /* MODE DATA LENGTH is not adjusted */
	CHECK_EQ(t.cmd.reply.len, 4);
	CHECK_EQ(t.reply[0], 31);
}

static void
test_header_10(void)
{
	static const uint8_t want[8] = { 0, 8 + 8 + 20 - 2, 0, 0x10, 0, 0, 0, 8 };
	static const uint8_t llba[24] = { 0, 8 + 16 + 20 - 2, 0, 0x10, 1, 0, 0, 16,
					  0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 2, 0 };
	struct scsi_case t;

	case_init(&t);
	RUN(&t, 0x5a, 0, 0x08, 0, 0, 0, 0, 1, 0);
	CHECK_MEM(t.reply, want, 8);
	CHECK_EQ(get_be32(t.reply + 8), 0x10000);
	t.lu.blocks = 0x100000005;
	RUN(&t, 0x5a, 0x10, 0x08, 0, 0, 0, 0, 1, 0); /* LLBAA: SBC-3 6.5.2.3 */
	CHECK_MEM(t.reply, llba, 24);
	RUN(&t, 0x5a, 0x18, 0x08, 0, 0, 0, 0, 1, 0); /* DBD wins */
	CHECK_EQ(t.reply[4] | t.reply[7], 0);
	RUN(&t, 0x5a, 0, 0x08, 0, 0, 0, 0, 1, 0); /* short: SBC-3 6.5.2.2 */
	CHECK_EQ(get_be32(t.reply + 8), UINT32_MAX);
	CHECK_EQ(get_be32(t.reply + 12), 512);
}

/* SBC-3 6.5.1: WP for a read-only LUN or mapping, DPOFUA. */
static void
test_device_specific(void)
{
	struct scsi_case t;

	case_init(&t);
	t.lu.read_only = true;
	RUN(&t, 0x1a, 0, 0x3f, 0, 0xff);
	CHECK_EQ(t.reply[2], 0x90);
	t.lu.read_only = false;
	t.nexus.read_only = true;
	RUN(&t, 0x1a, 0, 0x3f, 0, 0xff);
	CHECK_EQ(t.reply[2], 0x90);
	t.nexus.read_only = false;
	t.lu.can_flush = false; /* no FUA, and WCE 0 */
	RUN(&t, 0x1a, 0x08, 0x08, 0, 0xff);
	CHECK_EQ(t.reply[2], 0);
	CHECK_EQ(t.reply[4 + 2], 0);
	t.lu.can_flush = true;
	RUN(&t, 0x1a, 0x08, 0x08, 0, 0xff);
	CHECK_EQ(t.reply[4 + 2], 0x04);
}

static const struct {
	const char *what;
	uint8_t page, subpage;
	uint32_t sense; /* 0: GOOD with @len bytes of pages */
	uint8_t byte;
	uint8_t len;
} pages[] = {
	{ "SBC-3 6.5.8 read-write error recovery", 0x01, 0, 0, 0, 12 },
	{ "SBC-3 6.5.5 caching", 0x08, 0, 0, 0, 20 },
	{ "SPC-4 7.5.8 control", 0x0a, 0, 0, 0, 12 },
	{ "SPC-4 7.5.11 informational exceptions", 0x1c, 0, 0, 0, 12 },
	{ "SPC-4 6.13.1 all pages", 0x3f, 0, 0, 0, 56 },
	{ "SPC-4 6.13.1 all pages and subpages", 0x3f, 0xff, 0, 0, 56 },
	{ "SPC-4 6.13.1 all subpages of a page", 0x0a, 0xff, 0, 0, 12 },
	{ "no such subpage", 0x0a, 0x01, BAD_FIELD, 3, 0 },
	{ "3Fh with a subpage", 0x3f, 0x01, BAD_FIELD, 3, 0 },
	{ "no such page", 0x02, 0, BAD_FIELD, 2, 0 },
	{ "no such page, all subpages", 0x02, 0xff, BAD_FIELD, 2, 0 },
	{ "vendor-specific page", 0x00, 0, BAD_FIELD, 2, 0 },
};

static void
test_pages(void)
{
	struct scsi_case t;

	case_init(&t);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		RUN(&t, 0x1a, 0x08, pages[i].page, pages[i].subpage, 0xff);
		CHECK_MSG(case_sense(&t) == pages[i].sense, "%s: sense %06x", pages[i].what,
			  case_sense(&t));
		if (pages[i].sense)
			CHECK_MSG(get_be16(t.cmd.sense + 16) == pages[i].byte, "%s",
				  pages[i].what);
		else
			CHECK_MSG(t.cmd.reply.len == 4u + pages[i].len, "%s: %zu bytes",
				  pages[i].what, t.cmd.reply.len);
	}
}

/* Ascending, each with its own length; current, default, changeable. */
static void
test_page_control(void)
{
	static const uint8_t order[] = { 0x01, 0x08, 0x0a, 0x1c };
	uint8_t cur[MODE_PAGES_MAX], def[MODE_PAGES_MAX], chg[MODE_PAGES_MAX];
	struct scsi_case t;
	size_t n, at = 0;

	case_init(&t);
	n = mode_pages(cur, &t.lu, 0x3f, 0, MODE_CURRENT);
	CHECK_EQ(mode_pages(def, &t.lu, 0x3f, 0, MODE_DEFAULT), n);
	CHECK_EQ(mode_pages(chg, &t.lu, 0x3f, 0, MODE_CHANGEABLE), n);
	CHECK_MEM(cur, def, n);
	for (size_t i = 0; i < sizeof(order); i++) {
		CHECK_EQ(cur[at], order[i]);
		CHECK_EQ(get_be16(chg + at), get_be16(cur + at));
		for (size_t b = 2; b < 2u + cur[at + 1]; b++)
			CHECK_EQ(chg[at + b], 0); /* no MODE SELECT */
		at += 2u + cur[at + 1];
	}
	CHECK_EQ(at, n);
	RUN(&t, 0x1a, 0, 0xc0 | 0x3f, 0, 0xff); /* SPC-4 6.13.1.5: saved values */
	CHECK_EQ(case_sense(&t), SENSE(ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED));
}

int
main(void)
{
	TEST(test_header_6);
	TEST(test_header_10);
	TEST(test_device_specific);
	TEST(test_pages);
	TEST(test_page_control);
	return tap_done();
}
