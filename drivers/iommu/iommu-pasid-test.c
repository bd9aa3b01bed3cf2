// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the PASID space
 *
 * They use the space of the host, which nobody else does while they run, in
 * numbers from BASE on.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/iommu.h>
#include <linux/iommu-pasid.h>
#include <linux/kthread.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "iommu-pasid-priv.h"

#define BASE	0x40000
#define END	(BASE + 0xffff)

static int alloc_at(struct iommu_pasid_set *set, u32 pasid)
{
	return iommu_pasid_alloc(set, pasid, pasid, NULL);
}

static struct iommu_pasid_set *new_set(struct kunit *test, u32 quota)
{
	struct iommu_pasid_set *set;

	set = iommu_pasid_set_alloc(IOMMU_PASID_SET_KERNEL, 1, quota);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, set);
	return set;
}

static void *find(struct iommu_pasid_set *set, u32 pasid)
{
	void *data;

	rcu_read_lock();
	data = iommu_pasid_find(set, pasid);
	rcu_read_unlock();
	return data;
}

static const void *absent(void)
{
	return ERR_PTR(-ENOENT);
}

static void test_ranges(struct kunit *test)
{
	struct iommu_pasid_set *set = new_set(test, IOMMU_PASID_NO_QUOTA);
	int pasid;

	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, 0, 5, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, 6, 5, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, 1, IOMMU_PASID_LAST + 1,
						NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, U32_MAX, U32_MAX, NULL),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 0);

	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE), BASE);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE), -ENOSPC);
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, BASE, BASE + 1, NULL),
			BASE + 1);
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, BASE, BASE + 1, NULL),
			-ENOSPC);
	KUNIT_EXPECT_EQ(test, alloc_at(set, IOMMU_PASID_LAST),
			IOMMU_PASID_LAST);
	pasid = iommu_pasid_alloc(set, 1, IOMMU_PASID_LAST, NULL);
	KUNIT_EXPECT_GE(test, pasid, 1);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 4);

	iommu_pasid_set_free(set);
	KUNIT_EXPECT_PTR_EQ(test, find(NULL, BASE), (void *)absent());
}

/* What others have neither is found nor freed nor used by a set. */
static void test_owner(struct kunit *test)
{
	struct iommu_pasid_set *a = new_set(test, IOMMU_PASID_NO_QUOTA);
	struct iommu_pasid_set *b = new_set(test, IOMMU_PASID_NO_QUOTA);
	int x, y;

	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(a, BASE, BASE, &x), BASE);
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(NULL, BASE + 1, BASE + 1, &y),
			BASE + 1);
	KUNIT_EXPECT_EQ(test, alloc_at(b, BASE), -ENOSPC);

	KUNIT_EXPECT_PTR_EQ(test, find(a, BASE), (void *)&x);
	KUNIT_EXPECT_PTR_EQ(test, find(b, BASE), (void *)absent());
	KUNIT_EXPECT_PTR_EQ(test, find(NULL, BASE), (void *)absent());
	KUNIT_EXPECT_PTR_EQ(test, find(NULL, BASE + 1), (void *)&y);
	KUNIT_EXPECT_PTR_EQ(test, find(a, BASE + 1), (void *)absent());
	KUNIT_EXPECT_PTR_EQ(test, find(a, U32_MAX), (void *)absent());

	KUNIT_EXPECT_EQ(test, PTR_ERR(iommu_pasid_get(b, BASE)), -ENOENT);
	KUNIT_EXPECT_EQ(test, iommu_pasid_attach_data(b, BASE, &y), -ENOENT);
	iommu_pasid_free(b, BASE);
	iommu_pasid_free(NULL, BASE);
	iommu_pasid_free_range(b, 0, U32_MAX - 1);
	iommu_pasid_free_kernel(BASE);
	KUNIT_EXPECT_PTR_EQ(test, find(a, BASE), (void *)&x);

	/* One that ends takes only its own. */
	KUNIT_EXPECT_EQ(test, alloc_at(b, BASE + 2), BASE + 2);
	iommu_pasid_set_free(b);
	KUNIT_EXPECT_EQ(test, alloc_at(a, BASE + 2), BASE + 2);
	KUNIT_EXPECT_PTR_EQ(test, find(a, BASE), (void *)&x);
	iommu_pasid_set_free(a);
	KUNIT_EXPECT_PTR_EQ(test, find(NULL, BASE + 1), (void *)&y);
	iommu_pasid_free(NULL, BASE + 1);
	KUNIT_EXPECT_PTR_EQ(test, find(NULL, BASE + 1), (void *)absent());
}

