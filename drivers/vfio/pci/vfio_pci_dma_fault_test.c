// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the producer of a ring of faults
 *
 * The consumer is played by the test; it need not be honest.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/module.h>

#include "vfio_pci_dma_fault.h"

#define DEPTH	16

static int ring_init(struct kunit *test)
{
	struct vfio_pci_fault_ring *ring = vfio_pci_fault_ring_alloc(DEPTH);

	KUNIT_ASSERT_NOT_NULL(test, ring);
	test->priv = ring;
	return 0;
}

static void ring_exit(struct kunit *test)
{
	vfio_pci_fault_ring_put(test->priv);
}

/* Returns whether there was room; @wake is whether the consumer is woken */
static bool push(struct vfio_pci_fault_ring *ring, u32 nr, bool *wake)
{
	u32 i;

	if (!vfio_pci_fault_ring_reserve(ring, nr))
		return false;
	for (i = 0; i < nr; i++)
		vfio_pci_fault_ring_entry(ring, i, i + 1);
	*wake = vfio_pci_fault_ring_publish(ring, nr);
	return true;
}

static void ring_full(struct kunit *test)
{
	struct vfio_pci_fault_ring *ring = test->priv;
	bool wake;
	u32 i;

	for (i = 0; i < DEPTH; i++) {
		KUNIT_EXPECT_TRUE(test, push(ring, 1, &wake));
		KUNIT_EXPECT_EQ(test, wake, !i);
		KUNIT_EXPECT_EQ(test, ring->header->producer, i + 1);
		KUNIT_EXPECT_EQ(test, ring->entries[i].seq, (u64)i + 1);
	}
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_FALSE(test, push(ring, 1, &wake));
		KUNIT_EXPECT_EQ(test, ring->header->lost, (u64)i + 1);
		KUNIT_EXPECT_EQ(test, ring->header->producer, (u32)DEPTH);
	}

	/* One read, one more, with a gap in the numbers */
	ring->user->consumer = 1;
	KUNIT_EXPECT_TRUE(test, push(ring, 1, &wake));
	KUNIT_EXPECT_FALSE(test, wake);
	KUNIT_EXPECT_EQ(test, ring->entries[0].seq, (u64)DEPTH + 4);
	KUNIT_EXPECT_FALSE(test, push(ring, 1, &wake));
}

/* A group is there as a whole or not at all */
static void ring_group(struct kunit *test)
{
	struct vfio_pci_fault_ring *ring = test->priv;
	bool wake;

	KUNIT_EXPECT_TRUE(test, push(ring, DEPTH - 3, &wake));
	KUNIT_EXPECT_FALSE(test, push(ring, 4, &wake));
	KUNIT_EXPECT_EQ(test, ring->header->lost, 4ULL);
	KUNIT_EXPECT_EQ(test, ring->header->producer, (u32)DEPTH - 3);
	KUNIT_EXPECT_TRUE(test, push(ring, 3, &wake));
	KUNIT_EXPECT_FALSE(test, push(ring, DEPTH + 1, &wake));
	ring->user->consumer = ring->producer;
	KUNIT_EXPECT_FALSE(test, push(ring, DEPTH + 1, &wake));
	KUNIT_EXPECT_FALSE(test, push(ring, U32_MAX, &wake));
	KUNIT_EXPECT_TRUE(test, push(ring, DEPTH, &wake));
	KUNIT_EXPECT_TRUE(test, wake);
}

/* Indices wrap at 2^32, slots at the depth */
static void ring_wrap(struct kunit *test)
{
	struct vfio_pci_fault_ring *ring = test->priv;
	bool wake;
	u32 i;

	ring->producer = -5;
	ring->user->consumer = -5;
	for (i = 0; i < 3 * DEPTH; i++) {
		KUNIT_EXPECT_TRUE(test, push(ring, 1, &wake));
		KUNIT_EXPECT_TRUE(test, wake);
		KUNIT_EXPECT_EQ(test,
				ring->entries[(i - 5) & (DEPTH - 1)].seq,
				(u64)i + 1);
		ring->user->consumer++;
	}
	KUNIT_EXPECT_EQ(test, ring->header->producer, 3 * DEPTH - 5u);
	KUNIT_EXPECT_EQ(test, ring->header->lost, 0ULL);
}

