/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO: nested translation in type1 containers
 *
 * What vfio_iommu_type1.c calls, and nothing is called back.
 */
#ifndef __VFIO_IOMMU_TYPE1_NESTING_H
#define __VFIO_IOMMU_TYPE1_NESTING_H

#include <linux/err.h>
#include <linux/kconfig.h>
#include <linux/types.h>
#include <uapi/linux/vfio_nesting.h>

struct iommu_domain;
struct iommu_group;
struct seq_file;
struct vfio_info_cap;
struct vfio_nesting;

#if IS_ENABLED(CONFIG_VFIO_IOMMU_TYPE1_NESTING)
struct vfio_nesting *vfio_nesting_create(void);
void vfio_nesting_destroy(struct vfio_nesting *nest);
struct iommu_domain *vfio_nesting_group_add(struct vfio_nesting *nest,
					    struct iommu_group *iommu_group);
void vfio_nesting_group_ready(struct vfio_nesting *nest,
			      struct iommu_group *iommu_group,
			      struct iommu_domain *parent);
void vfio_nesting_group_del(struct vfio_nesting *nest,
			    struct iommu_group *iommu_group);
int vfio_nesting_add_cap(struct vfio_nesting *nest, struct vfio_info_cap *caps);
long vfio_nesting_ioctl(struct vfio_nesting *nest, unsigned int cmd,
			unsigned long arg);
void vfio_nesting_show(struct vfio_nesting *nest, struct seq_file *m);

static inline bool vfio_nesting_present(void)
{
	return true;
}
#else
static inline struct vfio_nesting *vfio_nesting_create(void)
{
	return NULL;
}

static inline void vfio_nesting_destroy(struct vfio_nesting *nest)
{
}

static inline struct iommu_domain *
vfio_nesting_group_add(struct vfio_nesting *nest,
		       struct iommu_group *iommu_group)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void vfio_nesting_group_ready(struct vfio_nesting *nest,
					    struct iommu_group *iommu_group,
					    struct iommu_domain *parent)
{
}

static inline void vfio_nesting_group_del(struct vfio_nesting *nest,
					  struct iommu_group *iommu_group)
{
}

static inline int vfio_nesting_add_cap(struct vfio_nesting *nest,
				       struct vfio_info_cap *caps)
{
	return 0;
}

static inline long vfio_nesting_ioctl(struct vfio_nesting *nest,
				      unsigned int cmd, unsigned long arg)
{
	return -ENOTTY;
}

static inline void vfio_nesting_show(struct vfio_nesting *nest,
				     struct seq_file *m)
{
}

static inline bool vfio_nesting_present(void)
{
	return false;
}
#endif /* CONFIG_VFIO_IOMMU_TYPE1_NESTING */

#if IS_ENABLED(CONFIG_KUNIT)
int vfio_nesting_check_argsz(u32 argsz, size_t size);
int vfio_nesting_check_bind(const struct vfio_iommu_type1_bind *bind);
int vfio_nesting_check_invalidate(const struct vfio_iommu_type1_cache_invalidate *inv);
int vfio_nesting_check_pasids(const struct vfio_iommu_type1_pasid_request *req);
#endif

#endif /* __VFIO_IOMMU_TYPE1_NESTING_H */
