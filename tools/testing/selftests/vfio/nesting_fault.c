// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unrecoverable faults: from the IOMMU's records to the mapped ring
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#include "nest_test.h"

#define PASID	5

/* Faults in a second, and PASIDs that are muted in one until the device is */
#define FEW	4
#define MUTES	8

/*
 * One access of 8 bytes by the device, untranslated: with ATS it would ask
 * first, and "no" is an answer, not a fault.  Returns PTD_ST_*.
 */
static int touch(struct ptd *ptd, u32 pasid, u64 addr, bool write, u32 flags)
{
	u32 tag = dma_start(ptd, 0, pasid, addr, 8, write,
			    PTD_F_NO_ATS | flags);
	struct ptd_record r;
	int ret = ptd_wait(ptd, 0, &r);

	return ret ? ret : r.tag == tag ? (int)r.status : -EPROTO;
}

/* Why the codes are not looked at */
#define NOT_VTD	"codes of VT-d; nesting_stall has those of SMMUv3"

static bool is_vtd(const struct nest *n)
{
	return n->ops->format == VFIO_NESTING_FORMAT_VTD_S1;
}

/* The code of what is not present in stage 1; SMMUv3: IHI 0070F, 7.3.13 */
static u8 not_present(const struct nest *n)
{
	return is_vtd(n) ? 0x71 : 0x10;
}

FIXTURE(nesting_fault)
{
	struct nest n;
	struct space s;
	struct fault_ring r;
};

FIXTURE_SETUP(nesting_fault)
{
	nest_setup_faults(_metadata, &self->n, &self->s, &self->r, PASID,
			  VFIO_DMA_FAULT_UNRECOVERABLE, 64);
}

FIXTURE_TEARDOWN(nesting_fault)
{
	set_limit(FAULT_NO_LIMIT);
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

	ASSERT_EQ(1, fault_next(&self->r, &f, WAIT_MS));
	EXPECT_EQ(1, f.seq);
	EXPECT_EQ(VFIO_DMA_FAULT_TYPE_UNRECOVERABLE, f.type);
	EXPECT_EQ(VFIO_DMA_FAULT_F_PASID | VFIO_DMA_FAULT_F_ADDR, f.flags);
	EXPECT_EQ(PASID, f.pasid);
	EXPECT_EQ(VFIO_DMA_FAULT_PERM_READ, f.perm);
	EXPECT_EQ(TEST_SRC, f.addr);
	EXPECT_EQ(VFIO_DMA_FAULT_REASON_TRANSLATION, f.reason);
	EXPECT_EQ(not_present(n), f.hw_reason);
	EXPECT_EQ(1, f.stage);
	EXPECT_EQ(0, fault_pending(&self->r));
	EXPECT_EQ(0, self->r.header->lost);
	EXPECT_EQ(0, self->r.header->hw_lost);
}

/*
 * Books: what the IOMMU raised is recorded or lost there; what it recorded is
 * in the ring or lost there.  Collapsing is off.
 */
struct books {
	u64 raised;
	u64 recorded;
	u64 lost;
};

static void books_read(struct nest *n, struct books *b)
{
	b->raised = imon_total(&n->mon, IOMMU_MON_EV_F_RAISED);
	b->recorded = imon_total(&n->mon, IOMMU_MON_EV_F_RECORDED);
	b->lost = imon_total(&n->mon, IOMMU_MON_EV_F_LOST);
}

/* A queue full of accesses that fail; they end in any order with others */
static void burst(struct nest *n, unsigned int q, u32 pasid, u32 nr)
{
	struct ptd_record rec;
	u32 i;

	for (i = 0; i < nr; i++)
		dma_start(&n->ptd, q, pasid, 0x1000, 8, false, PTD_F_NO_ATS);
	for (i = 0; i < nr; i++)
		ptd_wait(&n->ptd, q, &rec);
}

/* Faults that all reach the ring: the hardware has room for one at a time */
static void each(struct __test_metadata *_metadata, struct nest *n,
		 struct fault_ring *r, u32 pasid, u32 nr)
{
	u32 want;

	while (nr--) {
		want = fault_pending(r) + 1;
		burst(n, 0, pasid, 1);
		ASSERT_TRUE(wait_until(fault_pending(r) >= want));
	}
}

struct tally {
	u64 seq;	/* of the last entry */
	u64 seen;
	u64 gaps;	/* entries that are missing */
};

/* Look at all that is there */
static void collect(struct __test_metadata *_metadata, struct fault_ring *r,
		    struct tally *t)
{
	u32 i, n = fault_pending(r);

	for (i = 0; i < n; i++) {
		const struct vfio_dma_fault *f = fault_peek(r, i);

		ASSERT_LT(t->seq, f->seq);
		t->gaps += f->seq - t->seq - 1;
		t->seq = f->seq;
		ASSERT_EQ(VFIO_DMA_FAULT_TYPE_UNRECOVERABLE, f->type);
		ASSERT_EQ(0x1000, f->addr);
	}
	fault_consume(r, n);
	t->seen += n;
}

static bool balanced(struct __test_metadata *_metadata, struct nest *n,
		     struct fault_ring *r, struct tally *t,
		     const struct books *from, struct books *now)
{
	collect(_metadata, r, t);
	books_read(n, now);
	return t->seen + r->header->lost == now->recorded - from->recorded &&
	       (now->lost != from->lost) == (r->header->hw_lost != 0);
}

