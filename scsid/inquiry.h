/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INQUIRY: standard data and vital product data pages.  Pure.
 */
#ifndef SCSID_INQUIRY_H
#define SCSID_INQUIRY_H

#include "scsid/cmd.h"

enum {
	INQUIRY_STANDARD_LEN = 96,
	INQUIRY_VPD_MAX = 1024, /* no page of ours is longer */
};

/* Standard INQUIRY data (SPC-4 6.6.2).  For the inventory worker: peripheral
 * qualifier 011b, device type 1Fh. */
void inquiry_standard(uint8_t buf[INQUIRY_STANDARD_LEN], const struct lu *lu);
/* One vital product data page (SPC-4 7.8).  Returns its length with the header,
 * or -ENOENT: no such page.  The whole page code is compared. */
int inquiry_vpd(uint8_t buf[INQUIRY_VPD_MAX], const struct lu *lu, const struct nexus *n,
		uint8_t page);

enum verdict inquiry_run(struct cmd *c);

#endif
