/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tgt-ctl: the operator's command.  Turns a command line into one
 * ControlRequest, prints the answer.  It checks syntax only: what a value may
 * be is tgt-ctld's to say.
 *
 * Exit status: 0 done, 1 refused, 2 usage, 3 no tgt-ctld answers.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "ctl/run_rules.h"
#include "ctl/show.h"
#include "proto/chan.h"
#include "proto/control.pb-c.h"
#include "proto/daemon.h"

#define DEFAULT_SOCKET "/run/tgt/control.sock"

enum { EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_NO_DAEMON };
enum { ANSWER_S = 30, ISCSI_PORT = 3260, ARGS_MAX = 2 };

/* ---- the command line ------------------------------------------------ */

enum opt { /* values of getopt_long, and bits 1 << (opt - OPT_FIRST) */
	OPT_FIRST = 256,
	OPT_ALIAS = OPT_FIRST,
	OPT_TPGT,
	OPT_REDIRECT,
	OPT_PERMANENT,
	OPT_BACKEND,
	OPT_PATH,
	OPT_SIZE,
	OPT_BLOCK_SIZE,
	OPT_READ_ONLY,
	OPT_NUMBER,
	OPT_INITIATOR,
	OPT_ADDRESS,
	OPT_SOCKET, /* from here on: of every command */
	OPT_JSON,
	OPT_HELP,
	OPT_VERSION,
};

#define BIT(opt) (1u << ((opt) - OPT_FIRST))

static const struct option options[] = {
	{ "alias", required_argument, NULL, OPT_ALIAS },
	{ "tpgt", required_argument, NULL, OPT_TPGT },
	{ "redirect", required_argument, NULL, OPT_REDIRECT },
	{ "permanent", no_argument, NULL, OPT_PERMANENT },
	{ "backend", required_argument, NULL, OPT_BACKEND },
	{ "path", required_argument, NULL, OPT_PATH },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "block-size", required_argument, NULL, OPT_BLOCK_SIZE },
	{ "read-only", no_argument, NULL, OPT_READ_ONLY },
	{ "number", required_argument, NULL, OPT_NUMBER },
	{ "initiator", required_argument, NULL, OPT_INITIATOR },
	{ "address", required_argument, NULL, OPT_ADDRESS },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

struct line { /* the command line, and what becomes of it */
	const char *socket;
	bool json;
	unsigned given; /* BIT()s */
	const char *value[OPT_VERSION - OPT_FIRST + 1];
	const char *arg[ARGS_MAX];
	int n_args;

	Tgt__ControlRequest req;
	Tgt__Target target;
	Tgt__Lun lun;
	Tgt__Mapping mapping;
	Tgt__Portal portal;
	Tgt__Access access;
	union {
		Tgt__CreateTarget create_target;
		Tgt__ModifyTarget modify_target;
		Tgt__DeleteTarget delete_target;
		Tgt__CreateLun create_lun;
		Tgt__DeleteLun delete_lun;
		Tgt__CreateMapping create_mapping;
		Tgt__DeleteMapping delete_mapping;
		Tgt__CreatePortal create_portal;
		Tgt__DeletePortal delete_portal;
		Tgt__CreateAccess create_access;
		Tgt__DeleteAccess delete_access;
		Tgt__DeleteSession delete_session;
		Tgt__Show show;
	} u;
	char addr[64];
	char *path; /* malloc'ed, or NULL */
};

/* Complains and gives the exit status, negative. */
#define usage(...) (fprintf(stderr, "tgt-ctl: " __VA_ARGS__), fputc('\n', stderr), -EXIT_USAGE)

static const char *
option_value(const struct line *l, enum opt o)
{
	return l->value[o - OPT_FIRST];
}

static char *
str(const char *s)
{
	return (char *)(uintptr_t)(s ? s : "");
}

/* An unsigned number of at most 32 bits; an absent option is 0. */
static int
parse_number(const char *what, const char *s, uint32_t *out)
{
	unsigned long long n;
	char *end;

	*out = 0;
	if (!s)
		return 0;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (*s < '0' || *s > '9' || *end || errno || n > UINT32_MAX)
		return usage("%s: \"%s\" is no number", what, s);
	*out = (uint32_t)n;
	return 0;
}

