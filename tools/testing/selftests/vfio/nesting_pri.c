// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page requests: from the device to the ring, and the answers back
 *
 * What counts is what the device got: its own counters of answers, and the
 * monitor's of what the IOMMU saw.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "nest_test.h"

#define PASID	5
#define PASID2	9
#define DEPTH	64

FIXTURE(nesting_pri)
{
	struct nest n;
	struct space s;
	struct fault_ring r;
};

FIXTURE_SETUP(nesting_pri)
{
	struct nest *n = &self->n;

	nest_setup_faults(_metadata, n, &self->s, &self->r, PASID,
			  VFIO_DMA_FAULT_UNRECOVERABLE |
			  VFIO_DMA_FAULT_PAGE_REQUEST, DEPTH);
	if (!_metadata->exit_code && n->ops->stalls)
		SKIP(return, "accesses stall here: nesting_stall");
}

FIXTURE_TEARDOWN(nesting_pri)
{
	if (self->n.mon.bar)
		imon_write32(&self->n.mon, IMON_PRQ_HOLD, 0);
}

/* A table without the page at TEST_DST + @off */
static void take_away(struct __test_metadata *_metadata, struct nest *n,
		      struct space *s, u32 pasid, u64 off)
{
	test_ok(s1_unmap(&s->t, TEST_DST + off));
	test_ok(nest_inval_range(&n->c, NEST_ALL_GROUPS, pasid, &s->t,
				 TEST_DST + off, 1));
}

static void give_back(struct __test_metadata *_metadata, struct space *s,
		      u64 off)
{
	test_ok(s1_map(&s->t, TEST_DST + off, s->dst + off, SZ_4K, SZ_4K,
		       S1_RW));
}

/* Start a write at TEST_DST + @off in queue @q */
static void start(struct nest *n, unsigned int q, u32 pasid, u64 off,
		  u32 flags, u32 len)
{
	dma_start(&n->ptd, q, pasid, TEST_DST + off, len, true, flags);
}

/* The next entry is a page request */
static void expect_request(struct __test_metadata *_metadata,
			   struct fault_ring *r, struct vfio_dma_fault *f,
			   u32 pasid, u64 addr, bool last)
{
	ASSERT_EQ(1, fault_next(r, f, WAIT_MS));
	ASSERT_EQ(VFIO_DMA_FAULT_TYPE_PAGE_REQUEST, f->type);
	EXPECT_EQ(VFIO_DMA_FAULT_F_ADDR |
		  (pasid ? VFIO_DMA_FAULT_F_PASID : 0) |
		  (last ? VFIO_DMA_FAULT_F_LAST : 0), f->flags);
	EXPECT_EQ(pasid, f->pasid);
	EXPECT_EQ(addr, f->addr);
	EXPECT_NE(0, f->cookie);
}

/* Page requests by hand: @n for pages from TEST_DST on */
static void send(struct nest *n, u32 pasid, u32 group, u32 flags, u32 count)
{
	struct ptd *p = &n->ptd;

	ptd_write32(p, PTD_PR_ADDR, (u32)TEST_DST);
	ptd_write32(p, PTD_PR_ADDR + 4, TEST_DST >> 32);
	ptd_write32(p, PTD_PR_PASID, ptd_pasid(dma_pasid(pasid)));
	ptd_write32(p, PTD_PR_FLAGS, PTD_PR_READ | flags |
		    group << PTD_PR_PRGI_SHIFT);
	ptd_write32(p, PTD_PR_SEND, count);
}

/* The device has had @ok answers SUCCESS and @invalid INVALID */
static bool answered(struct nest *n, u64 ok, u64 invalid)
{
	if (wait_until(ptd_read64(&n->ptd, PTD_CNT_RESP_OK) == ok &&
		       ptd_read64(&n->ptd, PTD_CNT_RESP_INVALID) == invalid))
		return !ptd_read64(&n->ptd, PTD_CNT_RESP_FAILURE);
	printf("# answers: %llu success, %llu invalid, %llu failure; want %llu, %llu\n",
	       ptd_read64(&n->ptd, PTD_CNT_RESP_OK),
	       ptd_read64(&n->ptd, PTD_CNT_RESP_INVALID),
	       ptd_read64(&n->ptd, PTD_CNT_RESP_FAILURE), ok, invalid);
	return false;
}

/*
 * Groups that nobody has answered, of those that the IOMMU has received.
 * Counts what is a group by itself: not for requests of several pages.
 */
