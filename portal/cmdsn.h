/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command numbering of a session (RFC 7143 4.2.2.1): which CmdSN is next, what
 * is ahead, what is to be ignored, and how far MaxCmdSN reaches.  Pure.
 */
#ifndef PORTAL_CMDSN_H
#define PORTAL_CMDSN_H

#include <stdbool.h>
#include <stdint.h>

enum { CMDSN_WINDOW = 128 }; /* commands of a session at a time; a power of two */

struct cmdsn {
	uint32_t exp; /* ExpCmdSN */
	uint32_t max; /* MaxCmdSN as last announced: never goes back */
	uint32_t window; /* 1..CMDSN_WINDOW */
	uint32_t in_use; /* commands that hold a place of the window */
};

enum cmdsn_verdict {
	CMDSN_NEXT, /* the one expected */
	CMDSN_AHEAD, /* inside the window, others are missing */
	CMDSN_IGNORE, /* outside: silently ignored (RFC 7143 4.2.2.1) */
};

/* a <= b in serial number arithmetic (RFC 1982, SERIAL_BITS 32). */
static inline bool
sn_le(uint32_t a, uint32_t b)
{
	return b - a < 0x80000000u;
}

static inline void
cmdsn_init(struct cmdsn *s, uint32_t first)
{
	s->exp = first;
	s->window = CMDSN_WINDOW;
	s->in_use = 0;
	s->max = first + s->window - 1;
}

static inline enum cmdsn_verdict
cmdsn_check(const struct cmdsn *s, uint32_t sn)
{
	if (sn == s->exp)
		return sn_le(sn, s->max) ? CMDSN_NEXT : CMDSN_IGNORE;
	if (sn_le(s->exp, sn) && sn_le(sn, s->max))
		return CMDSN_AHEAD;
	return CMDSN_IGNORE;
}

/* The MaxCmdSN to announce now.  A window that shrank takes effect as commands
 * arrive: what was announced is never taken back. */
static inline uint32_t
cmdsn_max(struct cmdsn *s)
{
	uint32_t room = s->in_use < s->window ? s->window - s->in_use : 0;
	uint32_t max = s->exp + room - 1;

	if (sn_le(s->max, max))
		s->max = max;
	return s->max;
}

#endif