static int
parse_portal(struct line *l, uint32_t *port)
{
	const char *s = l->arg[0], *colon = strchr(s, ':');

	if (run_parse_portal(s, l->addr, port))
		return usage("\"%s\" is no portal address: write 192.0.2.1:3260 or "
			     "[2001:db8::1]:3260", s);
	if (!strstr(s, "]:") && (!colon || strchr(colon + 1, ':')))
		*port = ISCSI_PORT; /* none was given */
	return 0;
}

/* ---- requests -------------------------------------------------------- */

static int
fill_target_create(struct line *l)
{
	tgt__target__init(&l->target);
	tgt__create_target__init(&l->u.create_target);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_CREATE_TARGET;
	l->req.create_target = &l->u.create_target;
	l->u.create_target.target = &l->target;
	l->target.name = str(l->arg[0]);
	l->target.alias = str(option_value(l, OPT_ALIAS));
	return parse_number("--tpgt", option_value(l, OPT_TPGT), &l->target.tpgt);
}

static int
fill_target_modify(struct line *l)
{
	const char *to = option_value(l, OPT_REDIRECT);

	tgt__modify_target__init(&l->u.modify_target);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_MODIFY_TARGET;
	l->req.modify_target = &l->u.modify_target;
	if (!to)
		return usage("target modify: --redirect is missing: an address, or none");
	l->u.modify_target.name = str(l->arg[0]);
	l->u.modify_target.redirect = str(strcmp(to, "none") ? to : "");
	l->u.modify_target.redirect_permanent = (l->given & BIT(OPT_PERMANENT)) != 0;
	return 0;
}

static int
fill_target_delete(struct line *l)
{
	tgt__delete_target__init(&l->u.delete_target);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_DELETE_TARGET;
	l->req.delete_target = &l->u.delete_target;
	l->u.delete_target.name = str(l->arg[0]);
	return 0;
}

/* tgt-ctld has another working directory. */
static int
absolute_path(struct line *l, const char *path, char **out)
{
	char *cwd;

	*out = str(path);
	if (!path || !*path || *path == '/')
		return 0;
	cwd = getcwd(NULL, 0);
	if (!cwd || asprintf(&l->path, "%s/%s", cwd, path) < 0) {
		free(cwd);
		return usage("%s: %s", path, strerror(errno));
	}
	free(cwd);
	*out = l->path;
	return 0;
}

static int
fill_lun_create(struct line *l)
{
	const char *size = option_value(l, OPT_SIZE);

	tgt__lun__init(&l->lun);
	tgt__create_lun__init(&l->u.create_lun);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_CREATE_LUN;
	l->req.create_lun = &l->u.create_lun;
	l->u.create_lun.lun = &l->lun;
	if (!option_value(l, OPT_BACKEND))
		return usage("lun create: --backend is missing: rdwr or null");
	if (size && run_parse_size(size, &l->lun.size))
		return usage("--size: \"%s\" is no size: write bytes, or 512M, 1G, 2T", size);
	l->lun.name = str(l->arg[0]);
	l->lun.backend = str(option_value(l, OPT_BACKEND));
	l->lun.read_only = (l->given & BIT(OPT_READ_ONLY)) != 0;
	if (parse_number("--block-size", option_value(l, OPT_BLOCK_SIZE), &l->lun.block_size))
		return -EXIT_USAGE;
	return absolute_path(l, option_value(l, OPT_PATH), &l->lun.path);
}

static int
fill_lun_delete(struct line *l)
{
	tgt__delete_lun__init(&l->u.delete_lun);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_DELETE_LUN;
	l->req.delete_lun = &l->u.delete_lun;
	l->u.delete_lun.name = str(l->arg[0]);
	return 0;
}

static int
fill_mapping_create(struct line *l)
{
	tgt__mapping__init(&l->mapping);
	tgt__create_mapping__init(&l->u.create_mapping);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_CREATE_MAPPING;
	l->req.create_mapping = &l->u.create_mapping;
	l->u.create_mapping.mapping = &l->mapping;
	l->mapping.target = str(l->arg[0]);
	l->mapping.lun = str(l->arg[1]);
	l->mapping.auto_number = !option_value(l, OPT_NUMBER);
	l->mapping.read_only = (l->given & BIT(OPT_READ_ONLY)) != 0;
	return parse_number("--number", option_value(l, OPT_NUMBER), &l->mapping.number);
}

