/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of tgt-run's command line and of what it prints.  Pure. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ctl/run_rules.h"
#include "proto/util.h"

static int
parse_port(const char *s, uint32_t *port)
{
	uint32_t n = 0;

	if (!*s || strlen(s) > 5)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		n = n * 10 + (uint32_t)(*s - '0');
	}
	if (n > 65535)
		return -EINVAL;
	*port = n;
	return 0;
}

int
run_parse_portal(const char *s, char addr[64], uint32_t *port)
{
	struct in6_addr in;
	const char *end = s + strlen(s), *rest = end;
	int family = AF_INET;

	if (*s == '[') {
		end = strchr(++s, ']');
		if (!end)
			return -EINVAL;
		rest = end + 1;
		family = AF_INET6;
	} else if (inet_pton(AF_INET6, s, &in) == 1) {
		family = AF_INET6; /* a bare IPv6 address has no port */
	} else if (strchr(s, ':')) {
		rest = end = strchr(s, ':');
	}
	if ((size_t)(end - s) >= 64)
		return -EINVAL;
	memcpy(addr, s, (size_t)(end - s));
	addr[end - s] = 0;
	if (inet_pton(family, addr, &in) != 1)
		return -EINVAL;
	*port = 0;
	if (!*rest)
		return 0;
	return *rest == ':' ? parse_port(rest + 1, port) : -EINVAL;
}

static const char units[] = "KMGTPE";

int
run_parse_size(const char *s, uint64_t *size)
{
	uint64_t n = 0;
	unsigned shift = 0;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (unsigned)(*s - '0'), &n))
			return -ERANGE;
	}
	if (*s) {
		const char *u = strchr(units, *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);

		if (!u)
			return -EINVAL;
		shift = 10 * ((unsigned)(u - units) + 1);
		s++;
		if (*s && strcasecmp(s, "iB")) /* 1G and 1GiB are the same */
			return -EINVAL;
	}
	if (__builtin_mul_overflow(n, UINT64_C(1) << shift, &n))
		return -ERANGE;
	*size = n;
	return 0;
}

static const char *
file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

void
run_lun_name(const char *path, unsigned n, char out[RUN_INSTANCE_MAX + 1])
{
	const char *name = file_name(path);
	char tail[16] = "";
	size_t len = strlen(name), room;

	if (n > 1)
		snprintf(tail, sizeof(tail), "-%u", n);
	room = RUN_INSTANCE_MAX - strlen(tail);
	len = MIN(len, room);
	for (size_t i = 0; i < len; i++)
		out[i] = is_alnum(name[i]) || strchr("._-", name[i]) ? name[i] : '-';
	if (!len)
		out[len++] = 'x';
	strcpy(out + len, tail);
	if (!strcmp(out, "inventory")) /* is no legal LUN name (docs/protocol.md) */
		strcpy(out, "inventory-1");
}

void
run_target_name(const char *path, char out[RUN_IQN_MAX + 1])
{
	const char *name = file_name(path);
	size_t len = (size_t)snprintf(out, RUN_IQN_MAX + 1, "iqn.2026-11.org.tgt-ng:");

	if (!*name)
		name = "disk";
	for (; *name && len < RUN_IQN_MAX; name++) {
		char c = *name;

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		out[len++] = is_alnum(c) || strchr(".-", c) ? c : '-';
	}
	out[len] = 0;
}

void
run_human_size(uint64_t bytes, char out[32])
{
	uint64_t unit = 1;
	int i = -1;

	while (i < (int)sizeof(units) - 2 && bytes / unit >= 1024) {
		unit <<= 10;
		i++;
	}
	if (i < 0)
		snprintf(out, 32, "%llu bytes", (unsigned long long)bytes);
	else
		snprintf(out, 32, "%llu.%llu %ciB", (unsigned long long)(bytes / unit),
			 (unsigned long long)(bytes % unit * 10 / unit), units[i]);
}
