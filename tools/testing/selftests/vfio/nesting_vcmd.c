// SPDX-License-Identifier: GPL-2.0-only
/*
 * PASIDs that the host's own host gives: VT-d's virtual commands
 *
 * Needs an emulated IOMMU that offers them; its monitor tells which PASIDs it
 * gave and got back.
 */
#include <pthread.h>

#include "nest_test.h"

#define MAX_PASID	0xfffffu

FIXTURE(nesting_vcmd)
{
	struct nest n;
	struct imon mon;
	u64 out;
};

/* How many the model gave and has not got back */
static u64 out(struct imon *mon)
{
	return imon_total(mon, IOMMU_MON_EV_VCMD_ALLOC) -
	       imon_total(mon, IOMMU_MON_EV_VCMD_FREE);
}

static u64 gave(struct imon *mon, u32 pasid)
{
	return imon_count(mon, IOMMU_MON_EV_VCMD_ALLOC, IMON_SEL_ANY, pasid) -
	       imon_count(mon, IOMMU_MON_EV_VCMD_FREE, IMON_SEL_ANY, pasid);
}

static u32 used(struct __test_metadata *_metadata, struct nest *n)
{
	nest_read_info(_metadata, n);
	return n->info.cap.pasid_used;
}

FIXTURE_SETUP(nesting_vcmd)
{
	char ecap[32] = "";
	FILE *f = fopen("/sys/class/iommu/dmar0/intel-iommu/ecap", "re");

	if (f) {
		if (!fgets(ecap, sizeof(ecap), f))
			ecap[0] = 0;
		fclose(f);
	}
	if (!(strtoull(ecap, NULL, 16) >> 44 & 1))
		SKIP(return, "the IOMMU has no virtual commands");
	nest_setup_ptd(_metadata, &self->n, 0);
	if (_metadata->exit_code)
		return;
	test_ok(imon_open(&self->mon));
	imon_write32(&self->mon, IMON_VCMD, IMON_VCMD_OK);
	self->out = out(&self->mon);
}

FIXTURE_TEARDOWN(nesting_vcmd)
{
	if (!self->mon.bar)
		return;
	imon_write32(&self->mon, IMON_VCMD, IMON_VCMD_OK);
	/* Whatever happened, the host has all of them again. */
	nest_close(&self->n);
	EXPECT_EQ(self->out, out(&self->mon));
	EXPECT_EQ(0, imon_total(&self->mon, IOMMU_MON_EV_VCMD_BAD_FREE));
	imon_close(&self->mon);
}

TEST_F(nesting_vcmd, alloc_bind_free)
{
	struct nest *n = &self->n;
	struct space s;
	int pasid;

	pasid = nest_pasid_alloc(&n->c, 1, MAX_PASID);
	ASSERT_LT(0, pasid);
	EXPECT_EQ(1, gave(&self->mon, pasid));
	EXPECT_EQ(self->out + 1, out(&self->mon));

	space_init(_metadata, n, &s, 0xa1);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &s.t));
	dma_copies(_metadata, n, &n->ptd, pasid, &s);
	/* Not before the hardware has let go */
	test_ok(nest_pasid_free(&n->c, pasid, pasid));
	EXPECT_EQ(1, gave(&self->mon, pasid));
	dma_copies(_metadata, n, &n->ptd, pasid, &s);
	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
	EXPECT_EQ(0, gave(&self->mon, pasid));
	EXPECT_EQ(0, used(_metadata, n));
}

/* What the host gives may not be in the range: it goes back. */
TEST_F(nesting_vcmd, range)
{
	struct nest *n = &self->n;
	u64 before = imon_total(&self->mon, IOMMU_MON_EV_VCMD_ALLOC);

	test_err(ENOSPC, nest_pasid_alloc(&n->c, 1, 0x100));
	EXPECT_EQ(before + 1, imon_total(&self->mon, IOMMU_MON_EV_VCMD_ALLOC));
	EXPECT_EQ(self->out, out(&self->mon));
	EXPECT_EQ(0, used(_metadata, n));
}

TEST_F(nesting_vcmd, close_frees)
{
	struct nest *n = &self->n;
	int i;

	for (i = 0; i < 20; i++)
		ASSERT_LT(0, nest_pasid_alloc(&n->c, 1, MAX_PASID));
	EXPECT_EQ(self->out + 20, out(&self->mon));
	nest_close(n);
	EXPECT_EQ(self->out, out(&self->mon));
}