/* All that was recorded is accounted for, sooner or later */
static void balance(struct __test_metadata *_metadata, struct nest *n,
		    struct fault_ring *r, struct tally *t,
		    const struct books *from)
{
	struct books now;

	wait_until(balanced(_metadata, n, r, t, from, &now));
	EXPECT_EQ(now.raised - from->raised,
		  now.recorded - from->recorded + now.lost - from->lost);
	EXPECT_EQ(now.recorded - from->recorded, t->seen + r->header->lost);
	/* A gap at the end shows with the next entry only */
	EXPECT_GE(r->header->lost, t->gaps);
	EXPECT_EQ(now.lost != from->lost, r->header->hw_lost != 0);
}

FIXTURE_VARIANT(fault_flood)
{
	u32 depth;
	u32 faults;
	u32 burst;	/* more than there are records are lost in hardware */
	bool slow;	/* read once, at the end */
};

FIXTURE(fault_flood)
{
	struct nest n;
	struct space s;
	struct fault_ring r;
};

FIXTURE_VARIANT_ADD(fault_flood, paced)
{
	.depth = 64, .faults = 10000, .burst = 4,
};

FIXTURE_VARIANT_ADD(fault_flood, slow)
{
	.depth = 64, .faults = 500, .burst = 4, .slow = true,
};

FIXTURE_VARIANT_ADD(fault_flood, unpaced)
{
	.depth = 64, .faults = 3000, .burst = 60,
};

FIXTURE_VARIANT_ADD(fault_flood, deep)
{
	.depth = 65536, .faults = 1000, .burst = 8, .slow = true,
};

FIXTURE_VARIANT_ADD(fault_flood, long_64)
{
	.depth = 64, .faults = 100000, .burst = 8,
};

FIXTURE_VARIANT_ADD(fault_flood, long_65536)
{
	.depth = 65536, .faults = 100000, .burst = 8, .slow = true,
};

FIXTURE_SETUP(fault_flood)
{
	nest_setup_faults(_metadata, &self->n, &self->s, &self->r, PASID,
			  VFIO_DMA_FAULT_UNRECOVERABLE, variant->depth);
}

FIXTURE_TEARDOWN(fault_flood)
{
}

TEST_F(fault_flood, books)
{
	struct nest *n = &self->n;
	struct tally t = {};
	struct books from;
	u64 nr = 0;

	books_read(n, &from);
	while (nr < variant->faults) {
		burst(n, 0, PASID, variant->burst);
		if (variant->slow) {
			/* However many the hardware has lost meanwhile */
			nr = imon_total(&n->mon, IOMMU_MON_EV_F_RECORDED) -
			     from.recorded;
		} else {
			nr += variant->burst;
			collect(_metadata, &self->r, &t);
		}
	}
	balance(_metadata, n, &self->r, &t, &from);
	if (variant->slow)
		EXPECT_EQ(variant->faults > variant->depth,
			  self->r.header->lost != 0);
	printf("# %llu read, %llu lost in the ring, %llu times in hardware\n",
	       t.seen, (u64)self->r.header->lost, (u64)self->r.header->hw_lost);

	/* Once there is room the next one is there, and its number tells */
	burst(n, 0, PASID, 1);
	balance(_metadata, n, &self->r, &t, &from);
	EXPECT_EQ(self->r.header->lost, t.gaps);
	EXPECT_EQ(t.seq, t.seen + t.gaps);
}

/*
 * Each reason, made by hand
 */

#define VA(n)	(TEST_DST + (n) * SZ_4K)

/* The first-stage entries that @s got for VA(0) ... VA(3) */
static u64 *leaf(struct nest *n, struct space *s, int i)
{
	u64 *table = guest_va(&n->g, s->t.root);
	int level;

	for (level = 3; level; level--)
		table = guest_va(&n->g, table[(VA(i) >> (12 + 9 * level)) & 511] &
				 0xffffffffff000ull);
	return &table[(VA(i) >> 12) & 511];
}

/* What a code of the hardware is in generic terms */
static const struct {
	u8 code;
	u32 reason;
	u32 stage;
} meanings[] = {
	{ 0x10, VFIO_DMA_FAULT_REASON_TRANSLATION, 1 },
	{ 0x51, VFIO_DMA_FAULT_REASON_NO_PASID, 0 },
	{ 0x59, VFIO_DMA_FAULT_REASON_NO_PASID, 0 },
	{ 0x5c, VFIO_DMA_FAULT_REASON_PERMISSION, 0 },
	{ 0x5d, VFIO_DMA_FAULT_REASON_PERMISSION, 0 },
	{ 0x70, VFIO_DMA_FAULT_REASON_WALK, 1 },
	{ 0x71, VFIO_DMA_FAULT_REASON_TRANSLATION, 1 },
	{ 0x72, VFIO_DMA_FAULT_REASON_BAD_PTE, 1 },
	{ 0x73, VFIO_DMA_FAULT_REASON_WALK, 1 },
	{ 0x74, VFIO_DMA_FAULT_REASON_OOR, 2 },
	{ 0x75, VFIO_DMA_FAULT_REASON_TRANSLATION, 2 },
	{ 0x76, VFIO_DMA_FAULT_REASON_TRANSLATION, 2 },
	{ 0x79, VFIO_DMA_FAULT_REASON_TRANSLATION, 2 },
	{ 0x80, VFIO_DMA_FAULT_REASON_OOR, 1 },
	{ 0x81, VFIO_DMA_FAULT_REASON_PERMISSION, 1 },
	{ 0x83, VFIO_DMA_FAULT_REASON_OOR, 2 },
	{ 0x84, VFIO_DMA_FAULT_REASON_OOR, 2 },
	{ 0x85, VFIO_DMA_FAULT_REASON_PERMISSION, 0 },
};

