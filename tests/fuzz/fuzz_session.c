/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of an initiator that has logged in: the whole portal thread, with a
 * logical unit behind it.  Whatever comes, the session must end cleanly when
 * the connection does: no command, slot, extent or lane stays behind.
 */
#include "tests/unit/tap.h"

#include "tests/unit/portal_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t sink[65536];
	struct rig *r = rig_make(true);
	int i;

	r->params.initial_r2t = size & 1;
	r->pool_size = 1 << 20;
	rig_connect(r);
	while (size && !r->closed) {
		ssize_t n = send(r->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
		r->closed = n < 0 && errno != EAGAIN;
		for (i = 0; i < 4; i++)
			rig_pump(r);
		while (recv(r->fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
			rig_pump(r);
	}
	tap_bad = 0;
	rig_end(r, 1);
	assert(!tap_bad);
	return 0;
}