/* SVA and user space never hold the same number. */
static void test_kernel(struct kunit *test)
{
	struct iommu_pasid_set *set = new_set(test, IOMMU_PASID_NO_QUOTA);
	int kernel, other;

	kernel = iommu_pasid_alloc_kernel(IOMMU_PASID_LAST);
	KUNIT_ASSERT_GE(test, kernel, 1);
	KUNIT_EXPECT_EQ(test, alloc_at(set, kernel), -ENOSPC);
	other = iommu_pasid_alloc(set, 1, IOMMU_PASID_LAST, NULL);
	KUNIT_EXPECT_NE(test, kernel, other);
	iommu_pasid_free_kernel(kernel);
	KUNIT_EXPECT_EQ(test, alloc_at(set, kernel), kernel);

	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc_kernel(0), -EINVAL);
	iommu_pasid_set_free(set);
}

static void test_data(struct kunit *test)
{
	struct iommu_pasid_set *set = new_set(test, IOMMU_PASID_NO_QUOTA);
	int x, y;

	KUNIT_ASSERT_EQ(test, alloc_at(set, BASE), BASE);
	/* It is there, its data is not yet. */
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE), NULL);
	KUNIT_EXPECT_EQ(test, iommu_pasid_attach_data(set, BASE, &x), 0);
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE), (void *)&x);
	KUNIT_EXPECT_EQ(test, iommu_pasid_attach_data(set, BASE, &y), 0);
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE), (void *)&y);
	KUNIT_EXPECT_EQ(test, iommu_pasid_attach_data(set, BASE, NULL), 0);
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE), NULL);
	KUNIT_EXPECT_EQ(test, iommu_pasid_attach_data(set, BASE + 1, &x),
			-ENOENT);
	/* The next owner does not see what the last had there. */
	KUNIT_EXPECT_EQ(test, iommu_pasid_attach_data(set, BASE, &x), 0);
	iommu_pasid_free(set, BASE);
	KUNIT_ASSERT_EQ(test, alloc_at(set, BASE), BASE);
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE), NULL);
	iommu_pasid_set_free(set);
}

/* Freed while used: the number comes back with the last put, not before. */
static void test_pending(struct kunit *test)
{
	struct iommu_pasid_set *set = new_set(test, IOMMU_PASID_NO_QUOTA);
	struct iommu_pasid *one, *two;
	int x;

	KUNIT_ASSERT_EQ(test, iommu_pasid_alloc(set, BASE, BASE, &x), BASE);
	one = iommu_pasid_get(set, BASE);
	two = iommu_pasid_get(set, BASE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, one);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, two);

	iommu_pasid_free(set, BASE);
	KUNIT_EXPECT_EQ(test, PTR_ERR(iommu_pasid_get(set, BASE)), -EBUSY);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE), -ENOSPC);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 1);
	/* Its users still find what they need. */
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE), (void *)&x);

	/* A second and a third free take no reference of a user. */
	iommu_pasid_free(set, BASE);
	iommu_pasid_free_range(set, 0, IOMMU_PASID_LAST);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE), -ENOSPC);

	iommu_pasid_put(one);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE), -ENOSPC);
	iommu_pasid_put(two);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 0);
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE), (void *)absent());
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE), BASE);

	/* A use that ends before the free changes nothing. */
	iommu_pasid_put(iommu_pasid_get(set, BASE));
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE), NULL);
	iommu_pasid_put(NULL);

	/* The set ends before the last use of what it had. */
	one = iommu_pasid_get(set, BASE);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, one);
	iommu_pasid_set_free(set);
	KUNIT_EXPECT_EQ(test, alloc_at(NULL, BASE), -ENOSPC);
	iommu_pasid_put(one);
	KUNIT_EXPECT_EQ(test, alloc_at(NULL, BASE), BASE);
	iommu_pasid_free(NULL, BASE);
}

static void test_free_range(struct kunit *test)
{
	struct iommu_pasid_set *set = new_set(test, IOMMU_PASID_NO_QUOTA);
	struct iommu_pasid_set *other = new_set(test, IOMMU_PASID_NO_QUOTA);
	int i;

	for (i = 0; i < 64; i++)
		KUNIT_ASSERT_EQ(test, alloc_at(i & 1 ? other : set, BASE + i),
				BASE + i);
	iommu_pasid_free_range(set, BASE + 10, BASE + 18);
	for (i = 0; i < 64; i++)
		KUNIT_EXPECT_EQ(test,
				PTR_ERR(find(i & 1 ? other : set, BASE + i)),
				!(i & 1) && i >= 10 && i <= 18 ? -ENOENT : 0);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 27);
	/* Empty, upside down, beyond; few numbers and many */
	iommu_pasid_free_range(set, BASE + 10, BASE + 18);
	iommu_pasid_free_range(set, BASE + 30, BASE + 20);
	iommu_pasid_free_range(set, IOMMU_PASID_LAST + 1, U32_MAX);
	iommu_pasid_free_range(set, U32_MAX - 3, U32_MAX);
	iommu_pasid_free_range(set, 0, BASE - 1);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 27);
	iommu_pasid_free_range(set, BASE + 62, END);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 26);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE + 62), BASE + 62);
	iommu_pasid_free_range(set, 0, U32_MAX);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 0);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(other), 32);
	iommu_pasid_set_free(set);
	iommu_pasid_set_free(other);
}

