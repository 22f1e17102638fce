/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A broker without processes: events are lines of text, and so is everything
 * it says.
 *
 *	started ROLE NAME            UnitStarted with the next pid
 *	exited ROLE NAME CAUSE CODE [stays]   UnitExited; will_restart unless "stays"
 *	hello ROLE NAME [PID]        a connection of the unit's pid (or PID) says Hello
 *	ready ROLE NAME [SIZE DEV INO]
 *	failed ROLE NAME ERRNO
 *	hangup ROLE NAME             end of file
 *	violation ROLE NAME LANE
 *	session COOKIE ISCSI_NAME    SessionOpen
 *	close NEXUS                  SessionClose
 *	open COOKIE NEXUS NUMBER THREAD       LunOpen
 *	released LANE
 *	lane+ NAME LANE [ERR]  lane- NAME LANE    LaneOpened, LaneClosed
 *	pool+ NAME POOL [ERR]  pool- NAME POOL    PoolAttached, PoolDetached
 *	nexus+ NAME NEXUS [ERR]  nexus- NAME NEXUS
 *	lun NAME  unlun NAME  revive NAME         the operator's
 *	map NUMBER NAME  unmap NUMBER
 *	tick  terminate
 */
#ifndef TESTS_BROKER_RIG_H
#define TESTS_BROKER_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/broker.h"
#include "ctl/broker_priv.h"
#include "proto/chan.h"
#include "proto/log.h"
#include "tests/unit/tap.h"

#define IQN "iqn.2026-11.org.example:t"

struct rig {
	struct model m;
	struct broker *b;
	struct model_target *t;
	char said[16384];
	pid_t next_pid;
	uint64_t random;
};

static struct rig rig;

struct row {
	const char *event;
	const char *expect; /* NULL: not looked at */
};

/* A connection as the rig sees it. */
struct wire {
	struct peer *peer;
	char name[80];
};

static __attribute__((format(printf, 1, 2))) void
say(const char *fmt, ...)
{
	size_t n = strlen(rig.said);
	va_list ap;

	if (n)
		n += (size_t)snprintf(rig.said + n, sizeof(rig.said) - n, "; ");
	va_start(ap, fmt);
	vsnprintf(rig.said + n, sizeof(rig.said) - n, fmt, ap);
	va_end(ap);
}

static const char *
fresh_word(bool fresh)
{
	return fresh ? " fresh" : "";
}

