// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_IOMMU_BIND: whose table translates what, as the device's data shows
 */
#include <endian.h>
#include <poll.h>
#include <pthread.h>

#include "nest_test.h"

FIXTURE(nesting_bind)
{
	struct nest n;
	struct space s;
};

FIXTURE_SETUP(nesting_bind)
{
	nest_setup_copy(_metadata, &self->n, 0);
	if (!_metadata->exit_code)
		space_init(_metadata, &self->n, &self->s, 0xa1);
}

FIXTURE_TEARDOWN(nesting_bind)
{
}

/* Nothing is bound: PASIDs are blocked, the rest goes through stage 2 */
TEST_F(nesting_bind, initial)
{
	struct nest *n = &self->n;

	dma_refused(_metadata, &n->ptd, 1);
	dma_refused(_metadata, &n->ptd, nest_last_pasid(n));
	dma_refused(_metadata, &n->ptd, NEST_RID);
	dma_stage2(_metadata, n, &n->ptd, &self->s, true);
	EXPECT_EQ(0, n->info.cap.nr_bindings);
}

FIXTURE(bind_pasid)
{
	struct nest n;
	struct space s;
	u32 pasid;
};

FIXTURE_VARIANT(bind_pasid)
{
	u32 pasid;
};

FIXTURE_VARIANT_ADD(bind_pasid, rid)
{
	.pasid = NEST_RID,
};

FIXTURE_VARIANT_ADD(bind_pasid, first)
{
	.pasid = 1,
};

/* In the last page of the PASID table */
FIXTURE_VARIANT_ADD(bind_pasid, last)
{
	.pasid = ~0u,
};

FIXTURE_SETUP(bind_pasid)
{
	self->pasid = nest_setup_bound(_metadata, &self->n, &self->s,
				       variant->pasid);
}

FIXTURE_TEARDOWN(bind_pasid)
{
}

TEST_F(bind_pasid, translates)
{
	struct nest *n = &self->n;
	struct ptd_record r;

	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
	bindings_are(_metadata, n, 1, 1);

	/* Only this PASID, and only what the table has */
	dma_refused(_metadata, &n->ptd, self->pasid ^ 1 ?: 2);
	ASSERT_EQ(PTD_ST_WRITE_FAULT,
		  ptd_copy(&n->ptd, dma_pasid(self->pasid),
			   TEST_DST + TEST_LEN - SZ_4K, TEST_SRC, 2 * SZ_4K,
			   &r));
	EXPECT_EQ(TEST_DST + TEST_LEN, r.fault_addr);
	EXPECT_EQ(SZ_4K, r.done);

	/* Without PASID the device is not in stage 1 unless that is bound */
	if (self->pasid != NEST_RID)
		dma_stage2(_metadata, n, &n->ptd, &self->s, true);
	else
		dma_stage2(_metadata, n, &n->ptd, &self->s, false);
}

TEST_F(bind_pasid, unbind)
{
	struct nest *n = &self->n;

	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, self->pasid));
	dma_refused(_metadata, &n->ptd, self->pasid);
	dma_stage2(_metadata, n, &n->ptd, &self->s, true);
	test_err(ENOENT, nest_unbind(&n->c, NEST_ALL_GROUPS, self->pasid));
	bindings_are(_metadata, n, 0, 0);

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, self->pasid, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
}

TEST_F(bind_pasid, block)
{
	struct nest *n = &self->n;
	bool rid = self->pasid == NEST_RID;

	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
	test_ok(nest_block(&n->c, NEST_ALL_GROUPS, self->pasid));
	dma_refused(_metadata, &n->ptd, self->pasid);
	dma_stage2(_metadata, n, &n->ptd, &self->s, !rid);
	/* Not an error where nothing is bound */
	test_ok(nest_block(&n->c, NEST_ALL_GROUPS, self->pasid));

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, self->pasid, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);

	if (rid) {
		test_ok(nest_block(&n->c, NEST_ALL_GROUPS, self->pasid));
		test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, self->pasid));
		dma_stage2(_metadata, n, &n->ptd, &self->s, true);
	}
}

