// SPDX-License-Identifier: GPL-2.0-only
/*
 * Surprise removal of a device with bindings.  The device is gone afterwards:
 * run this last, with a machine to spare.
 */
#include <poll.h>

#include "smmu_test.h"

#define PASID	1

static bool is_there(const char *bdf)
{
	return vfio_sysfs_id(bdf, "vendor") >= 0;
}

static bool becomes_gone(const char *bdf)
{
	/* The emulated machine's slots take a second or so to notice */
	return wait_until(!is_there(bdf));
}

FIXTURE(unplug)
{
	struct nest n;
	struct vfio_device d2;
	struct ptd ptd2;
	struct space s;
};

FIXTURE_SETUP(unplug)
{
	struct nest *n = &self->n;

	if (test_nr < 2)
		SKIP(return, "needs two devices, one to lose");
	nest_setup_mon(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	nest_add_device(_metadata, n, &self->d2, &self->ptd2, test_nr - 1);
	space_init(_metadata, n, &self->s, 0xa1);
}

FIXTURE_TEARDOWN(unplug)
{
}

TEST_F(unplug, bound)
{
	const char *bdf = test_bdf[test_nr - 1];
	struct nest *n = &self->n;
	struct ptd_desc d = {
		.op = PTD_OP_FILL,
		.pasid = ptd_pasid(PASID),
		.dst = TEST_DST,
		.len = TEST_LEN,
	};
	struct vfio_device_feature_nesting feat;
	struct pollfd gone = { .events = POLLIN };
	struct fault_ring ring = { .eventfd = -1 };
	struct s1_table demand = self->s.t;
	struct vfio_dma_fault f;
	unsigned int q, asked = 0;
	u64 answers = imon_answers(&n->mon);
	int i, ret;

	test_ok(nest_device_info(&self->d2, &feat, NULL));
	demand.demand = feat.max_requests;
	test_ok(nest_bind(&n->c, n->d.group_fd, PASID, &self->s.t));
	test_ok(nest_bind(&n->c, self->d2.group_fd, PASID, &demand));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, NEST_RID, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
	dma_copies(_metadata, n, &self->ptd2, PASID, &self->s);
	dma_copies(_metadata, n, &self->ptd2, NEST_RID, &self->s);
	gone.fd = vfio_device_irq_eventfd(&self->d2, VFIO_PCI_REQ_IRQ_INDEX,
					  0);
	ASSERT_LE(0, gone.fd);

	/* In the middle of its work, and waiting for pages in all queues */
	if (feat.max_requests) {
		test_ok(fault_open(&ring, &self->d2,
				   VFIO_DMA_FAULT_UNRECOVERABLE |
				   VFIO_DMA_FAULT_PAGE_REQUEST, 64));
		for (q = 1; q < self->ptd2.nr_queues; q++) {
			dma_demand(n, &self->ptd2, q, PASID,
				   TEST_DST + TEST_LEN);
			ASSERT_EQ(1, fault_next(&ring, &f, WAIT_MS));
			ASSERT_EQ(VFIO_DMA_FAULT_TYPE_PAGE_REQUEST, f.type);
			asked++;
		}
		ASSERT_EQ(answers, imon_answers(&n->mon));
	}
	for (i = 0; i < 16; i++)
		ptd_submit(&self->ptd2, 0, &d);
	imon_write32(&n->mon, IMON_UNPLUG, vfio_sid(bdf));
	if (imon_read32(&n->mon, IMON_UNPLUG) != 1)
		SKIP(return, "%s is in no hotplug slot", bdf);
	EXPECT_NE(PTD_ID_VALUE, ptd_read32(&self->ptd2, PTD_ID));

	/* An answer that nobody hears, and nothing to wait for */
	if (feat.max_requests) {
		test_ok(fault_answer(&ring, &f,
				     VFIO_DMA_FAULT_RESPONSE_SUCCESS));
		test_ok(fault_drain(&self->d2));
	}

	/*
	 * Nobody waits for a device that will not answer; before the kernel
	 * knows why, it may say so.
	 */
	wait_until((ret = nest_inval_range(&n->c, NEST_ALL_GROUPS, PASID,
					   &self->s.t, TEST_SRC, 4)) != -EIO ||
		   usleep(50000));
	test_ok(ret);
	test_ok(vfio_unmap(&n->c, GUEST_GPA, TEST_MEM, NULL));
	test_ok(vfio_map(&n->c, n->g.va, GUEST_GPA, TEST_MEM,
			 VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE));
	test_ok(nest_unbind(&n->c, self->d2.group_fd, NEST_RID));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID + 1, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
	dma_copies(_metadata, n, &n->ptd, PASID + 1, &self->s);

	/* The kernel asks for it, and goes on when it is closed */
	EXPECT_EQ(1, poll(&gone, 1, WAIT_MS));
	EXPECT_TRUE(is_there(bdf));
	vfio_device_close(&self->d2);
	fault_close(&ring);
	EXPECT_TRUE(becomes_gone(bdf));
	/* The IOMMU keeps nothing of what it asked */
	EXPECT_EQ(answers + asked, imon_answers(&n->mon));

	/* Its group left the container, and took its bindings along */
	bindings_are(_metadata, n, 3, 1);
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
	dma_copies(_metadata, n, &n->ptd, NEST_RID, &self->s);
	test_ok(nest_inval_range(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t,
				 TEST_SRC, 1));
	test_err(ENOENT, nest_bind(&n->c, self->d2.group_fd, PASID,
				   &self->s.t));
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, PASID));
	dma_refused(_metadata, &n->ptd, PASID);
	nest_close(n);
}

