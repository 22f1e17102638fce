/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may log in, and who is told of which targets: the broker's answers. */
#include "tests/unit/broker_rig.h"

/* Whom no rule admits has no session and hears of no target. */
static void
test_access(void)
{
	static const struct row before[] = {
		{ "discover 4", "portal.0<DiscoveryOpened c4 1 from 1" },
		{ "session 5 " IQN ":2", "portal.0<SessionOpened c5 err13 n0" },
		{ 0 },
	};
	static const struct row after[] = {
		{ "session 6 " IQN, "portal.0<SessionOpened c6 err13 n0" },
		{ "discover 7", "portal.0<DiscoveryOpened c7 1 from 2" },
		{ "session 8 " IQN ":2", "portal.0<SessionOpened c8 err0 n2" },
		{ "open 9 1 0 1", "storaged.a<PoolAttach 1 +1" }, /* sessions stay */
		{ 0 },
	};
	struct model_target *t;
	struct model_rule *r;
	char why[MODEL_WHY];

	rig_begin(UINT64_C(4) << 30);
	play(up);
	CHECK_EQ(model_target_create(&rig.m, IQN ":2", "", 1, &t, why), 0);
	broker_target_update(rig.b, t);
	play(before);
	CHECK_EQ(model_rule_find(&rig.m, IQN, "", "127.0.0.0/8", &r, why), 0);
	model_rule_unlink(r);
	r->target = t;
	model_rule_relink(r);
	play(after);
	rig_end();
}

/* Only whom a rule admits hears where the target is. */
static void
test_redirect(void)
{
	static const struct row rows[] = {
		{ "session 5 " IQN, "portal.0<SessionOpened c5 err66 n0 192.0.2.1:3260" },
		{ "discover 6", "portal.0<DiscoveryOpened c6 1 from 1" },
		{ 0 },
	};
	static const struct row denied[] = {
		{ "session 7 " IQN, "portal.0<SessionOpened c7 err13 n0" }, { 0 }
	};
	struct model_rule *r;
	char why[MODEL_WHY];

	rig_begin(UINT64_C(4) << 30);
	play(up);
	CHECK_EQ(model_target_redirect(rig.t, "192.0.2.1", false, why), 0);
	play(rows);
	CHECK_EQ(broker_target_sessions(rig.b, rig.t), 1); /* as before */
	CHECK_EQ(model_rule_find(&rig.m, IQN, "", "127.0.0.0/8", &r, why), 0);
	model_rule_unlink(r);
	model_rule_free(r);
	play(denied);
	rig_end();
}

/* The portal is asked, and says when it is over. */
static void
test_session_end(void)
{
	static const struct row over[] = { { "close 1", "" }, { 0 } };

	rig_begin(UINT64_C(4) << 30);
	play(up);
	rig.said[0] = 0;
	CHECK(!broker_session_end(rig.b, 0));
	CHECK(!broker_session_end(rig.b, 2));
	CHECK_STR(rig.said, "");
	CHECK(broker_session_end(rig.b, 1));
	CHECK_STR(rig.said, "portal.0<SessionEnd 1");
	CHECK(broker_session_end(rig.b, 1)); /* it is not over yet */
	play(over);
	CHECK(!broker_session_end(rig.b, 1));
	rig_end();
}

/* More targets than a channel queues messages are some messages; the list that
 * a discovery gets is one, however large the ids have grown. */
static void
test_many_targets(void)
{
	static uint32_t ids[MODEL_TARGETS];
	struct model_target *t;
	char name[64], why[MODEL_WHY];
	const char *said = rig.said;
	unsigned lists = 0;
	Tgt__DiscoveryOpened o = TGT__DISCOVERY_OPENED__INIT;
	Tgt__WorkerMsg m;

	for (int i = 0; i < MODEL_TARGETS; i++)
		ids[i] = UINT32_MAX;
	o.cookie = UINT64_MAX;
	o.target = ids;
	o.n_target = MODEL_TARGETS;
	CHECK(tgt__worker_msg__get_packed_size(WRAP(&m, DISCOVERY_OPENED, discovery_opened, &o)) <=
	      CHAN_MSG_MAX);

	rig_begin(UINT64_C(4) << 30);
	for (int i = 1; i < MODEL_TARGETS; i++) {
		snprintf(name, sizeof(name), IQN ":%d", i);
		t = calloc(1, sizeof(*t)); /* as model_target_create, in linear time */
		CHECK(t != NULL);
		list_init(&t->mappings);
		list_init(&t->rules);
		strcpy(t->name, name);
		model_target_relink(&rig.m, t);
	}
	CHECK_EQ(model_target_create(&rig.m, IQN ":more", "", 1, &t, why), -ENOSPC);
	event("started portal 0");
	rig.said[0] = 0;
	event("hello portal 0");
	while ((said = strstr(said, "TargetList 100"))) {
		said++;
		lists++;
	}
	CHECK_EQ(lists, MODEL_TARGETS / 100);
	rig_end();
}

int
main(void)
{
	TEST(test_access);
	TEST(test_redirect);
	TEST(test_session_end);
	TEST(test_many_targets);
	return tap_done();
}
