/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A portal thread with everything around it, for tests: the test's own thread
 * is the initiator (one end of a socket pair), tgt-ctld (answers LunOpen) and
 * the logical unit (serves the lanes, a small memory disk).  The thread and
 * the lanes are the real ones.
 */
#ifndef TESTS_PORTAL_RIG_H
#define TESTS_PORTAL_RIG_H

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "portal/catalog.h"
#include "portal/conn.h"
#include "portal/crc32c.h"
#include "portal/session.h"
#include "portal/thread.h"
#include "proto/scsi.h"
#include "proto/shm.h"

enum {
	RIG_LANES = 8,
	RIG_SLOTS = 64,
	RIG_DISK = 4 << 20,
	RIG_BLOCK = 512,
	RIG_FIRST_SN = 100,
	RIG_WAIT_MS = 30000, /* only a failing test waits that long */
	RIG_QUIET_MS = 50, /* long enough for an answer that must not come */
};

struct rig;

/* One lane as the server has it. */
struct rig_lane {
	struct lane_server *srv;
	void *sub, *status;
	uint8_t *pool;
	int bell_in, bell_out, fds[3];
	uint32_t id, epoch;
	struct lane_taken held[RIG_SLOTS]; /* by slot, while rig->hold */
	bool is_held[RIG_SLOTS];
};

struct rig {
	struct thread th;
	struct mailbox box;
	struct ev_loop *loop;
	struct catalog catalog;
	struct login_limits limits;
	struct iscsi_params params; /* of the next session */
	bool discovery, held_session; /* of the next session */
	int fd; /* the initiator's end */
	uint64_t pool_size;
	uint32_t cmdsn, itt;
	uint8_t lun; /* of the next command */
	struct rig_lane lanes[RIG_LANES];
	int n_lanes;

	/* What the others do. */
	bool hold; /* the server takes requests but does not answer */
	bool hang; /* the server does nothing at all */
	bool hold_open; /* LunOpen is not answered */
	bool refuse; /* every command ends CHECK CONDITION at once */
	bool lie; /* the next data-in is longer than granted */
	uint64_t open_cookie[8];
	int n_open;
	bool spoil_header, spoil_data; /* the next PDU sent has that digest wrong */
	uint8_t ahs[16]; /* of the next PDUs sent; the caller sets TotalAHSLength */
	uint32_t ahs_len;
	bool inline_thread; /* the portal thread is not started: rig_pump runs it */

	/* What was seen. */
	int n_busy; /* reports of LUNs where an ending session has commands */
	struct {
		uint64_t id;
		size_t n;
		uint64_t lun[4];
	} busy; /* the last */
	int n_over, n_released, n_violations, n_submitted;
	uint32_t last_out_ready;
	bool closed; /* the portal closed the connection */
	uint8_t disk[RIG_DISK];
};

/* One PDU from the portal. */
struct rig_pdu {
	uint8_t raw[ISCSI_BHS_LEN];
	uint8_t op;
	uint32_t len;
	uint8_t data[300000];
};

/* ---- ctld -------------------------------------------------------------- */

static inline void
rig_answer_open(struct rig *r, uint64_t cookie)
{
	struct rig_lane *l = &r->lanes[r->n_lanes];
	struct plane_config cfg = { .lane = (uint32_t)++r->n_lanes, .epoch = 1,
				    .nslots = RIG_SLOTS, .pool = (uint32_t)r->n_lanes,
				    .pool_size = r->pool_size };
	struct lane_maps maps = { .nslots = RIG_SLOTS };

	assert(r->n_lanes <= RIG_LANES);
	cfg.fds[0] = shm_create("sub", lane_sub_size(RIG_SLOTS));
	l->fds[1] = shm_create("status", lane_status_size(RIG_SLOTS));
	cfg.fds[2] = shm_create("pool", r->pool_size);
	l->fds[0] = shm_reopen_ro(cfg.fds[0]);
	cfg.fds[1] = shm_reopen_ro(l->fds[1]);
	l->sub = shm_map(l->fds[0], lane_sub_size(RIG_SLOTS), false);
	l->status = shm_map(l->fds[1], lane_status_size(RIG_SLOTS), true);
	l->pool = shm_map(cfg.fds[2], r->pool_size, true);
	assert(l->sub && l->status && l->pool);
	l->bell_in = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l->bell_out = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	cfg.fds[3] = dup(l->bell_out);
	cfg.fds[4] = dup(l->bell_in);
	maps.sub = l->sub;
	maps.status = l->status;
	maps.bell_out = l->bell_out;
	l->id = cfg.lane;
	l->epoch = 1;
	l->srv = lane_srv_attach(&maps, 1, true);
	assert(l->srv);
	lane_srv_serve(l->srv);
	lane_srv_publish(l->srv);
	thread_lun_opened(&r->th, cookie, 0, cfg.lane, &cfg);
}

