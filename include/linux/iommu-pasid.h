/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The PASIDs of the host: one space, with owners
 *
 * See Documentation/driver-api/iommu-pasid.rst.
 */
#ifndef __LINUX_IOMMU_PASID_H
#define __LINUX_IOMMU_PASID_H

#include <linux/limits.h>
#include <linux/types.h>

struct iommu_device;
struct iommu_pasid;
struct iommu_pasid_set;

/* PCIe 6.0, 6.20.1: a PASID has 20 bits */
#define IOMMU_PASID_LAST	((1U << 20) - 1)

/**
 * enum iommu_pasid_set_type - What kind of owner a set stands for
 * @IOMMU_PASID_SET_NULL: the owner of what is allocated without a set
 * @IOMMU_PASID_SET_KERNEL: the kernel itself; nobody is charged
 * @IOMMU_PASID_SET_USER: somebody in user space; who allocates is charged,
 *			  process and misc cgroup
 */
enum iommu_pasid_set_type {
	IOMMU_PASID_SET_NULL,
	IOMMU_PASID_SET_KERNEL,
	IOMMU_PASID_SET_USER,
};

#define IOMMU_PASID_NO_QUOTA	U32_MAX

/**
 * struct iommu_pasid_allocator - Who really gives out the PASIDs of this host
 * @alloc: a PASID, in [@min, @max] if it can be asked for a range; a negative
 *	   errno.  May sleep; calls may be concurrent.
 * @free: take back what @alloc returned.  May sleep; calls may be concurrent,
 *	  with @alloc too.  There is nobody to hear of an error.
 */
struct iommu_pasid_allocator {
	int (*alloc)(struct iommu_pasid_allocator *allocator, u32 min, u32 max);
	void (*free)(struct iommu_pasid_allocator *allocator, u32 pasid);
};

struct iommu_pasid_set *iommu_pasid_set_alloc(enum iommu_pasid_set_type type,
					      u64 token, u32 quota);
void iommu_pasid_set_free(struct iommu_pasid_set *set);
u32 iommu_pasid_set_count(struct iommu_pasid_set *set);

int iommu_pasid_alloc(struct iommu_pasid_set *set, u32 min, u32 max,
		      void *data);
void iommu_pasid_free(struct iommu_pasid_set *set, u32 pasid);
void iommu_pasid_free_range(struct iommu_pasid_set *set, u32 min, u32 max);

int iommu_pasid_attach_data(struct iommu_pasid_set *set, u32 pasid, void *data);
void *iommu_pasid_find(struct iommu_pasid_set *set, u32 pasid);
int iommu_pasid_for_each(struct iommu_pasid_set *set,
			 int (*fn)(u32 pasid, void *data, void *arg),
			 void *arg);

struct iommu_pasid *iommu_pasid_get(struct iommu_pasid_set *set, u32 pasid);
void iommu_pasid_put(struct iommu_pasid *entry);

u32 iommu_pasid_quota(void);
u32 iommu_pasid_charged(void);

int iommu_pasid_register_allocator(struct iommu_pasid_allocator *allocator);
int iommu_pasid_unregister_allocator(struct iommu_pasid_allocator *allocator);

/* For the IOMMU core */
int iommu_pasid_alloc_kernel(u32 max);
void iommu_pasid_free_kernel(u32 pasid);
void iommu_pasid_add_iommu(const struct iommu_device *iommu);

#endif /* __LINUX_IOMMU_PASID_H */
