// SPDX-License-Identifier: GPL-2.0-only
/*
 * A group joins and leaves a container while other threads use the other
 * group, and the one that comes and goes.  What is bound to the group that
 * stays does not change, and what was bound to the other is gone when it is
 * back.
 */
#include <pthread.h>

#include "nest_test.h"

/* Bound to the first device all along */
#define KEPT	1
/* Bound to the second one, by whoever attached it */
#define OWN	2
/* Bound and unbound, to all groups and to the one that comes and goes */
#define ALL	3
#define ONE	4
/* From here on PASIDs are allocated on the host */
#define FREE	0x100

#define ROUNDS		40
/* In each of so many rounds the device is opened: this resets it */
#define DEVICE_ROUNDS	8

struct race {
	struct nest *n;
	struct space s;
	int group_fd;		/* of the second group, if it is one now */
	bool stop;
};

struct worker {
	const char *name;
	/* What is no errno that may be: ends the thread */
	int (*call)(struct worker *w);
	bool group;		/* it may meet the second group or not */
	struct race *race;
	pthread_t thread;
	volatile int calls;
	volatile int there;
	volatile int gone;
	volatile int ret;
};

/* The second group is there, or its descriptor is of no group, or of none */
static int seen(struct worker *w, int ret)
{
	switch (ret) {
	case 0:
		w->there++;
		return 0;
	case -ENOENT:
	case -EBADF:
	case -EINVAL:
		w->gone++;
		return 0;
	}
	return ret;
}

static int group_fd(const struct worker *w)
{
	return __atomic_load_n(&w->race->group_fd, __ATOMIC_RELAXED);
}

static int bind_all(struct worker *w)
{
	const struct vfio_container *c = &w->race->n->c;
	const struct s1_table *t = &w->race->s.t;

	return nest_bind(c, NEST_ALL_GROUPS, ALL, t) ?:
	       nest_bind(c, NEST_ALL_GROUPS, ALL, t) ?:
	       nest_unbind(c, NEST_ALL_GROUPS, ALL);
}

static int bind_one(struct worker *w)
{
	const struct vfio_container *c = &w->race->n->c;
	const struct s1_table *t = &w->race->s.t;

	return seen(w, nest_bind(c, group_fd(w), ONE, t)) ?:
	       seen(w, nest_bind(c, group_fd(w), NEST_RID, t)) ?:
	       seen(w, nest_unbind(c, group_fd(w), ONE)) ?:
	       seen(w, nest_block(c, group_fd(w), NEST_RID)) ?:
	       seen(w, nest_unbind(c, group_fd(w), NEST_RID));
}

static int inval_all(struct worker *w)
{
	return nest_inval_range(&w->race->n->c, NEST_ALL_GROUPS, KEPT,
				&w->race->s.t, TEST_SRC, 2);
}

static int inval_one(struct worker *w)
{
	struct nest *n = w->race->n;
	union s1_inv_entry e;

	n->ops->inv_entry(&w->race->s.t, &e, TEST_SRC, 2);
	return seen(w, nest_inval(&n->c, group_fd(w),
				  VFIO_INVALIDATE_TARGET_ALL, 0, n->ops, &e, 1,
				  NULL));
}

static int info(struct worker *w)
{
	union nest_info info;
	int ret = nest_info(&w->race->n->c, &info);

	/* Two PASIDs are bound to the group that stays, or their table */
	if (!ret && (!info.cap.nr_formats || info.cap.nr_bindings <
		     (w->race->n->ops->whole ? 1 : 2)))
		return -EPROTO;
	return ret;
}

static int pasids(struct worker *w)
{
	const struct vfio_container *c = &w->race->n->c;
	int pasid = nest_pasid_alloc(c, FREE, nest_last_pasid(w->race->n));

	return pasid < 0 ? pasid : nest_pasid_free(c, pasid, pasid);
}

static const struct worker all_workers[] = {
	{ .name = "bind", .call = bind_all },
	{ .name = "bind one group", .call = bind_one, .group = true },
	{ .name = "invalidate", .call = inval_all },
	{ .name = "invalidate one group", .call = inval_one, .group = true },
	{ .name = "info", .call = info },
	{ .name = "PASIDs", .call = pasids },
};

#define NR_WORKERS	ARRAY_SIZE(all_workers)

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!w->ret && !__atomic_load_n(&w->race->stop, __ATOMIC_RELAXED)) {
		w->ret = w->call(w);
		w->calls++;
	}
	return NULL;
}

FIXTURE(nesting_race)
{
	struct nest n;
	struct race race;
	struct worker w[NR_WORKERS];
};

