// SPDX-License-Identifier: GPL-2.0-only
/*
 * The example of vfio-nesting.rst: vfio-nesting-example GROUP
 *
 * GROUP is the number of an IOMMU group whose devices are bound to vfio-pci.
 * Gives PASID 1 of its device an address space in which one page, at VA, is
 * one page of "guest" memory, at GPA.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <linux/vfio_nesting.h>

#define PASID	1
#define GPA	0x100000000ull		/* where the guest sees its memory */
#define VA	0x7f0000000000ull	/* where its process sees a page of it */
#define PAGE	4096ull
#define PAGES	5			/* four levels of table, one of data */

/* Entries of a first-level table: present, writable, user */
#define ENTRY	(1 | 2 | 4)

/* Does the format of VT-d tables work for what is attached? */
static int vtd_can_bind(int container)
{
	union {
		struct vfio_iommu_type1_info info;
		__u8 raw[4096];
	} buf = { .info.argsz = sizeof(buf) };
	const struct vfio_iommu_type1_info_cap_nesting *nest;
	const struct vfio_info_cap_header *cap;
	__u32 off, i;

	if (ioctl(container, VFIO_IOMMU_GET_INFO, &buf))
		err(1, "VFIO_IOMMU_GET_INFO");
	if (!(buf.info.flags & VFIO_IOMMU_INFO_CAPS))
		return 0;
	for (off = buf.info.cap_offset; off; off = cap->next) {
		cap = (const void *)(buf.raw + off);
		if (cap->id != VFIO_IOMMU_TYPE1_INFO_CAP_NESTING)
			continue;
		nest = (const void *)cap;
		for (i = 0; i < nest->nr_formats; i++)
			if (nest->formats[i].format ==
			    VFIO_NESTING_FORMAT_VTD_S1)
				return nest->formats[i].features &
				       VFIO_NESTING_FEATURE_BIND_GUEST_PASID;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.iova = GPA,
		.size = PAGES * PAGE,
	};
	struct iommu_hwpt_vtd_s1 table = {
		.pgtbl_addr = GPA,	/* a guest address, as all in it */
		.addr_width = 48,
	};
	struct vfio_iommu_type1_bind bind = {
		.argsz = sizeof(bind),
		.op = VFIO_BIND_OP_BIND,
		.target = VFIO_BIND_TARGET_GUEST_PASID,
		.pasid = PASID,
		.format = VFIO_NESTING_FORMAT_VTD_S1,
		.data_len = sizeof(table),
		.data_uptr = (unsigned long)&table,
	};
	struct vfio_iommu_type1_bind unbind = {
		.argsz = sizeof(unbind),
		.op = VFIO_BIND_OP_UNBIND,
		.target = VFIO_BIND_TARGET_GUEST_PASID,
		.pasid = PASID,
	};
	struct iommu_hwpt_vtd_s1_invalidate page = {
		.addr = VA,
		.npages = 1,
	};
	struct vfio_iommu_type1_cache_invalidate inval = {
		.argsz = sizeof(inval),
		.target = VFIO_INVALIDATE_TARGET_PASID,
		.pasid = PASID,
		.format = VFIO_NESTING_FORMAT_VTD_S1,
		.entry_len = sizeof(page),
		.entry_num = 1,
		.entry_uptr = (unsigned long)&page,
	};
	int container, group, level;
	__u64 *mem, *entry = NULL;
	char path[64];

	if (argc != 2)
		errx(2, "usage: vfio-nesting-example GROUP");
	container = open("/dev/vfio/vfio", O_RDWR);
	if (container < 0)
		err(1, "/dev/vfio/vfio");
	if (ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_NESTING_API) != 1)
		errx(4, "this kernel has no nesting for VFIO containers");

	snprintf(path, sizeof(path), "/dev/vfio/%s", argv[1]);
	group = open(path, O_RDWR);
	if (group < 0)
		err(1, "%s", path);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container))
		err(1, "VFIO_GROUP_SET_CONTAINER");
	if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_NESTING_IOMMU))
		err(1, "VFIO_SET_IOMMU: can its IOMMU nest?");
	if (!vtd_can_bind(container))
		errx(4, "no tables in the format of VT-d here");

	/* Stage 2: the guest's memory */
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		err(1, "mmap");
	map.vaddr = (unsigned long)mem;
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		err(1, "VFIO_IOMMU_MAP_DMA");

	/* Stage 1: the guest's table, in its memory; page n leads to n + 1 */
	for (level = 4; level >= 1; level--) {
		entry = mem + (4 - level) * (PAGE / sizeof(*mem)) +
			(VA >> (12 + 9 * (level - 1)) & 0x1ff);
		*entry = (GPA + (5 - level) * PAGE) | ENTRY;
	}

	if (ioctl(container, VFIO_IOMMU_BIND, &bind))
		err(1, "VFIO_IOMMU_BIND");
	printf("PASID %d: 0x%llx is the guest's page 0x%llx\n", PASID, VA,
	       GPA + 4 * PAGE);

	/* ... here the device works with VA and PASID ... */

	/* The guest takes the page away: first the entry, then the caches */
	__atomic_store_n(entry, 0, __ATOMIC_RELEASE);
	if (ioctl(container, VFIO_IOMMU_CACHE_INVALIDATE, &inval))
		err(1, "VFIO_IOMMU_CACHE_INVALIDATE: %u done",
		    inval.entry_num);
	printf("0x%llx is not mapped any more, and in no cache\n", VA);

	if (ioctl(container, VFIO_IOMMU_BIND, &unbind))
		err(1, "VFIO_IOMMU_BIND, unbind");
	printf("PASID %d is blocked\n", PASID);
	return 0;
}
