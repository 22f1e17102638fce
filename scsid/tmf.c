/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task management functions that come as a slot of their own (RFC 7143
 * 11.5.1).  ABORT TASK is no such slot: the portal cancels the command's.
 *
 * ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET (SAM-5 7.3, 7.5, 7.7, 6.3.3):
 * the commands they cover end as CANCELLED, and the answer waits until none of
 * these can have an effect: the store has ended it, and its portal thread has
 * released the slot, so that nothing about it is sent any more.  If that takes
 * too long the function is rejected, and what is still with the store is kept:
 * it is answered as if nobody had asked for its end.
 *
 * CLEAR ACA is for logical units that accept NACA=1 (SAM-5 7.4); this one does not.
 */
#include "scsid/engine_priv.h"

enum { /* RFC 7143 11.5.1 */
	ABORT_TASK_SET = 2,
	CLEAR_TASK_SET = 4,
	LOGICAL_UNIT_RESET = 5,
};

enum { /* RFC 7143 11.6.1 */
	RESP_COMPLETE = 0,
	RESP_NO_LUN = 2,
	RESP_NOT_SUPPORTED = 5,
	RESP_REJECTED = 255,
};

/* The portal answers within 5 s, with our word or without it. */
#define TMF_PATIENCE_NS 4000000000u
#define TMF_LOOK_NS 1000000u /* a release rings no bell */

/* On the same lane what was submitted later is behind the function; of other
 * lanes everything that has been taken is before it. */
static bool
covers(const struct task *tmf, const struct task *k)
{
	if (tmf->function == ABORT_TASK_SET && k->nexus != tmf->nexus)
		return false;
	return k->arrival < tmf->arrival && (k->lane != tmf->lane || k->order < tmf->order);
}

static void
end_covered(struct engine_lane *lane, struct task *tmf)
{
	for (uint32_t i = 0; i < lane->maps.nslots && lane->busy; i++) {
		struct task *k = &lane->task[i];

		if (k->state == TASK_FREE || k->state == TASK_TMF || !covers(tmf, k))
			continue;
		tmf->pending++;
		k->reset = true;
		if (k->state != TASK_EXEC)
			task_cancel(k);
	}
}

void
tmf_run(struct task *k, uint8_t function)
{
	struct engine *e = k->lane->engine;
	struct engine_lane *lane;

	if (function != ABORT_TASK_SET && function != CLEAR_TASK_SET &&
	    function != LOGICAL_UNIT_RESET) {
		task_answer_tmf(k, RESP_NOT_SUPPORTED);
		return;
	}
	if (e->lu->inventory) {
		task_answer_tmf(k, RESP_NO_LUN);
		return;
	}
	k->state = TASK_TMF;
	k->function = function;
	k->pending = 0;
	k->arrival = ++e->arrivals; /* after a restart: behind all that it found */
	k->deadline = e->now + TMF_PATIENCE_NS;
	list_add_tail(&e->tmfs, &k->link);
	if (function == LOGICAL_UNIT_RESET) {
		e->stats.resets++;
		nexus_ua_all(&e->nexuses, ASC_BUS_DEVICE_RESET);
	}
	list_for_each(lane, &e->lanes, link)
		end_covered(lane, k);
}

void
tmf_task_ended(const struct task *k)
{
	struct task *tmf;

	list_for_each(tmf, &k->lane->engine->tmfs, link) {
		if (!covers(tmf, k))
			continue;
		tmf->pending--;
		/* TAS=0: no status, but they are told (SAM-5 5.8.3). */
		if (tmf->function == CLEAR_TASK_SET && k->nexus != tmf->nexus)
			nexus_ua(&k->nexus->n, ASC_COMMANDS_CLEARED);
	}
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

static bool
is_over(const struct task *tmf)
{
	/* A nexus has its commands on one lane: is_seen looks at them all. */
	return !tmf->pending && is_seen(tmf) &&
	       (tmf->function == ABORT_TASK_SET || list_empty(&tmf->lane->engine->unreleased));
}

static bool
is_covered(const struct engine *e, const struct task *k)
{
	struct task *tmf;

	list_for_each(tmf, &e->tmfs, link)
		if (covers(tmf, k))
			return true;
	return false;
}

/* What is with the store is kept, unless another function ends it. */
static void
give_up(struct engine *e, struct task *tmf)
{
	struct engine_lane *lane;

	list_del(&tmf->link);
	list_for_each(lane, &e->lanes, link)
		for (uint32_t i = 0; i < lane->maps.nslots && tmf->pending; i++) {
			struct task *k = &lane->task[i];

			if (k->state == TASK_FREE || !k->reset || !covers(tmf, k))
				continue;
			tmf->pending--;
			k->reset = is_covered(e, k);
		}
	if (tmf->cancel)
		task_answer_cancelled(tmf);
	else
		task_answer_tmf(tmf, RESP_REJECTED);
}

void
tmf_turn(struct engine *e)
{
	struct task *k;

	if (list_empty(&e->tmfs))
		return;
	forget_released(e);
	list_for_each(k, &e->tmfs, link) {
		if (!k->cancel && is_over(k)) {
			list_del(&k->link);
			task_answer_tmf(k, RESP_COMPLETE);
		} else if (k->cancel || e->now >= k->deadline) {
			give_up(e, k);
		}
	}
}

uint64_t
tmf_deadline(const struct engine *e)
{
	uint64_t first = UINT64_MAX;
	struct task *k;

	list_for_each(k, &e->tmfs, link)
		first = MIN(first, k->pending ? k->deadline : e->now + TMF_LOOK_NS);
	return first;
}