static void expect_fault(struct __test_metadata *_metadata,
			 struct fault_ring *r, u32 pasid, u64 addr, u32 perm,
			 u8 code)
{
	struct vfio_dma_fault f;
	unsigned int i = 0;

	while (i < ARRAY_SIZE(meanings) - 1 && meanings[i].code != code)
		i++;
	ASSERT_EQ(1, fault_next(r, &f, WAIT_MS)) {
		TH_LOG("no fault, 0x%x expected", code);
	}
	EXPECT_EQ(VFIO_DMA_FAULT_TYPE_UNRECOVERABLE, f.type);
	EXPECT_EQ(VFIO_DMA_FAULT_F_ADDR | (pasid ? VFIO_DMA_FAULT_F_PASID : 0),
		  f.flags);
	EXPECT_EQ(pasid, f.pasid);
	EXPECT_EQ(addr, f.addr);
	EXPECT_EQ(perm, f.perm);
	EXPECT_EQ(code, f.hw_reason);
	EXPECT_EQ(meanings[i].reason, f.reason);
	EXPECT_EQ(meanings[i].stage, f.stage);
}

static const u32 rd = VFIO_DMA_FAULT_PERM_READ, wr = VFIO_DMA_FAULT_PERM_WRITE;

/* The device asks for @perm there, and hears no for the reason @code */
static void refused(struct __test_metadata *_metadata,
		    FIXTURE_DATA(nesting_fault) *self, u32 pasid, u64 addr,
		    u32 perm, u8 code)
{
	EXPECT_EQ(perm & wr ? PTD_ST_WRITE_FAULT : PTD_ST_READ_FAULT,
		  touch(&self->n.ptd, pasid, addr, perm & wr,
			(perm & VFIO_DMA_FAULT_PERM_EXEC ? PTD_F_EXEC : 0) |
			(perm & VFIO_DMA_FAULT_PERM_PRIV ? PTD_F_PRIV : 0)));
	expect_fault(_metadata, &self->r, pasid, addr, perm, code);
}

/* Not in stage 2, and beyond what stage 2 can be */
#define FAR		(GUEST_GPA + 64 * SZ_1G)
#define TOO_FAR		(1ull << 51)

static void reasons(struct __test_metadata *_metadata,
		    FIXTURE_DATA(nesting_fault) *self, u32 pasid)
{
	struct nest *n = &self->n;
	u64 *pte = leaf(n, &self->s, 0), good = *pte;
	u64 *root = guest_va(&n->g, self->s.t.root);
	const struct {
		u64 value;
		u32 perm;
		u8 code;
	} leaves[] = {
		{ 0, wr, 0x71 },			/* not present */
		{ good | TOO_FAR, rd, 0x84 },
		{ (good & 0xfff) | FAR, rd, 0x79 },
		{ good & ~2ull, wr, 0x85 },		/* read only */
		{ good & ~4ull, rd, 0x81 },		/* not the user's */
	}, tables[] = {
		{ self->s.t.root | 0xe7, rd, 0x72 },	/* a page this large */
		{ TOO_FAR | 0x67, rd, 0x74 },
		{ FAR | 0x67, rd, 0x76 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(leaves); i++) {
		*pte = leaves[i].value;
		refused(_metadata, self, pasid, VA(0), leaves[i].perm,
			leaves[i].code);
	}
	*pte = good;
	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		root[32 + i] = tables[i].value;
		refused(_metadata, self, pasid, (32ull + i) << 39,
			tables[i].perm, tables[i].code);
	}
	/* Not canonical */
	refused(_metadata, self, pasid, 1ull << 60, rd, 0x80);
	EXPECT_EQ(0, fault_pending(&self->r));
}

TEST_F(nesting_fault, reasons_pasid)
{
	if (!is_vtd(&self->n))
		SKIP(return, NOT_VTD);
	reasons(_metadata, self, PASID);
}

TEST_F(nesting_fault, reasons_no_pasid)
{
	struct nest *n = &self->n;

	if (!is_vtd(n))
		SKIP(return, NOT_VTD);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, NEST_RID, &self->s.t));
	reasons(_metadata, self, NEST_RID);
}