static u64 unanswered(const struct imon *m)
{
	return imon_total(m, IOMMU_MON_EV_PR_RECEIVED) - imon_answers(m);
}

static bool pri_is_on(struct nest *n)
{
	return ptd_read32(&n->ptd, PTD_STATUS) & PTD_STATUS_PRI;
}

/* A page that comes when the device asks for it */
static void demand(struct __test_metadata *_metadata,
		   FIXTURE_DATA(nesting_pri) *self, u32 pasid)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	u64 faults;

	faults = imon_total(&n->mon, IOMMU_MON_EV_F_RAISED);
	take_away(_metadata, n, &self->s, pasid, 0);
	start(n, 0, pasid, 0, 0, 64);
	expect_request(_metadata, &self->r, &f, pasid, TEST_DST, true);
	EXPECT_EQ(VFIO_DMA_FAULT_PERM_WRITE, f.perm);
	EXPECT_EQ(1, ptd_read32(&n->ptd, PTD_QUEUE(0) + PTD_Q_PENDING));
	EXPECT_TRUE(answered(n, 0, 0));

	give_back(_metadata, &self->s, 0);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_OK);
	EXPECT_TRUE(mem_is(&n->g, self->s.dst, DMA_FILL, 64));
	EXPECT_TRUE(answered(n, 1, 0));

	/* Nothing of it is a fault, and nothing else in the ring */
	EXPECT_EQ(faults, imon_total(&n->mon, IOMMU_MON_EV_F_RAISED));
	EXPECT_EQ(0, fault_pending(&self->r));
}

TEST_F(nesting_pri, demand)
{
	demand(_metadata, self, PASID);
}

TEST_F(nesting_pri, demand_no_pasid)
{
	struct nest *n = &self->n;

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, NEST_RID, &self->s.t));
	demand(_metadata, self, NEST_RID);
}

TEST_F(nesting_pri, invalid)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;

	take_away(_metadata, n, &self->s, PASID, 0);
	start(n, 0, PASID, 0, 0, 64);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_INVALID));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_WRITE_FAULT);
	EXPECT_TRUE(answered(n, 0, 1));
}

/* Several pages in one group: one answer */
TEST_F(nesting_pri, group)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f[4];
	int i;

	for (i = 0; i < 4; i++)
		take_away(_metadata, n, &self->s, PASID, i * SZ_4K);
	start(n, 0, PASID, 0, PTD_F_GROUP, TEST_LEN);
	for (i = 0; i < 4; i++)
		expect_request(_metadata, &self->r, &f[i], PASID,
			       TEST_DST + i * SZ_4K, i == 3);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(f[3].cookie, f[i].cookie);
		EXPECT_EQ(f[3].group, f[i].group);
	}
	for (i = 0; i < 4; i++)
		give_back(_metadata, &self->s, i * SZ_4K);
	test_ok(fault_answer(&self->r, &f[0], VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	test_err(ENOENT, fault_answer(&self->r, &f[3],
				      VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_OK);
	EXPECT_TRUE(mem_is(&n->g, self->s.dst, DMA_FILL, TEST_LEN));
	EXPECT_TRUE(answered(n, 1, 0));
}

/* A group for each queue, answered the other way round, and in one call */
TEST_F(nesting_pri, any_order)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault_response resp[4];
	struct vfio_dma_fault f;
	int i;

	for (i = 0; i < 4; i++) {
		take_away(_metadata, n, &self->s, PASID, i * SZ_4K);
		start(n, i, PASID, i * SZ_4K, 0, 64);
	}
	for (i = 3; i >= 0; i--) {
		ASSERT_EQ(1, fault_next(&self->r, &f, WAIT_MS));
		resp[i] = (struct vfio_dma_fault_response){
			.cookie = f.cookie,
			.pasid = f.pasid,
			.group = f.group,
		};
	}
	for (i = 0; i < 4; i++)
		give_back(_metadata, &self->s, i * SZ_4K);
	EXPECT_EQ(4, fault_respond(&self->r, resp, 4));
	for (i = 0; i < 4; i++)
		dma_ended(_metadata, &n->ptd, i, PTD_ST_OK);
	EXPECT_TRUE(answered(n, 4, 0));
}

TEST_F(nesting_pri, bad_answers)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault_response good, bad, two[3];
	struct vfio_dma_fault f;
	void *volatile nowhere = (void *)8;
	char byte = 0;

	send(n, PASID, 7, PTD_PR_LAST, 1);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	EXPECT_EQ(7, f.group);
	good = (struct vfio_dma_fault_response){
		.cookie = f.cookie, .pasid = PASID, .group = 7,
	};

	bad = good;
	bad.code = VFIO_DMA_FAULT_RESPONSE_FAILURE;
	test_err(EOPNOTSUPP, fault_respond(&self->r, &bad, 1));
	bad.code = 3;
	test_err(EINVAL, fault_respond(&self->r, &bad, 1));
	bad.code = ~0u;
	test_err(EINVAL, fault_respond(&self->r, &bad, 1));
	bad = good;
	bad.__reserved = 1;
	test_err(EINVAL, fault_respond(&self->r, &bad, 1));
	bad = good;
	bad.pasid = PASID2;
	test_err(ENOENT, fault_respond(&self->r, &bad, 1));
	bad = good;
	bad.group = 8;
	test_err(ENOENT, fault_respond(&self->r, &bad, 1));
	bad = good;
	bad.cookie = 0;
	test_err(ENOENT, fault_respond(&self->r, &bad, 1));
	bad.cookie = good.cookie + 1;
	test_err(ENOENT, fault_respond(&self->r, &bad, 1));
	bad.cookie = good.cookie + 512;
	test_err(ENOENT, fault_respond(&self->r, &bad, 1));
	bad.cookie = ~0ull;
	test_err(ENOENT, fault_respond(&self->r, &bad, 1));
	EXPECT_EQ(-1, pwrite(n->d.fd, &good, sizeof(good) - 1,
			     self->r.response));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(n->d.fd, &good, sizeof(good),
			     self->r.response + sizeof(good)));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(n->d.fd, &byte, 1, self->r.response));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(n->d.fd, nowhere, sizeof(good),
			     self->r.response));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(answered(n, 0, 0));

	/* The good ones before a bad one are taken */
	two[0] = good;
	two[1] = bad;
	two[2] = good;
	EXPECT_EQ(1, fault_respond(&self->r, two, 3));
	EXPECT_TRUE(answered(n, 1, 0));
	test_err(ENOENT, fault_respond(&self->r, &good, 1));
	EXPECT_TRUE(answered(n, 1, 0));
}