/* SMMUv3: nobody asks a TLB that is gone, not for the guest nor for the host */
FIXTURE(unplug_atc)
{
	struct nest n;
	struct cd_table ct;
	struct space s;
	struct vfio_nesting_smmuv3_ste ste;
};

FIXTURE_SETUP(unplug_atc)
{
	/* The one that is left */
	smmu_open(_metadata, &self->n, 0);
}

FIXTURE_TEARDOWN(unplug_atc)
{
}

TEST_F(unplug_atc, silent)
{
	struct nest *n = &self->n;
	u64 before;
	int i, ret;

	test_ok(cd_table_init(&self->ct, &n->g, CD_LINEAR, 4));
	space_init(_metadata, n, &self->s, 0xa1);
	test_ok(cd_set(&self->ct, PASID, &self->s.t, 7));
	cd_ste(&self->ct, &self->ste);
	self->ste.ste[1] |= htole64(1 << 28);
	test_ok(nest_bind_table(&n->c, NEST_ALL_GROUPS, &self->ste));
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
	EXPECT_NE(0, ptd_read64(&n->ptd, PTD_CNT_ATS_REQ));

	imon_write32(&n->mon, IMON_UNPLUG, n->sid);
	if (imon_read32(&n->mon, IMON_UNPLUG) != 1)
		SKIP(return, "%s is in no hotplug slot", n->d.bdf);
	/* Until the kernel knows */
	wait_until((ret = command(n, ATC_INV, ATC_ALL)) != -EIO ||
		   usleep(50000));
	test_ok(ret);
	before = imon_total(&n->mon, IOMMU_MON_EV_ITE);
	for (i = 0; i < 20; i++)
		test_ok(command(n, ATC_INV, ATC_ALL));
	test_ok(vfio_unmap(&n->c, GUEST_GPA, TEST_MEM, NULL));
	test_ok(nest_table_op(&n->c, NEST_ALL_GROUPS, VFIO_BIND_OP_UNBIND));
	nest_close(n);
	EXPECT_TRUE(becomes_gone(test_bdf[0]));
	ASSERT_EQ(0, imon_open(&n->mon));
	EXPECT_EQ(before, imon_total(&n->mon, IOMMU_MON_EV_ITE));
}

VFIO_TEST_MAIN
