/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access rules: who may log in to which target.  Pure; see model.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/model.h"

#define refuse(why, err, ...) (snprintf(why, MODEL_WHY, __VA_ARGS__), -(err))

/* Fills @r with the one form of what was asked for. */
static int
parse_rule(struct model *m, const char *target, const char *initiator, const char *address,
	   struct model_rule *r, char *why)
{
	if (!*initiator && !*address) /* nobody gives away a target by an omission */
		return refuse(why, EINVAL, "a rule needs an initiator or an address; ALL admits "
			      "every one");
	if (access_parse_pattern(*initiator ? initiator : ACCESS_ALL, r->initiator))
		return refuse(why, EINVAL, "\"%.230s\" matches no iSCSI name: write a name such as "
			      "iqn.2026-11.org.example:host, with * and ? as wildcards, or ALL",
			      initiator);
	if (access_parse_net(*address ? address : ACCESS_ALL, &r->net))
		return refuse(why, EINVAL, "\"%.64s\" is no address: write 192.0.2.1, 192.0.2.0/24, "
			      "2001:db8::/32 or ALL", address);
	access_print_net(&r->net, r->address);
	r->target = model_target_find(m, target);
	if (!r->target)
		return refuse(why, ENOENT, "no such target: %.230s", target);
	return 0;
}

static struct model_rule *
find_same(const struct model_rule *as)
{
	struct model_rule *r;

	list_for_each(r, &as->target->rules, link)
		if (!strcmp(r->initiator, as->initiator) && !strcmp(r->address, as->address))
			return r;
	return NULL;
}

int
model_rule_find(struct model *m, const char *target, const char *initiator, const char *address,
		struct model_rule **out, char *why)
{
	struct model_rule as;
	int err = parse_rule(m, target, initiator, address, &as, why);

	if (err)
		return err;
	*out = find_same(&as);
	return *out ? 0 : refuse(why, ENOENT, "no such rule of %s: %s from %s", target,
				 as.initiator, as.address);
}

int
model_rule_create(struct model *m, const char *target, const char *initiator,
		  const char *address, struct model_rule **out, char *why)
{
	struct model_rule as, *r;
	int err = parse_rule(m, target, initiator, address, &as, why);

	if (err)
		return err;
	*out = find_same(&as);
	if (*out)
		return MODEL_SAME;
	if (as.target->n_rules >= MODEL_RULES)
		return refuse(why, ENOSPC, "%s has %d rules already, the most there can be",
			      as.target->name, MODEL_RULES);
	r = malloc(sizeof(*r));
	if (!r)
		return refuse(why, ENOMEM, "out of memory");
	*r = as;
	model_rule_relink(r);
	*out = r;
	return 0;
}

void
model_rule_unlink(struct model_rule *r)
{
	list_del(&r->link);
	r->target->n_rules--;
}

void
model_rule_relink(struct model_rule *r)
{
	list_add_tail(&r->target->rules, &r->link);
	r->target->n_rules++;
}

void
model_rule_free(struct model_rule *r)
{
	free(r);
}

bool
model_admits(struct model_target *t, const char *initiator, const char *peer)
{
	struct access_net from;
	struct model_rule *r;

	if (access_parse_peer(peer, &from))
		return false; /* from nowhere we can tell */
	list_for_each(r, &t->rules, link)
		if (access_net_matches(&r->net, &from) && access_name_matches(r->initiator, initiator))
			return true;
	return false;
}