static void expect_batch(struct __test_metadata *_metadata,
			 struct fault_ring *r,
			 struct vfio_dma_fault_response *resp, u32 count)
{
	struct vfio_dma_fault f;
	u32 i;

	for (i = 0; i < count; i++) {
		ASSERT_EQ(1, fault_next(r, &f, WAIT_MS));
		ASSERT_EQ(VFIO_DMA_FAULT_TYPE_PAGE_REQUEST, f.type);
		resp[i] = (struct vfio_dma_fault_response){
			.cookie = f.cookie, .pasid = f.pasid, .group = f.group,
			.code = i & 1,
		};
	}
}

#define BATCH	300

/* As many as there may be in one call: they share a wait */
TEST_F(nesting_pri, batch)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault_response resp[BATCH];
	const u32 wait = IOMMU_MON_EV_VTD(IOMMU_MON_VTD_WAIT);
	u64 before;
	u32 i;

	fault_close(&self->r);
	test_ok(fault_open(&self->r, &n->d, VFIO_DMA_FAULT_PAGE_REQUEST, 512));
	send(n, PASID, 0, PTD_PR_LAST | PTD_PR_EACH, BATCH);
	expect_batch(_metadata, &self->r, resp, BATCH);
	before = imon_total(&n->mon, wait);
	EXPECT_EQ(BATCH, fault_respond(&self->r, resp, BATCH));
	/* The host may have flushed something of its own. */
	EXPECT_GT(BATCH / 10, imon_total(&n->mon, wait) - before);
	EXPECT_TRUE(answered(n, BATCH / 2, BATCH / 2));

	/* Up to the one that is bad, and none twice */
	send(n, PASID, 100, PTD_PR_LAST | PTD_PR_EACH, BATCH);
	expect_batch(_metadata, &self->r, resp, BATCH);
	for (i = 100; i < BATCH; i += 100) {
		resp[i].group++;
		EXPECT_EQ(i == 100 ? 100 : 99,
			  fault_respond(&self->r, &resp[i - 100 + (i > 100)],
					BATCH - i + 100));
		resp[i].group--;
		test_ok(fault_respond(&self->r, &resp[i], 1) - 1);
		test_err(ENOENT, fault_respond(&self->r, &resp[i], 1));
	}
	EXPECT_EQ(99, fault_respond(&self->r, &resp[201], 99));
	EXPECT_TRUE(answered(n, BATCH, BATCH));
}