static inline void
rig_up(void *owner, struct mail *m)
{
	struct rig *r = owner;
	struct up *u = container_of(m, struct up, mail);

	if (u->kind == UP_LUN_OPEN && r->hold_open)
		r->open_cookie[r->n_open++] = u->id;
	else if (u->kind == UP_LUN_OPEN)
		rig_answer_open(r, u->id);
	if (u->kind == UP_SESSION_BUSY) {
		r->n_busy++;
		r->busy.id = u->id;
		r->busy.n = u->n_busy;
		assert(u->n_busy <= ARRAY_SIZE(r->busy.lun));
		memcpy(r->busy.lun, u->busy, u->n_busy * sizeof(u->busy[0]));
	}
	r->n_over += u->kind == UP_SESSION_OVER;
	r->n_released += u->kind == UP_LANE_RELEASED;
	r->n_violations += u->kind == UP_VIOLATION;
	free(u);
}

/* ---- the logical unit -------------------------------------------------- */

/* Copies between the disk and the extents. */
static inline void
rig_move(struct rig *r, struct rig_lane *l, const struct lane_ext *ext, int n, uint64_t off,
	 uint32_t len, bool to_disk)
{
	int i;

	for (i = 0; i < n && len; i++) {
		uint32_t take = MIN(len, ext[i].len);
		uint8_t *p = l->pool + ext[i].off;

		assert(off + take <= RIG_DISK);
		if (to_disk)
			memcpy(r->disk + off, p, take);
		else
			memcpy(p, r->disk + off, take);
		off += take;
		len -= take;
	}
}

static inline void
rig_done(struct rig *r, struct rig_lane *l, const struct lane_taken *t, uint8_t status)
{
	struct lane_rsp *rsp = lane_srv_rsp(l->srv, t->slot);

	rsp->status = status;
	if (status == STATUS_CHECK_CONDITION) {
		memset(rsp->sense, 0, 18);
		rsp->sense[0] = 0x70;
		rsp->sense[2] = ILLEGAL_REQUEST;
		rsp->sense_len = 18;
	}
	lane_srv_done(l->srv, t->slot);
}

static inline void
rig_exec(struct rig *r, struct rig_lane *l, const struct lane_taken *t)
{
	const struct lane_scsi *c = &t->req.u.scsi;
	uint64_t off = (uint64_t)get_be32(c->cdb + 2) * RIG_BLOCK;
	uint32_t len = get_be16(c->cdb + 7) * (uint32_t)RIG_BLOCK;
	struct lane_rsp *rsp = lane_srv_rsp(l->srv, t->slot);

	if (c->cdb[0] == SCSI_READ_10) {
		rsp->in_len = MIN(len, c->edtl_in);
		rsp->in_total = len;
		rig_move(r, l, t->req.in, t->req.n_in, off, rsp->in_len, false);
		if (r->lie)
			rsp->in_len = rsp->in_total = c->edtl_in + 4096;
	} else if (c->cdb[0] == SCSI_WRITE_10) {
		rsp->out_len = len;
		rig_move(r, l, t->req.out, t->req.n_out, off, MIN(len, c->edtl_out), true);
	}
	lane_srv_exec(l->srv, t->slot);
	rig_done(r, l, t, STATUS_GOOD);
}

/* A transfer inside the disk, for which the extents are large enough. */
static inline bool
rig_possible(const struct lane_taken *t)
{
	const struct lane_scsi *c = &t->req.u.scsi;
	uint64_t off = (uint64_t)get_be32(c->cdb + 2) * RIG_BLOCK;
	uint32_t len = get_be16(c->cdb + 7) * (uint32_t)RIG_BLOCK, in = 0, out = 0;
	int i;

	for (i = 0; i < t->req.n_in; i++)
		in += t->req.in[i].len;
	for (i = 0; i < t->req.n_out; i++)
		out += t->req.out[i].len;
	if (c->cdb[0] != SCSI_READ_10 && c->cdb[0] != SCSI_WRITE_10)
		return true;
	return off + len <= RIG_DISK && in >= MIN(len, c->edtl_in) && out >= MIN(len, c->edtl_out);
}

