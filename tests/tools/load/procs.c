/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the target's processes cost: CPU time from /proc/PID/stat (a resolution
 * of 10 ms a process) and context switches from all of their threads.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/tools/load/load.h"

int
procs_parse(struct procs *p, const char *list)
{
	while (*list) {
		char *end;
		long v = strtol(list, &end, 10);

		if (end == list || v <= 0 || v > INT32_MAX || (*end && *end != ',') ||
		    p->n == PIDS_MAX)
			return -1;
		p->pid[p->n++] = (pid_t)v;
		list = *end ? end + 1 : end;
	}
	return p->n ? 0 : -1;
}

static int
read_text(const char *path, char *buf, size_t cap)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return -1;
	n = fread(buf, 1, cap - 1, f);
	buf[n] = '\0';
	fclose(f);
	return n ? 0 : -1;
}

static int
cpu_of(pid_t pid, double *us)
{
	unsigned long user, sys;
	char path[64], text[1024];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_text(path, text, sizeof(text)))
		return -1;
	p = strrchr(text, ')'); /* the name before it may hold anything */
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			 &sys) != 2)
		return -1;
	*us += (double)(user + sys) * 1e6 / (double)sysconf(_SC_CLK_TCK);
	return 0;
}

/* A thread that ends between two looks takes its count along. */
static void
switches_of(pid_t pid, uint64_t *sum)
{
	static const char *const keys[] = { "\nvoluntary_ctxt_switches:",
					    "\nnonvoluntary_ctxt_switches:" };
	char path[64 + sizeof(((struct dirent *)0)->d_name)], text[4096];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid, e->d_name);
		if (read_text(path, text, sizeof(text)))
			continue;
		for (unsigned i = 0; i < 2; i++) {
			const char *p = strstr(text, keys[i]);

			if (p)
				*sum += strtoull(p + strlen(keys[i]), NULL, 10);
		}
	}
	if (d)
		closedir(d);
}

int
procs_usage(const struct procs *p, struct usage *u)
{
	*u = (struct usage){ 0 };
	for (unsigned i = 0; i < p->n; i++) {
		if (cpu_of(p->pid[i], &u->cpu_us)) {
			fprintf(stderr, "iscsi_load: process %d of the target is gone\n",
				p->pid[i]);
			return -1;
		}
		switches_of(p->pid[i], &u->switches);
	}
	return 0;
}
