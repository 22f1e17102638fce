/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Socket addresses as text.  Pure.
 */
#include "portal/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

void
addr_text(const struct sockaddr_storage *sa, char *buf, size_t size, unsigned *port)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	const char *ok = NULL;
	unsigned n = 0;

	if (sa->ss_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		ok = inet_ntop(AF_INET, &in.sin_addr, buf, (socklen_t)size);
		n = ntohs(in.sin_port);
	} else if (sa->ss_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		ok = inet_ntop(AF_INET6, &in6.sin6_addr, buf, (socklen_t)size);
		n = ntohs(in6.sin6_port);
	}
	if (!ok)
		buf[0] = '\0';
	if (port)
		*port = n;
}