/* The part of a message that a script looks at. */
static void
describe(const Tgt__WorkerMsg *m, char *s, size_t n)
{
	switch (m->body_case) {
	case TGT__WORKER_MSG__BODY_PORTAL_CONFIG:
		snprintf(s, n, "PortalConfig");
		break;
	case TGT__WORKER_MSG__BODY_TARGET_UPDATE:
		snprintf(s, n, "TargetUpdate");
		break;
	case TGT__WORKER_MSG__BODY_TARGET_LIST:
		snprintf(s, n, "TargetList %zu", m->target_list->n_target);
		break;
	case TGT__WORKER_MSG__BODY_SESSION_END:
		snprintf(s, n, "SessionEnd %u", m->session_end->nexus);
		break;
	case TGT__WORKER_MSG__BODY_DISCOVERY_OPENED:
		snprintf(s, n, "DiscoveryOpened c%u %zu%s%u",
			 (unsigned)m->discovery_opened->cookie, m->discovery_opened->n_target,
			 m->discovery_opened->n_target ? " from " : "",
			 m->discovery_opened->n_target ? m->discovery_opened->target[0] : 0);
		break;
	case TGT__WORKER_MSG__BODY_CONFIG_DONE:
		snprintf(s, n, "ConfigDone");
		break;
	case TGT__WORKER_MSG__BODY_STORAGED_CONFIG:
		snprintf(s, n, "StoragedConfig e%u%s", m->storaged_config->epoch,
			 fresh_word(m->storaged_config->fresh));
		break;
	case TGT__WORKER_MSG__BODY_SCSID_CONFIG:
		if (m->scsid_config->inventory)
			snprintf(s, n, "ScsidConfig inventory");
		else
			snprintf(s, n, "ScsidConfig e%u%s", m->scsid_config->epoch,
				 fresh_word(m->scsid_config->fresh));
		break;
	case TGT__WORKER_MSG__BODY_LANE_OPEN:
		snprintf(s, n, "LaneOpen %u e%u%s", m->lane_open->lane, m->lane_open->epoch,
			 fresh_word(m->lane_open->fresh));
		break;
	case TGT__WORKER_MSG__BODY_LANE_CLOSE:
		snprintf(s, n, "LaneClose %u", m->lane_close->lane);
		break;
	case TGT__WORKER_MSG__BODY_LANE_EPOCH:
		snprintf(s, n, "LaneEpoch %u e%u", m->lane_epoch->lane, m->lane_epoch->epoch);
		break;
	case TGT__WORKER_MSG__BODY_LANE_REVOKE:
		snprintf(s, n, "LaneRevoke %u", m->lane_revoke->lane);
		break;
	case TGT__WORKER_MSG__BODY_NEXUS_ADD:
		snprintf(s, n, "NexusAdd %u on %u%s%s", m->nexus_add->nexus, m->nexus_add->lane,
			 fresh_word(m->nexus_add->fresh), m->nexus_add->read_only ? " ro" : "");
		break;
	case TGT__WORKER_MSG__BODY_NEXUS_DROP:
		snprintf(s, n, "NexusDrop %u", m->nexus_drop->nexus);
		break;
	case TGT__WORKER_MSG__BODY_LUN_LIST:
		snprintf(s, n, "LunList %u: %zu", m->lun_list->nexus, m->lun_list->n_lun);
		break;
	case TGT__WORKER_MSG__BODY_LUN_INVALIDATE:
		snprintf(s, n, "LunInvalidate");
		break;
	case TGT__WORKER_MSG__BODY_POOL_ATTACH:
		snprintf(s, n, "PoolAttach %u", m->pool_attach->pool);
		break;
	case TGT__WORKER_MSG__BODY_POOL_DETACH:
		snprintf(s, n, "PoolDetach %u", m->pool_detach->pool);
		break;
	case TGT__WORKER_MSG__BODY_SESSION_OPENED:
		snprintf(s, n, "SessionOpened c%u err%d n%u%s%s",
			 (unsigned)m->session_opened->cookie, m->session_opened->err,
			 m->session_opened->nexus, *m->session_opened->redirect ? " " : "",
			 m->session_opened->redirect);
		break;
	case TGT__WORKER_MSG__BODY_LUN_OPENED:
		if (m->lun_opened->err)
			snprintf(s, n, "LunOpened c%u err%d", (unsigned)m->lun_opened->cookie,
				 m->lun_opened->err);
		else
			snprintf(s, n, "LunOpened c%u lane%u e%u%s%s",
				 (unsigned)m->lun_opened->cookie, m->lun_opened->lane,
				 m->lun_opened->epoch, m->lun_opened->is_new ? " new" : "",
				 m->lun_opened->inventory ? " inventory" : "");
		break;
	case TGT__WORKER_MSG__BODY_UNIT_START:
		snprintf(s, n, "start %s", m->unit_start->unit);
		break;
	case TGT__WORKER_MSG__BODY_UNIT_STOP:
		snprintf(s, n, "stop %s", m->unit_stop->unit);
		break;
	case TGT__WORKER_MSG__BODY_UNIT_KILL:
		snprintf(s, n, "kill %s", m->unit_kill->unit);
		break;
	default:
		snprintf(s, n, "message %d", (int)m->body_case);
	}
}

static int
rig_send(void *ctx, void *conn, const Tgt__WorkerMsg *m, const int *fds, int n)
{
	const struct wire *w = conn;
	char text[160];

	describe(m, text, sizeof(text));
	if (n)
		say("%s<%s +%d", w->name, text, n);
	else
		say("%s<%s", w->name, text);
	for (int i = 0; i < n; i++)
		CHECK(fcntl(fds[i], F_GETFD) >= 0);
	return 0;
}

static void
rig_close(void *ctx, void *conn)
{
	free(conn);
}

static void
rig_supervisor(void *ctx, const Tgt__WorkerMsg *m)
{
	char text[160];

	describe(m, text, sizeof(text));
	say("%s", text);
}

static void
rig_lun_event(void *ctx, struct model_lun *l, enum lun_event ev, int err, const char *text)
{
	if (ev == LUN_DOWN)
		say("%s down err%d", l->name, err);
	else
		say("%s %s", l->name, ev == LUN_UP ? "up" : "gone");
	if (ev == LUN_UP)
		l->pending = false;
	if (ev == LUN_GONE)
		model_lun_free(l);
}

static void
rig_soon(void *ctx)
{
}

static int
rig_random(void *buf, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		rig.random = rig.random * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)buf)[i] = (uint8_t)(rig.random >> 40);
	}
	return 0;
}