struct walk {
	struct iommu_pasid_set *set;
	u32 met[16];
	int calls, stop, ret;
	bool free, alloc;
};

static int walk_fn(u32 pasid, void *data, void *arg)
{
	struct walk *w = arg;
	int i;

	if (data != w || w->calls == ARRAY_SIZE(w->met))
		return -EIO;
	for (i = 0; i < w->calls; i++)
		if (w->met[i] == pasid)
			return -EEXIST;
	w->met[w->calls++] = pasid;
	if (w->free)
		iommu_pasid_free(w->set, pasid);
	if (w->alloc && alloc_at(w->set, BASE + 100 + w->calls) < 0)
		return -ENOSPC;
	return w->calls == w->stop ? w->ret : 0;
}

static void test_for_each(struct kunit *test)
{
	struct iommu_pasid_set *set = new_set(test, IOMMU_PASID_NO_QUOTA);
	struct walk w = { .set = set };
	struct iommu_pasid *used;
	int i;

	KUNIT_EXPECT_EQ(test, iommu_pasid_for_each(set, walk_fn, &w), 0);
	KUNIT_EXPECT_EQ(test, w.calls, 0);

	/* From above and below, others' between them */
	for (i = 0; i < 5; i++) {
		alloc_at(NULL, BASE + 7 * i + 3);
		KUNIT_ASSERT_GT(test, iommu_pasid_alloc(set, BASE + 7 * i,
							BASE + 7 * i, &w), 0);
		KUNIT_ASSERT_GT(test, iommu_pasid_alloc(set, END - i, END - i,
							&w), 0);
	}
	KUNIT_EXPECT_EQ(test, iommu_pasid_for_each(set, walk_fn, &w), 0);
	KUNIT_EXPECT_EQ(test, w.calls, 10);

	/* What it allocates it does not meet. */
	w = (struct walk){ .set = set, .alloc = true };
	KUNIT_EXPECT_EQ(test, iommu_pasid_for_each(set, walk_fn, &w), 0);
	KUNIT_EXPECT_EQ(test, w.calls, 10);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 20);
	iommu_pasid_free_range(set, BASE + 100, BASE + 200);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 10);

	/* An error ends it, and is returned, and leaves no reference. */
	w = (struct walk){ .set = set, .stop = 4, .ret = -EPERM };
	KUNIT_EXPECT_EQ(test, iommu_pasid_for_each(set, walk_fn, &w), -EPERM);
	KUNIT_EXPECT_EQ(test, w.calls, 4);
	iommu_pasid_free(set, END);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 9);

	/* What is pending is not the owner's any more. */
	used = iommu_pasid_get(set, BASE);
	iommu_pasid_free(set, BASE);
	w = (struct walk){ .set = set, .free = true };
	KUNIT_EXPECT_EQ(test, iommu_pasid_for_each(set, walk_fn, &w), 0);
	KUNIT_EXPECT_EQ(test, w.calls, 8);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 1);
	iommu_pasid_put(used);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 0);

	iommu_pasid_set_free(set);
	iommu_pasid_free_range(NULL, BASE, END);
}

static void test_set_quota(struct kunit *test)
{
	struct iommu_pasid_set *set = new_set(test, 2);
	struct iommu_pasid_set *none = new_set(test, 0);
	struct iommu_pasid *used;

	KUNIT_EXPECT_EQ(test, alloc_at(none, BASE), -EDQUOT);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE), BASE);
	/* What fails for another reason does not count. */
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE), -ENOSPC);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE + 1), BASE + 1);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE + 2), -EDQUOT);
	/* What is pending does. */
	used = iommu_pasid_get(set, BASE);
	iommu_pasid_free(set, BASE);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE + 2), -EDQUOT);
	iommu_pasid_put(used);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE + 2), BASE + 2);
	iommu_pasid_set_free(set);
	iommu_pasid_set_free(none);

	KUNIT_EXPECT_EQ(test, PTR_ERR(iommu_pasid_set_alloc(IOMMU_PASID_SET_NULL,
							    0, 1)), -EINVAL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(iommu_pasid_set_alloc(3, 0, 1)), -EINVAL);
}

