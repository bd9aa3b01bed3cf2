// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "libvfio.h"

static int region_info(const struct vfio_device *d, unsigned int index,
		       struct vfio_region_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->index = index;
	return vfio_ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, info);
}

int vfio_device_get(struct vfio_device *d, int group_fd, const char *bdf)
{
	struct vfio_region_info info;
	char name[VFIO_BDF_LEN];
	int ret;

	memset(d, 0, sizeof(*d));
	d->group_fd = group_fd;
	snprintf(d->bdf, sizeof(d->bdf), "%s", bdf);
	snprintf(name, sizeof(name), "%s", bdf);
	d->fd = vfio_ioctl(group_fd, VFIO_GROUP_GET_DEVICE_FD, name);
	if (d->fd < 0)
		return vfio_fail(d->fd, "VFIO_GROUP_GET_DEVICE_FD of %s", bdf);

	ret = region_info(d, VFIO_PCI_CONFIG_REGION_INDEX, &info);
	if (ret) {
		vfio_device_close(d);
		return vfio_fail(ret, "%s has no config space region", bdf);
	}
	d->config_off = info.offset;
	d->config_size = info.size;
	return 0;
}

int vfio_device_open(struct vfio_device *d, struct vfio_container *c, int type,
		     const char *bdf)
{
	int fd = vfio_container_attach(c, type, bdf);

	return fd < 0 ? fd : vfio_device_get(d, fd, bdf);
}

