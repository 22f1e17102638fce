/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Name patterns and address prefixes: see access.h.  Pure.
 */
#include "ctl/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/util.h"

static unsigned char
lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : c;
}

/* ---- names ----------------------------------------------------------- */

/* What a name of RFC 7143 4.2.7 can hold; '_' because initiators use it, and
 * the bytes of UTF-8. */
static bool
pattern_byte(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80 ||
	       (c && strchr(".:-_*?", c));
}

/* A rule that can never match is a slip of the pen, such as an address. */
static bool
can_be_name(const char *p)
{
	static const char *const types[] = { "iqn.", "eui.", "naa." };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		size_t n = 0;

		while (n < 4 && (p[n] == types[i][n] || p[n] == '?'))
			n++;
		if (n == 4 || p[n] == '*')
			return true;
	}
	return false;
}

int
access_parse_pattern(const char *s, char out[ACCESS_PATTERN_MAX + 1])
{
	size_t n = strlen(s);

	if (!strcmp(s, ACCESS_ALL) || !strcmp(s, "*")) {
		strcpy(out, ACCESS_ALL);
		return 0;
	}
	if (n > ACCESS_PATTERN_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		out[i] = (char)lower((unsigned char)s[i]);
		if (!pattern_byte((unsigned char)out[i]))
			return -EINVAL;
	}
	out[n] = 0;
	return can_be_name(out) ? 0 : -EINVAL;
}

/* Only the last '*' is ever tried again, so this takes at most the product of
 * the two lengths. */
bool
access_name_matches(const char *pattern, const char *name)
{
	const char *p = pattern, *star = NULL, *mark = NULL;

	if (!strcmp(pattern, ACCESS_ALL))
		return true;
	while (*name) {
		if (*p == '*') {
			star = ++p;
			mark = name;
		} else if (*p && (*p == '?' || (unsigned char)*p == lower((unsigned char)*name))) {
			p++;
			name++;
		} else if (star) {
			p = star;
			name = ++mark;
		} else {
			return false;
		}
	}
	while (*p == '*')
		p++;
	return !*p;
}

/* ---- addresses ------------------------------------------------------- */

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }; /* RFC 4291 2.5.5.2 */

/* Clears what is behind the prefix. */
static void
mask(struct access_net *n)
{
	for (unsigned i = 0; i < sizeof(n->addr); i++) {
		unsigned keep = n->bits > 8 * i ? MIN(n->bits - 8 * i, 8u) : 0;

		n->addr[i] &= (uint8_t)(0xff00 >> keep);
	}
}

/* An address with all its bits; IPv4-mapped IPv6 stays IPv6. */
static int
parse_addr(const char *s, struct access_net *out)
{
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, s, out->addr) == 1) {
		out->family = ACCESS_V4;
		out->bits = 32;
		return 0;
	}
	if (inet_pton(AF_INET6, s, out->addr) != 1)
		return -EINVAL;
	out->family = ACCESS_V6;
	out->bits = 128;
	return 0;
}

static void
unmap(struct access_net *n)
{
	if (n->family != ACCESS_V6 || n->bits < 96 || memcmp(n->addr, mapped, sizeof(mapped)))
		return;
	n->family = ACCESS_V4;
	n->bits -= 96;
	memmove(n->addr, n->addr + 12, 4);
	memset(n->addr + 4, 0, 12);
}

/* 0..@max in decimal without leading zeros, or -1. */
static int
parse_bits(const char *s, unsigned max)
{
	unsigned n = 0;

	if (!*s || strlen(s) > 3 || (s[0] == '0' && s[1]))
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		n = n * 10 + (unsigned)(*s - '0');
	}
	return n <= max ? (int)n : -1;
}

int
access_parse_net(const char *s, struct access_net *out)
{
	const char *slash = strchr(s, '/');
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	char addr[INET6_ADDRSTRLEN];
	int bits;

	if (!strcmp(s, ACCESS_ALL)) {
		memset(out, 0, sizeof(*out));
		return 0;
	}
	if (n >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, s, n);
	addr[n] = 0;
	if (parse_addr(addr, out))
		return -EINVAL;
	bits = slash ? parse_bits(slash + 1, out->bits) : (int)out->bits;
	if (bits < 0)
		return -EINVAL;
	out->bits = (unsigned)bits;
	mask(out);
	unmap(out);
	return 0;
}

void
access_print_net(const struct access_net *n, char out[ACCESS_NET_MAX + 1])
{
	bool v4 = n->family == ACCESS_V4;
	char addr[INET6_ADDRSTRLEN];

	if (n->family == ACCESS_ANY) {
		strcpy(out, ACCESS_ALL);
		return;
	}
	inet_ntop(v4 ? AF_INET : AF_INET6, n->addr, addr, sizeof(addr));
	if (n->bits == (v4 ? 32 : 128))
		strcpy(out, addr);
	else
		snprintf(out, ACCESS_NET_MAX + 1, "%s/%u", addr, n->bits);
}

int
access_parse_peer(const char *s, struct access_net *out)
{
	const char *end = *s == '[' ? strchr(++s, ']') : strchr(s, ':');
	char addr[INET6_ADDRSTRLEN];

	if (!end || (size_t)(end - s) >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, s, (size_t)(end - s));
	addr[end - s] = 0;
	if (parse_addr(addr, out))
		return -EINVAL;
	unmap(out);
	return 0;
}

bool
access_net_matches(const struct access_net *n, const struct access_net *peer)
{
	struct access_net p = *peer;

	if (n->family == ACCESS_ANY)
		return true;
	if (n->family != p.family)
		return false;
	p.bits = n->bits;
	mask(&p);
	return !memcmp(n->addr, p.addr, sizeof(p.addr));
}