/* An array that ends where there is no memory: what can be read is taken */
TEST_F(nesting_pri, batch_fault)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault_response resp[20], *at;
	char *mem;

	mem = mmap(NULL, 2 * SZ_4K, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)mem);
	ASSERT_EQ(0, munmap(mem + SZ_4K, SZ_4K));
	send(n, PASID, 0, PTD_PR_LAST | PTD_PR_EACH, 20);
	expect_batch(_metadata, &self->r, resp, 20);
	/* Twelve of them, and a half */
	at = (void *)(mem + SZ_4K - 12 * sizeof(*resp) - sizeof(*resp) / 2);
	memcpy(at, resp, 12 * sizeof(*resp));
	EXPECT_EQ(12, fault_respond(&self->r, at, 20));
	EXPECT_TRUE(answered(n, 6, 6));
	test_err(EFAULT, fault_respond(&self->r, at + 12, 8));
	EXPECT_EQ(8, fault_respond(&self->r, resp + 12, 8));
	EXPECT_TRUE(answered(n, 10, 10));
}

/* The index of a group that was answered is used again: no answer for it */
TEST_F(nesting_pri, late)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault first, second;

	send(n, PASID, 7, PTD_PR_LAST, 1);
	expect_request(_metadata, &self->r, &first, PASID, TEST_DST, true);
	test_ok(fault_answer(&self->r, &first,
			     VFIO_DMA_FAULT_RESPONSE_INVALID));
	send(n, PASID, 7, PTD_PR_LAST, 1);
	expect_request(_metadata, &self->r, &second, PASID, TEST_DST, true);
	EXPECT_EQ(first.group, second.group);
	test_err(ENOENT, fault_answer(&self->r, &first,
				      VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	EXPECT_TRUE(answered(n, 0, 1));
	test_ok(fault_answer(&self->r, &second,
			     VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	EXPECT_TRUE(answered(n, 1, 1));
}

/* More than the ring holds: answered at once, counted, a gap */
TEST_F(nesting_pri, overflow)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	u64 cookie[DEPTH];
	u32 i;

	send(n, PASID, 0, PTD_PR_LAST | PTD_PR_EACH, DEPTH + 10);
	EXPECT_TRUE(answered(n, 0, 10));
	EXPECT_EQ(DEPTH, fault_pending(&self->r));
	EXPECT_EQ(10, self->r.header->lost);
	for (i = 0; i < DEPTH; i++) {
		expect_request(_metadata, &self->r, &f, PASID,
			       TEST_DST + i * SZ_4K, true);
		EXPECT_EQ(i + 1, f.seq);
		EXPECT_EQ(i, f.group);
		cookie[i] = f.cookie;
	}
	send(n, PASID, 300, PTD_PR_LAST, 1);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	EXPECT_EQ(DEPTH + 10 + 1, f.seq);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	for (i = 0; i < DEPTH; i++) {
		f.cookie = cookie[i];
		f.group = i;
		test_ok(fault_answer(&self->r, &f,
				     VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	}
	EXPECT_TRUE(answered(n, DEPTH + 1, 10));
}

/*
 * A device that never ends its groups: what is kept of them is bounded, the
 * last one is still a group, and what is left at the end is freed
 */
TEST_F(nesting_pri, partial)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	u32 i;

	send(n, PASID, 3, 0, 20);
	test_ok(fault_drain(&n->d));
	EXPECT_EQ(0, fault_pending(&self->r));
	send(n, PASID, 3, PTD_PR_LAST, 1);
	for (i = 0; i < 20; i++)
		ASSERT_EQ(1, fault_next(&self->r, &f, WAIT_MS));
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	EXPECT_TRUE(answered(n, 0, 0));
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	EXPECT_TRUE(answered(n, 1, 0));

	/* 512 are kept, more than fits: dropped as a whole, and answered */
	send(n, PASID, 4, 0, 1500);
	send(n, PASID, 4, PTD_PR_LAST, 1);
	EXPECT_TRUE(answered(n, 1, 1));
	EXPECT_EQ(512 + 1, self->r.header->lost);
	EXPECT_EQ(0, fault_pending(&self->r));
	send(n, PASID, 5, 0, 100);
}

/* Nobody is asked: INVALID at once, and not in the ring */
TEST_F(nesting_pri, unbound)
{
	struct nest *n = &self->n;

	send(n, PASID2, 1, PTD_PR_LAST, 1);
	EXPECT_TRUE(answered(n, 0, 1));
	/* the RID goes through stage 2 alone */
	send(n, NEST_RID, 2, PTD_PR_LAST, 1);
	EXPECT_TRUE(answered(n, 0, 2));
	/* A group has one answer, whatever its size */
	send(n, NEST_RID, 3, 0, 2);
	send(n, NEST_RID, 3, PTD_PR_LAST, 1);
	test_ok(fault_drain(&n->d));
	EXPECT_TRUE(answered(n, 0, 3));
	EXPECT_EQ(0, ptd_read64(&n->ptd, PTD_CNT_RESP_STRAY));
	EXPECT_EQ(0, fault_pending(&self->r));
	EXPECT_EQ(0, self->r.header->lost);
}

/* Only what was asked for is in the ring, and the rest is not called lost */
TEST_F(nesting_pri, kinds)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	struct ptd_record rec;

	take_away(_metadata, n, &self->s, PASID, 0);
	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_PAGE_REQUEST, DEPTH,
			  self->r.eventfd));
	start(n, 0, PASID, 0, PTD_F_NO_ATS, 64);
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_WRITE_FAULT);
	test_ok(fault_drain(&n->d));
	EXPECT_EQ(0, fault_pending(&self->r));
	EXPECT_EQ(0, self->r.header->lost);

	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE, DEPTH,
			  self->r.eventfd));
	start(n, 0, PASID, 0, PTD_F_NO_ATS, 64);
	test_ok(ptd_wait(&n->ptd, 0, &rec));
	ASSERT_EQ(1, fault_next(&self->r, &f, WAIT_MS));
	EXPECT_EQ(VFIO_DMA_FAULT_TYPE_UNRECOVERABLE, f.type);
	EXPECT_EQ(1, f.seq);
}