/* What the description of a PASID can be */
TEST_F(nesting_fault, reasons_entry)
{
	struct nest *n = &self->n;
	struct s1_table t = self->s.t;

	if (!is_vtd(n))
		SKIP(return, NOT_VTD);
	/* A root that is not in stage 2 */
	t.root = FAR;
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 6, &t));
	refused(_metadata, self, 6, TEST_SRC, rd, 0x75);
	/* Not bound; in a block of the table that is not there; blocked RID */
	refused(_metadata, self, 7, TEST_SRC, rd, 0x59);
	refused(_metadata, self, 0x4000, TEST_SRC, rd, 0x51);
	test_ok(nest_block(&n->c, NEST_ALL_GROUPS, NEST_RID));
	refused(_metadata, self, NEST_RID, TEST_SRC, rd, 0x59);
	/* Stage 2 alone */
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, NEST_RID));
	refused(_metadata, self, NEST_RID, TEST_SRC, rd, 0x79);
	refused(_metadata, self, NEST_RID, TOO_FAR, rd, 0x83);
}

/* What stage 2 can be where it is no memory: registers */
TEST_F(nesting_fault, reasons_stage2)
{
	struct nest *n = &self->n;
	const u64 regs = GUEST_GPA + 32 * SZ_1G;
	struct s1_table t = self->s.t;
	u64 *root;

	if (!is_vtd(n))
		SKIP(return, NOT_VTD);
	/* Hardware reads no table from registers: what is in one, a root */
	test_ok(vfio_map(&n->c, n->d.bar[0], regs, SZ_4K,
			 VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE));
	root = guest_va(&n->g, self->s.t.root);
	root[32] = regs | 0x67;
	refused(_metadata, self, PASID, 32ull << 39, rd, 0x70);
	t.root = regs;
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 6, &t));
	refused(_metadata, self, 6, TEST_SRC, rd, 0x73);
	EXPECT_EQ(0, fault_pending(&self->r));
}

/* Privileged access and execution that the guest did not allow */
TEST_F(nesting_fault, reasons_exec_priv)
{
	struct nest *n = &self->n;

	if (!is_vtd(n))
		SKIP(return, NOT_VTD);
	if (!(n->feat.flags & VFIO_DEVICE_NESTING_PASID_EXEC))
		SKIP(return, "%s cannot ask for execution", n->d.bdf);
	refused(_metadata, self, PASID, TEST_SRC,
		rd | VFIO_DMA_FAULT_PERM_EXEC, 0x5c);
	if (!(n->feat.flags & VFIO_DEVICE_NESTING_PASID_PRIV))
		return;
	refused(_metadata, self, PASID, TEST_SRC,
		rd | VFIO_DMA_FAULT_PERM_PRIV, 0x5d);
}

/* Its number is in the books of the right one, and only there */
TEST_F(nesting_fault, two)
{
	struct nest *n = &self->n;
	struct vfio_device d2;
	struct fault_ring r2;
	struct ptd ptd2;

	if (test_nr < 2)
		SKIP(return, "needs two devices");
	nest_add_device(_metadata, n, &d2, &ptd2, 1);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 6, &self->s.t));
	test_ok(fault_open(&r2, &d2, VFIO_DMA_FAULT_UNRECOVERABLE, 16));
	touch(&n->ptd, PASID, 0x1000, false, 0);
	touch(&ptd2, 6, 0x2000, false, 0);
	touch(&ptd2, PASID, 0x3000, false, 0);
	touch(&n->ptd, 6, 0x4000, false, 0);
	expect_fault(_metadata, &self->r, PASID, 0x1000, rd,
		     not_present(&self->n));
	expect_fault(_metadata, &self->r, 6, 0x4000, rd, not_present(n));
	expect_fault(_metadata, &r2, 6, 0x2000, rd, not_present(n));
	expect_fault(_metadata, &r2, PASID, 0x3000, rd, not_present(n));
	EXPECT_EQ(0, fault_pending(&self->r));
	EXPECT_EQ(0, fault_pending(&r2));
}

static u64 signals(struct fault_ring *r)
{
	u64 count = 0;

	return read(r->eventfd, &count, sizeof(count)) == sizeof(count) ?
		count : 0;
}

/* One wakeup until the consumer has caught up, whatever comes meanwhile */
TEST_F(nesting_fault, eventfd)
{
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;

	EXPECT_EQ(0, signals(r));
	each(_metadata, n, r, PASID, 20);
	EXPECT_EQ(1, signals(r));
	/* Not all read: nobody waits */
	fault_consume(r, 19);
	each(_metadata, n, r, PASID, 4);
	EXPECT_EQ(0, signals(r));
	/* All read: somebody may */
	fault_consume(r, 5);
	each(_metadata, n, r, PASID, 4);
	EXPECT_EQ(1, signals(r));

	/* An eventfd for what is there already */
	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE, 64, -1));
	EXPECT_EQ(0, signals(r));
	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE, 64, r->eventfd));
	EXPECT_EQ(1, signals(r));
	fault_consume(r, 4);
	test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE, 64, r->eventfd));
	EXPECT_EQ(0, signals(r));
}

/* An index that is not in the ring harms who wrote it */
TEST_F(nesting_fault, bad_index)
{
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	static const u32 bad[] = { 1, 65, 1u << 31, -65u };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		r->user->consumer = r->index + bad[i];
		burst(n, 0, PASID, 1);
		ASSERT_TRUE(wait_until(r->header->lost != i));
		EXPECT_EQ(i + 1, r->header->lost);
		EXPECT_EQ(0, fault_pending(r));
	}
	r->user->consumer = r->index;
	burst(n, 0, PASID, 1);
	expect_fault(_metadata, r, PASID, 0x1000, rd, not_present(&self->n));
}

