// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events of SMMUv3 in the ring, and accesses that wait for a page (stalls)
 *
 * What the device got and what the SMMU was told counts.  Chapters are those
 * of the Arm SMMU architecture, IHI 0070F.
 */
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include "smmu_test.h"

#define NR_SPACES	3
#define DEPTH		64
#define CD_S		BIT_ULL(44)
#define BOTH		(VFIO_DMA_FAULT_UNRECOVERABLE | \
			 VFIO_DMA_FAULT_PAGE_REQUEST)
#define VA(n)		(TEST_DST + (n) * SZ_4K)

static const u32 ssids[NR_SPACES] = { NEST_RID, 1, 15 };

FIXTURE(stall)
{
	struct nest n;
	struct cd_table ct;
	struct space s[NR_SPACES];
	struct vfio_nesting_smmuv3_ste ste;
	struct fault_ring r;
};

/* Everything, with CD.S as @wait says, bound */
static void open_all(struct __test_metadata *_metadata,
		     FIXTURE_DATA(stall) *self, bool wait)
{
	struct nest *n = &self->n;
	int i;

	smmu_open(_metadata, n, 1);
	if (_metadata->exit_code)
		return;
	if (!n->feat.max_requests)
		SKIP(return, "accesses of %s cannot wait", n->d.bdf);
	test_ok(cd_table_init(&self->ct, &n->g, CD_LINEAR, 4));
	for (i = 0; i < NR_SPACES; i++) {
		space_init(_metadata, n, &self->s[i], 0xa1 + i);
		test_ok(cd_set(&self->ct, ssids[i], &self->s[i].t, 100 + i));
		if (wait)
			cd_at(&self->ct, ssids[i])[0] |= htole64(CD_S);
	}
	cd_ste(&self->ct, &self->ste);
	test_ok(nest_bind_table(&n->c, NEST_ALL_GROUPS, &self->ste));
	test_ok(fault_open(&self->r, &n->d, BOTH, DEPTH));
}

/* As a VMM on its way out: a mapping holds the device as a file does */
static void close_all(FIXTURE_DATA(stall) *self)
{
	vfio_device_close(&self->n.d);
	vfio_container_close(&self->n.c);
	fault_close(&self->r);
}

FIXTURE_SETUP(stall)
{
	open_all(_metadata, self, true);
}

FIXTURE_TEARDOWN(stall)
{
}

/* Start an access of 64 bytes in queue @q */
static void start(struct nest *n, unsigned int q, u32 pasid, u64 addr,
		  bool write, u32 flags)
{
	dma_start(&n->ptd, q, pasid, addr, 64, write, PTD_F_NO_ATS | flags);
}

static u64 *leaf(struct nest *n, struct space *s, u64 va)
{
	u64 *table = guest_va(&n->g, s->t.root);
	int level;

	for (level = 3; level; level--)
		table = guest_va(&n->g, table[(va >> (12 + 9 * level)) & 511] &
				 0xfffffffff000ull);
	return &table[(va >> 12) & 511];
}

/* Write an entry.  The SMMU may have read it before, whoever used it or not. */
static void set(struct __test_metadata *_metadata, struct nest *n, u64 *entry,
		u64 val)
{
	*entry = htole64(val);
	test_ok(command(n, TLBI_NH_ALL, 0));
}

/* The next entry is a page request of queue @q, which waits */
static void expect_stall(struct __test_metadata *_metadata,
			 FIXTURE_DATA(stall) *self, struct vfio_dma_fault *f,
			 unsigned int q, u32 pasid, u64 addr, u32 perm)
{
	ASSERT_EQ(1, fault_next(&self->r, f, WAIT_MS));
	ASSERT_EQ(VFIO_DMA_FAULT_TYPE_PAGE_REQUEST, f->type);
	EXPECT_EQ(VFIO_DMA_FAULT_F_ADDR | VFIO_DMA_FAULT_F_LAST |
		  (pasid ? VFIO_DMA_FAULT_F_PASID : 0), f->flags);
	EXPECT_EQ(pasid, f->pasid);
	EXPECT_EQ(addr, f->addr);
	EXPECT_EQ(perm, f->perm);
	EXPECT_NE(0, f->cookie);
	EXPECT_EQ(1, ptd_read32(&self->n.ptd, PTD_QUEUE(q) + PTD_Q_PENDING));
}

