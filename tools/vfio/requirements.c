// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why does this machine not nest?
 *
 * Everything is read from files, so the answer can be had for a device that
 * is in use, and for a copy of another machine's files.  Each check says what
 * it looked at; the order is the one in which people have to mend things.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "requirements.h"

#define PCI_CLASS_BRIDGE	0x06

/* PCI Express Base Specification 6.0, 7.5.3, 7.7.11, 7.8.9, 10.5.1, 10.5.2 */
#define PCI_CAP_ID_EXP		0x10
#define PCI_EXP_FLAGS		0x02
#define PCI_EXP_DEVCAP2		0x24
#define PCI_EXP_DEVCAP2_EE_PREFIX	BIT(21)
#define PCI_EXT_CAP_ID_ACS	0x0d
#define PCI_EXT_CAP_ID_ATS	0x0f
#define PCI_EXT_CAP_ID_PRI	0x13
#define PCI_EXT_CAP_ID_PASID	0x1b
#define PCI_ACS_CAP		0x04
#define PCI_ACS_CTRL		0x06
#define PCI_ACS_RR		BIT(2)
#define PCI_ACS_UF		BIT(4)
#define PCI_PASID_CAP		0x04
#define PCI_PRI_STATUS		0x06
#define PCI_PRI_STATUS_PASID	BIT(15)
#define EXP_TYPE_ROOT_PORT	4
#define EXP_TYPE_UPSTREAM	5
#define EXP_TYPE_DOWNSTREAM	6
#define EXP_TYPE_RC_END		9

/* VT-d specification 4.1, 11.4.3: Extended Capability Register */
#define VTD_ECAP_DT		BIT_ULL(2)
#define VTD_ECAP_NEST		BIT_ULL(26)
#define VTD_ECAP_PRS		BIT_ULL(29)
#define VTD_ECAP_PSS(ecap)	((ecap) >> 35 & 0x1f)	/* bits, less 1 */
#define VTD_ECAP_PASID		BIT_ULL(40)
#define VTD_ECAP_PDS		BIT_ULL(42)
#define VTD_ECAP_SMTS		BIT_ULL(43)

#define CFG_SIZE		4096
#define DEPTH_MAX		16

/* A function and the ports above it, the function first */
struct pci_path {
	struct {
		char bdf[VFIO_BDF_LEN];
		u8 cfg[CFG_SIZE];
		int len;
	} fn[DEPTH_MAX];
	int nr;
};

/*
 * A VF has the PASIDs and the PRI of its PF (PCIe 6.0, 7.8.9, 10.5.2): @path is
 * that of the PF, if @bdf is a VF.  Its ATS is its own.
 */
struct search {
	struct requirements *reqs;
	const char *root;
	const char *bdf;
	struct pci_path path;
	struct pci_path own;
	bool is_vf;
	bool no_ats;		/* the IOMMU serves none */
	bool no_pri;
	unsigned int pasid_bits;	/* of the IOMMU, 0 if not known */
	bool is_smmu;
	bool pasids;	/* of the device, that the IOMMU knows as well */
};

/* what is left in that case */
static const char no_pasid[] = "only requests without PASID nest";

const char *req_state_name(enum req_state state)
{
	static const char * const names[] = {
		[REQ_OK] = "ok",
		[REQ_NO] = "missing",
		[REQ_LIMIT] = "limited",
		[REQ_UNKNOWN] = "unknown",
	};

	return names[state];
}

bool requirements_missing(const struct requirements *reqs)
{
	unsigned int i;

	for (i = 0; i < reqs->nr; i++)
		if (reqs->r[i].state == REQ_NO)
			return true;
	return false;
}

static struct requirement *add(struct search *s, const char *id,
			       enum req_state state, const char *fmt, ...)
	VFIO_PRINTF(4, 5);

static struct requirement *add(struct search *s, const char *id,
			       enum req_state state, const char *fmt, ...)
{
	static struct requirement overflow;
	struct requirement *r = &overflow;
	va_list ap;

	if (s->reqs->nr < REQ_MAX)
		r = &s->reqs->r[s->reqs->nr++];
	r->id = id;
	r->state = state;
	r->next[0] = 0;
	va_start(ap, fmt);
	vsnprintf(r->what, sizeof(r->what), fmt, ap);
	va_end(ap);
	return r;
}

