// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this processor's TSC counts in a millisecond, which is what a guest of
 * QEMU's TCG sees as its own.  A guest that measures it against an emulated
 * timer, on a machine that has other things to do, may be wrong by any factor.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

/* Both clocks at one time, as far as can be: the closest of some tries */
static void both(uint64_t *tsc, uint64_t *ns)
{
	uint64_t before, after, best = UINT64_MAX;
	struct timespec ts;
	int i;

	for (i = 0; i < 64; i++) {
		before = __rdtsc();
		clock_gettime(CLOCK_MONOTONIC, &ts);
		after = __rdtsc();
		if (after - before >= best)
			continue;
		best = after - before;
		*tsc = before + best / 2;
		*ns = ts.tv_sec * 1000000000ull + ts.tv_nsec;
	}
}

int main(void)
{
	struct timespec wait = { .tv_nsec = 100000000 };
	uint64_t tsc[2], ns[2];

	both(&tsc[0], &ns[0]);
	nanosleep(&wait, NULL);
	both(&tsc[1], &ns[1]);
	printf("%.0f\n", (tsc[1] - tsc[0]) * 1e6 / (ns[1] - ns[0]));
	return 0;
}