static const u32 rd = VFIO_DMA_FAULT_PERM_READ, wr = VFIO_DMA_FAULT_PERM_WRITE;

/* 7.3: what an event is in generic terms.  At stage 0 there is no address. */
static const struct {
	u32 id;
	u32 reason;
	u32 stage;
} meanings[] = {
	{ 0x06, VFIO_DMA_FAULT_REASON_NO_PASID, 0 },
	{ 0x08, VFIO_DMA_FAULT_REASON_NO_PASID, 0 },
	{ 0x0a, VFIO_DMA_FAULT_REASON_BAD_PASID, 0 },
	{ 0x10, VFIO_DMA_FAULT_REASON_TRANSLATION, 1 },
	{ 0x11, VFIO_DMA_FAULT_REASON_OOR, 1 },
	{ 0x12, VFIO_DMA_FAULT_REASON_ACCESS, 1 },
	{ 0x13, VFIO_DMA_FAULT_REASON_PERMISSION, 1 },
};

static void expect_event(struct __test_metadata *_metadata,
			 struct fault_ring *r, u32 pasid, u64 addr, u32 perm,
			 u32 id)
{
	struct vfio_dma_fault f;
	unsigned int i = 0;
	bool at;

	while (i < ARRAY_SIZE(meanings) - 1 && meanings[i].id != id)
		i++;
	at = meanings[i].stage;
	ASSERT_EQ(1, fault_next(r, &f, WAIT_MS)) {
		TH_LOG("no event, 0x%x expected", id);
	}
	EXPECT_EQ(VFIO_DMA_FAULT_TYPE_UNRECOVERABLE, f.type);
	EXPECT_EQ((pasid ? VFIO_DMA_FAULT_F_PASID : 0) |
		  (at ? VFIO_DMA_FAULT_F_ADDR : 0), f.flags);
	EXPECT_EQ(pasid, f.pasid);
	EXPECT_EQ(id, f.hw_reason);
	EXPECT_EQ(meanings[i].reason, f.reason);
	EXPECT_EQ(meanings[i].stage, f.stage);
	EXPECT_EQ(at ? addr : 0, f.addr);
	EXPECT_EQ(at ? perm : 0, f.perm);
	EXPECT_EQ(0, f.cookie);
}

/* What waits and is not answered in queue 0, told by the SMMU */
static void park(struct __test_metadata *_metadata,
		 FIXTURE_DATA(stall) *self, struct vfio_dma_fault *f)
{
	struct nest *n = &self->n;

	set(_metadata, n, leaf(n, &self->s[1], VA(0)), 0);
	start(n, 0, ssids[1], VA(0), true, 0);
	expect_stall(_metadata, self, f, 0, ssids[1], VA(0),
		     VFIO_DMA_FAULT_PERM_WRITE);
}

static void too_late(struct __test_metadata *_metadata,
		     FIXTURE_DATA(stall) *self, const struct vfio_dma_fault *f)
{
	test_err(ENOENT, fault_answer(&self->r, f,
				      VFIO_DMA_FAULT_RESPONSE_SUCCESS));
}