/* A change that is refused leaves them on, or off */
TEST_F(nesting_pri, busy)
{
	const u32 faults = VFIO_DMA_FAULT_UNRECOVERABLE;
	const u32 both = faults | VFIO_DMA_FAULT_PAGE_REQUEST;
	struct nest *n = &self->n;

	send(n, PASID, 1, PTD_PR_LAST, 1);
	test_ok(fault_drain(&n->d));
	ASSERT_EQ(1, fault_pending(&self->r));
	test_err(EBUSY, fault_set(&n->d, faults, 2 * DEPTH, -1));
	EXPECT_TRUE(pri_is_on(n));
	EXPECT_TRUE(answered(n, 0, 0));
	test_ok(fault_set(&n->d, faults, DEPTH, -1));
	EXPECT_FALSE(pri_is_on(n));
	test_err(EBUSY, fault_set(&n->d, both, 2 * DEPTH, -1));
	EXPECT_FALSE(pri_is_on(n));
}

/* Every page request sent before a drain is there after it */
TEST_F(nesting_pri, drain)
{
	struct nest *n = &self->n;
	int i;

	imon_write32(&n->mon, IMON_PRQ_HOLD, 1);
	for (i = 0; i < 20; i++) {
		send(n, PASID, i, PTD_PR_LAST, 1);
		test_ok(fault_drain(&n->d));
		ASSERT_EQ(i + 1, fault_pending(&self->r));
	}
	imon_write32(&n->mon, IMON_PRQ_HOLD, 0);
}

/* An unbind answers what is outstanding of its PASID, and no more */
TEST_F(nesting_pri, unbind)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f, f2;

	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID2, &self->s.t));
	send(n, PASID, 1, PTD_PR_LAST, 1);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	send(n, PASID2, 2, PTD_PR_LAST, 1);
	expect_request(_metadata, &self->r, &f2, PASID2, TEST_DST, true);

	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, PASID));
	EXPECT_TRUE(answered(n, 0, 1));
	test_err(ENOENT, fault_answer(&self->r, &f,
				      VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	EXPECT_TRUE(pri_is_on(n));
	test_ok(fault_answer(&self->r, &f2, VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	EXPECT_TRUE(answered(n, 1, 1));

	/* The last one switches them off */
	send(n, PASID2, 3, PTD_PR_LAST, 1);
	expect_request(_metadata, &self->r, &f2, PASID2, TEST_DST, true);
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, PASID2));
	EXPECT_TRUE(answered(n, 1, 2));
	EXPECT_FALSE(pri_is_on(n));
	test_err(ENOENT, fault_answer(&self->r, &f2,
				      VFIO_DMA_FAULT_RESPONSE_SUCCESS));

	/* And the next one on, in the order bind after enable too */
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	EXPECT_TRUE(pri_is_on(n));
	send(n, PASID, 4, PTD_PR_LAST, 1);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_SUCCESS));
}

