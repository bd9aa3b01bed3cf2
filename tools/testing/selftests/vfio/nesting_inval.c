// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_IOMMU_CACHE_INVALIDATE: what was cached is gone, at a bounded cost,
 * and bad entries are refused
 */
#include <pthread.h>

#include "nest_test.h"

/* Descriptors that fit into half of the queue, with room for the wait */
#define BATCH	100

FIXTURE(nesting_inval)
{
	struct nest n;
	struct space s;
	u64 other;		/* a page with other data than the source */
	u32 pasid;
	u32 target;
	bool strict;
};

FIXTURE_VARIANT(nesting_inval)
{
	u32 pasid;
};

FIXTURE_VARIANT_ADD(nesting_inval, rid)
{
	.pasid = NEST_RID,
};

FIXTURE_VARIANT_ADD(nesting_inval, pasid)
{
	.pasid = 0x42,
};

FIXTURE_SETUP(nesting_inval)
{
	struct nest *n = &self->n;

	self->pasid = nest_setup_bound(_metadata, n, &self->s, variant->pasid);
	if (_metadata->exit_code)
		return;
	if (n->ptd.is_dsa)
		SKIP(return, "a DSA does copy and fill, no more");
	self->target = VFIO_INVALIDATE_TARGET_PASID;
	self->other = guest_alloc(&n->g, SZ_4K, SZ_4K);
	memset(guest_va(&n->g, self->other), 0xee, SZ_4K);
	self->strict = n->have_mon && imon_read64(&n->mon, IMON_MODES) &
				      IOMMU_MON_MODE_STRICT;
}

FIXTURE_TEARDOWN(nesting_inval)
{
}

static int inval(FIXTURE_DATA(nesting_inval) *self, union s1_inv_entry *e,
		 u32 nr, u32 *done)
{
	return nest_inval(&self->n.c, NEST_ALL_GROUPS, self->target,
			  self->target == VFIO_INVALIDATE_TARGET_ALL ? 0 :
			  self->pasid, self->n.ops, e, nr, done);
}

static int inval_one(FIXTURE_DATA(nesting_inval) *self, u64 va, u64 npages)
{
	union s1_inv_entry e;

	self->n.ops->inv_entry(&self->s.t, &e, va, npages);
	return inval(self, &e, 1, NULL);
}

/* The byte that the device finds at @va now; -1 if it is refused */
static int seen(FIXTURE_DATA(nesting_inval) *self, u64 va)
{
	struct nest *n = &self->n;
	u64 to = self->s.dst;

	*(u8 *)guest_va(&n->g, to) = 0;
	if (ptd_copy(&n->ptd, dma_pasid(self->pasid), TEST_DST, va, 64,
		     NULL) != PTD_ST_OK)
		return -1;
	return *(u8 *)guest_va(&n->g, to);
}

/* Let the IOMMU cache @va, then point it at other memory */
static void move_page(struct __test_metadata *_metadata,
		      FIXTURE_DATA(nesting_inval) *self, u64 va)
{
	ASSERT_EQ(0xa1, seen(self, va));
	test_ok(s1_map(&self->s.t, va, self->other, SZ_4K, SZ_4K,
		       S1_READ | S1_USER));
	/* Hardware may keep the old translation; the strict model does */
	if (self->strict) {
		ASSERT_EQ(0xa1, seen(self, va)) {
			TH_LOG("nothing was cached: this test proves nothing");
		}
	}
}

TEST_F(nesting_inval, page)
{
	u64 next = TEST_SRC + SZ_4K;

	move_page(_metadata, self, TEST_SRC);
	move_page(_metadata, self, next);
	test_ok(inval_one(self, TEST_SRC, 1));
	EXPECT_EQ(0xee, seen(self, TEST_SRC));
	/* No more than was asked for */
	if (self->strict)
		EXPECT_EQ(0xa1, seen(self, next));
	test_ok(inval_one(self, next, 1));
	EXPECT_EQ(0xee, seen(self, next));
}

TEST_F(nesting_inval, unmapped)
{
	ASSERT_EQ(0xa1, seen(self, TEST_SRC));
	test_ok(s1_unmap(&self->s.t, TEST_SRC));
	test_ok(inval_one(self, TEST_SRC, 1));
	EXPECT_EQ(-1, seen(self, TEST_SRC));

	/* Not present entries are in no cache of VT-d: no invalidation */
	test_ok(s1_map(&self->s.t, TEST_SRC, self->other, SZ_4K, SZ_4K,
		       S1_READ | S1_USER));
	EXPECT_EQ(0xee, seen(self, TEST_SRC));
}