/* A page that comes while the access waits */
TEST_F(stall, retry)
{
	struct nest *n = &self->n;
	u64 resumed = executed(n, RESUME);
	struct vfio_dma_fault f;
	int i;

	for (i = 0; i < NR_SPACES; i++) {
		u64 *pte = leaf(n, &self->s[i], VA(0)), good = *pte;

		set(_metadata, n, pte, 0);
		start(n, 0, ssids[i], VA(0), true, 0);
		expect_stall(_metadata, self, &f, 0, ssids[i], VA(0),
			     VFIO_DMA_FAULT_PERM_WRITE);
		EXPECT_EQ(resumed + i, executed(n, RESUME));
		set(_metadata, n, pte, good);
		test_ok(fault_answer(&self->r, &f,
				     VFIO_DMA_FAULT_RESPONSE_SUCCESS));
		dma_ended(_metadata, &n->ptd, 0, PTD_ST_OK);
		EXPECT_TRUE(mem_is(&n->g, self->s[i].dst, DMA_FILL, 64));
		EXPECT_EQ(resumed + i + 1, executed(n, RESUME));
		too_late(_metadata, self, &f);
	}
	/* Not repaired: it asks again */
	set(_metadata, n, leaf(n, &self->s[1], VA(1)), 0);
	for (i = 0; i < 3; i++) {
		if (!i)
			start(n, 0, ssids[1], VA(1), false, 0);
		expect_stall(_metadata, self, &f, 0, ssids[1], VA(1),
			     VFIO_DMA_FAULT_PERM_READ);
		test_ok(fault_answer(&self->r, &f, i == 2 ?
				     VFIO_DMA_FAULT_RESPONSE_INVALID :
				     VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	}
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);
	test_ok(fault_drain(&n->d));
	EXPECT_EQ(0, fault_pending(&self->r));
	EXPECT_EQ(0, self->r.header->lost);
}

TEST_F(stall, abort)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	u64 good;

	/* Each kind that waits: 7.3.13 to 7.3.16 */
	park(_metadata, self, &f);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_INVALID));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_WRITE_FAULT);

	good = *leaf(n, &self->s[1], VA(1));
	set(_metadata, n, leaf(n, &self->s[1], VA(1)),
	    good & ~BIT_ULL(10));				/* AF */
	start(n, 0, ssids[1], VA(1), false, PTD_F_EXEC);
	expect_stall(_metadata, self, &f, 0, ssids[1], VA(1),
		     VFIO_DMA_FAULT_PERM_READ | VFIO_DMA_FAULT_PERM_EXEC);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_INVALID));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);

	good = *leaf(n, &self->s[1], VA(2));
	set(_metadata, n, leaf(n, &self->s[1], VA(2)),
	    good | BIT_ULL(7));					/* read only */
	start(n, 0, ssids[1], VA(2), true, 0);
	expect_stall(_metadata, self, &f, 0, ssids[1], VA(2),
		     VFIO_DMA_FAULT_PERM_WRITE);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_INVALID));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_WRITE_FAULT);
}

/* All queues wait, of several PASIDs; answered the other way round, at once */
TEST_F(stall, many)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault_response resp[8];
	struct vfio_dma_fault f;
	u64 good[NR_SPACES];
	int i, s;

	for (s = 0; s < NR_SPACES; s++) {
		good[s] = *leaf(n, &self->s[s], VA(0));
		set(_metadata, n, leaf(n, &self->s[s], VA(0)), 0);
	}
	for (i = 0; i < 8; i++) {
		s = i % NR_SPACES;
		start(n, i, ssids[s], VA(0), true, 0);
		expect_stall(_metadata, self, &f, i, ssids[s], VA(0),
			     VFIO_DMA_FAULT_PERM_WRITE);
		resp[7 - i] = (struct vfio_dma_fault_response){
			.cookie = f.cookie,
			.pasid = f.pasid,
			.group = f.group,
			.code = s == 1 ? VFIO_DMA_FAULT_RESPONSE_INVALID :
					 VFIO_DMA_FAULT_RESPONSE_SUCCESS,
		};
	}
	for (s = 0; s < NR_SPACES; s++)
		set(_metadata, n, leaf(n, &self->s[s], VA(0)), good[s]);
	EXPECT_EQ(8, fault_respond(&self->r, resp, 8));
	for (i = 0; i < 8; i++)
		dma_ended(_metadata, &n->ptd, i, i % NR_SPACES == 1 ?
			  PTD_ST_WRITE_FAULT : PTD_ST_OK);
}