/* read() and pwrite() do what a mapping does */
TEST_F(nesting_fault, unmapped)
{
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	struct vfio_dma_fault_header h;
	struct vfio_dma_fault f;
	u32 index = 1;

	burst(n, 0, PASID, 1);
	ASSERT_TRUE(wait_until(fault_pending(r)));
	ASSERT_EQ(sizeof(h), pread(n->d.fd, &h, sizeof(h), r->offset));
	EXPECT_EQ(sizeof(f), h.entry_size);
	EXPECT_EQ(64, h.depth);
	EXPECT_EQ(1, h.producer);
	ASSERT_EQ(sizeof(f), pread(n->d.fd, &f, sizeof(f),
				   r->offset + h.ring_offset));
	EXPECT_EQ(1, f.seq);
	EXPECT_EQ(0x1000, f.addr);
	ASSERT_EQ(4, pwrite(n->d.fd, &index, 4, r->offset + h.user_offset));
	EXPECT_EQ(1, r->user->consumer);

	/* Only this, and only so */
	EXPECT_EQ(-1, pwrite(n->d.fd, &index, 4, r->offset));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(n->d.fd, &index, 2, r->offset + h.user_offset));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(n->d.fd, &index, 4,
			     r->offset + h.user_offset + 4));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(n->d.fd, &f, sizeof(f),
			     r->offset + h.ring_offset));
	EXPECT_EQ(EINVAL, errno);
	/* Behind the memory there is nothing */
	EXPECT_EQ(0, pread(n->d.fd, &f, sizeof(f),
			   r->offset + h.ring_offset + 64 * sizeof(f)));
}

/* A ring that does not fill its page: the rest is zeroes, and nobody else's */
TEST_F(nesting_fault, part_of_a_page)
{
	static const u32 depths[] = { 16, 32 };
	const size_t page = sysconf(_SC_PAGESIZE);
	u8 *mem = malloc(2 * page), *zeroes = calloc(1, page);
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	u32 i;

	ASSERT_NE(NULL, mem);
	ASSERT_NE(NULL, zeroes);
	for (i = 0; i < ARRAY_SIZE(depths); i++) {
		const size_t used = depths[i] * sizeof(struct vfio_dma_fault);
		const u64 ring = r->offset + r->header->ring_offset;

		test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE,
				  depths[i], r->eventfd));
		r->depth = depths[i];
		EXPECT_EQ(PTD_ST_READ_FAULT,
			  touch(&n->ptd, PASID, 0x1000, false, 0));
		expect_fault(_metadata, r, PASID, 0x1000, rd, not_present(n));
		/* All of it as it is mapped, and no more */
		memset(mem, 0x5a, 2 * page);
		ASSERT_EQ(page, pread(n->d.fd, mem, 2 * page, ring));
		EXPECT_NE(0, memcmp(mem, zeroes, used));
		EXPECT_EQ(0, memcmp(mem + used, zeroes, page - used));
		EXPECT_EQ(0, memcmp(mem, r->entries, page));
		EXPECT_EQ(0x5a, mem[page]);
		/* From the middle of the rest */
		ASSERT_EQ(8, pread(n->d.fd, mem, 16, ring + page - 8));
	}
	free(zeroes);
	free(mem);
}

static int try_map(struct fault_ring *r, u64 offset, size_t len, int prot)
{
	void *p = mmap(NULL, len, prot, MAP_SHARED, r->dev->fd,
		       r->offset + offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, len);
	return 0;
}

TEST_F(nesting_fault, mappings)
{
	struct fault_ring *r = &self->r;
	const u64 user = r->header->user_offset, ring = r->header->ring_offset;
	const size_t page = sysconf(_SC_PAGESIZE);
	const int rw = PROT_READ | PROT_WRITE;
	const u64 size = ring + 65536 * sizeof(struct vfio_dma_fault);

	test_err(EPERM, try_map(r, 0, page, rw));
	test_err(EPERM, try_map(r, ring, page, rw));
	test_err(EPERM, try_map(r, 0, 2 * page, rw));
	test_err(EPERM, try_map(r, user, 2 * page, rw));
	test_ok(try_map(r, user, page, rw));
	test_ok(try_map(r, 0, size, PROT_READ));
	test_err(EINVAL, try_map(r, 0, size + page, PROT_READ));
	test_err(EINVAL, try_map(r, size, page, PROT_READ));
	/* Nor later */
	EXPECT_EQ(-1, mprotect((void *)r->header, page, rw));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect((void *)r->entries, page, rw));
	EXPECT_EQ(EACCES, errno);
}

