/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scsid and storaged as processes of the simulation: what their main.c do,
 * without an event loop.  All of the functions run under crash_run.
 */
#include <errno.h>
#include <string.h>

#include "tests/sim/sim.h"

/* Takes the messages that have arrived, or some of them. */
static bool
next_mail(enum proc_id id, struct mail *m)
{
	struct proc *p = &W.proc[id];

	if (!p->n_mail || rnd(8) == 0)
		return false;
	*m = p->mail[0];
	memmove(p->mail, p->mail + 1, --p->n_mail * sizeof(p->mail[0]));
	return true;
}

/* ---- scsid -------------------------------------------------------------------- */

static void
on_violation(void *ctx, uint32_t lane, const char *text)
{
	(void)ctx;
	/* What a dead portal left behind may name a nexus that is gone. */
	for (int p = 0; p < PORTALS; p++)
		if (W.lane[p].id == lane && W.lane[p].life == L_CLOSING)
			return;
	sim_fail("scsid calls a violation on lane %u: %s", lane, text);
}

static void
on_lane_closed(void *ctx, uint32_t id)
{
	(void)ctx;
	for (int p = 0; p < PORTALS; p++)
		if (W.lane[p].id == id) {
			W.lane[p].closed = true;
			portal_killed(p);
		}
}

static void
on_nexus_dropped(void *ctx, uint32_t nexus)
{
	(void)ctx;
	(void)nexus;
}

static const struct engine_ops ops = {
	.violation = on_violation,
	.lane_closed = on_lane_closed,
	.nexus_dropped = on_nexus_dropped,
};

static void
add_lane(int p, bool fresh)
{
	struct sim_lane *l = &W.lane[p];
	struct engine_lane_conf conf = {
		.id = l->id,
		.epoch = l->epoch,
		.fresh = fresh,
		.maps = lane_maps_of(p, p),
		.pool = l->id,
		.pool_size = POOL_BYTES,
		.pool_base = l->pool,
	};
	struct nexus_conf nexus = {
		.id = l->nexus,
		.lane = l->id,
		.initiator_port = "iqn.sim:initiator,i,0x0",
		.target_port = "iqn.sim:target,t,0x1",
		.fresh = fresh,
	};
	int rc = engine_lane_add(W.engine, &conf);

	/* The nexuses of a dead portal may be there still, or not. */
	if (!rc && (W.lane[p].life != L_CLOSING || rnd(2)))
		rc = engine_nexus_add(W.engine, &nexus);
	if (rc)
		sim_fail("scsid cannot attach lane %u: %d", l->id, rc);
}

void
scsid_spawn(void)
{
	struct lane_maps lower = lane_maps_of(-1, STORAGED);
	int rc;

	arena_reset(SCSID);
	W.engine = NULL;
	W.engine = engine_new(&W.lu, &ops, NULL);
	rc = engine_lower(W.engine, &lower, W.lower_epoch, !W.lower_used[1]);
	if (rc)
		sim_fail("scsid cannot attach its lower lane: %d", rc);
	for (int p = 0; p < PORTALS && !W.failed; p++)
		if (W.lane[p].life == L_OPEN || W.lane[p].life == L_CLOSING)
			add_lane(p, false);
	engine_start(W.engine);
	W.lower_used[1] = true; /* READY */
	sim_log("scsid started, lower epoch %u", W.lower_epoch);
}

static void
scsid_mail(const struct mail *m)
{
	struct sim_lane *l = m->portal < 0 ? NULL : &W.lane[m->portal];

	switch (m->type) {
	case M_EPOCH:
		engine_lane_epoch(W.engine, l ? l->id : 0, m->epoch);
		break;
	case M_LANE_OPEN:
		add_lane(m->portal, true);
		l->life = L_OPEN;
		l->sent = false;
		portal_open(m->portal);
		break;
	case M_LANE_CLOSE:
		engine_lane_close(W.engine, l->id);
		break;
	case M_NEXUS_DROP:
		engine_nexus_drop(W.engine, l->nexus);
		break;
	default:
		sim_fail("not a message for scsid");
	}
}

void
scsid_step(void)
{
	struct mail m;
	bool got = false;

	engine_wake(W.engine);
	while (next_mail(SCSID, &m)) {
		scsid_mail(&m);
		got = true;
	}
	if (!engine_turn(W.engine, W.now) && !got && !W.proc[SCSID].n_mail &&
	    engine_sleep(W.engine))
		W.proc[SCSID].asleep = true;
}

/* ---- storaged ------------------------------------------------------------------- */

void
storaged_spawn(void)
{
	struct serve_conf conf = {
		.maps = lane_maps_of(-1, SCSID),
		.epoch = W.lower_epoch,
		.fresh = !W.lower_used[0],
		.backend = &W.store.backend,
	};

	arena_reset(STORAGED);
	W.serve = NULL;
	W.serve = serve_new(&conf);
	if (!W.serve) {
		sim_fail("storaged cannot attach");
		return;
	}
	for (int p = 0; p < PORTALS; p++)
		if (W.lane[p].life >= L_POOLED && W.lane[p].life <= L_CLOSING)
			serve_pool_add(W.serve, W.lane[p].id, W.lane[p].pool, POOL_BYTES);
	if (serve_start(W.serve))
		sim_fail("storaged cannot recover: %s", serve_violation(W.serve));
	W.lower_used[0] = true; /* READY */
	sim_log("storaged started, epoch %u, %u in flight again", W.lower_epoch,
		serve_inflight(W.serve));
}

static void
storaged_mail(const struct mail *m)
{
	struct sim_lane *l = m->portal < 0 ? NULL : &W.lane[m->portal];

	switch (m->type) {
	case M_EPOCH:
		if (W.opt.no_drain) { /* negative control: forget what is in flight */
			store_orphan();
			storaged_spawn();
		} else {
			serve_epoch(W.serve, m->epoch);
		}
		break;
	case M_POOL_ADD:
		if (serve_pool_add(W.serve, l->id, l->pool, POOL_BYTES))
			sim_fail("storaged cannot add pool %u", l->id);
		l->life = L_POOLED;
		l->sent = false;
		break;
	case M_POOL_DEL:
		if (serve_pool_del(W.serve, l->id))
			sim_fail("pool %u is in use although its lane is closed", l->id);
		memset(l->sub, 0, sizeof(l->sub));
		memset(l->status, 0, sizeof(l->status));
		memset(l->pool, 0xee, sizeof(l->pool));
		l->id += PORTALS;
		l->nexus += PORTALS;
		l->epoch = 1;
		l->life = L_NEW;
		l->sent = false;
		l->closed = false;
		break;
	default:
		sim_fail("not a message for storaged");
	}
}

void
storaged_step(void)
{
	struct mail m;
	bool got = false;
	int rc;

	serve_wake(W.serve);
	while (next_mail(STORAGED, &m)) {
		storaged_mail(&m);
		got = true;
	}
	rc = serve_turn(W.serve);
	if (rc == -EPROTO)
		sim_fail("storaged calls a violation: %s", serve_violation(W.serve));
	if (!rc && !got && !W.proc[STORAGED].n_mail && serve_sleep(W.serve))
		W.proc[STORAGED].asleep = true;
}