static const struct broker_ops rig_ops = {
	.send = rig_send,
	.close = rig_close,
	.supervisor = rig_supervisor,
	.lun_event = rig_lun_event,
	.soon = rig_soon,
};

/* ---- events ---------------------------------------------------------- */

static struct worker *
rig_worker(const char *role, const char *name)
{
	struct lun_rt *l;

	if (!strcmp(role, "portal"))
		return &rig.b->portal.w;
	list_for_each(l, &rig.b->luns, link)
		if (!strcmp(l->name, name))
			return strcmp(role, "scsid") ? &l->storaged : &l->scsid;
	printf("# no worker %s %s\n", role, name);
	abort();
}

static struct wire *
wire_of(const struct worker *w)
{
	return w->peer ? w->peer->conn : NULL;
}

static void
deliver(struct worker *w, Tgt__WorkerMsg *m)
{
	if (wire_of(w))
		broker_message(rig.b, w->peer, m);
	else
		say("(%s is not connected)", w->unit.name);
}

static void
say_hello(const char *role, const char *name, int pid)
{
	struct worker *w = rig_worker(role, name);
	struct wire *c = calloc(1, sizeof(*c));
	Tgt__Hello h = TGT__HELLO__INIT;
	Tgt__WorkerMsg m;

	snprintf(c->name, sizeof(c->name), "%s.%s", role, name);
	c->peer = broker_accept(rig.b, c, pid ? pid : w->unit.pid);
	h.version = PROTO_VERSION;
	h.role = w->role;
	h.instance = (char *)(uintptr_t)name;
	broker_message(rig.b, c->peer, WRAP(&m, HELLO, hello, &h));
}

static void
unit_event(const char *verb, const char *role, const char *name, const char *cause, int code,
	   bool stays)
{
	struct worker *w = rig_worker(role, name);
	Tgt__UnitStarted s = TGT__UNIT_STARTED__INIT;
	Tgt__UnitExited e = TGT__UNIT_EXITED__INIT;
	Tgt__WorkerMsg m;

	s.unit = e.unit = w->unit.name;
	s.pid = verb[0] == 's' ? ++rig.next_pid : w->unit.pid;
	e.pid = s.pid;
	e.cause = !strcmp(cause, "fault") ? TGT__DEATH_CAUSE__DEATH_OWN_FAULT :
		  !strcmp(cause, "exit") ? TGT__DEATH_CAUSE__DEATH_EXIT :
					   TGT__DEATH_CAUSE__DEATH_KILLED;
	e.code = code;
	e.will_restart = !stays;
	if (verb[0] == 's')
		(void)WRAP(&m, UNIT_STARTED, unit_started, &s);
	else
		(void)WRAP(&m, UNIT_EXITED, unit_exited, &e);
	broker_unit_message(rig.b, &m);
}

static void
ready(const char *role, const char *name, unsigned long long size, unsigned long long dev,
      unsigned long long ino)
{
	Tgt__Ready r = TGT__READY__INIT;
	Tgt__WorkerMsg m;

	r.store_size = size;
	r.dev = dev;
	r.ino = ino;
	deliver(rig_worker(role, name), WRAP(&m, READY, ready, &r));
}

static void
ack(const char *verb, const char *name, uint32_t id, int err)
{
	struct worker *w = rig_worker(verb[0] == 'p' ? "storaged" : "scsid", name);
	Tgt__LaneOpened lo = TGT__LANE_OPENED__INIT;
	Tgt__LaneClosed lc = TGT__LANE_CLOSED__INIT;
	Tgt__PoolAttached pa = TGT__POOL_ATTACHED__INIT;
	Tgt__PoolDetached pd = TGT__POOL_DETACHED__INIT;
	Tgt__NexusAdded na = TGT__NEXUS_ADDED__INIT;
	Tgt__NexusDropped nd = TGT__NEXUS_DROPPED__INIT;
	bool plus = verb[strlen(verb) - 1] == '+';
	Tgt__WorkerMsg m;

	lo.lane = lc.lane = pa.pool = pd.pool = na.nexus = nd.nexus = id;
	lo.err = pa.err = na.err = err;
	if (verb[0] == 'l')
		(void)(plus ? WRAP(&m, LANE_OPENED, lane_opened, &lo) :
			      WRAP(&m, LANE_CLOSED, lane_closed, &lc));
	else if (verb[0] == 'p')
		(void)(plus ? WRAP(&m, POOL_ATTACHED, pool_attached, &pa) :
			      WRAP(&m, POOL_DETACHED, pool_detached, &pd));
	else
		(void)(plus ? WRAP(&m, NEXUS_ADDED, nexus_added, &na) :
			      WRAP(&m, NEXUS_DROPPED, nexus_dropped, &nd));
	deliver(w, &m);
}

