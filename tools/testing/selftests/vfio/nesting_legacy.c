// SPDX-License-Identifier: GPL-2.0-only
/*
 * Containers of the types that were there before behave as they did.  This
 * has to pass on a kernel without nesting too, and in the same way: it does
 * not look at VFIO_TYPE1_NESTING_API.
 */
#include "nest_test.h"

FIXTURE(nesting_legacy)
{
	struct vfio_container c;
	struct vfio_device d;
	struct guest g;
	bool ptd;
};

FIXTURE_VARIANT(nesting_legacy)
{
	int type;
};

FIXTURE_VARIANT_ADD(nesting_legacy, type1)
{
	.type = VFIO_TYPE1_IOMMU,
};

FIXTURE_VARIANT_ADD(nesting_legacy, type1v2)
{
	.type = VFIO_TYPE1v2_IOMMU,
};

FIXTURE_SETUP(nesting_legacy)
{
	if (!test_nr)
		SKIP(return, "no device is bound to vfio-pci");
	test_ok(vfio_container_open(&self->c));
	test_ok(vfio_device_open(&self->d, &self->c, variant->type,
				 test_bdf[0]));
	test_ok(guest_init(&self->g, &self->c, GUEST_GPA, TEST_MEM));
	self->ptd = vfio_sysfs_id(self->d.bdf, "device") == PTD_DEVICE_ID;
}

FIXTURE_TEARDOWN(nesting_legacy)
{
}

/* The new ioctls do not exist here */
TEST_F(nesting_legacy, no_new_ioctls)
{
	struct vfio_iommu_type1_pasid_request req = {
		.argsz = sizeof(req),
		.flags = VFIO_PASID_REQUEST_FREE,
		.min = 1,
		.max = 1,
	};
	struct vfio_iommu_type1_bind bind = {
		.argsz = sizeof(bind),
		.op = VFIO_BIND_OP_BLOCK,
	};
	struct vfio_iommu_type1_cache_invalidate inv = {
		.argsz = sizeof(inv),
		.entry_num = 1,
	};
	unsigned int nr;
	int fd = self->c.fd;

	test_err(ENOTTY, vfio_ioctl(fd, VFIO_IOMMU_PASID_REQUEST, &req));
	test_err(ENOTTY, vfio_ioctl(fd, VFIO_IOMMU_BIND, &bind));
	test_err(ENOTTY, vfio_ioctl(fd, VFIO_IOMMU_CACHE_INVALIDATE, &inv));
	test_err(ENOTTY, vfio_ioctl(fd, VFIO_IOMMU_BIND, NULL));
	/* Nor those between them and iommufd's */
	for (nr = 122; nr < 128; nr++)
		test_err(ENOTTY, vfio_ioctl(fd, _IO(VFIO_TYPE, nr), &bind));
}

TEST_F(nesting_legacy, info)
{
	union {
		struct vfio_iommu_type1_info info;
		u8 raw[4096];
	} buf = { .info.argsz = sizeof(buf) };
	const struct vfio_info_cap_header *cap;
	unsigned int seen = 0;
	union nest_info nest;
	u32 off;

	test_err(ENOENT, nest_info(&self->c, &nest));
	test_ok(vfio_ioctl(self->c.fd, VFIO_IOMMU_GET_INFO, &buf));
	EXPECT_EQ(VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS,
		  buf.info.flags);
	EXPECT_TRUE(buf.info.iova_pgsizes & SZ_4K);
	for (off = buf.info.cap_offset; off; off = cap->next) {
		cap = (void *)(buf.raw + off);
		ASSERT_GT(4, cap->id);
		seen |= BIT(cap->id);
	}
	/* IOVA range, migration, DMA_AVAIL: as ever */
	EXPECT_EQ(BIT(1) | BIT(2) | BIT(3), seen);
}