/* What the ring has no room for is ended and counted */
TEST_F(stall, overflow)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	u32 i;

	set(_metadata, n, leaf(n, &self->s[1], VA(0)), 0);
	for (i = 0; i < DEPTH; i++) {
		start(n, 0, 2, VA(0), false, 0);	/* C_BAD_CD */
		dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);
	}
	test_ok(fault_drain(&n->d));
	ASSERT_EQ(DEPTH, fault_pending(&self->r));
	start(n, 0, ssids[1], VA(0), false, 0);
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);
	EXPECT_EQ(1, self->r.header->lost);
	fault_consume(&self->r, DEPTH);
	start(n, 0, ssids[1], VA(0), true, 0);
	expect_stall(_metadata, self, &f, 0, ssids[1], VA(0),
		     VFIO_DMA_FAULT_PERM_WRITE);
	EXPECT_EQ(DEPTH + 2, f.seq);
}

/* Nobody is asked: ended at once, and reported like any other */
TEST_F(stall, not_asked)
{
	struct nest *n = &self->n;
	u64 resumed = executed(n, RESUME);

	set(_metadata, n, leaf(n, &self->s[1], VA(0)), 0);
	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE, DEPTH, -1));
	start(n, 0, ssids[1], VA(0), true, 0);
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_WRITE_FAULT);
	test_ok(fault_drain(&n->d));
	expect_event(_metadata, &self->r, ssids[1], VA(0), wr, 0x10);
	EXPECT_EQ(resumed + 1, executed(n, RESUME));

	/* Not even faults are wanted */
	test_ok(fault_set(&n->d, 0, 0, -1));
	start(n, 0, ssids[1], VA(0), true, 0);
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_WRITE_FAULT);
	EXPECT_EQ(resumed + 2, executed(n, RESUME));
}

/* Whatever takes the table or the consumer away ends what waits */
TEST_F(stall, unbind)
{
	static const u32 ops[] = { VFIO_BIND_OP_UNBIND, VFIO_BIND_OP_BLOCK };
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		park(_metadata, self, &f);
		test_ok(nest_table_op(&n->c, NEST_ALL_GROUPS, ops[i]));
		dma_ended(_metadata, &n->ptd, 0, PTD_ST_WRITE_FAULT);
		too_late(_metadata, self, &f);
		test_ok(nest_bind_table(&n->c, NEST_ALL_GROUPS, &self->ste));
	}
	park(_metadata, self, &f);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_INVALID));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_WRITE_FAULT);
}

TEST_F(stall, disable)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;

	park(_metadata, self, &f);
	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE, DEPTH, -1));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_WRITE_FAULT);
	too_late(_metadata, self, &f);
	test_ok(fault_set(&n->d, BOTH, DEPTH, self->r.eventfd));
	park(_metadata, self, &f);
	test_ok(fault_set(&n->d, 0, 0, -1));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_WRITE_FAULT);
}

/* Another table in the same place leaves what waits */
TEST_F(stall, replace)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	struct cd_table other;
	struct space s;

	test_ok(cd_table_init(&other, &n->g, CD_LINEAR, 4));
	space_init(_metadata, n, &s, 0x77);
	test_ok(cd_set(&other, ssids[1], &s.t, 101));
	park(_metadata, self, &f);
	cd_ste(&other, &self->ste);
	test_ok(nest_bind_table(&n->c, NEST_ALL_GROUPS, &self->ste));
	EXPECT_EQ(1, ptd_read32(&n->ptd, PTD_QUEUE(0) + PTD_Q_PENDING));
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_SUCCESS));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_OK);
	EXPECT_TRUE(mem_is(&n->g, s.dst, DMA_FILL, 64));
}

TEST_F(stall, reset)
{
	struct nest *n = &self->n;
	u64 resumed = executed(n, RESUME);
	struct vfio_dma_fault f, g;

	park(_metadata, self, &f);
	test_ok(vfio_device_reset(&n->d));
	EXPECT_EQ(resumed + 1, executed(n, RESUME));
	ASSERT_EQ(1, fault_next(&self->r, &g, WAIT_MS));
	EXPECT_EQ(VFIO_DMA_FAULT_TYPE_RESET, g.type);
	too_late(_metadata, self, &f);

	/* All is as before */
	test_ok(ptd_init(&n->ptd, &n->d));
	park(_metadata, self, &f);
	test_ok(fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_INVALID));
	dma_ended(_metadata, &n->ptd, 0, PTD_ST_WRITE_FAULT);
	dma_copies(_metadata, n, &n->ptd, ssids[2], &self->s[2]);
}

