/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task management functions that come as a slot of their own (RFC 7143
 * 11.5.1).  ABORT TASK is no such slot: the portal cancels the command's.
 *
 * LOGICAL UNIT RESET (SAM-5 6.3.3, 7.7): every other command ends as
 * CANCELLED, every nexus gets a unit attention, and the answer waits until no
 * cancelled command can have an effect: the store has ended it, and its portal
 * thread has released the slot, so that nothing about it is sent any more.
 */
#include "scsid/engine_priv.h"

enum { /* RFC 7143 11.6.1 */
	RESP_COMPLETE = 0,
	RESP_NO_LUN = 2,
	RESP_NOT_SUPPORTED = 5,
	RESP_REJECTED = 255,
};

#define TMF_PATIENCE_NS 5000000000u /* then: rejected, the commands go on ending */
#define TMF_LOOK_NS 1000000u /* a release rings no bell */

/* On the same lane what was submitted later is behind the reset; of other lanes
 * everything that has been taken is before it. */
static bool
is_before(const struct task *k, const struct task *tmf)
{
	return k->lane != tmf->lane || k->order < tmf->order;
}

static void
cancel_before(struct engine_lane *lane, const struct task *tmf)
{
	for (uint32_t i = 0; i < lane->maps.nslots && lane->busy; i++) {
		struct task *k = &lane->task[i];

		if (k == tmf || k->state == TASK_FREE || k->state == TASK_TMF ||
		    !is_before(k, tmf))
			continue;
		if (!k->reset) {
			k->reset = true;
			lane->engine->n_reset++;
		}
		task_cancel(k);
	}
}

static void
reset_lun(struct task *k)
{
	struct engine *e = k->lane->engine;
	struct engine_lane *lane;

	if (e->lu->inventory) {
		task_answer_tmf(k, RESP_NO_LUN);
		return;
	}
	k->state = TASK_TMF;
	k->deadline = e->now + TMF_PATIENCE_NS;
	list_add_tail(&e->tmfs, &k->link);
	e->stats.resets++;
	nexus_ua_all(&e->nexuses, ASC_BUS_DEVICE_RESET);
	list_for_each(lane, &e->lanes, link)
		cancel_before(lane, k);
}

static void (*const functions[])(struct task *k) = {
	[5] = reset_lun, /* LOGICAL UNIT RESET */
};

void
tmf_run(struct task *k, uint8_t function)
{
	if (function < ARRAY_SIZE(functions) && functions[function])
		functions[function](k);
	else
		task_answer_tmf(k, RESP_NOT_SUPPORTED);
}

static void
forget_released(struct engine *e)
{
	struct task *k;

	list_for_each(k, &e->unreleased, link)
		if (k->lane->frozen || k->lane->closing ||
		    lane_srv_released(k->lane->srv, k->slot))
			list_del(&k->link);
}

/*
 * RFC 7143 11.6: nothing of an affected command follows the response.  The ring
 * keeps that order until a restart names everything again, so what the same
 * nexus had answered before must be released too.
 */
static bool
is_seen(const struct task *tmf)
{
	struct engine_lane *lane = tmf->lane;

	for (uint32_t i = 0; i < lane->maps.nslots; i++) {
		const struct task *k = &lane->task[i];

		if (k->state == TASK_FREE && k->order < tmf->order &&
		    (!k->nexus_id || k->nexus_id == tmf->nexus_id) &&
		    !lane_srv_released(lane->srv, (uint16_t)i))
			return false;
	}
	return true;
}

void
tmf_turn(struct engine *e)
{
	struct task *k;
	bool effects, released;

	if (list_empty(&e->tmfs))
		return;
	forget_released(e);
	effects = e->n_reset != 0;
	released = list_empty(&e->unreleased);
	list_for_each(k, &e->tmfs, link) {
		/* A cancelled reset is answered to nobody: it need not wait for
		 * releases (and its portal may be waiting for this one). */
		if (effects || !(k->cancel || (released && is_seen(k)))) {
			if (e->now < k->deadline || k->cancel)
				continue;
			list_del(&k->link);
			task_answer_tmf(k, RESP_REJECTED);
			continue;
		}
		list_del(&k->link);
		if (k->cancel)
			task_answer_cancelled(k);
		else
			task_answer_tmf(k, RESP_COMPLETE);
	}
}

uint64_t
tmf_deadline(const struct engine *e)
{
	uint64_t first = UINT64_MAX;
	struct task *k;

	if (list_empty(&e->tmfs))
		return UINT64_MAX;
	if (!e->n_reset)
		return e->now + TMF_LOOK_NS;
	list_for_each(k, &e->tmfs, link)
		if (!k->cancel)
			first = MIN(first, k->deadline);
	return first;
}