/* A process is charged over all its sets, whoever frees. */
static void test_process(struct kunit *test)
{
	struct iommu_pasid_set *sets[2];
	struct mm_struct *mm = mm_alloc();
	u32 quota = iommu_pasid_quota();
	int i, ret;

	KUNIT_ASSERT_NOT_NULL(test, mm);
	for (i = 0; i < 2; i++) {
		sets[i] = iommu_pasid_set_alloc(IOMMU_PASID_SET_USER, i,
						IOMMU_PASID_NO_QUOTA);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sets[i]);
	}

	kthread_use_mm(mm);
	ret = alloc_at(sets[0], BASE);
	if (ret == -EOPNOTSUPP) {
		kthread_unuse_mm(mm);
		mmput(mm);
		iommu_pasid_set_free(sets[0]);
		iommu_pasid_set_free(sets[1]);
		kunit_skip(test, "no IOMMU here has PASIDs");
	}
	KUNIT_EXPECT_EQ(test, ret, BASE);
	for (i = 1; i < quota; i++)
		if (alloc_at(sets[i & 1], BASE + i) != BASE + i)
			break;
	KUNIT_EXPECT_EQ(test, i, quota);
	KUNIT_EXPECT_EQ(test, iommu_pasid_charged(), quota);
	KUNIT_EXPECT_EQ(test, alloc_at(sets[0], BASE + i), -EDQUOT);
	KUNIT_EXPECT_EQ(test, alloc_at(sets[1], BASE + i), -EDQUOT);
	KUNIT_EXPECT_EQ(test, iommu_pasid_charged(), quota);
	kthread_unuse_mm(mm);

	/* Another process is charged for itself, on the same set. */
	KUNIT_EXPECT_EQ(test, iommu_pasid_charged(), 0);
	KUNIT_EXPECT_EQ(test, alloc_at(sets[0], BASE + i), BASE + i);

	/* It frees what the first was charged for. */
	iommu_pasid_free(sets[0], BASE);
	kthread_use_mm(mm);
	KUNIT_EXPECT_EQ(test, iommu_pasid_charged(), quota - 1);
	KUNIT_EXPECT_EQ(test, alloc_at(sets[0], BASE), BASE);
	KUNIT_EXPECT_EQ(test, alloc_at(sets[0], END), -EDQUOT);
	kthread_unuse_mm(mm);

	/* The process ends before its PASIDs. */
	mmput(mm);
	iommu_pasid_set_free(sets[0]);
	iommu_pasid_set_free(sets[1]);
}

/*
 * Failing allocations: nothing is given out, nothing stays charged.
 */
static struct iommu_pasid *no_entry(void)
{
	return NULL;
}

static struct pasid_account *no_account(void)
{
	return NULL;
}

static struct iommu_pasid_set *no_set(void)
{
	return NULL;
}

static int no_room(struct iommu_pasid *entry, u32 min, u32 max, u32 *pasid)
{
	/* As if it had been stored */
	*pasid = min;
	return -ENOMEM;
}

static int no_room_at(struct iommu_pasid *entry, u32 pasid)
{
	return -ENOMEM;
}

static void test_no_memory(struct kunit *test)
{
	struct mm_struct *mm = mm_alloc();
	struct iommu_pasid_set *set;

	KUNIT_ASSERT_NOT_NULL(test, mm);
	kunit_activate_static_stub(test, pasid_set_alloc, no_set);
	KUNIT_EXPECT_EQ(test, PTR_ERR(iommu_pasid_set_alloc(IOMMU_PASID_SET_USER,
							    0, 1)), -ENOMEM);
	kunit_deactivate_static_stub(test, pasid_set_alloc);
	set = iommu_pasid_set_alloc(IOMMU_PASID_SET_USER, 0, 1);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, set);

	kthread_use_mm(mm);
	kunit_activate_static_stub(test, pasid_entry_alloc, no_entry);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE), -ENOMEM);
	kunit_deactivate_static_stub(test, pasid_entry_alloc);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 0);

	kunit_activate_static_stub(test, pasid_account_alloc, no_account);
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE), -ENOMEM);
	kunit_deactivate_static_stub(test, pasid_account_alloc);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 0);
	KUNIT_EXPECT_EQ(test, iommu_pasid_charged(), 0);

	/* A store that fails gives no number. */
	kunit_activate_static_stub(test, pasid_store_any, no_room);
	KUNIT_EXPECT_LT(test, alloc_at(set, BASE), 0);
	kunit_deactivate_static_stub(test, pasid_store_any);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 0);
	KUNIT_EXPECT_EQ(test, iommu_pasid_charged(), 0);
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE), (void *)absent());
	kthread_unuse_mm(mm);

	/* The quota of one is untouched. */
	KUNIT_EXPECT_NE(test, alloc_at(set, BASE), -EDQUOT);
	iommu_pasid_set_free(set);
	mmput(mm);
}

