/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a user of tgt-run --lun gets to read: what is served, and how to use it. */
#include <stdio.h>
#include <string.h>

#include "ctl/access.h"
#include "ctl/run.h"

/* File names are the user's own, but not all of them belong on a terminal. */
static void
print_name(const char *s)
{
	for (; *s; s++)
		putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

/* Initiators cannot connect to "every address": name one they can. */
static const char *
reachable(const char *addr)
{
	if (!strcmp(addr, "0.0.0.0"))
		return "127.0.0.1";
	return !strcmp(addr, "::") ? "::1" : addr;
}

/* Beyond this machine it matters who may log in, and a restriction always does. */
static void
print_access(const struct run *r, const char *addr)
{
	bool all = !strcmp(r->opt.initiators[0], ACCESS_ALL) && r->opt.n_initiators == 1;

	if (all && (!strncmp(addr, "127.", 4) || !strcmp(addr, "::1")))
		return;
	if (all) {
		printf("\nWhoever reaches that address may log in, without a password. "
		       "--initiator PATTERN\nadmits certain initiator names only.\n");
		return;
	}
	printf("\nThese initiators may log in, without a password:\n");
	for (unsigned i = 0; i < r->opt.n_initiators; i++)
		printf("  %s\n", r->opt.initiators[i]);
}

static size_t
widest_name(const struct run *r)
{
	size_t width = 0;

	for (unsigned i = 0; i < r->opt.n_exports; i++) {
		const struct run_export *e = &r->opt.exports[i];

		width = MAX(width, strlen(*e->path ? e->path : "(zeros, keeps nothing)"));
	}
	return MIN(width, 60u);
}

static void
print_lun(const struct run *r, unsigned n, const char *portal, int width)
{
	const struct run_export *e = &r->opt.exports[n];
	const char *name = *e->path ? e->path : "(zeros, keeps nothing)";
	int pad = width - (int)strlen(name);
	char size[32];

	run_human_size(e->size, size);
	printf("  LUN %-3u ", n);
	print_name(name);
	printf("%*s  %s%s\n", pad > 0 ? pad : 0, "", size,
	       r->opt.read_only ? ", read-only" : "");
	printf("          iscsi://%s/%s/%u\n", portal, r->opt.target, n);
}

void
run_print_export(const struct run *r, const char *addr, uint32_t port)
{
	const char *host = reachable(addr), *iqn = r->opt.target;
	char portal[80];
	bool v6 = strchr(host, ':') != NULL;

	snprintf(portal, sizeof(portal), v6 ? "[%s]:%u" : "%s:%u", host, port);
	printf("\nServing %u %s at %s%s\n\n", r->opt.n_exports,
	       r->opt.n_exports == 1 ? "disk" : "disks", portal,
	       host == addr ? "" : " and every other address of this machine");
	for (unsigned i = 0; i < r->opt.n_exports; i++)
		print_lun(r, i, portal, (int)widest_name(r));
	print_access(r, addr);

	printf("\nLook at it (Debian: libiscsi-bin, qemu-utils, qemu-block-extra):\n"
	       "  iscsi-ls -s iscsi://%s\n"
	       "  qemu-img info iscsi://%s/%s/0\n"
	       "  qemu-io -f raw%s -c 'read 0 512' iscsi://%s/%s/0\n",
	       portal, portal, iqn, r->opt.read_only ? " -r" : "", portal, iqn);
	printf("\nMake it a disk of this machine (open-iscsi, as root):\n"
	       "  iscsiadm -m discovery -t sendtargets -p %s\n"
	       "  iscsiadm -m node -T %s -p %s --login\n",
	       portal, iqn, portal);
	printf("\nManage it while it runs:\n"
	       "  %s/tgt-ctl --socket %s show\n"
	       "\nCtrl-C stops it.\n",
	       r->bin, r->control_path);
	fflush(stdout);
}
