/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who a rule is about: patterns of initiator names and prefixes of addresses,
 * as an operator writes them and as a login is compared with them.  Pure.
 */
#ifndef CTL_ACCESS_H
#define CTL_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#define ACCESS_ALL "ALL"

enum {
	ACCESS_PATTERN_MAX = 223, /* as an iSCSI name, RFC 7143 4.2.7.1 */
	ACCESS_NET_MAX = 63, /* text of a prefix */
};

enum access_family { ACCESS_ANY = 0, ACCESS_V4 = 4, ACCESS_V6 = 6 };

/* A prefix, or an address (all bits). IPv4-mapped IPv6 is IPv4. */
struct access_net {
	enum access_family family; /* ACCESS_ANY: every address */
	unsigned bits;
	uint8_t addr[16]; /* 4 or 16 bytes, zero behind the prefix */
};

/*
 * A pattern: an iSCSI name in which '*' stands for any bytes and '?' for one;
 * "ALL" and "*" are every name. @out gets it in lower case (the names of RFC
 * 3722 know no other). 0, or -EINVAL: no iSCSI name can match.
 */
int access_parse_pattern(const char *s, char out[ACCESS_PATTERN_MAX + 1]);
/* @pattern comes from access_parse_pattern. */
bool access_name_matches(const char *pattern, const char *name);

/* "192.0.2.0/24", "2001:db8::/32", an address alone, "ALL". 0 or -EINVAL. */
int access_parse_net(const char *s, struct access_net *out);
/* The one text of a prefix. */
void access_print_net(const struct access_net *n, char out[ACCESS_NET_MAX + 1]);
/* Where a login comes from: "192.0.2.1:3260", "[2001:db8::1]:3260". 0 or -EINVAL. */
int access_parse_peer(const char *s, struct access_net *out);
/* @peer comes from access_parse_peer. */
bool access_net_matches(const struct access_net *n, const struct access_net *peer);

#endif
