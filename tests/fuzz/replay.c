/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replays a fuzzer's corpus without libFuzzer: every file of the folders and
 * files given goes through LLVMFuzzerTestOneInput once.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static int
replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf;
	size_t n;
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0) {
		fprintf(stderr, "%s: cannot be read\n", path);
		return 1;
	}
	rewind(f);
	buf = malloc((size_t)size + 1); /* malloc(0) may be NULL */
	n = buf ? fread(buf, 1, (size_t)size, f) : 0;
	fclose(f);
	/* An exact-size copy, so that ASan sees a read one byte too far. */
	uint8_t *exact = malloc(n ? n : 1);

	if (!exact)
		return 1;
	memcpy(exact, buf, n);
	free(buf);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	replayed++;
	return 0;
}

int
main(int argc, char **argv)
{
	int rc = 0;

	for (int i = 1; i < argc; i++) {
		DIR *d = opendir(argv[i]);
		struct dirent *e;

		if (!d) {
			rc |= replay_file(argv[i]);
			continue;
		}
		while ((e = readdir(d))) {
			char path[4096];

			if (e->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
			rc |= replay_file(path);
		}
		closedir(d);
	}
	if (!replayed) {
		fprintf(stderr, "%s: empty corpus\n", argv[0]);
		rc = 1;
	}
	printf("%s: %u inputs replayed\n", argv[0], replayed);
	return rc;
}