static void
portal_says(const char *verb, unsigned a, unsigned b, unsigned c, unsigned d, const char *name)
{
	static uint8_t isid[6] = { 0x80, 1, 2, 3, 4, 5 };
	static char address[] = "127.0.0.1:1", initiator[] = "iqn.2026-11.org.example:i";
	Tgt__SessionOpen so = TGT__SESSION_OPEN__INIT;
	Tgt__SessionClose sc = TGT__SESSION_CLOSE__INIT;
	Tgt__LunOpen lo = TGT__LUN_OPEN__INIT;
	Tgt__LaneReleased lr = TGT__LANE_RELEASED__INIT;
	Tgt__DiscoveryOpen dd = TGT__DISCOVERY_OPEN__INIT;
	Tgt__WorkerMsg m;

	so.cookie = lo.cookie = dd.cookie = a;
	so.initiator = dd.initiator = initiator;
	so.isid.data = isid;
	so.isid.len = 6;
	so.target = (char *)(uintptr_t)name;
	so.address = dd.address = address;
	sc.nexus = lr.lane = a;
	lo.nexus = b;
	lo.lun = model_lun_encode(c);
	lo.thread = d;
	if (!strcmp(verb, "session"))
		(void)WRAP(&m, SESSION_OPEN, session_open, &so);
	else if (!strcmp(verb, "close"))
		(void)WRAP(&m, SESSION_CLOSE, session_close, &sc);
	else if (!strcmp(verb, "discover"))
		(void)WRAP(&m, DISCOVERY_OPEN, discovery_open, &dd);
	else if (!strcmp(verb, "open"))
		(void)WRAP(&m, LUN_OPEN, lun_open, &lo);
	else
		(void)WRAP(&m, LANE_RELEASED, lane_released, &lr);
	deliver(&rig.b->portal.w, &m);
}

static void
operator_event(const char *verb, const char *name, unsigned number)
{
	struct lun_spec s = { name, "null", "", 1 << 20, 512, false };
	struct model_mapping *p;
	struct model_lun *l;
	char why[MODEL_WHY];

	if (!strcmp(verb, "lun")) {
		CHECK_EQ(model_lun_create(&rig.m, &s, &l, why), 0);
		CHECK_EQ(broker_lun_add(rig.b, l), 0);
	} else if (!strcmp(verb, "unlun")) {
		l = model_lun_find(&rig.m, name);
		model_lun_unlink(&rig.m, l);
		broker_lun_remove(rig.b, l);
	} else if (!strcmp(verb, "revive")) {
		broker_lun_revive(rig.b, model_lun_find(&rig.m, name));
	} else if (!strcmp(verb, "map")) {
		CHECK_EQ(model_mapping_create(&rig.m, IQN, name, number, false, &p, why), 0);
		broker_mapping_update(rig.b, rig.t, number);
	} else {
		p = model_mapping_find(rig.t, number);
		model_mapping_unlink(p);
		broker_mapping_update(rig.b, rig.t, number);
		model_mapping_free(p);
	}
}

static void
fault_event(const char *verb, const char *role, const char *name, unsigned number)
{
	Tgt__Violation v = TGT__VIOLATION__INIT;
	Tgt__Failed f = TGT__FAILED__INIT;
	static char text[] = "a test said so";
	Tgt__WorkerMsg m;

	v.lane = number;
	v.text = f.text = text;
	f.err = (int)number;
	if (!strcmp(verb, "violation"))
		(void)WRAP(&m, VIOLATION, violation, &v);
	else
		(void)WRAP(&m, FAILED, failed, &f);
	deliver(rig_worker(role, name), &m);
}

