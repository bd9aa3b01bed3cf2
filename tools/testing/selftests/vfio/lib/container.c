// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvfio.h"

int vfio_container_open(struct vfio_container *c)
{
	int ret;

	memset(c, 0, sizeof(*c));
	c->fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (c->fd < 0)
		return vfio_fail(-errno, "open /dev/vfio/vfio");
	ret = vfio_ioctl(c->fd, VFIO_GET_API_VERSION, NULL);
	if (ret != VFIO_API_VERSION) {
		close(c->fd);
		c->fd = -1;
		return vfio_fail(-EPROTO, "VFIO_GET_API_VERSION gave %d", ret);
	}
	c->cds = cd_groups_alloc();
	if (!c->cds) {
		close(c->fd);
		c->fd = -1;
		return vfio_fail(-ENOMEM, "open /dev/vfio/vfio");
	}
	return 0;
}

void vfio_container_close(struct vfio_container *c)
{
	while (c->nr_groups)
		close(c->groups[--c->nr_groups].fd);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->type = 0;
	cd_groups_free(c->cds);
	c->cds = NULL;
}

int vfio_check_extension(const struct vfio_container *c, int ext)
{
	return vfio_ioctl(c->fd, VFIO_CHECK_EXTENSION, (void *)(long)ext);
}

static int group_id(const char *bdf)
{
	char name[32];
	int ret = vfio_sysfs_link(bdf, "iommu_group", name, sizeof(name));

	return ret ? ret : atoi(name);
}

int vfio_group_open(const char *bdf, int *id)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[64];
	int fd, gid, ret;

	gid = group_id(bdf);
	if (gid < 0)
		return gid;
	snprintf(path, sizeof(path), "/dev/vfio/%d", gid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return vfio_fail(-errno, "open %s, the group of %s", path,
				 bdf);
	ret = vfio_ioctl(fd, VFIO_GROUP_GET_STATUS, &status);
	if (!ret && !(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		ret = -EPERM;
	if (ret) {
		close(fd);
		return vfio_fail(ret, "group %d has devices of other drivers",
				 gid);
	}
	if (id)
		*id = gid;
	return fd;
}

int vfio_group_set_container(int group_fd, const struct vfio_container *c)
{
	int fd = c->fd;

	return vfio_ioctl(group_fd, VFIO_GROUP_SET_CONTAINER, &fd);
}

int vfio_group_unset_container(int group_fd)
{
	return vfio_ioctl(group_fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

int vfio_container_set_type(struct vfio_container *c, int type)
{
	int ret = vfio_ioctl(c->fd, VFIO_SET_IOMMU, (void *)(long)type);

	if (ret)
		return vfio_fail(ret, "VFIO_SET_IOMMU with type %d", type);
	c->type = type;
	return 0;
}

int vfio_container_attach(struct vfio_container *c, int type, const char *bdf)
{
	struct vfio_group *grp = &c->groups[c->nr_groups];
	int i, ret, gid = group_id(bdf);

	if (gid < 0)
		return gid;
	/* A group can be opened once only */
	for (i = 0; i < c->nr_groups; i++)
		if (c->groups[i].id == gid)
			return c->groups[i].fd;
	if (c->nr_groups == VFIO_MAX_DEVS)
		return vfio_fail(-ENOSPC, "more than %d groups",
				 VFIO_MAX_DEVS);

	grp->fd = vfio_group_open(bdf, &grp->id);
	if (grp->fd < 0)
		return grp->fd;
	ret = vfio_group_set_container(grp->fd, c);
	if (ret)
		vfio_fail(ret, "VFIO_GROUP_SET_CONTAINER of group %d", gid);
	else if (!c->type)
		ret = vfio_container_set_type(c, type);
	if (ret) {
		close(grp->fd);
		return ret;
	}
	cd_groups_lock(c);
	c->nr_groups++;
	cd_groups_unlock(c);
	return grp->fd;
}

void vfio_container_detach(struct vfio_container *c, int group_fd)
{
	int i;

	for (i = 0; i < c->nr_groups; i++) {
		if (c->groups[i].fd != group_fd)
			continue;
		cd_groups_lock(c);
		cd_group_forget(c, group_fd);
		c->groups[i] = c->groups[--c->nr_groups];
		cd_groups_unlock(c);
		close(group_fd);
		/* The last group takes the IOMMU with it */
		if (!c->nr_groups)
			c->type = 0;
		return;
	}
}

int vfio_map(const struct vfio_container *c, void *va, u64 iova,
	     u64 size, u32 flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (uintptr_t)va,
		.iova = iova,
		.size = size,
	};

	return vfio_ioctl(c->fd, VFIO_IOMMU_MAP_DMA, &map);
}

int vfio_unmap(const struct vfio_container *c, u64 iova, u64 size,
	       u64 *unmapped)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};
	int ret = vfio_ioctl(c->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	if (unmapped)
		*unmapped = unmap.size;
	return ret;
}
