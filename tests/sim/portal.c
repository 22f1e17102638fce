/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A portal thread as the simulation needs it: the submitter of one upper lane,
 * with real lane code and a real pool.  It sends random commands on few
 * blocks, late data, cancels and resets, releases late, and checks every
 * answer by itself; the sum of what it saw is for history.c.
 */
#include <string.h>

#include "tests/sim/sim.h"

static void *
at(int p, const struct lane_ext *ext, int n, unsigned block)
{
	uint32_t off = block * BLOCK;

	for (int i = 0; i < n; i++) {
		if (off < ext[i].len)
			return W.lane[p].pool + ext[i].off + off;
		off -= ext[i].len;
	}
	return NULL;
}

void
portal_begin_seed(int p)
{
	struct portal *t = &W.portal[p];

	lane_sub_free(t->sub);
	pool_free(t->pool);
	memset(t, 0, sizeof(*t));
	for (int i = 0; i < SLOTS_MAX; i++)
		t->slot[i].id = -1;
	t->quota = 8 + (int)rnd(12);
}

void
portal_open(int p)
{
	struct portal *t = &W.portal[p];
	struct lane_maps maps = lane_maps_of(p, SCSID);
	enum proc_id saved = W.cur;
	int quota = t->quota;

	W.cur = NOBODY;
	portal_begin_seed(p);
	t->quota = quota;
	t->sub = lane_sub_attach(&maps, W.lane[p].epoch, true);
	t->pool = pool_new(W.lane[p].id, POOL_BYTES);
	t->open = true;
	if (!t->sub || !t->pool)
		sim_fail("portal %d cannot attach", p);
	W.proc[p].asleep = false;
	W.cur = saved;
}

/* Its lane is closed: the outcome of what it had outstanding is unknown to
 * everybody, but from now on it must not have any effect. */
void
portal_killed(int p)
{
	for (unsigned i = 0; i < W.n_rec; i++)
		if (W.rec[i].portal == p && !W.rec[i].ended) {
			W.rec[i].ended = true;
			W.rec[i].open = false;
			W.rec[i].resp = ++W.tick;
		}
}

/* ---- submitting ------------------------------------------------------------ */

static const uint8_t opcode[] = { [C_READ] = 0x28, [C_WRITE] = 0x2a, [C_FLUSH] = 0x35,
				  [C_TUR] = 0x00, [C_INQUIRY] = 0x12 };

static void
write_data(int p, const struct pcmd *c, unsigned from)
{
	const struct rec *r = &W.rec[c->id];

	for (unsigned i = from; i < r->moved; i++) {
		uint64_t v = value_of((unsigned)c->id, i);

		memcpy(at(p, c->ext, c->n_ext, i), &v, sizeof(v));
	}
}

/* One extent, or two that need not touch. */
static bool
get_extents(struct portal *t, struct pcmd *c, uint32_t blocks)
{
	uint32_t first = blocks > 1 && rnd(2) ? BLOCK * (1 + rnd(blocks - 1)) : 0;

	c->n_got = pool_get(t->pool, blocks * BLOCK, c->got);
	if (c->n_got != 1)
		return false;
	c->ext[0] = c->got[0];
	c->n_ext = 1;
	if (first) {
		c->ext[1] = c->got[0];
		c->ext[0].len = first;
		c->ext[1].off += first + 4 * BLOCK;
		c->ext[1].len -= first;
		c->n_ext = 2;
	}
	return true;
}

static enum cmd_kind
choose_kind(void)
{
	uint32_t k = rnd(100);

	if (W.final || k < 40)
		return C_READ;
	if (k < 85)
		return C_WRITE;
	if (k < 92)
		return C_FLUSH;
	return k < 95 ? C_TUR : k < 98 ? C_INQUIRY : C_RESET;
}

static void
fill_scsi(int p, struct lane_scsi *s, struct rec *r, uint32_t edtl, unsigned ready)
{
	s->itt = W.n_rec;
	s->cdb_len = r->kind == C_TUR || r->kind == C_INQUIRY ? 6 : 10;
	memset(s->cdb, 0, s->cdb_len);
	s->cdb[0] = opcode[r->kind];
	s->attr = rnd(20) == 0 ? 2 : 1;
	if (r->kind == C_INQUIRY) {
		s->cdb[4] = 96;
		s->edtl_in = 96;
	}
	if (r->kind == C_READ || r->kind == C_WRITE) {
		s->cdb[5] = r->lba;
		s->cdb[8] = r->blocks;
		*(r->kind == C_READ ? &s->edtl_in : &s->edtl_out) = edtl;
		if (r->kind == C_WRITE)
			s->out_ready = ready * BLOCK;
		if (r->kind == C_WRITE && rnd(8) == 0)
			s->cdb[1] = 0x08; /* FUA */
	}
}

