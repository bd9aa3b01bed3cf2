/* SPDX-License-Identifier: GPL-2.0-only */
/* iommufd, as far as the proofs use it */
#ifndef PROOF_IFD_H
#define PROOF_IFD_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "proof.h"

static inline int ifd_open(void)
{
	int fd = open("/dev/iommu", O_RDWR);

	if (fd < 0)
		die("/dev/iommu: %s", strerror(errno));
	return fd;
}

/* The first test device, with no page table yet, and the monitor */
static inline int ifd_open_ptd(struct ptd *d)
{
	char bdf[BDF_LEN];
	int fd;

	if (!pci_find(PTD_VENDOR_ID, PTD_DEVICE_ID, 0, bdf))
		die("this machine has no pasid-testdev");
	mon_open();
	fd = ifd_open();
	ptd_open_cdev(d, bdf, fd);
	return fd;
}

/* Fills @info in; the IOMMU is one of @type */
static inline struct iommu_hw_info ifd_hw_info(int fd, const struct ptd *d,
					       uint32_t type, void *info,
					       size_t len)
{
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.dev_id = d->devid,
		.data_len = len,
		.data_uptr = (uintptr_t)info,
	};

	check_eq(ioctl(fd, IOMMU_GET_HW_INFO, &cmd), 0);
	check_eq(cmd.out_data_type, type);
	return cmd;
}

static inline uint32_t ifd_ioas(int fd)
{
	struct iommu_ioas_alloc cmd = { .size = sizeof(cmd) };

	if (ioctl(fd, IOMMU_IOAS_ALLOC, &cmd))
		die("IOMMU_IOAS_ALLOC: %s", strerror(errno));
	return cmd.out_ioas_id;
}

static inline void ifd_map(int fd, uint32_t ioas, const void *va, size_t len,
			   uint64_t iova)
{
	struct iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = ioas,
		.user_va = (uintptr_t)va,
		.length = len,
		.iova = iova,
	};

	if (ioctl(fd, IOMMU_IOAS_MAP, &cmd))
		die("IOMMU_IOAS_MAP: %s", strerror(errno));
}

static inline void ifd_unmap(int fd, uint32_t ioas, uint64_t iova, size_t len)
{
	struct iommu_ioas_unmap cmd = {
		.size = sizeof(cmd),
		.ioas_id = ioas,
		.iova = iova,
		.length = len,
	};

	if (ioctl(fd, IOMMU_IOAS_UNMAP, &cmd))
		die("IOMMU_IOAS_UNMAP: %s", strerror(errno));
}

/*
 * @s1 NULL: on the IOAS @parent; else a stage 1 on the HWPT @parent.  @fault
 * counts with IOMMU_HWPT_FAULT_ID_VALID.
 */
static inline uint32_t ifd_hwpt_fault(int fd, struct ptd *d, uint32_t parent,
				      uint32_t flags, uint32_t fault,
				      struct iommu_hwpt_vtd_s1 *s1)
{
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = flags,
		.dev_id = d->devid,
		.pt_id = parent,
		.fault_id = fault,
	};

	if (s1) {
		cmd.data_type = IOMMU_HWPT_DATA_VTD_S1;
		cmd.data_len = sizeof(*s1);
		cmd.data_uptr = (uintptr_t)s1;
	}
	if (ioctl(fd, IOMMU_HWPT_ALLOC, &cmd))
		die("IOMMU_HWPT_ALLOC: %s", strerror(errno));
	return cmd.out_hwpt_id;
}

static inline uint32_t ifd_hwpt(int fd, struct ptd *d, uint32_t parent,
				uint32_t flags, struct iommu_hwpt_vtd_s1 *s1)
{
	return ifd_hwpt_fault(fd, d, parent, flags, 0, s1);
}

static inline uint32_t ifd_hwpt_nested(int fd, struct ptd *d, uint32_t parent,
				       uint64_t pgd)
{
	struct iommu_hwpt_vtd_s1 s1 = { .pgtbl_addr = pgd, .addr_width = 48 };

	return ifd_hwpt(fd, d, parent, 0, &s1);
}

static inline void ifd_attach(struct ptd *d, uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt cmd = {
		.argsz = sizeof(cmd),
		.pt_id = pt,
	};

	if (ioctl(d->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd))
		die("VFIO_DEVICE_ATTACH_IOMMUFD_PT: %s", strerror(errno));
}

static inline int ifd_invalidate(int fd, uint32_t hwpt, uint64_t addr,
				 uint64_t npages)
{
	struct iommu_hwpt_vtd_s1_invalidate inv = {
		.addr = addr,
		.npages = npages,
	};
	struct iommu_hwpt_invalidate cmd = {
		.size = sizeof(cmd),
		.hwpt_id = hwpt,
		.data_uptr = (uintptr_t)&inv,
		.data_type = IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
		.entry_len = sizeof(inv),
		.entry_num = 1,
	};

	return ioctl(fd, IOMMU_HWPT_INVALIDATE, &cmd) ? -errno : 0;
}

#endif
