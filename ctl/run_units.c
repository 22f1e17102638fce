/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processes of the service: starting, restarting, stopping, and saying why
 * they died.  Must not know what they do.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/run.h"
#include "proto/log.h"

static const double KILL_AFTER = 5.0; /* SIGTERM, then SIGKILL */
static const double WATCHDOG = 5.0;

static void unit_spawn(struct run_unit *u);
static void stop_next(struct run *r);

#define for_each_unit(u, r) list_for_each(u, &(r)->units, link)

/* ---- out of memory ----------------------------------------------------- */

/* The number after "@word " in a small kernel file; 0 if it is not there. */
static uint64_t
kernel_count(const char *path, const char *word)
{
	char line[256];
	uint64_t n = 0;
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f)) {
		size_t len = strlen(word);

		if (!strncmp(line, word, len) && line[len] == ' ') {
			n = strtoull(line + len + 1, NULL, 10);
			break;
		}
	}
	if (f)
		fclose(f);
	return n;
}

/* How often the OOM killer struck here: our cgroup's count (cgroup v2), or
 * where there is none the machine's. */
static uint64_t
oom_kills(void)
{
	char line[256], path[400];
	FILE *f = fopen("/proc/self/cgroup", "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "0::/", 4))
			continue;
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.events", line + 3);
		found = access(path, R_OK) == 0;
	}
	if (f)
		fclose(f);
	return kernel_count(found ? path : "/proc/vmstat", "oom_kill");
}

/* ---- units -------------------------------------------------------------- */

static struct run_unit *
find(struct run *r, const struct run_unit_name *id)
{
	struct run_unit *u;

	if (id->prog == RUN_CTLD)
		return &r->ctld;
	for_each_unit(u, r) {
		if (u->id.prog == id->prog && !strcmp(u->id.instance, id->instance))
			return u;
	}
	return NULL;
}

struct run_unit *
run_unit_by_pid(struct run *r, pid_t pid)
{
	struct run_unit *u;

	if (pid <= 0)
		return NULL;
	if (r->ctld.pid == pid)
		return &r->ctld;
	for_each_unit(u, r) {
		if (u->pid == pid)
			return u;
	}
	return NULL;
}

static void
on_restart(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct run_unit *u = w->data;

	unit_spawn(u);
}

static void
on_kill(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct run_unit *u = w->data;

	if (!u->pid)
		return;
	log_warn("%s does not end, killing it: pid=%d", u->name, (int)u->pid);
	kill(u->pid, SIGKILL);
}

static void
feed_watchdog(struct run_unit *u)
{
	u->watchdog_due = ev_now(u->run->loop) + WATCHDOG;
	ev_timer_again(u->run->loop, &u->watchdog);
}

static void
on_watchdog(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct run_unit *u = w->data;

	ev_timer_stop(loop, w);
	if (!u->pid)
		return;
	/* Woken late: we were stopped ourselves (a frozen container), and so
	 * was whoever we would blame. */
	if (ev_now(loop) - u->watchdog_due > 1.0) {
		feed_watchdog(u);
		return;
	}
	log_err("%s hangs, killing it: pid=%d", u->name, (int)u->pid);
	u->hung = true;
	kill(u->pid, SIGKILL);
}

static void
unit_init(struct run *r, struct run_unit *u, const struct run_unit_name *id)
{
	memset(u, 0, sizeof(*u));
	list_init(&u->link);
	u->run = r;
	u->id = *id;
	u->gate = -1;
	u->wanted = true;
	snprintf(u->name, sizeof(u->name), "%s%s%s", run_prog_names[id->prog],
		 *id->instance ? "@" : "", id->instance);
	ev_timer_init(&u->restart, on_restart, 0, 0);
	ev_timer_init(&u->watchdog, on_watchdog, 0, WATCHDOG);
	ev_timer_init(&u->kill, on_kill, 0, 0);
	u->restart.data = u->watchdog.data = u->kill.data = u;
}

