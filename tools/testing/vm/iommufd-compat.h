/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stable update took the iommufd selftest of a newer kernel without the
 * interface it tests, so 6.12.117's copy does not compile.  These give the
 * names a meaning on the older kernel: in_data_type shares its place with
 * out_data_type where it exists, and a mock device has no PASIDs.  What really
 * tests the newer interface (get_hw_info) is left out by the suite.
 */
#ifndef VFIO_NESTING_IOMMUFD_COMPAT_H
#define VFIO_NESTING_IOMMUFD_COMPAT_H

#define in_data_type			out_data_type
#define IOMMU_HW_INFO_TYPE_DEFAULT	0
#define IOMMU_HW_INFO_FLAG_INPUT_TYPE	1
#define MOCK_FLAGS_DEVICE_PASID		0
#define MOCK_PASID_WIDTH		0

#endif