TEST_F(nesting_legacy, extensions)
{
	EXPECT_EQ(1, vfio_check_extension(&self->c, VFIO_TYPE1_IOMMU));
	EXPECT_EQ(1, vfio_check_extension(&self->c, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(1, vfio_check_extension(&self->c, VFIO_UNMAP_ALL));
	EXPECT_EQ(0, vfio_check_extension(&self->c, 63));
	EXPECT_EQ(0, vfio_check_extension(&self->c, 65));
}

TEST_F(nesting_legacy, map_unmap)
{
	u64 gpa = GUEST_GPA + SZ_1G, done;
	void *mem = mmap(NULL, SZ_2M, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int rw = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;

	ASSERT_NE(MAP_FAILED, mem);
	/* Read-only, write-only; and what overlaps is refused */
	test_ok(vfio_map(&self->c, mem, gpa, SZ_4K, VFIO_DMA_MAP_FLAG_READ));
	test_ok(vfio_map(&self->c, mem, gpa + SZ_4K, SZ_4K,
			 VFIO_DMA_MAP_FLAG_WRITE));
	test_err(EEXIST, vfio_map(&self->c, mem, gpa, SZ_2M, rw));
	test_err(EINVAL, vfio_map(&self->c, mem, gpa + SZ_2M, SZ_4K, 0));
	test_err(EINVAL, vfio_map(&self->c, mem, gpa + SZ_2M + 1, SZ_4K, rw));
	test_ok(vfio_unmap(&self->c, gpa, 2 * SZ_4K, &done));
	EXPECT_EQ(2 * SZ_4K, done);
	test_ok(vfio_map(&self->c, mem, gpa, SZ_2M, rw));

	/* Half of a map: v2 refuses, v1 does what its pages allow */
	if (variant->type == VFIO_TYPE1v2_IOMMU) {
		test_err(EINVAL, vfio_unmap(&self->c, gpa, SZ_4K, NULL));
		test_ok(vfio_unmap(&self->c, gpa, SZ_2M, &done));
		EXPECT_EQ(SZ_2M, done);
	} else {
		test_ok(vfio_unmap(&self->c, gpa, SZ_2M, &done));
		EXPECT_LE(SZ_4K, done);
	}
}

TEST_F(nesting_legacy, dma)
{
	u64 src = guest_alloc(&self->g, SZ_4K, SZ_4K);
	u64 dst = guest_alloc(&self->g, SZ_4K, SZ_4K);
	struct ptd_record r;
	struct ptd ptd;

	if (!self->ptd)
		SKIP(return, "%s is no pasid-testdev", self->d.bdf);
	test_ok(ptd_init(&ptd, &self->d));
	memset(guest_va(&self->g, src), 0x3c, SZ_4K);
	ASSERT_EQ(PTD_ST_OK,
		  ptd_copy(&ptd, PTD_NO_PASID, dst, src, SZ_4K, NULL));
	EXPECT_TRUE(mem_is(&self->g, dst, 0x3c, SZ_4K));

	/* What is read-only stays so */
	test_ok(vfio_map(&self->c, guest_va(&self->g, src),
			 GUEST_GPA + SZ_1G, SZ_4K, VFIO_DMA_MAP_FLAG_READ));
	ASSERT_EQ(PTD_ST_WRITE_FAULT,
		  ptd_fill(&ptd, PTD_NO_PASID, GUEST_GPA + SZ_1G, 64, 0, &r));
	EXPECT_EQ(GUEST_GPA + SZ_1G, r.fault_addr);

	test_ok(vfio_unmap(&self->c, GUEST_GPA, TEST_MEM, NULL));
	ASSERT_EQ(PTD_ST_READ_FAULT,
		  ptd_copy(&ptd, PTD_NO_PASID, dst, src, SZ_4K, &r));
	EXPECT_EQ(src, r.fault_addr);
}

/* PASIDs are nobody's: the device is refused */
TEST_F(nesting_legacy, no_pasid)
{
	struct ptd ptd;
	u64 src = guest_alloc(&self->g, SZ_4K, SZ_4K);
	int status;

	if (!self->ptd)
		SKIP(return, "%s is no pasid-testdev", self->d.bdf);
	test_ok(ptd_init(&ptd, &self->d));
	status = ptd_crc(&ptd, 1, src, 64, 0, NULL);
	EXPECT_TRUE(status == PTD_ST_READ_FAULT || status == PTD_ST_BAD_PASID);
}

/* SMMUv3 commands that drop translations: IHI 0070F, 4.4 */
static u64 smmu_tlbi(const struct imon *mon)
{
	u64 sum = 0;
	u32 op;

	for (op = 0x10; op <= 0x30; op++)
		sum += imon_total(mon, IOMMU_MON_EV_SMMU(op));
	return sum;
}

/* What the container costs the queue */
TEST_F(nesting_legacy, invalidations)
{
	struct imon mon;
	char iommu[64];

	if (imon_open(&mon))
		SKIP(return, "no iommu-monitor in this machine");
	test_ok(vfio_sysfs_link(self->d.bdf, "iommu", iommu, sizeof(iommu)));
	imon_clear(&mon);
	test_ok(vfio_unmap(&self->c, GUEST_GPA, TEST_MEM, NULL));
	if (!strncmp(iommu, "smmu3", 5)) {
		EXPECT_LE(1, smmu_tlbi(&mon));
		EXPECT_LE(1, imon_total(&mon, IOMMU_MON_EV_SMMU(0x46)));
		/* No descriptor has changed */
		EXPECT_EQ(0, imon_total(&mon, IOMMU_MON_EV_SMMU(0x03)));
		EXPECT_EQ(0, imon_total(&mon, IOMMU_MON_EV_SMMU(0x05)));
		return;
	}
	/* PASID 0 of a second-level table: by domain, never by PASID */
	EXPECT_EQ(0, imon_total(&mon, IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PIOTLB)));
	EXPECT_EQ(0, imon_total(&mon, IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PDTLB)));
	EXPECT_LE(1, imon_total(&mon, IOMMU_MON_EV_VTD(IOMMU_MON_VTD_IOTLB)));
	EXPECT_LE(1, imon_total(&mon, IOMMU_MON_EV_VTD(IOMMU_MON_VTD_WAIT)));
}

/*
 * Faults that are too many are disabled, on a host of any mode, and the queue
 * of invalidations goes on
 */
TEST_F(nesting_legacy, flood)
{
	u64 src = guest_alloc(&self->g, SZ_4K, SZ_4K), gone = GUEST_GPA + SZ_1G;
	int log, queue, i;
	struct ptd ptd;

	if (!self->ptd)
		SKIP(return, "%s is no pasid-testdev", self->d.bdf);
	/* What is looked for is printed a few times in some seconds */
	if (variant->type != VFIO_TYPE1v2_IOMMU)
		SKIP(return, "type1v2 does it");
	log = log_open(_metadata);
	queue = log_open(_metadata);
	if (!set_limit(1))
		SKIP(return, NOT_MUTED);
	test_ok(ptd_init(&ptd, &self->d));
	/* To ask first, with ATS, is no fault */
	for (i = 0; i < 64; i++) {
		struct ptd_desc d = {
			.op = PTD_OP_FILL,
			.flags = PTD_F_NO_ATS,
			.pasid = ptd_pasid(PTD_NO_PASID),
			.dst = gone,
			.len = 64,
		};

		EXPECT_NE(PTD_ST_OK, ptd_run(&ptd, 0, &d, NULL));
	}
	/* A thread reads them, and says so */
	EXPECT_TRUE(wait_until(log_lines(log, "too many faults")));
	test_ok(!set_limit(FAULT_NO_LIMIT));

	/* What is unmapped is gone, which takes an invalidation */
	EXPECT_EQ(PTD_ST_OK, ptd_crc(&ptd, PTD_NO_PASID, src, 64, 0, NULL));
	test_ok(vfio_unmap(&self->c, GUEST_GPA, TEST_MEM, NULL));
	EXPECT_NE(PTD_ST_OK, ptd_crc(&ptd, PTD_NO_PASID, src, 64, 0, NULL));
	EXPECT_EQ(0, log_lines(queue, "Invalidation Queue Error"));
	close(queue);
	close(log);
}

/* Reset and use again, in the same container */
TEST_F(nesting_legacy, reset)
{
	u64 src = guest_alloc(&self->g, SZ_4K, SZ_4K);
	struct ptd ptd;

	if (!self->ptd)
		SKIP(return, "%s is no pasid-testdev", self->d.bdf);
	test_ok(vfio_device_reset(&self->d));
	test_ok(ptd_init(&ptd, &self->d));
	EXPECT_EQ(PTD_ST_OK, ptd_crc(&ptd, PTD_NO_PASID, src, 64, 0, NULL));
}

/* A container of one type takes no other; empty ones answer as they did */
TEST(legacy_empty_container)
{
	struct vfio_container c;

	if (vfio_container_open(&c))
		SKIP(return, "%s", vfio_why());
	test_err(EINVAL, vfio_container_set_type(&c, VFIO_TYPE1v2_IOMMU));
	test_err(EINVAL, vfio_ioctl(c.fd, VFIO_IOMMU_GET_INFO, NULL));
	EXPECT_EQ(1, vfio_check_extension(&c, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(1, vfio_check_extension(&c, VFIO_TYPE1_NESTING_IOMMU));
	EXPECT_EQ(0, vfio_check_extension(&c, VFIO_SPAPR_TCE_IOMMU));
}

VFIO_TEST_MAIN