/* The tags that stalled accesses have are all free again: 32 of them */
TEST_F(stall, closed)
{
	struct nest *n = &self->n;
	u64 resumed = executed(n, RESUME);
	struct vfio_dma_fault f;
	int i, q;

	for (i = 0; i < 5; i++) {
		if (i) {
			open_all(_metadata, self, true);
			ASSERT_EQ(0, _metadata->exit_code);
		}
		set(_metadata, n, leaf(n, &self->s[1], VA(0)), 0);
		for (q = 0; q < 8; q++) {
			start(n, q, ssids[1], VA(0), true, 0);
			expect_stall(_metadata, self, &f, q, ssids[1], VA(0),
				     VFIO_DMA_FAULT_PERM_WRITE);
		}
		close_all(self);
		EXPECT_EQ(resumed + 8 * (i + 1), executed(n, RESUME));
		imon_close(&n->mon);
		test_ok(imon_open(&n->mon));
	}
}

/* In a process of its own: a VMM that answers SUCCESS and repairs nothing */
static void answer_forever(struct __test_metadata *_metadata,
			   FIXTURE_DATA(stall) *self, int started)
{
	struct nest *n = &self->n;
	struct vfio_dma_fault f;
	int q;

	open_all(_metadata, self, true);
	set(_metadata, n, leaf(n, &self->s[1], VA(0)), 0);
	for (q = 0; q < 8; q++)
		start(n, q, ssids[1], VA(0), true, 0);
	while (fault_next(&self->r, &f, -1) == 1) {
		fault_answer(&self->r, &f, VFIO_DMA_FAULT_RESPONSE_SUCCESS);
		test_ok(write(started, "", 1) == 1 ? 0 : -errno);
	}
	_exit(1);
}

/* A VMM that is killed while its device asks */
TEST_F(stall, killed)
{
	struct nest *n = &self->n;
	int started[2], i, j;
	u64 resumed, raised;
	pid_t pid;
	char c;

	close_all(self);
	resumed = executed(n, RESUME);
	raised = imon_total(&n->mon, IOMMU_MON_EV_F_RAISED);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, pipe(started));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			answer_forever(_metadata, self, started[1]);
		close(started[1]);
		for (j = 0; j < 20 + i; j++)
			ASSERT_EQ(1, read(started[0], &c, 1));
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
		close(started[0]);
	}
	/* Also when the last files are gone a little later */
	wait_until(executed(n, RESUME) - resumed ==
		   imon_total(&n->mon, IOMMU_MON_EV_F_RAISED) - raised);
	EXPECT_LT(resumed, executed(n, RESUME));
	EXPECT_EQ(imon_total(&n->mon, IOMMU_MON_EV_F_RAISED) - raised,
		  executed(n, RESUME) - resumed);
	open_all(_metadata, self, true);
	dma_copies(_metadata, n, &n->ptd, ssids[1], &self->s[1]);
}

FIXTURE(event)
{
	FIXTURE_DATA(stall) all;
};

FIXTURE_SETUP(event)
{
	open_all(_metadata, &self->all, false);
}

FIXTURE_TEARDOWN(event)
{
}

static void touch(struct __test_metadata *_metadata, struct nest *n, u32 pasid,
		  u64 addr, bool write, u32 flags)
{
	start(n, 0, pasid, addr, write, flags);
	dma_ended(_metadata, &n->ptd, 0,
		  write ? PTD_ST_WRITE_FAULT : PTD_ST_READ_FAULT);
}

/* The device asks for @perm there, and hears no for the reason @id */
static void refused(struct __test_metadata *_metadata,
		    FIXTURE_DATA(stall) *self, u32 pasid, u64 addr, u32 perm,
		    u32 id)
{
	touch(_metadata, &self->n, pasid, addr, perm & wr,
	      perm & VFIO_DMA_FAULT_PERM_EXEC ? PTD_F_EXEC : 0);
	expect_event(_metadata, &self->r, pasid, addr, perm, id);
}