/* Another table in the same place leaves what is outstanding */
TEST_F(nesting_pri, replace)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	struct space s2;

	space_init(_metadata, n, &s2, 0xb2);
	take_away(_metadata, n, &self->s, PASID, 0);
	start(n, 0, PASID, 0, 0, 64);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &s2.t));
	EXPECT_TRUE(answered(n, 0, 0));
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_OK);
	EXPECT_TRUE(mem_is(&n->g, s2.dst, DMA_FILL, 64));
}

TEST_F(nesting_pri, disable)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	int i;

	EXPECT_TRUE(pri_is_on(n));
	for (i = 0; i < 3; i++)
		send(n, PASID, i, PTD_PR_LAST, 1);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);

	/* Page requests off, faults stay on */
	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE, DEPTH, -1));
	EXPECT_TRUE(answered(n, 0, 3));
	EXPECT_FALSE(pri_is_on(n));
	test_err(ENOENT, fault_answer(&self->r, &f,
				      VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE |
			  VFIO_DMA_FAULT_PAGE_REQUEST, DEPTH, -1));
	EXPECT_TRUE(pri_is_on(n));
	send(n, PASID, 9, PTD_PR_LAST, 1);
	test_ok(fault_drain(&n->d));

	/* All of it off */
	test_ok(fault_set(&n->d, 0, 0, -1));
	EXPECT_TRUE(answered(n, 0, 4));
	EXPECT_FALSE(pri_is_on(n));
	test_err(ENODATA, fault_answer(&self->r, &f,
				       VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	test_err(ENODATA, fault_drain(&n->d));
}

/* Not what was once another request's, however often it was off */
TEST_F(nesting_pri, cookies)
{
	const u32 kinds = VFIO_DMA_FAULT_UNRECOVERABLE |
			  VFIO_DMA_FAULT_PAGE_REQUEST;
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	u64 seen[4];
	int i, j;

	for (i = 0; i < 4; i++) {
		send(n, PASID, i, PTD_PR_LAST, 1);
		expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
		seen[i] = f.cookie;
		for (j = 0; j < i; j++)
			EXPECT_NE(seen[j], seen[i]);
		fault_close(&self->r);
		test_ok(fault_open(&self->r, &n->d, kinds, DEPTH));
	}
}

/*
 * RESET is in the ring, and what came before is dead: what was delivered, what
 * is half here, what is on its way, a descriptor that waits for its page, and
 * one whose accesses fail
 */
static void reset(struct __test_metadata *_metadata,
		  FIXTURE_DATA(nesting_pri) *self,
		  int (*how)(const struct vfio_device *))
{
	struct nest *n = &self->n;
	struct vfio_dma_fault_response resp[8] = {};
	struct vfio_dma_fault f;
	u64 before = unanswered(&n->mon);
	u32 i, requests = 0;

	take_away(_metadata, n, &self->s, PASID, 0);
	start(n, 0, PASID, 0, 0, 64);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	resp[requests++] = (struct vfio_dma_fault_response){
		.cookie = f.cookie, .pasid = PASID, .group = f.group,
	};
	send(n, PASID, 101, PTD_PR_LAST, 1);
	send(n, PASID, 102, 0, 10);
	test_ok(fault_drain(&n->d));
	imon_write32(&n->mon, IMON_PRQ_HOLD, 1);
	send(n, PASID, 103, PTD_PR_LAST, 1);
	for (i = 0; i < 4; i++)
		dma_start(&n->ptd, 1, PASID, 0x1000, 8, false, PTD_F_NO_ATS);
	test_ok(how(&n->d));
	imon_write32(&n->mon, IMON_PRQ_HOLD, 0);

	for (;;) {
		ASSERT_EQ(1, fault_next(&self->r, &f, WAIT_MS));
		if (f.type == VFIO_DMA_FAULT_TYPE_RESET)
			break;
		if (f.type == VFIO_DMA_FAULT_TYPE_UNRECOVERABLE)
			continue;
		ASSERT_LT(requests, ARRAY_SIZE(resp));
		resp[requests++] = (struct vfio_dma_fault_response){
			.cookie = f.cookie, .pasid = PASID, .group = f.group,
		};
	}
	/* The drain before the reset has brought what was held */
	EXPECT_EQ(3, requests);
	for (i = 0; i < requests; i++)
		test_err(ENOENT, fault_respond(&self->r, &resp[i], 1));
	/* A part of a group has no answer of its own */
	EXPECT_EQ(10, unanswered(&n->mon) - before);
	EXPECT_EQ(1, self->r.header->resets);

	/* All is as before: the binding, page requests, the ring */
	test_ok(ptd_init(&n->ptd, &n->d));
	EXPECT_EQ(0, ptd_read32(&n->ptd, PTD_QUEUE(0) + PTD_Q_PENDING));
	EXPECT_TRUE(pri_is_on(n));
	EXPECT_TRUE(answered(n, 0, 0));
	send(n, PASID, 102, PTD_PR_LAST, 1);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	EXPECT_TRUE(answered(n, 1, 0));
	EXPECT_EQ(0, fault_pending(&self->r));
	give_back(_metadata, &self->s, 0);
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
}

TEST_F(nesting_pri, reset)
{
	reset(_metadata, self, vfio_device_reset);
}

TEST_F(nesting_pri, hot_reset)
{
	reset(_metadata, self, vfio_device_hot_reset);
}

/* Page requests are off, and the device sends one all the same: a fault */
TEST_F(nesting_pri, off)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;

	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE, DEPTH,
			  self->r.eventfd));
	send(n, PASID, 1, PTD_PR_LAST, 1);
	EXPECT_TRUE(answered(n, 0, 1));
	ASSERT_EQ(1, fault_next(&self->r, &f, WAIT_MS));
	EXPECT_EQ(VFIO_DMA_FAULT_TYPE_UNRECOVERABLE, f.type);
	EXPECT_EQ(PASID, f.pasid);
	EXPECT_EQ(TEST_DST, f.addr);
	EXPECT_EQ(0x47, f.hw_reason);
	EXPECT_EQ(VFIO_DMA_FAULT_REASON_UNKNOWN, f.reason);
	EXPECT_EQ(0, f.perm);
}