/* Write permission is taken away */
TEST_F(nesting_inval, write_protect)
{
	struct nest *n = &self->n;

	ASSERT_EQ(0xa1, seen(self, TEST_SRC));
	test_ok(s1_map(&self->s.t, TEST_DST, self->s.dst, SZ_4K, SZ_4K,
		       S1_READ | S1_USER));
	test_ok(inval_one(self, TEST_DST, 1));
	memset(guest_va(&n->g, self->s.dst), 0, 64);
	EXPECT_EQ(PTD_ST_WRITE_FAULT,
		  ptd_copy(&n->ptd, dma_pasid(self->pasid), TEST_DST, TEST_SRC,
			   64, NULL));
	EXPECT_TRUE(mem_is(&n->g, self->s.dst, 0, 64));
}

/* Dirty is set again after it was cleared and the page invalidated */
TEST_F(nesting_inval, dirty_again)
{
	ASSERT_EQ(0xa1, seen(self, TEST_SRC));
	ASSERT_EQ(S1_RW | S1_ACCESSED | S1_DIRTY,
		  s1_flags(&self->s.t, TEST_DST));
	test_ok(s1_map(&self->s.t, TEST_DST, self->s.dst, SZ_4K, SZ_4K,
		       S1_RW));
	test_ok(inval_one(self, TEST_DST, 1));
	EXPECT_EQ(0xa1, seen(self, TEST_SRC));
	EXPECT_EQ(S1_RW | S1_ACCESSED | S1_DIRTY,
		  s1_flags(&self->s.t, TEST_DST));
}

/* A range that is neither aligned nor a power of two */
TEST_F(nesting_inval, range)
{
	int i;

	for (i = 0; i < 4; i++)
		move_page(_metadata, self, TEST_SRC + i * SZ_4K);
	test_ok(inval_one(self, TEST_SRC + SZ_4K, 3));
	for (i = 1; i < 4; i++)
		EXPECT_EQ(0xee, seen(self, TEST_SRC + i * SZ_4K));
	test_ok(inval_one(self, TEST_SRC, 1));
	EXPECT_EQ(0xee, seen(self, TEST_SRC));
}

FIXTURE_VARIANT(nesting_inval_huge)
{
	u64 va;
	u64 npages;
};

FIXTURE(nesting_inval_huge)
{
	FIXTURE_DATA(nesting_inval) i;
};

/* All there is */
FIXTURE_VARIANT_ADD(nesting_inval_huge, everything)
{
	.va = 0,
	.npages = ~0ull,
};

FIXTURE_VARIANT_ADD(nesting_inval_huge, half)
{
	.va = 0,
	.npages = 1ull << 51,
};

/* The largest that does not wrap */
FIXTURE_VARIANT_ADD(nesting_inval_huge, to_the_end)
{
	.va = SZ_4K,
	.npages = (1ull << 52) - 1,
};

/* More than one descriptor can say, on most hardware */
FIXTURE_VARIANT_ADD(nesting_inval_huge, gibibytes)
{
	.va = TEST_SRC & ~(SZ_1G - 1),
	.npages = 1ull << 27,
};

FIXTURE_SETUP(nesting_inval_huge)
{
	const FIXTURE_VARIANT(nesting_inval) v = { .pasid = 0x42 };

	nesting_inval_setup(_metadata, &self->i, &v);
}

FIXTURE_TEARDOWN(nesting_inval_huge)
{
}

TEST_F(nesting_inval_huge, flushes)
{
	struct nest *n = &self->i.n;
	u64 before = 0;

	move_page(_metadata, &self->i, TEST_SRC);
	if (n->have_mon) {
		imon_clear(&n->mon);
		before = imon_total(&n->mon, IOMMU_MON_EV_IQE);
	}
	test_ok(inval_one(&self->i, variant->va, variant->npages));
	EXPECT_EQ(0xee, seen(&self->i, TEST_SRC));
	if (!n->have_mon)
		return;
	/* Hardware did not object, and it was no flood */
	EXPECT_EQ(before, imon_total(&n->mon, IOMMU_MON_EV_IQE));
	EXPECT_GE(4, imon_total(&n->mon,
				IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PIOTLB)));
}

