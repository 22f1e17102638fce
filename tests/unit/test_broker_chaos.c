/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker among simulated workers that answer when they like and die at any
 * moment.  Each of them checks what it is told; when the dust has settled, all
 * ends of every lane must agree, and after the last session nothing is left.
 *
 *	test_broker_chaos [SEEDS [FIRST_SEED]]
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/broker.h"
#include "ctl/broker_priv.h"
#include "proto/chan.h"
#include "proto/log.h"
#include "tests/unit/tap.h"

#define IQN "iqn.2026-11.org.example:t"

enum { LUNS = 2, IDS = 2048, SESSIONS = 4, INBOX = 256, COOKIES = 4096, STEPS = 400 };

/* What happens in the simulated world: one worker process at a time each. */
struct sim {
	struct worker *w;
	struct peer *peer;
	Tgt__WorkerMsg *inbox[INBOX];
	int n_in;
	bool alive, hello, configured, ready;
	uint32_t epoch[IDS]; /* lanes it has; 0: none.  [0]: the lower lane */
	bool pool[IDS], nexus[IDS];
	bool released[IDS]; /* portal: a LaneEpoch may have crossed it */
};

struct session {
	uint32_t nexus; /* 0: none */
	uint32_t thread;
};

static struct world {
	struct broker *b;
	struct model m;
	uint64_t seed;
	struct sim sims[2 * LUNS + 2]; /* storaged, scsid of each; inventory; portal */
	struct session sessions[SESSIONS];
	uint8_t open[COOKIES]; /* 1: asked, 2: answered */
	unsigned last_cookie, asked, sessions_asked;
	pid_t next_pid;
} W;

static struct sim *const portal = &W.sims[2 * LUNS + 1];

static unsigned
rnd(unsigned n)
{
	W.seed = W.seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(W.seed >> 33) % n;
}

/* ---- ops ------------------------------------------------------------- */

static int
op_send(void *ctx, void *conn, const Tgt__WorkerMsg *m, const int *fds, int n)
{
	struct sim *s = conn;
	uint8_t buf[CHAN_MSG_MAX];
	size_t len = tgt__worker_msg__pack(m, buf);

	CHECK(s->alive && s->n_in < INBOX);
	for (int i = 0; i < n; i++)
		CHECK(fds[i] >= 0);
	s->inbox[s->n_in++] = tgt__worker_msg__unpack(NULL, len, buf);
	return 0;
}

static void
op_close(void *ctx, void *conn)
{
	struct sim *s = conn;

	s->peer = NULL;
}

static void
op_supervisor(void *ctx, const Tgt__WorkerMsg *m)
{
	CHECK_MSG(m->body_case != TGT__WORKER_MSG__BODY_UNIT_KILL, "seed: killed: %s",
		  m->unit_kill ? m->unit_kill->why : "");
}

static void
op_event(void *ctx, struct model_lun *l, enum lun_event ev, int err, const char *text)
{
	CHECK_EQ(ev, LUN_UP);
	l->pending = false;
}

static void
op_soon(void *ctx)
{
}

static int
op_random(void *buf, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)buf)[i] = (uint8_t)rnd(256);
	return 0;
}

static const struct broker_ops ops = { op_send, op_close, op_supervisor, op_event, op_soon };

/* ---- life and death -------------------------------------------------- */

static void
forget(struct sim *s)
{
	while (s->n_in)
		tgt__worker_msg__free_unpacked(s->inbox[--s->n_in], NULL);
	s->hello = s->configured = s->ready = false;
	memset(s->epoch, 0, sizeof(s->epoch));
	memset(s->pool, 0, sizeof(s->pool));
	memset(s->nexus, 0, sizeof(s->nexus));
	memset(s->released, 0, sizeof(s->released));
}

