/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One session under load: commands go out in batches, one recv takes all that
 * has come, and what the target says is checked: numbering, offsets, lengths,
 * status.  An answer that can be counted and passed over is; one after which
 * the stream cannot be trusted ends the program.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/scsi.h"
#include "proto/util.h"
#include "tests/tools/load/load.h"

enum { SPARE_PDUS = 64, IOVS_AT_ONCE = 1024 };

static void
place(struct session *s, unsigned depth)
{
	struct load *l = s->load;
	uint64_t all = s->blocks / (l->block / s->block_len), from = all * s->id / l->sessions;

	s->chunks = all;
	s->next = from;
	if (!l->verify)
		return;
	s->first = from;
	s->next = 0;
	s->chunks = MIN(all * (s->id + 1) / l->sessions - from, VERIFY_CHUNKS);
	if (s->chunks < depth)
		die(s, "the logical unit is too small for --verify with %u sessions of depth %u",
		    l->sessions, depth);
	s->map = xcalloc(s->chunks, sizeof(*s->map));
}

/* Room for everything that can be queued at a time, and some NOP-Outs. */
void
session_prepare(struct session *s, unsigned depth)
{
	struct load *l = s->load;
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	s->hdr_max = SPARE_PDUS + 2 * depth * (2 + l->block / MIN(s->max_seg, s->max_burst));
	s->hdr = xcalloc(s->hdr_max, sizeof(*s->hdr));
	s->iov = xcalloc(s->hdr_max, 2 * sizeof(*s->iov));
	if (depth) {
		s->req = xcalloc(depth, sizeof(*s->req));
		s->free = xcalloc(depth, sizeof(*s->free));
		place(s, depth);
	}
	for (unsigned i = depth; i--;) {
		s->free[s->n_free++] = i;
		if (l->verify)
			s->req[i].buf = xcalloc(1, l->block + 4);
	}
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->fd, &ev))
		die(s, "epoll_ctl: %s", strerror(errno));
}

void
session_close(struct session *s)
{
	for (unsigned i = 0; s->load->verify && s->req && i < s->load->depth; i++)
		free(s->req[i].buf);
	free(s->req);
	free(s->free);
	free(s->map);
	free(s->hdr);
	free(s->iov);
	close(s->fd);
}

/* ---- to the target ---------------------------------------------------------- */

/* Queues a PDU; the caller fills in the rest of its header.  @data is borrowed. */
static uint8_t *
queue(struct session *s, uint8_t opcode, uint8_t flags, const uint8_t *data, uint32_t len)
{
	uint8_t *h;

	if (s->hdr_used == s->hdr_max)
		die(s, "the target asks for more than the commands have, or does not read");
	h = s->hdr[s->hdr_used++];
	memset(h, 0, ISCSI_BHS_LEN);
	h[BHS_OPCODE] = opcode;
	h[BHS_FLAGS] = flags;
	put_be24(h + BHS_DATA_LEN, len);
	put_be32(h + BHS_EXP_STAT_SN, s->exp_stat_sn);
	s->iov[s->iov_queued++] = (struct iovec){ h, ISCSI_BHS_LEN };
	if (len) /* buffers are 4 bytes longer than a block: padding */
		s->iov[s->iov_queued++] =
			(struct iovec){ (void *)(uintptr_t)data, len + iscsi_pad(len) };
	return h;
}

static const uint8_t *
data_of(const struct session *s, const struct req *r)
{
	return s->load->verify ? r->buf : s->load->tx;
}

static void
issue(struct session *s, unsigned tag, uint64_t now)
{
	struct load *l = s->load;
	struct req *r = &s->req[tag];
	uint32_t now_len;
	uint8_t *h;

	*r = (struct req){ .start_ns = now, .buf = r->buf, .busy = true };
	r->chunk = s->first + (l->sequential ? s->next : random_below(l, s->chunks));
	s->next = (s->next + 1) % s->chunks;
	r->write = l->read_pct < 100 && random_below(l, 100) >= l->read_pct;
	if (l->verify)
		verify_pick(s, r);
	now_len = r->write ? MIN(s->immediate, l->block) : 0;
	r->done = now_len;
	h = queue(s, ISCSI_OP_SCSI_CMD,
		  ISCSI_FLAG_FINAL | (r->write ? ISCSI_CMD_WRITE : ISCSI_CMD_READ) |
			  ISCSI_ATTR_SIMPLE,
		  data_of(s, r), now_len);
	memcpy(h + BHS_LUN, s->lun, 8);
	put_be32(h + BHS_ITT, tag);
	put_be32(h + CMD_EDTL, l->block);
	put_be32(h + BHS_CMD_SN, s->cmd_sn++);
	h[CMD_CDB] = r->write ? SCSI_WRITE_16 : SCSI_READ_16;
	put_be64(h + CMD_CDB + 2, r->chunk * (l->block / s->block_len));
	put_be32(h + CMD_CDB + 10, l->block / s->block_len);
	l->inflight++;
}

