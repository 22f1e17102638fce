/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker-channel datagram from a hostile peer: the bytes go through a real
 * socket and the receive path.  The first byte says how many descriptors come
 * along.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/chan.h"
#include "proto/worker.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(16 * sizeof(int))];
	} ctl = { 0 };
	static int pair[2] = { -1, -1 };
	int fds[16] = { 0 };
	struct iovec iov;
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct chan_msg m;

	if (size < 2)
		return 0;
	if (pair[0] < 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		abort();
	if (*data % 16) {
		struct cmsghdr *c;

		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE(*data % 16 * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(*data % 16 * sizeof(int));
		memcpy(CMSG_DATA(c), fds, *data % 16 * sizeof(int));
	}
	iov.iov_base = (void *)(uintptr_t)(data + 1);
	iov.iov_len = size - 1;
	if (sendmsg(pair[0], &mh, 0) < 0)
		return 0; /* longer than the socket takes */
	if (chan_recv_fd(pair[1], &tgt__worker_msg__descriptor, &m) == 1) {
		/* What was understood must pack again, into as much as it says.
		 * (Not: be understood again; protobuf-c lets a two-byte tag 0
		 * pass as an unknown field and packs it as one byte.) */
		size_t len = protobuf_c_message_get_packed_size(m.body);
		uint8_t *packed = malloc(len ? len : 1);

		if (!packed || protobuf_c_message_pack(m.body, packed) != len)
			abort();
		free(packed);
	}
	chan_msg_done(&m);
	return 0;
}
