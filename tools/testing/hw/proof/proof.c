// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "proof.h"

#define PTD_BAR0_LEN	(64ul << 10)

static jmp_buf out;
static int outcome;
static char why[512];

enum { PASS, FAIL, SKIP };

static void __attribute__((noreturn)) leave(int how, const char *fmt,
					    va_list ap)
{
	vsnprintf(why, sizeof(why), fmt, ap);
	outcome = how;
	longjmp(out, 1);
}

void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	leave(FAIL, fmt, ap);
}

void skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	leave(SKIP, fmt, ap);
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("Bail out! ");
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
	exit(1);
}

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("# ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
}

static bool wanted(const struct test *t, char **argv)
{
	if (!argv[1])
		return !t->named;
	while (*++argv)
		if (!strcmp(*argv, t->name))
			return true;
	return false;
}

int run_tests_argv(const struct test *tests, unsigned int n, char **argv)
{
	volatile unsigned int i, failed = 0, plan = 0, done = 0;

	for (i = 0; i < n; i++)
		plan += wanted(&tests[i], argv);
	if (!plan)
		die("no test has such a name");
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n1..%u\n", plan);
	for (i = 0; i < n; i++) {
		if (!wanted(&tests[i], argv))
			continue;
		done++;
		outcome = PASS;
		if (!setjmp(out))
			tests[i].fn();
		if (outcome == FAIL) {
			failed++;
			note("%s", why);
		}
		printf("%sok %u %s%s%s\n", outcome == FAIL ? "not " : "",
		       done, tests[i].name, outcome == SKIP ? " # SKIP " : "",
		       outcome == SKIP ? why : "");
	}
	return failed != 0;
}

int run_tests(const struct test *tests, unsigned int n)
{
	char *none[2] = { NULL };

	return run_tests_argv(tests, n, none);
}

/* Like fopen and friends, but a test cannot go on without */
static long read_num(const char *path)
{
	char buf[32] = "";
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read(fd, buf, sizeof(buf) - 1) <= 0)
		die("%s: %s", path, strerror(errno));
	close(fd);
	return strtol(buf, NULL, 0);
}

