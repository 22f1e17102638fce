/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program; all of it is in run_main.c, where the unit tests reach it. */
#include "ctl/run.h"

int
main(int argc, char **argv)
{
	return run_main(argc, argv);
}
