/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest's side of SMMUv3 stage 1: tables of context descriptors, translation
 * tables, commands.  Chapters are those of the Arm SMMU architecture,
 * IHI 0070F.
 */
#ifndef PROOF_SMMU_H
#define PROOF_SMMU_H

#include "s1.h"

/* VMSAv8-64, 4 KiB granule: attributes of a page for user mode */
#define PTE_VALID	(1ull << 0)
#define PTE_TABLE	(1ull << 1)
#define PTE_EL0		(1ull << 6)
#define PTE_RDONLY	(1ull << 7)
#define PTE_INNER	(3ull << 8)
#define PTE_AF		(1ull << 10)
#define PTE_NG		(1ull << 11)
#define PTE_USER	(PTE_VALID | PTE_TABLE | PTE_EL0 | PTE_INNER | \
			 PTE_AF | PTE_NG)
#define PTE_PA		0x0000fffffffff000ull

/* 5.2: what a guest says in its stream table entry */
#define STE0_V		1ull
#define STE0_ABORT	(0ull << 1)
#define STE0_BYPASS	(4ull << 1)
#define STE0_STAGE1	(5ull << 1)
#define STE0_FMT(f)	((uint64_t)(f) << 4)
#define STE0_CDMAX(n)	((uint64_t)(n) << 59)
#define STE1_DSS(d)	((uint64_t)(d))
#define STE1_WALK_WB	(1ull << 2 | 1ull << 4 | 3ull << 6)
#define STE1_EATS	(1ull << 28)

/* S1Fmt */
enum { FMT_LINEAR, FMT_4K, FMT_64K };
/* S1DSS: requests without SubstreamID */
enum { DSS_TERMINATE, DSS_BYPASS, DSS_SSID0 };

/* Chapter 4 */
#define CMD_CFGI_CD	0x05ull
#define CMD_CFGI_CD_ALL	0x06ull
#define CMD_NH_ALL	0x10ull
#define CMD_NH_ASID	0x11ull
#define CMD_NH_VA	0x12ull
#define CMD_NH_VAA	0x13ull
#define CMD_NSNH_ALL	0x30ull
#define CMD_ATC_INV	0x40ull
#define CMD_SYNC	0x46ull
#define C_SSV		(1ull << 11)
#define C_SSID(n)	((uint64_t)(n) << 12)
#define C_SID(n)	((uint64_t)(n) << 32)
#define C_VMID(n)	((uint64_t)(n) << 32)
#define C_ASID(n)	((uint64_t)(n) << 48)
#define C_ATC_ALL	52

/* 7.3 */
#define EVT_TRANSLATION	0x10
#define EVT_BAD_SSID	0x08

static inline volatile uint64_t *pte(struct guest *g, uint64_t root,
				     uint64_t iova)
{
	volatile uint64_t *e;
	int l;

	for (l = 0;; l++) {
		e = (volatile uint64_t *)gpa_ptr(g, root) +
		    (iova >> (39 - 9 * l) & 511);
		if (l == 3)
			return e;
		if (!(*e & PTE_VALID))
			*e = guest_pages(g, 1) | PTE_VALID | PTE_TABLE;
		root = *e & PTE_PA;
	}
}

/* A table of context descriptors for 2^@bits SubstreamIDs */
struct cdtab {
	struct guest *g;
	uint64_t base;
	int fmt;
	int bits;
	int split;
};

static inline struct cdtab cdtab_new(struct guest *g, int fmt, int bits)
{
	static const int splits[] = { 0, 6, 10 };
	struct cdtab t = { .g = g, .fmt = fmt, .bits = bits,
			   .split = splits[fmt] };
	size_t len = t.split ? 8ul << (bits - t.split) : 64ul << bits;

	t.base = guest_pages(g, (len + PAGE - 1) / PAGE);
	return t;
}

/* 5.3, 5.4 */
static inline volatile uint64_t *cd(const struct cdtab *t, uint32_t ssid)
{
	volatile uint64_t *l1, *leaf = gpa_ptr(t->g, t->base);

	if (t->split) {
		l1 = leaf + (ssid >> t->split);
		if (!(*l1 & 1))
			*l1 = guest_pages(t->g, (64 << t->split) / PAGE) | 1;
		leaf = gpa_ptr(t->g, *l1 & PTE_PA);
		ssid &= (1 << t->split) - 1;
	}
	return leaf + 8 * ssid;
}

#define CD0_V		(1ull << 31)

static inline void cd_write(const struct cdtab *t, uint32_t ssid,
			    uint64_t root, uint16_t asid)
{
	volatile uint64_t *d = cd(t, ssid);

	d[1] = root;				/* TTB0 */
	d[3] = 0xff;				/* MAIR: write-back */
	/* T0SZ 16, walks write-back and shared, no TTB1, 44 bits, AArch64 */
	d[0] = 16 | 1 << 8 | 1 << 10 | 3 << 12 | 1ull << 30 | CD0_V |
	       4ull << 32 | 1ull << 41 | 7ull << 45 | (uint64_t)asid << 48;
}

#endif