TEST_F(nesting_inval, bad_entries)
{
	const struct {
		u64 va, npages;
	} bad[] = {
		{ TEST_SRC, 0 },		/* nothing */
		{ 0, 0 },
		{ TEST_SRC + 1, 1 },		/* not aligned */
		{ TEST_SRC + 0x800, 1 },
		{ SZ_4K, ~0ull },		/* "all" has no address */
		{ SZ_4K, 1ull << 52 },		/* beyond the address space */
		{ ~0ull & ~0xfffull, 2 },
		{ TEST_SRC, ~0ull - 1 },
		{ 0, (1ull << 52) + 1 },
		{ 0, 1ull << 63 },
	};
	union s1_inv_entry e;
	unsigned int i;
	u32 done;

	move_page(_metadata, self, TEST_SRC);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		self->n.ops->inv_entry(&self->s.t, &e, bad[i].va,
				       bad[i].npages);
		done = 77;
		EXPECT_EQ(-EINVAL, inval(self, &e, 1, &done)) {
			TH_LOG("0x%llx, 0x%llx pages", bad[i].va,
			       bad[i].npages);
		}
		EXPECT_EQ(0, done);
	}
	if (self->n.ops->format == VFIO_NESTING_FORMAT_VTD_S1) {
		self->n.ops->inv_entry(&self->s.t, &e, TEST_SRC, 1);
		e.vtd.flags = 2;
		test_err(EOPNOTSUPP, inval(self, &e, 1, &done));
		e.vtd.flags = 0;
		e.vtd.__reserved = 1;
		test_err(EOPNOTSUPP, inval(self, &e, 1, &done));
	}
	/* None of them did anything */
	if (self->strict)
		EXPECT_EQ(0xa1, seen(self, TEST_SRC));
	test_ok(inval_one(self, TEST_SRC, 1));
	EXPECT_EQ(0xee, seen(self, TEST_SRC));
}

/* What comes before a bad entry is done and counted, the rest is not */
TEST_F(nesting_inval, bad_in_the_middle)
{
	union s1_inv_entry e[8];
	u32 done;
	int i;

	for (i = 0; i < 4; i++)
		move_page(_metadata, self, TEST_SRC + i * SZ_4K);
	for (i = 0; i < 8; i++)
		self->n.ops->inv_entry(&self->s.t, &e[i],
				       TEST_SRC + (i & 3) * SZ_4K, 1);
	self->n.ops->inv_entry(&self->s.t, &e[2], TEST_SRC, 0);
	test_err(EINVAL, inval(self, e, 8, &done));
	EXPECT_EQ(2, done);
	EXPECT_EQ(0xee, seen(self, TEST_SRC));
	EXPECT_EQ(0xee, seen(self, TEST_SRC + SZ_4K));
	if (self->strict)
		EXPECT_EQ(0xa1, seen(self, TEST_SRC + 3 * SZ_4K));

	/* From there on */
	test_ok(inval(self, e + done + 1, 8 - done - 1, &done));
	EXPECT_EQ(5, done);
	EXPECT_EQ(0xee, seen(self, TEST_SRC + 3 * SZ_4K));
}

/* Entries of a later kernel are longer */
TEST_F(nesting_inval, entry_len)
{
	struct {
		union s1_inv_entry e;
		u64 more[4];
	} wide[3] = {};
	struct vfio_iommu_type1_cache_invalidate inv = {
		.argsz = sizeof(inv),
		.target = self->target,
		.pasid = self->target == VFIO_INVALIDATE_TARGET_ALL ? 0 :
			 self->pasid,
		.format = self->n.ops->format,
		.entry_len = sizeof(wide[0]),
		.entry_num = ARRAY_SIZE(wide),
		.entry_uptr = (uintptr_t)wide,
	};
	int fd = self->n.c.fd;
	int i;

	for (i = 0; i < 3; i++) {
		move_page(_metadata, self, TEST_SRC + i * SZ_4K);
		self->n.ops->inv_entry(&self->s.t, &wide[i].e,
				       TEST_SRC + i * SZ_4K, 1);
	}
	test_ok(vfio_ioctl(fd, VFIO_IOMMU_CACHE_INVALIDATE, &inv));
	EXPECT_EQ(3, inv.entry_num);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0xee, seen(self, TEST_SRC + i * SZ_4K));

	wide[1].more[3] = 1;
	test_err(E2BIG, vfio_ioctl(fd, VFIO_IOMMU_CACHE_INVALIDATE, &inv));
	EXPECT_EQ(1, inv.entry_num);
	inv.entry_len = self->n.ops->inv_len - 1;
	inv.entry_num = 1;
	test_err(EINVAL, vfio_ioctl(fd, VFIO_IOMMU_CACHE_INVALIDATE, &inv));
	inv.entry_len = 0;
	inv.entry_num = 1;
	test_err(EINVAL, vfio_ioctl(fd, VFIO_IOMMU_CACHE_INVALIDATE, &inv));
	inv.entry_len = sizeof(wide[0]);
	inv.entry_num = 1;
	inv.entry_uptr = 8;
	test_err(EFAULT, vfio_ioctl(fd, VFIO_IOMMU_CACHE_INVALIDATE, &inv));
	EXPECT_EQ(0, inv.entry_num);
}