static void
submit(int p)
{
	struct portal *t = &W.portal[p];
	struct rec *r;
	struct lane_req *req;
	struct pcmd *c;
	uint32_t edtl = 0, ready = 0;
	int slot;

	slot = lane_sub_get(t->sub);
	if (slot < 0)
		return;
	if (W.n_rec == CMDS_MAX) {
		sim_fail("more commands than the simulation has room for");
		return;
	}
	c = &t->slot[slot];
	r = &W.rec[W.n_rec]; /* not before lane_sub_get: others run in there */
	memset(r, 0, sizeof(*r));
	memset(c, 0, sizeof(*c));
	r->kind = (uint8_t)choose_kind();
	r->portal = (uint8_t)p;
	r->blocks = (uint8_t)(1 + rnd(XFER_MAX));
	r->lba = (uint8_t)rnd(BLOCKS - r->blocks + 1);
	if (W.final) {
		r->blocks = XFER_MAX;
		r->lba = (uint8_t)((t->quota - 1) * XFER_MAX);
	}
	if (r->kind == C_READ || r->kind == C_WRITE) {
		edtl = r->blocks * BLOCK;
		if (!W.final && rnd(16) == 0) /* RFC 7143 11.4.5: residuals */
			edtl = (1 + rnd(XFER_MAX)) * BLOCK;
		r->moved = (uint8_t)MIN(r->blocks, edtl / BLOCK);
	}
	req = lane_sub_req(t->sub, (uint16_t)slot);
	if ((edtl || r->kind == C_INQUIRY) && !get_extents(t, c, MAX(edtl, BLOCK) / BLOCK)) {
		c->id = -1;
		lane_sub_unget(t->sub, (uint16_t)slot);
		return;
	}
	c->id = (int)W.n_rec;
	req->kind = r->kind == C_RESET ? LANE_TMF : LANE_SCSI;
	req->nexus = W.lane[p].nexus;
	if (r->kind == C_WRITE) {
		req->n_out = (uint8_t)c->n_ext;
		memcpy(req->out, c->ext, (size_t)c->n_ext * sizeof(c->ext[0]));
		ready = rnd(3) ? edtl / BLOCK : rnd(edtl / BLOCK);
		write_data(p, c, 0);
	} else if (c->n_ext) {
		req->n_in = (uint8_t)c->n_ext;
		memcpy(req->in, c->ext, (size_t)c->n_ext * sizeof(c->ext[0]));
		for (unsigned i = 0; i < r->moved; i++)
			memset(at(p, c->ext, c->n_ext, i), 0xee, BLOCK);
	}
	if (r->kind == C_RESET) {
		req->u.scsi.tmf = 5;
		W.resets = true;
	} else {
		fill_scsi(p, &req->u.scsi, r, edtl, ready);
	}
	r->open = true;
	r->inv = c->order = ++W.tick;
	W.n_rec++;
	t->quota -= !W.final;
	lane_sub_submit(t->sub, (uint16_t)slot);
	sim_log("portal %d: command %d kind %d block %u+%u slot %d", p, c->id, r->kind, r->lba,
		r->moved, slot);
}

/* ---- answers --------------------------------------------------------------- */

static void
check_read(int p, const struct pcmd *c, struct rec *r)
{
	for (unsigned i = 0; i < r->moved; i++)
		memcpy(&r->value[i], at(p, c->ext, c->n_ext, i), sizeof(r->value[i]));
}

static void
check_good(int p, const struct pcmd *c, struct rec *r, const struct lane_rsp *rsp)
{
	uint32_t moved = r->moved * BLOCK, total = r->blocks * BLOCK;

	r->good = true;
	if (r->kind == C_READ) {
		if (rsp->in_len != moved || rsp->in_total != total)
			sim_fail("command %d: wrong residual", c->id);
		check_read(p, c, r);
	} else if (r->kind == C_WRITE && rsp->out_len != total) {
		sim_fail("command %d: wrong residual", c->id);
	} else if (r->kind == C_INQUIRY && rsp->in_len != 96) {
		sim_fail("command %d: no INQUIRY data", c->id);
	}
	if (W.final && r->kind == C_READ && r->lba == (W.portal[p].quota - 1) * XFER_MAX)
		W.portal[p].quota--;
}

/* What was before a completed reset on this lane has ended and is released. */
static void
check_reset(int p, const struct pcmd *tmf, const struct lane_rsp *rsp)
{
	const struct portal *t = &W.portal[p];

	if (rsp->error == 255)
		return; /* within 5 s it was not over */
	if (rsp->error) {
		sim_fail("LOGICAL UNIT RESET answered %d", rsp->error);
		return;
	}
	for (int i = 0; i < SLOTS_MAX; i++) {
		const struct pcmd *c = &t->slot[i];

		if (c->id >= 0 && c->order < tmf->order && W.rec[c->id].kind != C_RESET &&
		    !c->ended)
			sim_fail("command %d outlives the reset after it", c->id);
	}
}

