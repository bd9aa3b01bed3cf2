// SPDX-License-Identifier: GPL-2.0-only
/*
 * VT-d first level: four levels, the format of x86 processors.  The device
 * sets A and D at the same time as this code runs, so entries are only
 * touched whole.
 */
#include "libvfio.h"

#define PTE_P		BIT_ULL(0)
#define PTE_RW		BIT_ULL(1)
#define PTE_US		BIT_ULL(2)
#define PTE_A		BIT_ULL(5)
#define PTE_D		BIT_ULL(6)
#define PTE_PS		BIT_ULL(7)
#define PTE_ADDR	0x000ffffffffff000ull

#define LEVELS		4
#define ADDR_WIDTH	48

static u64 pte_read(const u64 *pte)
{
	return __atomic_load_n(pte, __ATOMIC_ACQUIRE);
}

static void pte_write(u64 *pte, u64 val)
{
	__atomic_store_n(pte, val, __ATOMIC_RELEASE);
}

static unsigned int level_shift(int level)
{
	return 12 + 9 * (level - 1);
}

/* The entry of @va at @level; on the way down, builds tables if @build */
static u64 *pte_at(struct s1_table *t, u64 va, int level, bool build)
{
	u64 table = t->root, *pte, val;
	int l;

	for (l = LEVELS;; l--) {
		pte = (u64 *)guest_va(t->g, table) +
		      (va >> level_shift(l) & 0x1ff);
		val = pte_read(pte);
		if (l == level)
			return pte;
		if (val & PTE_PS)
			return NULL;
		if (!(val & PTE_P)) {
			if (!build)
				return NULL;
			val = guest_alloc(t->g, SZ_4K, SZ_4K);
			if (!val)
				return NULL;
			val |= PTE_P | PTE_RW | PTE_US;
			pte_write(pte, val);
		}
		table = val & PTE_ADDR;
	}
}

/* The leaf that translates @va */
static u64 *leaf(struct s1_table *t, u64 va)
{
	u64 *pte, val;
	int l;

	for (l = LEVELS - 1; l >= 1; l--) {
		pte = pte_at(t, va, l, false);
		if (!pte)
			return NULL;
		val = pte_read(pte);
		if (!(val & PTE_P))
			return NULL;
		if (l == 1 || val & PTE_PS)
			return pte;
	}
	return NULL;
}

static int vtd_init(struct s1_table *t)
{
	t->root = guest_alloc(t->g, SZ_4K, SZ_4K);
	return t->root ? 0 : vfio_fail(-ENOMEM, "guest memory is used up");
}

static int vtd_map(struct s1_table *t, u64 va, u64 gpa,
		   u64 page, unsigned int prot)
{
	u64 *pte, val = gpa | PTE_P;
	int level;

	switch (page) {
	case SZ_4K:
		level = 1;
		break;
	case SZ_2M:
		level = 2;
		break;
	case SZ_1G:
		level = 3;
		break;
	default:
		return -EINVAL;
	}
	if ((va | gpa) & (page - 1) || !(prot & S1_READ))
		return -EINVAL;
	if (level > 1)
		val |= PTE_PS;
	if (prot & S1_WRITE)
		val |= PTE_RW;
	if (prot & S1_USER)
		val |= PTE_US;

	pte = pte_at(t, va, level, true);
	if (!pte)
		return -ENOMEM;
	pte_write(pte, val);
	return 0;
}

static int vtd_unmap(struct s1_table *t, u64 va)
{
	u64 *pte = leaf(t, va);

	if (!pte)
		return -ENOENT;
	pte_write(pte, 0);
	return 0;
}

static int vtd_flags(struct s1_table *t, u64 va)
{
	u64 *pte = leaf(t, va), val;
	int flags = S1_READ;

	if (!pte)
		return -ENOENT;
	val = pte_read(pte);
	if (val & PTE_RW)
		flags |= S1_WRITE;
	if (val & PTE_US)
		flags |= S1_USER;
	if (val & PTE_A)
		flags |= S1_ACCESSED;
	if (val & PTE_D)
		flags |= S1_DIRTY;
	return flags;
}

static int vtd_bind_data(const struct s1_table *t, union s1_bind_data *data)
{
	data->vtd = (struct iommu_hwpt_vtd_s1){
		.flags = t->bind_flags,
		.pgtbl_addr = t->root,
		.addr_width = ADDR_WIDTH,
	};
	return 0;
}

static void vtd_inv_entry(const struct s1_table *t, union s1_inv_entry *e,
			  u64 va, u64 npages)
{
	(void)t;
	e->vtd = (struct iommu_hwpt_vtd_s1_invalidate){
		.addr = va,
		.npages = npages,
	};
}

const struct s1_ops s1_vtd_ops = {
	.name = "VT-d first level",
	.format = VFIO_NESTING_FORMAT_VTD_S1,
	.feature = VFIO_NESTING_FEATURE_BIND_GUEST_PASID,
	.marks = true,
	.data_len = sizeof(struct iommu_hwpt_vtd_s1),
	.inv_len = sizeof(struct iommu_hwpt_vtd_s1_invalidate),
	.init = vtd_init,
	.map = vtd_map,
	.unmap = vtd_unmap,
	.flags = vtd_flags,
	.bind_data = vtd_bind_data,
	.inv_entry = vtd_inv_entry,
};