TEST_F(nesting_inval, entry_num)
{
	union s1_inv_entry e;
	u32 done;

	self->n.ops->inv_entry(&self->s.t, &e, TEST_SRC, 1);
	test_err(EINVAL, inval(self, &e, 0, NULL));
	test_err(EINVAL, inval(self, &e, 65537, NULL));
	test_err(EINVAL, inval(self, &e, ~0u, NULL));
	test_ok(inval(self, &e, 1, &done));
	EXPECT_EQ(1, done);
}

/* Only what is bound can be invalidated */
TEST_F(nesting_inval, not_bound)
{
	struct nest *n = &self->n;

	test_err(ENOENT, nest_inval_range(&n->c, NEST_ALL_GROUPS, 0x43,
					  &self->s.t, TEST_SRC, 1));
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, self->pasid));
	test_err(ENOENT, inval_one(self, TEST_SRC, 1));
}

/* TARGET_ALL reaches each binding, with and without PASID */
TEST_F(nesting_inval, all_bindings)
{
	struct nest *n = &self->n;
	const u32 pasids[] = { NEST_RID, 5, 6, 0x42 };
	unsigned int i;
	u64 flags = S1_READ | S1_USER;

	for (i = 0; i < ARRAY_SIZE(pasids); i++) {
		test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasids[i],
				  &self->s.t));
		self->pasid = pasids[i];
		ASSERT_EQ(0xa1, seen(self, TEST_SRC));
	}
	test_ok(s1_map(&self->s.t, TEST_SRC, self->other, SZ_4K, SZ_4K, flags));
	for (i = 0; self->strict && i < ARRAY_SIZE(pasids); i++) {
		self->pasid = pasids[i];
		ASSERT_EQ(0xa1, seen(self, TEST_SRC));
	}
	self->target = VFIO_INVALIDATE_TARGET_ALL;
	test_ok(inval_one(self, TEST_SRC, 1));
	for (i = 0; i < ARRAY_SIZE(pasids); i++) {
		self->pasid = pasids[i];
		EXPECT_EQ(0xee, seen(self, TEST_SRC));
	}
}

/* LEAF keeps the caches of upper levels only; the leaf is gone */
TEST_F(nesting_inval, leaf)
{
	union s1_inv_entry e;

	if (self->n.ops->format != VFIO_NESTING_FORMAT_VTD_S1)
		SKIP(return, "a flag of the VT-d format");
	move_page(_metadata, self, TEST_SRC);
	self->n.ops->inv_entry(&self->s.t, &e, TEST_SRC, 1);
	e.vtd.flags = IOMMU_VTD_INV_FLAGS_LEAF;
	test_ok(inval(self, &e, 1, NULL));
	EXPECT_EQ(0xee, seen(self, TEST_SRC));
}

/*
 * A table page is replaced: the upper-level entry is in a cache too.  Maps
 * the same data again through a new table with other leaves.
 */
TEST_F(nesting_inval, upper_levels)
{
	struct nest *n = &self->n;
	struct s1_table fresh;
	u64 *old_root, *new_root;
	int slot = TEST_SRC >> 39 & 0x1ff;

	if (n->ops->format != VFIO_NESTING_FORMAT_VTD_S1)
		SKIP(return, "looks into tables of the VT-d format");
	ASSERT_EQ(0xa1, seen(self, TEST_SRC));
	test_ok(s1_init(&fresh, n->ops, &n->g));
	test_ok(s1_map(&fresh, TEST_SRC, self->other, SZ_4K, SZ_4K,
		       S1_READ | S1_USER));
	test_ok(s1_map(&fresh, TEST_DST, self->s.dst, TEST_LEN, SZ_4K, S1_RW));
	old_root = guest_va(&n->g, self->s.t.root);
	new_root = guest_va(&n->g, fresh.root);
	__atomic_store_n(&old_root[slot], new_root[slot], __ATOMIC_SEQ_CST);
	if (self->strict)
		EXPECT_EQ(0xa1, seen(self, TEST_SRC));
	test_ok(inval_one(self, TEST_SRC, 1));
	EXPECT_EQ(0xee, seen(self, TEST_SRC));
}

/*
 * Cost
 */

FIXTURE(inval_cost)
{
	FIXTURE_DATA(nesting_inval) i;
};

FIXTURE_VARIANT(inval_cost)
{
	u32 nr;
};

FIXTURE_VARIANT_ADD(inval_cost, entries_1)
{
	.nr = 1,
};