static void
on_done(int p, struct pcmd *c, uint16_t slot)
{
	struct rec *r = &W.rec[c->id];
	struct lane_rsp rsp;

	if (lane_sub_rsp(W.portal[p].sub, slot, &rsp)) {
		sim_fail("portal %d: no response", p);
		return;
	}
	if (r->kind == C_RESET)
		check_reset(p, c, &rsp);
	else if (rsp.status == STATUS_GOOD)
		check_good(p, c, r, &rsp);
	else if (rsp.status != STATUS_CHECK_CONDITION || (rsp.sense[2] & 0xf) != UNIT_ATTENTION)
		sim_fail("command %d: status %02x sense %x %02x%02x", c->id, rsp.status,
			 rsp.sense[2] & 0xf, rsp.sense[12], rsp.sense[13]);
}

static void
on_event(int p, const struct lane_event *ev)
{
	struct portal *t = &W.portal[p];
	struct pcmd *c = &t->slot[ev->slot];
	struct rec *r;
	struct lane_rsp rsp;

	if (c->id < 0 || c->ended) {
		sim_fail("portal %d: slot %u is answered, but nothing is asked", p, ev->slot);
		return;
	}
	r = &W.rec[c->id];
	if (ev->state == LANE_WANT) {
		if (lane_sub_rsp(t->sub, ev->slot, &rsp) || rsp.want != r->moved * BLOCK)
			sim_fail("command %d: wants %u", c->id, rsp.want);
		c->want = true;
		return;
	}
	c->ended = true;
	r->ended = true;
	r->open = false;
	r->cancelled = ev->state == LANE_CANCELLED;
	r->resp = ++W.tick;
	sim_log("portal %d: command %d ends %s", p, c->id, r->cancelled ? "cancelled" : "done");
	if (r->cancelled && !c->cancel_sent && !W.resets)
		sim_fail("command %d was cancelled by nobody", c->id);
	if (!r->cancelled)
		on_done(p, c, ev->slot);
}

/* ---- a step ------------------------------------------------------------------ */

static void
release(struct portal *t, uint16_t slot)
{
	struct pcmd *c = &t->slot[slot];

	if (c->n_got)
		pool_put(t->pool, c->got, c->n_got);
	c->id = -1;
	lane_sub_release(t->sub, slot);
}

/* Something to do with a slot in use; false: it only waits. */
static bool
tend(int p, uint16_t slot)
{
	struct portal *t = &W.portal[p];
	struct pcmd *c = &t->slot[slot];

	if (c->id < 0)
		return false;
	if (c->ended) {
		if (rnd(3))
			release(t, slot);
		return true;
	}
	if (c->want && !c->data_sent) {
		if (rnd(2)) {
			c->data_sent = true;
			lane_sub_data(t->sub, slot);
		}
		return true;
	}
	if (!W.final && !c->cancel_sent && rnd(60) == 0) {
		c->cancel_sent = true;
		sim_log("portal %d: cancel command %d", p, c->id);
		lane_sub_cancel(t->sub, slot);
	}
	return false;
}

void
portal_step(int p)
{
	struct portal *t = &W.portal[p];
	struct lane_event ev[4];
	bool busy = false;
	int n;

	lane_sub_wake(t->sub);
	while (W.proc[p].n_mail && rnd(8)) {
		lane_sub_epoch(t->sub, W.proc[p].mail[0].epoch);
		memmove(W.proc[p].mail, W.proc[p].mail + 1,
			--W.proc[p].n_mail * sizeof(struct mail));
	}
	n = lane_sub_poll(t->sub, ev, 1 + (int)rnd(4));
	if (n < 0)
		sim_fail("portal %d: scsid breaks the protocol", p);
	for (int i = 0; i < n; i++)
		on_event(p, &ev[i]);
	for (uint16_t i = 0; i < W.upper_slots && !W.failed; i++)
		busy |= tend(p, i);
	if (t->quota > 0 && (!W.final || !lane_sub_busy(t->sub))) {
		for (uint32_t k = W.final ? 1 : rnd(4); k && t->quota > 0; k--)
			submit(p);
		busy |= lane_sub_busy(t->sub) < W.upper_slots;
	}
	lane_sub_publish(t->sub);
	if (n <= 0 && !busy && !W.proc[p].n_mail && lane_sub_sleep(t->sub))
		W.proc[p].asleep = true;
}

bool
portal_idle(const struct portal *t)
{
	return t->open && t->quota == 0 && lane_sub_busy(t->sub) == 0;
}
