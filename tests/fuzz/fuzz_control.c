/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operators' datagrams, through unpacking and every verb, on one model.
 * Input: {what happens next, length / 256, length % 256, datagram}...
 */
#include "tests/unit/verbs_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int client;

	rig_begin();
	while (size > 3) {
		size_t n = (size_t)data[1] << 8 | data[2];
		Tgt__ControlRequest *req;

		R.save_error = data[0] & 1 ? ENOSPC : 0;
		R.listen_error = data[0] & 2 ? EADDRINUSE : 0;
		n = MIN(n, size - 3);
		req = tgt__control_request__unpack(NULL, n, data + 3);
		if (req)
			verbs_request(&R.v, &client, req);
		if (req)
			tgt__control_request__free_unpacked(req, NULL);
		rig_obey();
		if (data[0] & 4)
			rig_stores(!(data[0] & 8));
		if (data[0] & 16)
			verbs_tick(&R.v);
		if (R.largest > 65536)
			abort();
		data += 3 + n;
		size -= 3 + n;
	}
	rig_end();
	return 0;
}