static int
fill_mapping_delete(struct line *l)
{
	tgt__delete_mapping__init(&l->u.delete_mapping);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_DELETE_MAPPING;
	l->req.delete_mapping = &l->u.delete_mapping;
	l->u.delete_mapping.target = str(l->arg[0]);
	return parse_number("NUMBER", l->arg[1], &l->u.delete_mapping.number);
}

static Tgt__Access *
fill_rule(struct line *l)
{
	tgt__access__init(&l->access);
	l->access.target = str(l->arg[0]);
	l->access.initiator = str(option_value(l, OPT_INITIATOR));
	l->access.address = str(option_value(l, OPT_ADDRESS));
	return &l->access;
}

static int
fill_access_create(struct line *l)
{
	tgt__create_access__init(&l->u.create_access);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_CREATE_ACCESS;
	l->req.create_access = &l->u.create_access;
	l->u.create_access.access = fill_rule(l);
	return 0;
}

static int
fill_access_delete(struct line *l)
{
	tgt__delete_access__init(&l->u.delete_access);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_DELETE_ACCESS;
	l->req.delete_access = &l->u.delete_access;
	l->u.delete_access.access = fill_rule(l);
	return 0;
}

static int
fill_portal_create(struct line *l)
{
	tgt__portal__init(&l->portal);
	tgt__create_portal__init(&l->u.create_portal);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_CREATE_PORTAL;
	l->req.create_portal = &l->u.create_portal;
	l->u.create_portal.portal = &l->portal;
	l->portal.addr = l->addr;
	if (parse_portal(l, &l->portal.port))
		return -EXIT_USAGE;
	return parse_number("--tpgt", option_value(l, OPT_TPGT), &l->portal.tpgt);
}

static int
fill_portal_delete(struct line *l)
{
	tgt__delete_portal__init(&l->u.delete_portal);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_DELETE_PORTAL;
	l->req.delete_portal = &l->u.delete_portal;
	l->u.delete_portal.addr = l->addr;
	return parse_portal(l, &l->u.delete_portal.port);
}

static int
fill_session_delete(struct line *l)
{
	tgt__delete_session__init(&l->u.delete_session);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_DELETE_SESSION;
	l->req.delete_session = &l->u.delete_session;
	return parse_number("SESSION", l->arg[0], &l->u.delete_session.nexus);
}

static int
fill_show(struct line *l)
{
	tgt__show__init(&l->u.show);
	l->req.body_case = TGT__CONTROL_REQUEST__BODY_SHOW;
	l->req.show = &l->u.show;
	return 0;
}

/* ---- the commands ---------------------------------------------------- */

