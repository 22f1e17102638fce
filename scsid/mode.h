/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mode pages of a disk, read only: there is no MODE SELECT yet, so no field is
 * changeable and default equals current.  Pure.
 */
#ifndef SCSID_MODE_H
#define SCSID_MODE_H

#include "scsid/cmd.h"

enum mode_pc { MODE_CURRENT = 0, MODE_CHANGEABLE = 1, MODE_DEFAULT = 2, MODE_SAVED = 3 };

enum { MODE_PAGES_MAX = 128 }; /* bytes: all pages of ours together */

/* The mode pages that PAGE CODE and SUBPAGE CODE ask for (SPC-4 6.13.1 table 181):
 * 3Fh all pages, FFh all subpages.  @pc is not MODE_SAVED.  Returns the bytes
 * written; 0: there is no such page. */
size_t mode_pages(uint8_t buf[MODE_PAGES_MAX], const struct lu *lu, uint8_t page,
		  uint8_t subpage, enum mode_pc pc);

enum verdict mode_sense_6(struct cmd *c); /* SPC-4 6.13 */
enum verdict mode_sense_10(struct cmd *c); /* SPC-4 6.14 */

#endif
