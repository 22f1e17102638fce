/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-run's command line: one table, from which the parser and --help follow.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/access.h"
#include "ctl/run.h"
#include "proto/daemon.h"

/* 0, or the exit status of a wrong command line. */
static int
refuse(const char *option, const char *arg, const char *why)
{
	run_say("--%s %s: %s", option, arg, why);
	return 2;
}

static int
add_export(struct run_options *o, const char *arg, const char *path, uint64_t size)
{
	struct run_export *e;
	unsigned n = 0, i;

	if (o->n_exports >= RUN_EXPORTS_MAX)
		return refuse("lun", arg, "too many");
	e = &o->exports[o->n_exports];
	e->arg = arg;
	e->size = size;
	/* A path that does not exist is told by whoever opens it. */
	if (path && !realpath(path, e->path)) {
		char cwd[PATH_MAX];

		if (*path == '/')
			*cwd = 0;
		else if (!getcwd(cwd, sizeof(cwd)))
			return refuse("lun", arg, strerror(errno));
		if (snprintf(e->path, sizeof(e->path), "%s%s%s", cwd, *cwd ? "/" : "", path) >=
		    (int)sizeof(e->path))
			return refuse("lun", arg, strerror(ENAMETOOLONG));
	}
	do {
		run_lun_name(path ? path : "null", ++n, e->name);
		for (i = 0; i < o->n_exports && strcmp(o->exports[i].name, e->name); i++)
			;
	} while (i < o->n_exports);
	o->n_exports++;
	return 0;
}

static int
set_lun(struct run_options *o, const char *arg)
{
	return *arg ? add_export(o, arg, arg, 0) : refuse("lun", "''", "no file name");
}

static int
set_null(struct run_options *o, const char *arg)
{
	uint64_t size;

	if (run_parse_size(arg, &size) || !size)
		return refuse("null", arg, "must be a size such as 1G or 512M");
	return add_export(o, arg, NULL, size);
}

static int
set_portal(struct run_options *o, const char *arg)
{
	if (!run_parse_portal(arg, o->addr, &o->port))
		return 0;
	return refuse("portal", arg, "must be ADDRESS or ADDRESS:PORT, such as 127.0.0.1:3260 "
				     "or [::1]:3260");
}

static int
set_target(struct run_options *o, const char *arg)
{
	if (!*arg || strlen(arg) > RUN_IQN_MAX)
		return refuse("target", arg, "must be an iSCSI name of 1 to 223 bytes");
	strcpy(o->target, arg);
	return 0;
}

static int
set_initiator(struct run_options *o, const char *arg)
{
	char pattern[ACCESS_PATTERN_MAX + 1];

	if (access_parse_pattern(arg, pattern))
		return refuse("initiator", arg, "must be an iSCSI name, with * and ? as wildcards");
	if (o->n_initiators >= RUN_INITIATORS_MAX)
		return refuse("initiator", arg, "too many");
	o->initiators[o->n_initiators++] = arg;
	return 0;
}

static int
set_block_size(struct run_options *o, const char *arg)
{
	uint64_t size;

	if (run_parse_size(arg, &size) || size < 512 || size > 4096 || (size & (size - 1)))
		return refuse("block-size", arg, "must be 512, 1024, 2048 or 4096");
	o->block_size = (uint32_t)size;
	return 0;
}

static int
set_sandbox(struct run_options *o, const char *arg)
{
	return sandbox_parse_mode(arg, &o->sandbox) ?
		       refuse("sandbox", arg, "must be enforce or log") : 0;
}

static int
set_read_only(struct run_options *o, const char *arg)
{
	o->read_only = true;
	return 0;
}

static int
set_verbose(struct run_options *o, const char *arg)
{
	o->verbose = true;
	return 0;
}

static int
set_state(struct run_options *o, const char *arg)
{
	o->state = arg;
	return 0;
}

static int
set_runtime(struct run_options *o, const char *arg)
{
	o->runtime = arg;
	return 0;
}

static int
set_socket(struct run_options *o, const char *arg)
{
	o->socket = arg;
	return 0;
}

static int
set_libexec(struct run_options *o, const char *arg)
{
	o->libexec = arg;
	return 0;
}