TEST_F(nesting_fault, arguments)
{
	struct vfio_device *d = &self->n.d;
	const u32 on = VFIO_DMA_FAULT_UNRECOVERABLE;
	struct vfio_device_feature_dma_fault set = {
		.flags = on, .depth = 64, .eventfd = -1, .__reserved = 1,
	};
	int fd;

	test_err(EINVAL, fault_set(d, 0, 64, -1));
	test_err(EINVAL, fault_set(d, 4, 64, -1));
	test_err(EINVAL, fault_set(d, on | 1u << 31, 64, -1));
	test_err(EINVAL, fault_set(d, on, 8, -1));
	test_err(EINVAL, fault_set(d, on, 65, -1));
	test_err(EINVAL, fault_set(d, on, 131072, -1));
	test_err(EINVAL, fault_set(d, on, 1u << 31, -1));
	test_err(EINVAL, fault_set(d, on, 0, -1));
	test_err(EINVAL, fault_set(d, 0, 0, 0));
	test_err(EINVAL, fault_set(d, on, 64, -2));
	test_err(EBADF, fault_set(d, on, 64, 9999));
	fd = open("/dev/null", O_RDWR);
	test_err(EINVAL, fault_set(d, on, 64, fd));
	close(fd);
	test_err(EINVAL, vfio_device_feature_set(d, VFIO_DEVICE_FEATURE_DMA_FAULT,
						 &set, sizeof(set)));
	test_err(EINVAL, vfio_device_feature_set(d, VFIO_DEVICE_FEATURE_DMA_FAULT,
						 &set, sizeof(set) - 4));
	test_err(EINVAL, vfio_device_feature_get(d, VFIO_DEVICE_FEATURE_DMA_FAULT,
						 &set, sizeof(set)));
	test_err(EINVAL, vfio_device_feature_get(d,
						 VFIO_DEVICE_FEATURE_DMA_FAULT_DRAIN,
						 NULL, 0));

	/* None of it changed anything */
	burst(&self->n, 0, PASID, 1);
	expect_fault(_metadata, &self->r, PASID, 0x1000, rd,
		     not_present(&self->n));
}

/* Another depth: when all is read, and the numbers go on */
TEST_F(nesting_fault, resize)
{
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	const u32 on = VFIO_DMA_FAULT_UNRECOVERABLE;
	struct vfio_dma_fault f;
	u32 i;

	for (i = 0; i < 20; i++) {
		burst(n, 0, PASID, 1);
		ASSERT_EQ(1, fault_next(r, &f, WAIT_MS));
		burst(n, 0, PASID, 1);
		ASSERT_LT(0, fault_wait(r, WAIT_MS));
		test_err(EBUSY, fault_set(&n->d, on, i & 1 ? 64 : 16, -1));
		test_ok(fault_set(&n->d, on, r->depth, r->eventfd));
		ASSERT_EQ(1, fault_next(r, &f, WAIT_MS));
		EXPECT_EQ(2 * i + 2, f.seq);
		test_ok(fault_set(&n->d, on, i & 1 ? 64 : 16, r->eventfd));
		r->depth = i & 1 ? 64 : 16;
		EXPECT_EQ(r->depth, r->header->depth);
		EXPECT_EQ(r->index, r->user->consumer);
	}
}

/* Off: no memory any more; on again: as if it were new */
TEST_F(nesting_fault, off_and_on)
{
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	struct vfio_dma_fault_header h;
	int i;

	for (i = 0; i < 20; i++) {
		test_ok(fault_set(&n->d, 0, 0, -1));
		test_ok(fault_set(&n->d, 0, 0, -1));
		EXPECT_EQ(-1, pread(n->d.fd, &h, sizeof(h), r->offset));
		EXPECT_EQ(ENODATA, errno);
		/* Nobody hears it, not even who comes at once */
		burst(n, 0, PASID, 4);
		test_ok(fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE, 64,
				  r->eventfd));
		r->index = 0;
		EXPECT_EQ(0, fault_pending(r));
		burst(n, 0, PASID, 1);
		expect_fault(_metadata, r, PASID, 0x1000, rd,
			     not_present(&self->n));
	}
	test_ok(fault_set(&n->d, 0, 0, -1));
}

/* Processor @cpu for the fault event of all IOMMUs; false: there is no way */
static bool steer_events(int cpu)
{
	char line[512], path[64], end, *name;
	unsigned int nr;
	FILE *f = fopen("/proc/interrupts", "r"), *g;
	bool done = false;

	while (f && fgets(line, sizeof(line), f)) {
		name = strrchr(line, ' ');
		if (!name || ((sscanf(name, " dmar%u%c", &nr, &end) != 2 ||
			       end != '\n') &&
			      strcmp(name, " arm-smmu-v3-evtq\n")))
			continue;
		snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity_list",
			 atoi(line));
		g = fopen(path, "w");
		if (!g)
			continue;
		fprintf(g, "%d", cpu);
		done |= !fclose(g);
	}
	if (f)
		fclose(f);
	return done;
}

/*
 * What is recorded when faults are switched on, and not reported yet, is not
 * for who switches them on: the interrupt's thread is kept from the processor
 * meanwhile.
 */