static inline void
rig_submit(struct rig *r, struct rig_lane *l, const struct lane_taken *t)
{
	const struct lane_scsi *c = &t->req.u.scsi;
	uint32_t len = get_be16(c->cdb + 7) * (uint32_t)RIG_BLOCK;

	r->n_submitted++;
	r->last_out_ready = c->out_ready;
	if (t->state == LANE_NONE)
		lane_srv_claim(l->srv, t->slot, t->seq);
	l->held[t->slot] = *t;
	if (t->req.kind == LANE_TMF) {
		uint16_t i;

		for (i = 0; i < RIG_SLOTS; i++) {
			if (l->is_held[i])
				lane_srv_cancelled(l->srv, i);
			l->is_held[i] = false;
		}
		lane_srv_rsp(l->srv, t->slot)->error = 0;
		lane_srv_done(l->srv, t->slot);
	} else if (r->refuse || !rig_possible(t)) {
		rig_done(r, l, t, STATUS_CHECK_CONDITION);
	} else if (c->cdb[0] == SCSI_WRITE_10 && c->out_ready < MIN(len, c->edtl_out)) {
		l->is_held[t->slot] = true;
		lane_srv_want(l->srv, t->slot, MIN(len, c->edtl_out));
	} else if (r->hold) {
		l->is_held[t->slot] = true;
	} else {
		rig_exec(r, l, t);
	}
}

static inline void
rig_serve_lane(struct rig *r, struct rig_lane *l)
{
	struct lane_taken t;
	int rc;

	while ((rc = lane_srv_take(l->srv, &t)) > 0) {
		if (t.op == LANE_SUBMIT) {
			rig_submit(r, l, &t);
		} else if (t.op == LANE_DATA) {
			l->is_held[t.slot] = r->hold;
			if (!r->hold)
				rig_exec(r, l, &l->held[t.slot]);
		} else {
			if (t.state == LANE_NONE)
				lane_srv_claim(l->srv, t.slot, t.seq);
			if (l->is_held[t.slot] || t.state == LANE_NONE)
				lane_srv_cancelled(l->srv, t.slot);
			l->is_held[t.slot] = false;
		}
	}
	assert(rc == 0);
	lane_srv_publish(l->srv);
}

/* Answers what was held. */
static inline void
rig_unhold(struct rig *r)
{
	int i;
	uint16_t s;

	r->hold = false;
	for (i = 0; i < r->n_lanes; i++) {
		for (s = 0; s < RIG_SLOTS; s++) {
			if (r->lanes[i].is_held[s])
				rig_exec(r, &r->lanes[i], &r->lanes[i].held[s]);
			r->lanes[i].is_held[s] = false;
		}
		lane_srv_publish(r->lanes[i].srv);
	}
}

/* A bit of everybody's time: the doorbells are not used by this end. */
static inline void
rig_pump(struct rig *r)
{
	int i;

	ev_run(r->loop, EVRUN_NOWAIT);
	if (r->inline_thread)
		thread_once(&r->th);
	else
		sched_yield();
	for (i = 0; i < r->n_lanes; i++)
		if (r->lanes[i].srv && !r->hang)
			rig_serve_lane(r, &r->lanes[i]);
}

static inline bool
rig_late(struct timespec *start, int ms)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!start->tv_sec)
		*start = now;
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000 >
	       ms;
}

#define RIG_UNTIL(r, cond)                                                     \
	do {                                                                   \
		struct timespec start_ = { 0 };                                \
		while (!(cond) && !rig_late(&start_, RIG_WAIT_MS))                          \
			rig_pump(r);                                           \
		CHECK(cond);                                                   \
	} while (0)

/* ---- the initiator ----------------------------------------------------- */