TEST_F(bind_pasid, replace)
{
	struct nest *n = &self->n;
	struct space b;
	int i;

	space_init(_metadata, n, &b, 0xb2);
	for (i = 0; i < 3; i++) {
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, self->pasid,
				  &self->s.t));
		dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
		memset(guest_va(&n->g, self->s.dst), 0, TEST_LEN);
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, self->pasid, &b.t));
		dma_copies(_metadata, n, &n->ptd, self->pasid, &b);
		EXPECT_TRUE(mem_is(&n->g, self->s.dst, 0, TEST_LEN));
	}
	bindings_are(_metadata, n, 1, 1);
}

/* The table is that of another PASID, while the device uses both */
TEST_F(bind_pasid, two)
{
	struct nest *n = &self->n;
	u32 other = self->pasid == 7 ? 8 : 7;
	struct space b;

	space_init(_metadata, n, &b, 0xb2);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, other, &b.t));
	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
	dma_copies(_metadata, n, &n->ptd, other, &b);
	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);

	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, other));
	dma_refused(_metadata, &n->ptd, other);
	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
}

TEST_F(bind_pasid, accessed_dirty)
{
	struct nest *n = &self->n;

	if (n->ptd.is_dsa)
		SKIP(return, "a DSA does copy and fill, no more");
	if (!n->ops->marks)
		SKIP(return, "this IOMMU sets no flags in tables");
	EXPECT_EQ(S1_READ | S1_USER, s1_flags(&self->s.t, TEST_SRC));
	EXPECT_EQ(S1_RW, s1_flags(&self->s.t, TEST_DST));

	/* A read of a writable page leaves it clean */
	ASSERT_EQ(PTD_ST_OK, ptd_crc(&n->ptd, dma_pasid(self->pasid),
				     TEST_DST, 64, 0, NULL));
	EXPECT_EQ(S1_RW | S1_ACCESSED, s1_flags(&self->s.t, TEST_DST));

	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
	EXPECT_EQ(S1_READ | S1_USER | S1_ACCESSED,
		  s1_flags(&self->s.t, TEST_SRC));
	EXPECT_EQ(S1_RW | S1_ACCESSED | S1_DIRTY,
		  s1_flags(&self->s.t, TEST_DST));
}

TEST_F(bind_pasid, permissions)
{
	struct nest *n = &self->n;
	u32 pasid = dma_pasid(self->pasid);
	struct ptd_record r;

	if (n->ptd.is_dsa)
		SKIP(return, "a DSA does copy and fill, no more");
	/* The source is read-only */
	ASSERT_EQ(PTD_ST_WRITE_FAULT,
		  ptd_fill(&n->ptd, pasid, TEST_SRC, 64, 0, &r));
	EXPECT_EQ(TEST_SRC, r.fault_addr);
	EXPECT_TRUE(mem_is(&n->g, self->s.src, 0xa1, TEST_LEN));
	EXPECT_EQ(S1_READ | S1_USER | S1_ACCESSED,
		  s1_flags(&self->s.t, TEST_SRC) | S1_ACCESSED);

	/* A supervisor page is not for requests of user mode */
	test_ok(s1_map(&self->s.t, TEST_DST + TEST_LEN, self->s.dst, SZ_4K,
		       SZ_4K, S1_READ | S1_WRITE));
	ASSERT_EQ(PTD_ST_READ_FAULT,
		  ptd_crc(&n->ptd, pasid, TEST_DST + TEST_LEN, 64, 0, &r));
	EXPECT_EQ(TEST_DST + TEST_LEN, r.fault_addr);
	if (n->ops->marks)
		EXPECT_EQ(0, s1_flags(&self->s.t, TEST_DST + TEST_LEN) &
				     S1_ACCESSED);

	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
}