static void
start(struct sim *s)
{
	Tgt__UnitStarted u = TGT__UNIT_STARTED__INIT;
	Tgt__Hello h = TGT__HELLO__INIT;
	Tgt__WorkerMsg m;

	u.unit = s->w->unit.name;
	u.pid = ++W.next_pid;
	s->alive = true;
	broker_unit_message(W.b, WRAP(&m, UNIT_STARTED, unit_started, &u));
	s->peer = broker_accept(W.b, s, u.pid);
	h.version = PROTO_VERSION;
	h.role = s->w->role;
	h.instance = strchr(s->w->unit.name, '@') + 1;
	s->hello = true;
	broker_message(W.b, s->peer, WRAP(&m, HELLO, hello, &h));
}

static void
die(struct sim *s)
{
	Tgt__UnitExited e = TGT__UNIT_EXITED__INIT;
	Tgt__WorkerMsg m;
	bool first = rnd(2);

	e.unit = s->w->unit.name;
	e.pid = s->w->unit.pid;
	e.cause = TGT__DEATH_CAUSE__DEATH_KILLED;
	e.will_restart = true;
	if (first)
		broker_unit_message(W.b, WRAP(&m, UNIT_EXITED, unit_exited, &e));
	broker_hangup(W.b, s->peer);
	if (!first)
		broker_unit_message(W.b, WRAP(&m, UNIT_EXITED, unit_exited, &e));
	s->alive = false;
	forget(s);
	if (s != portal)
		return;
	memset(W.sessions, 0, sizeof(W.sessions));
	for (int i = 0; i < COOKIES; i++)
		W.open[i] = 0;
	W.asked = W.sessions_asked = 0;
}

/* ---- what each worker checks and answers ----------------------------- */

#define ANSWER(s, CASE, field, inner)                                          \
	do {                                                                   \
		Tgt__WorkerMsg out_;                                           \
		if ((s)->ready && (s)->peer)                                   \
			broker_message(W.b, (s)->peer, WRAP(&out_, CASE, field, inner)); \
	} while (0)

static void
scsid_takes(struct sim *s, const Tgt__WorkerMsg *m)
{
	Tgt__LaneOpened lo = TGT__LANE_OPENED__INIT;
	Tgt__LaneClosed lc = TGT__LANE_CLOSED__INIT;
	Tgt__NexusAdded na = TGT__NEXUS_ADDED__INIT;
	Tgt__NexusDropped nd = TGT__NEXUS_DROPPED__INIT;
	uint32_t id;

	switch (m->body_case) {
	case TGT__WORKER_MSG__BODY_SCSID_CONFIG:
		s->epoch[0] = m->scsid_config->epoch;
		break;
	case TGT__WORKER_MSG__BODY_LANE_OPEN:
		lo.lane = id = m->lane_open->lane;
		CHECK(!s->epoch[id]);
		s->epoch[id] = m->lane_open->epoch;
		ANSWER(s, LANE_OPENED, lane_opened, &lo);
		break;
	case TGT__WORKER_MSG__BODY_LANE_CLOSE:
		lc.lane = id = m->lane_close->lane;
		CHECK(s->epoch[id]);
		s->epoch[id] = 0;
		ANSWER(s, LANE_CLOSED, lane_closed, &lc);
		break;
	case TGT__WORKER_MSG__BODY_NEXUS_ADD:
		na.nexus = id = m->nexus_add->nexus;
		CHECK(!s->nexus[id] && s->epoch[m->nexus_add->lane]);
		s->nexus[id] = true;
		ANSWER(s, NEXUS_ADDED, nexus_added, &na);
		break;
	case TGT__WORKER_MSG__BODY_NEXUS_DROP:
		nd.nexus = id = m->nexus_drop->nexus;
		CHECK(s->nexus[id]);
		s->nexus[id] = false;
		ANSWER(s, NEXUS_DROPPED, nexus_dropped, &nd);
		break;
	case TGT__WORKER_MSG__BODY_LANE_EPOCH:
		CHECK_EQ(m->lane_epoch->lane, 0);
		CHECK(m->lane_epoch->epoch > s->epoch[0]);
		s->epoch[0] = m->lane_epoch->epoch;
		break;
	default:
		CHECK_MSG(0, "scsid was told %d", (int)m->body_case);
	}
}

