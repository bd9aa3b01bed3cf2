// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page requests: from the device to the ring, and the answers back
 *
 * What counts is what the device got: its own counters of answers, and the
 * monitor's of what the IOMMU saw.
 */
#include <signal.h>

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

	nest_setup_mon(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	if (!n->feat.max_requests)
		SKIP(return, "%s makes no page requests", n->d.bdf);
	space_init(_metadata, n, &self->s, 0xa1);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	test_ok(fault_open(&self->r, &n->d,
			   VFIO_DMA_FAULT_UNRECOVERABLE |
			   VFIO_DMA_FAULT_PAGE_REQUEST, DEPTH));
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

/* Start a fill of 64 bytes at TEST_DST + @off in queue @q */
static void start(struct nest *n, unsigned int q, u32 pasid, u64 off,
		  u32 flags, u32 len)
{
	struct ptd_desc d = {
		.op = PTD_OP_FILL,
		.flags = flags,
		.pasid = ptd_pasid(dma_pasid(pasid)),
		.dst = TEST_DST + off,
		.imm = 0x4242424242424242ull,
		.len = len,
	};

	ptd_submit(&n->ptd, q, &d);
}

/* The next entry is a page request */
static void expect_request(struct __test_metadata *_metadata,
			   struct fault_ring *r, struct vfio_dma_fault *f,
			   u32 pasid, u64 addr, bool last)
{
	ASSERT_EQ(1, fault_next(r, f, 5000));
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
	int i;

	for (i = 0; i < 5000; i++) {
		if (ptd_read64(&n->ptd, PTD_CNT_RESP_OK) == ok &&
		    ptd_read64(&n->ptd, PTD_CNT_RESP_INVALID) == invalid)
			return !ptd_read64(&n->ptd, PTD_CNT_RESP_FAILURE);
		usleep(1000);
	}
	printf("# answers: %llu success, %llu invalid, %llu failure; want %llu, %llu\n",
	       ptd_read64(&n->ptd, PTD_CNT_RESP_OK),
	       ptd_read64(&n->ptd, PTD_CNT_RESP_INVALID),
	       ptd_read64(&n->ptd, PTD_CNT_RESP_FAILURE), ok, invalid);
	return false;
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
	struct ptd_record rec;
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
	test_ok(ptd_wait(&n->ptd, 0, &rec));
	EXPECT_EQ(PTD_ST_OK, rec.status);
	EXPECT_TRUE(mem_is(&n->g, self->s.dst, 0x42, 64));
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
	struct ptd_record rec;

	take_away(_metadata, n, &self->s, PASID, 0);
	start(n, 0, PASID, 0, 0, 64);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_INVALID));
	test_ok(ptd_wait(&n->ptd, 0, &rec));
	EXPECT_EQ(PTD_ST_WRITE_FAULT, rec.status);
	EXPECT_TRUE(answered(n, 0, 1));
}

/* Several pages in one group: one answer */
TEST_F(nesting_pri, group)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f[4];
	struct ptd_record rec;
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
	test_ok(ptd_wait(&n->ptd, 0, &rec));
	EXPECT_EQ(PTD_ST_OK, rec.status);
	EXPECT_TRUE(mem_is(&n->g, self->s.dst, 0x42, TEST_LEN));
	EXPECT_TRUE(answered(n, 1, 0));
}

/* A group for each queue, answered the other way round, and in one call */
TEST_F(nesting_pri, any_order)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault_response resp[4];
	struct vfio_dma_fault f;
	struct ptd_record rec;
	int i;

	for (i = 0; i < 4; i++) {
		take_away(_metadata, n, &self->s, PASID, i * SZ_4K);
		start(n, i, PASID, i * SZ_4K, 0, 64);
	}
	for (i = 3; i >= 0; i--) {
		ASSERT_EQ(1, fault_next(&self->r, &f, 5000));
		resp[i] = (struct vfio_dma_fault_response){
			.cookie = f.cookie,
			.pasid = f.pasid,
			.group = f.group,
		};
	}
	for (i = 0; i < 4; i++)
		give_back(_metadata, &self->s, i * SZ_4K);
	EXPECT_EQ(4, fault_respond(&self->r, resp, 4));
	for (i = 0; i < 4; i++) {
		test_ok(ptd_wait(&n->ptd, i, &rec));
		EXPECT_EQ(PTD_ST_OK, rec.status);
	}
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
		ASSERT_EQ(1, fault_next(&self->r, &f, 5000));
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
	test_ok(fault_drain(&n->d));
	EXPECT_EQ(0, fault_pending(&self->r));
	EXPECT_EQ(0, self->r.header->lost);
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
	struct ptd_record rec;
	struct space s2;

	space_init(_metadata, n, &s2, 0xb2);
	take_away(_metadata, n, &self->s, PASID, 0);
	start(n, 0, PASID, 0, 0, 64);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &s2.t));
	EXPECT_TRUE(answered(n, 0, 0));
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	test_ok(ptd_wait(&n->ptd, 0, &rec));
	EXPECT_EQ(PTD_ST_OK, rec.status);
	EXPECT_TRUE(mem_is(&n->g, s2.dst, 0x42, 64));
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

/* A reset: RESET is in the ring, and what came before is dead */
TEST_F(nesting_pri, reset)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f, g;

	send(n, PASID, 1, PTD_PR_LAST, 1);
	send(n, PASID, 2, 0, 10);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	test_ok(vfio_device_reset(&n->d));
	ASSERT_EQ(1, fault_next(&self->r, &g, 5000));
	EXPECT_EQ(VFIO_DMA_FAULT_TYPE_RESET, g.type);
	test_err(ENOENT, fault_answer(&self->r, &f,
				      VFIO_DMA_FAULT_RESPONSE_SUCCESS));

	/* All is as before: the binding, page requests, the ring */
	test_ok(ptd_init(&n->ptd, &n->d));
	EXPECT_TRUE(pri_is_on(n));
	EXPECT_TRUE(answered(n, 0, 0));
	send(n, PASID, 2, PTD_PR_LAST, 1);
	expect_request(_metadata, &self->r, &f, PASID, TEST_DST, true);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	EXPECT_TRUE(answered(n, 1, 0));
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);
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

/* A VMM that is killed while its device asks, on another processor */
TEST_F_TIMEOUT(nesting_pri, killed, 60)
{
	struct nest *n = &self->n;
	pid_t pid;
	int i, j;

	close_all(self);
	for (i = 0; i < 3; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			memset(n, 0, sizeof(*n));
			nest_setup_mon(_metadata, n, 0);
			space_init(_metadata, n, &self->s, 0xa1);
			test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID,
					  &self->s.t));
			test_ok(fault_open(&self->r, &n->d,
					   VFIO_DMA_FAULT_PAGE_REQUEST, 16));
			for (j = 0;; j++)
				send(n, PASID, j & 511, PTD_PR_LAST, 7);
		}
		usleep(300000 + 50000 * i);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	}
}

VFIO_TEST_MAIN