/* Pages of each size, and from one into another in one transfer */
TEST_F(bind_pasid, page_sizes)
{
	struct nest *n = &self->n;
	u64 big = GUEST_GPA + SZ_1G;
	struct guest more;
	u32 pasid = dma_pasid(self->pasid);
	u64 va = TEST_DST + SZ_2M;
	u8 *p;
	u64 i;

	if (n->ptd.is_dsa)
		SKIP(return, "a DSA does copy and fill, no more");
	test_ok(guest_init(&more, &n->c, big, SZ_2M));
	p = guest_va(&more, big);
	test_ok(s1_map(&self->s.t, va, big, SZ_2M, SZ_2M, S1_RW));
	for (i = 0; i < SZ_2M; i += SZ_4K)
		p[i] = i / SZ_4K;
	/* The last 4 KiB of the big page, and on into nothing */
	ASSERT_EQ(PTD_ST_OK, ptd_copy(&n->ptd, pasid, TEST_DST,
				      va + SZ_2M - SZ_4K, SZ_4K, NULL));
	EXPECT_EQ(0xff & (SZ_2M / SZ_4K - 1),
		  *(u8 *)guest_va(&n->g, self->s.dst));
	EXPECT_EQ(PTD_ST_READ_FAULT,
		  ptd_crc(&n->ptd, pasid, va + SZ_2M - 64, 128, 0, NULL));

	/* From a 4 KiB page on into a page of 2 MiB beside it */
	test_ok(s1_map(&self->s.t, va - SZ_4K, self->s.dst, SZ_4K, SZ_4K,
		       S1_RW));
	ASSERT_EQ(PTD_ST_OK, ptd_fill(&n->ptd, pasid, va - 64, 128,
				      0x5555555555555555ull, NULL));
	EXPECT_TRUE(mem_is(&n->g, self->s.dst + SZ_4K - 64, 0x55, 64));
	EXPECT_TRUE(mem_is(&more, big, 0x55, 64));
	EXPECT_EQ(0, p[64]);
	if (n->ops->marks)
		EXPECT_EQ(S1_RW | S1_ACCESSED | S1_DIRTY,
			  s1_flags(&self->s.t, va));
}

TEST_F(bind_pasid, page_1g)
{
	struct nest *n = &self->n;
	u32 pasid = dma_pasid(self->pasid);
	u64 va = TEST_DST + SZ_1G;
	struct ptd_record r;
	u64 off = self->s.dst - GUEST_GPA;

	if (n->feat.format == VFIO_NESTING_FORMAT_VTD_S1 &&
	    !(n->hw.vtd.cap_reg & BIT_ULL(56)))
		SKIP(return, "no stage-1 pages of 1 GiB in this IOMMU");
	test_ok(s1_map(&self->s.t, va, GUEST_GPA, SZ_1G, SZ_1G, S1_RW));
	ASSERT_EQ(PTD_ST_OK, ptd_copy(&n->ptd, pasid, va + off, TEST_SRC,
				      TEST_LEN, NULL));
	EXPECT_TRUE(mem_is(&n->g, self->s.dst, 0xa1, TEST_LEN));

	/* Most of it is not in stage 2 */
	ASSERT_EQ(PTD_ST_WRITE_FAULT,
		  ptd_fill(&n->ptd, pasid, va + TEST_MEM - 64, 128, 0, &r));
	EXPECT_EQ(va + TEST_MEM, r.fault_addr);
}