static inline void
rig_send(struct rig *r, const void *p, size_t n)
{
	while (n) {
		ssize_t k = send(r->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (k < 0 && errno != EAGAIN)
			return;
		if (k > 0) {
			p = (const uint8_t *)p + k;
			n -= (size_t)k;
		}
		if (n)
			rig_pump(r);
	}
}

static inline bool
rig_read(struct rig *r, void *p, size_t n, int ms)
{
	struct timespec start = { 0 };

	while (n && !r->closed) {
		ssize_t k = recv(r->fd, p, n, MSG_DONTWAIT);

		if (k > 0) {
			p = (uint8_t *)p + k;
			n -= (size_t)k;
			continue;
		}
		r->closed = k == 0 || (k < 0 && errno != EAGAIN);
		rig_pump(r);
		if (rig_late(&start, ms))
			return false;
	}
	return !n;
}

/* The digest of what has just been read. */
static inline bool
rig_digest_comes(struct rig *r, const void *p, size_t n)
{
	uint8_t want[ISCSI_DIGEST_LEN], came[ISCSI_DIGEST_LEN] = { 0 };

	crc32c_end(crc32c_feed(crc32c_begin(), p, n), want);
	if (!rig_read(r, came, sizeof(came), RIG_WAIT_MS))
		return false;
	CHECK_MEM(came, want, sizeof(want));
	return true;
}

/* The next PDU; false: none within the time, or closed. */
static inline bool
rig_recv_in(struct rig *r, struct rig_pdu *p, int ms)
{
	uint32_t whole;

	if (!rig_read(r, p->raw, sizeof(p->raw), ms))
		return false;
	if (r->params.header_digest && !rig_digest_comes(r, p->raw, sizeof(p->raw)))
		return false;
	p->op = p->raw[0] & ISCSI_OP_MASK;
	p->len = get_be24(p->raw + BHS_DATA_LEN);
	assert(p->len <= sizeof(p->data) - 4);
	whole = p->len + iscsi_pad(p->len);
	if (!rig_read(r, p->data, whole, RIG_WAIT_MS))
		return false;
	return !whole || !r->params.data_digest || rig_digest_comes(r, p->data, whole);
}

static inline bool
rig_recv(struct rig *r, struct rig_pdu *p)
{
	return rig_recv_in(r, p, RIG_WAIT_MS);
}

/* Nothing comes. */
static inline bool
rig_silent(struct rig *r)
{
	static struct rig_pdu p;

	return !rig_recv_in(r, &p, RIG_QUIET_MS);
}

static inline void
rig_send_pdu(struct rig *r, uint8_t *hdr, const void *data, uint32_t len)
{
	uint8_t tail[4 + ISCSI_DIGEST_LEN] = { 0xa5, 0x5a, 0x77 }, digest[ISCSI_DIGEST_LEN];
	uint32_t crc = crc32c_feed(crc32c_begin(), data, len), pad = iscsi_pad(len);
	uint32_t hcrc;

	put_be24(hdr + BHS_DATA_LEN, len);
	hcrc = crc32c_feed(crc32c_begin(), hdr, ISCSI_BHS_LEN);
	crc32c_end(crc32c_feed(hcrc, r->ahs, r->ahs_len), digest);
	digest[0] ^= r->spoil_header;
	rig_send(r, hdr, ISCSI_BHS_LEN);
	rig_send(r, r->ahs, r->ahs_len);
	if (r->params.header_digest)
		rig_send(r, digest, sizeof(digest));
	rig_send(r, data, len);
	crc32c_end(crc32c_feed(crc, tail, pad), tail + pad);
	tail[pad] ^= r->spoil_data;
	rig_send(r, tail, pad + (len && r->params.data_digest ? ISCSI_DIGEST_LEN : 0));
	r->spoil_header = r->spoil_data = false;
}

enum { RIG_R = ISCSI_CMD_READ, RIG_W = ISCSI_CMD_WRITE, RIG_F = ISCSI_FLAG_FINAL };

/* A SCSI Command with @cmdsn; READ(10) or WRITE(10) of @blocks at @lba by flags,
 * else TEST UNIT READY.  Returns its ITT. */
static inline uint32_t
rig_cmd_sn(struct rig *r, uint32_t cmdsn, uint8_t flags, uint32_t lba, uint16_t blocks,
	   uint32_t edtl, const void *imm, uint32_t imm_len)
{
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_SCSI_CMD };

	h[1] = flags | ISCSI_ATTR_SIMPLE;
	h[9] = r->lun;
	put_be32(h + BHS_ITT, ++r->itt);
	put_be32(h + 20, edtl);
	put_be32(h + BHS_CMD_SN, cmdsn);
	if (flags & (RIG_R | RIG_W)) {
		h[32] = flags & RIG_R ? SCSI_READ_10 : SCSI_WRITE_10;
		put_be32(h + 34, lba);
		put_be16(h + 39, blocks);
	}
	rig_send_pdu(r, h, imm, imm_len);
	return r->itt;
}

static inline uint32_t
rig_cmd(struct rig *r, uint8_t flags, uint32_t lba, uint16_t blocks, const void *imm,
	uint32_t imm_len)
{
	return rig_cmd_sn(r, r->cmdsn++, flags, lba, blocks, blocks * (uint32_t)RIG_BLOCK, imm,
			  imm_len);
}

