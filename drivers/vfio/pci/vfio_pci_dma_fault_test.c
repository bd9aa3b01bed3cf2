// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the producer of a ring of faults
 *
 * The consumer is played by the test; it need not be honest.
 */
#include <kunit/test.h>
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

static struct kunit_case ring_cases[] = {
	KUNIT_CASE(ring_full),
	KUNIT_CASE(ring_group),
	KUNIT_CASE(ring_wrap),
	KUNIT_CASE(ring_liar),
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