/*
 * Custom allocators
 */
struct custom {
	struct iommu_pasid_allocator allocator;
	int next;		/* what alloc returns */
	int out, allocs, frees;
	u32 freed;
};

static int custom_alloc(struct iommu_pasid_allocator *allocator, u32 min,
			u32 max)
{
	struct custom *c = container_of(allocator, struct custom, allocator);

	might_sleep();
	c->allocs++;
	if (c->next >= 0)
		c->out++;
	return c->next;
}

static void custom_free(struct iommu_pasid_allocator *allocator, u32 pasid)
{
	struct custom *c = container_of(allocator, struct custom, allocator);

	might_sleep();
	c->frees++;
	c->out--;
	c->freed = pasid;
}

static void test_custom(struct kunit *test)
{
	struct custom c = {
		.allocator = { .alloc = custom_alloc, .free = custom_free },
		.next = BASE + 5,
	}, other = c;
	struct iommu_pasid_set *set = new_set(test, IOMMU_PASID_NO_QUOTA);
	struct iommu_pasid *used;
	int x, i;

	/* Not while there are PASIDs that it did not give */
	KUNIT_ASSERT_EQ(test, alloc_at(set, BASE), BASE);
	KUNIT_EXPECT_EQ(test, iommu_pasid_register_allocator(&c.allocator),
			-EBUSY);
	iommu_pasid_free(set, BASE);
	if (iommu_pasid_register_allocator(&c.allocator)) {
		iommu_pasid_set_free(set);
		kunit_skip(test, "this machine has an allocator");
	}
	KUNIT_EXPECT_EQ(test, iommu_pasid_register_allocator(&other.allocator),
			-EBUSY);
	KUNIT_EXPECT_EQ(test,
			iommu_pasid_unregister_allocator(&other.allocator),
			-ENOENT);

	/* It says which one, and it is found here. */
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, BASE, END, &x), BASE + 5);
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE + 5), (void *)&x);
	KUNIT_EXPECT_EQ(test, c.allocs, 1);
	KUNIT_EXPECT_EQ(test, iommu_pasid_unregister_allocator(&c.allocator),
			-EBUSY);

	/* Given out twice: the first owner keeps it. */
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, BASE, END, NULL), -EIO);
	KUNIT_EXPECT_EQ(test, c.frees, 0);
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE + 5), (void *)&x);
	c.out--;

	/* One outside the range goes back. */
	c.next = BASE + 7;
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, BASE, BASE + 6, NULL),
			-ENOSPC);
	KUNIT_EXPECT_EQ(test, c.freed, BASE + 7);
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, BASE + 8, END, NULL),
			-ENOSPC);
	KUNIT_EXPECT_EQ(test, c.frees, 2);
	c.next = IOMMU_PASID_LAST + 1;
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, 1, IOMMU_PASID_LAST,
						NULL), -ENOSPC);
	c.next = 0;
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, 1, IOMMU_PASID_LAST,
						NULL), -ENOSPC);
	KUNIT_EXPECT_EQ(test, c.frees, 4);
	KUNIT_EXPECT_EQ(test, c.out, 1);

	/* Its errors are the caller's. */
	c.next = -ETIMEDOUT;
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, BASE, END, NULL),
			-ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 1);

	/* No memory: it goes back as well. */
	c.next = BASE + 9;
	kunit_activate_static_stub(test, pasid_store_at, no_room_at);
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc(set, BASE, END, NULL),
			-ENOMEM);
	kunit_deactivate_static_stub(test, pasid_store_at);
	KUNIT_EXPECT_EQ(test, c.freed, BASE + 9);
	KUNIT_EXPECT_EQ(test, c.out, 1);
	KUNIT_EXPECT_EQ(test, iommu_pasid_set_count(set), 1);

	/* Freed while used: only the last put gives it back. */
	used = iommu_pasid_get(set, BASE + 5);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, used);
	iommu_pasid_free(set, BASE + 5);
	iommu_pasid_free(set, BASE + 5);
	KUNIT_EXPECT_EQ(test, c.out, 1);
	KUNIT_EXPECT_EQ(test, iommu_pasid_unregister_allocator(&c.allocator),
			-EBUSY);
	iommu_pasid_put(used);
	KUNIT_EXPECT_EQ(test, c.freed, BASE + 5);
	KUNIT_EXPECT_EQ(test, c.out, 0);
	KUNIT_EXPECT_PTR_EQ(test, find(set, BASE + 5), (void *)absent());

	/* The kernel's too, from a context that does not sleep */
	KUNIT_EXPECT_EQ(test, iommu_pasid_alloc_kernel(IOMMU_PASID_LAST),
			BASE + 9);
	preempt_disable();
	iommu_pasid_free_kernel(BASE + 9);
	preempt_enable();
	for (i = 0; i < 5000 &&
	     iommu_pasid_unregister_allocator(&c.allocator); i++)
		msleep(20);
	KUNIT_EXPECT_EQ(test, c.out, 0);
	KUNIT_EXPECT_EQ(test, iommu_pasid_unregister_allocator(&c.allocator),
			-ENOENT);

	i = c.allocs;
	KUNIT_EXPECT_EQ(test, alloc_at(set, BASE), BASE);
	KUNIT_EXPECT_EQ(test, c.allocs, i);
	iommu_pasid_set_free(set);
}