static void
storaged_takes(struct sim *s, const Tgt__WorkerMsg *m)
{
	Tgt__PoolAttached pa = TGT__POOL_ATTACHED__INIT;
	Tgt__PoolDetached pd = TGT__POOL_DETACHED__INIT;

	switch (m->body_case) {
	case TGT__WORKER_MSG__BODY_STORAGED_CONFIG:
		s->epoch[0] = m->storaged_config->epoch;
		break;
	case TGT__WORKER_MSG__BODY_POOL_ATTACH:
		pa.pool = m->pool_attach->pool;
		CHECK(!s->pool[pa.pool]);
		s->pool[pa.pool] = true;
		ANSWER(s, POOL_ATTACHED, pool_attached, &pa);
		break;
	case TGT__WORKER_MSG__BODY_POOL_DETACH:
		pd.pool = m->pool_detach->pool;
		CHECK(s->pool[pd.pool]);
		s->pool[pd.pool] = false;
		ANSWER(s, POOL_DETACHED, pool_detached, &pd);
		break;
	case TGT__WORKER_MSG__BODY_LANE_EPOCH:
		CHECK(m->lane_epoch->epoch > s->epoch[0]);
		s->epoch[0] = m->lane_epoch->epoch;
		break;
	default:
		CHECK_MSG(0, "storaged was told %d", (int)m->body_case);
	}
}

static void
portal_opened(const Tgt__LunOpened *o)
{
	CHECK_EQ(W.open[o->cookie], 1);
	W.open[o->cookie] = 2;
	W.asked--;
	if (o->err) {
		CHECK_EQ(o->err, ECANCELED);
		return;
	}
	CHECK_EQ(!portal->epoch[o->lane], o->is_new);
	if (o->is_new)
		portal->epoch[o->lane] = o->epoch;
	CHECK_EQ(portal->epoch[o->lane], o->epoch);
}

static void
portal_takes(struct sim *s, const Tgt__WorkerMsg *m)
{
	switch (m->body_case) {
	case TGT__WORKER_MSG__BODY_PORTAL_CONFIG:
	case TGT__WORKER_MSG__BODY_TARGET_LIST:
		break;
	case TGT__WORKER_MSG__BODY_SESSION_OPENED:
		CHECK_EQ(m->session_opened->err, 0);
		W.sessions_asked--;
		for (int i = 0; i < SESSIONS; i++)
			if (!W.sessions[i].nexus) {
				W.sessions[i].nexus = m->session_opened->nexus;
				W.sessions[i].thread = rnd(2);
				return;
			}
		CHECK_MSG(0, "no session asked for this");
		break;
	case TGT__WORKER_MSG__BODY_LUN_OPENED:
		portal_opened(m->lun_opened);
		break;
	case TGT__WORKER_MSG__BODY_LANE_EPOCH:
		if (s->released[m->lane_epoch->lane])
			break;
		CHECK(s->epoch[m->lane_epoch->lane]);
		CHECK(m->lane_epoch->epoch > s->epoch[m->lane_epoch->lane]);
		s->epoch[m->lane_epoch->lane] = m->lane_epoch->epoch;
		break;
	default:
		CHECK_MSG(0, "portal was told %d", (int)m->body_case);
	}
}

static void
take(struct sim *s)
{
	Tgt__WorkerMsg *m = s->inbox[0];

	memmove(s->inbox, s->inbox + 1, (size_t)--s->n_in * sizeof(s->inbox[0]));
	if (m->body_case == TGT__WORKER_MSG__BODY_CONFIG_DONE)
		s->configured = true;
	else if (s->w->role == TGT__ROLE__ROLE_SCSID)
		scsid_takes(s, m);
	else if (s->w->role == TGT__ROLE__ROLE_STORAGED)
		storaged_takes(s, m);
	else
		portal_takes(s, m);
	tgt__worker_msg__free_unpacked(m, NULL);
}