int write_file(const char *path, const char *val)
{
	int fd = open(path, O_WRONLY);
	int ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, val, strlen(val)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static const char *pci_path(const char *bdf, const char *file)
{
	static char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.15s/%s", bdf,
		 file);
	return path;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

bool pci_find(uint16_t vendor, uint16_t device, int nth, char bdf[BDF_LEN])
{
	struct dirent **list;
	int i, n = scandir("/sys/bus/pci/devices", &list, NULL, by_name);
	bool found = false;

	for (i = 0; i < n; i++) {
		const char *name = list[i]->d_name;

		if (!found && name[0] != '.' &&
		    read_num(pci_path(name, "vendor")) == vendor &&
		    read_num(pci_path(name, "device")) == device &&
		    nth-- == 0) {
			snprintf(bdf, BDF_LEN, "%.15s", name);
			found = true;
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return found;
}

uint32_t pci_sid(const char *bdf)
{
	unsigned int dom, bus, dev, fn;

	if (sscanf(bdf, "%x:%x:%x.%x", &dom, &bus, &dev, &fn) != 4)
		die("%s is no PCI address", bdf);
	return bus << 8 | dev << 3 | fn;
}

void pci_bind(const char *bdf, const char *driver)
{
	char link[128], now[128] = "";
	ssize_t n;

	snprintf(link, sizeof(link), "%s", pci_path(bdf, "driver"));
	n = readlink(link, now, sizeof(now) - 1);
	if (n > 0 && !strcmp(strrchr(now, '/') + 1, driver))
		return;
	if (n > 0)
		write_file(pci_path(bdf, "driver/unbind"), bdf);
	if (write_file(pci_path(bdf, "driver_override"), driver) ||
	    write_file("/sys/bus/pci/drivers_probe", bdf))
		die("cannot bind %s to %s", bdf, driver);
	n = readlink(link, now, sizeof(now) - 1);
	if (n <= 0)
		die("%s does not take %s", driver, bdf);
}

uint32_t pci_config_read(const char *bdf, int off, int size)
{
	uint32_t val = 0;
	int fd = open(pci_path(bdf, "config"), O_RDONLY);

	if (fd < 0 || pread(fd, &val, size, off) != size)
		die("%s: config space at %#x: %s", bdf, off, strerror(errno));
	close(fd);
	return val;
}

void pci_config_write(const char *bdf, int off, int size, uint32_t val)
{
	int fd = open(pci_path(bdf, "config"), O_WRONLY);

	if (fd < 0 || pwrite(fd, &val, size, off) != size)
		die("%s: config space at %#x: %s", bdf, off, strerror(errno));
	close(fd);
}

int pci_ext_cap(const char *bdf, uint16_t id)
{
	int pos = 0x100;

	while (pos) {
		uint32_t head = pci_config_read(bdf, pos, 4);

		if (PCI_EXT_CAP_ID(head) == id)
			return pos;
		pos = PCI_EXT_CAP_NEXT(head);
	}
	return 0;
}

void ptd_open_cdev(struct ptd *d, const char *bdf, int iommufd)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = iommufd,
	};
	char path[300];
	struct dirent *e;
	DIR *dir;

	memset(d, 0, sizeof(*d));
	snprintf(d->bdf, sizeof(d->bdf), "%s", bdf);
	d->sid = pci_sid(bdf);
	pci_bind(bdf, "vfio-pci");
	dir = opendir(pci_path(bdf, "vfio-dev"));
	if (!dir)
		die("%s has no vfio-dev: no CONFIG_VFIO_DEVICE_CDEV?", bdf);
	while ((e = readdir(dir)) && e->d_name[0] == '.')
		;
	if (!e)
		die("%s: vfio-dev is empty", bdf);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", e->d_name);
	closedir(dir);
	d->fd = open(path, O_RDWR);
	if (d->fd < 0)
		die("%s: %s", path, strerror(errno));
	if (ioctl(d->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		die("VFIO_DEVICE_BIND_IOMMUFD: %s", strerror(errno));
	d->devid = bind.out_devid;
}

void ptd_open_group(struct ptd *d, const char *bdf, int container, int *group)
{
	char path[128], link[128] = "";

	memset(d, 0, sizeof(*d));
	snprintf(d->bdf, sizeof(d->bdf), "%s", bdf);
	d->sid = pci_sid(bdf);
	pci_bind(bdf, "vfio-pci");
	if (readlink(pci_path(bdf, "iommu_group"), link, sizeof(link) - 1) < 0)
		die("%s has no IOMMU group", bdf);
	snprintf(path, sizeof(path), "/dev/vfio/%.100s",
		 strrchr(link, '/') + 1);
	*group = open(path, O_RDWR);
	if (*group < 0)
		die("%s: %s", path, strerror(errno));
	if (ioctl(*group, VFIO_GROUP_SET_CONTAINER, &container))
		die("VFIO_GROUP_SET_CONTAINER: %s", strerror(errno));
	if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) &&
	    errno != EINVAL)
		die("VFIO_SET_IOMMU: %s", strerror(errno));
	d->fd = ioctl(*group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (d->fd < 0)
		die("VFIO_GROUP_GET_DEVICE_FD: %s", strerror(errno));
}

static struct vfio_region_info region(struct ptd *d, unsigned int index)
{
	struct vfio_region_info r = { .argsz = sizeof(r), .index = index };

	if (ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &r))
		die("VFIO_DEVICE_GET_REGION_INFO: %s", strerror(errno));
	return r;
}

void ptd_map(struct ptd *d)
{
	struct vfio_region_info r = region(d, VFIO_PCI_BAR0_REGION_INDEX);

	d->bar = mmap(NULL, r.size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd,
		      r.offset);
	if (d->bar == MAP_FAILED)
		die("mapping BAR0: %s", strerror(errno));
	if (ptd_r32(d, PTD_ID) != PTD_ID_VALUE)
		die("BAR0 of %s starts with %#x", d->bdf, ptd_r32(d, PTD_ID));
}

void ptd_open_sysfs(struct ptd *d, const char *bdf)
{
	memset(d, 0, sizeof(*d));
	snprintf(d->bdf, sizeof(d->bdf), "%s", bdf);
	d->sid = pci_sid(bdf);
	d->fd = open(pci_path(bdf, "resource0"), O_RDWR);
	if (d->fd < 0)
		die("%s: resource0: %s", bdf, strerror(errno));
	d->bar = mmap(NULL, PTD_BAR0_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
		      d->fd, 0);
	if (d->bar == MAP_FAILED)
		die("mapping resource0: %s", strerror(errno));
	if (ptd_r32(d, PTD_ID) != PTD_ID_VALUE)
		die("BAR0 of %s starts with %#x", d->bdf, ptd_r32(d, PTD_ID));
}

void ptd_close(struct ptd *d)
{
	/* the mapping holds the device as well */
	munmap((void *)d->bar, region(d, VFIO_PCI_BAR0_REGION_INDEX).size);
	close(d->fd);
}

void ptd_bus_master(struct ptd *d, bool on)
{
	struct vfio_region_info r = region(d, VFIO_PCI_CONFIG_REGION_INDEX);
	uint16_t cmd;

	if (pread(d->fd, &cmd, 2, r.offset + PCI_COMMAND) != 2)
		die("reading the command register: %s", strerror(errno));
	cmd |= PCI_COMMAND_MEMORY;
	if (on)
		cmd |= PCI_COMMAND_MASTER;
	else
		cmd &= ~PCI_COMMAND_MASTER;
	if (pwrite(d->fd, &cmd, 2, r.offset + PCI_COMMAND) != 2)
		die("writing the command register: %s", strerror(errno));
}

void ptd_enable_irqs(struct ptd *d, const int *eventfds, int n)
{
	struct vfio_irq_set *set;
	size_t len = sizeof(*set) + n * sizeof(int);

	set = calloc(1, len);
	set->argsz = len;
	set->index = VFIO_PCI_MSIX_IRQ_INDEX;
	set->count = n;
	if (n) {
		set->flags = VFIO_IRQ_SET_DATA_EVENTFD |
			     VFIO_IRQ_SET_ACTION_TRIGGER;
		memcpy(set->data, eventfds, n * sizeof(int));
	} else {
		set->flags = VFIO_IRQ_SET_DATA_NONE |
			     VFIO_IRQ_SET_ACTION_TRIGGER;
	}
	if (ioctl(d->fd, VFIO_DEVICE_SET_IRQS, set))
		die("VFIO_DEVICE_SET_IRQS: %s", strerror(errno));
	free(set);
}

void ptd_reset(struct ptd *d)
{
	int q;

	ptd_w32(d, PTD_CTRL, PTD_CTRL_RESET);
	for (q = 0; q < 8; q++)
		ptd_w32(d, PTD_QUEUE(q) + PTD_Q_CTRL, PTD_Q_CTRL_ENABLE);
}

void ptd_start(struct ptd *d)
{
	ptd_map(d);
	ptd_bus_master(d, true);
	ptd_reset(d);
}

void ptd_submit(struct ptd *d, int q, const struct ptd_desc *desc)
{
	const uint32_t *w = (const uint32_t *)desc;
	unsigned int i;

	for (i = 0; i < sizeof(*desc) / 4; i++)
		ptd_w32(d, PTD_QUEUE(q) + PTD_Q_DESC + 4 * i, w[i]);
	ptd_w32(d, PTD_QUEUE(q) + PTD_Q_DOORBELL, 1);
}

struct ptd_record ptd_wait(struct ptd *d, int q)
{
	struct ptd_record r;
	uint32_t *w = (uint32_t *)&r;
	unsigned int i;

	if (!wait_until(ptd_r32(d, PTD_QUEUE(q) + PTD_Q_CPL_COUNT)))
		fail("queue %d: no completion in %d s", q, PATIENCE_S);
	for (i = 0; i < sizeof(r) / 4; i++)
		w[i] = ptd_r32(d, PTD_QUEUE(q) + PTD_Q_CPL + 4 * i);
	ptd_w32(d, PTD_QUEUE(q) + PTD_Q_CPL_POP, 1);
	return r;
}

struct ptd_record ptd_do(struct ptd *d, const struct ptd_desc *desc)
{
	struct ptd_record r;

	ptd_submit(d, 0, desc);
	r = ptd_wait(d, 0);
	if (r.tag != desc->tag)
		fail("completion of %#x instead of %#x", r.tag, desc->tag);
	return r;
}

struct ptd_record ptd_copy(struct ptd *d, uint64_t src, uint64_t dst,
			   uint32_t len)
{
	static uint32_t tag = 0x1000;
	struct ptd_desc desc = {
		.op = PTD_OP_MEMMOVE,
		.tag = tag++,
		.src = src,
		.dst = dst,
		.len = len,
	};

	return ptd_do(d, &desc);
}

static volatile uint8_t *mon;

void mon_open(void)
{
	char bdf[BDF_LEN];
	int fd;

	if (mon)
		return;
	if (!pci_find(IMON_VENDOR_ID, IMON_DEVICE_ID, 0, bdf))
		die("this machine has no iommu-monitor");
	/* no driver has switched it on */
	if (write_file(pci_path(bdf, "enable"), "1"))
		die("cannot enable %s", bdf);
	fd = open(pci_path(bdf, "resource0"), O_RDWR | O_SYNC);
	if (fd < 0)
		die("%s: resource0: %s", bdf, strerror(errno));
	mon = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (mon == MAP_FAILED)
		die("mapping the monitor: %s", strerror(errno));
	if (mon_r32(IMON_ID) != IMON_ID_VALUE)
		die("the monitor starts with %#x", mon_r32(IMON_ID));
}

uint64_t mon_r64(unsigned int reg)
{
	return *(volatile uint64_t *)(mon + reg);
}

uint32_t mon_r32(unsigned int reg)
{
	return *(volatile uint32_t *)(mon + reg);
}

void mon_w32(unsigned int reg, uint32_t val)
{
	*(volatile uint32_t *)(mon + reg) = val;
}

void mon_w64(unsigned int reg, uint64_t val)
{
	*(volatile uint64_t *)(mon + reg) = val;
}

uint64_t mon_count(uint32_t event, uint32_t sid, uint32_t pasid)
{
	mon_w32(IMON_SEL_EVENT, event);
	mon_w32(IMON_SEL_SID, sid);
	mon_w32(IMON_SEL_PASID, pasid);
	return mon_r64(IMON_COUNT);
}

void *page_alloc(size_t len, size_t align)
{
	uint8_t *p = mmap(NULL, len + align, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("%zu bytes of memory: %s", len, strerror(errno));
	return (void *)(((uintptr_t)p + align - 1) & ~(align - 1));
}

static uint8_t pattern(size_t i, uint8_t seed)
{
	return seed ^ i ^ i >> 8 ^ i >> 12;
}

void fill(void *p, size_t len, uint8_t seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		((volatile uint8_t *)p)[i] = pattern(i, seed);
}

bool filled(const void *p, size_t len, uint8_t seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (((volatile const uint8_t *)p)[i] != pattern(i, seed))
			return false;
	return true;
}
