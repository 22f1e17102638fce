/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text requests of the full feature phase: records of {flags, length, text}.
 * Flags: F, C, 20h: a wrong tag, 10h: begin anew, 01h: a normal session (first record).
 */
#include <stdlib.h>

#include "portal/textreq.h"
#include "proto/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct disco_portal portals[] = { { "192.0.2.1", 3260, 1 }, { "::", 3261, 2 } };
static const struct disco_target targets[] = { { "iqn.x:a", 1 }, { "iqn.x:b", 2 }, { "eui.1", 3 } };
static const uint32_t visible[] = { 1, 2 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool normal = size && (data[0] & 1);
	const struct disco_view view = {
		.targets = targets, .n_targets = ARRAY_SIZE(targets),
		.portals = portals, .n_portals = ARRAY_SIZE(portals),
		.local_addr = "2001:db8::1", .discovery = !normal,
		.visible = visible, .n_visible = ARRAY_SIZE(visible),
		.own_target = normal ? "iqn.x:b" : NULL,
	};
	struct login_limits limits;
	struct iscsi_params params;
	struct textreq_reply reply = { .rsp.ttt = ISCSI_TAG_NONE };
	struct textreq t;

	login_limits_default(&limits);
	iscsi_params_default(&params);
	params.max_send_data = 512;
	textreq_init(&t, &limits, &params, !normal);
	while (size >= 2) {
		uint8_t flags = data[0];
		uint32_t len = MIN(data[1], (uint32_t)size - 2);
		struct pdu_text_req req = {
			.itt = 1,
			.ttt = flags & 0x10 ? ISCSI_TAG_NONE : reply.rsp.ttt ^ (flags & 0x20),
			.final = flags & 0x80, .cont = !(flags & 0x80) && (flags & 0x40),
		};
		uint8_t *text = malloc(len + !len); /* exact: ASan sees a byte too far */

		if (!text)
			break;
		memcpy(text, data + 2, len);
		if (textreq_input(&t, &req, text, len, &view, &reply))
			reply.rsp.ttt = ISCSI_TAG_NONE;
		else if (reply.rsp.data_len > t.keys.params.max_send_data ||
			 reply.rsp.final != (reply.rsp.ttt == ISCSI_TAG_NONE) ||
			 (reply.rsp.final && reply.rsp.cont))
			abort();
		free(text);
		data += 2 + len;
		size -= 2 + len;
	}
	textreq_done(&t);
	return 0;
}
