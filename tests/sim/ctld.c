/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-ctld and its supervisor as the simulation needs them: epochs, start
 * order, the messages of docs/protocol.md, the life of a portal's lane.
 */
#include <stdio.h>
#include <string.h>

#include "tests/sim/sim.h"

static uint32_t
delay(void)
{
	return (1 + rnd(rnd(4) ? 20 : 300)) * STEP_NS;
}

struct lane_maps
lane_maps_of(int portal, int bell_to)
{
	struct lane_maps m = { .bell_out = BELL_BASE + bell_to };

	m.sub = portal < 0 ? W.lower_sub : W.lane[portal].sub;
	m.status = portal < 0 ? W.lower_status : W.lane[portal].status;
	m.nslots = portal < 0 ? W.lower_slots : W.upper_slots;
	return m;
}

void
post(enum proc_id to, enum mail_type type, int portal, uint32_t epoch)
{
	struct proc *p = &W.proc[to];

	if (!p->alive)
		return; /* its configuration will say so */
	if (p->n_mail == MAIL_MAX) {
		sim_fail("process %d does not take its messages", to);
		return;
	}
	p->mail[p->n_mail++] = (struct mail){ type, portal, epoch };
	p->asleep = false;
}

void
ctld_begin_seed(void)
{
	W.lower_epoch = 1;
	for (int i = 0; i < PORTALS; i++) {
		W.lane[i].id = (uint32_t)i + 1;
		W.lane[i].nexus = (uint32_t)i + 1;
		W.lane[i].epoch = 1;
		W.proc[i].alive = true;
	}
	W.proc[SCSID].noticed = W.proc[STORAGED].noticed = true;
	W.kills_left = rnd(6) == 0 ? 1 + (int)rnd(2) : 0;
}

/* ---- death and birth ---------------------------------------------------------- */

void
ctld_died(enum proc_id id)
{
	struct proc *p = &W.proc[id];

	p->alive = false;
	p->noticed = false;
	p->deaths++;
	p->n_mail = 0;
	p->asleep = false;
	p->next = W.now + delay();
	if (id == SCSID)
		W.engine = NULL;
	if (id == STORAGED) {
		W.serve = NULL;
		store_orphan();
	}
}

static void
notice(enum proc_id id)
{
	struct proc *p = &W.proc[id];

	p->noticed = true;
	p->next = W.now + delay();
	if (id == STORAGED && W.long_outage)
		p->next += 6000u * STEP_NS;
	W.lower_epoch++;
	post(id == SCSID ? STORAGED : SCSID, M_EPOCH, -1, W.lower_epoch);
	for (int i = 0; i < PORTALS; i++) {
		struct sim_lane *l = &W.lane[i];
		bool storaged_life = l->life == L_NEW || l->life == L_DETACH;

		if (storaged_life == (id == STORAGED))
			l->sent = false;
		if (id != SCSID || (l->life != L_OPEN && l->life != L_CLOSING))
			continue;
		l->epoch++;
		if (W.portal[i].open)
			post((enum proc_id)i, M_EPOCH, i, l->epoch);
	}
}

static void
raise(enum proc_id id)
{
	struct proc *p = &W.proc[id];

	if (p->alive || p->running || W.now < p->next)
		return;
	if (!p->noticed) {
		notice(id);
		return;
	}
	if (id == STORAGED ? !W.opt.no_fence && !store_fenced() : !W.lower_used[0])
		return;
	p->alive = true;
	p->running = true;
	crash_run(id, id == SCSID ? scsid_spawn : storaged_spawn);
	p->running = false;
}

/* ---- the lanes of the portals ---------------------------------------------------- */

/* The portal dies between any two of its calls; another takes its place. */
void
ctld_kill_portal(int p)
{
	sim_log("portal %d is killed", p);
	W.portal[p].open = false;
	W.proc[p].n_mail = 0;
	W.lane[p].life = L_CLOSING;
	W.lane[p].sent = false;
}

static void
tend_lane(int p)
{
	struct sim_lane *l = &W.lane[p];
	static const struct {
		enum proc_id to;
		enum mail_type type;
	} next[] = {
		[L_NEW] = { STORAGED, M_POOL_ADD },
		[L_POOLED] = { SCSID, M_LANE_OPEN },
		[L_CLOSING] = { SCSID, M_LANE_CLOSE },
		[L_DETACH] = { STORAGED, M_POOL_DEL },
	};

	if (l->life == L_OPEN) {
		if (W.kills_left && !W.final && !W.proc[p].running && rnd(60) == 0) {
			W.kills_left--;
			ctld_kill_portal(p);
		}
		return;
	}
	if (l->life == L_CLOSING && l->closed) {
		l->life = L_DETACH;
		l->sent = false;
	}
	if (l->sent || !W.proc[next[l->life].to].alive)
		return;
	l->sent = true;
	if (l->life == L_CLOSING && rnd(2))
		post(SCSID, M_NEXUS_DROP, p, 0); /* in either order */
	post(next[l->life].to, next[l->life].type, p, 0);
	if (l->life == L_CLOSING)
		post(SCSID, M_NEXUS_DROP, p, 0);
}

void
ctld_step(void)
{
	raise(STORAGED);
	raise(SCSID);
	for (int i = 0; i < PORTALS; i++)
		tend_lane(i);
}

uint64_t
ctld_next(void)
{
	uint64_t next = UINT64_MAX;

	for (int i = SCSID; i <= STORAGED; i++)
		if (!W.proc[i].alive)
			next = MIN(next, MAX(W.proc[i].next, W.now + 1));
	return next;
}

/* ---- steps ------------------------------------------------------------------------- */

bool
sim_step_one(enum proc_id id)
{
	struct proc *p = &W.proc[id];
	enum proc_id saved = W.cur;

	if (!p->alive || p->running || W.failed)
		return false;
	if (p->asleep && id == SCSID && engine_deadline(W.engine) <= W.now)
		p->asleep = false;
	if (p->asleep || (id < SCSID && !W.portal[id].open))
		return false;
	p->running = true;
	if (id >= SCSID) {
		crash_run(id, id == SCSID ? scsid_step : storaged_step);
	} else {
		W.cur = id;
		W.depth++;
		portal_step((int)id);
		W.depth--;
		W.cur = saved;
	}
	p->running = false;
	return true;
}
