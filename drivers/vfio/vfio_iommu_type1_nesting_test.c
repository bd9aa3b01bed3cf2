// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of what vfio_iommu_type1_nesting.c checks in its arguments
 */

#include <kunit/test.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/vfio.h>

#include "vfio_iommu_type1_nesting.h"

static void argsz_test(struct kunit *test)
{
	const size_t size = sizeof(struct vfio_iommu_type1_bind);

	KUNIT_EXPECT_EQ(test, vfio_nesting_check_argsz(0, size), -EINVAL);
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_argsz(size - 1, size),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_argsz(size, size), 0);
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_argsz(size + 1, size), 0);
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_argsz(PAGE_SIZE, size), 0);
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_argsz(PAGE_SIZE + 1, size),
			-E2BIG);
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_argsz(U32_MAX, size), -E2BIG);
}

static void layout_test(struct kunit *test)
{
	/* The same for callers of 32 and 64 bits: no holes */
	KUNIT_EXPECT_EQ(test,
			sizeof(struct vfio_iommu_type1_pasid_request), 16);
	KUNIT_EXPECT_EQ(test, sizeof(struct vfio_iommu_type1_bind), 40);
	KUNIT_EXPECT_EQ(test,
			sizeof(struct vfio_iommu_type1_cache_invalidate), 40);
	KUNIT_EXPECT_EQ(test, sizeof(struct vfio_device_feature_nesting), 32);
	KUNIT_EXPECT_EQ(test, sizeof(struct vfio_nesting_format), 16);
	KUNIT_EXPECT_EQ(test,
			offsetof(struct vfio_iommu_type1_info_cap_nesting,
				 formats), 56);
}

static void pasids_test(struct kunit *test)
{
	static const struct {
		u32 flags, min, max;
		int ret;
	} cases[] = {
		{ VFIO_PASID_REQUEST_ALLOC, 1, 1, 0 },
		{ VFIO_PASID_REQUEST_FREE, 1, (1U << 20) - 1, 0 },
		{ 0, 1, 1, -EINVAL },
		{ VFIO_PASID_REQUEST_ALLOC | VFIO_PASID_REQUEST_FREE, 1, 1,
		  -EINVAL },
		{ VFIO_PASID_REQUEST_ALLOC | 1U << 31, 1, 1, -EINVAL },
		{ VFIO_PASID_REQUEST_ALLOC, 0, 1, -EINVAL },
		{ VFIO_PASID_REQUEST_ALLOC, 2, 1, -EINVAL },
		{ VFIO_PASID_REQUEST_ALLOC, 1, 1U << 20, -EINVAL },
		{ VFIO_PASID_REQUEST_FREE, 1, U32_MAX, -EINVAL },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct vfio_iommu_type1_pasid_request req = {
			.argsz = sizeof(req),
			.flags = cases[i].flags,
			.min = cases[i].min,
			.max = cases[i].max,
		};

		KUNIT_EXPECT_EQ_MSG(test, vfio_nesting_check_pasids(&req),
				    cases[i].ret, "case %d", i);
	}
}

static void bind_test(struct kunit *test)
{
	const struct vfio_iommu_type1_bind good = {
		.argsz = sizeof(good),
		.op = VFIO_BIND_OP_BIND,
		.target = VFIO_BIND_TARGET_GUEST_PASID,
		.pasid = 1,
		.format = VFIO_NESTING_FORMAT_VTD_S1,
		.data_len = 1,
		.data_uptr = 1,
	};
	struct vfio_iommu_type1_bind bind = good;

	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), 0);

	bind.flags = VFIO_BIND_FLAG_GROUP;
	bind.group_fd = 3;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), 0);

	bind.flags |= 1U << 31;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), -EINVAL);

	bind.flags = 0;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), -EINVAL);

	bind = good;
	bind.op = VFIO_BIND_OP_BLOCK + 1;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), -EINVAL);

	bind = good;
	bind.target = VFIO_BIND_TARGET_PASID_TABLE + 1;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), -EINVAL);
	bind.target = VFIO_BIND_TARGET_PASID_TABLE;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), -EINVAL);
	bind.pasid = 0;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), 0);

	/* What an operation does not use must be 0. */
	bind = good;
	bind.op = VFIO_BIND_OP_UNBIND;
	bind.data_len = 0;
	bind.data_uptr = 0;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), -EINVAL);
	bind.format = 0;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), 0);
	bind.data_len = 1;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), -EINVAL);
	bind.data_len = 0;
	bind.data_uptr = 1;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_bind(&bind), -EINVAL);
}

static void invalidate_test(struct kunit *test)
{
	const struct vfio_iommu_type1_cache_invalidate good = {
		.argsz = sizeof(good),
		.target = VFIO_INVALIDATE_TARGET_PASID,
		.pasid = 1,
		.format = VFIO_NESTING_FORMAT_VTD_S1,
		.entry_len = 24,
		.entry_num = 65536,
		.entry_uptr = 0x1000,
	};
	struct vfio_iommu_type1_cache_invalidate inv = good;

	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), 0);

	inv.entry_num = 0;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), -EINVAL);
	inv.entry_num = 65537;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), -EINVAL);

	inv = good;
	inv.entry_len = 0;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), -EINVAL);
	inv.entry_len = PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), 0);
	inv.entry_len = PAGE_SIZE + 1;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), -E2BIG);

	inv = good;
	inv.flags = VFIO_INVALIDATE_FLAG_GROUP | 2;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), -EINVAL);
	inv.flags = 0;
	inv.group_fd = 3;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), -EINVAL);

	inv = good;
	inv.target = VFIO_INVALIDATE_TARGET_ALL;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), -EINVAL);
	inv.pasid = 0;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), 0);
	inv.target = VFIO_INVALIDATE_TARGET_ALL + 1;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), -EINVAL);

	/* The array must not wrap, and must fit into a pointer. */
	inv = good;
	inv.entry_num = 2;
	inv.entry_uptr = (u64)ULONG_MAX - 48 + 1;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv),
			IS_ENABLED(CONFIG_64BIT) ? -EINVAL : 0);
	inv.entry_uptr = (u64)ULONG_MAX - 48;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), 0);
	inv.entry_uptr = (u64)ULONG_MAX - 46;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), -EINVAL);
	inv.entry_uptr = U64_MAX;
	KUNIT_EXPECT_EQ(test, vfio_nesting_check_invalidate(&inv), -EINVAL);
}

static struct kunit_case vfio_nesting_cases[] = {
	KUNIT_CASE(argsz_test),
	KUNIT_CASE(layout_test),
	KUNIT_CASE(pasids_test),
	KUNIT_CASE(bind_test),
	KUNIT_CASE(invalidate_test),
	{}
};

static struct kunit_suite vfio_nesting_suite = {
	.name = "vfio-nesting",
	.test_cases = vfio_nesting_cases,
};

kunit_test_suite(vfio_nesting_suite);

MODULE_DESCRIPTION("KUnit tests of nesting in VFIO type1 containers");
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
MODULE_LICENSE("GPL");
