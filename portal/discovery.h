/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The answer to SendTargets (RFC 7143 appendix C and 13.3): TargetName and its
 * TargetAddress lines.  Pure.  Which targets an initiator may see is decided
 * by tgt-ctld and comes with the view.
 */
#ifndef PORTAL_DISCOVERY_H
#define PORTAL_DISCOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "portal/text.h"

struct disco_portal {
	const char *addr; /* numeric, without brackets: "192.0.2.1", "2001:db8::1" */
	uint16_t port;
	uint16_t tpgt;
};

struct disco_target {
	const char *name;
	uint32_t id;
};

struct disco_view {
	const struct disco_target *targets;
	size_t n_targets;
	const struct disco_portal *portals; /* every target is behind all of them */
	size_t n_portals;
	/* The local address of the asking connection, numeric: shown in place of
	 * the wildcard addresses 0.0.0.0 and ::. */
	const char *local_addr;
	bool discovery; /* session type */
	/* Of a discovery session: ids of the targets it may see, ascending. */
	const uint32_t *visible;
	size_t n_visible;
	const char *own_target; /* of a normal session, else NULL */
};

/*
 * Appends the answer to SendTargets=@value.  "All" in discovery sessions only;
 * a name; empty means the session's own target.  A normal session sees its
 * own target only.  False: the value is not allowed here, answer Reject.  A
 * target that is unknown gives no lines.
 */
bool discovery_send_targets(const struct disco_view *v, struct text_span value,
			    struct text_buf *reply);

/* "addr:port,tpgt", IPv6 in brackets, IPv4-mapped IPv6 as IPv4. */
void discovery_address(const struct disco_view *v, const struct disco_portal *p,
		       struct text_buf *reply);

#endif