TEST_F(nesting_fault, earlier)
{
	struct sched_param param = { .sched_priority = 99 };
	const u32 on = VFIO_DMA_FAULT_UNRECOVERABLE;
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	cpu_set_t cpus;
	int i, ret;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	if (!steer_events(0))
		SKIP(return, "the fault event cannot be steered");
	/* The thread follows its interrupt with the next one */
	each(_metadata, n, r, PASID, 1);
	test_ok(fault_drain(&n->d));

	for (i = 0; i < 5; i++) {
		test_ok(fault_set(&n->d, 0, 0, -1));
		if (sched_setscheduler(0, SCHED_FIFO, &param))
			SKIP(return, "no real-time scheduling");
		dma_start(&n->ptd, 0, PASID, 0x1000, 8, false, PTD_F_NO_ATS);
		while (!ptd_read32(&n->ptd, PTD_QUEUE(0) + PTD_Q_CPL_COUNT))
			;
		ret = fault_set(&n->d, on, 64, r->eventfd);
		param.sched_priority = 0;
		ASSERT_EQ(0, sched_setscheduler(0, SCHED_OTHER, &param));
		param.sched_priority = 99;
		test_ok(ret);
		r->index = 0;
		dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);
		test_ok(fault_drain(&n->d));
		EXPECT_EQ(0, fault_pending(r));
		EXPECT_EQ(0, r->header->lost);
	}
}

TEST_F_SIGNAL(nesting_fault, off_mapped, SIGBUS)
{
	/* A skipped test has no mapping to fault on */
	if (!self->n.have_mon)
		raise(SIGBUS);
	test_ok(fault_set(&self->n.d, 0, 0, -1));
	fault_pending(&self->r);
}

/* Closed, killed and reset while faults come, from both processors */
TEST_F(nesting_fault, killed)
{
	struct nest *n = &self->n;
	pid_t pid;
	int i;

	nest_close(n);
	fault_close(&self->r);
	/* The second process of each round has the device open as well */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	for (i = 0; i < 4; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			setpgid(0, 0);
			memset(n, 0, sizeof(*n));
			nest_setup_mon(_metadata, n, 0);
			test_ok(fault_open(&self->r, &n->d,
					   VFIO_DMA_FAULT_UNRECOVERABLE, 16));
			if (!fork()) {
				for (;;)
					burst(n, 1, 7, 8);
			}
			for (;;) {
				if (i & 1)
					vfio_device_reset(&n->d);
				if (i & 2)
					fault_set(&n->d, 0, 0, -1);
				fault_set(&n->d, VFIO_DMA_FAULT_UNRECOVERABLE,
					  16, self->r.eventfd);
				burst(n, 0, 7, 8);
			}
		}
		setpgid(pid, pid);
		usleep(400000);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
		kill(-pid, SIGKILL);
		while (waitpid(-pid, NULL, 0) > 0)
			;
	}
}

/* Raise faults until the last one says that they are muted; its flags */
static u32 mute(struct __test_metadata *_metadata, struct nest *n,
		struct fault_ring *r, u32 pasid)
{
	u64 end = vfio_now_ms() + WAIT_MS;
	struct vfio_dma_fault f = {};

	/* At once, for they have a second */
	while (!(f.flags & VFIO_DMA_FAULT_F_MUTED) && vfio_now_ms() < end) {
		burst(n, 0, pasid, FEW);
		test_ok(fault_drain(&n->d));
		while (!(f.flags & VFIO_DMA_FAULT_F_MUTED) &&
		       fault_next(r, &f, 0) == 1)
			EXPECT_EQ(pasid, f.pasid);
	}
	/* What was recorded before it was */
	fault_consume(r, fault_pending(r));
	return f.flags;
}

/* A device that raises too many: the last one says so, the others are spared */
TEST_F(nesting_fault, muted)
{
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	struct books a, b;

	if (!set_limit(FEW))
		SKIP(return, NOT_MUTED);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 6, &self->s.t));
	EXPECT_NE(0, mute(_metadata, n, r, PASID) & VFIO_DMA_FAULT_F_MUTED);
	books_read(n, &a);
	burst(n, 0, PASID, 20);
	test_ok(fault_drain(&n->d));
	books_read(n, &b);
	EXPECT_EQ(a.recorded, b.recorded);
	EXPECT_EQ(0, fault_pending(r));

	/* Another PASID, and this one when it is bound again */
	test_ok(!set_limit(1000));
	refused(_metadata, self, 6, 0x1000, rd, not_present(&self->n));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	refused(_metadata, self, PASID, 0x1000, rd, not_present(&self->n));
}

/* In a full ring, which is when it happens, and where the kind is not wanted */
TEST_F(nesting_fault, muted_untold)
{
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	u64 before, end;

	if (!set_limit(FEW))
		SKIP(return, NOT_MUTED);
	before = r->header->muted;
	end = vfio_now_ms() + WAIT_MS;
	while (r->header->muted == before && vfio_now_ms() < end) {
		burst(n, 0, PASID, FEW);
		test_ok(fault_drain(&n->d));
	}
	EXPECT_EQ(before + 1, r->header->muted);
	test_ok(!set_limit(FAULT_NO_LIMIT));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
}

/* What the device asks of @pasid is recorded, and how often */
static u64 recorded(struct nest *n, u32 pasid)
{
	struct books a, b;

	books_read(n, &a);
	burst(n, 0, pasid, 4);
	if (fault_drain(&n->d))
		return ~0ull;
	books_read(n, &b);
	return b.recorded - a.recorded;
}

/* Blocks of the table for a test, and how often mute_all() may try with them */
#define BLOCKS		32
#define MUTE_TRIES	(BLOCKS / MUTES - 1)

