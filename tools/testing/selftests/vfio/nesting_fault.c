// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unrecoverable faults: from the IOMMU's records to the mapped ring
 */
#include "nest_test.h"

#define PASID	5

/*
 * One access of 8 bytes by the device, untranslated: with ATS it would ask
 * first, and "no" is an answer, not a fault.  Returns PTD_ST_*.
 */
static int touch(struct ptd *ptd, u32 pasid, u64 addr, bool write, u32 flags)
{
	struct ptd_desc d = {
		.op = write ? PTD_OP_FILL : PTD_OP_CRC32,
		.flags = PTD_F_NO_ATS | flags,
		.pasid = ptd_pasid(dma_pasid(pasid)),
		.src = addr,
		.dst = addr,
		.len = 8,
	};
	struct ptd_record r;

	return ptd_run(ptd, 0, &d, &r);
}

FIXTURE(nesting_fault)
{
	struct nest n;
	struct space s;
	struct fault_ring r;
};

FIXTURE_SETUP(nesting_fault)
{
	struct nest *n = &self->n;

	nest_setup_mon(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	if (!(n->info.cap.formats[0].features & VFIO_NESTING_FEATURE_DMA_FAULT))
		SKIP(return, "no DMA_FAULT here");
	space_init(_metadata, n, &self->s, 0xa1);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	test_ok(fault_open(&self->r, &n->d, VFIO_DMA_FAULT_UNRECOVERABLE, 64));
}

FIXTURE_TEARDOWN(nesting_fault)
{
}

TEST_F(nesting_fault, one)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;

	/* It works, and leaves nothing */
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
	EXPECT_EQ(0, fault_pending(&self->r));

	test_ok(s1_unmap(&self->s.t, TEST_SRC));
	test_ok(nest_inval_range(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t,
				 TEST_SRC, 1));
	EXPECT_EQ(PTD_ST_READ_FAULT, touch(&n->ptd, PASID, TEST_SRC, false, 0));

	ASSERT_EQ(1, fault_next(&self->r, &f, 5000));
	EXPECT_EQ(1, f.seq);
	EXPECT_EQ(VFIO_DMA_FAULT_TYPE_UNRECOVERABLE, f.type);
	EXPECT_EQ(VFIO_DMA_FAULT_F_PASID | VFIO_DMA_FAULT_F_ADDR, f.flags);
	EXPECT_EQ(PASID, f.pasid);
	EXPECT_EQ(VFIO_DMA_FAULT_PERM_READ, f.perm);
	EXPECT_EQ(TEST_SRC, f.addr);
	EXPECT_EQ(VFIO_DMA_FAULT_REASON_TRANSLATION, f.reason);
	EXPECT_EQ(0x71, f.hw_reason);
	EXPECT_EQ(1, f.stage);
	EXPECT_EQ(0, fault_pending(&self->r));
	EXPECT_EQ(0, self->r.header->lost);
	EXPECT_EQ(0, self->r.header->hw_lost);
}

VFIO_TEST_MAIN