void vfio_device_close(struct vfio_device *d)
{
	int i;

	for (i = 0; i < 6; i++) {
		if (d->bar[i])
			munmap(d->bar[i], d->bar_size[i]);
		d->bar[i] = NULL;
	}
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

int vfio_device_map_bar(struct vfio_device *d, int bar)
{
	struct vfio_region_info info;
	void *p;
	int ret;

	if (d->bar[bar])
		return 0;
	ret = region_info(d, bar, &info);
	if (!ret && !(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		ret = -ENXIO;
	if (ret)
		return vfio_fail(ret, "BAR %d of %s cannot be mapped", bar,
				 d->bdf);
	p = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd,
		 info.offset);
	if (p == MAP_FAILED)
		return vfio_fail(-errno, "mmap BAR %d of %s", bar, d->bdf);
	d->bar[bar] = p;
	d->bar_size[bar] = info.size;
	return 0;
}

int vfio_device_config_read(const struct vfio_device *d, unsigned int off,
			    void *buf, size_t len)
{
	ssize_t n = pread(d->fd, buf, len, d->config_off + off);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

int vfio_device_config_write(const struct vfio_device *d, unsigned int off,
			     const void *buf, size_t len)
{
	ssize_t n = pwrite(d->fd, buf, len, d->config_off + off);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

/* Let it decode its BARs and be bus master */
int vfio_device_enable(const struct vfio_device *d)
{
	u16 cmd;
	int ret;

	ret = vfio_device_config_read(d, PCI_COMMAND, &cmd, sizeof(cmd));
	if (ret)
		return vfio_fail(ret, "read the command register of %s",
				 d->bdf);
	cmd |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	ret = vfio_device_config_write(d, PCI_COMMAND, &cmd, sizeof(cmd));
	if (ret)
		return vfio_fail(ret, "write the command register of %s",
				 d->bdf);
	return 0;
}

int vfio_device_power(const struct vfio_device *d, u16 state)
{
	u8 pos = 0, cap[2] = {};
	u16 ctrl;
	int ret, i;

	ret = vfio_device_config_read(d, PCI_CAPABILITY_LIST, &pos,
				      sizeof(pos));
	for (i = 0; !ret && pos && i < 48; i++, pos = cap[PCI_CAP_LIST_NEXT]) {
		ret = vfio_device_config_read(d, pos, cap, sizeof(cap));
		if (ret || cap[PCI_CAP_LIST_ID] != PCI_CAP_ID_PM)
			continue;
		ret = vfio_device_config_write(d, pos + PCI_PM_CTRL, &state,
					       sizeof(state));
		if (!ret)
			ret = vfio_device_config_read(d, pos + PCI_PM_CTRL,
						      &ctrl, sizeof(ctrl));
		if (!ret && (ctrl & PCI_PM_CTRL_STATE_MASK) != state)
			ret = -EIO;
		return ret ? vfio_fail(ret, "power state D%d of %s", state,
				       d->bdf) : 0;
	}
	return ret ?: -ENOENT;
}

int vfio_device_low_power(const struct vfio_device *d, bool enter)
{
	return vfio_device_feature_set(d, enter ?
				       VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY :
				       VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
				       NULL, 0);
}

/* Does vfio-pci let functions sleep that nobody has open?  */
bool vfio_idle_d3(void)
{
	char off = 'Y';
	int fd = open("/sys/module/vfio_pci/parameters/disable_idle_d3",
		      O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &off, 1) != 1)
		off = 'Y';
	close(fd);
	return off == 'N';
}

int vfio_wait_asleep(const char *bdf)
{
	u64 end = vfio_now_ms() + vfio_wait_ms;
	char status[32], state[32];
	int ret;

	/* Without CONFIG_PM there is no such file */
	for (;;) {
		if (vfio_sysfs_read(bdf, "power/runtime_status", status,
				    sizeof(status)) ||
		    vfio_sysfs_read(bdf, "power_state", state, sizeof(state)))
			return -ENOENT;
		if (!strcmp(status, "suspended") || vfio_now_ms() > end)
			break;
		usleep(10000);
	}
	ret = strcmp(status, "suspended") ? -ETIMEDOUT :
	      strncmp(state, "D3", 2) ? -ENOENT : 0;
	return ret ? vfio_fail(ret, "%s is %s, in %s", bdf, status, state) : 0;
}

int vfio_device_reset(const struct vfio_device *d)
{
	return vfio_ioctl(d->fd, VFIO_DEVICE_RESET, NULL);
}

int vfio_device_hot_reset(const struct vfio_device *d)
{
	struct {
		struct vfio_pci_hot_reset hdr;
		s32 group_fd;
	} arg = {
		.hdr.argsz = sizeof(arg),
		.hdr.count = 1,
		.group_fd = d->group_fd,
	};

	return vfio_ioctl(d->fd, VFIO_DEVICE_PCI_HOT_RESET, &arg);
}

int vfio_device_irq_eventfd(const struct vfio_device *d, unsigned int index,
			    unsigned int vector)
{
	struct {
		struct vfio_irq_set set;
		s32 fd;
	} req = {
		.set = {
			.argsz = sizeof(req),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD |
				 VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = index,
			.start = vector,
			.count = 1,
		},
	};
	int ret;

	req.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (req.fd < 0)
		return vfio_fail(-errno, "eventfd");
	ret = vfio_ioctl(d->fd, VFIO_DEVICE_SET_IRQS, &req);
	if (ret) {
		close(req.fd);
		return vfio_fail(ret, "VFIO_DEVICE_SET_IRQS, interrupt %u.%u of %s",
				 index, vector, d->bdf);
	}
	return req.fd;
}

static int feature(const struct vfio_device *d, u32 flags, void *data,
		   const void *from, size_t len)
{
	size_t total = sizeof(struct vfio_device_feature) + len;
	struct vfio_device_feature *f = calloc(1, total);
	int ret;

	if (!f)
		return -ENOMEM;
	f->argsz = total;
	f->flags = flags;
	if (len)
		memcpy(f->data, from, len);
	ret = vfio_ioctl(d->fd, VFIO_DEVICE_FEATURE, f);
	if (data)
		memcpy(data, f->data, len);
	free(f);
	return ret;
}

int vfio_device_feature_get(const struct vfio_device *d, u32 number,
			    void *data, size_t len)
{
	return feature(d, VFIO_DEVICE_FEATURE_GET | number, data, data, len);
}

int vfio_device_feature_set(const struct vfio_device *d, u32 number,
			    const void *data, size_t len)
{
	return feature(d, VFIO_DEVICE_FEATURE_SET | number, NULL, data, len);
}

int vfio_device_region(const struct vfio_device *d, u32 type, u32 subtype,
		       struct vfio_region_info *info)
{
	struct vfio_device_info dev = { .argsz = sizeof(dev) };
	union {
		struct vfio_region_info info;
		u8 raw[512];
	} r;
	const struct vfio_region_info_cap_type *cap;
	unsigned int i, off;
	int ret;

	ret = vfio_ioctl(d->fd, VFIO_DEVICE_GET_INFO, &dev);
	if (ret)
		return vfio_fail(ret, "VFIO_DEVICE_GET_INFO of %s", d->bdf);
	for (i = VFIO_PCI_NUM_REGIONS; i < dev.num_regions; i++) {
		memset(&r, 0, sizeof(r));
		r.info.argsz = sizeof(r);
		r.info.index = i;
		ret = vfio_ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &r.info);
		if (ret)
			return vfio_fail(ret, "region %u of %s", i, d->bdf);
		for (off = r.info.cap_offset; off; off = cap->header.next) {
			cap = (void *)(r.raw + off);
			if (cap->header.id != VFIO_REGION_INFO_CAP_TYPE ||
			    cap->type != type || cap->subtype != subtype)
				continue;
			*info = r.info;
			return 0;
		}
	}
	return -ENOENT;
}