/*
 * Many operations, beside a model that is too simple to be wrong
 */
#define MODEL_PASIDS	64
#define MODEL_SETS	3
#define MODEL_OPS	20000

struct model {
	int owner;		/* -1: free */
	bool freed;
	unsigned long data;
	int users;
	struct iommu_pasid *entry;
};

static void test_random(struct kunit *test)
{
	struct iommu_pasid_set *sets[MODEL_SETS] = {};
	struct model *model, *m;
	struct rnd_state rnd;
	u64 seed = get_random_u64();
	int i, s, op, ret, want, count[MODEL_SETS] = {};
	u32 p, min, max;

	kunit_info(test, "seed %#llx\n", seed);
	prandom_seed_state(&rnd, seed);
	model = kunit_kcalloc(test, MODEL_PASIDS, sizeof(*model), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, model);
	for (i = 0; i < MODEL_PASIDS; i++)
		model[i].owner = -1;
	/* sets[0] is the null set */
	for (s = 1; s < MODEL_SETS; s++)
		sets[s] = new_set(test, IOMMU_PASID_NO_QUOTA);

	for (i = 0; i < MODEL_OPS; i++) {
		op = prandom_u32_state(&rnd) % 8;
		s = prandom_u32_state(&rnd) % MODEL_SETS;
		p = prandom_u32_state(&rnd) % MODEL_PASIDS;
		min = prandom_u32_state(&rnd) % MODEL_PASIDS;
		max = min + prandom_u32_state(&rnd) % (MODEL_PASIDS - min);
		m = &model[p];
		if (op == 0 || op == 1) {
			unsigned long data = 4ul * (i + 1);

			want = -ENOSPC;
			for (p = min; p <= max; p++)
				if (model[p].owner < 0)
					break;
			if (p <= max)
				want = BASE + p;
			ret = iommu_pasid_alloc(sets[s], BASE + min, BASE + max,
						(void *)data);
			if (ret != want)
				goto wrong;
			if (ret < 0)
				continue;
			model[p] = (struct model){ .owner = s, .data = data };
			count[s]++;
		} else if (op == 2) {
			iommu_pasid_free(sets[s], BASE + p);
			min = p;
			max = p;
		} else if (op == 3 && i % 8 == 0) {
			iommu_pasid_free_range(sets[s], BASE + min, BASE + max);
		} else if (op == 4 || op == 5) {
			struct iommu_pasid *entry;

			want = m->owner != s ? -ENOENT : m->freed ? -EBUSY : 0;
			entry = iommu_pasid_get(sets[s], BASE + p);
			if (PTR_ERR_OR_ZERO(entry) != want)
				goto wrong;
			if (!want) {
				m->entry = entry;
				m->users++;
			}
			continue;
		} else if (op == 6) {
			if (!m->users)
				continue;
			iommu_pasid_put(m->entry);
			if (!--m->users && m->freed) {
				count[m->owner]--;
				m->owner = -1;
			}
			continue;
		} else {
			void *data = find(sets[s], BASE + p);

			if (data != (m->owner == s ? (void *)m->data :
				     ERR_PTR(-ENOENT)))
				goto wrong;
			if (m->owner != s)
				continue;
			m->data ^= 2;
			if (iommu_pasid_attach_data(sets[s], BASE + p,
						    (void *)m->data))
				goto wrong;
			continue;
		}
		if (op == 2 || op == 3) {
			if (op == 3 && i % 8)
				continue;
			for (p = min; p <= max; p++) {
				m = &model[p];
				if (m->owner != s || m->freed)
					continue;
				m->freed = true;
				if (!m->users) {
					count[s]--;
					m->owner = -1;
				}
			}
		}
		for (s = 1; s < MODEL_SETS; s++)
			if (iommu_pasid_set_count(sets[s]) != count[s])
				goto wrong;
	}
	goto out;

wrong:
	KUNIT_FAIL(test, "seed %#llx: operation %d (%d) on set %d, PASID %u, range %u..%u\n",
		   seed, i, op, s, p, min, max);
out:
	for (i = 0; i < MODEL_PASIDS; i++)
		while (model[i].users--)
			iommu_pasid_put(model[i].entry);
	for (s = 1; s < MODEL_SETS; s++)
		iommu_pasid_set_free(sets[s]);
	iommu_pasid_free_range(NULL, BASE, END);
	for (i = 0; i < MODEL_PASIDS; i++)
		KUNIT_EXPECT_EQ(test, alloc_at(NULL, BASE + i), BASE + i);
	iommu_pasid_free_range(NULL, BASE, END);
}