static const struct command {
	const char *object, *verb;
	int n_args;
	unsigned options; /* BIT()s */
	int (*fill)(struct line *l); /* 0 or a negative exit status */
	unsigned what; /* of the answer is printed */
	const char *synopsis, *does;
} commands[] = {
	{ "show", NULL, 0, 0, fill_show, SHOW_ALL, "", "everything" },
	{ "target", "create", 1, BIT(OPT_ALIAS) | BIT(OPT_TPGT), fill_target_create, SHOW_TARGETS,
	  "IQN [--alias TEXT] [--tpgt N]", "a target; nobody may log in before an access create" },
	{ "target", "modify", 1, BIT(OPT_REDIRECT) | BIT(OPT_PERMANENT), fill_target_modify,
	  SHOW_TARGETS, "IQN --redirect ADDR[:PORT]|none [--permanent]",
	  "sends initiators to another address; sessions stay" },
	{ "target", "delete", 1, 0, fill_target_delete, 0, "IQN",
	  "and its mappings; not while it has sessions" },
	{ "target", "show", 0, 0, fill_show, SHOW_TARGETS, "", "" },
	{ "lun", "create", 1,
	  BIT(OPT_BACKEND) | BIT(OPT_PATH) | BIT(OPT_SIZE) | BIT(OPT_BLOCK_SIZE) |
		  BIT(OPT_READ_ONLY),
	  fill_lun_create, SHOW_LUNS,
	  "NAME --backend rdwr --path FILE [--block-size N] [--read-only]\n"
	  "                         "
	  "NAME --backend null --size SIZE [--block-size N] [--read-only]",
	  "a disk on a file or block device, or one that forgets" },
	{ "lun", "delete", 1, 0, fill_lun_delete, 0, "NAME",
	  "not while it is mapped; the store is not touched" },
	{ "lun", "show", 0, 0, fill_show, SHOW_LUNS, "", "" },
	{ "mapping", "create", 2, BIT(OPT_NUMBER) | BIT(OPT_READ_ONLY), fill_mapping_create,
	  SHOW_MAPPINGS, "IQN NAME [--number N] [--read-only]",
	  "gives the LUN a number in the target (default: the lowest free)" },
	{ "mapping", "delete", 2, 0, fill_mapping_delete, 0, "IQN NUMBER",
	  "not while a session has it open" },
	{ "mapping", "show", 0, 0, fill_show, SHOW_MAPPINGS, "", "" },
	{ "access", "create", 1, BIT(OPT_INITIATOR) | BIT(OPT_ADDRESS), fill_access_create,
	  SHOW_ACCESS, "IQN [--initiator PATTERN] [--address PREFIX]",
	  "who may log in: names with * and ?, 192.0.2.0/24, or ALL" },
	{ "access", "delete", 1, BIT(OPT_INITIATOR) | BIT(OPT_ADDRESS), fill_access_delete, 0,
	  "IQN [--initiator PATTERN] [--address PREFIX]", "that rule; sessions stay" },
	{ "access", "show", 0, 0, fill_show, SHOW_ACCESS, "", "" },
	{ "portal", "create", 1, BIT(OPT_TPGT), fill_portal_create, SHOW_PORTALS,
	  "ADDR[:PORT] [--tpgt N]", "listens (default port 3260; 0: any free one)" },
	{ "portal", "delete", 1, 0, fill_portal_delete, 0, "ADDR[:PORT]",
	  "stops listening; sessions stay" },
	{ "portal", "show", 0, 0, fill_show, SHOW_PORTALS, "", "" },
	{ "session", "delete", 1, 0, fill_session_delete, 0, "SESSION",
	  "closes its connection; the rules say whether it may come back" },
	{ "session", "show", 0, 0, fill_show, SHOW_SESSIONS, "", "" },
};

static void
print_help(void)
{
	printf("Usage: tgt-ctl [--socket PATH] [--json] COMMAND\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];
		char name[32];

		snprintf(name, sizeof(name), "%s %s", c->object, c->verb ? c->verb : "");
		printf("  tgt-ctl %-14s %s\n", name, c->synopsis);
		if (*c->does)
			printf("                             %s\n", c->does);
	}
	printf("\nOptions:\n"
	       "  --socket PATH  tgt-ctld's control socket (default: $TGT_SOCKET,\n"
	       "                 " DEFAULT_SOCKET ")\n"
	       "  --json         print JSON\n"
	       "  --help, --version\n\n"
	       "Creating what exists already, and deleting what does not, succeeds.\n"
	       "Exit status: 0 done, 1 refused, 2 usage, 3 no tgt-ctld answers.\n");
}

static const struct command *
find_command(int n, char **words)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		if (!strcmp(c->object, words[0]) &&
		    (!c->verb || (n > 1 && !strcmp(c->verb, words[1]))))
			return c;
	}
	return NULL;
}

/* 0, or an exit status: negative for an error, 1 for "done". */
static int
parse_options(struct line *l, int argc, char **argv)
{
	int opt;

	l->socket = getenv("TGT_SOCKET");
	if (!l->socket || !*l->socket)
		l->socket = DEFAULT_SOCKET;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt < OPT_FIRST) { /* getopt has named the option */
			fputs("Try 'tgt-ctl --help'.\n", stderr);
			return -EXIT_USAGE;
		}
		l->given |= BIT(opt);
		l->value[opt - OPT_FIRST] = optarg;
	}
	if (l->given & BIT(OPT_HELP)) {
		print_help();
		return 1;
	}
	if (l->given & BIT(OPT_VERSION)) {
		printf("tgt-ctl (tgt-ng) %s\n", TGT_VERSION);
		return 1;
	}
	l->json = (l->given & BIT(OPT_JSON)) != 0;
	if (l->given & BIT(OPT_SOCKET))
		l->socket = option_value(l, OPT_SOCKET);
	return 0;
}

