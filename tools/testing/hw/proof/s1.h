/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest in miniature: memory at guest physical addresses, and a stage-1
 * (x86 four-level) page table in it
 */
#ifndef PROOF_S1_H
#define PROOF_S1_H

#include <string.h>

#include "proof.h"

#define S1_P		(1ull << 0)
#define S1_W		(1ull << 1)
#define S1_U		(1ull << 2)
#define S1_A		(1ull << 5)
#define S1_D		(1ull << 6)
#define S1_PS		(1ull << 7)
#define S1_RW		(S1_P | S1_W | S1_U)
#define S1_RO		(S1_P | S1_U)
#define S1_ADDR		0x000ffffffffff000ull

/* Guest memory: @len bytes at @hva are guest physical @gpa and up */
struct guest {
	uint8_t *hva;
	uint64_t gpa;
	size_t len;
	size_t used;
};

static inline void guest_init(struct guest *g, uint64_t gpa, size_t len)
{
	*g = (struct guest) {
		.hva = page_alloc(len, SZ_2M),
		.gpa = gpa,
		.len = len,
	};
	memset(g->hva, 0, len);
}

static inline void *gpa_ptr(struct guest *g, uint64_t gpa)
{
	if (gpa < g->gpa || gpa >= g->gpa + g->len)
		die("%#llx is not guest memory", (unsigned long long)gpa);
	return g->hva + (gpa - g->gpa);
}

/* @n pages, naturally aligned if n is a power of two */
static inline uint64_t guest_pages(struct guest *g, unsigned int n)
{
	uint64_t gpa;

	g->used = (g->used + n * PAGE - 1) / (n * PAGE) * (n * PAGE);
	gpa = g->gpa + g->used;
	g->used += n * PAGE;
	if (g->used > g->len)
		die("out of guest memory");
	memset(gpa_ptr(g, gpa), 0, n * PAGE);
	return gpa;
}

/* The entry that maps @iova at @level (1: 4 KiB, 2: 2 MiB, 3: 1 GiB) */
static inline volatile uint64_t *s1_entry(struct guest *g, uint64_t root,
					  uint64_t iova, int level)
{
	volatile uint64_t *e;
	int l;

	for (l = 4;; l--) {
		e = (volatile uint64_t *)gpa_ptr(g, root) +
		    (iova >> (12 + 9 * (l - 1)) & 511);
		if (l == level)
			return e;
		if (!(*e & S1_P))
			*e = guest_pages(g, 1) | S1_RW;
		root = *e & S1_ADDR;
	}
}

static inline void s1_map(struct guest *g, uint64_t root, uint64_t iova,
			  uint64_t gpa, uint64_t bits)
{
	*s1_entry(g, root, iova, bits & S1_PS ? 2 : 1) = gpa | bits;
}

#endif