TEST_F(nesting_vcmd, errors)
{
	struct nest *n = &self->n;

	imon_write32(&self->mon, IMON_VCMD, IMON_VCMD_FAIL);
	test_err(EIO, nest_pasid_alloc(&n->c, 1, MAX_PASID));
	imon_write32(&self->mon, IMON_VCMD, IMON_VCMD_NO_PASID);
	test_err(ENOSPC, nest_pasid_alloc(&n->c, 1, MAX_PASID));
	EXPECT_EQ(0, used(_metadata, n));
	EXPECT_EQ(0, n->info.cap.pasid_charged);
	imon_write32(&self->mon, IMON_VCMD, IMON_VCMD_OK);
	EXPECT_LT(0, nest_pasid_alloc(&n->c, 1, MAX_PASID));
}

/* A free that the host refuses: here it is free, there it is not */
TEST_F(nesting_vcmd, free_fails)
{
	struct nest *n = &self->n;
	int pasid = nest_pasid_alloc(&n->c, 1, MAX_PASID);

	ASSERT_LT(0, pasid);
	imon_write32(&self->mon, IMON_VCMD, IMON_VCMD_FAIL);
	test_ok(nest_pasid_free(&n->c, pasid, pasid));
	imon_write32(&self->mon, IMON_VCMD, IMON_VCMD_OK);
	EXPECT_EQ(0, used(_metadata, n));
	EXPECT_EQ(0, n->info.cap.pasid_charged);
	EXPECT_EQ(1, gave(&self->mon, pasid));
	EXPECT_NE(pasid, nest_pasid_alloc(&n->c, 1, MAX_PASID));
	/* That one is lost. */
	self->out++;
}

/* The host answers when nobody waits any more: that PASID goes back. */
TEST_F(nesting_vcmd, late)
{
	struct nest *n = &self->n;

	imon_write32(&self->mon, IMON_VCMD, IMON_VCMD_BUSY);
	test_err(ETIMEDOUT, nest_pasid_alloc(&n->c, 1, MAX_PASID));
	test_err(ETIMEDOUT, nest_pasid_alloc(&n->c, 1, MAX_PASID));
	EXPECT_EQ(0, used(_metadata, n));
	imon_write32(&self->mon, IMON_VCMD, IMON_VCMD_OK);
	EXPECT_EQ(self->out + 1, out(&self->mon));
	EXPECT_LT(0, nest_pasid_alloc(&n->c, 1, MAX_PASID));
	EXPECT_EQ(self->out + 1, out(&self->mon));
}

static void *answer(void *arg)
{
	usleep(200 * 1000);
	imon_write32(arg, IMON_VCMD, IMON_VCMD_OK);
	return NULL;
}

static int alloc_slowly(struct __test_metadata *_metadata,
			FIXTURE_DATA(nesting_vcmd) *self)
{
	const struct vfio_container *c = &self->n.c;
	pthread_t thread;
	int pasid, next;

	imon_write32(&self->mon, IMON_VCMD, IMON_VCMD_BUSY);
	ASSERT_EQ(0, pthread_create(&thread, NULL, answer, &self->mon));
	pasid = nest_pasid_alloc(c, 1, MAX_PASID);
	pthread_join(thread, NULL);
	if (pasid == -ETIMEDOUT) {
		/* What came late goes back with the next one. */
		next = nest_pasid_alloc(c, 1, MAX_PASID);
		ASSERT_LT(0, next);
		test_ok(nest_pasid_free(c, next, next));
	}
	return pasid;
}

/*
 * Slow, but in time: who answers needs a processor in less than the kernel's
 * two seconds, and has more than one try
 */
TEST_F(nesting_vcmd, slow)
{
	int pasid;

	wait_until((pasid = alloc_slowly(_metadata, self)) != -ETIMEDOUT);
	ASSERT_LT(0, pasid);
	EXPECT_EQ(1, gave(&self->mon, pasid));
}

/* Where no device has a use for a PASID there is none, and nobody is asked. */
TEST_F(nesting_vcmd, no_pasids)
{
	struct nest other = {};
	u64 asked = imon_total(&self->mon, IOMMU_MON_EV_VCMD_ALLOC);

	nest_setup(_metadata, &other, test_nr - 1);
	if (_metadata->exit_code)
		return;
	if (other.feat.pasid_bits)
		SKIP(return, "%s has PASIDs", other.d.bdf);
	EXPECT_FALSE(other.info.cap.formats[0].features &
		     VFIO_NESTING_FEATURE_PASID_ALLOC);
	test_err(EOPNOTSUPP, nest_pasid_alloc(&other.c, 1, MAX_PASID));
	test_err(EOPNOTSUPP, nest_pasid_free(&other.c, 1, MAX_PASID));
	EXPECT_EQ(asked, imon_total(&self->mon, IOMMU_MON_EV_VCMD_ALLOC));
	nest_close(&other);
}

VFIO_TEST_MAIN
