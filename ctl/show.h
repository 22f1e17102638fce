/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How tgt-ctl prints what tgt-ctld answered: tables for people, JSON with
 * stable keys (the field names of proto/control.proto) for programs.
 */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <stdio.h>

#include "proto/control.pb-c.h"

enum show_what { /* bits */
	SHOW_TARGETS = 1,
	SHOW_LUNS = 2,
	SHOW_MAPPINGS = 4,
	SHOW_PORTALS = 8,
	SHOW_SESSIONS = 16,
	SHOW_ACCESS = 32,
	SHOW_ALL = 63,
};

/* All datagrams of one answer, in order. */
struct answer {
	const Tgt__ControlReply **r;
	size_t n;
};

/* Aligned tables; with @title one line above each, and none for empty ones
 * unless it is the only one asked for.  0 or -ENOMEM. */
int show_text(FILE *out, const struct answer *a, unsigned what);
/* One object with an array for each kind asked for.  0 or -ENOMEM. */
int show_json(FILE *out, const struct answer *a, unsigned what);

#endif