/* What stage 2 loses, no binding reaches any more */
TEST_F(bind_pasid, stage2_unmap)
{
	struct nest *n = &self->n;
	u64 gpa = GUEST_GPA + 2 * TEST_MEM, done;
	u32 pasid = dma_pasid(self->pasid);
	u64 va = TEST_DST + SZ_2M;
	struct ptd_record r;
	void *mem;

	mem = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	memset(mem, 0x77, SZ_4K);
	test_ok(vfio_map(&n->c, mem, gpa, SZ_4K,
			 VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE));
	test_ok(s1_map(&self->s.t, va, gpa, SZ_4K, SZ_4K, S1_RW));
	ASSERT_EQ(PTD_ST_OK,
		  ptd_copy(&n->ptd, pasid, TEST_DST, va, SZ_4K, NULL));
	EXPECT_TRUE(mem_is(&n->g, self->s.dst, 0x77, SZ_4K));

	test_ok(vfio_unmap(&n->c, gpa, SZ_4K, &done));
	EXPECT_EQ(SZ_4K, done);
	memset(mem, 0x88, SZ_4K);
	ASSERT_EQ(PTD_ST_READ_FAULT,
		  ptd_copy(&n->ptd, pasid, TEST_DST, va, SZ_4K, &r));
	EXPECT_EQ(va, r.fault_addr);
	EXPECT_EQ(PTD_ST_WRITE_FAULT,
		  ptd_fill(&n->ptd, pasid, va, 64, 0, NULL));
	EXPECT_TRUE(mem_is(&n->g, self->s.dst, 0x77, SZ_4K));
	EXPECT_EQ(0x88, *(u8 *)mem);
}

struct rid_loop {
	const struct nest	*n;
	const struct s1_table	*t;
	volatile int		ret;
	volatile bool		stop;
	volatile unsigned int	rounds;
};

static void *bind_and_unbind(void *arg)
{
	struct rid_loop *loop = arg;
	const struct vfio_container *c = &loop->n->c;

	while (!loop->stop && !loop->ret) {
		loop->ret = nest_bind(c, NEST_ALL_GROUPS, NEST_RID, loop->t);
		if (!loop->ret)
			loop->ret = nest_unbind(c, NEST_ALL_GROUPS, NEST_RID);
		loop->rounds++;
	}
	return NULL;
}

/* The same at the moment in which requests without PASID change sides */
TEST_F(nesting_bind, stage2_unmap_race)
{
	struct nest *n = &self->n;
	struct rid_loop loop = { .n = n, .t = &self->s.t };
	u64 gpa = GUEST_GPA + 2 * TEST_MEM, end = vfio_now_ms() + WAIT_MS;
	unsigned int i, used = 0;
	pthread_t thread;
	void *mem;

	mem = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	/* One address for both sides */
	test_ok(s1_map(&self->s.t, gpa, gpa, SZ_4K, SZ_4K, S1_RW));
	ASSERT_EQ(0, pthread_create(&thread, NULL, bind_and_unbind, &loop));
	/* Until both have done something */
	for (i = 0; i < 100 || ((used < 10 || loop.rounds <= 10) &&
				!loop.ret && vfio_now_ms() < end); i++) {
		/* Blocked for a moment, now and then */
		used += lend_page(_metadata, n, PTD_NO_PASID, mem, gpa, gpa,
				  i) == PTD_ST_OK;
	}
	loop.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	test_ok(loop.ret);
	EXPECT_LT(10, loop.rounds);
	EXPECT_LE(10, used);
}

/* The guest's table itself is behind stage 2 */
TEST_F(bind_pasid, stage2_unmap_table)
{
	struct nest *n = &self->n;

	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
	test_ok(vfio_unmap(&n->c, n->g.gpa, n->g.size, NULL));
	dma_refused(_metadata, &n->ptd, self->pasid);
	test_ok(vfio_map(&n->c, n->g.va, n->g.gpa, n->g.size,
			 VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE));
	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
}