/* 7.3: what stage 1 refuses */
TEST_F(event, reasons)
{
	FIXTURE_DATA(stall) *all = &self->all;
	struct nest *n = &all->n;
	int i;

	for (i = 0; i < NR_SPACES; i++) {
		struct space *s = &all->s[i];
		u32 ssid = ssids[i];
		u64 *pte;

		set(_metadata, n, leaf(n, s, VA(0)), 0);
		refused(_metadata, all, ssid, VA(0) + 0x128, wr, 0x10);
		refused(_metadata, all, ssid, VA(0), rd, 0x10);
		pte = leaf(n, s, VA(1));
		set(_metadata, n, pte, *pte | BIT_ULL(46));
		refused(_metadata, all, ssid, VA(1), rd, 0x11);
		pte = leaf(n, s, VA(2));
		set(_metadata, n, pte, *pte & ~BIT_ULL(10));
		refused(_metadata, all, ssid, VA(2), rd, 0x12);
		refused(_metadata, all, ssid, TEST_SRC, wr, 0x13);
		pte = leaf(n, s, VA(3));
		set(_metadata, n, pte, *pte | BIT_ULL(54)); /* no execute */
		if (ssid)
			refused(_metadata, all, ssid, VA(3),
				rd | VFIO_DMA_FAULT_PERM_EXEC, 0x13);
	}
	EXPECT_EQ(0, fault_pending(&all->r));
}

/* And what the description of a PASID can be */
TEST_F(event, descriptors)
{
	FIXTURE_DATA(stall) *all = &self->all;
	struct nest *n = &all->n;

	refused(_metadata, all, 2, VA(0), rd, 0x0a);
	refused(_metadata, all, 16, VA(0), rd, 0x08);
	all->ct.s1dss = CD_DSS_END;
	cd_ste(&all->ct, &all->ste);
	test_ok(nest_bind_table(&n->c, NEST_ALL_GROUPS, &all->ste));
	refused(_metadata, all, NEST_RID, VA(0), rd, 0x06);

	/* Stage 2 alone, or nothing at all: no PASIDs; an abort is silent */
	test_ok(nest_table_op(&n->c, NEST_ALL_GROUPS, VFIO_BIND_OP_UNBIND));
	refused(_metadata, all, 1, VA(0), rd, 0x08);
	test_ok(nest_table_op(&n->c, NEST_ALL_GROUPS, VFIO_BIND_OP_BLOCK));
	touch(_metadata, n, 1, VA(0), false, 0);
	test_ok(fault_drain(&n->d));
	EXPECT_EQ(0, fault_pending(&all->r));
}

/* What stage 2 refuses is the host's affair, wherever it was met */
TEST_F(event, stage2)
{
	const u64 nowhere = GUEST_GPA + 64 * SZ_1G;
	struct nest *n = &self->all.n;
	struct space *s = &self->all.s[1];
	u64 recorded = imon_total(&n->mon, IOMMU_MON_EV_F_RECORDED), *l1;
	int kmsg = log_open(_metadata);

	/* A page, a table, a root, and the table of descriptors */
	set(_metadata, n, leaf(n, s, VA(0)),
	    (*leaf(n, s, VA(0)) & 0xfff) | nowhere);
	touch(_metadata, n, ssids[1], VA(0), true, 0);
	l1 = guest_va(&n->g, s->t.root);
	l1[(TEST_SRC >> 39) - 1] = nowhere | 3;
	touch(_metadata, n, ssids[1], TEST_SRC - (1ull << 39), false, 0);
	test_ok(cd_set(&self->all.ct, 3, &s->t, 7));
	cd_at(&self->all.ct, 3)[1] = htole64(nowhere);
	touch(_metadata, n, 3, VA(0), false, 0);
	self->all.ct.base = nowhere;
	cd_ste(&self->all.ct, &self->all.ste);
	test_ok(nest_bind_table(&n->c, NEST_ALL_GROUPS, &self->all.ste));
	touch(_metadata, n, ssids[2], VA(0), false, 0);
	/* Stage 2 alone */
	test_ok(nest_table_op(&n->c, NEST_ALL_GROUPS, VFIO_BIND_OP_UNBIND));
	touch(_metadata, n, NEST_RID, nowhere, false, 0);

	EXPECT_EQ(recorded + 5, imon_total(&n->mon, IOMMU_MON_EV_F_RECORDED));
	test_ok(fault_drain(&n->d));
	EXPECT_EQ(0, fault_pending(&self->all.r));
	EXPECT_EQ(0, self->all.r.header->lost);
	EXPECT_TRUE(wait_until(log_lines(kmsg, "event 0x10 received")));
	close(kmsg);
}

