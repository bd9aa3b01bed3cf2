// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_IOMMU_PASID_REQUEST: numbers that are unique on the host
 */
#include "nest_test.h"

#define MAX_PASID	0xfffffu

FIXTURE(nesting_pasid)
{
	struct nest n;
};

FIXTURE_SETUP(nesting_pasid)
{
	nest_setup(_metadata, &self->n, 0);
	if (_metadata->exit_code)
		return;
	if (!(self->n.info.cap.formats[0].features &
	      VFIO_NESTING_FEATURE_PASID_ALLOC))
		SKIP(return, "no PASID_ALLOC here");
}

FIXTURE_TEARDOWN(nesting_pasid)
{
}

static u32 used(struct __test_metadata *_metadata, struct nest *n)
{
	nest_read_info(_metadata, n);
	return n->info.cap.pasid_used;
}

TEST_F(nesting_pasid, range)
{
	const struct vfio_container *c = &self->n.c;
	int pasid;

	/* Exactly one number, then none is left there */
	EXPECT_EQ(0x500, nest_pasid_alloc(c, 0x500, 0x500));
	test_err(ENOSPC, nest_pasid_alloc(c, 0x500, 0x500));
	EXPECT_EQ(0x501, nest_pasid_alloc(c, 0x500, 0x501));
	test_err(ENOSPC, nest_pasid_alloc(c, 0x500, 0x501));
	EXPECT_EQ(2, used(_metadata, &self->n));

	pasid = nest_pasid_alloc(c, 1, MAX_PASID);
	EXPECT_LT(0, pasid);
	EXPECT_GE(MAX_PASID, pasid);
	EXPECT_EQ(MAX_PASID, nest_pasid_alloc(c, MAX_PASID, MAX_PASID));
	EXPECT_EQ(4, used(_metadata, &self->n));

	test_ok(nest_pasid_free(c, 0x500, 0x500));
	EXPECT_EQ(3, used(_metadata, &self->n));
	EXPECT_EQ(0x500, nest_pasid_alloc(c, 0x500, 0x501));

	/* All of them, whatever lies between */
	test_ok(nest_pasid_free(c, 1, MAX_PASID));
	EXPECT_EQ(0, used(_metadata, &self->n));
	EXPECT_EQ(0x501, nest_pasid_alloc(c, 0x501, 0x501));
}

/* None to free is no error, as often as you like */
TEST_F(nesting_pasid, free_nothing)
{
	const struct vfio_container *c = &self->n.c;

	test_ok(nest_pasid_free(c, 1, 1));
	test_ok(nest_pasid_free(c, 1, MAX_PASID));
	EXPECT_EQ(7, nest_pasid_alloc(c, 7, 7));
	test_ok(nest_pasid_free(c, 7, 7));
	test_ok(nest_pasid_free(c, 7, 7));
	EXPECT_EQ(0, used(_metadata, &self->n));
}

TEST_F_TIMEOUT(nesting_pasid, quota, 120)
{
	const struct vfio_container *c = &self->n.c;
	u32 quota = self->n.info.cap.pasid_quota, i;
	int round;

	ASSERT_NE(0, quota);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < quota; i++)
			ASSERT_LT(0, nest_pasid_alloc(c, 1, MAX_PASID));
		EXPECT_EQ(quota, used(_metadata, &self->n));
		test_err(EDQUOT, nest_pasid_alloc(c, 1, MAX_PASID));
		/* One back, one more */
		test_ok(nest_pasid_free(c, 1, MAX_PASID));
		EXPECT_EQ(0, used(_metadata, &self->n));
	}
}

/*
 * Containers, one for each device
 */

FIXTURE(pasid_owners)
{
	struct nest n[2];
};

FIXTURE_SETUP(pasid_owners)
{
	if (test_nr < 2)
		SKIP(return, "needs two devices");
	nest_setup(_metadata, &self->n[0], 0);
	if (!_metadata->exit_code)
		nest_setup(_metadata, &self->n[1], 1);
	if (_metadata->exit_code)
		return;
	if (!(self->n[0].info.cap.formats[0].features &
	      VFIO_NESTING_FEATURE_PASID_ALLOC))
		SKIP(return, "no PASID_ALLOC here");
}

FIXTURE_TEARDOWN(pasid_owners)
{
}

TEST_F(pasid_owners, unique)
{
	const struct vfio_container *a = &self->n[0].c, *b = &self->n[1].c;
	int i, got[64], j;

	for (i = 0; i < 64; i++) {
		got[i] = nest_pasid_alloc(i & 1 ? a : b, 1, MAX_PASID);
		ASSERT_LT(0, got[i]);
		for (j = 0; j < i; j++)
			ASSERT_NE(got[j], got[i]);
	}
}