/* What cannot be bound leaves what was bound */
TEST_F(bind_pasid, failed_bind_changes_nothing)
{
	struct nest *n = &self->n;
	union s1_bind_data data;
	struct vfio_iommu_type1_bind bind = {
		.argsz = sizeof(bind),
		.op = VFIO_BIND_OP_BIND,
		.format = n->ops->format,
		.data_len = n->ops->data_len,
		.data_uptr = (uintptr_t)&data,
	};
	struct space b;

	if (n->ops->whole)
		bind.target = VFIO_BIND_TARGET_PASID_TABLE;
	else
		bind.pasid = self->pasid;
	space_init(_metadata, n, &b, 0xb2);
	test_ok(n->ops->bind_data(&b.t, &data));

	bind.data_uptr = 8;
	test_err(EFAULT, vfio_ioctl(n->c.fd, VFIO_IOMMU_BIND, &bind));
	bind.data_uptr = (uintptr_t)&data;
	bind.format = 99;
	test_err(EOPNOTSUPP, vfio_ioctl(n->c.fd, VFIO_IOMMU_BIND, &bind));
	bind.format = n->ops->format;
	if (n->ops->format == VFIO_NESTING_FORMAT_VTD_S1) {
		data.vtd.addr_width = 39;
		test_err(EINVAL, vfio_ioctl(n->c.fd, VFIO_IOMMU_BIND, &bind));
		data.vtd.addr_width = 48;
		data.vtd.flags = 1ull << 63;
		test_err(EINVAL, vfio_ioctl(n->c.fd, VFIO_IOMMU_BIND, &bind));
		data.vtd.flags = 0;
	} else {
		data.smmu.ste[1] ^= htole64(1ull << 63);
		test_err(EINVAL, vfio_ioctl(n->c.fd, VFIO_IOMMU_BIND, &bind));
		data.smmu.ste[1] ^= htole64(1ull << 63);
	}
	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);

	/* It was the data.  A whole table of this kind has no PASIDs. */
	test_ok(vfio_ioctl(n->c.fd, VFIO_IOMMU_BIND, &bind));
	if (n->ops->whole && self->pasid != NEST_RID)
		dma_refused(_metadata, &n->ptd, self->pasid);
	else
		dma_copies(_metadata, n, &n->ptd, self->pasid, &b);
}

/* The device TLB is used, and does not outlive what it holds */
TEST_F(bind_pasid, device_tlb)
{
	struct nest *n = &self->n;
	u64 req, hit, inv;

	if (n->ptd.is_dsa)
		SKIP(return, "a DSA does copy and fill, no more");
	if (!(ptd_read32(&n->ptd, PTD_STATUS) & PTD_STATUS_ATS))
		SKIP(return, "ATS of %s is off", n->d.bdf);
	EXPECT_TRUE(n->feat.flags & VFIO_DEVICE_NESTING_ATS);

	req = ptd_read64(&n->ptd, PTD_CNT_ATS_REQ);
	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
	EXPECT_LT(req, ptd_read64(&n->ptd, PTD_CNT_ATS_REQ));

	req = ptd_read64(&n->ptd, PTD_CNT_ATS_REQ);
	hit = ptd_read64(&n->ptd, PTD_CNT_ATS_HIT);
	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
	EXPECT_EQ(req, ptd_read64(&n->ptd, PTD_CNT_ATS_REQ));
	EXPECT_LT(hit, ptd_read64(&n->ptd, PTD_CNT_ATS_HIT));

	inv = ptd_read64(&n->ptd, PTD_CNT_ATS_INV);
	test_ok(nest_inval_range(&n->c, NEST_ALL_GROUPS, self->pasid,
				 &self->s.t, TEST_SRC, 1));
	EXPECT_EQ(inv + 1, ptd_read64(&n->ptd, PTD_CNT_ATS_INV));
	dma_copies(_metadata, n, &n->ptd, self->pasid, &self->s);
	EXPECT_LT(req, ptd_read64(&n->ptd, PTD_CNT_ATS_REQ));

	inv = ptd_read64(&n->ptd, PTD_CNT_ATS_INV);
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, self->pasid));
	EXPECT_LT(inv, ptd_read64(&n->ptd, PTD_CNT_ATS_INV));
	dma_refused(_metadata, &n->ptd, self->pasid);
}

