// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_BIND_TARGET_PASID_TABLE: a guest's context descriptors on SMMUv3
 *
 * The device's data and the commands that the SMMU executed tell what works;
 * chapters are those of the Arm SMMU architecture, IHI 0070F.
 */
#include <pthread.h>
#include <sched.h>

#include "smmu_test.h"

#define NR_SPACES	3

FIXTURE(table)
{
	struct nest n;
	struct cd_table ct;
	struct space s[NR_SPACES];
	u32 ssid[NR_SPACES];
	struct vfio_nesting_smmuv3_ste ste;
};

FIXTURE_VARIANT(table)
{
	unsigned int fmt;
	unsigned int cdmax;
	u32 ssid[NR_SPACES];		/* the first is no PASID */
};

FIXTURE_VARIANT_ADD(table, linear)
{
	.fmt = CD_LINEAR, .cdmax = 4, .ssid = { 0, 1, 15 },
};

FIXTURE_VARIANT_ADD(table, leaves_4k)
{
	.fmt = CD_4K, .cdmax = 10, .ssid = { 0, 63, 1000 },
};

FIXTURE_VARIANT_ADD(table, leaves_64k)
{
	.fmt = CD_64K, .cdmax = 20, .ssid = { 0, 1024, 0xfffff },
};

FIXTURE_SETUP(table)
{
	struct nest *n = &self->n;
	int i;

	smmu_open(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	test_ok(cd_table_init(&self->ct, &n->g, variant->fmt, variant->cdmax));
	for (i = 0; i < NR_SPACES; i++) {
		space_init(_metadata, n, &self->s[i], 0xa1 + i);
		self->ssid[i] = variant->ssid[i];
		test_ok(cd_set(&self->ct, self->ssid[i], &self->s[i].t,
			       100 + i));
	}
	cd_ste(&self->ct, &self->ste);
}

FIXTURE_TEARDOWN(table)
{
}

static void bind_it(struct __test_metadata *_metadata,
		    FIXTURE_DATA(table) *self)
{
	test_ok(nest_bind_table(&self->n.c, NEST_ALL_GROUPS, &self->ste));
}

/* Another thread, until it is told to stop */
struct loop {
	struct nest *n;
	volatile bool stop;
	volatile u64 rounds;
	volatile int ret;
};

static void all_copy(struct __test_metadata *_metadata,
		     FIXTURE_DATA(table) *self)
{
	int i;

	for (i = 0; i < NR_SPACES; i++)
		dma_copies(_metadata, &self->n, &self->n.ptd, self->ssid[i],
			   &self->s[i]);
}

TEST_F(table, info)
{
	struct vfio_nesting_smmuv3_hw_info hw = {};
	struct vfio_device_feature_nesting feat = {
		.hw_info_len = sizeof(hw),
		.hw_info_uptr = (uintptr_t)&hw,
	};
	const struct vfio_nesting_format *f = &self->n.info.cap.formats[0];

	EXPECT_EQ(VFIO_NESTING_FEATURE_BIND_PASID_TABLE |
		  VFIO_NESTING_FEATURE_CACHE_INVALIDATE,
		  f->features & (VFIO_NESTING_FEATURE_BIND_PASID_TABLE |
				 VFIO_NESTING_FEATURE_BIND_GUEST_PASID |
				 VFIO_NESTING_FEATURE_CACHE_INVALIDATE));
	test_ok(vfio_device_feature_get(&self->n.d,
					VFIO_DEVICE_FEATURE_NESTING, &feat,
					sizeof(feat)));
	EXPECT_EQ(VFIO_NESTING_FORMAT_SMMUV3, feat.format);
	EXPECT_EQ(sizeof(hw), feat.hw_info_len);
	EXPECT_EQ(20, feat.pasid_bits);
	EXPECT_EQ(3, hw.idr[0] & 3);		/* both stages */
	EXPECT_EQ(20, hw.idr[1] >> 6 & 31);	/* SSIDSIZE */
}

TEST_F(table, translates)
{
	struct nest *n = &self->n;

	dma_refused(_metadata, &n->ptd, self->ssid[1]);
	dma_stage2(_metadata, n, &n->ptd, &self->s[0], true);

	bind_it(_metadata, self);
	all_copy(_metadata, self);
	dma_refused(_metadata, &n->ptd, 2);
	dma_stage2(_metadata, n, &n->ptd, &self->s[0], false);
	nest_read_info(_metadata, n);
	EXPECT_EQ(1, n->info.cap.nr_bindings);
}

TEST_F(table, unbind_block)
{
	struct nest *n = &self->n;

	test_err(ENOENT, nest_table_op(&n->c, NEST_ALL_GROUPS,
				       VFIO_BIND_OP_UNBIND));
	bind_it(_metadata, self);
	all_copy(_metadata, self);
	test_ok(nest_table_op(&n->c, NEST_ALL_GROUPS, VFIO_BIND_OP_UNBIND));
	dma_refused(_metadata, &n->ptd, self->ssid[1]);
	dma_stage2(_metadata, n, &n->ptd, &self->s[0], true);

	bind_it(_metadata, self);
	all_copy(_metadata, self);
	test_ok(nest_table_op(&n->c, NEST_ALL_GROUPS, VFIO_BIND_OP_BLOCK));
	dma_refused(_metadata, &n->ptd, self->ssid[1]);
	dma_stage2(_metadata, n, &n->ptd, &self->s[0], false);
	bind_it(_metadata, self);
	all_copy(_metadata, self);
}

/* Another table with the same PASIDs and ASIDs: nothing of the old is used */
TEST_F(table, replace)
{
	struct cd_table other;
	struct space s;
	int i;

	bind_it(_metadata, self);
	all_copy(_metadata, self);
	test_ok(cd_table_init(&other, &self->n.g, variant->fmt,
			      variant->cdmax));
	space_init(_metadata, &self->n, &s, 0x77);
	test_ok(cd_set(&other, self->ssid[1], &s.t, 101));
	for (i = 0; i < 3; i++) {
		cd_ste(&other, &self->ste);
		bind_it(_metadata, self);
		dma_copies(_metadata, &self->n, &self->n.ptd, self->ssid[1],
			   &s);
		dma_refused(_metadata, &self->n.ptd, self->ssid[2]);
		cd_ste(&self->ct, &self->ste);
		bind_it(_metadata, self);
		all_copy(_metadata, self);
	}
}

TEST_F(table, s1dss)
{
	struct nest *n = &self->n;

	self->ct.s1dss = CD_DSS_STAGE2;
	cd_ste(&self->ct, &self->ste);
	bind_it(_metadata, self);
	dma_copies(_metadata, n, &n->ptd, self->ssid[1], &self->s[1]);
	dma_stage2(_metadata, n, &n->ptd, &self->s[0], true);

	self->ct.s1dss = CD_DSS_END;
	cd_ste(&self->ct, &self->ste);
	bind_it(_metadata, self);
	dma_copies(_metadata, n, &n->ptd, self->ssid[1], &self->s[1]);
	dma_refused(_metadata, &n->ptd, NEST_RID);
	dma_stage2(_metadata, n, &n->ptd, &self->s[0], false);
}

/* An entry that says abort or bypass, or is not valid */
TEST_F(table, other_entries)
{
	struct nest *n = &self->n;

	self->ste.ste[0] = htole64(1 | 4 << 1);
	bind_it(_metadata, self);
	dma_stage2(_metadata, n, &n->ptd, &self->s[0], true);
	self->ste.ste[0] = htole64(1);
	bind_it(_metadata, self);
	dma_stage2(_metadata, n, &n->ptd, &self->s[0], false);
	self->ste.ste[0] = htole64(4 << 1);
	bind_it(_metadata, self);
	dma_stage2(_metadata, n, &n->ptd, &self->s[0], false);
}

/* All commands but those that are there whenever somebody waits */
static u64 all_executed(struct nest *n)
{
	u64 sum = 0;
	unsigned int op;

	for (op = 0; op < 256; op++)
		sum += op == CMD_SYNC ? 0 : executed(n, op);
	return sum;
}

/* 5.2: each bit that is not the guest's */
TEST_F(table, bad_entries)
{
	const u64 mine[2] = {
		MASK(5, 0) | MASK(51, 6) | MASK(63, 59),
		MASK(7, 0) | MASK(29, 27),
	};
	struct vfio_nesting_smmuv3_ste bad;
	struct nest *n = &self->n;
	u64 before;
	int i, bit;

	bind_it(_metadata, self);
	before = all_executed(n);
	for (i = 0; i < 2; i++) {
		for (bit = 0; bit < 64; bit++) {
			if (mine[i] >> bit & 1)
				continue;
			bad = self->ste;
			bad.ste[i] |= htole64(1ull << bit);
			test_err(EINVAL, nest_bind_table(&n->c,
							 NEST_ALL_GROUPS,
							 &bad));
		}
	}
	for (i = 0; i < 5; i++) {
		static const u64 bits[5][2] = {
			{ 2 << 1 },		/* stage 2, which is not there */
			{ 3 << 4 },		/* S1Fmt */
			{ 31ull << 59 },	/* S1CDMax */
			{ 1ull << 51 },		/* S1ContextPtr */
			{ 0, 2ull << 28 },	/* EATS: split stage */
		};

		bad = self->ste;
		bad.ste[0] |= htole64(bits[i][0]);
		bad.ste[1] |= htole64(bits[i][1]);
		test_err(EINVAL, nest_bind_table(&n->c, NEST_ALL_GROUPS,
						 &bad));
	}
	bad = self->ste;
	bad.ste[1] |= htole64(3);
	test_err(EINVAL, nest_bind_table(&n->c, NEST_ALL_GROUPS, &bad));
	/* what was bound is still bound, and was not touched */
	EXPECT_EQ(before, all_executed(n));
	all_copy(_metadata, self);
}

/* Stale until the guest's own command, which reaches its VMID alone */
TEST_F(table, commands)
{
	const u64 drop[][2] = {
		{ TLBI_NH_VA | ASID(101), TEST_DST },
		{ TLBI_NH_VA | ASID(101) | VMID(0x7777), TEST_DST | 1 },
		{ TLBI_NH_VAA, TEST_DST },
		/* 4.4.1.1: 4 pages of 4 KiB, last level; 2 of any level */
		{ TLBI_NH_VA | ASID(101) | NUM(3), TEST_DST | TG_4K | TTL(3) },
		{ TLBI_NH_VAA | NUM(1), TEST_DST | TG_4K },
		{ TLBI_NH_ASID | ASID(101) },
		{ TLBI_NH_ALL | VMID(1) },
		{ TLBI_NSNH_ALL },
	};
	struct nest *n = &self->n;
	u64 everybody = executed(n, TLBI_NSNH_ALL);
	struct ptd_record r;
	unsigned int i;

	bind_it(_metadata, self);
	for (i = 0; i < ARRAY_SIZE(drop); i++) {
		u64 op = drop[i][0] & 0xff;
		u64 really = op == TLBI_NSNH_ALL ? TLBI_NH_ALL : op;
		u64 before;

		dma_copies(_metadata, n, &n->ptd, self->ssid[1], &self->s[1]);
		test_ok(s1_unmap(&self->s[1].t, TEST_DST));
		dma_copies(_metadata, n, &n->ptd, self->ssid[1], &self->s[1]);
		before = executed(n, really);
		test_ok(command(n, drop[i][0], drop[i][1]));
		EXPECT_EQ(before + 1, executed(n, really));
		EXPECT_EQ(0, imon_count(&n->mon, IOMMU_MON_EV_SMMU(really),
					0x7777, IMON_SEL_ANY));
		ASSERT_EQ(PTD_ST_WRITE_FAULT,
			  ptd_copy(&n->ptd, self->ssid[1], TEST_DST, TEST_SRC,
				   TEST_LEN, &r));
		EXPECT_EQ(TEST_DST, r.fault_addr);
		test_ok(s1_map(&self->s[1].t, TEST_DST, self->s[1].dst, SZ_4K,
			       SZ_4K, S1_RW));
	}
	EXPECT_EQ(everybody, executed(n, TLBI_NSNH_ALL));
}

/* Whatever memory type the guest chooses, the host's caches are not missed */
TEST_F(table, write_back)
{
	struct nest *n = &self->n;
	/* Interrupts of other devices are writes to device memory */
	u64 before = imon_count(&n->mon, IOMMU_MON_EV_NOT_WB, n->sid,
				IMON_SEL_ANY);
	int i;

	for (i = 0; i < NR_SPACES; i++)
		cd_at(&self->ct, self->ssid[i])[3] = 0;	/* MAIR: device */
	bind_it(_metadata, self);
	all_copy(_metadata, self);
	EXPECT_EQ(before, imon_count(&n->mon, IOMMU_MON_EV_NOT_WB, n->sid,
				     IMON_SEL_ANY));
}

TEST_F(table, descriptors)
{
	struct nest *n = &self->n;
	u64 *cd = cd_at(&self->ct, self->ssid[1]), good = cd[0];
	int how;

	bind_it(_metadata, self);
	for (how = 0; how < 3; how++) {
		dma_copies(_metadata, n, &n->ptd, self->ssid[1], &self->s[1]);
		cd[0] = 0;
		dma_copies(_metadata, n, &n->ptd, self->ssid[1], &self->s[1]);
		/* of another one; the StreamID is whatever the guest calls it */
		test_ok(command(n, CFGI_CD | SSID(self->ssid[2]) | SID(5), 1));
		dma_copies(_metadata, n, &n->ptd, self->ssid[1], &self->s[1]);
		if (how == 2)	/* 4.3.1: by CFGI_STE, of an entry as it was */
			bind_it(_metadata, self);
		else
			test_ok(command(n, how ? CFGI_CD_ALL | SID(5) :
					CFGI_CD | SSID(self->ssid[1]) | SID(5),
					0));
		dma_refused(_metadata, &n->ptd, self->ssid[1]);
		cd[0] = good;
		test_ok(command(n, CFGI_CD_ALL, 0));
	}
	EXPECT_EQ(0, imon_count(&n->mon, IOMMU_MON_EV_SMMU(CFGI_CD), 5,
				IMON_SEL_ANY));
	dma_copies(_metadata, n, &n->ptd, self->ssid[2], &self->s[2]);
}

static const struct {
	u64 op;
	u64 bits[2];
} accepted[] = {
	{ TLBI_NSNH_ALL },
	{ TLBI_NH_ALL, { MASK(47, 32) } },
	{ TLBI_NH_ASID, { MASK(63, 32) } },
	{ TLBI_NH_VA, { MASK(63, 32) | MASK(16, 12) | MASK(24, 20),
			MASK(63, 8) | 1 } },
	{ TLBI_NH_VAA, { MASK(47, 32) | MASK(16, 12) | MASK(24, 20),
			 MASK(63, 8) | 1 } },
	{ CFGI_CD, { MASK(63, 12), 1 } },
	{ CFGI_CD_ALL, { MASK(63, 32) } },
	{ ATC_INV, { MASK(63, 11) | 1 << 9, MASK(63, 12) | MASK(5, 0) } },
};

/* Chapter 4: each reserved bit of each command; the hardware sees nothing */
TEST_F(table, bad_commands)
{
	struct nest *n = &self->n;
	unsigned int i, op, bit;
	u64 before;

	bind_it(_metadata, self);
	all_copy(_metadata, self);
	before = all_executed(n);
	for (i = 0; i < ARRAY_SIZE(accepted); i++) {
		for (bit = 8; bit < 64; bit++)
			if (!(accepted[i].bits[0] >> bit & 1))
				test_err(EINVAL, command(n, accepted[i].op |
							 1ull << bit, 0));
		for (bit = 0; bit < 64; bit++)
			if (!(accepted[i].bits[1] >> bit & 1))
				test_err(EINVAL, command(n, accepted[i].op,
							 1ull << bit));
	}
	for (op = 0; op < 256; op++) {
		for (i = 0; i < ARRAY_SIZE(accepted); i++)
			if (accepted[i].op == op)
				break;
		if (i == ARRAY_SIZE(accepted))
			test_err(EOPNOTSUPP, command(n, op, 0));
	}
	/* 4.4.1.1: a range without granule, an unknown granule, no level */
	test_err(EINVAL, command(n, TLBI_NH_VA | 1 << 12, 0));
	test_err(EINVAL, command(n, TLBI_NH_VA, 1 << 8));
	test_err(EINVAL, command(n, TLBI_NH_VA, 2 << 10));
	test_err(EINVAL, command(n, TLBI_NH_VA, 1 << 10));
	test_err(EINVAL, command(n, ATC_INV, 53));
	EXPECT_EQ(before, all_executed(n));
	all_copy(_metadata, self);
}

/* Many at once; a bad one ends it, and what came before is done */
TEST_F(table, many_commands)
{
	static struct vfio_nesting_smmuv3_cmd cmds[1000];
	struct nest *n = &self->n;
	u64 before = executed(n, TLBI_NH_ASID), waits;
	unsigned int i;
	u32 done;

	bind_it(_metadata, self);
	for (i = 0; i < ARRAY_SIZE(cmds); i++)
		cmds[i].cmd[0] = htole64(TLBI_NH_ASID | ASID(i));
	waits = executed(n, CMD_SYNC);
	test_ok(nest_commands(&self->n.c, cmds, 1000, &done));
	EXPECT_EQ(1000, done);
	EXPECT_EQ(before + 1000, executed(n, TLBI_NH_ASID));
	/* Two that fill half of the queue each; others may wait as well */
	waits = executed(n, CMD_SYNC) - waits;
	EXPECT_LE(2, waits);
	EXPECT_GE(8, waits);
	cmds[700].cmd[1] = 1;
	test_err(EINVAL, nest_commands(&self->n.c, cmds, 1000, &done));
	EXPECT_EQ(700, done);
	EXPECT_EQ(before + 1700, executed(n, TLBI_NH_ASID));
}

/* What the host takes away is gone under the guest's tables as well */
TEST_F(table, stage2_unmap)
{
	struct nest *n = &self->n;

	bind_it(_metadata, self);
	all_copy(_metadata, self);
	test_ok(vfio_unmap(&n->c, n->g.gpa, n->g.size, NULL));
	dma_refused(_metadata, &n->ptd, self->ssid[1]);
	dma_refused(_metadata, &n->ptd, NEST_RID);
}

/* 3.9.1: EATS is the guest's; the device TLB has its addresses */
TEST_F(table, ats)
{
	struct nest *n = &self->n;
	u64 sent, asked;
	const u64 one = ATC_INV | SSV | SSID(self->ssid[1]);
	const u64 drop[][2] = {
		{ one, TEST_SRC }, { one, ATC_ALL },
		/* 10.3.8 of PCIe 6.0: without PASID it is for all of them */
		{ ATC_INV, TEST_SRC }, { ATC_INV, ATC_ALL },
	};
	unsigned int i;

	/* Nothing is sent to a device that has none */
	bind_it(_metadata, self);
	sent = executed(n, ATC_INV);
	test_ok(command(n, ATC_INV, ATC_ALL));
	EXPECT_EQ(sent, executed(n, ATC_INV));

	self->ste.ste[1] |= htole64(1 << 28);
	bind_it(_metadata, self);
	all_copy(_metadata, self);
	asked = ptd_read64(&n->ptd, PTD_CNT_ATS_REQ);
	EXPECT_NE(0, asked);
	all_copy(_metadata, self);
	EXPECT_EQ(asked, ptd_read64(&n->ptd, PTD_CNT_ATS_REQ));
	for (i = 0; i < ARRAY_SIZE(drop); i++) {
		dma_copies(_metadata, n, &n->ptd, self->ssid[1], &self->s[1]);
		test_ok(s1_unmap(&self->s[1].t, TEST_SRC));
		test_ok(command(n, TLBI_NH_ALL, 0));
		dma_copies(_metadata, n, &n->ptd, self->ssid[1], &self->s[1]);
		test_ok(command(n, ATC_INV | SSV | SSID(self->ssid[2]),
				ATC_ALL));
		test_ok(command(n, one, TEST_SRC + SZ_4K));
		dma_copies(_metadata, n, &n->ptd, self->ssid[1], &self->s[1]);
		test_ok(command(n, drop[i][0], drop[i][1]));
		dma_refused(_metadata, &n->ptd, self->ssid[1]);
		test_ok(s1_map(&self->s[1].t, TEST_SRC, self->s[1].src, SZ_4K,
			       SZ_4K, S1_READ | S1_USER));
	}

	/* What the host takes away is gone in the device as well */
	all_copy(_metadata, self);
	test_ok(vfio_unmap(&n->c, n->g.gpa, n->g.size, NULL));
	for (i = 0; i < NR_SPACES; i++)
		dma_refused(_metadata, &n->ptd, self->ssid[i]);
}

struct ats_loop {
	struct loop l;
	const struct vfio_nesting_smmuv3_ste *ste[2];
};

/* The device's TLB comes and goes */
static void *bind_all_the_time(void *arg)
{
	struct ats_loop *ats = arg;
	struct loop *loop = &ats->l;

	while (!loop->stop && !loop->ret) {
		loop->ret = nest_bind_table(&loop->n->c, NEST_ALL_GROUPS,
					    ats->ste[loop->rounds % 2]);
		loop->rounds++;
	}
	return NULL;
}

#define TEST_LENT	(TEST_DST + SZ_1G)

/*
 * What the host takes away is gone in the device, also if its TLB was turned
 * on at that moment
 */
TEST_F(table, ats_unmap)
{
	struct nest *n = &self->n;
	struct vfio_nesting_smmuv3_ste with = self->ste;
	struct ats_loop ats = {
		.l.n = n, .ste = { &self->ste, &with },
	};
	u64 gpa = n->g.gpa + n->g.size, asked, end = vfio_now_ms() + WAIT_MS;
	u32 ssid = self->ssid[1];
	bool used = false;
	pthread_t thread;
	void *page;
	int i;

	with.ste[1] |= htole64(1 << 28);
	page = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	test_ok(s1_map(&self->s[1].t, TEST_LENT, gpa, SZ_4K, SZ_4K, S1_RW));
	bind_it(_metadata, self);
	asked = ptd_read64(&n->ptd, PTD_CNT_ATS_REQ);
	ASSERT_EQ(0, pthread_create(&thread, NULL, bind_all_the_time, &ats));
	/* Until both have done something */
	for (i = 0; i < 100 || ((!used || ats.l.rounds <= 10) && !ats.l.ret &&
				vfio_now_ms() < end); i++) {
		EXPECT_EQ(PTD_ST_OK, lend_page(_metadata, n, ssid, page, gpa,
					       TEST_LENT, i));
		used = asked != ptd_read64(&n->ptd, PTD_CNT_ATS_REQ);
	}
	ats.l.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	test_ok(ats.l.ret);
	EXPECT_LT(10, ats.l.rounds);
	EXPECT_TRUE(used);
}

static void *invalidate_all_the_time(void *arg)
{
	static const struct vfio_nesting_smmuv3_cmd cmds[] = {
		{ { TLBI_NH_ALL } }, { { ATC_INV, ATC_ALL } },
		{ { CFGI_CD_ALL } }, { { ATC_INV | SSV | SSID(1), ATC_ALL } },
	};
	struct loop *loop = arg;

	while (!loop->stop && !loop->ret) {
		loop->ret = nest_commands(&loop->n->c, cmds, ARRAY_SIZE(cmds),
					  NULL);
		loop->rounds++;
	}
	return NULL;
}

/* A device in reset has no TLB, and is not asked to drop what is in it */
TEST_F(table, reset)
{
	struct nest *n = &self->n;
	struct loop loop = { .n = n };
	pthread_t thread;
	u64 rounds, off, end = vfio_now_ms() + WAIT_MS;
	int i = 0;

	self->ste.ste[1] |= htole64(1 << 28);
	bind_it(_metadata, self);
	all_copy(_metadata, self);
	off = imon_count(&n->mon, IOMMU_MON_EV_ATS_OFF, n->sid, IMON_SEL_ANY);
	ASSERT_EQ(0, pthread_create(&thread, NULL, invalidate_all_the_time,
				    &loop));
	/* It goes on meanwhile, but for resets that are too short for that */
	while (i < 5 && !loop.ret && vfio_now_ms() < end) {
		rounds = loop.rounds;
		test_ok(vfio_device_reset(&n->d));
		i += rounds < loop.rounds;
	}
	EXPECT_EQ(5, i);
	loop.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	test_ok(loop.ret);
	EXPECT_EQ(off, imon_count(&n->mon, IOMMU_MON_EV_ATS_OFF, n->sid,
				  IMON_SEL_ANY));

	/* And has one again */
	test_ok(ptd_init(&n->ptd, &n->d));
	all_copy(_metadata, self);
	EXPECT_NE(0, ptd_read64(&n->ptd, PTD_CNT_ATS_REQ));
	test_ok(s1_unmap(&self->s[1].t, TEST_SRC));
	test_ok(command(n, TLBI_NH_ALL, 0));
	dma_copies(_metadata, n, &n->ptd, self->ssid[1], &self->s[1]);
	test_ok(command(n, ATC_INV, ATC_ALL));
	dma_refused(_metadata, &n->ptd, self->ssid[1]);
}

/* A command without answer, which may be another's: it is tried again */
TEST_F(table, no_answer)
{
	struct nest *n = &self->n;
	u64 before;
	cpu_set_t cpus;
	int i;

	/* Not where the interrupt is, which would wait for who waits for it */
	CPU_ZERO(&cpus);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	self->ste.ste[1] |= htole64(1 << 28);
	bind_it(_metadata, self);
	all_copy(_metadata, self);
	before = imon_total(&n->mon, IOMMU_MON_EV_ITE);
	for (i = 0; i < 3; i++) {
		imon_write32(&n->mon, IMON_INV_TIMEOUT,
			     n->sid | IMON_INV_TIMEOUT_ARMED);
		/* Not by what does not ask it */
		test_ok(command(n, TLBI_NH_ALL, 0));
		test_ok(command(n, ATC_INV, ATC_ALL));
		EXPECT_EQ(before + i + 1,
			  imon_total(&n->mon, IOMMU_MON_EV_ITE));
	}
	all_copy(_metadata, self);
}

/* One PASID cannot be bound here */
TEST_F(table, target)
{
	struct vfio_iommu_type1_bind bind = {
		.argsz = sizeof(bind),
		.op = VFIO_BIND_OP_BIND,
		.target = VFIO_BIND_TARGET_GUEST_PASID,
		.pasid = 1,
		.format = VFIO_NESTING_FORMAT_SMMUV3,
		.data_len = sizeof(self->ste),
		.data_uptr = (uintptr_t)&self->ste,
	};

	test_err(EOPNOTSUPP, vfio_ioctl(self->n.c.fd, VFIO_IOMMU_BIND, &bind));
	bind.target = VFIO_BIND_TARGET_PASID_TABLE;
	test_err(EINVAL, vfio_ioctl(self->n.c.fd, VFIO_IOMMU_BIND, &bind));
	bind.pasid = 0;
	bind.format = VFIO_NESTING_FORMAT_VTD_S1;
	test_err(EOPNOTSUPP, vfio_ioctl(self->n.c.fd, VFIO_IOMMU_BIND, &bind));
	bind.format = VFIO_NESTING_FORMAT_SMMUV3;
	bind.data_len--;
	test_err(EINVAL, vfio_ioctl(self->n.c.fd, VFIO_IOMMU_BIND, &bind));
}

/*
 * Two guests, the same PASIDs, ASIDs and addresses: whatever one of them does,
 * nothing of the other one is dropped
 */
FIXTURE(two)
{
	struct nest n[2];
	struct cd_table ct[2];
	struct space s[2];
	struct vfio_nesting_smmuv3_ste ste[2];
	u32 vmid[2];
};

#define PASID	5

/* Whose number a command of @n gets */
static u32 find_vmid(struct __test_metadata *_metadata, struct nest *n)
{
	u64 before[64];
	u32 i, found = 0, hits = 0;

	for (i = 0; i < ARRAY_SIZE(before); i++)
		before[i] = imon_count(&n->mon, IOMMU_MON_EV_SMMU(TLBI_NH_ALL),
				       i, IMON_SEL_ANY);
	test_ok(command(n, TLBI_NH_ALL, 0));
	for (i = 0; i < ARRAY_SIZE(before); i++) {
		if (imon_count(&n->mon, IOMMU_MON_EV_SMMU(TLBI_NH_ALL), i,
			       IMON_SEL_ANY) == before[i])
			continue;
		found = i;
		hits++;
	}
	EXPECT_EQ(1, hits);
	return found;
}

FIXTURE_SETUP(two)
{
	struct nest *n;
	int i;

	for (i = 0; i < 2; i++) {
		n = &self->n[i];
		smmu_open(_metadata, n, i);
		if (_metadata->exit_code)
			return;
		test_ok(cd_table_init(&self->ct[i], &n->g, CD_LINEAR, 4));
		space_init(_metadata, n, &self->s[i], 0xa1 + i);
		test_ok(cd_set(&self->ct[i], PASID, &self->s[i].t, 7));
		cd_ste(&self->ct[i], &self->ste[i]);
		test_ok(nest_bind_table(&n->c, NEST_ALL_GROUPS, &self->ste[i]));
		self->vmid[i] = find_vmid(_metadata, n);
	}
	EXPECT_NE(self->vmid[0], self->vmid[1]);
}

FIXTURE_TEARDOWN(two)
{
}

/* Commands that were executed for the second one, or for everybody */
static u64 harm(FIXTURE_DATA(two) *self)
{
	static const u64 ops[] = {
		TLBI_NH_ALL, TLBI_NH_ASID, TLBI_NH_VA, TLBI_NH_VAA,
		TLBI_S12_VMALL, TLBI_S2_IPA,
	};
	static const u64 streams[] = { CFGI_STE, CFGI_CD, CFGI_CD_ALL, ATC_INV };
	const struct imon *mon = &self->n[1].mon;
	u64 sum = executed(&self->n[1], TLBI_NSNH_ALL);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		sum += imon_count(mon, IOMMU_MON_EV_SMMU(ops[i]),
				  self->vmid[1], IMON_SEL_ANY);
	for (i = 0; i < ARRAY_SIZE(streams); i++)
		sum += imon_count(mon, IOMMU_MON_EV_SMMU(streams[i]),
				  self->n[1].sid, IMON_SEL_ANY);
	return sum;
}

TEST_F(two, unharmed)
{
	const u64 forms[][2] = {
		{ TLBI_NSNH_ALL }, { TLBI_NH_ALL }, { TLBI_NH_ASID | ASID(7) },
		{ TLBI_NH_VA | ASID(7), TEST_DST },
		{ TLBI_NH_VA | ASID(7), TEST_DST | 1 },
		{ TLBI_NH_VA | ASID(7) | NUM(31), TEST_DST | TG_4K },
		{ TLBI_NH_VA | ASID(7) | NUM(31), TEST_DST | TG_4K | TTL(3) },
		{ TLBI_NH_VAA, TEST_DST }, { TLBI_NH_VAA, TEST_DST | 1 },
		{ TLBI_NH_VAA | NUM(31) | SCALE(8), TEST_DST | TG_4K },
	};
	const u64 stream_forms[][2] = {
		{ CFGI_CD | SSID(PASID) }, { CFGI_CD | SSID(PASID), 1 },
		{ CFGI_CD_ALL },
		{ ATC_INV | SSV | SSID(PASID), ATC_ALL }, { ATC_INV, ATC_ALL },
	};
	struct nest *a = &self->n[0], *b = &self->n[1];
	u64 *cd = cd_at(&self->ct[1], PASID), before;
	const u32 vmids[] = { 0, self->vmid[0], self->vmid[1], 0xffff };
	unsigned int i, j;

	dma_copies(_metadata, a, &a->ptd, PASID, &self->s[0]);
	dma_copies(_metadata, b, &b->ptd, PASID, &self->s[1]);
	/* From here on what b uses is nowhere but in caches */
	test_ok(s1_unmap(&self->s[1].t, TEST_SRC));
	test_ok(s1_unmap(&self->s[1].t, TEST_DST));
	cd[0] = 0;
	before = harm(self);
	for (i = 0; i < ARRAY_SIZE(forms); i++)
		for (j = 0; j < ARRAY_SIZE(vmids); j++)
			test_ok(command(a, forms[i][0] |
					((forms[i][0] & 0xff) == TLBI_NSNH_ALL ?
					 0 : VMID(vmids[j])), forms[i][1]));
	for (i = 0; i < ARRAY_SIZE(stream_forms); i++)
		test_ok(command(a, stream_forms[i][0] | SID(b->sid),
				stream_forms[i][1]));
	EXPECT_EQ(before, harm(self));
	dma_copies(_metadata, b, &b->ptd, PASID, &self->s[1]);

	/* Nor by another table, a smaller stage 2, or the end of it all */
	test_ok(nest_bind_table(&a->c, NEST_ALL_GROUPS, &self->ste[0]));
	dma_copies(_metadata, a, &a->ptd, PASID, &self->s[0]);
	test_ok(nest_table_op(&a->c, NEST_ALL_GROUPS, VFIO_BIND_OP_BLOCK));
	test_ok(nest_table_op(&a->c, NEST_ALL_GROUPS, VFIO_BIND_OP_UNBIND));
	test_ok(vfio_unmap(&a->c, a->g.gpa, a->g.size, NULL));
	vfio_device_close(&a->d);
	vfio_container_close(&a->c);
	EXPECT_EQ(before, harm(self));
	dma_copies(_metadata, b, &b->ptd, PASID, &self->s[1]);

	/* Its own does it */
	test_ok(command(b, TLBI_NH_VA | ASID(7), TEST_SRC));
	dma_refused(_metadata, &b->ptd, PASID);
	EXPECT_EQ(before + 1, harm(self));
}

VFIO_TEST_MAIN
