/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TargetName and TargetAddress lines.  Pure.
 */
#include "portal/discovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
is_wildcard(const char *addr)
{
	return !strcmp(addr, "0.0.0.0") || !strcmp(addr, "::");
}

void
discovery_address(const struct disco_view *v, const struct disco_portal *p,
		  struct text_buf *reply)
{
	const char *addr = is_wildcard(p->addr) && v->local_addr ? v->local_addr : p->addr;
	char line[192];
	int n;

	/* An IPv4 peer of a socket that takes both: an initiator wants dotted quad. */
	if (!strncmp(addr, "::ffff:", 7) && strchr(addr, '.'))
		addr += 7;
	n = snprintf(line, sizeof(line), strchr(addr, ':') ? "[%s]:%u,%u" : "%s:%u,%u", addr,
		     (unsigned)p->port, (unsigned)p->tpgt);
	if (n > 0 && (size_t)n < sizeof(line))
		text_add(reply, "TargetAddress", line);
}

static void
add_target(const struct disco_view *v, const struct disco_target *t, struct text_buf *reply)
{
	text_add(reply, "TargetName", t->name);
	for (size_t i = 0; i < v->n_portals; i++)
		discovery_address(v, &v->portals[i], reply);
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool
visible(const struct disco_view *v, const struct disco_target *t)
{
	if (!v->discovery)
		return v->own_target && !strcmp(t->name, v->own_target);
	return v->n_visible && bsearch(&t->id, v->visible, v->n_visible, sizeof(t->id),
				       compare);
}

bool
discovery_send_targets(const struct disco_view *v, struct text_span value,
		       struct text_buf *reply)
{
	bool all = text_equal(value, "All");

	/* Appendix C: All belongs to discovery sessions, nothing to normal ones. */
	if (all && !v->discovery)
		return false;
	if (!value.len) {
		if (v->discovery)
			return false;
		all = true; /* that is visible: the session's own */
	}
	for (size_t i = 0; i < v->n_targets; i++)
		if ((all || text_equal(value, v->targets[i].name)) && visible(v, &v->targets[i]))
			add_target(v, &v->targets[i], reply);
	return true;
}