static void
open_gate(struct run_unit *u)
{
	if (u->gate < 0)
		return;
	/* A byte, not only the end of file: children forked since then still
	 * hold this pipe until they exec. */
	if (write(u->gate, "", 1) < 0)
		log_debug("%s is gone already", u->name);
	close(u->gate);
	u->gate = -1;
	u->run->n_gated--;
}

static void
unit_stop_timers(struct run_unit *u)
{
	ev_timer_stop(u->run->loop, &u->restart);
	ev_timer_stop(u->run->loop, &u->watchdog);
	ev_timer_stop(u->run->loop, &u->kill);
}

static void
unit_forget(struct run_unit *u)
{
	unit_stop_timers(u);
	open_gate(u);
	list_del(&u->link);
	u->run->n_units--;
	free(u);
}

static void
schedule_restart(struct run_unit *u, double delay)
{
	ev_timer_stop(u->run->loop, &u->restart);
	ev_timer_set(&u->restart, delay, 0);
	ev_timer_start(u->run->loop, &u->restart);
}

/*
 * The child is held at a gate until UnitStarted is on its way to ctld, so that
 * ctld can know the pid before the worker's Hello.  All signals are blocked
 * around fork: the child must not run our handlers.
 */
static pid_t
fork_unit(struct run_unit *u, int sup, int *gate)
{
	sigset_t all, old;
	int pipefd[2];
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return -1;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (!pid) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		signal(SIGHUP, SIG_DFL);
		signal(SIGCHLD, SIG_DFL);
		signal(SIGPIPE, SIG_DFL);
		sigemptyset(&old);
		sigprocmask(SIG_SETMASK, &old, NULL);
		close(pipefd[1]);
		run_exec(u->run, u, pipefd[0], sup);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(pipefd[0]);
	if (pid < 0)
		close(pipefd[1]);
	else
		*gate = pipefd[1];
	return pid;
}

static void
unit_spawn(struct run_unit *u)
{
	struct run *r = u->run;
	int sup = -1, err = 0;
	pid_t pid = -1;

	if (u == &r->ctld)
		err = run_ctld_open(r, &sup);
	if (!err) {
		pid = fork_unit(u, sup, &u->gate);
		err = pid < 0 ? -errno : 0;
	}
	if (sup >= 0)
		close(sup);
	u->started = ev_now(r->loop);
	u->ready = u->hung = false;
	if (err) {
		double delay = run_backoff_next(&u->backoff, false, 0);

		log_err("cannot start %s: %s", u->name, strerror(-err));
		if (u == &r->ctld)
			run_ctld_close(r);
		else
			run_ctld_tell_exited(r, u->name, 0, TGT__DEATH_CAUSE__DEATH_EXIT, -err,
					     true, delay);
		schedule_restart(u, delay);
		return;
	}
	u->pid = pid;
	r->n_gated++;
	log_debug("%s started: pid=%d", u->name, (int)pid);
	if (u == &r->ctld) {
		struct run_unit *w;

		/* A new ctld hears first of who is there already. */
		for_each_unit(w, r) {
			if (w->pid)
				run_ctld_tell_started(r, w);
		}
		open_gate(u);
	} else {
		run_ctld_tell_started(r, u);
	}
}

int
run_unit_start(struct run *r, const struct run_unit_name *id)
{
	struct run_unit *u = find(r, id);

	if (r->stopping)
		return -ESHUTDOWN;
	if (u && (u->pid || ev_is_active(&u->restart))) {
		u->wanted = true; /* takes back a stop; it comes back when it has ended */
		return 0;
	}
	if (id->prog == RUN_CTLD) {
		u = &r->ctld;
		unit_init(r, u, id);
	} else if (!u) {
		if (r->n_units >= RUN_UNITS_MAX)
			return -EMFILE;
		u = malloc(sizeof(*u));
		if (!u)
			return -ENOMEM;
		unit_init(r, u, id);
		list_add_tail(&r->units, &u->link);
		r->n_units++;
	}
	unit_spawn(u);
	return 0;
}