static void
arm(struct session *s, bool blocked)
{
	struct epoll_event ev = { .events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.ptr = s };

	if (blocked != s->blocked)
		epoll_ctl(s->load->epoll, EPOLL_CTL_MOD, s->fd, &ev);
	s->blocked = blocked;
}

static void
flush(struct session *s)
{
	while (s->iov_sent < s->iov_queued) {
		struct msghdr m = { .msg_iov = s->iov + s->iov_sent,
				    .msg_iovlen = MIN(s->iov_queued - s->iov_sent, IOVS_AT_ONCE) };
		ssize_t n = sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			arm(s, true);
			return;
		}
		if (n < 0)
			die(s, "send: %s", strerror(errno));
		while (n) {
			struct iovec *v = &s->iov[s->iov_sent];
			size_t part = MIN((size_t)n, v->iov_len);

			v->iov_base = (uint8_t *)v->iov_base + part;
			v->iov_len -= part;
			n -= (ssize_t)part;
			if (!v->iov_len)
				s->iov_sent++;
		}
	}
	s->iov_sent = s->iov_queued = s->hdr_used = 0;
	arm(s, false);
}

void
session_send(struct session *s)
{
	uint64_t now = s->n_free ? clock_ns(CLOCK_MONOTONIC) : 0;

	if (s->blocked)
		flush(s);
	/* nothing new behind a full socket: this bounds the queue */
	while (!s->blocked && !s->load->draining && s->n_free &&
	       !iscsi_sn_lt(s->max_cmd_sn, s->cmd_sn))
		issue(s, s->free[--s->n_free], now);
	if (s->iov_queued && !s->blocked)
		flush(s);
}

/* ---- from the target -------------------------------------------------------- */

static struct req *
find(struct session *s)
{
	uint32_t tag = get_be32(s->bhs + BHS_ITT);

	if (!s->req || tag >= s->load->depth || !s->req[tag].busy)
		die(s, "PDU %02x for task %08x, which is none", s->bhs[BHS_OPCODE], tag);
	return &s->req[tag];
}

static void
finish(struct session *s, uint64_t now)
{
	struct load *l = s->load;
	struct req *r = find(s);
	uint8_t status = s->bhs[RSP_STATUS];
	bool is_rsp = (s->bhs[BHS_OPCODE] & ISCSI_OP_MASK) == ISCSI_OP_SCSI_RSP;
	bool good = false;

	if (is_rsp && s->bhs[RSP_RESPONSE])
		complain(s, "iSCSI response %02x", s->bhs[RSP_RESPONSE]);
	else if (status == STATUS_CHECK_CONDITION && s->sense_len >= 16)
		complain(s, "CHECK CONDITION, sense key %x, ASC/ASCQ %02x/%02x", s->sense[4] & 0xf,
			 s->sense[14], s->sense[15]);
	else if (status)
		complain(s, "SCSI status %02x", status);
	else if (s->bhs[BHS_FLAGS] & (ISCSI_RSP_OVERFLOW | ISCSI_RSP_UNDERFLOW))
		complain(s, "residual of a whole transfer, flags %02x", s->bhs[BHS_FLAGS]);
	else if (r->done != l->block && !r->bad)
		complain(s, "%s ended GOOD after %u of %u bytes", r->write ? "WRITE" : "READ",
			 r->done, l->block);
	else
		good = !r->bad && (!l->verify || r->write || verify_read(s, r));
	if (good && l->measuring && !l->draining) {
		hist_add(&l->hist, now - r->start_ns);
		l->ios++;
	}
	if (l->verify)
		verify_end(s, r, good);
	r->busy = false;
	s->free[s->n_free++] = (unsigned)(r - s->req);
	l->inflight--;
	l->progress_ns = now;
}

/* A PDU that carries a status is numbered, RFC 7143 4.2.2.2. */
static void
number(struct session *s)
{
	uint32_t sn = get_be32(s->bhs + BHS_STAT_SN);

	if (sn != s->exp_stat_sn)
		complain(s, "StatSN %u, wanted %u", sn, s->exp_stat_sn);
	s->exp_stat_sn = sn + 1;
}

static void
on_data_in(struct session *s)
{
	struct req *r = find(s);
	uint32_t off = get_be32(s->bhs + DATA_OFFSET), sn = get_be32(s->bhs + DATA_SN);
	uint32_t len = s->data_left;

	if (r->write || sn != r->sn || off != r->done || len > s->load->block - r->done) {
		if (!r->bad)
			complain(s, "Data-In %u at %u, %u bytes; wanted %u at %u of %u", sn, off,
				 len, r->sn, r->done, s->load->block);
		r->bad = true;
		return;
	}
	if (s->load->verify)
		s->into = r->buf + off;
	r->sn++;
	r->done += len;
}