/* The record goes through the table as well; then comes the interrupt */
TEST_F(bind_pasid, record_and_interrupt)
{
	struct nest *n = &self->n;
	struct ptd_desc d = {
		.op = PTD_OP_MEMMOVE,
		.flags = PTD_F_RECORD | PTD_F_IRQ,
		.pasid = ptd_pasid(dma_pasid(self->pasid)),
		.src = TEST_SRC,
		.dst = TEST_DST,
		.record = TEST_DST + SZ_4K,
		.len = SZ_4K,
	};
	struct ptd_record *r = guest_va(&n->g, self->s.dst + SZ_4K);
	struct pollfd irq = { .events = POLLIN };
	u64 count = 0;

	if (n->ptd.is_dsa)
		SKIP(return, "a DSA does copy and fill, no more");
	if (n->ops->whole && self->pasid == NEST_RID)
		SKIP(return, "interrupts go through this table: nesting_msi");
	irq.fd = vfio_device_irq_eventfd(&n->d, VFIO_PCI_MSIX_IRQ_INDEX, 0);
	ASSERT_LE(0, irq.fd);
	ASSERT_EQ(PTD_ST_OK, ptd_run(&n->ptd, 0, &d, NULL));
	EXPECT_EQ(PTD_ST_OK, r->status);
	EXPECT_EQ(d.tag, r->tag);
	EXPECT_EQ(SZ_4K, r->done);
	EXPECT_TRUE(mem_is(&n->g, self->s.dst, self->s.fill, SZ_4K));
	EXPECT_EQ(1, poll(&irq, 1, WAIT_MS));
	EXPECT_EQ(sizeof(count), read(irq.fd, &count, sizeof(count)));
	EXPECT_EQ(1, count);

	/* No place for the record: the copy is made, the record refused */
	d.record = TEST_DST + TEST_LEN;
	EXPECT_EQ(PTD_ST_RECORD_FAULT, ptd_run(&n->ptd, 0, &d, NULL));
}

/* Privileged requests; on VT-d the guest has to allow them */
TEST_F(nesting_bind, privileged)
{
	struct nest *n = &self->n;
	const bool vtd = n->feat.format == VFIO_NESTING_FORMAT_VTD_S1;
	struct ptd_desc d = {
		.op = PTD_OP_CRC32,
		.flags = PTD_F_PRIV,
		.pasid = ptd_pasid(3),
		.src = TEST_DST + TEST_LEN,
		.len = 64,
	};

	if (n->ptd.is_dsa)
		SKIP(return, "a DSA does copy and fill, no more");
	ASSERT_EQ(!!(n->feat.flags & VFIO_DEVICE_NESTING_PASID_PRIV),
		  !!(ptd_read32(&n->ptd, PTD_STATUS) & PTD_STATUS_PRIV));
	ASSERT_EQ(!!(n->feat.flags & VFIO_DEVICE_NESTING_PASID_EXEC),
		  !!(ptd_read32(&n->ptd, PTD_STATUS) & PTD_STATUS_EXEC));
	if (!(n->feat.flags & VFIO_DEVICE_NESTING_PASID_PRIV))
		SKIP(return, "privileged mode of %s is off", n->d.bdf);
	if (vtd && !(n->hw.vtd.ecap_reg & BIT_ULL(31)))
		SKIP(return, "no supervisor requests in this IOMMU");
	test_ok(s1_map(&self->s.t, TEST_DST + TEST_LEN, self->s.dst, SZ_4K,
		       SZ_4K, S1_READ | S1_WRITE));

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 3, &self->s.t));
	if (vtd) {
		EXPECT_EQ(PTD_ST_READ_FAULT, ptd_run(&n->ptd, 0, &d, NULL));
		self->s.t.bind_flags = IOMMU_VTD_S1_SRE;
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 3, &self->s.t));
	}
	EXPECT_EQ(PTD_ST_OK, ptd_run(&n->ptd, 0, &d, NULL));
	d.flags = 0;
	EXPECT_EQ(PTD_ST_READ_FAULT, ptd_run(&n->ptd, 0, &d, NULL));
}

