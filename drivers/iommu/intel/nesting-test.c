// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests: what an invalidation entry of user space becomes
 */

#include <kunit/test.h>
#include <linux/iommufd.h>
#include <uapi/linux/iommufd.h>

#include "iommu.h"
#include "nesting.h"

struct parse_case {
	const char	*name;
	u64		addr;
	u64		npages;
	u32		flags;
	u32		reserved;
	int		ret;
	u64		out_addr;
	u8		order;
};

static const struct parse_case parse_cases[] = {
	{ "one page", 0x5000, 1, 0, 0, 0, 0x5000, 0 },
	{ "leaf", 0x5000, 1, IOMMU_VTD_INV_FLAGS_LEAF, 0, 0, 0x5000, 0 },
	{ "aligned pair", 0x4000, 2, 0, 0, 0, 0x4000, 1 },
	{ "pair across a boundary", 0x3000, 2, 0, 0, 0, 0, 3 },
	{ "three pages", 0x4000, 3, 0, 0, 0, 0x4000, 2 },
	{ "2 MiB", 0x200000, 512, 0, 0, 0, 0x200000, 9 },
	{ "last page", U64_MAX - 4095, 1, 0, 0, 0, U64_MAX - 4095, 0 },
	{ "whole space by range", 0, 1ULL << 52, 0, 0, 0, 0, 52 },
	{ "all", 0, U64_MAX, 0, 0, 0, 0, MAX_AGAW_PFN_WIDTH },
	{ "all with address", 0x1000, U64_MAX, 0, 0, -EINVAL },
	{ "no page", 0x1000, 0, 0, 0, -EINVAL },
	{ "unaligned", 0x1001, 1, 0, 0, -EINVAL },
	{ "wraps by a page", U64_MAX - 4095, 2, 0, 0, -EINVAL },
	{ "one more than all", 0, (1ULL << 52) + 1, 0, 0, -EINVAL },
	{ "wraps when shifted", 0x1000, 1ULL << 53, 0, 0, -EINVAL },
	{ "unknown flag", 0x1000, 1, 2, 0, -EOPNOTSUPP },
	{ "reserved", 0x1000, 1, 0, 1, -EOPNOTSUPP },
};

static void parse_desc(const struct parse_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(parse, parse_cases, parse_desc);

static void test_parse(struct kunit *test)
{
	const struct parse_case *c = test->param_value;
	struct iommu_hwpt_vtd_s1_invalidate entry = {
		.addr = c->addr,
		.npages = c->npages,
		.flags = c->flags,
		.__reserved = c->reserved,
	};
	struct nested_inv inv = {};

	KUNIT_ASSERT_EQ(test, nested_parse(&entry, &inv), c->ret);
	if (c->ret)
		return;
	KUNIT_EXPECT_EQ(test, inv.addr, c->out_addr);
	KUNIT_EXPECT_EQ(test, inv.order, c->order);
	KUNIT_EXPECT_EQ(test, inv.leaf, !!(c->flags & IOMMU_VTD_INV_FLAGS_LEAF));
}

/* The block that comes out holds every page of every small range. */
static void test_parse_covers(struct kunit *test)
{
	u64 first, npages;

	for (first = 0; first < 64; first++) {
		for (npages = 1; npages <= 64; npages++) {
			struct iommu_hwpt_vtd_s1_invalidate entry = {
				.addr = first << VTD_PAGE_SHIFT,
				.npages = npages,
			};
			struct nested_inv inv = {};
			u64 start, end;

			KUNIT_ASSERT_EQ(test, nested_parse(&entry, &inv), 0);
			start = inv.addr >> VTD_PAGE_SHIFT;
			end = start + BIT_ULL(inv.order);
			KUNIT_ASSERT_LE(test, start, first);
			KUNIT_ASSERT_GE(test, end, first + npages);
			/* Half the block would not do. */
			if (inv.order)
				KUNIT_ASSERT_TRUE(test,
						  first < start + (end - start) / 2 &&
						  first + npages > start + (end - start) / 2);
		}
	}
}

static struct kunit_case nesting_test_cases[] = {
	KUNIT_CASE_PARAM(test_parse, parse_gen_params),
	KUNIT_CASE(test_parse_covers),
	{}
};

static struct kunit_suite nesting_test_suite = {
	.name = "intel-iommu-nesting",
	.test_cases = nesting_test_cases,
};

kunit_test_suite(nesting_test_suite);

MODULE_DESCRIPTION("KUnit tests of VT-d nesting");
MODULE_LICENSE("GPL");