/* An index that is ahead, or more than a ring behind, counts as full */
static void ring_liar(struct kunit *test)
{
	static const u32 bad[] = { 1, 2, DEPTH, 1u << 31, -(DEPTH + 1u) };
	struct vfio_pci_fault_ring *ring = test->priv;
	bool wake;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ring->user->consumer = ring->producer + bad[i];
		KUNIT_EXPECT_FALSE(test, push(ring, 1, &wake));
		KUNIT_EXPECT_EQ(test, ring->lost, (u64)i + 1);
		KUNIT_EXPECT_EQ(test, ring->producer, 0u);
	}

	/* What the user could write elsewhere is not believed either */
	ring->header->producer = 77;
	ring->header->depth = 1u << 30;
	ring->user->consumer = 0;
	KUNIT_EXPECT_TRUE(test, push(ring, 1, &wake));
	KUNIT_EXPECT_EQ(test, ring->header->producer, 1u);
}

/* A reset is counted, also where there is no room to say so */
static void ring_reset(struct kunit *test)
{
	struct vfio_pci_fault_ring *ring = test->priv;
	bool wake;

	KUNIT_EXPECT_TRUE(test, vfio_pci_fault_ring_reset(ring));
	KUNIT_EXPECT_TRUE(test, vfio_pci_fault_ring_publish(ring, 1));
	KUNIT_EXPECT_EQ(test, ring->entries[0].type,
			(u32)VFIO_DMA_FAULT_TYPE_RESET);
	KUNIT_EXPECT_EQ(test, ring->header->resets, 1ULL);

	KUNIT_EXPECT_TRUE(test, push(ring, DEPTH - 1, &wake));
	KUNIT_EXPECT_FALSE(test, vfio_pci_fault_ring_reset(ring));
	KUNIT_EXPECT_EQ(test, ring->header->resets, 2ULL);
	vfio_pci_fault_ring_mute(ring);
	KUNIT_EXPECT_EQ(test, ring->header->muted, 1ULL);
	KUNIT_EXPECT_EQ(test, ring->header->lost, 1ULL);
	KUNIT_EXPECT_EQ(test, ring->header->producer, (u32)DEPTH);
}

/*
 * No wakeup is lost: either who writes an entry sees that all before it are
 * read, or who is about to wait sees the entry.  What both do is what a missing
 * barrier on either side shows, on two processors that run at the same time:
 * an emulator that lets them take turns passes without.
 */
struct ring_race {
	struct vfio_pci_fault_ring	*ring;
	atomic_t			start;
	atomic_t			end;
	bool				stop;
	bool				saw;
	struct completion		done;
};

/* The @round of two that wait for each other */
static void ring_meet(atomic_t *count, int round)
{
	atomic_inc(count);
	while (atomic_read(count) < 2 * round)
		cpu_relax();
}

static int ring_race_consumer(void *data)
{
	struct ring_race *race = data;
	u32 index;

	for (index = 0;; index++) {
		ring_meet(&race->start, index + 1);
		if (race->stop)
			break;
		/* What a user does before it waits */
		smp_store_release(&race->ring->user->consumer, index);
		/* Pairs with that of vfio_pci_fault_ring_publish() */
		smp_mb();
		/* Its last look */
		race->saw = smp_load_acquire(&race->ring->header->producer) !=
			    index;
		ring_meet(&race->end, index + 1);
	}
	complete(&race->done);
	return 0;
}

static void ring_wakeup(struct kunit *test)
{
	struct ring_race race = { .ring = test->priv };
	unsigned long end = jiffies + HZ / 4;
	unsigned int cpu, missed = 0;
	struct task_struct *task;
	int round;
	bool wake;

	cpu = cpumask_any_but(cpu_online_mask, 0);
	if (cpu >= nr_cpu_ids || !cpu_online(0))
		kunit_skip(test, "needs two processors");

	init_completion(&race.done);
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(0)), 0);
	task = kthread_create(ring_race_consumer, &race, "ring-consumer");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	kthread_bind(task, cpu);
	wake_up_process(task);

	for (round = 1; !race.stop; round++) {
		race.stop = time_after(jiffies, end);
		ring_meet(&race.start, round);
		if (race.stop)
			break;
		wake = vfio_pci_fault_ring_publish(race.ring, 1);
		ring_meet(&race.end, round);
		missed += !wake && !race.saw;
	}
	wait_for_completion(&race.done);
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	kunit_info(test, "%d rounds", round);
	KUNIT_EXPECT_EQ(test, missed, 0);
}

static struct kunit_case ring_cases[] = {
	KUNIT_CASE(ring_full),
	KUNIT_CASE(ring_group),
	KUNIT_CASE(ring_wrap),
	KUNIT_CASE(ring_liar),
	KUNIT_CASE(ring_reset),
	KUNIT_CASE(ring_wakeup),
	{}
};

static struct kunit_suite ring_suite = {
	.name = "vfio-pci-dma-fault",
	.init = ring_init,
	.exit = ring_exit,
	.test_cases = ring_cases,
};

kunit_test_suite(ring_suite);

MODULE_DESCRIPTION("KUnit tests of the ring of DMA faults");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