static void
event(const char *line)
{
	char verb[16] = "", w1[40] = "", w2[40] = "", w3[16] = "", w4[16] = "", w5[16] = "";
	int n = sscanf(line, "%15s %39s %39s %15s %15s %15s", verb, w1, w2, w3, w4, w5);

	CHECK(n >= 1);
	if (!strcmp(verb, "started") || !strcmp(verb, "exited"))
		unit_event(verb, w1, w2, w3, atoi(w4), !strcmp(w5, "stays"));
	else if (!strcmp(verb, "hello"))
		say_hello(w1, w2, atoi(w3));
	else if (!strcmp(verb, "ready"))
		ready(w1, w2, strtoull(w3, NULL, 0), strtoull(w4, NULL, 0), strtoull(w5, NULL, 0));
	else if (!strcmp(verb, "hangup"))
		broker_hangup(rig.b, rig_worker(w1, w2)->peer);
	else if (!strcmp(verb, "failed") || !strcmp(verb, "violation"))
		fault_event(verb, w1, w2, (unsigned)atoi(w3));
	else if (strchr(verb, '+') || strchr(verb, '-'))
		ack(verb, w1, (uint32_t)atoi(w2), atoi(w3));
	else if (!strcmp(verb, "session"))
		portal_says(verb, (unsigned)atoi(w1), 0, 0, 0, w2);
	else if (!strcmp(verb, "open") || !strcmp(verb, "close") ||
		 !strcmp(verb, "released") || !strcmp(verb, "discover"))
		portal_says(verb, (unsigned)atoi(w1), (unsigned)atoi(w2), (unsigned)atoi(w3),
			    (unsigned)atoi(w4), "");
	else if (!strcmp(verb, "map"))
		operator_event(verb, w2, (unsigned)atoi(w1));
	else if (!strcmp(verb, "unmap"))
		operator_event(verb, "", (unsigned)atoi(w1));
	else if (!strcmp(verb, "tick"))
		broker_tick(rig.b);
	else if (!strcmp(verb, "terminate"))
		broker_terminate(rig.b);
	else
		operator_event(verb, w1, 0);
}

/* Runs one script; a row that said something else is shown with both. */
static void
play(const struct row *rows)
{
	for (; rows->event; rows++) {
		rig.said[0] = 0;
		event(rows->event);
		if (rows->expect)
			CHECK_MSG(!strcmp(rig.said, rows->expect),
				  "\"%s\"\n#   said     \"%s\"\n#   expected \"%s\"", rows->event,
				  rig.said, rows->expect);
	}
}

static void
rig_begin(uint64_t pool_budget)
{
	const struct broker_config cfg = { .threads = 2, .max_sessions = 8,
					   .pool_budget = pool_budget };
	struct model_rule *rule;
	char why[MODEL_WHY];

	memset(&rig, 0, sizeof(rig));
	rig.next_pid = 100;
	log_open("test", NULL, 0); /* deaths are the subject: not worth a line */
	model_init(&rig.m, rig_random);
	CHECK_EQ(model_target_create(&rig.m, IQN, "", 1, &rig.t, why), 0);
	CHECK_EQ(model_rule_create(&rig.m, IQN, ACCESS_ALL, "127.0.0.0/8", &rule, why), 0);
	rig.b = broker_new(&rig.m, &cfg, &rig_ops, NULL);
	CHECK(rig.b != NULL);
	CHECK_EQ(broker_start(rig.b), 0);
}

/* Nothing of what the scripts made is left: descriptors, objects. */
static void
rig_end(void)
{
	broker_free(rig.b);
	model_done(&rig.m);
}

/* ---- scripts ------------------------------------------------------------- */

static const struct row up[] = {
	{ "started portal 0", NULL },
	{ "hello portal 0", NULL },
	{ "ready portal 0", NULL },
	{ "started scsid inventory", NULL },
	{ "hello scsid inventory", NULL },
	{ "ready scsid inventory", NULL },
	{ "lun a", NULL },
	{ "started storaged a", NULL },
	{ "started scsid a", NULL },
	{ "hello storaged a", NULL },
	{ "hello scsid a", NULL },
	{ "ready storaged a 1048576", NULL },
	{ "ready scsid a", NULL },
	{ "map 0 a", NULL },
	{ "session 1 " IQN, NULL },
	{ 0 },
};

static const struct row opened[] = {
	{ "open 7 1 0 1", NULL },
	{ "pool+ a 1", NULL },
	{ "lane+ a 1", NULL },
	{ "nexus+ a 1", NULL },
	{ 0 },
};

struct script {
	const char *name;
	int prologue; /* 0: none, 1: up, 2: up and opened */
	const struct row *rows;
};

/* Every script, each on a broker of its own. */
static inline void
play_scripts(const struct script *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int before = tap_bad;

		rig_begin(UINT64_C(4) << 30);
		if (s[i].prologue >= 1)
			play(up);
		if (s[i].prologue >= 2)
			play(opened);
		play(s[i].rows);
		rig_end();
		CHECK_MSG(tap_bad == before, "in script \"%s\"", s[i].name);
	}
}

#endif
