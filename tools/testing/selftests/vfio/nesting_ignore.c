// SPDX-License-Identifier: GPL-2.0-only
/*
 * Negative control: what the other tests see after an invalidation depends on
 * the descriptor for it.  The model is told to ignore descriptors of one type;
 * then the stale translation has to be seen.  Each test ends with the same
 * invalidation, obeyed, so that nothing stale is left for the next.
 */
#include "nest_test.h"

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

FIXTURE_TEARDOWN(nesting_ignore)
{
	if (self->n.mon.bar)
		imon_write64(&self->n.mon, IMON_IGNORE_VTD, 0);
}

static void ignore(struct nest *n, unsigned int type)
{
	imon_write64(&n->mon, IMON_IGNORE_VTD, type ? BIT_ULL(type) : 0);
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
			 unsigned int type, u32 flags)
{
	struct nest *n = &self->n;

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t));
	ASSERT_EQ(0xa1, seen(self, pasid, flags));
	test_ok(s1_map(&self->s.t, TEST_SRC, self->other, SZ_4K, SZ_4K,
		       S1_READ | S1_USER));
	ignore(n, type);
	test_ok(nest_inval_range(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t,
				 TEST_SRC, 1));
	EXPECT_EQ(0xa1, seen(self, pasid, flags));
	ignore(n, 0);
	test_ok(nest_inval_range(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t,
				 TEST_SRC, 1));
	EXPECT_EQ(0xee, seen(self, pasid, flags));
}

TEST_F(nesting_ignore, piotlb)
{
	ignore_inval(_metadata, self, 1, IOMMU_MON_VTD_PIOTLB, PTD_F_NO_ATS);
}

TEST_F(nesting_ignore, piotlb_rid)
{
	ignore_inval(_metadata, self, NEST_RID, IOMMU_MON_VTD_PIOTLB,
		     PTD_F_NO_ATS);
}

TEST_F(nesting_ignore, device_tlb)
{
	if (!(self->n.feat.flags & VFIO_DEVICE_NESTING_ATS))
		SKIP(return, "ATS is off");
	ignore_inval(_metadata, self, NEST_RID, IOMMU_MON_VTD_DTLB, 0);
}

TEST_F(nesting_ignore, pasid_device_tlb)
{
	if (!(self->n.feat.flags & VFIO_DEVICE_NESTING_ATS))
		SKIP(return, "ATS is off");
	ignore_inval(_metadata, self, 1, IOMMU_MON_VTD_PDTLB, 0);
}

/* The PASID's entry is cached: after an unbind it still translates */
TEST_F(nesting_ignore, pasid_cache)
{
	struct nest *n = &self->n;

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 1, &self->s.t));
	ASSERT_EQ(0xa1, seen(self, 1, PTD_F_NO_ATS));
	ignore(n, IOMMU_MON_VTD_PC);
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, 1));
	EXPECT_EQ(0xa1, seen(self, 1, PTD_F_NO_ATS));
	ignore(n, 0);
	/* The same domain id again */
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 1, &self->s.t));
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, 1));
	EXPECT_EQ(-1, seen(self, 1, PTD_F_NO_ATS));
}

/* Memory that left stage 2 is still reached through the nested table */
TEST_F(nesting_ignore, iotlb)
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
	imon_write64(&n->mon, IMON_IGNORE_VTD,
		     BIT_ULL(IOMMU_MON_VTD_IOTLB) |
		     BIT_ULL(IOMMU_MON_VTD_PIOTLB));
	test_ok(vfio_unmap(&n->c, gpa, SZ_4K, NULL));
	EXPECT_EQ(0x77, seen(self, 1, PTD_F_NO_ATS));
	ignore(n, 0);
	test_ok(vfio_map(&n->c, mem, gpa, SZ_4K, rw));
	test_ok(vfio_unmap(&n->c, gpa, SZ_4K, NULL));
	EXPECT_EQ(-1, seen(self, 1, PTD_F_NO_ATS));
}

VFIO_TEST_MAIN