/* Configured: it reads on only when it is ready (proto/daemon.h). */
static void
step(struct sim *s)
{
	Tgt__Ready r = TGT__READY__INIT;
	Tgt__WorkerMsg m;

	r.store_size = 1 << 20;
	if (!s->alive)
		start(s);
	else if (s->configured && !s->ready) {
		s->ready = true;
		broker_message(W.b, s->peer, WRAP(&m, READY, ready, &r));
	} else if (s->n_in) {
		take(s);
	}
}

/* ---- what the portal does -------------------------------------------- */

static void
ask_session(void)
{
	static uint8_t isid[6];
	static char i[] = "iqn.2026-11.org.example:i", t[] = IQN, a[] = "127.0.0.1:1";
	Tgt__SessionOpen o = TGT__SESSION_OPEN__INIT;
	unsigned have = W.sessions_asked;

	for (int k = 0; k < SESSIONS; k++)
		have += W.sessions[k].nexus != 0;
	if (have >= SESSIONS)
		return;
	o.initiator = i;
	o.target = t;
	o.address = a;
	o.isid.data = isid;
	o.isid.len = 6;
	W.sessions_asked++;
	ANSWER(portal, SESSION_OPEN, session_open, &o);
}

static void
ask_lun(const struct session *s)
{
	Tgt__LunOpen o = TGT__LUN_OPEN__INIT;

	if (!s->nexus || W.last_cookie + 1 >= COOKIES)
		return;
	o.cookie = ++W.last_cookie;
	o.nexus = s->nexus;
	o.thread = s->thread;
	o.lun = model_lun_encode(rnd(LUNS + 1));
	W.open[o.cookie] = 1;
	W.asked++;
	ANSWER(portal, LUN_OPEN, lun_open, &o);
}

static void
end_session(struct session *s)
{
	Tgt__SessionClose c = TGT__SESSION_CLOSE__INIT;

	if (!s->nexus)
		return;
	c.nexus = s->nexus;
	s->nexus = 0;
	ANSWER(portal, SESSION_CLOSE, session_close, &c);
}

/* Lanes go with the last session; with several threads one cannot tell which
 * lane an answer on its way names, so none is awaited. */
static void
release_lanes(void)
{
	for (int i = 0; i < SESSIONS; i++)
		if (W.sessions[i].nexus || W.asked)
			return;
	for (uint32_t id = 1; id < IDS; id++) {
		Tgt__LaneReleased r = TGT__LANE_RELEASED__INIT;

		r.lane = id;
		if (!portal->epoch[id])
			continue;
		portal->epoch[id] = 0;
		portal->released[id] = true;
		ANSWER(portal, LANE_RELEASED, lane_released, &r);
	}
}

static void
portal_acts(void)
{
	struct session *s = &W.sessions[rnd(SESSIONS)];
	unsigned what = rnd(10);

	if (!portal->ready)
		return;
	if (what < 3)
		ask_session();
	else if (what < 7)
		ask_lun(s);
	else if (what < 9)
		end_session(s);
	else
		release_lanes();
}

/* ---- the runs -------------------------------------------------------- */

static void
settle(void)
{
	bool busy = true;

	while (busy) {
		busy = false;
		for (size_t i = 0; i < ARRAY_SIZE(W.sims); i++) {
			struct sim *s = &W.sims[i];

			if (s->alive && s->ready && !s->n_in)
				continue;
			if (s->alive && !s->configured && !s->n_in)
				continue; /* held back */
			step(s);
			busy = true;
		}
	}
}

