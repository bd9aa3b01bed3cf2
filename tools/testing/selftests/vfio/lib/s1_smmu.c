// SPDX-License-Identifier: GPL-2.0-only
/*
 * SMMUv3 stage 1: four levels of VMSAv8-64 with pages of 4 KiB, and the table
 * of context descriptors that leads to them.  Chapters are those of the Arm
 * SMMU architecture, IHI 0070F.
 */
#include <endian.h>

#include "libvfio.h"

#define DESC_VALID	BIT_ULL(0)
#define DESC_TABLE	BIT_ULL(1)	/* or a page, at the last level */
#define DESC_USER	BIT_ULL(6)
#define DESC_RO		BIT_ULL(7)
#define DESC_ISH	(3ull << 8)
#define DESC_AF		BIT_ULL(10)
#define DESC_NG		BIT_ULL(11)
#define DESC_ADDR	0x0000fffffffff000ull

/* 5.4: context descriptor */
#define CD_T0SZ_48	16ull
#define CD_WALK_WB	(1ull << 8 | 1ull << 10 | 3ull << 12)
#define CD_EPD1		BIT_ULL(30)
#define CD_V		BIT_ULL(31)
#define CD_IPS_44	(4ull << 32)
#define CD_AA64		BIT_ULL(41)
#define CD_R		BIT_ULL(45)
#define CD_A		BIT_ULL(46)
#define CD_ASET		BIT_ULL(47)
#define CD_LEN		64
#define MAIR_WB		0xffull

static u64 word_read(const u64 *p)
{
	return le64toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static void word_write(u64 *p, u64 val)
{
	__atomic_store_n(p, htole64(val), __ATOMIC_RELEASE);
}

static u64 *desc_at(struct s1_table *t, u64 va, int level, bool build)
{
	u64 table = t->root, *desc, val;
	int l;

	for (l = 0;; l++) {
		desc = (u64 *)guest_va(t->g, table) +
		       (va >> (39 - 9 * l) & 0x1ff);
		val = word_read(desc);
		if (l == level)
			return desc;
		if ((val & (DESC_VALID | DESC_TABLE)) == DESC_VALID)
			return NULL;
		if (!(val & DESC_VALID)) {
			if (!build)
				return NULL;
			val = guest_alloc(t->g, SZ_4K, SZ_4K);
			if (!val)
				return NULL;
			word_write(desc, val | DESC_VALID | DESC_TABLE);
		}
		table = val & DESC_ADDR;
	}
}

static u64 *leaf(struct s1_table *t, u64 va)
{
	u64 *desc;
	int l;

	for (l = 1; l <= 3; l++) {
		desc = desc_at(t, va, l, false);
		if (!desc || !(word_read(desc) & DESC_VALID))
			return NULL;
		if (l == 3 || !(word_read(desc) & DESC_TABLE))
			return desc;
	}
	return NULL;
}

static int smmu_init(struct s1_table *t)
{
	t->root = guest_alloc(t->g, SZ_4K, SZ_4K);
	return t->root ? 0 : vfio_fail(-ENOMEM, "guest memory is used up");
}

static int smmu_map(struct s1_table *t, u64 va, u64 gpa, u64 page,
		    unsigned int prot)
{
	u64 *desc, val = gpa | DESC_VALID | DESC_AF | DESC_NG | DESC_ISH;
	int level;

	switch (page) {
	case SZ_4K:
		level = 3;
		val |= DESC_TABLE;
		break;
	case SZ_2M:
		level = 2;
		break;
	case SZ_1G:
		level = 1;
		break;
	default:
		return -EINVAL;
	}
	if ((va | gpa) & (page - 1) || !(prot & S1_READ))
		return -EINVAL;
	if (!(prot & S1_WRITE))
		val |= DESC_RO;
	if (prot & S1_USER)
		val |= DESC_USER;

	desc = desc_at(t, va, level, true);
	if (!desc)
		return -ENOMEM;
	word_write(desc, val);
	return 0;
}

static int smmu_unmap(struct s1_table *t, u64 va)
{
	u64 *desc = leaf(t, va);

	if (!desc)
		return -ENOENT;
	word_write(desc, 0);
	return 0;
}

static int smmu_flags(struct s1_table *t, u64 va)
{
	u64 *desc = leaf(t, va), val;
	int flags = S1_READ | S1_ACCESSED;

	if (!desc)
		return -ENOENT;
	val = word_read(desc);
	if (!(val & DESC_RO))
		flags |= S1_WRITE;
	if (val & DESC_USER)
		flags |= S1_USER;
	return flags;
}

const struct s1_ops s1_smmu_ops = {
	.name = "SMMUv3 stage 1",
	.format = VFIO_NESTING_FORMAT_SMMUV3,
	.init = smmu_init,
	.map = smmu_map,
	.unmap = smmu_unmap,
	.flags = smmu_flags,
};

int cd_table_init(struct cd_table *ct, struct guest *g, unsigned int fmt,
		  unsigned int cdmax)
{
	unsigned int split = fmt == CD_4K ? 6 : fmt == CD_64K ? 10 : 0;
	u64 size = split ? 8ull << (cdmax - split) : (u64)CD_LEN << cdmax;

	*ct = (struct cd_table){
		.g = g, .fmt = fmt, .split = split, .cdmax = cdmax,
		.s1dss = CD_DSS_SSID0,
	};
	size = size < SZ_4K ? SZ_4K : size;
	ct->base = guest_alloc(g, size, size);
	return ct->base ? 0 : vfio_fail(-ENOMEM, "guest memory is used up");
}

u64 *cd_at(struct cd_table *ct, u32 ssid)
{
	u64 base = ct->base, *l1, val;

	if (ct->split) {
		l1 = (u64 *)guest_va(ct->g, base) + (ssid >> ct->split);
		val = word_read(l1);
		if (!(val & 1)) {
			u64 size = (u64)CD_LEN << ct->split;

			val = guest_alloc(ct->g, size, size);
			if (!val)
				return NULL;
			word_write(l1, val | 1);
		}
		base = val & DESC_ADDR;
		ssid &= (1u << ct->split) - 1;
	}
	return (u64 *)guest_va(ct->g, base) + ssid * (CD_LEN / 8);
}

int cd_set(struct cd_table *ct, u32 ssid, const struct s1_table *t, u16 asid)
{
	u64 *cd = cd_at(ct, ssid);

	if (!cd)
		return vfio_fail(-ENOMEM, "guest memory is used up");
	word_write(&cd[0], 0);
	word_write(&cd[1], t->root);
	word_write(&cd[3], MAIR_WB);
	word_write(&cd[0], CD_T0SZ_48 | CD_WALK_WB | CD_EPD1 | CD_V |
		   CD_IPS_44 | CD_AA64 | CD_R | CD_A | CD_ASET |
		   (u64)asid << 48);
	return 0;
}

/* 5.2: stream table entry, stage 1 */
void cd_ste(const struct cd_table *ct, struct vfio_nesting_smmuv3_ste *ste)
{
	ste->ste[0] = htole64(1 | 5 << 1 | ct->fmt << 4 | ct->base |
			      (u64)ct->cdmax << 59);
	/* the walk of the table is write-back, inner shareable */
	ste->ste[1] = htole64(ct->s1dss | 1 << 2 | 1 << 4 | 3 << 6);
}