/* Bindings end where the capability says, and come back */
TEST_F(nesting_bind, bounded)
{
	struct nest *n = &self->n;
	u32 max = n->info.cap.max_bindings, pasid;
	int round;

	if (n->ops->whole)
		SKIP(return, NOT_ONE_BY_ONE);
	ASSERT_NE(0, max);
	for (round = 0; round < 2; round++) {
		for (pasid = 1; pasid <= max; pasid++)
			test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid,
					  &self->s.t));
		nest_read_info(_metadata, n);
		EXPECT_EQ(max, n->info.cap.nr_bindings);
		test_err(ENOSPC, nest_bind(&n->c, NEST_ALL_GROUPS, max + 1,
					   &self->s.t));
		test_err(ENOSPC, nest_bind(&n->c, NEST_ALL_GROUPS, NEST_RID,
					   &self->s.t));
		/* To replace needs no room */
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, max, &self->s.t));
		dma_copies(_metadata, n, &n->ptd, 1, &self->s);
		dma_copies(_metadata, n, &n->ptd, max, &self->s);
		dma_refused(_metadata, &n->ptd, max + 1);
		for (pasid = 1; pasid <= max; pasid++)
			test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
		dma_refused(_metadata, &n->ptd, 1);
	}
}

/*
 * Two devices
 */

FIXTURE(bind_groups)
{
	struct nest n;
	struct vfio_device d2;
	struct ptd ptd2;
	struct space a;
	struct space b;
};

FIXTURE_SETUP(bind_groups)
{
	if (test_nr < 2)
		SKIP(return, "needs two devices");
	nest_setup_ptd(_metadata, &self->n, 0);
	if (_metadata->exit_code)
		return;
	nest_add_device(_metadata, &self->n, &self->d2, &self->ptd2, 1);
	if (self->d2.group_fd == self->n.d.group_fd)
		SKIP(return, "needs two devices in two groups");
	space_init(_metadata, &self->n, &self->a, 0xa1);
	space_init(_metadata, &self->n, &self->b, 0xb2);
}

FIXTURE_TEARDOWN(bind_groups)
{
}

FIXTURE_VARIANT(bind_groups)
{
	u32 pasid;
};

FIXTURE_VARIANT_ADD(bind_groups, rid)
{
	.pasid = NEST_RID,
};

FIXTURE_VARIANT_ADD(bind_groups, pasid)
{
	.pasid = 1,
};

TEST_F(bind_groups, one_or_all)
{
	struct nest *n = &self->n;
	u32 pasid = variant->pasid;

	/* One group */
	test_ok(nest_bind(&n->c, n->d.group_fd, pasid, &self->a.t));
	dma_copies(_metadata, n, &n->ptd, pasid, &self->a);
	dma_refused(_metadata, &self->ptd2, pasid);

	/* The same PASID differs between the groups */
	test_ok(nest_bind(&n->c, self->d2.group_fd, pasid, &self->b.t));
	dma_copies(_metadata, n, &n->ptd, pasid, &self->a);
	dma_copies(_metadata, n, &self->ptd2, pasid, &self->b);
	bindings_are(_metadata, n, 2, 2);

	/* All groups */
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->b.t));
	dma_copies(_metadata, n, &n->ptd, pasid, &self->b);
	dma_copies(_metadata, n, &self->ptd2, pasid, &self->b);
	bindings_are(_metadata, n, 2, 2);

	test_ok(nest_unbind(&n->c, n->d.group_fd, pasid));
	dma_refused(_metadata, &n->ptd, pasid);
	dma_copies(_metadata, n, &self->ptd2, pasid, &self->b);

	/* Wherever it is bound */
	test_err(ENOENT, nest_unbind(&n->c, n->d.group_fd, pasid));
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
	dma_refused(_metadata, &n->ptd, pasid);
	dma_refused(_metadata, &self->ptd2, pasid);
	test_err(ENOENT, nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
}