static void
check_agreement(void)
{
	for (int k = 0; k < LUNS; k++)
		CHECK_EQ(W.sims[2 * k].epoch[0], W.sims[2 * k + 1].epoch[0]);
	for (uint32_t id = 1; id < IDS; id++) {
		if (!portal->epoch[id])
			continue;
		for (int k = 0; k <= LUNS; k++) {
			struct sim *scsid = &W.sims[k < LUNS ? 2 * k + 1 : 2 * LUNS];

			if (!scsid->epoch[id])
				continue;
			CHECK_EQ(scsid->epoch[id], portal->epoch[id]);
			if (k < LUNS)
				CHECK(W.sims[2 * k].pool[id]);
			goto found;
		}
		CHECK_MSG(0, "nobody serves lane %u", id);
found:;
	}
	CHECK_EQ(W.asked, 0);
}

static void
check_nothing_left(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(W.sims); i++)
		for (uint32_t id = 1; id < IDS; id++)
			CHECK_MSG(!W.sims[i].epoch[id] && !W.sims[i].pool[id] &&
				  !W.sims[i].nexus[id], "%s has lane or nexus %u",
				  W.sims[i].w->unit.name, id);
	CHECK_EQ(W.b->portal.pool_bytes, 0);
}

static int
count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static void
set_up(uint64_t seed)
{
	const struct broker_config cfg = { .threads = 2, .max_sessions = 16,
					   .pool_budget = UINT64_C(1) << 40 };
	char why[MODEL_WHY], name[] = "a";
	struct model_target *t;
	struct model_rule *rule;

	memset(&W, 0, sizeof(W));
	W.seed = seed;
	W.next_pid = 1000;
	model_init(&W.m, op_random);
	CHECK_EQ(model_target_create(&W.m, IQN, "", 1, &t, why), 0);
	CHECK_EQ(model_rule_create(&W.m, IQN, ACCESS_ALL, "", &rule, why), 0);
	W.b = broker_new(&W.m, &cfg, &ops, NULL);
	CHECK_EQ(broker_start(W.b), 0);
	for (uint32_t k = 0; k < LUNS; k++) {
		struct lun_spec spec = { name, "null", "", 1 << 20, 512, false };
		struct model_mapping *p;
		struct model_lun *l;
		struct lun_rt *rt;

		name[0] = (char)('a' + k);
		CHECK_EQ(model_lun_create(&W.m, &spec, &l, why), 0);
		CHECK_EQ(broker_lun_add(W.b, l), 0);
		l->pending = false;
		CHECK_EQ(model_mapping_create(&W.m, IQN, name, k, false, &p, why), 0);
		rt = l->rt;
		W.sims[2 * k].w = &rt->storaged;
		W.sims[2 * k + 1].w = &rt->scsid;
	}
	W.sims[2 * LUNS].w = &W.b->inventory->scsid;
	portal->w = &W.b->portal.w;
}

static void
run(uint64_t seed)
{
	int before = count_descriptors(), bad = tap_bad;

	set_up(seed);
	for (int i = 0; i < STEPS; i++) {
		struct sim *s = &W.sims[rnd(ARRAY_SIZE(W.sims))];

		if (!rnd(3))
			portal_acts();
		else if (!rnd(25) && s->alive)
			die(s);
		else
			step(s);
	}
	settle();
	check_agreement();
	for (int i = 0; i < SESSIONS; i++)
		end_session(&W.sessions[i]);
	settle();
	release_lanes();
	settle();
	check_nothing_left();
	for (size_t i = 0; i < ARRAY_SIZE(W.sims); i++)
		forget(&W.sims[i]);
	broker_free(W.b);
	model_done(&W.m);
	CHECK_EQ(count_descriptors(), before);
	CHECK_MSG(tap_bad == bad, "in seed %llu", (unsigned long long)seed);
}

static unsigned long long seeds = 300, first = 1;

static void
test_chaos(void)
{
	for (unsigned long long i = 0; i < seeds && !tap_bad; i++)
		run(first + i);
}

int
main(int argc, char **argv)
{
	if (argc > 1)
		seeds = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		first = strtoull(argv[2], NULL, 0);
	log_open("test", NULL, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	TEST(test_chaos);
	return tap_done();
}