static void
on_r2t(struct session *s)
{
	struct req *r = find(s);
	uint32_t off = get_be32(s->bhs + DATA_OFFSET), len = get_be32(s->bhs + R2T_LENGTH);
	uint32_t r2t_sn = get_be32(s->bhs + DATA_SN), sn = 0;

	if (!r->write || r2t_sn != r->sn || off != r->done || !len || len > s->max_burst ||
	    len > s->load->block - r->done)
		die(s, "R2T %u at %u, %u bytes; wanted %u at %u of %u", r2t_sn, off, len, r->sn,
		    r->done, s->load->block);
	r->sn++;
	r->done += len;
	while (len) {
		uint32_t part = MIN(len, s->max_seg);
		uint8_t *h = queue(s, ISCSI_OP_DATA_OUT, part == len ? ISCSI_FLAG_FINAL : 0,
				   data_of(s, r) + off, part);

		memcpy(h + BHS_LUN, s->bhs + BHS_LUN, 16); /* LUN, ITT and TTT, 11.7, 11.8 */
		put_be32(h + DATA_SN, sn++);
		put_be32(h + DATA_OFFSET, off);
		off += part;
		len -= part;
	}
}

static void
on_nop_in(struct session *s)
{
	uint8_t *h;

	if (get_be32(s->bhs + BHS_ITT) != ISCSI_TAG_NONE)
		die(s, "NOP-In that answers nothing");
	if (get_be32(s->bhs + BHS_TTT) == ISCSI_TAG_NONE)
		return;
	h = queue(s, ISCSI_IMMEDIATE | ISCSI_OP_NOP_OUT, ISCSI_FLAG_FINAL, NULL, 0);
	memcpy(h + BHS_LUN, s->bhs + BHS_LUN, 8);
	put_be32(h + BHS_ITT, ISCSI_TAG_NONE);
	memcpy(h + BHS_TTT, s->bhs + BHS_TTT, 4);
	put_be32(h + BHS_CMD_SN, s->cmd_sn);
}

/* The header is here; its data follows. */
static void
pdu_begins(struct session *s)
{
	uint32_t max = get_be32(s->bhs + BHS_MAX_CMD_SN);

	s->data_left = get_be24(s->bhs + BHS_DATA_LEN);
	s->pad_left = iscsi_pad(s->data_left);
	s->into = NULL;
	s->sense_len = 0;
	if (s->bhs[BHS_AHS_WORDS] || s->data_left > OUR_MRDSL)
		die(s, "PDU %02x with an AHS or %u bytes of data", s->bhs[BHS_OPCODE],
		    s->data_left);
	if (iscsi_sn_lt(s->max_cmd_sn, max))
		s->max_cmd_sn = max;
	if ((s->bhs[BHS_OPCODE] & ISCSI_OP_MASK) == ISCSI_OP_DATA_IN)
		on_data_in(s);
}

static void
pdu_ends(struct session *s, uint64_t now)
{
	switch (s->bhs[BHS_OPCODE] & ISCSI_OP_MASK) {
	case ISCSI_OP_DATA_IN:
		if (!(s->bhs[BHS_FLAGS] & ISCSI_DATA_IN_STATUS))
			return;
		/* fall through */
	case ISCSI_OP_SCSI_RSP:
		number(s);
		finish(s, now);
		return;
	case ISCSI_OP_R2T:
		on_r2t(s);
		return;
	case ISCSI_OP_NOP_IN:
		on_nop_in(s);
		return;
	default:
		die(s, "PDU %02x (asynchronous event or Reject), reason %02x", s->bhs[BHS_OPCODE],
		    s->bhs[RSP_RESPONSE]);
	}
}

static size_t
take_data(struct session *s, const uint8_t *p, size_t n)
{
	size_t part = MIN(n, s->data_left);

	if (s->into) {
		memcpy(s->into, p, part);
		s->into += part;
	} else if (s->sense_len < sizeof(s->sense)) {
		size_t few = MIN(part, sizeof(s->sense) - s->sense_len);

		memcpy(s->sense + s->sense_len, p, few);
		s->sense_len += (uint32_t)few;
	}
	s->data_left -= (uint32_t)part;
	return part;
}

static void
consume(struct session *s, const uint8_t *p, size_t n, uint64_t now)
{
	while (n) {
		size_t part;

		if (s->have < ISCSI_BHS_LEN) {
			part = MIN(n, ISCSI_BHS_LEN - s->have);
			memcpy(s->bhs + s->have, p, part);
			s->have += (unsigned)part;
			if (s->have == ISCSI_BHS_LEN)
				pdu_begins(s);
		} else if (s->data_left) {
			part = take_data(s, p, n);
		} else {
			part = MIN(n, s->pad_left);
			s->pad_left -= (uint32_t)part;
		}
		p += part;
		n -= part;
		if (s->have == ISCSI_BHS_LEN && !s->data_left && !s->pad_left) {
			s->have = 0;
			pdu_ends(s, now);
		}
	}
}

void
session_receive(struct session *s)
{
	ssize_t n;

	do {
		n = recv(s->fd, s->load->rx, RX_BYTES, MSG_DONTWAIT);
		if (!n)
			die(s, "the target closed the connection");
		if (n < 0 && errno != EAGAIN)
			die(s, "recv: %s", strerror(errno));
		if (n > 0)
			consume(s, s->load->rx, (size_t)n, clock_ns(CLOCK_MONOTONIC));
	} while (n == RX_BYTES);
}
