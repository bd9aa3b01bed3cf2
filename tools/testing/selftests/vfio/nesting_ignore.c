// SPDX-License-Identifier: GPL-2.0-only
/*
 * Negative control: what the other tests see after an invalidation depends on
 * the descriptor for it.  The model is told to ignore descriptors of one type;
 * then the stale translation has to be seen.  Each test ends with the same
 * invalidation, obeyed, so that nothing stale is left for the next.
 */
#include "nest_test.h"

/* Types of VT-d's descriptors, and SMMUv3's commands: IHI 0070F, chapter 4 */
enum kind {
	KIND_PAGE,		/* of a guest's table */
	KIND_DEVICE_TLB,
	KIND_PASID_DEVICE_TLB,
	KIND_PASID_ENTRY,
	KIND_STAGE2,
};

static const struct {
	u64 vtd;
	u8 smmu[3];
} kinds[] = {
	[KIND_PAGE] = { BIT_ULL(IOMMU_MON_VTD_PIOTLB), { 0x12 } },
	[KIND_DEVICE_TLB] = { BIT_ULL(IOMMU_MON_VTD_DTLB), { 0x40 } },
	[KIND_PASID_DEVICE_TLB] = { BIT_ULL(IOMMU_MON_VTD_PDTLB), { 0x40 } },
	[KIND_PASID_ENTRY] = { BIT_ULL(IOMMU_MON_VTD_PC), { 0x05 } },
	[KIND_STAGE2] = {
		BIT_ULL(IOMMU_MON_VTD_IOTLB) | BIT_ULL(IOMMU_MON_VTD_PIOTLB),
		{ 0x10, 0x28, 0x2a },
	},
};

FIXTURE(nesting_ignore)
{
	struct nest n;
	struct space s;
	u64 other;
};

FIXTURE_SETUP(nesting_ignore)
{
	struct nest *n = &self->n;

	nest_setup_mon(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	if (!(imon_read64(&n->mon, IMON_MODES) & IOMMU_MON_MODE_STRICT))
		SKIP(return, "the model is not strict");
	space_init(_metadata, n, &self->s, 0xa1);
	self->other = guest_alloc(&n->g, SZ_4K, SZ_4K);
	memset(guest_va(&n->g, self->other), 0xee, SZ_4K);
}

static void ignore(struct nest *n, enum kind what, bool on)
{
	unsigned int i;

	if (n->ops->format == VFIO_NESTING_FORMAT_VTD_S1) {
		imon_write64(&n->mon, IMON_IGNORE_VTD,
			     on ? kinds[what].vtd : 0);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(kinds[what].smmu); i++) {
		if (!kinds[what].smmu[i])
			break;
		imon_write64(&n->mon, IMON_IGNORE_SMMU, kinds[what].smmu[i]);
		imon_write32(&n->mon, IMON_IGNORE_SMMU_ON, on);
	}
}

FIXTURE_TEARDOWN(nesting_ignore)
{
	unsigned int kind;

	for (kind = 0; self->n.mon.bar && kind < ARRAY_SIZE(kinds); kind++)
		ignore(&self->n, kind, false);
}

/* The byte that the device reads at TEST_SRC, -1 if it is refused */
static int seen(FIXTURE_DATA(nesting_ignore) *self, u32 pasid, u32 flags)
{
	struct nest *n = &self->n;
	struct ptd_desc d = {
		.op = PTD_OP_MEMMOVE,
		.flags = flags,
		.pasid = ptd_pasid(dma_pasid(pasid)),
		.src = TEST_SRC,
		.dst = TEST_DST,
		.len = 64,
	};

	*(u8 *)guest_va(&n->g, self->s.dst) = 0;
	if (ptd_run(&n->ptd, 0, &d, NULL) != PTD_ST_OK)
		return -1;
	return *(u8 *)guest_va(&n->g, self->s.dst);
}

/* A page moves; its invalidation is ignored, then obeyed */
static void ignore_inval(struct __test_metadata *_metadata,
			 FIXTURE_DATA(nesting_ignore) *self, u32 pasid,
			 enum kind what, u32 flags)
{
	struct nest *n = &self->n;

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t));
	ASSERT_EQ(0xa1, seen(self, pasid, flags));
	test_ok(s1_map(&self->s.t, TEST_SRC, self->other, SZ_4K, SZ_4K,
		       S1_READ | S1_USER));
	ignore(n, what, true);
	test_ok(nest_inval_range(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t,
				 TEST_SRC, 1));
	EXPECT_EQ(0xa1, seen(self, pasid, flags));
	ignore(n, what, false);
	test_ok(nest_inval_range(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t,
				 TEST_SRC, 1));
	EXPECT_EQ(0xee, seen(self, pasid, flags));
}

TEST_F(nesting_ignore, page)
{
	ignore_inval(_metadata, self, 1, KIND_PAGE, PTD_F_NO_ATS);
}

TEST_F(nesting_ignore, page_rid)
{
	ignore_inval(_metadata, self, NEST_RID, KIND_PAGE, PTD_F_NO_ATS);
}

TEST_F(nesting_ignore, device_tlb)
{
	if (!(self->n.feat.flags & VFIO_DEVICE_NESTING_ATS))
		SKIP(return, "ATS is off");
	ignore_inval(_metadata, self, NEST_RID, KIND_DEVICE_TLB, 0);
}

TEST_F(nesting_ignore, pasid_device_tlb)
{
	if (!(self->n.feat.flags & VFIO_DEVICE_NESTING_ATS))
		SKIP(return, "ATS is off");
	ignore_inval(_metadata, self, 1, KIND_PASID_DEVICE_TLB, 0);
}

/* The PASID's entry is cached: after an unbind it still translates */
TEST_F(nesting_ignore, pasid_entry)
{
	struct nest *n = &self->n;

	/* Where PASIDs are bound as a table, that stays bound */
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, NEST_RID, &self->s.t));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 1, &self->s.t));
	ASSERT_EQ(0xa1, seen(self, 1, PTD_F_NO_ATS));
	ignore(n, KIND_PASID_ENTRY, true);
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, 1));
	EXPECT_EQ(0xa1, seen(self, 1, PTD_F_NO_ATS));
	ignore(n, KIND_PASID_ENTRY, false);
	/* The same domain id again */
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 1, &self->s.t));
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, 1));
	EXPECT_EQ(-1, seen(self, 1, PTD_F_NO_ATS));
}

/* Memory that left stage 2 is still reached through the nested table */
TEST_F(nesting_ignore, stage2)
{
	u64 gpa = GUEST_GPA + 2 * TEST_MEM;
	struct nest *n = &self->n;
	int rw = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	u8 *mem;

	mem = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	mem[0] = 0x77;
	test_ok(vfio_map(&n->c, mem, gpa, SZ_4K, rw));
	test_ok(s1_map(&self->s.t, TEST_SRC, gpa, SZ_4K, SZ_4K,
		       S1_READ | S1_USER));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 1, &self->s.t));
	ASSERT_EQ(0x77, seen(self, 1, PTD_F_NO_ATS));
	ignore(n, KIND_STAGE2, true);
	test_ok(vfio_unmap(&n->c, gpa, SZ_4K, NULL));
	EXPECT_EQ(0x77, seen(self, 1, PTD_F_NO_ATS));
	ignore(n, KIND_STAGE2, false);
	test_ok(vfio_map(&n->c, mem, gpa, SZ_4K, rw));
	test_ok(vfio_unmap(&n->c, gpa, SZ_4K, NULL));
	EXPECT_EQ(-1, seen(self, 1, PTD_F_NO_ATS));
}

VFIO_TEST_MAIN
