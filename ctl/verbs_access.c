/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * access create and access delete.  No worker holds rules: each login asks, so
 * a change counts from the next login on, and sessions stay.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/verbs_priv.h"

int
verb_create_access(struct call *c)
{
	const Tgt__Access *in = c->req->create_access->access;
	struct model_rule *r;
	int err;

	if (!in)
		return refuse(c, EINVAL, "the request has no rule");
	err = model_rule_create(c->v->m, in->target, in->initiator, in->address, &r, c->why);
	if (err < 0)
		return err;
	c->rule = r;
	if (err == MODEL_SAME)
		return 0;
	err = c->v->ops->save(c->v->ctx, c->why);
	if (err) {
		c->rule = NULL;
		model_rule_unlink(r);
		model_rule_free(r);
	}
	return err;
}

int
verb_delete_access(struct call *c)
{
	const Tgt__Access *in = c->req->delete_access->access;
	struct model_rule *r;
	char why[MODEL_WHY];
	int err;

	if (!in)
		return refuse(c, EINVAL, "the request has no rule");
	err = model_rule_find(c->v->m, in->target, in->initiator, in->address, &r, why);
	if (err) {
		snprintf(c->why, sizeof(c->why), "%s%s", why,
			 err == -ENOENT ? "; nothing to delete" : "");
		return err == -ENOENT ? 0 : err;
	}
	model_rule_unlink(r);
	err = c->v->ops->save(c->v->ctx, c->why);
	if (err)
		model_rule_relink(r);
	else
		model_rule_free(r);
	return err;
}