static void
unit_terminate(struct run_unit *u)
{
	open_gate(u);
	kill(u->pid, SIGTERM);
	if (!ev_is_active(&u->kill)) {
		ev_timer_set(&u->kill, KILL_AFTER, 0);
		ev_timer_start(u->run->loop, &u->kill);
	}
}

void
run_unit_stop(struct run *r, const struct run_unit_name *id)
{
	struct run_unit *u = find(r, id);

	if (u && u->pid) {
		u->wanted = false;
		unit_terminate(u);
		return; /* on_child answers */
	}
	if (u) {
		run_ctld_tell_exited(r, u->name, 0, TGT__DEATH_CAUSE__DEATH_NONE, 0, false, 0);
		unit_forget(u);
		return;
	}
	char name[RUN_UNIT_MAX];

	snprintf(name, sizeof(name), "%s@%s", run_prog_names[id->prog], id->instance);
	run_ctld_tell_exited(r, name, 0, TGT__DEATH_CAUSE__DEATH_NONE, 0, false, 0);
}

void
run_unit_kill(struct run *r, const struct run_unit_name *id, const char *why)
{
	struct run_unit *u = find(r, id);

	if (!u || !u->pid)
		return;
	log_warn("killing %s: pid=%d: %s", u->name, (int)u->pid, why);
	kill(u->pid, SIGKILL);
}

static bool
is_watched(const struct run_unit *u)
{
	return u->id.prog == RUN_CTLD || u->id.prog == RUN_PORTAL;
}

void
run_unit_ready(struct run_unit *u)
{
	struct run *r = u->run;

	u->ready = true;
	log_debug("%s is ready: pid=%d", u->name, (int)u->pid);
	if (is_watched(u) && !r->stopping)
		feed_watchdog(u);
	if (u != &r->ctld)
		return;
	/* The directory may be one of our own choice: tgt-ctl needs to be told. */
	if (!r->ctld_was_ready && !r->opt.n_exports)
		log_info("serving: control=%s state=%s", r->control_path, r->state);
	r->ctld_was_ready = true;
}

void
run_unit_alive(struct run_unit *u)
{
	if (ev_is_active(&u->watchdog))
		feed_watchdog(u);
}

/* ---- deaths ------------------------------------------------------------- */

static void
log_death(const struct run_unit *u, pid_t pid, Tgt__DeathCause cause, int code)
{
	static const char *const causes[] = {
		[TGT__DEATH_CAUSE__DEATH_EXIT] = "ended with status",
		[TGT__DEATH_CAUSE__DEATH_OWN_FAULT] = "crashed with signal",
		[TGT__DEATH_CAUSE__DEATH_KILLED] = "was killed by signal",
		[TGT__DEATH_CAUSE__DEATH_WATCHDOG] = "hung and was killed by signal",
		[TGT__DEATH_CAUSE__DEATH_OOM] = "was killed for lack of memory by signal",
	};
	bool asked = u->run->stopping || !u->wanted;

	log_line(asked ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "%s %s %d%s: pid=%d", u->name,
		 causes[cause], code, u->ready || asked ? "" : " before it was ready", (int)pid);
}

static void
ctld_died(struct run *r, Tgt__DeathCause cause, int code, double delay)
{
	char why[80];

	run_ctld_close(r);
	if (r->stopping)
		return;
	snprintf(why, sizeof(why), "tgt-ctld ended at once (%s %d)",
		 cause == TGT__DEATH_CAUSE__DEATH_EXIT ? "status" : "signal", code);
	run_export_ctld_gone(r, why);
	/* It never served and ended by itself: what it said is the reason, and
	 * there is nothing to keep alive. */
	if (!r->ctld_was_ready && cause == TGT__DEATH_CAUSE__DEATH_EXIT)
		run_stop(r, 1);
	else if (!r->stopping)
		schedule_restart(&r->ctld, delay);
}

