// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hosts and groups that cannot nest: a documented errno, and all that worked
 * without nesting goes on working.
 *
 * Runs where the IOMMU of the device has no nesting; skips where it has.
 */
#include <dirent.h>
#include <fcntl.h>

#include "nest_test.h"

FIXTURE(absent)
{
	struct vfio_container c;
	struct vfio_device d;
};

FIXTURE_SETUP(absent)
{
	struct vfio_container c;

	if (!test_nr)
		SKIP(return, "no device is bound to vfio-pci");

	test_ok(vfio_container_open(&c));
	if (vfio_container_attach(&c, VFIO_TYPE1_NESTING_IOMMU,
				  test_bdf[0]) >= 0)
		SKIP(return, "this IOMMU can nest");
	vfio_container_close(&c);
	test_ok(vfio_container_open(&self->c));
}

FIXTURE_TEARDOWN(absent)
{
}

/* The interface is there, whatever the hardware. */
TEST_F(absent, extension)
{
	EXPECT_EQ(1, vfio_check_extension(&self->c, VFIO_TYPE1_NESTING_API));
}

TEST_F(absent, attach_is_refused)
{
	test_err(EOPNOTSUPP, vfio_container_attach(&self->c,
						   VFIO_TYPE1_NESTING_IOMMU,
						   test_bdf[0]));
}

/* A group that was refused is free for another container. */
TEST_F(absent, other_types_work)
{
	struct vfio_container nesting;
	union nest_info info;
	struct ptd_record r;
	struct guest g;
	struct ptd ptd;
	u64 src, dst;

	test_ok(vfio_container_open(&nesting));
	test_err(EOPNOTSUPP, vfio_container_attach(&nesting,
						   VFIO_TYPE1_NESTING_IOMMU,
						   test_bdf[0]));
	vfio_container_close(&nesting);

	test_ok(vfio_device_open(&self->d, &self->c, VFIO_TYPE1v2_IOMMU,
				 test_bdf[0]));
	test_err(ENOENT, nest_info(&self->c, &info));
	test_ok(guest_init(&g, &self->c, SZ_1G, SZ_2M));
	if (ptd_init(&ptd, &self->d))
		test_skip(return, "no DMA engine to go on with");

	src = guest_alloc(&g, SZ_4K, SZ_4K);
	dst = guest_alloc(&g, SZ_4K, SZ_4K);
	memset(guest_va(&g, src), 0x5a, SZ_4K);
	ASSERT_EQ(PTD_ST_OK, ptd_copy(&ptd, PTD_NO_PASID, dst, src, SZ_4K,
				      &r));
	EXPECT_EQ(0, memcmp(guest_va(&g, dst), guest_va(&g, src), SZ_4K));
}

TEST_F(absent, device_feature)
{
	struct vfio_device_feature_nesting info = {};

	test_ok(vfio_device_open(&self->d, &self->c, VFIO_TYPE1v2_IOMMU,
				 test_bdf[0]));
	test_err(ENOTTY, vfio_device_feature_get(&self->d,
						 VFIO_DEVICE_FEATURE_NESTING,
						 &info, sizeof(info)));
}

/*
 * A mediated device has a group and no IOMMU.  The sample driver mtty makes
 * one without hardware.
 */
#define MTTY	"/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1/create"
#define MDEV	"83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

TEST(emulated_group)
{
	char link[256], path[64];
	struct vfio_container c;
	ssize_t len;
	int group;

	if (vfio_write_file(MTTY, MDEV))
		SKIP(return, "no mtty (CONFIG_SAMPLE_VFIO_MDEV_MTTY)");

	len = readlink("/sys/bus/mdev/devices/" MDEV "/iommu_group", link,
		       sizeof(link) - 1);
	ASSERT_GT(len, 0);
	link[len] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	group = open(path, O_RDWR);
	ASSERT_GE(group, 0);

	test_ok(vfio_container_open(&c));
	test_ok(vfio_group_set_container(group, &c));
	test_err(EOPNOTSUPP, vfio_container_set_type(&c,
						     VFIO_TYPE1_NESTING_IOMMU));
	/* It still is what it was for every other type. */
	test_ok(vfio_container_set_type(&c, VFIO_TYPE1v2_IOMMU));
	vfio_container_close(&c);
	close(group);
	test_ok(vfio_write_file("/sys/bus/mdev/devices/" MDEV "/remove", "1"));
}

VFIO_TEST_MAIN