/* Nobody frees what is another's, and a close frees it */
TEST_F(pasid_owners, owner)
{
	struct vfio_container *a = &self->n[0].c, *b = &self->n[1].c;

	EXPECT_EQ(0x700, nest_pasid_alloc(a, 0x700, 0x700));
	test_err(ENOSPC, nest_pasid_alloc(b, 0x700, 0x700));
	test_ok(nest_pasid_free(b, 0x700, 0x700));
	test_ok(nest_pasid_free(b, 1, MAX_PASID));
	test_err(ENOSPC, nest_pasid_alloc(b, 0x700, 0x700));
	EXPECT_EQ(1, used(_metadata, &self->n[0]));
	EXPECT_EQ(0, used(_metadata, &self->n[1]));

	nest_close(&self->n[0]);
	EXPECT_EQ(0x700, nest_pasid_alloc(b, 0x700, 0x700));
}

/* The number of another container may be bound: tables are per device */
TEST_F(pasid_owners, bind_without_owning)
{
	struct nest *a = &self->n[0], *b = &self->n[1];
	struct s1_table t;

	EXPECT_EQ(0x700, nest_pasid_alloc(&a->c, 0x700, 0x700));
	test_ok(s1_init(&t, b->ops, &b->g));
	test_ok(nest_bind(&b->c, NEST_ALL_GROUPS, 0x700, &t));
	test_ok(nest_unbind(&b->c, NEST_ALL_GROUPS, 0x700));
	EXPECT_EQ(1, used(_metadata, a));
}

/*
 * Freed while bound
 */

FIXTURE(pasid_pending)
{
	struct nest n;
	struct space s;
	int pasid;
};

FIXTURE_SETUP(pasid_pending)
{
	struct nest *n = &self->n;

	nest_setup_ptd(_metadata, n, 0);
	if (_metadata->exit_code)
		return;
	space_init(_metadata, n, &self->s, 0xa1);
	self->pasid = nest_pasid_alloc(&n->c, 1, nest_last_pasid(n));
	ASSERT_LT(0, self->pasid);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, self->pasid, &self->s.t));
	test_ok(nest_pasid_free(&n->c, self->pasid, self->pasid));
}

FIXTURE_TEARDOWN(pasid_pending)
{
}

TEST_F(pasid_pending, last_binding_frees)
{
	struct nest *n = &self->n;
	int pasid = self->pasid;

	/* It works on, but can be neither given to another nor bound again */
	dma_copies(_metadata, n, &n->ptd, pasid, &self->s);
	EXPECT_EQ(1, used(_metadata, n));
	test_err(ENOSPC, nest_pasid_alloc(&n->c, pasid, pasid));
	test_err(EBUSY, nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, pasid, &self->s);
	/* A second free changes nothing */
	test_ok(nest_pasid_free(&n->c, pasid, pasid));
	EXPECT_EQ(1, used(_metadata, n));

	test_ok(nest_unbind(&n->c, NEST_ALL_GROUPS, pasid));
	dma_refused(_metadata, &n->ptd, pasid);
	EXPECT_EQ(0, used(_metadata, n));
	EXPECT_EQ(pasid, nest_pasid_alloc(&n->c, pasid, pasid));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t));
	dma_copies(_metadata, n, &n->ptd, pasid, &self->s);
}

TEST_F(pasid_pending, close_frees)
{
	struct nest *n = &self->n, again = {};

	nest_close(n);
	nest_setup(_metadata, &again, 0);
	EXPECT_EQ(self->pasid, nest_pasid_alloc(&again.c, self->pasid,
						self->pasid));
}

/* Bound on two devices: the second one to go frees it */
TEST_F(pasid_pending, two_groups)
{
	struct nest *n = &self->n;
	struct vfio_device d2;
	struct ptd ptd2;
	int pasid;

	if (test_nr < 2)
		SKIP(return, "needs two devices");
	nest_add_device(_metadata, n, &d2, &ptd2, 1);
	pasid = nest_pasid_alloc(&n->c, 0x300, 0x300);
	ASSERT_EQ(0x300, pasid);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, pasid, &self->s.t));
	test_ok(nest_pasid_free(&n->c, pasid, pasid));
	EXPECT_EQ(2, used(_metadata, n));
	test_ok(nest_unbind(&n->c, n->d.group_fd, pasid));
	EXPECT_EQ(2, used(_metadata, n));
	dma_copies(_metadata, n, &ptd2, pasid, &self->s);
	test_ok(nest_unbind(&n->c, d2.group_fd, pasid));
	EXPECT_EQ(1, used(_metadata, n));
}

VFIO_TEST_MAIN