TEST_F(bind_groups, block)
{
	struct nest *n = &self->n;
	u32 pasid = variant->pasid;

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->a.t));
	test_ok(nest_block(&n->c, self->d2.group_fd, pasid));
	dma_copies(_metadata, n, &n->ptd, pasid, &self->a);
	dma_refused(_metadata, &self->ptd2, pasid);
	dma_stage2(_metadata, n, &self->ptd2, &self->a, pasid != NEST_RID);

	test_ok(nest_block(&n->c, NEST_ALL_GROUPS, pasid));
	dma_refused(_metadata, &n->ptd, pasid);
	dma_stage2(_metadata, n, &n->ptd, &self->a, pasid != NEST_RID);
	bindings_are(_metadata, n, 0, 0);
}

/* A bind that the second group has no room for does not stay in the first */
TEST_F(bind_groups, all_or_nothing)
{
	struct nest *n = &self->n;
	u32 max = n->info.cap.max_bindings, pasid = variant->pasid, i;

	if (n->ops->whole)
		SKIP(return, NOT_ONE_BY_ONE);
	for (i = 0; i < max - 1; i++)
		test_ok(nest_bind(&n->c, self->d2.group_fd, 100 + i,
				  &self->b.t));
	test_err(ENOSPC, nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->a.t));
	dma_refused(_metadata, &n->ptd, pasid);
	dma_refused(_metadata, &self->ptd2, pasid);
	dma_stage2(_metadata, n, &n->ptd, &self->a, true);
	test_ok(nest_bind(&n->c, n->d.group_fd, pasid, &self->a.t));
	dma_copies(_metadata, n, &n->ptd, pasid, &self->a);
}

/* Invalidation of one group is not that of another */
TEST_F(bind_groups, invalidate)
{
	struct nest *n = &self->n;
	u32 pasid = variant->pasid;

	test_ok(nest_bind(&n->c, n->d.group_fd, pasid, &self->a.t));
	test_ok(nest_inval_range(&n->c, n->d.group_fd, pasid, &self->a.t,
				 TEST_SRC, 1));
	test_err(ENOENT, nest_inval_range(&n->c, self->d2.group_fd, pasid,
					  &self->a.t, TEST_SRC, 1));
}

/*
 * Two processes, each with a device and a container: the same PASID and the
 * same addresses lead to memory of their own
 */
TEST(bind_processes)
{
	struct nest n = {};
	struct space s;
	int to_child[2], to_parent[2], status, i;
	pid_t child;
	char go;

	if (test_nr < 2)
		SKIP(return, "needs two devices");
	ASSERT_EQ(0, pipe(to_child));
	ASSERT_EQ(0, pipe(to_parent));
	child = fork();
	ASSERT_LE(0, child);
	/* Each notices when the other ends early */
	close(child ? to_parent[1] : to_child[1]);
	close(child ? to_child[0] : to_parent[0]);

	nest_setup_ptd(_metadata, &n, child ? 0 : 1);
	if (_metadata->exit_code)
		return;
	space_init(_metadata, &n, &s, child ? 0xa1 : 0xb2);
	test_ok(nest_bind(&n.c, NEST_ALL_GROUPS, 1, &s.t));

	/* In turns, so that each runs with what the other left in caches */
	for (i = 0; i < 4; i++) {
		if (!child)
			ASSERT_EQ(1, read(to_child[0], &go, 1));
		dma_copies(_metadata, &n, &n.ptd, 1, &s);
		if (!child) {
			ASSERT_EQ(1, write(to_parent[1], "", 1));
		} else {
			ASSERT_EQ(1, write(to_child[1], "", 1));
			ASSERT_EQ(1, read(to_parent[0], &go, 1));
		}
	}
	if (!child)
		_exit(0);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	dma_copies(_metadata, &n, &n.ptd, 1, &s);
}

VFIO_TEST_MAIN