static void next(struct requirement *r, const char *fmt, ...)
	VFIO_PRINTF(2, 3);

static void next(struct requirement *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->next, sizeof(r->next), fmt, ap);
	va_end(ap);
}

/* One more line of it */
static void also(struct requirement *r, const char *fmt, ...)
	VFIO_PRINTF(2, 3);

static void also(struct requirement *r, const char *fmt, ...)
{
	size_t len = strlen(r->next);
	va_list ap;

	if (len + 1 >= sizeof(r->next))
		return;
	r->next[len++] = '\n';
	va_start(ap, fmt);
	vsnprintf(r->next + len, sizeof(r->next) - len, fmt, ap);
	va_end(ap);
}

/*
 * Files
 */

static void path_of(const struct search *s, char *path, const char *fmt, ...)
	VFIO_PRINTF(3, 4);

static void path_of(const struct search *s, char *path, const char *fmt, ...)
{
	int n = snprintf(path, PATH_MAX, "%s", s->root);
	va_list ap;

	va_start(ap, fmt);
	if (n < PATH_MAX)
		vsnprintf(path + n, PATH_MAX - n, fmt, ap);
	va_end(ap);
}

/* Returns the number of bytes, which are followed by a 0, or -errno */
static int slurp(const char *path, void *buf, int size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	((char *)buf)[n < 0 ? 0 : n] = 0;
	return n;
}

/* The last component of where a link points */
static int link_of(const char *path, char *name, size_t size)
{
	char target[PATH_MAX], *base;
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = 0;
	base = strrchr(target, '/');
	if (strlen(base ? base + 1 : target) >= size)
		return -ENAMETOOLONG;
	snprintf(name, size, "%s", base ? base + 1 : target);
	return 0;
}

/*
 * Configuration space
 */

static u16 cfg16(const u8 *cfg, int off)
{
	return cfg[off] | cfg[off + 1] << 8;
}

static u32 cfg32(const u8 *cfg, int off)
{
	return cfg16(cfg, off) | (u32)cfg16(cfg, off + 2) << 16;
}

/* PCI Express capability, 0: none */
static int exp_cap(const u8 *cfg, int len)
{
	int pos, ttl = 48;

	if (len < 256)
		return 0;
	for (pos = cfg[0x34] & ~3; pos >= 0x40 && ttl--;
	     pos = cfg[pos + 1] & ~3)
		if (cfg[pos] == PCI_CAP_ID_EXP)
			return pos;
	return 0;
}

static int ext_cap(const u8 *cfg, int len, u16 id)
{
	int pos = 0x100, ttl = (CFG_SIZE - 0x100) / 8;
	u32 header;

	while (pos >= 0x100 && pos + 8 <= len && ttl--) {
		header = cfg32(cfg, pos);
		if (!header)
			break;
		if ((header & 0xffff) == id)
			return pos;
		pos = header >> 20 & ~3;
	}
	return 0;
}

static int exp_type(const u8 *cfg, int len)
{
	int pos = exp_cap(cfg, len);

	return pos ? cfg16(cfg, pos + PCI_EXP_FLAGS) >> 4 & 0xf : -1;
}

/* sysfs nests the directories of PCI functions as the ports are nested */
static bool read_path(const struct search *s, struct pci_path *p,
		      const char *link)
{
	char path[PATH_MAX], real[PATH_MAX], *slash;

	path_of(s, path, "/sys/bus/pci/devices/%s%s", s->bdf, link);
	if (!realpath(path, real))
		return false;
	while (p->nr < DEPTH_MAX) {
		slash = strrchr(real, '/');
		if (!slash ||
		    vfio_parse_bdf(slash + 1, p->fn[p->nr].bdf))
			break;
		if (strlen(real) + sizeof("/config") > sizeof(path))
			break;
		snprintf(path, sizeof(path), "%.*s/config",
			 (int)(sizeof(path) - sizeof("/config")), real);
		p->fn[p->nr].len = slurp(path, p->fn[p->nr].cfg, CFG_SIZE);
		p->nr++;
		*slash = 0;
	}
	return p->nr;
}

/*
 * The kernel
 */