/*
 * On both processors at once: what a reader finds is consistent, in sets that
 * come and go, no number is given out twice, nothing is left.
 */
#define RACE_PASIDS	16
#define RACE_ALLOCS	3
/* Of each owner, and more of them until the reader has found some */
#define RACE_ROUNDS	400
#define RACE_FOUND	10
/* A reader that has found none by then finds none */
#define RACE_MAX_ROUNDS	(100 * RACE_ROUNDS)

struct race {
	struct iommu_pasid_set __rcu *set;
	struct race *all;
	struct task_struct *task;
	atomic_t *owned;	/* of each PASID: by how many */
	atomic_t *owners;	/* that go on */
	struct completion *done;
	int wrong, found;
	u32 seed;
};

/* What the owner keeps with a PASID */
struct race_data {
	struct iommu_pasid_set *set;
	u32 pasid;
	struct rcu_head rcu;
};

/* Let readers see another one, and the last one go. */
static struct race_data *race_replace(struct race *r,
				      struct iommu_pasid_set *set, u32 pasid,
				      struct race_data *old)
{
	struct race_data *data = kmalloc(sizeof(*data), GFP_KERNEL);

	if (data)
		*data = (struct race_data){ .set = set, .pasid = pasid };
	r->wrong += !data || iommu_pasid_attach_data(set, pasid, data);
	kfree_rcu(old, rcu);
	return data;
}

static struct iommu_pasid_set *race_set(struct race *r)
{
	struct iommu_pasid_set *set;

	set = iommu_pasid_set_alloc(IOMMU_PASID_SET_KERNEL, r->seed,
				    IOMMU_PASID_NO_QUOTA);
	if (IS_ERR(set))
		return NULL;
	rcu_assign_pointer(r->set, set);
	return set;
}

/* A thread that is stopped before it runs would do nothing at all. */
static void race_stop(struct race *r)
{
	complete(r->done);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
}

static bool race_goes_on(const struct race *r, int round)
{
	return round < RACE_ROUNDS ||
	       (READ_ONCE(r->all[RACE_ALLOCS].found) < RACE_FOUND &&
		round < RACE_MAX_ROUNDS);
}

static int race_allocs(void *arg)
{
	struct race *r = arg;
	struct iommu_pasid_set *set = rcu_dereference_protected(r->set, true);
	struct rnd_state rnd;
	int round;

	prandom_seed_state(&rnd, r->seed);
	for (round = 0; set && race_goes_on(r, round); round++) {
		struct race_data *data;
		struct iommu_pasid *entry;
		int pasid, i;

		pasid = iommu_pasid_alloc(set, BASE, BASE + RACE_PASIDS - 1,
					  NULL);
		if (pasid < 0) {
			r->wrong += pasid != -ENOSPC;
			iommu_pasid_free_range(set, BASE,
					       BASE + RACE_PASIDS - 1);
			cond_resched();
			continue;
		}
		i = pasid - BASE;
		r->wrong += atomic_inc_return(&r->owned[i]) != 1;
		data = race_replace(r, set, pasid, NULL);
		if (prandom_u32_state(&rnd) % 4 == 0)
			usleep_range(20, 100);
		entry = iommu_pasid_get(set, pasid);
		r->wrong += IS_ERR(entry);
		data = race_replace(r, set, pasid, data);
		iommu_pasid_free(set, pasid);
		atomic_dec(&r->owned[i]);
		if (!IS_ERR(entry))
			iommu_pasid_put(entry);
		kfree_rcu(data, rcu);
		if (prandom_u32_state(&rnd) % 64 == 0) {
			/* The owner exits, often with a PASID in use. */
			struct iommu_pasid *last = NULL;

			pasid = iommu_pasid_alloc(set, END - 1, END, NULL);
			if (pasid > 0 && prandom_u32_state(&rnd) % 2)
				last = iommu_pasid_get(set, pasid);
			RCU_INIT_POINTER(r->set, NULL);
			iommu_pasid_set_free(set);
			iommu_pasid_put(last);
			set = race_set(r);
			r->wrong += !set;
		}
		cond_resched();
	}
	atomic_dec(r->owners);
	race_stop(r);
	return 0;
}