/* A ring without room for RESET: the header tells */
TEST_F(nesting_pri, reset_full)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault_response resp[DEPTH];
	struct vfio_dma_fault f;

	EXPECT_EQ(0, self->r.header->resets);
	send(n, PASID, 0, PTD_PR_LAST | PTD_PR_EACH, DEPTH);
	test_ok(fault_drain(&n->d));
	EXPECT_EQ(DEPTH, fault_pending(&self->r));
	test_ok(vfio_device_reset(&n->d));
	EXPECT_EQ(1, self->r.header->resets);
	EXPECT_EQ(1, self->r.header->lost);
	EXPECT_EQ(DEPTH, fault_pending(&self->r));
	expect_batch(_metadata, &self->r, resp, DEPTH);
	test_err(ENOENT, fault_respond(&self->r, resp, DEPTH));

	/* And with room */
	test_ok(vfio_device_reset(&n->d));
	EXPECT_EQ(2, self->r.header->resets);
	ASSERT_EQ(1, fault_next(&self->r, &f, WAIT_MS));
	EXPECT_EQ(VFIO_DMA_FAULT_TYPE_RESET, f.type);
	EXPECT_EQ(DEPTH + 2, f.seq);

	/* Another ring goes on with it */
	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_PAGE_REQUEST, 2 * DEPTH,
			  self->r.eventfd));
	EXPECT_EQ(2, self->r.header->resets);
}

/* As a VMM on its way out: a mapping holds the device as a file does */
static void close_all(FIXTURE_DATA(nesting_pri) *self)
{
	nest_close(&self->n);
	fault_close(&self->r);
}

/* What is outstanding when the device is closed is answered */
TEST_F(nesting_pri, close)
{
	struct nest *n = &self->n;
	u64 before = imon_total(&n->mon, IOMMU_MON_EV_PR_ANSWERED(1));
	int i;

	for (i = 0; i < 20; i++)
		send(n, PASID, i, PTD_PR_LAST, 1);
	test_ok(fault_drain(&n->d));
	send(n, PASID, 100, 0, 10);
	close_all(self);
	test_ok(imon_open(&n->mon));
	EXPECT_EQ(before + 20,
		  imon_total(&n->mon, IOMMU_MON_EV_PR_ANSWERED(1)));
}