/* @nr reads of the device that are refused, a page request for none */
static void flood(struct __test_metadata *_metadata, struct nest *n, u64 pace,
		  u64 nr)
{
	struct ptd_desc d = {
		.op = PTD_OP_FLOOD,
		.flags = PTD_F_NO_ATS,
		.pasid = ptd_pasid(ssids[1]),
		.src = pace,
		.dst = 0x1000,
		.len = 8,
		.imm = nr,
	};
	struct ptd_record rec;

	ptd_submit(&n->ptd, 0, &d);
	/* However long it takes */
	while (!ptd_read32(&n->ptd, PTD_QUEUE(0) + PTD_Q_CPL_COUNT))
		usleep(1000);
	test_ok(ptd_wait(&n->ptd, 0, &rec));
	EXPECT_EQ(nr, rec.result);
}

/*
 * Books: what was raised is recorded, merged with another or lost in the queue;
 * what was recorded is in the ring or lost there; next to nothing is printed.
 * EVENTS_MERGE in the environment: this SMMU merges where it may.
 */
TEST_F(event, flood)
{
	const u64 many = 5000, few = 500;
	struct nest *n = &self->all.n;
	struct fault_ring *r = &self->all.r;
	u64 raised = imon_total(&n->mon, IOMMU_MON_EV_F_RAISED);
	u64 recorded = imon_total(&n->mon, IOMMU_MON_EV_F_RECORDED);
	u64 merged = imon_total(&n->mon, IOMMU_MON_EV_F_COLLAPSED);
	u64 lost = imon_total(&n->mon, IOMMU_MON_EV_F_LOST);
	int kmsg = log_open(_metadata), lines;
	time_t begun;

	flood(_metadata, n, PTD_PACE_NONE, many);
	flood(_metadata, n, PTD_PACE_ROOM, few);
	test_ok(fault_drain(&n->d));
	raised = imon_total(&n->mon, IOMMU_MON_EV_F_RAISED) - raised;
	recorded = imon_total(&n->mon, IOMMU_MON_EV_F_RECORDED) - recorded;
	merged = imon_total(&n->mon, IOMMU_MON_EV_F_COLLAPSED) - merged;
	lost = imon_total(&n->mon, IOMMU_MON_EV_F_LOST) - lost;
	EXPECT_EQ(many + few, raised);
	EXPECT_EQ(raised, recorded + merged + lost);
	EXPECT_EQ(recorded, fault_pending(r) + r->header->lost);
	EXPECT_EQ(!!getenv("EVENTS_MERGE"), !!merged);
	EXPECT_EQ(!lost, !r->header->hw_lost);
	if (!merged) {
		EXPECT_EQ(DEPTH, fault_pending(r));
		EXPECT_NE(0, lost);
	}
	printf("# %llu recorded, %llu merged, %llu lost\n", recorded, merged,
	       lost);
	EXPECT_EQ(0, log_lines(kmsg, "event 0x"));

	/* Nobody takes them: ten in five seconds are printed */
	test_ok(fault_set(&n->d, 0, 0, -1));
	begun = time(NULL);
	flood(_metadata, n, PTD_PACE_ROOM, few);
	test_ok(nest_table_op(&n->c, NEST_ALL_GROUPS, VFIO_BIND_OP_UNBIND));
	lines = log_lines(kmsg, "event 0x");
	EXPECT_LT(0, lines);
	EXPECT_GE(10 * (2 + (time(NULL) - begun) / 5), lines);
	close(kmsg);
}

VFIO_TEST_MAIN