static int
parse_command(struct line *l, int n, char **words, const struct command **out)
{
	const struct command *c = n ? find_command(n, words) : NULL;
	unsigned extra;
	int skip;

	if (!n)
		return usage("a command is missing; try 'tgt-ctl --help'");
	if (!c)
		return usage("unknown command: %s%s%s; try 'tgt-ctl --help'", words[0],
			     n > 1 ? " " : "", n > 1 ? words[1] : "");
	skip = c->verb ? 2 : 1;
	if (n - skip != c->n_args)
		return usage("usage: tgt-ctl %s%s%s %s", c->object, c->verb ? " " : "",
			     c->verb ? c->verb : "", c->synopsis);
	extra = l->given & ~c->options & (BIT(OPT_SOCKET) - 1);
	for (const struct option *o = options; o->name; o++)
		if (extra & BIT(o->val))
			return usage("%s %s has no option --%s", c->object, c->verb ? c->verb : "",
				     o->name);
	for (int i = 0; i < c->n_args; i++)
		l->arg[i] = words[skip + i];
	*out = c;
	tgt__control_request__init(&l->req);
	l->req.id = 1;
	return c->fill(l);
}

/* ---- talking --------------------------------------------------------- */

static int
no_daemon(const struct line *l, int err)
{
	if (err == -ENOENT || err == -ECONNREFUSED)
		fprintf(stderr, "tgt-ctl: nobody listens on %s: is tgt-run (or the tgt service) "
			"running?\n", l->socket);
	else
		fprintf(stderr, "tgt-ctl: %s: %s\n", l->socket,
			err == -EAGAIN ? "no answer" : strerror(-err));
	return EXIT_NO_DAEMON;
}

/* Collects the datagrams of one answer.  1, 0: the end came too early, -errno. */
static int
receive(int sock, struct answer *a)
{
	for (;;) {
		struct chan_msg m;
		const Tgt__ControlReply **grown;
		int rc = chan_recv_fd(sock, &tgt__control_reply__descriptor, &m);

		if (rc <= 0)
			return rc;
		grown = realloc(a->r, (a->n + 1) * sizeof(*a->r));
		if (!grown)
			return -ENOMEM;
		a->r = grown;
		a->r[a->n++] = (const Tgt__ControlReply *)m.body;
		m.body = NULL; /* freed by answer_free */
		chan_msg_done(&m);
		if (!a->r[a->n - 1]->more)
			return 1;
	}
}

static void
answer_free(struct answer *a)
{
	for (size_t i = 0; i < a->n; i++)
		tgt__control_reply__free_unpacked((Tgt__ControlReply *)(uintptr_t)a->r[i], NULL);
	free(a->r);
}

static int
print_answer(const struct line *l, const struct command *c, const struct answer *a)
{
	const Tgt__ControlReply *last = a->r[a->n - 1];
	int err = 0;

	if (*last->text)
		fprintf(stderr, "tgt-ctl: %s\n", last->text);
	else if (last->err)
		fprintf(stderr, "tgt-ctl: %s\n", strerror(last->err));
	if (last->err)
		return EXIT_REFUSED;
	if (l->json)
		err = show_json(stdout, a, c->what);
	else if (c->what)
		err = show_text(stdout, a, c->what);
	if (err || fflush(stdout)) {
		fprintf(stderr, "tgt-ctl: cannot print: %s\n", strerror(err ? -err : errno));
		return EXIT_REFUSED;
	}
	return EXIT_OK;
}

int
main(int argc, char **argv)
{
	const struct timeval patience = { .tv_sec = ANSWER_S };
	static struct line l;
	const struct command *c = NULL;
	struct answer a = { 0 };
	int sock, rc = parse_options(&l, argc, argv);

	if (rc)
		return rc < 0 ? -rc : EXIT_OK;
	rc = parse_command(&l, argc - optind, argv + optind, &c);
	if (rc)
		return -rc;
	signal(SIGPIPE, SIG_IGN);
	sock = chan_connect(l.socket);
	if (sock < 0)
		return no_daemon(&l, sock);
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	rc = chan_send_fd(sock, &l.req.base, NULL, 0);
	if (!rc)
		rc = receive(sock, &a);
	rc = rc > 0 ? print_answer(&l, c, &a) : no_daemon(&l, rc ? rc : -ECONNRESET);
	answer_free(&a);
	free(l.path);
	close(sock);
	return rc;
}