static const char *config_value(const char *text, const char *option,
				char *value, size_t size)
{
	size_t len = strlen(option);
	const char *p = text;

	while ((p = strstr(p, option))) {
		if ((p == text || p[-1] == '\n') && p[len] == '=') {
			snprintf(value, size, "%.*s",
				 (int)strcspn(p + len + 1, "\n"), p + len + 1);
			return value;
		}
		p += len;
	}
	return NULL;
}

/* Of the kernel that is looked at, a copy of which may lack it */
static void read_release(const struct search *s, char *release, size_t size)
{
	char path[PATH_MAX];
	struct utsname u;

	path_of(s, path, "/proc/sys/kernel/osrelease");
	if (slurp(path, release, size) > 0) {
		release[strcspn(release, "\n")] = 0;
	} else if (s->root[0]) {
		snprintf(release, size, "RELEASE");
	} else {
		uname(&u);
		snprintf(release, size, "%s", u.release);
	}
}

static char *read_config(const struct search *s)
{
	const size_t size = 1 << 20;
	char path[PATH_MAX], release[128];
	char *text = malloc(size);
	int n;

	if (!text)
		return NULL;
	read_release(s, release, sizeof(release));
	path_of(s, path, "/boot/config-%s", release);
	n = slurp(path, text, size);
	if (n <= 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* With the running kernel asked, no guess is needed */
static int ask_kernel(const struct search *s)
{
	int fd, ret;

	if (s->root[0])
		return -ENOENT;
	fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = vfio_ioctl(fd, VFIO_CHECK_EXTENSION,
			 (void *)(unsigned long)VFIO_TYPE1_NESTING_API);
	close(fd);
	return ret;
}

static void check_kernel(struct search *s)
{
	static const char * const options[] = {
		"CONFIG_VFIO", "CONFIG_VFIO_PCI", "CONFIG_VFIO_IOMMU_TYPE1",
		"CONFIG_IOMMU_NESTING", "CONFIG_VFIO_IOMMU_TYPE1_NESTING",
	};
	char *config = NULL, value[64], release[128];
	struct requirement *r;
	unsigned int i;
	int ret;

	ret = ask_kernel(s);
	if (ret == 1) {
		add(s, "kernel", REQ_OK,
		    "this kernel has nesting for VFIO containers");
		return;
	}
	config = read_config(s);
	for (i = 0; config && i < ARRAY_SIZE(options); i++) {
		if (config_value(config, options[i], value, sizeof(value)))
			continue;
		r = add(s, "kernel", REQ_NO, "the kernel has no %s",
			options[i]);
		if (strstr(options[i], "NESTING"))
			next(r, "Boot a kernel with the vfio-nesting patches and this option.");
		else
			next(r, "Boot a kernel with this option.");
		goto out;
	}
	if (config && ret == -ENOENT) {
		r = add(s, "kernel", s->root[0] ? REQ_OK : REQ_NO,
			"the kernel's configuration has all that is needed");
		if (!s->root[0])
			next(r, "No /dev/vfio/vfio: modprobe -a vfio-pci vfio_iommu_type1");
	} else if (s->root[0]) {
		read_release(s, release, sizeof(release));
		r = add(s, "kernel", REQ_UNKNOWN,
			"the copy has no /boot/config-%s", release);
		next(r, "Copy it, or what that machine's /proc/config.gz unpacks to.");
	} else if (ret == -EACCES) {
		r = add(s, "kernel", REQ_UNKNOWN,
			"/dev/vfio/vfio cannot be opened: permission denied");
		next(r, "Run this as root.");
	} else if (ret == 0) {
		r = add(s, "kernel", REQ_NO,
			"type1 containers of this kernel have no nesting");
		next(r, "modprobe vfio_iommu_type1.  If that does not help, boot a kernel");
		also(r, "with CONFIG_VFIO_IOMMU_TYPE1_NESTING.");
	} else {
		r = add(s, "kernel", REQ_NO, "/dev/vfio/vfio: %s",
			strerror(-ret));
		next(r, "modprobe -a vfio-pci vfio_iommu_type1; the kernel needs CONFIG_VFIO.");
	}
out:
	free(config);
}

/*
 * The IOMMU
 */

/* What option=...,word,... says last: yes: 1, no: 0, neither: -1 */
static int cmdline_says(const struct search *s, const char *option,
			const char *yes, const char *no)
{
	char path[PATH_MAX], text[4096], *arg, *w, *save, *save2;
	size_t len = strlen(option);
	int says = -1;

	path_of(s, path, "/proc/cmdline");
	if (slurp(path, text, sizeof(text)) <= 0)
		return -1;
	for (arg = strtok_r(text, " \t\n", &save); arg;
	     arg = strtok_r(NULL, " \t\n", &save)) {
		if (strncmp(arg, option, len) || arg[len] != '=')
			continue;
		for (w = strtok_r(arg + len + 1, ",", &save2); w;
		     w = strtok_r(NULL, ",", &save2)) {
			if (!strcmp(w, yes))
				says = 1;
			else if (!strcmp(w, no))
				says = 0;
		}
	}
	return says;
}

static void check_vtd(struct search *s, const char *dir, const char *name)
{
	char path[PATH_MAX], text[64];
	struct requirement *r;
	u64 ecap;
	int sm;

	s->reqs->iommu_takes =
		"Put intel_iommu=on,sm_on on the kernel's command line.";
	if (strlen(dir) + sizeof("/intel-iommu/ecap") > sizeof(path))
		return;
	snprintf(path, sizeof(path), "%.*s/intel-iommu/ecap",
		 (int)(sizeof(path) - sizeof("/intel-iommu/ecap")), dir);
	if (slurp(path, text, sizeof(text)) <= 0) {
		add(s, "iommu", REQ_UNKNOWN, "%s: cannot read its registers",
		    name);
		return;
	}
	ecap = strtoull(text, NULL, 16);
	if (!(ecap & VTD_ECAP_SMTS) || !(ecap & VTD_ECAP_NEST)) {
		r = add(s, "iommu", REQ_NO, "%s (VT-d) has no %s", name,
			ecap & VTD_ECAP_SMTS ? "nested translation" :
			"scalable mode");
		next(r, "The hardware has none, or the firmware hides it.");
		also(r, "Xeons have it from Sapphire Rapids on.");
		return;
	}
	add(s, "iommu", REQ_OK,
	    "%s (VT-d) has scalable mode and nested translation", name);
	s->no_ats = !(ecap & VTD_ECAP_DT);
	s->no_pri = !(ecap & VTD_ECAP_PRS) || !(ecap & VTD_ECAP_PDS);
	s->pasid_bits = VTD_ECAP_PSS(ecap) + 1;
	if (!(ecap & VTD_ECAP_PASID)) {
		s->pasids = false;
		add(s, "iommu-pasid", REQ_LIMIT,
		    "%s knows no PASIDs: %s", name, no_pasid);
	}
	sm = cmdline_says(s, "intel_iommu", "sm_on", "sm_off");
	if (sm == 1) {
		add(s, "scalable-mode", REQ_OK,
		    "scalable mode is asked for on the command line");
	} else {
		char *config = read_config(s), value[8];
		bool on = config && sm &&
			config_value(config,
				     "CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON",
				     value, sizeof(value));

		/* without the configuration, who knows */
		r = add(s, "scalable-mode", on ? REQ_OK :
			sm && !config ? REQ_UNKNOWN : REQ_NO,
			on ? "scalable mode is on by default" :
			!sm ? "scalable mode is off on the command line" :
			config ? "scalable mode is not asked for" :
			"scalable mode is not asked for; it may be on by default");
		if (!on)
			next(r, "Put intel_iommu=on,sm_on on the kernel's command line.");
		free(config);
	}
}

/* What to do about it depends on the processor and on who runs it */
static void no_iommu(const struct search *s, struct requirement *r)
{
	char path[PATH_MAX], cpu[8192];

	path_of(s, path, "/proc/cpuinfo");
	if (slurp(path, cpu, sizeof(cpu)) < 0)
		cpu[0] = 0;
	if (strstr(cpu, "CPU implementer")) {
		next(r, "The firmware has to describe it to the kernel (IORT, device tree),");
		also(r, "and the kernel needs CONFIG_ARM_SMMU_V3.");
	} else if (cmdline_says(s, "intel_iommu", "on", "off") == 1) {
		next(r, "The command line has intel_iommu=on: turn VT-d on in the firmware.");
	} else {
		next(r, "Turn it on in the firmware, and on the kernel's command line:");
		also(r, "intel_iommu=on,sm_on");
	}
	if (strstr(cpu, " hypervisor"))
		also(r, "A virtual machine has the IOMMU that its hypervisor gives it.");
}

static bool check_iommu(struct search *s)
{
	char path[PATH_MAX], name[64], real[PATH_MAX];
	struct requirement *r;

	path_of(s, path, "/sys/bus/pci/devices/%s/iommu", s->bdf);
	if (link_of(path, name, sizeof(name))) {
		no_iommu(s, add(s, "iommu", REQ_NO, "%s is behind no IOMMU",
				s->bdf));
		return false;
	}
	snprintf(s->reqs->iommu, sizeof(s->reqs->iommu), "%s", name);
	if (!realpath(path, real)) {
		add(s, "iommu", REQ_UNKNOWN, "%s: %s", path, strerror(errno));
		return true;
	}
	if (!strncmp(name, "dmar", 4)) {
		check_vtd(s, real, name);
	} else if (!strncmp(name, "ivhd", 4)) {
		r = add(s, "iommu", REQ_NO,
			"%s (AMD): its driver has no nesting for containers",
			name);
		next(r, "No option helps: VT-d and SMMUv3 nest.");
	} else if (strstr(real, "/virtio")) {
		/* it is called what its function is called */
		r = add(s, "iommu", REQ_NO, "%s is a virtual IOMMU", name);
		next(r, "A guest nests only on what its own VMM nests for it.");
	} else if (!strncmp(name, "smmu3.", 6)) {
		s->is_smmu = true;
		s->reqs->iommu_takes =
			"An SMMUv3 needs both stages, S2FWB (IDR3.FWB) and coherent walks\n"
			"(IDR0.COHACC).";
		r = add(s, "iommu", REQ_UNKNOWN,
			"%s (SMMUv3) needs both stages, S2FWB (IDR3.FWB) and coherent walks (IDR0.COHACC); only its driver knows whether it has them",
			name);
		next(r, "vfio-nest info BDF asks the kernel, if the device is bound to");
		also(r, "vfio-pci and nobody uses it.");
	} else {
		add(s, "iommu", REQ_UNKNOWN,
		    "%s: only its driver knows whether it can nest", name);
	}
	return true;
}

/*
 * The group
 */

static void check_group(struct search *s)
{
	char path[PATH_MAX], group[32], driver[64], bad[160] = "";
	struct requirement *r;
	struct dirent *e;
	size_t len = 0;
	int nr = 0;
	DIR *dir;

	path_of(s, path, "/sys/bus/pci/devices/%s/iommu_group", s->bdf);
	if (link_of(path, group, sizeof(group)))
		return;		/* that is said already */
	path_of(s, path, "/sys/kernel/iommu_groups/%s/devices", group);
	dir = opendir(path);
	if (!dir) {
		add(s, "group", REQ_UNKNOWN, "%s: %s", path, strerror(errno));
		return;
	}
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		nr++;
		path_of(s, path, "/sys/kernel/iommu_groups/%s/devices/%s/driver",
			group, e->d_name);
		/* as vfio_dev_viable() and the DMA owner see it */
		if (link_of(path, driver, sizeof(driver)) ||
		    !strcmp(driver, "vfio-pci") ||
		    !strcmp(driver, "pci-stub") ||
		    !strcmp(driver, "pcieport") ||
		    !strcmp(e->d_name, s->bdf))
			continue;
		if (len < sizeof(bad))
			len += snprintf(bad + len, sizeof(bad) - len,
					" %s (%s)", e->d_name, driver);
	}
	closedir(dir);
	if (bad[0]) {
		r = add(s, "group", REQ_NO,
			"IOMMU group %s is not viable, others use it:%s",
			group, bad);
		next(r, "Bind them to vfio-pci as well, or to no driver.");
	}
	if (nr > 1) {
		r = add(s, "group-size", REQ_NO,
			"IOMMU group %s has %d devices, nesting needs it to have one",
			group, nr);
		next(r, "They share it where ACS does not keep them apart.");
		also(r, "Another slot may help.");
	} else if (!bad[0]) {
		add(s, "group", REQ_OK,
		    "the device is alone in its IOMMU group, %s", group);
	}
}

static int id_of(const struct search *s, const char *file)
{
	char path[PATH_MAX], text[16];

	path_of(s, path, "/sys/bus/pci/devices/%s/%s", s->bdf, file);
	return slurp(path, text, sizeof(text)) > 0 ? strtol(text, NULL, 16) : -1;
}

/* What vfio-pci of 6.12 refuses: vfio_pci_dev_in_denylist() */
static bool on_denylist(const struct search *s)
{
	/* QAT DH895xCC, C62x, C3xxx and their VFs; DSA and IAX of Sapphire Rapids */
	static const int devices[] = {
		0x0435, 0x0443, 0x37c8, 0x37c9, 0x19e2, 0x19e3, 0x0b25, 0x0cfe,
	};
	int device = id_of(s, "device");
	unsigned int i;

	if (id_of(s, "vendor") != 0x8086)
		return false;
	for (i = 0; i < ARRAY_SIZE(devices); i++)
		if (device == devices[i])
			return true;
	return false;
}

static void check_denylist(struct search *s)
{
	char path[PATH_MAX], text[8];
	struct requirement *r;

	if (!on_denylist(s))
		return;
	path_of(s, path, "/sys/module/vfio_pci/parameters/disable_denylist");
	if (slurp(path, text, sizeof(text)) > 0 && text[0] == 'Y') {
		add(s, "denylist", REQ_OK,
		    "vfio-pci's denylist is off: whoever has this device must be trusted");
		return;
	}
	r = add(s, "denylist", REQ_NO,
		"the device is on vfio-pci's denylist: it has errata that who uses it may exploit");
	next(r, "For a user whom you trust with the host, reload vfio-pci:");
	also(r, "modprobe -r vfio-pci; modprobe vfio-pci disable_denylist=1");
}

static void check_driver(struct search *s)
{
	char path[PATH_MAX], driver[64];
	struct requirement *r;
	bool bound;

	path_of(s, path, "/sys/bus/pci/devices/%s/driver", s->bdf);
	bound = !link_of(path, driver, sizeof(driver));
	if (!bound)
		snprintf(driver, sizeof(driver), "no driver");
	if (!strcmp(driver, "vfio-pci")) {
		add(s, "driver", REQ_OK, "it is bound to vfio-pci");
		return;
	}
	check_denylist(s);
	r = add(s, "driver", REQ_NO, "it is bound to %s, not to vfio-pci",
		driver);
	next(r, bound ? "Stop what uses it.  Then, for one command:" :
	     "For one command:");
	also(r, "tools/testing/selftests/vfio/run.sh %s -- COMMAND", s->bdf);
	also(r, "or for good:");
	also(r, "cd /sys/bus/pci/devices/%s", s->bdf);
	also(r, "echo vfio-pci > driver_override");
	if (bound)
		also(r, "echo %s > driver/unbind", s->bdf);
	also(r, "echo %s > /sys/bus/pci/drivers_probe", s->bdf);
}

/*
 * PASIDs: what pci_enable_pasid() asks for
 */

static bool acs_ok(const u8 *cfg, int len)
{
	int pos = ext_cap(cfg, len, PCI_EXT_CAP_ID_ACS);
	u16 want;

	if (!pos)
		return false;
	want = (PCI_ACS_RR | PCI_ACS_UF) & cfg16(cfg, pos + PCI_ACS_CAP);
	return (cfg16(cfg, pos + PCI_ACS_CTRL) & want) == want;
}

static void check_pasid(struct search *s)
{
	struct pci_path *p = &s->path;
	const char *bdf, *port;
	const u8 *cfg = p->fn[0].cfg;
	int len = p->fn[0].len;
	bool pasids = s->pasids;
	struct requirement *r;
	int i, pos, exp, type;
	unsigned int bits;

	s->pasids = false;
	if (len <= 64) {
		r = add(s, "pasid", REQ_UNKNOWN,
			"the capabilities of %s cannot be read", s->bdf);
		next(r, "Run this as root.");
		return;
	}
	pos = ext_cap(cfg, len, PCI_EXT_CAP_ID_PASID);
	if (!pos) {
		if (s->is_vf)
			add(s, "pasid", REQ_LIMIT,
			    "the PF of the device, %s, has no PASID capability: %s",
			    p->fn[0].bdf, no_pasid);
		else
			add(s, "pasid", REQ_LIMIT,
			    "%s has no PASID capability: %s", s->bdf, no_pasid);
		return;
	}
	for (i = 0; i < p->nr; i++) {
		cfg = p->fn[i].cfg;
		bdf = p->fn[i].bdf;
		port = i ? "the port above the device" :
		       s->is_vf ? "the PF of the device" : "the device";
		exp = exp_cap(cfg, p->fn[i].len);
		type = exp_type(cfg, p->fn[i].len);
		if (!exp || !(cfg32(cfg, exp + PCI_EXP_DEVCAP2) &
			      PCI_EXP_DEVCAP2_EE_PREFIX)) {
			add(s, "pasid", REQ_LIMIT,
			    "%s, %s, passes no PASID prefixes: %s",
			    bdf, port, no_pasid);
			return;
		}
		if ((type == EXP_TYPE_ROOT_PORT || type == EXP_TYPE_DOWNSTREAM ||
		     cfg[0x0e] & 0x80) && !acs_ok(cfg, p->fn[i].len)) {
			r = add(s, "pasid", REQ_LIMIT,
				"ACS of %s, %s, lets requests be redirected: %s",
				bdf, port, no_pasid);
			next(r, "It is off, or there is none.  Firmware may have an option.");
			return;
		}
		if (type == EXP_TYPE_ROOT_PORT || type == EXP_TYPE_RC_END)
			break;
	}
	cfg = p->fn[0].cfg;
	s->pasids = pasids;
	bits = cfg16(cfg, pos + PCI_PASID_CAP) >> 8 & 0x1f;
	add(s, "pasid", REQ_OK, "the device has PASIDs of %u bits%s%s", bits,
	    s->is_vf ? ", those of its PF " : "",
	    s->is_vf ? p->fn[0].bdf : "");
	if (s->pasid_bits && s->pasid_bits < bits)
		add(s, "pasid-width", REQ_LIMIT,
		    "the IOMMU has PASIDs of %u bits: no larger ones can be bound",
		    s->pasid_bits);
}

/* Of the device itself */
static const struct pci_path *own_path(const struct search *s)
{
	return s->is_vf ? &s->own : &s->path;
}

static void check_ats(struct search *s)
{
	const struct pci_path *own = own_path(s);
	struct requirement *r;

	if (own->fn[0].len <= 64)
		return;
	if (!ext_cap(own->fn[0].cfg, own->fn[0].len, PCI_EXT_CAP_ID_ATS)) {
		s->no_ats = true;
		add(s, "ats", REQ_LIMIT,
		    s->is_smmu ? "the device has no ATS: it nests, without a TLB" :
		    "the device has no ATS: it nests, and cannot wait for a page");
	} else if (s->no_ats) {
		r = add(s, "ats", REQ_LIMIT,
			"%s serves no device TLBs (ECAP.DT is 0): the device nests, and cannot wait for a page",
			s->reqs->iommu);
		next(r, "The hardware has none, or the firmware hides it: look for an option");
		also(r, "called ATS.");
	} else if (cmdline_says(s, "pci", "noats", "") == 1) {
		s->no_ats = true;
		r = add(s, "ats", REQ_LIMIT,
			"ATS is off on the command line: the device nests, %s",
			s->is_smmu ? "without a TLB" :
			"and cannot wait for a page");
		next(r, "Take noats out of pci= on the kernel's command line.");
	} else {
		add(s, "ats", REQ_OK, "the device can ask for translations (ATS)");
	}
}

/* Page requests: what the kernel asks for before it lets the device send them */
static void check_pri(struct search *s)
{
	const struct pci_path *own = own_path(s);
	const u8 *cfg = s->path.fn[0].cfg;
	int len = s->path.fn[0].len, pos;
	struct requirement *r;

	if (len <= 64 || own->fn[0].len <= 64)
		return;
	pos = ext_cap(cfg, len, PCI_EXT_CAP_ID_PRI);
	if (!pos) {
		if (ext_cap(own->fn[0].cfg, own->fn[0].len, PCI_EXT_CAP_ID_ATS))
			add(s, "pri", REQ_LIMIT, s->is_smmu ?
			    "the device has no PRI: it waits for pages only if it may stall" :
			    "the device has no PRI: memory it reaches must be present");
	} else if (s->is_smmu) {
		add(s, "pri", REQ_LIMIT,
		    "on an SMMUv3 no page requests by PRI are taken: the device waits for pages only if it may stall");
	} else if (s->is_vf) {
		add(s, "pri", REQ_LIMIT,
		    "page requests of a VF are refused: memory it reaches must be present");
	} else if (s->no_pri) {
		r = add(s, "pri", REQ_LIMIT,
			"%s takes no page requests (ECAP.PRS or PDS is 0): memory the device reaches must be present",
			s->reqs->iommu);
		next(r, "The hardware has none, or the firmware hides it.");
	} else if (s->no_ats) {
		add(s, "pri", REQ_LIMIT,
		    "without ATS the device asks for no page: memory it reaches must be present");
	} else if (s->pasids && !(cfg16(cfg, pos + PCI_PRI_STATUS) &
				  PCI_PRI_STATUS_PASID)) {
		add(s, "pri", REQ_LIMIT,
		    "page requests are refused, the device wants answers without PASID (PRG Response PASID Required is 0): memory it reaches must be present");
	} else {
		add(s, "pri", REQ_OK, "the device can ask for pages (PRI)");
	}
}

void requirements_find(struct requirements *reqs, const char *root,
		       const char *bdf)
{
	struct search s = {
		.reqs = reqs, .root = root, .bdf = bdf, .pasids = true,
	};
	char path[PATH_MAX], id[16];
	struct requirement *r;

	reqs->nr = 0;
	reqs->iommu[0] = 0;
	reqs->iommu_takes = "The kernel's log may tell more: dmesg";
	check_kernel(&s);
	path_of(&s, path, "/sys/bus/pci/devices/%s/vendor", bdf);
	if (slurp(path, id, sizeof(id)) <= 0) {
		r = add(&s, "device", REQ_NO, "there is no PCI function %s",
			bdf);
		next(r, "lspci -D lists what there is.");
		return;
	}
	s.is_vf = read_path(&s, &s.path, "/physfn");
	read_path(&s, s.is_vf ? &s.own : &s.path, "");
	if (check_iommu(&s))
		check_group(&s);
	check_driver(&s);
	check_pasid(&s);
	check_ats(&s);
	check_pri(&s);
}

void requirements_answer(struct requirements *reqs, bool nests)
{
	struct requirement *r;
	unsigned int i;

	for (i = 0; i < reqs->nr; i++) {
		r = &reqs->r[i];
		if (strcmp(r->id, "iommu") && strcmp(r->id, "scalable-mode"))
			continue;
		if (nests && r->state == REQ_UNKNOWN) {
			r->state = REQ_OK;
			if (strcmp(r->id, "iommu"))
				snprintf(r->what, sizeof(r->what),
					 "scalable mode is on");
			else
				snprintf(r->what, sizeof(r->what),
					 "the kernel says that %s nests",
					 reqs->iommu);
			r->next[0] = 0;
		} else if (!nests && !strcmp(r->id, "iommu")) {
			r->state = REQ_NO;
			snprintf(r->what, sizeof(r->what),
				 "the kernel says that %s cannot nest, or not as it is configured",
				 reqs->iommu);
			snprintf(r->next, sizeof(r->next), "%s",
				 reqs->iommu_takes);
		}
	}
}

int requirements_devices(const char *root, struct req_device **devs)
{
	struct search s = { .root = root };
	char dir[PATH_MAX], path[PATH_MAX], id[16];
	struct dirent **names;
	int n, i, nr = 0, err;

	path_of(&s, dir, "/sys/bus/pci/devices");
	n = scandir(dir, &names, NULL, alphasort);
	if (n < 0)
		return -errno;
	*devs = calloc(n, sizeof(**devs));
	err = *devs ? 0 : -ENOMEM;
	for (i = 0; i < n; i++) {
		path_of(&s, path, "/sys/bus/pci/devices/%s/class",
			names[i]->d_name);
		if (!err && !vfio_parse_bdf(names[i]->d_name, (*devs)[nr].bdf) &&
		    slurp(path, id, sizeof(id)) > 0 &&
		    strtoul(id, NULL, 16) >> 16 != PCI_CLASS_BRIDGE)
			nr++;
		free(names[i]);
	}
	free(names);
	return err ?: nr;
}