FIXTURE_VARIANT_ADD(inval_cost, entries_16)
{
	.nr = 16,
};

FIXTURE_VARIANT_ADD(inval_cost, entries_256)
{
	.nr = 256,
};

FIXTURE_SETUP(inval_cost)
{
	const FIXTURE_VARIANT(nesting_inval) v = { .pasid = 0x42 };

	nesting_inval_setup(_metadata, &self->i, &v);
	if (!_metadata->exit_code && !self->i.n.have_mon)
		SKIP(return, "no iommu-monitor to count descriptors");
}

FIXTURE_TEARDOWN(inval_cost)
{
}

TEST_F(inval_cost, descriptors)
{
	struct nest *n = &self->i.n;
	bool ats = n->feat.flags & VFIO_DEVICE_NESTING_ATS;
	u32 nr = variant->nr, descs = ats ? 2 * nr : nr, done, i;
	union s1_inv_entry e[256];

	/* Distinct pages, so that nobody may merge them */
	for (i = 0; i < nr; i++)
		n->ops->inv_entry(&self->i.s.t, &e[i],
				  TEST_SRC + 2 * i * SZ_4K, 1);
	imon_clear(&n->mon);
	test_ok(inval(&self->i, e, nr, &done));
	EXPECT_EQ(nr, done);

	EXPECT_EQ(nr, imon_count(&n->mon,
				 IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PIOTLB),
				 IMON_SEL_ANY, self->i.pasid));
	EXPECT_EQ(ats ? nr : 0,
		  imon_count(&n->mon, IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PDTLB),
			     n->sid, self->i.pasid));
	/* And no others */
	EXPECT_EQ(nr, imon_total(&n->mon,
				 IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PIOTLB)));
	EXPECT_EQ(ats ? nr : 0,
		  imon_total(&n->mon, IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PDTLB)));
	EXPECT_EQ(0, imon_total(&n->mon,
				IOMMU_MON_EV_VTD(IOMMU_MON_VTD_IOTLB)));
	EXPECT_EQ(0, imon_total(&n->mon,
				IOMMU_MON_EV_VTD(IOMMU_MON_VTD_DTLB)));
	EXPECT_EQ(0, imon_total(&n->mon, IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PC)));
	/* One wait where the descriptors fit into the queue together */
	EXPECT_LE(1, imon_total(&n->mon, IOMMU_MON_EV_VTD(IOMMU_MON_VTD_WAIT)));
	EXPECT_GE((descs + BATCH - 1) / BATCH,
		  imon_total(&n->mon, IOMMU_MON_EV_VTD(IOMMU_MON_VTD_WAIT)));
}

/*
 * A long MAP_DMA
 */

#define LONG_MAP	(64 * SZ_2M / 2)

struct long_map {
	struct nest *n;
	int ret;
	bool begun;
	bool done;
};

static void *long_map_thread(void *arg)
{
	struct long_map *m = arg;
	void *mem = mmap(NULL, LONG_MAP, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	__atomic_store_n(&m->begun, true, __ATOMIC_RELEASE);
	m->ret = mem == MAP_FAILED ? -errno :
		 vfio_map(&m->n->c, mem, GUEST_GPA + SZ_1G, LONG_MAP,
			  VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	__atomic_store_n(&m->done, true, __ATOMIC_RELEASE);
	return NULL;
}

FIXTURE(inval_beside)
{
	FIXTURE_DATA(nesting_inval) i;
};

FIXTURE_SETUP(inval_beside)
{
	const FIXTURE_VARIANT(nesting_inval) v = { .pasid = 0x42 };

	nesting_inval_setup(_metadata, &self->i, &v);
}

FIXTURE_TEARDOWN(inval_beside)
{
}

TEST_F(inval_beside, map_dma)
{
	struct long_map m = { .n = &self->i.n };
	bool begun, done = false;
	pthread_t thread;
	int calls = 0;

	ASSERT_EQ(0, pthread_create(&thread, NULL, long_map_thread, &m));
	while (!done) {
		begun = __atomic_load_n(&m.begun, __ATOMIC_ACQUIRE);
		test_ok(inval_one(&self->i, TEST_SRC, 1));
		done = __atomic_load_n(&m.done, __ATOMIC_ACQUIRE);
		calls += begun && !done;
	}
	pthread_join(thread, NULL);
	ASSERT_EQ(0, m.ret);
	TH_LOG("%d invalidations ended beside MAP_DMA", calls);
	/* If they waited for it, two or three could before it has the lock */
	EXPECT_LT(10, calls);
}

VFIO_TEST_MAIN
