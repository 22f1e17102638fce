/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sense data, byte by byte, in both formats; the X-list of codes.
 */
#include "scsid/sense.h"

#include "proto/scsi.h"
#include "proto/util.h"
#include "tests/unit/tap.h"

static const struct {
	const char *what;
	struct sense s;
	uint8_t fixed[18];
	uint8_t desc[28];
	size_t desc_len;
} rows[] = {
	{ "SPC-4 4.5.3: response code, additional length",
	  { .key = NOT_READY, .asc = 0x0401 },
	  { 0x70, 0, 2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x04, 0x01 },
	  { 0x72, 2, 0x04, 0x01 }, 8 },
	{ "SPC-4 4.5.3: VALID and INFORMATION of 32 bits",
	  { .key = ILLEGAL_REQUEST, .asc = 0x2100, .has_info = true, .info = 0xffffffff },
	  { 0xf0, 0, 5, 0xff, 0xff, 0xff, 0xff, 10, 0, 0, 0, 0, 0x21 },
	  { 0x72, 5, 0x21, 0, 0, 0, 0, 12, 0, 10, 0x80, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff },
	  20 },
	{ "SPC-4 4.5.3: more than 32 bits only in descriptor format",
	  { .key = ILLEGAL_REQUEST, .asc = 0x2100, .has_info = true, .info = 0x100000000 },
	  { 0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21 },
	  { 0x72, 5, 0x21, 0, 0, 0, 0, 12, 0, 10, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0 }, 20 },
	{ "SPC-4 4.5.2.4.2: field pointer into the CDB, with a bit",
	  { .key = ILLEGAL_REQUEST, .asc = 0x2400, .has_field = true, .in_cdb = true,
	    .field = 1, .bit = 7 },
	  { 0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0, 0, 0xcf, 0, 1 },
	  { 0x72, 5, 0x24, 0, 0, 0, 0, 8, 2, 6, 0, 0, 0xcf, 0, 1 }, 16 },
	{ "SPC-4 4.5.2.4.2: field pointer into the parameter list, no bit",
	  { .key = ILLEGAL_REQUEST, .asc = 0x2600, .has_field = true, .field = 0x102,
	    .bit = -1 },
	  { 0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x26, 0, 0, 0x80, 1, 2 },
	  { 0x72, 5, 0x26, 0, 0, 0, 0, 8, 2, 6, 0, 0, 0x80, 1, 2 }, 16 },
	{ "SPC-4 4.5.2: two descriptors",
	  { .key = MISCOMPARE, .asc = 0x1d00, .has_info = true, .info = 3, .has_field = true,
	    .in_cdb = true, .field = 2, .bit = 0 },
	  { 0xf0, 0, 14, 0, 0, 0, 3, 10, 0, 0, 0, 0, 0x1d, 0, 0, 0xc8, 0, 2 },
	  { 0x72, 14, 0x1d, 0, 0, 0, 0, 20, 0, 10, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 3,
	    2, 6, 0, 0, 0xc8, 0, 2, 0 }, 28 },
};

static void
test_formats(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t buf[SENSE_DESC_MAX];

		memset(buf, 0xa5, sizeof(buf));
		CHECK_EQ(sense_fixed(buf, &rows[i].s), 18);
		CHECK_MSG(!memcmp(buf, rows[i].fixed, 18), "%s (fixed)", rows[i].what);
		memset(buf, 0xa5, sizeof(buf));
		CHECK_EQ(sense_descriptor(buf, &rows[i].s), rows[i].desc_len);
		CHECK_MSG(!memcmp(buf, rows[i].desc, rows[i].desc_len), "%s (descriptor)",
			  rows[i].what);
	}
}

static void
test_text(void)
{
	CHECK_STR(sense_text(0x2700), "WRITE PROTECTED");
	CHECK_STR(sense_text(ASC_NONE), "NO ADDITIONAL SENSE INFORMATION");
	CHECK(!sense_text(0xffff));
}

/* Each code once: a copied row of the X-list would hide a wrong number. */
static void
test_codes_unique(void)
{
	static const uint16_t codes[] = {
#define CODE(name, value, text) value,
		SCSI_ASC_LIST(CODE)
#undef CODE
	};

	for (size_t i = 1; i < ARRAY_SIZE(codes); i++)
		CHECK_MSG(codes[i] > codes[i - 1], "code %04x is out of order", codes[i]);
}

int
main(void)
{
	TEST(test_formats);
	TEST(test_text);
	TEST(test_codes_unique);
	return tap_done();
}