/* Asks and answers, as fast as it can, and counts the rounds */
static void ask_and_answer(FIXTURE_DATA(nesting_pri) *self, u32 *rounds)
{
	struct vfio_dma_fault_response resp[DEPTH] = {};
	struct fault_ring *r = &self->r;
	u32 i, count, group = 0;

	for (;; __atomic_add_fetch(rounds, 1, __ATOMIC_RELAXED)) {
		send(&self->n, PASID, group++ & 511,
		     PTD_PR_LAST | PTD_PR_EACH, 40);
		count = fault_pending(r);
		for (i = 0; i < count; i++) {
			const struct vfio_dma_fault *f = fault_peek(r, i);

			resp[i].cookie = f->cookie;
			resp[i].pasid = f->pasid;
			resp[i].group = f->group;
		}
		fault_consume(r, count);
		/* Some are dead when it comes to this */
		for (i = 0; i < count; i++) {
			int taken = fault_respond(r, resp + i, count - i);

			i += taken > 0 ? taken : 0;
		}
	}
}

/* What takes the answers' place, on another processor */
static void disturb(FIXTURE_DATA(nesting_pri) *self, int how)
{
	struct nest *n = &self->n;
	u32 kinds = VFIO_DMA_FAULT_UNRECOVERABLE;

	for (;;) {
		switch (how) {
		case 1:
			kinds ^= VFIO_DMA_FAULT_PAGE_REQUEST;
			fault_set(&n->d, kinds, DEPTH, self->r.eventfd);
			break;
		case 2:
			vfio_device_reset(&n->d);
			break;
		case 3:
			nest_unbind(&n->c, NEST_ALL_GROUPS, PASID);
			nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t);
			break;
		}
		usleep(1000);
	}
}

/* Switched off while the device asks: what nobody can answer, nobody holds */
TEST_F(nesting_pri, off_asking)
{
	const u32 faults = VFIO_DMA_FAULT_UNRECOVERABLE, depth = 65536;
	struct nest *n = &self->n;
	u64 before = unanswered(&n->mon), left = 0;
	pid_t pid;
	int i;

	/* A ring with room, whenever they are switched off */
	fault_close(&self->r);
	test_ok(fault_set(&n->d, 0, 0, -1));

	pid = fork();
	ASSERT_LE(0, pid);
	while (!pid)
		send(n, PASID, 1, PTD_PR_LAST | PTD_PR_EACH, 8);

	for (i = 0; i < 20 && !left; i++) {
		test_ok(fault_set(&n->d, faults | VFIO_DMA_FAULT_PAGE_REQUEST,
				  depth, -1));
		usleep(500);
		test_ok(fault_set(&n->d, faults, depth, -1));
		wait_until(!(left = unanswered(&n->mon) - before));
		test_ok(fault_set(&n->d, 0, 0, -1));
	}
	EXPECT_EQ(0, left);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
}

/*
 * A VMM that is killed while its device asks and it answers, and that turns
 * page requests off, resets the device or unbinds meanwhile: each request has
 * had one answer in the end
 */
TEST_F(nesting_pri, killed)
{
	struct nest *n = &self->n;
	u64 before, left = 0;
	u32 *rounds;
	pid_t pid;
	int how;

	rounds = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)rounds);
	before = unanswered(&n->mon);
	close_all(self);
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	for (how = 0; how < 4; how++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			setpgid(0, 0);
			memset(n, 0, sizeof(*n));
			nest_setup_faults(_metadata, n, &self->s, &self->r,
					  PASID, VFIO_DMA_FAULT_PAGE_REQUEST,
					  DEPTH);
			if (!fork())
				disturb(self, how);
			ask_and_answer(self, rounds);
		}
		setpgid(pid, pid);
		EXPECT_TRUE(wait_until(__atomic_load_n(rounds, __ATOMIC_RELAXED)
				       >= 30));
		*rounds = 0;
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
		kill(-pid, SIGKILL);
		while (waitpid(-pid, NULL, 0) > 0)
			;
	}

	test_ok(imon_open(&n->mon));
	wait_until(!(left = unanswered(&n->mon) - before));
	EXPECT_EQ(0, left);
	printf("# %llu answers by the VMM\n",
	       imon_total(&n->mon, IOMMU_MON_EV_PR_ANSWERED(0)));
}

VFIO_TEST_MAIN