/* How the group leaves */
FIXTURE_VARIANT(nesting_race)
{
	bool unset;
};

FIXTURE_VARIANT_ADD(nesting_race, unset_container)
{
	.unset = true,
};

FIXTURE_VARIANT_ADD(nesting_race, close)
{
};

FIXTURE_SETUP(nesting_race)
{
	if (test_nr < 2)
		SKIP(return, "needs two devices");
	nest_setup_ptd(_metadata, &self->n, 0);
}

FIXTURE_TEARDOWN(nesting_race)
{
}

/* Another thread's ioctl may hold the file that was closed a moment longer */
static int attach(struct nest *n)
{
	int fd;

	wait_until((fd = vfio_container_attach(&n->c, VFIO_TYPE1_NESTING_IOMMU,
					       test_bdf[1])) != -EBUSY);
	return fd;
}

/* The second device: nothing is bound, until it is */
static void use_device(struct __test_metadata *_metadata, struct nest *n,
		       int fd, struct space *s)
{
	struct vfio_device d;
	struct ptd ptd;

	test_ok(vfio_device_get(&d, fd, test_bdf[1]));
	test_ok(ptd_init(&ptd, &d));
	dma_refused(_metadata, &ptd, OWN);
	test_ok(nest_bind(&n->c, fd, OWN, &s->t));
	dma_copies(_metadata, n, &ptd, OWN, s);
	vfio_device_close(&d);
}

/* Whoever goes on has done as much as there should be in the end */
static bool all_busy(const struct worker *w)
{
	const struct worker *end = w + NR_WORKERS;

	for (; w < end; w++) {
		if (w->ret)
			continue;
		if (w->calls <= ROUNDS / 2 ||
		    (w->group && (!w->there || !w->gone)))
			return false;
	}
	return true;
}

TEST_F(nesting_race, second_group)
{
	u64 end = vfio_now_ms() + WAIT_MS;
	struct nest *n = &self->n;
	struct race *race = &self->race;
	struct worker *w;
	int i, fd;

	race->n = n;
	race->group_fd = n->c.fd;
	space_init(_metadata, n, &race->s, 0xa1);
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, KEPT, &race->s.t));
	test_ok(nest_bind(&n->c, NEST_ALL_GROUPS, NEST_RID, &race->s.t));
	memcpy(self->w, all_workers, sizeof(self->w));
	for (w = self->w; w < self->w + NR_WORKERS; w++) {
		w->race = race;
		if (w->call == pasids && !n->info.cap.pasid_quota)
			w->ret = -EOPNOTSUPP;
		ASSERT_EQ(0, pthread_create(&w->thread, NULL, work, w));
	}

	for (i = 0; i < ROUNDS || (!all_busy(self->w) && vfio_now_ms() < end);
	     i++) {
		fd = attach(n);
		ASSERT_LE(0, fd) {
			TH_LOG("round %d: %s", i, vfio_why());
		}
		__atomic_store_n(&race->group_fd, fd, __ATOMIC_RELAXED);
		if (i % (ROUNDS / DEVICE_ROUNDS) == 0)
			use_device(_metadata, n, fd, &race->s);
		else
			usleep(1000 * (i % 8));
		if (variant->unset)
			test_ok(vfio_group_unset_container(fd));
		vfio_container_detach(&n->c, fd);
		usleep(500 * (i % 4));
	}

	__atomic_store_n(&race->stop, true, __ATOMIC_RELAXED);
	for (w = self->w; w < self->w + NR_WORKERS; w++) {
		pthread_join(w->thread, NULL);
		if (w->call == pasids && !n->info.cap.pasid_quota)
			continue;
		EXPECT_EQ(0, w->ret) {
			TH_LOG("%s: call %d", w->name, w->calls);
		}
		EXPECT_LT(ROUNDS / 2, w->calls) {
			TH_LOG("%s", w->name);
		}
		if (!w->group)
			continue;
		EXPECT_LT(0, w->there) {
			TH_LOG("%s never met the group", w->name);
		}
		EXPECT_LT(0, w->gone) {
			TH_LOG("%s never missed the group", w->name);
		}
	}
	bindings_are(_metadata, n, 2, 1);
	EXPECT_EQ(0, n->info.cap.pasid_used);
	dma_copies(_metadata, n, &n->ptd, KEPT, &race->s);
	dma_copies(_metadata, n, &n->ptd, NEST_RID, &race->s);
	dma_refused(_metadata, &n->ptd, ALL);
	dma_refused(_metadata, &n->ptd, ONE);
}

VFIO_TEST_MAIN