static inline void
rig_data_out(struct rig *r, uint32_t itt, uint32_t ttt, uint32_t datasn, uint32_t off,
	     const void *data, uint32_t len, bool final)
{
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_DATA_OUT };

	h[1] = final ? ISCSI_FLAG_FINAL : 0;
	put_be32(h + BHS_ITT, itt);
	put_be32(h + BHS_TTT, ttt);
	put_be32(h + 36, datasn);
	put_be32(h + 40, off);
	rig_send_pdu(r, h, data, len);
}

static inline uint32_t
rig_tmf(struct rig *r, uint8_t function, uint32_t ref_itt)
{
	uint8_t h[ISCSI_BHS_LEN] = { ISCSI_OP_TMF_REQ | ISCSI_IMMEDIATE };

	h[1] = ISCSI_FLAG_FINAL | function;
	h[9] = 1;
	put_be32(h + BHS_ITT, ++r->itt);
	put_be32(h + 20, ref_itt);
	put_be32(h + BHS_CMD_SN, r->cmdsn);
	put_be32(h + 32, r->cmdsn - 1);
	rig_send_pdu(r, h, NULL, 0);
	return r->itt;
}

/* ---- life -------------------------------------------------------------- */

static inline void
rig_connect(struct rig *r)
{
	static uint64_t id;
	struct session_offer o = { .id = ++id, .nexus = r->discovery ? 0 : 7,
				   .held = r->held_session };
	int sp[2];

	assert(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sp));
	r->fd = sp[0];
	r->closed = false;
	r->cmdsn = RIG_FIRST_SN;
	o.fd = sp[1];
	o.login.discovery = r->discovery;
	if (r->discovery) {
		o.n_visible = 1;
		o.visible = malloc(sizeof(*o.visible));
		assert(o.visible);
		o.visible[0] = 1;
	}
	o.login.exp_cmd_sn = RIG_FIRST_SN;
	o.login.stat_sn = 1;
	o.login.params = r->params;
	strcpy(o.login.target, "iqn.2024-01.test:t");
	thread_add_session(&r->th, &o);
}

static inline struct rig *
rig_make(bool inline_thread)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert(r);
	r->loop = ev_loop_new(EVFLAG_AUTO);
	mailbox_init(&r->box, r->loop, r);
	catalog_init(&r->catalog);
	catalog_target(&r->catalog, 1, "iqn.2024-01.test:t", "", 1);
	catalog_target(&r->catalog, 2, "iqn.2024-01.test:u", "", 1);
	catalog_portal(&r->catalog, 1, "127.0.0.1", 3260, 1);
	login_limits_default(&r->limits);
	iscsi_params_default(&r->params);
	r->params.max_recv_data = 262144;
	r->params.max_send_data = 8192;
	r->params.max_burst = 65536;
	r->params.first_burst = 65536;
	r->params.max_outstanding_r2t = 2;
	r->params.immediate_data = true;
	r->params.initial_r2t = false;
	r->pool_size = 4 << 20;
	r->fd = -1;
	r->lun = 1;
	assert(!thread_init(&r->th, 0, &r->box, rig_up, &r->catalog, &r->limits));
	r->inline_thread = inline_thread;
	if (!inline_thread)
		assert(!thread_start(&r->th));
	return r;
}

static inline struct rig *
rig_new(void)
{
	return rig_make(false);
}

static inline struct rig *
rig_session(void)
{
	struct rig *r = rig_new();

	rig_connect(r);
	return r;
}

static inline void
rig_drop_lane(struct rig_lane *l, uint64_t pool_size)
{
	lane_srv_free(l->srv);
	shm_unmap(l->sub, lane_sub_size(RIG_SLOTS));
	shm_unmap(l->status, lane_status_size(RIG_SLOTS));
	shm_unmap(l->pool, pool_size);
	close(l->fds[0]);
	close(l->fds[1]);
	close(l->bell_in);
	close(l->bell_out);
}

/* Hangs up and waits until everything is given back. */
static inline void
rig_end(struct rig *r, int sessions)
{
	int i;

	close(r->fd);
	rig_unhold(r);
	RIG_UNTIL(r, r->n_over == sessions && r->n_released == r->n_lanes);
	if (!r->inline_thread)
		thread_stop(&r->th);
	thread_done(&r->th);
	for (i = 0; i < r->n_lanes; i++)
		rig_drop_lane(&r->lanes[i], r->pool_size);
	ev_loop_destroy(r->loop);
	catalog_done(&r->catalog);
	free(r);
}

#endif
