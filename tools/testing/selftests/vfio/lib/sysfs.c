// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libvfio.h"

#define PCI_DEVICES	"/sys/bus/pci/devices"
#define VFIO_PCI	"/sys/bus/pci/drivers/vfio-pci"

/* Hexadecimal digits and nothing else, which sscanf() does not ask for */
static const char *hex_digits(const char *s, unsigned int max, unsigned int *v)
{
	char *end;

	if (!s || !isxdigit((unsigned char)*s))
		return NULL;
	*v = strtoul(s, &end, 16);
	return strspn(s, "0123456789abcdefABCDEF") == (size_t)(end - s) &&
	       *v <= max ? end : NULL;
}

static const char *one_char(const char *s, char c)
{
	return s && *s == c ? s + 1 : NULL;
}

/* [domain:]bus:device.function, to the form that sysfs uses */
int vfio_parse_bdf(const char *arg, char *bdf)
{
	unsigned int dom = 0, bus, dev, fn;
	const char *s = arg;

	/* The domain is the first of three numbers with colons */
	if (strchr(arg, ':') != strrchr(arg, ':'))
		s = one_char(hex_digits(s, 0xffff, &dom), ':');
	s = one_char(hex_digits(s, 0xff, &bus), ':');
	s = one_char(hex_digits(s, 0x1f, &dev), '.');
	s = hex_digits(s, 7, &fn);
	if (!s || *s)
		return vfio_fail(-EINVAL, "\"%s\" is no PCI address", arg);
	snprintf(bdf, VFIO_BDF_LEN, "%04x:%02x:%02x.%x", dom, bus, dev, fn);
	return 0;
}

int vfio_sysfs_read(const char *bdf, const char *file, char *buf, size_t len)
{
	char path[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", bdf, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return vfio_fail(-errno, "open %s", path);
	n = read(fd, buf, len - 1);
	if (n < 0)
		n = vfio_fail(-errno, "read %s of %s", file, bdf);
	close(fd);
	if (n < 0)
		return n;
	while (n > 0 && isspace(buf[n - 1]))
		n--;
	buf[n] = 0;
	return 0;
}

int vfio_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return vfio_fail(-errno, "open %s", path);
	if (write(fd, text, strlen(text)) < 0)
		ret = vfio_fail(-errno, "write %s", path);
	close(fd);
	return ret;
}

int vfio_sysfs_write(const char *bdf, const char *file, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", bdf, file);
	return vfio_write_file(path, text);
}

/* The last component of where a link points */
int vfio_sysfs_link(const char *bdf, const char *file, char *buf, size_t len)
{
	char path[256], target[256], *base;
	ssize_t n;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", bdf, file);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return vfio_fail(-errno, "readlink %s", path);
	target[n] = 0;
	base = strrchr(target, '/');
	snprintf(buf, len, "%s", base ? base + 1 : target);
	return 0;
}

int vfio_sysfs_id(const char *bdf, const char *file)
{
	char text[32];
	int ret = vfio_sysfs_read(bdf, file, text, sizeof(text));

	return ret ? ret : (int)strtoul(text, NULL, 16);
}

static int compare_bdf(const void *a, const void *b)
{
	return strcmp(a, b);
}

int vfio_find_bound(char bdfs[][VFIO_BDF_LEN], int max)
{
	DIR *dir = opendir(VFIO_PCI);
	struct dirent *e;
	int n = 0;

	if (!dir)
		return 0;
	while (n < max && (e = readdir(dir))) {
		/* Not "bind" and the like */
		if (strchr(e->d_name, ':') &&
		    !vfio_parse_bdf(e->d_name, bdfs[n]))
			n++;
	}
	closedir(dir);
	qsort(bdfs, n, VFIO_BDF_LEN, compare_bdf);
	return n;
}

int vfio_find_id(int vendor, int device, char *bdf)
{
	DIR *dir = opendir(PCI_DEVICES);
	int ret = -ENODEV;
	struct dirent *e;

	if (!dir)
		return vfio_fail(-errno, "open " PCI_DEVICES);
	while ((e = readdir(dir))) {
		if (!isxdigit(e->d_name[0]) ||
		    vfio_sysfs_id(e->d_name, "vendor") != vendor ||
		    vfio_sysfs_id(e->d_name, "device") != device)
			continue;
		/* The first one in the order of addresses */
		if (!ret && strcmp(bdf, e->d_name) < 0)
			continue;
		ret = vfio_parse_bdf(e->d_name, bdf);
	}
	closedir(dir);
	if (ret)
		vfio_fail(ret, "no PCI function %04x:%04x", vendor, device);
	return ret;
}

/* What the IOMMU calls it: bus, device, function */
unsigned int vfio_sid(const char *bdf)
{
	unsigned int dom, bus, dev, fn;

	if (sscanf(bdf, "%x:%x:%x.%x", &dom, &bus, &dev, &fn) != 4)
		return IMON_SEL_ANY;
	return bus << 8 | dev << 3 | fn;
}