static const struct row {
	const char *name, *arg;
	int (*set)(struct run_options *o, const char *arg);
	const char *heading; /* before this row in --help */
	const char *help;
} rows[] = {
	{ "lun", "FILE", set_lun, "Export files and wait for Ctrl-C:",
	  "a file or block device; may be given again: LUN 0, 1, ..." },
	{ "null", "SIZE", set_null, NULL, "a disk of zeros that keeps nothing, for benchmarks" },
	{ "portal", "ADDR[:PORT]", set_portal, NULL,
	  "where to listen; default 127.0.0.1 and a free port" },
	{ "target", "IQN", set_target, NULL, "default: made from the first file's name" },
	{ "initiator", "PATTERN", set_initiator, NULL,
	  "who may log in: a name, with * and ?; may be given again;\n"
	  "                         default: whoever reaches the address" },
	{ "read-only", NULL, set_read_only, NULL, "refuse writes" },
	{ "block-size", "N", set_block_size, NULL, "512 (default), 1024, 2048 or 4096" },

	{ "state", "DIR", set_state, "Run the service, configured with tgt-ctl:",
	  "durable configuration; default /var/lib/tgt" },
	{ "runtime", "DIR", set_runtime, NULL, "sockets; default /run/tgt" },
	{ "socket", "PATH", set_socket, NULL, "control socket; default RUNTIME/control.sock" },

	{ "sandbox", "enforce|log", set_sandbox, "Both:",
	  "kill on (default), or only log, a forbidden system call" },
	{ "libexec", "DIR", set_libexec, NULL,
	  "where tgt-ctld and the others are; default: beside tgt-run, or\n"
	  "                         ../libexec/tgt from there" },
	{ "verbose", NULL, set_verbose, NULL, "log more" },
	{ "help", NULL, NULL, NULL, "this text" },
	{ "version", NULL, NULL, NULL, "print the version" },
};

static void
print_help(void)
{
	printf("Usage: tgt-run --lun FILE [--lun FILE ...] [OPTION...]\n"
	       "       tgt-run [--state DIR] [OPTION...]\n"
	       "Serves files and block devices as iSCSI disks; starts and supervises all it takes.\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char left[48];

		if (rows[i].heading)
			printf("\n%s\n", rows[i].heading);
		snprintf(left, sizeof(left), "--%s%s%s", rows[i].name, rows[i].arg ? " " : "",
			 rows[i].arg ? rows[i].arg : "");
		printf("  %-22s %s\n", left, rows[i].help);
	}
}

/* What only makes sense with, or without, --lun. */
static int
check_together(struct run_options *o)
{
	bool wants_lun = *o->addr || *o->target || o->read_only || o->block_size ||
			 o->n_initiators;

	if (!o->n_exports && wants_lun) {
		run_say("--portal, --target, --initiator, --read-only and --block-size go with "
			"--lun FILE");
		return 2;
	}
	if (o->n_exports && o->state) {
		run_say("--lun keeps no state: leave --state out, or leave --lun out and use "
			"tgt-ctl");
		return 2;
	}
	if (!o->n_initiators)
		o->initiators[o->n_initiators++] = ACCESS_ALL;
	if (!*o->addr)
		strcpy(o->addr, "127.0.0.1");
	if (o->n_exports && !*o->target)
		run_target_name(*o->exports[0].path ? o->exports[0].path : "null", o->target);
	for (unsigned i = 0; i < o->n_exports; i++)
		o->exports[i].block_size = o->block_size;
	return -1;
}

int
run_parse_args(struct run_options *o, int argc, char **argv)
{
	struct option opts[ARRAY_SIZE(rows) + 1] = { 0 };
	int index, opt, rc;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		opts[i].name = rows[i].name;
		opts[i].has_arg = rows[i].arg ? required_argument : no_argument;
	}
	argv[0] = (char *)(uintptr_t)"tgt-run"; /* what getopt calls us */
	while ((opt = getopt_long(argc, argv, "", opts, &index)) != -1) {
		if (opt != 0) { /* getopt has named what is wrong */
			fprintf(stderr, "Try 'tgt-run --help'.\n");
			return 2;
		}
		if (!rows[index].set) {
			if (!strcmp(rows[index].name, "help"))
				print_help();
			else
				printf("tgt-run (tgt-ng) %s\n", TGT_VERSION);
			return 0;
		}
		rc = rows[index].set(o, optarg);
		if (rc)
			return rc;
	}
	if (optind < argc) {
		run_say("unexpected argument '%s'; to export a file: tgt-run --lun FILE",
			argv[optind]);
		return 2;
	}
	return check_together(o);
}