static void
on_child(struct ev_loop *loop, ev_child *w, int revents)
{
	struct run *r = w->data;
	struct run_unit *u;
	pid_t pid = w->rpid;
	Tgt__DeathCause cause;
	uint64_t ooms;
	double delay;
	bool again;
	int code;

	if (WIFSTOPPED(w->rstatus) || WIFCONTINUED(w->rstatus))
		return;
	run_notify_drain(r); /* its last words, while the pid is still its own */
	u = run_unit_by_pid(r, pid);
	if (!u)
		return; /* an orphan that we inherited as PID 1 */
	ooms = oom_kills();
	cause = run_death_cause(w->rstatus, u->hung, ooms > r->oom_kills, &code);
	r->oom_kills = ooms;
	log_death(u, pid, cause, code);

	unit_stop_timers(u);
	open_gate(u);
	u->pid = 0;
	again = u->wanted && !r->stopping;
	delay = run_backoff_next(&u->backoff, u->ready, ev_now(loop) - u->started);
	if (u == &r->ctld) {
		ctld_died(r, cause, code, delay);
	} else {
		run_ctld_tell_exited(r, u->name, pid, cause, code, again, delay);
		if (again)
			schedule_restart(u, delay);
		else
			unit_forget(u);
	}
	if (r->stopping)
		stop_next(r);
}

/* ---- the end ------------------------------------------------------------ */

static unsigned
count_running(struct run *r, enum run_prog prog)
{
	struct run_unit *u;
	unsigned n = 0;

	if (prog == RUN_CTLD)
		return r->ctld.pid != 0;
	for_each_unit(u, r)
		n += u->id.prog == prog && u->pid;
	return n;
}

/* Goes on to the first group that still runs; ends the loop after the last. */
static void
stop_next(struct run *r)
{
	struct run_unit *u;

	if (r->stage >= 0 && r->stage < RUN_N_PROGS && count_running(r, (enum run_prog)r->stage))
		return;
	while (++r->stage < RUN_N_PROGS) {
		if (!count_running(r, (enum run_prog)r->stage))
			continue;
		if (r->stage == RUN_CTLD)
			unit_terminate(&r->ctld);
		for_each_unit(u, r) {
			if ((int)u->id.prog == r->stage && u->pid)
				unit_terminate(u);
		}
		return;
	}
	r->finished = true;
	ev_break(r->loop, EVBREAK_ALL);
}

void
run_units_stop_all(struct run *r)
{
	struct run_unit *u;

	for_each_unit(u, r) {
		u->wanted = false;
		ev_timer_stop(r->loop, &u->restart);
		ev_timer_stop(r->loop, &u->watchdog);
	}
	ev_timer_stop(r->loop, &r->ctld.restart);
	ev_timer_stop(r->loop, &r->ctld.watchdog);
	r->stage = -1;
	stop_next(r);
}

void
run_units_kill_all(struct run *r)
{
	struct run_unit *u;

	for_each_unit(u, r) {
		if (u->pid)
			kill(u->pid, SIGKILL);
	}
	if (r->ctld.pid)
		kill(r->ctld.pid, SIGKILL);
}

/* ---- in the loop -------------------------------------------------------- */

/* Before the loop sleeps: whoever waits for its UnitStarted to leave may go. */
static void
on_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct run *r = w->data;
	struct run_unit *u;

	if (!r->n_gated || !run_ctld_flushed(r))
		return;
	for_each_unit(u, r)
		open_gate(u);
}

void
run_units_init(struct run *r)
{
	const struct run_unit_name ctld = { .prog = RUN_CTLD };

	list_init(&r->units);
	unit_init(r, &r->ctld, &ctld);
	r->stage = -1;
	r->oom_kills = oom_kills();
	ev_child_init(&r->child, on_child, 0, 0); /* every child: also PID 1's orphans */
	r->child.data = r;
	ev_child_start(r->loop, &r->child);
	ev_prepare_init(&r->gates, on_prepare);
	r->gates.data = r;
	ev_prepare_start(r->loop, &r->gates);
}

void
run_units_free(struct run *r)
{
	struct run_unit *u;

	for_each_unit(u, r)
		unit_forget(u);
	unit_stop_timers(&r->ctld);
}
