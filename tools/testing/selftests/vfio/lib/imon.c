// SPDX-License-Identifier: GPL-2.0-only
/* Driver of iommu-monitor */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libvfio.h"
#include "mmio.h"

/* IHI 0070F, 4.6.1: the answer to a stalled access */
#define SMMU_RESUME	0x44

int imon_open(struct imon *m)
{
	char path[128];
	void *p;
	int fd, ret;

	m->bar = NULL;
	ret = vfio_find_id(IMON_VENDOR_ID, IMON_DEVICE_ID, m->bdf);
	if (ret)
		return ret;
	/* No driver binds it, so nobody else turns its BARs on */
	ret = vfio_sysfs_write(m->bdf, "enable", "1");
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0",
		 m->bdf);
	fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
	if (fd < 0)
		return vfio_fail(-errno, "open %s", path);
	p = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ret = p == MAP_FAILED ? -errno : 0;
	close(fd);
	if (ret)
		return vfio_fail(ret, "mmap %s", path);
	m->bar = p;
	if (imon_read32(m, IMON_ID) != IMON_ID_VALUE) {
		imon_close(m);
		return vfio_fail(-ENXIO, "%s is no iommu-monitor", m->bdf);
	}
	return 0;
}

void imon_close(struct imon *m)
{
	if (m->bar)
		munmap(m->bar, SZ_4K);
	m->bar = NULL;
}

u32 imon_read32(const struct imon *m, unsigned int reg)
{
	return mmio_read32(m->bar + reg);
}

void imon_write32(const struct imon *m, unsigned int reg, u32 val)
{
	mmio_write32(m->bar + reg, val);
}

u64 imon_read64(const struct imon *m, unsigned int reg)
{
	return mmio_read64(m->bar + reg);
}

void imon_write64(const struct imon *m, unsigned int reg, u64 val)
{
	imon_write32(m, reg, val);
	imon_write32(m, reg + 4, val >> 32);
}

u64 imon_count(const struct imon *m, u32 event, u32 sid, u32 pasid)
{
	imon_write32(m, IMON_SEL_EVENT, event);
	imon_write32(m, IMON_SEL_SID, sid);
	imon_write32(m, IMON_SEL_PASID, pasid);
	return imon_read64(m, IMON_COUNT);
}

u64 imon_total(const struct imon *m, u32 event)
{
	return imon_count(m, event, IMON_SEL_ANY, IMON_SEL_ANY);
}

u64 imon_answers(const struct imon *m)
{
	u64 count = imon_total(m, IOMMU_MON_EV_SMMU(SMMU_RESUME));
	int code;

	for (code = 0; code < 16; code++)
		count += imon_total(m, IOMMU_MON_EV_PR_ANSWERED(code)) +
			 imon_total(m, IOMMU_MON_EV_PR_AUTO(code));
	return count;
}

void imon_clear(const struct imon *m)
{
	imon_write32(m, IMON_CLEAR, 1);
}
