/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Socket addresses as text.  Numeric, and by hand: getnameinfo(3) opens a
 * socket to name the scope of a link-local address, which the sandbox kills.
 */
#ifndef PORTAL_ADDR_H
#define PORTAL_ADDR_H

#include <stddef.h>
#include <sys/socket.h>

/* "192.0.2.1", "2001:db8::1", or "" for another family.  The port (host order)
 * goes to @port unless it is NULL. */
void addr_text(const struct sockaddr_storage *sa, char *buf, size_t size, unsigned *port);

#endif
