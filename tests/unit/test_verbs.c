/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The operator's requests: durable before answered, undone when not, idempotent. */
#include "tests/unit/verbs_rig.h"
#include "tests/unit/tap.h"

#define IQN "iqn.2026-11.org.example:disk"

static int client; /* its address is a client */

static char *
str(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* Sends one request; the last reply's err, or -1 when it is not answered yet. */
#define ASK(CASE, field, inner)                                                \
	({                                                                     \
		Tgt__ControlRequest q_ = TGT__CONTROL_REQUEST__INIT;           \
		unsigned before_ = R.replies;                                  \
		q_.id = 1;                                                     \
		q_.body_case = TGT__CONTROL_REQUEST__BODY_##CASE;              \
		q_.field = (inner);                                            \
		verbs_request(&R.v, &client, &q_);                             \
		R.replies == before_ ? -1 : R.err;                             \
	})

static int
target_create(const char *name)
{
	Tgt__Target t = TGT__TARGET__INIT;
	Tgt__CreateTarget c = TGT__CREATE_TARGET__INIT;

	t.name = str(name);
	c.target = &t;
	return ASK(CREATE_TARGET, create_target, &c);
}

static int
target_delete(const char *name)
{
	Tgt__DeleteTarget d = TGT__DELETE_TARGET__INIT;

	d.name = str(name);
	return ASK(DELETE_TARGET, delete_target, &d);
}

static int
lun_create(const char *name, const char *path)
{
	Tgt__Lun l = TGT__LUN__INIT;
	Tgt__CreateLun c = TGT__CREATE_LUN__INIT;
	static char backend[] = "rdwr";

	l.name = str(name);
	l.backend = backend;
	l.path = str(path);
	c.lun = &l;
	return ASK(CREATE_LUN, create_lun, &c);
}

static int
lun_delete(const char *name)
{
	Tgt__DeleteLun d = TGT__DELETE_LUN__INIT;

	d.name = str(name);
	return ASK(DELETE_LUN, delete_lun, &d);
}

static int
mapping_create(const char *target, const char *lun, int number)
{
	Tgt__Mapping p = TGT__MAPPING__INIT;
	Tgt__CreateMapping c = TGT__CREATE_MAPPING__INIT;

	p.target = str(target);
	p.lun = str(lun);
	p.auto_number = number < 0;
	p.number = number < 0 ? 0 : (uint32_t)number;
	c.mapping = &p;
	return ASK(CREATE_MAPPING, create_mapping, &c);
}

static int
mapping_delete(const char *target, uint32_t number)
{
	Tgt__DeleteMapping d = TGT__DELETE_MAPPING__INIT;

	d.target = str(target);
	d.number = number;
	return ASK(DELETE_MAPPING, delete_mapping, &d);
}

static int
portal_create(const char *addr, uint32_t port)
{
	Tgt__Portal p = TGT__PORTAL__INIT;
	Tgt__CreatePortal c = TGT__CREATE_PORTAL__INIT;

	p.addr = str(addr);
	p.port = port;
	c.portal = &p;
	return ASK(CREATE_PORTAL, create_portal, &c);
}

static int
portal_delete(const char *addr, uint32_t port)
{
	Tgt__DeletePortal d = TGT__DELETE_PORTAL__INIT;

	d.addr = str(addr);
	d.port = port;
	return ASK(DELETE_PORTAL, delete_portal, &d);
}

static int
access_ask(bool create, const char *target, const char *initiator, const char *address)
{
	Tgt__Access a = TGT__ACCESS__INIT;
	Tgt__CreateAccess c = TGT__CREATE_ACCESS__INIT;
	Tgt__DeleteAccess d = TGT__DELETE_ACCESS__INIT;

	a.target = str(target);
	a.initiator = str(initiator);
	a.address = str(address);
	c.access = d.access = &a;
	return create ? ASK(CREATE_ACCESS, create_access, &c) :
			ASK(DELETE_ACCESS, delete_access, &d);
}

static int
target_modify(const char *name, const char *redirect, bool permanent)
{
	Tgt__ModifyTarget t = TGT__MODIFY_TARGET__INIT;

	t.name = str(name);
	t.redirect = str(redirect);
	t.redirect_permanent = permanent;
	return ASK(MODIFY_TARGET, modify_target, &t);
}

static void
test_redirect(void)
{
	struct model_target *t;

	rig_begin();
	CHECK_EQ(target_modify(IQN, "192.0.2.1", false), ENOENT);
	CHECK_EQ(target_create(IQN), 0);
	t = model_target_find(&R.m, IQN);
	CHECK_EQ(target_modify(IQN, "192.0.2.1", true), 0);
	R.saves = 0;
	CHECK_EQ(target_modify(IQN, "192.0.2.1:3260", true), 0);
	CHECK_EQ(R.saves, 0); /* the same */
	CHECK_EQ(target_modify(IQN, "here", false), EINVAL);
	R.save_error = EIO;
	CHECK_EQ(target_modify(IQN, "", false), EIO);
	CHECK_STR(t->redirect, "192.0.2.1:3260");
	CHECK(t->redirect_permanent);
	R.save_error = 0;
	CHECK_EQ(target_modify(IQN, "", false), 0);
	CHECK_STR(t->redirect, "");
	CHECK_EQ(target_create(IQN), 0); /* redirected or not, it is the same target */
	rig_end();
}

static void
test_access(void)
{
	struct model_target *t;

	rig_begin();
	CHECK_EQ(access_ask(true, IQN, "ALL", ""), ENOENT);
	CHECK_EQ(target_create(IQN), 0);
	t = model_target_find(&R.m, IQN);
	CHECK_EQ(access_ask(true, IQN, "", ""), EINVAL);
	R.save_error = ENOSPC;
	CHECK_EQ(access_ask(true, IQN, "ALL", ""), ENOSPC);
	CHECK_EQ(t->n_rules, 0);
	R.save_error = 0;
	R.saves = 0;
	R.objects = 0;
	CHECK_EQ(access_ask(true, IQN, "ALL", "192.0.2.1/24"), 0);
	CHECK_EQ(access_ask(true, IQN, "", "192.0.2.0/24"), 0); /* the same */
	CHECK_EQ(R.objects, 2);
	CHECK_EQ(R.saves, 1);
	CHECK_EQ(t->n_rules, 1);
	R.save_error = ENOSPC;
	CHECK_EQ(access_ask(false, IQN, "", "192.0.2.0/24"), ENOSPC);
	CHECK_EQ(t->n_rules, 1);
	R.save_error = 0;
	CHECK_EQ(access_ask(false, IQN, "", "192.0.2.0/33"), EINVAL);
	CHECK_EQ(access_ask(false, IQN, "ALL", ""), 0); /* another: idempotent, with a word */
	CHECK_MSG(strstr(R.text, "nothing to delete"), "%s", R.text);
	CHECK_EQ(access_ask(false, IQN ":x", "ALL", ""), 0);
	CHECK_EQ(t->n_rules, 1);
	CHECK_EQ(access_ask(false, IQN, "", "192.0.2.0/24"), 0);
	CHECK_STR(R.text, "");
	CHECK_EQ(t->n_rules, 0);
	CHECK_EQ(access_ask(true, IQN, "ALL", "ALL"), 0);
	CHECK_EQ(target_create(IQN ":2"), 0);
	R.save_error = EIO;
	CHECK_EQ(target_delete(IQN), EIO);
	R.save_error = 0;
	CHECK(list_first(&R.m.targets, struct model_target, link) == t); /* in order of id */
	CHECK_EQ(t->n_rules, 1);
	CHECK_EQ(target_delete(IQN), 0); /* its rules go with it */
	rig_end();
}

static void
test_target(void)
{
	rig_begin();
	R.save_error = ENOSPC;
	CHECK_EQ(target_create(IQN), ENOSPC);
	CHECK_STR(R.text, "the disk is full");
	CHECK_EQ(R.m.n_targets, 0);
	R.save_error = 0;
	CHECK_EQ(target_create(IQN), 0);
	CHECK_EQ(R.saves, 2);
	CHECK_EQ(target_create(IQN), 0);
	CHECK_EQ(R.saves, 2); /* nothing changed */
	CHECK_EQ(target_create("disk"), EINVAL);
	R.save_error = ENOSPC;
	CHECK_EQ(target_delete(IQN), ENOSPC);
	CHECK_EQ(R.m.n_targets, 1);
	R.save_error = 0;
	CHECK_EQ(target_delete(IQN), 0);
	CHECK_STR(R.text, "");
	CHECK_EQ(target_delete(IQN), 0); /* idempotent, with a word about it */
	CHECK(strstr(R.text, "no such target"));
	rig_end();
}

static void
test_lun(void)
{
	rig_begin();
	CHECK_EQ(lun_create("a", "/a"), -1); /* waits for the store */
	CHECK_EQ(R.saves, 0);
	CHECK_EQ(lun_create("a", "/a"), EBUSY);
	CHECK_EQ(lun_delete("a"), EBUSY);
	rig_stores(true);
	CHECK_EQ(R.err, 0);
	CHECK_EQ(R.saves, 1);
	CHECK_EQ(lun_create("a", "/a"), 0);
	CHECK_EQ(lun_create("a", "/b"), EEXIST);
	CHECK_EQ(lun_create("x", "relative"), EINVAL);

	/* The store does not open: told when nothing is left of it. */
	CHECK_EQ(lun_create("b", "/b"), -1);
	rig_stores(false);
	CHECK_EQ(R.err, ENOENT);
	CHECK_STR(R.text, "no such store");
	CHECK_EQ(R.m.n_luns, 1);

	/* It opens, but cannot be stored. */
	CHECK_EQ(lun_create("b", "/b"), -1);
	R.save_error = ENOSPC;
	rig_stores(true);
	CHECK_EQ(R.err, ENOSPC);
	CHECK_EQ(R.m.n_luns, 1);
	CHECK_EQ(lun_delete("a"), ENOSPC);
	CHECK_EQ(R.m.n_luns, 1);
	R.save_error = 0;

	/* It neither opens nor fails. */
	CHECK_EQ(lun_create("b", "/b"), -1);
	for (int i = 0; i < VERBS_TIMEOUT_S; i++)
		verbs_tick(&R.v);
	rig_obey();
	CHECK_EQ(R.err, ETIMEDOUT);
	CHECK_EQ(R.m.n_luns, 1);

	CHECK_EQ(target_create(IQN), 0);
	CHECK_EQ(mapping_create(IQN, "a", -1), 0);
	CHECK_EQ(lun_delete("a"), EBUSY);
	CHECK(strstr(R.text, "mapped"));
	CHECK_EQ(mapping_delete(IQN, 0), 0);
	CHECK_EQ(mapping_delete(IQN, 0), 0);
	CHECK_EQ(lun_delete("a"), -1);
	CHECK_EQ(lun_create("a", "/a"), EBUSY); /* its processes still end */
	rig_obey();
	CHECK_EQ(R.err, 0);
	CHECK_EQ(lun_delete("a"), 0);
	CHECK(strstr(R.text, "no such LUN"));
	rig_end();
}

/* Whoever asked and went away is not answered; what was asked for goes on. */
static void
test_client_gone(void)
{
	unsigned replies;

	rig_begin();
	CHECK_EQ(lun_create("a", "/a"), -1);
	replies = R.replies;
	verbs_client_gone(&R.v, &client);
	rig_stores(true);
	CHECK_EQ(R.replies, replies);
	CHECK(model_lun_find(&R.m, "a") && !model_lun_find(&R.m, "a")->pending);
	rig_end();
}

static void
test_mapping(void)
{
	rig_begin();
	CHECK_EQ(target_create(IQN), 0);
	CHECK_EQ(lun_create("a", "/a"), -1);
	CHECK_EQ(mapping_create(IQN, "a", -1), ENOENT); /* not there yet */
	rig_stores(true);
	R.save_error = EIO;
	CHECK_EQ(mapping_create(IQN, "a", -1), EIO);
	R.save_error = 0;
	CHECK_EQ(mapping_create(IQN, "a", 16384), EINVAL);
	CHECK_EQ(mapping_create(IQN, "a", 5), 0);
	CHECK_EQ(mapping_create(IQN, "a", -1), 0);
	CHECK_EQ(mapping_create(IQN, "a", 6), EEXIST);
	R.save_error = EIO;
	CHECK_EQ(mapping_delete(IQN, 5), EIO);
	CHECK_EQ(target_delete(IQN), EIO);
	CHECK_EQ(model_lun_find(&R.m, "a")->n_mappings, 1);
	R.save_error = 0;
	CHECK_EQ(target_delete(IQN), 0); /* its mappings go with it */
	CHECK_EQ(model_lun_find(&R.m, "a")->n_mappings, 0);
	rig_end();
}

static void
test_portal(void)
{
	rig_begin();
	CHECK_EQ(portal_create("127.0.0.1", 0), -1);
	CHECK_EQ(R.saves, 0);
	rig_obey();
	CHECK_EQ(R.err, 0);
	CHECK(model_portal_find(&R.m, "127.0.0.1", 40000) != NULL);
	CHECK_EQ(portal_create("127.0.0.1", 40000), 0);
	R.listen_error = EADDRINUSE;
	CHECK_EQ(portal_create("::1", 3260), -1);
	rig_obey();
	CHECK_EQ(R.err, EADDRINUSE);
	CHECK(strstr(R.text, "[::1]:3260: address already in use"));
	CHECK_EQ(R.m.n_portals, 1);
	R.listen_error = 0;
	R.save_error = EROFS;
	CHECK_EQ(portal_create("::1", 3260), -1);
	rig_obey();
	CHECK_EQ(R.err, EROFS);
	CHECK_EQ(portal_delete("127.0.0.1", 40000), EROFS);
	CHECK_EQ(R.m.n_portals, 1);
	R.save_error = 0;
	CHECK_EQ(portal_create("localhost", 3260), EINVAL);
	CHECK_EQ(portal_delete("127.0.0.1", 40000), 0);
	CHECK_EQ(portal_delete("127.0.0.1", 40000), 0);
	CHECK_EQ(R.m.n_portals, 0);
	rig_end();
}

/* Many objects are several datagrams, each within its cap; only the last says
 * so.  Nothing is sent for what is being created. */
static void
test_show(void)
{
	Tgt__Show show = TGT__SHOW__INIT;
	char name[32], path[4000];
	unsigned replies;

	rig_begin();
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = 0;
	CHECK_EQ(target_create(IQN), 0);
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "lun%d", i);
		CHECK_EQ(lun_create(name, path), -1);
		rig_stores(true);
		CHECK_EQ(mapping_create(IQN, name, -1), 0);
	}
	CHECK_EQ(lun_create("pending", "/p"), -1);
	R.objects = 0;
	replies = R.replies;
	CHECK_EQ(ASK(SHOW, show, &show), 0);
	CHECK_EQ(R.objects, 1 + 60 + 60);
	CHECK(R.replies - replies >= 5);
	CHECK(!R.more);
	CHECK(R.largest <= 65536);
	rig_end();
}

static void
test_session(void)
{
	Tgt__DeleteSession d = TGT__DELETE_SESSION__INIT;

	rig_begin();
	d.nexus = 1;
	CHECK_EQ(ASK(DELETE_SESSION, delete_session, &d), 0); /* idempotent, with a word */
	CHECK(strstr(R.text, "no such session: 1"));
	CHECK_EQ(R.saves, 0);
	rig_end();
}

static void
test_stopping(void)
{
	Tgt__Show show = TGT__SHOW__INIT;
	Tgt__ControlRequest none = TGT__CONTROL_REQUEST__INIT;

	rig_begin();
	verbs_request(&R.v, &client, &none);
	CHECK_EQ(R.err, ENOSYS);
	R.v.stopping = true;
	CHECK_EQ(target_create(IQN), ESHUTDOWN);
	CHECK_EQ(ASK(SHOW, show, &show), 0);
	rig_end();
}

int
main(void)
{
	TEST(test_target);
	TEST(test_access);
	TEST(test_redirect);
	TEST(test_lun);
	TEST(test_client_gone);
	TEST(test_mapping);
	TEST(test_portal);
	TEST(test_show);
	TEST(test_session);
	TEST(test_stopping);
	return tap_done();
}