/*
 * PASIDs, each in a block of its own, until the device is muted.  Returns the
 * first one that was not tried, or 0 if the test is skipped.
 */
static u32 mute_all(struct __test_metadata *_metadata, struct nest *n,
		    struct fault_ring *r, u32 pasid)
{
	struct vfio_dma_fault f = {};
	u64 took = ~0ull;
	int i, try;

	/* With the first fault of each */
	test_ok(!set_limit(1));
	for (try = 0; try < MUTE_TRIES; try++) {
		/* The kernel's second begins with the next one */
		usleep(1100000);
		took = vfio_now_ms();
		for (i = 0; i < MUTES; i++)
			dma_start(&n->ptd, 0, pasid + 64 * i, 0x1000, 8, false,
				  PTD_F_NO_ATS);
		for (i = 0; i < MUTES; i++)
			dma_ended(_metadata, &n->ptd, 0, PTD_ST_READ_FAULT);
		test_ok(fault_drain(&n->d));
		took = vfio_now_ms() - took;
		for (i = 0; i < MUTES; i++, pasid += 64) {
			ASSERT_EQ(1, fault_next(r, &f, 0));
			EXPECT_EQ(pasid, f.pasid);
			EXPECT_NE(0, f.flags & VFIO_DMA_FAULT_F_MUTED);
		}
		/* Half of it, for the kernel's is one of ticks */
		if ((f.flags & VFIO_DMA_FAULT_F_MUTED_ALL) || took < 500)
			break;
	}
	if (try == MUTE_TRIES)
		test_skip(return 0, "%d faults take %llu ms here", MUTES,
			  took);
	EXPECT_EQ(VFIO_DMA_FAULT_F_PASID | VFIO_DMA_FAULT_F_ADDR |
		  VFIO_DMA_FAULT_F_MUTED | VFIO_DMA_FAULT_F_MUTED_ALL, f.flags);
	return pasid;
}

/*
 * The first PASID of BLOCKS of the table that are not there: what a test has
 * bound stays until the device is unbound from its driver
 */
static u32 missing_blocks(struct nest *n)
{
	return nest_last_pasid(n) + 1 - (1 + getpid() % 256) * BLOCKS * 64;
}

/* PASIDs without a block of the table: it is muted as a whole */
TEST_F(nesting_fault, muted_block)
{
	const u32 base = missing_blocks(&self->n);
	const u32 neighbour = base + 63, other = base + 64;
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;

	if (!set_limit(FEW))
		SKIP(return, NOT_MUTED);
	EXPECT_EQ(VFIO_DMA_FAULT_F_PASID | VFIO_DMA_FAULT_F_ADDR |
		  VFIO_DMA_FAULT_F_MUTED, mute(_metadata, n, r, base));
	EXPECT_EQ(0, recorded(n, base));
	EXPECT_EQ(0, recorded(n, neighbour));
	EXPECT_EQ(0, fault_pending(r));

	/* Another one is heard; this one when one of it is bound */
	test_ok(!set_limit(1000));
	EXPECT_EQ(4, recorded(n, other));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, neighbour, &self->s.t));
	EXPECT_EQ(4, recorded(n, base));
	dma_copies(_metadata, n, &n->ptd, neighbour, &self->s);
	EXPECT_EQ(8, fault_pending(r));
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, neighbour));
}

/* Who takes the faults next has no part in what was muted */
TEST_F(nesting_fault, muted_before)
{
	const u32 first = missing_blocks(&self->n);
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;

	if (!set_limit(FEW))
		SKIP(return, NOT_MUTED);
	/* A block; an entry of one that is there; the device */
	mute(_metadata, n, r, first);
	mute(_metadata, n, r, 7);
	if (!mute_all(_metadata, n, r, first + 64))
		return;
	EXPECT_EQ(0, recorded(n, PASID));

	fault_close(r);
	test_ok(fault_set(&n->d, 0, 0, -1));
	test_ok(!set_limit(1000));
	test_ok(fault_open(r, &n->d, VFIO_DMA_FAULT_UNRECOVERABLE, 64));
	EXPECT_EQ(4, recorded(n, PASID));
	EXPECT_EQ(4, recorded(n, first));
	EXPECT_EQ(4, recorded(n, 7));
	EXPECT_EQ(12, fault_pending(r));
}

/* A device that takes one PASID after the other is muted as a whole */
TEST_F(nesting_fault, muted_device)
{
	const u32 first = missing_blocks(&self->n);
	struct nest *n = &self->n;
	struct fault_ring *r = &self->r;
	u32 next;

	if (!set_limit(FEW))
		SKIP(return, NOT_MUTED);
	next = mute_all(_metadata, n, r, first);
	if (!next)
		return;
	EXPECT_EQ(0, recorded(n, PASID));
	EXPECT_EQ(0, recorded(n, next));
	EXPECT_EQ(0, recorded(n, NEST_RID));
	dma_copies(_metadata, n, &n->ptd, PASID, &self->s);

	/* Heard again when anything is bound, anew or over what was there */
	test_ok(!set_limit(1000));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, PASID, &self->s.t));
	EXPECT_EQ(4, recorded(n, PASID));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, 6, &self->s.t));
	EXPECT_EQ(4, recorded(n, 7));
}

VFIO_TEST_MAIN
