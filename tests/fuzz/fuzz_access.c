/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parsers of access rules, over three lines: a pattern, a prefix, and the
 * name or the address that is compared with them.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_pattern(const char *s, const char *name)
{
	char once[ACCESS_PATTERN_MAX + 1], twice[ACCESS_PATTERN_MAX + 1];

	if (access_parse_pattern(s, once))
		return;
	if (access_parse_pattern(once, twice) || strcmp(once, twice))
		abort();
	/* Without a wildcard it matches itself. */
	if (strcmp(once, ACCESS_ALL) && !strpbrk(once, "*?") && !access_name_matches(once, once))
		abort();
	access_name_matches(once, name);
}

static void
try_net(const char *s, const char *peer_text)
{
	char text[ACCESS_NET_MAX + 1];
	struct access_net n, again, peer;

	if (access_parse_net(s, &n))
		return;
	access_print_net(&n, text);
	if (access_parse_net(text, &again) || memcmp(&n, &again, sizeof(n)))
		abort();
	if (n.family && !access_net_matches(&n, &n)) /* its first address is inside */
		abort();
	if (!access_parse_peer(peer_text, &peer) && n.family && n.family != peer.family &&
	    access_net_matches(&n, &peer))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *at = text; /* exact: ASan sees a byte too far */
	char *line[3] = { NULL };

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	for (int i = 0; i < 3; i++) {
		line[i] = at;
		at += strcspn(at, "\n");
		if (*at)
			*at++ = 0;
	}
	try_pattern(line[0], line[2]);
	try_net(line[1], line[2]);
	free(text);
	return 0;
}