/*
 * A set may end, and a PASID be freed, while it looks.  Emulators run another
 * processor when one says that it waits.
 */
static void race_find(struct race *r, struct iommu_pasid_set *set, u32 pasid)
{
	struct race_data *data = iommu_pasid_find(set, pasid);

	cpu_relax();
	if (!data || data == ERR_PTR(-ENOENT))
		return;
	WRITE_ONCE(r->found, r->found + 1);
	r->wrong += data->set != set || data->pasid != pasid;
}

static int race_finds(void *arg)
{
	struct race *r = arg;
	u32 i, n = 0;

	while (atomic_read(r->owners)) {
		struct iommu_pasid_set *set;

		rcu_read_lock();
		set = rcu_dereference(r->all[n++ % RACE_ALLOCS].set);
		for (i = 0; set && i < RACE_PASIDS; i++) {
			/* It has one at a time. */
			r->wrong += iommu_pasid_set_count(set) > 1;
			race_find(r, set, BASE + i);
			r->wrong += iommu_pasid_find(NULL, BASE + i) !=
				    ERR_PTR(-ENOENT);
		}
		rcu_read_unlock();
		cond_resched();
	}
	race_stop(r);
	return 0;
}

static void test_race(struct kunit *test)
{
	struct race races[RACE_ALLOCS + 1] = {};
	atomic_t *owned, owners = ATOMIC_INIT(RACE_ALLOCS);
	DECLARE_COMPLETION_ONSTACK(done);
	int i;

	owned = kunit_kcalloc(test, RACE_PASIDS, sizeof(*owned), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, owned);
	for (i = 0; i < ARRAY_SIZE(races); i++) {
		races[i].seed = i;
		races[i].all = races;
		races[i].owned = owned;
		races[i].owners = &owners;
		races[i].done = &done;
		if (i < RACE_ALLOCS)
			KUNIT_ASSERT_NOT_NULL(test, race_set(&races[i]));
		races[i].task = kthread_create(i < RACE_ALLOCS ? race_allocs :
					       race_finds, &races[i],
					       "pasid-race/%d", i);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, races[i].task);
		kthread_bind(races[i].task, i % num_online_cpus());
	}
	for (i = 0; i < ARRAY_SIZE(races); i++)
		wake_up_process(races[i].task);
	for (i = 0; i < ARRAY_SIZE(races); i++)
		wait_for_completion(&done);
	for (i = 0; i < ARRAY_SIZE(races); i++) {
		kthread_stop(races[i].task);
		KUNIT_EXPECT_EQ(test, races[i].wrong, 0);
	}
	KUNIT_EXPECT_GT(test, races[RACE_ALLOCS].found, 0);
	for (i = 0; i < RACE_ALLOCS; i++) {
		struct iommu_pasid_set *set =
			rcu_dereference_protected(races[i].set, true);

		if (set)
			iommu_pasid_set_free(set);
	}
	for (i = 0; i < RACE_PASIDS; i++)
		KUNIT_EXPECT_EQ(test, alloc_at(NULL, BASE + i), BASE + i);
	iommu_pasid_free_range(NULL, BASE, END);
}

/* Tests that choose numbers need the space's own allocator. */
static int pasid_test_init(struct kunit *test)
{
	int pasid = alloc_at(NULL, END);

	if (pasid < 0)
		kunit_skip(test, "this machine has an allocator");
	iommu_pasid_free(NULL, pasid);
	return 0;
}

static struct kunit_case pasid_test_cases[] = {
	KUNIT_CASE(test_ranges),
	KUNIT_CASE(test_owner),
	KUNIT_CASE(test_kernel),
	KUNIT_CASE(test_data),
	KUNIT_CASE(test_pending),
	KUNIT_CASE(test_free_range),
	KUNIT_CASE(test_for_each),
	KUNIT_CASE(test_set_quota),
	KUNIT_CASE(test_process),
	KUNIT_CASE(test_no_memory),
	KUNIT_CASE(test_custom),
	KUNIT_CASE(test_random),
	KUNIT_CASE(test_race),
	{}
};

static struct kunit_suite pasid_test_suite = {
	.name = "iommu-pasid",
	.init = pasid_test_init,
	.test_cases = pasid_test_cases,
};

kunit_test_suite(pasid_test_suite);

MODULE_DESCRIPTION("KUnit tests of the PASID space");
MODULE_LICENSE("GPL");
