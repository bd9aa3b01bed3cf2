// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-nest: show what nested translation a device has, and see it work
 *
 * See Documentation/userspace-api/vfio-nesting.rst.
 */
#include <ctype.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/version.h>

#include "faults.h"
#include "json.h"
#include "libvfio.h"
#include "requirements.h"

/* Exit codes */
#define EX_OK		0
#define EX_FAILED	1	/* an operation failed or gave wrong data */
#define EX_USAGE	2
#define EX_MISSING	4	/* a device or feature is not there */

#define GUEST_MEM	(4 * SZ_2M)
#define DEMO_SRC	0x7f0000000000ull
#define DEMO_DST	0x7f0000200000ull
#define DEMO_LEN	0x2000u
#define DEMO_MIN_PASID	1u
#define DEMO_MAX_PASID	0xfffffu

static const char usage[] =
"Usage: vfio-nest info [--json] [--root DIR] [BDF]\n"
"       vfio-nest faults [--json] [--count N] BDF\n"
"       vfio-nest demo [BDF]\n"
"       vfio-nest --help | --version\n"
"\n"
"  info [BDF]  Say what nested translation the device offers through VFIO,\n"
"              or which of the things that takes is missing, and what to do\n"
"              about it.  Looks at any device, in use or not.  What VFIO offers\n"
"              is asked if nothing is missing; that resets the device.\n"
"              Without BDF: a line for each device of the machine, from files\n"
"              alone.\n"
"              --json       for programs\n"
"              --root DIR   look at a copy of another machine's /sys, /proc\n"
"                           and /boot below DIR\n"
"  faults BDF  Print what the IOMMU refuses the device, and what pages it asks\n"
"              for, as it happens and whoever has it open, like dmesg -w.\n"
"              --json       one object a line\n"
"              --count N    stop after N\n"
"  demo [BDF]  Play a guest: build page tables in its memory, bind them to\n"
"              PASIDs, let the device copy through them, take a page away and\n"
"              watch the IOMMU stop the device, give it a page when it asks.\n"
"              Needs the emulated device pasid-testdev; without BDF the first\n"
"              one that is found.\n"
"\n"
"BDF is a PCI address as lspci prints it: 0000:01:00.0 or 01:00.0.\n"
"\n"
"Exit status: 0 all went well; 1 an operation failed or the device did not do\n"
"what it should; 2 wrong usage; 4 a device or a feature is not there.\n";

/* Prints words so that lines stay within 80 columns */
static void hanging(const char *first, const char *indent, const char *text)
{
	size_t room, n;

	for (; *text; first = indent) {
		room = 79 - strlen(first);
		n = strcspn(text, "\n");
		if (n > room) {
			n = room;
			while (n && text[n] != ' ')
				n--;
			if (!n)
				n = room;
		}
		printf("%s%.*s\n", first, (int)n, text);
		text += n;
		text += strspn(text, "\n ");
	}
}

static void wrapped(const char *indent, const char *text)
{
	hanging(indent, indent, text);
}

static void say(const char *indent, const char *fmt, ...)
	VFIO_PRINTF(2, 3);

static void say(const char *indent, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	wrapped(indent, text);
}

/* What happened, where, what to do next */
static int complain(int code, int err, const char *next)
{
	fflush(stdout);
	if (err)
		fprintf(stderr, "vfio-nest: %s: %s\n", vfio_why(),
			strerror(-err));
	else
		fprintf(stderr, "vfio-nest: %s\n", vfio_why());
	if (next)
		fprintf(stderr, "%s\n", next);
	return code;
}

static const char *yes_no(bool yes)
{
	return yes ? "yes" : "no";
}

/*
 * Opening a device
 */

static int open_failed(int err)
{
	switch (err) {
	case -EBUSY:
		return complain(EX_FAILED, err,
"Another process uses the device or its group; end it first.");
	case -EACCES:
		return complain(EX_FAILED, err,
"Become root, or take the ownership of the group's file.");
	default:
		return complain(EX_FAILED, err,
"The kernel's log may tell more: dmesg");
	}
}

static void show_requirement(const struct requirement *r)
{
	char text[512];

	snprintf(text, sizeof(text), "%-8s %s", req_state_name(r->state),
		 r->what);
	hanging("  ", "           ", text);
	if (r->next[0])
		hanging("           -> ", "              ", r->next);
}

static void show_requirements(const struct requirements *reqs, bool all)
{
	unsigned int i;

	for (i = 0; i < reqs->nr; i++)
		if (all || reqs->r[i].state == REQ_NO)
			show_requirement(&reqs->r[i]);
}

/*
 * Returns 0 or -errno; -EOPNOTSUPP if the IOMMU does not nest.  The answer goes
 * to @reqs as well.
 */
static int open_device(struct requirements *reqs, struct vfio_container *c,
		       struct vfio_device *d, union nest_info *info,
		       const char *bdf)
{
	int ret, fd;

	ret = vfio_container_open(c);
	if (ret)
		return ret;
	fd = vfio_container_attach(c, VFIO_TYPE1_NESTING_IOMMU, bdf);
	ret = fd < 0 ? fd : nest_info(c, info);
	if (ret == -ENOENT && fd >= 0)
		ret = -EOPNOTSUPP;
	if (!ret || ret == -EOPNOTSUPP)
		requirements_answer(reqs, !ret);
	return ret ?: vfio_device_get(d, fd, bdf);
}

/*
 * info
 */

static const struct {
	u32 bit;
	const char *name;
	const char *missing;
} features[] = {
	{ VFIO_NESTING_FEATURE_BIND_GUEST_PASID, "bind a table to a PASID",
	  "not one by one: see the next line" },
	{ VFIO_NESTING_FEATURE_BIND_PASID_TABLE, "bind a device's PASIDs",
	  "not all at once: each PASID has a table of its own" },
	{ VFIO_NESTING_FEATURE_CACHE_INVALIDATE, "invalidate caches",
	  "changes to a table cannot be made visible" },
	{ VFIO_NESTING_FEATURE_PASID_ALLOC, "allocate host PASIDs",
	  "the VMM chooses numbers itself, any below the width will do" },
	{ VFIO_NESTING_FEATURE_DMA_FAULT, "report faults",
	  "a refused access is seen in the kernel's log only" },
	{ VFIO_NESTING_FEATURE_PAGE_REQUEST, "page requests",
	  "memory of the guest has to be there before the device uses it" },
};

static void row(const char *name, const char *fmt, ...)
	VFIO_PRINTF(2, 3);

static void row(const char *name, const char *fmt, ...)
{
	va_list ap;

	printf("  %-26s", name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static void show_format(const struct vfio_nesting_format *f)
{
	const struct s1_ops *ops = s1_ops_find(f->format);
	unsigned int i;

	row("format", "%u (%s)", f->format,
	    ops ? ops->name : "not known to this tool");
	for (i = 0; i < ARRAY_SIZE(features); i++) {
		if (!(f->features & features[i].bit)) {
			row(features[i].name, "no:");
			say("      ", "%s", features[i].missing);
			continue;
		}
		row(features[i].name, "yes%s",
		    f->required & features[i].bit ?
		    ", and the VMM must use it" : "");
	}
}

static void show_container(const union nest_info *info)
{
	const struct vfio_iommu_type1_info_cap_nesting *cap = &info->cap;
	u32 i;

	printf("Container\n");
	for (i = 0; i < cap->nr_formats; i++)
		show_format(&cap->formats[i]);
	row("host PASIDs", "%u held, %u of %u charged", cap->pasid_used,
	    cap->pasid_charged, cap->pasid_quota);
	row("bindings", "%u of %u in use", cap->nr_bindings,
	    cap->max_bindings);
	if (cap->msi_size)
		row("MSI window", "0x%llx, 0x%llx bytes",
		    (unsigned long long)cap->msi_start,
		    (unsigned long long)cap->msi_size);
	else
		row("MSI window", "none");
	if (cap->flags & VFIO_NESTING_INFO_NO_RO_MAPS) {
		row("read-only maps", "no:");
		say("      ",
		    "stage 2 refuses them; map the guest's ROM writable or not at all");
	} else {
		row("read-only maps", "yes");
	}
}

static void show_vtd(const struct iommu_hw_info_vtd *hw)
{
	u64 cap = hw->cap_reg, ecap = hw->ecap_reg;

	row("VT-d registers", "cap 0x%016llx", (unsigned long long)cap);
	row("", "ecap 0x%016llx", (unsigned long long)ecap);
	row("nested translation", "%s", yes_no(ecap >> 26 & 1));
	row("1 GiB stage-1 pages", "%s", yes_no(cap >> 56 & 1));
	row("5-level stage 1", "%s", yes_no(cap >> 60 & 1));
	row("supervisor requests", "%s", yes_no(ecap >> 31 & 1));
	row("extended access flags", "%s", yes_no(ecap >> 34 & 1));
}

/* IHI 0070F, 6.3.1 and following */
static void show_smmu(const struct vfio_nesting_smmuv3_hw_info *hw)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(hw->idr); i++)
		row(i ? "" : "SMMUv3 registers", "idr%u 0x%08x", i, hw->idr[i]);
	row("stage 1, stage 2", "%s, %s", yes_no(hw->idr[0] >> 1 & 1),
	    yes_no(hw->idr[0] & 1));
	row("two-level CD tables", "%s", yes_no(hw->idr[0] >> 19 & 1));
	row("stalls", "%s", yes_no((hw->idr[0] >> 24 & 3) != 1));
	row("invalidation of ranges", "%s", yes_no(hw->idr[3] >> 10 & 1));
}

static void show_device(const struct vfio_device *d)
{
	struct vfio_device_feature_nesting n;
	union nest_hw_info hw;
	int ret = nest_device_info(d, &n, &hw);

	printf("Device\n");
	if (ret) {
		say("  ", "VFIO_DEVICE_FEATURE_NESTING: %s", strerror(-ret));
		return;
	}
	if (n.pasid_bits) {
		row("PASID", "%u bits: 1 to 0x%x can be bound", n.pasid_bits,
		    (1u << n.pasid_bits) - 1);
	} else {
		row("PASID", "no:");
		say("      ",
		    "only requests without PASID can be bound (PASID 0); the device lacks the capability, or a port above it blocks PASID prefixes");
	}
	row("execute, privileged", "%s, %s",
	    yes_no(n.flags & VFIO_DEVICE_NESTING_PASID_EXEC),
	    yes_no(n.flags & VFIO_DEVICE_NESTING_PASID_PRIV));
	row("device TLB (ATS)", "%s",
	    n.flags & VFIO_DEVICE_NESTING_ATS ? "on" : "off");
	if (n.max_requests)
		row("page requests (PRI)", "%u outstanding at most",
		    n.max_requests);
	else
		row("page requests (PRI)", "no");
	if (n.format == VFIO_NESTING_FORMAT_VTD_S1 &&
	    n.hw_info_len >= sizeof(hw.vtd))
		show_vtd(&hw.vtd);
	if (n.format == VFIO_NESTING_FORMAT_SMMUV3 &&
	    n.hw_info_len >= sizeof(hw.smmu))
		show_smmu(&hw.smmu);
}

static void json_info(const char *bdf, const struct requirements *reqs,
		      const union nest_info *info, const struct vfio_device *d)
{
	struct vfio_device_feature_nesting n;
	union nest_hw_info hw;
	const struct requirement *r;
	struct json j = {};
	unsigned int i;

	json_object(&j, NULL);
	json_string(&j, "device", bdf);
	if (info || requirements_missing(reqs))
		json_bool(&j, "nesting", info);
	else
		json_null(&j, "nesting");
	json_array(&j, "requirements");
	for (i = 0; i < reqs->nr; i++) {
		r = &reqs->r[i];
		json_object(&j, NULL);
		json_string(&j, "id", r->id);
		json_string(&j, "state", req_state_name(r->state));
		json_string(&j, "what", r->what);
		if (r->next[0])
			json_string(&j, "next", r->next);
		json_end(&j);
	}
	json_end(&j);
	if (info) {
		const struct vfio_iommu_type1_info_cap_nesting *cap = &info->cap;

		json_array(&j, "formats");
		for (i = 0; i < cap->nr_formats; i++) {
			json_object(&j, NULL);
			json_number(&j, "format", cap->formats[i].format);
			json_number(&j, "features", cap->formats[i].features);
			json_number(&j, "required", cap->formats[i].required);
			json_end(&j);
		}
		json_end(&j);
		json_number(&j, "flags", cap->flags);
		json_number(&j, "pasid_quota", cap->pasid_quota);
		json_number(&j, "pasid_used", cap->pasid_used);
		json_number(&j, "pasid_charged", cap->pasid_charged);
		json_number(&j, "max_bindings", cap->max_bindings);
		json_number(&j, "nr_bindings", cap->nr_bindings);
		json_number(&j, "msi_start", cap->msi_start);
		json_number(&j, "msi_size", cap->msi_size);
	}
	if (info && !nest_device_info(d, &n, &hw)) {
		json_number(&j, "pasid_bits", n.pasid_bits);
		json_number(&j, "device_flags", n.flags);
		json_number(&j, "max_requests", n.max_requests);
		if (n.format == VFIO_NESTING_FORMAT_VTD_S1 &&
		    n.hw_info_len >= sizeof(hw.vtd)) {
			json_hex(&j, "vtd_cap", hw.vtd.cap_reg);
			json_hex(&j, "vtd_ecap", hw.vtd.ecap_reg);
		}
		if (n.format == VFIO_NESTING_FORMAT_SMMUV3 &&
		    n.hw_info_len >= sizeof(hw.smmu)) {
			json_array(&j, "smmuv3_idr");
			for (i = 0; i < ARRAY_SIZE(hw.smmu.idr); i++)
				json_hex(&j, NULL, hw.smmu.idr[i]);
			json_end(&j);
		}
	}
	json_end(&j);
	json_done(&j);
}

static int do_info(const char *bdf, const char *root, bool json)
{
	struct requirements reqs;
	struct vfio_container c;
	struct vfio_device d;
	union nest_info info;
	bool asked = false;
	int ret = 0;

	requirements_find(&reqs, root, bdf);
	if (!requirements_missing(&reqs) && !root[0]) {
		ret = open_device(&reqs, &c, &d, &info, bdf);
		asked = !ret;
	}
	if (json) {
		json_info(bdf, &reqs, asked ? &info : NULL, &d);
	} else {
		if (asked)
			printf("%s: %04x:%04x\n", bdf,
			       vfio_sysfs_id(bdf, "vendor"),
			       vfio_sysfs_id(bdf, "device"));
		else
			printf("%s: what nested translation takes\n", bdf);
		show_requirements(&reqs, true);
		if (asked) {
			show_container(&info);
			show_device(&d);
		}
	}
	if (requirements_missing(&reqs))
		return EX_MISSING;
	if (ret != -EBUSY)
		return ret ? open_failed(ret) : EX_OK;
	/* Nothing is missing */
	vfio_fail(0, "%s is in use: what VFIO offers for it was not asked", bdf);
	return complain(EX_OK, 0, NULL);
}

/*
 * Whether it can, or why not, in a line: the driver is changed last, so it is
 * named last
 */
static void show_in_a_line(const char *bdf, const struct requirements *reqs)
{
	const struct requirement *r, *first = NULL, *unknown = NULL;
	const char *what, *may = "";
	size_t len = strlen(bdf);
	char head[32], text[320];
	unsigned int i;

	/* The kernel is the first, and was shown. */
	for (i = 1; i < reqs->nr; i++) {
		r = &reqs->r[i];
		if (r->state == REQ_UNKNOWN && !unknown)
			unknown = r;
		if (r->state == REQ_NO &&
		    (!first || !strcmp(first->id, "driver")))
			first = r;
	}
	if (!first && !requirements_missing(reqs) &&
	    (unknown || reqs->r[0].state == REQ_UNKNOWN)) {
		first = unknown;
		may = "may nest: ";
	}
	if (!first)
		what = *may ? "that depends on the kernel" :
			requirements_missing(reqs) ?
			"lacks nothing but the kernel" : "can nest";
	else if (!strncmp(first->what, bdf, len) && first->what[len] == ' ')
		what = first->what + len + 1;
	else
		what = first->what;
	snprintf(head, sizeof(head), "%s  ", bdf);
	snprintf(text, sizeof(text), "%s%s", may, what);
	hanging(head, "              ", text);
}

static int do_info_all(const char *root, bool json)
{
	struct req_device *devs;
	struct requirements reqs;
	int nr, i, ret = EX_MISSING;

	nr = requirements_devices(root, &devs);
	if (nr < 0) {
		fprintf(stderr, "vfio-nest: %s/sys/bus/pci/devices: %s\n", root,
			strerror(-nr));
		return EX_FAILED;
	}
	for (i = 0; i < nr; i++) {
		requirements_find(&reqs, root, devs[i].bdf);
		if (!requirements_missing(&reqs))
			ret = EX_OK;
		if (json) {
			json_info(devs[i].bdf, &reqs, NULL, NULL);
			continue;
		}
		/* It comes first, and is the same for all. */
		if (!i)
			show_requirement(&reqs.r[0]);
		show_in_a_line(devs[i].bdf, &reqs);
	}
	if (!nr && !json)
		printf("there is no PCI function but bridges\n");
	free(devs);
	return ret;
}

/*
 * demo
 */

struct demo {
	const char *bdf;
	struct vfio_container c;
	struct vfio_device d;
	union nest_info info;
	struct ptd ptd;
	struct imon mon;
	bool have_mon;
	struct guest g;
	unsigned int pasid_bits;
	bool ats;
	bool faults;
	bool requests;
	int kmsg;
	int step;
};

struct process {
	const char *name;
	u32 pasid;
	bool allocated;
	bool demand;		/* pages may come when they are asked for */
	struct s1_table table;
	u64 src, dst;		/* guest physical */
	u8 fill;
};

static void step(struct demo *demo, const char *fmt, ...)
	VFIO_PRINTF(2, 3);

static void step(struct demo *demo, const char *fmt, ...)
{
	va_list ap;

	printf("\n%d. ", ++demo->step);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* What the IOMMU did since the last call */
static void hardware(struct demo *demo)
{
	static const struct {
		u32 event;
		const char *name;
	} events[] = {
		{ IOMMU_MON_EV_TRANS, "untranslated accesses" },
		{ IOMMU_MON_EV_ATS, "ATS translation requests" },
		{ IOMMU_MON_EV_HIT, "served by its cache" },
		{ IOMMU_MON_EV_WALK, "table walks" },
		{ IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PC),
		  "PASID-cache invalidations" },
		{ IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PIOTLB),
		  "IOTLB invalidations" },
		{ IOMMU_MON_EV_VTD(IOMMU_MON_VTD_DTLB),
		  "device-TLB invalidations" },
		{ IOMMU_MON_EV_VTD(IOMMU_MON_VTD_PDTLB),
		  "PASID device-TLB invalidations" },
		{ IOMMU_MON_EV_VTD(IOMMU_MON_VTD_WAIT), "waits" },
		/* SMMUv3 commands, IHI 0070F, chapter 4 */
		{ IOMMU_MON_EV_SMMU(0x03), "stream-table invalidations" },
		{ IOMMU_MON_EV_SMMU(0x05), "CD-cache invalidations" },
		{ IOMMU_MON_EV_SMMU(0x10), "VMID invalidations" },
		{ IOMMU_MON_EV_SMMU(0x11), "ASID invalidations" },
		{ IOMMU_MON_EV_SMMU(0x12), "page invalidations" },
		{ IOMMU_MON_EV_SMMU(0x40), "device-TLB invalidations" },
		{ IOMMU_MON_EV_SMMU(0x46), "waits" },
		{ IOMMU_MON_EV_F_RAISED, "faults" },
		{ IOMMU_MON_EV_PR_RECEIVED, "page requests" },
		{ IOMMU_MON_EV_PR_ANSWERED(0), "answered with success" },
	};
	char text[512] = "";
	unsigned int i;
	size_t len = 0;
	u64 n;

	if (!demo->have_mon)
		return;
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		n = imon_total(&demo->mon, events[i].event);
		if (n && len < sizeof(text))
			len += snprintf(text + len, sizeof(text) - len,
					"%s%s: %llu", len ? ", " : "",
					events[i].name, n);
	}
	say("   ", "[IOMMU: %s]", len ? text : "nothing to do");
	imon_clear(&demo->mon);
}

/* Lines of the kernel's log since the last call that speak of DMA */
static void kernel_log(struct demo *demo)
{
	char line[2048], *text, *end;
	ssize_t n;
	int tries, lines = 0;

	if (demo->kmsg < 0)
		return;
	for (tries = 0; tries < 20 && !lines; tries++) {
		while ((n = read(demo->kmsg, line, sizeof(line) - 1)) > 0) {
			line[n] = 0;
			text = strchr(line, ';');
			if (!text || (!strstr(text, "[DMA ") &&
				      !strstr(text, ": event 0x")))
				continue;
			end = strchr(++text, '\n');
			if (end)
				*end = 0;
			printf("   kernel log:\n");
			wrapped("     ", text);
			lines++;
		}
		usleep(50000);
	}
	if (!lines)
		say("   ",
		    "(no line in the kernel's log: it prints a few faults each five seconds only)");
}

/* A device for the demo: rather one that can wait for a page */
static const char *demo_find(void)
{
	static char bdfs[VFIO_MAX_DEVS][VFIO_BDF_LEN], first[VFIO_BDF_LEN];
	struct vfio_device_feature_nesting n;
	struct vfio_container c;
	struct vfio_device d;
	int i, nr, fd;

	nr = vfio_find_bound(bdfs, VFIO_MAX_DEVS);
	for (i = 0; i < nr; i++) {
		if (vfio_sysfs_id(bdfs[i], "vendor") != PTD_VENDOR_ID ||
		    vfio_sysfs_id(bdfs[i], "device") != PTD_DEVICE_ID ||
		    vfio_container_open(&c))
			continue;
		n.max_requests = 0;
		fd = vfio_container_attach(&c, VFIO_TYPE1_NESTING_IOMMU,
					   bdfs[i]);
		if (fd >= 0 && !vfio_device_get(&d, fd, bdfs[i])) {
			if (nest_device_info(&d, &n, NULL))
				n.max_requests = 0;
			vfio_device_close(&d);
		}
		vfio_container_close(&c);
		if (n.max_requests)
			return bdfs[i];
	}
	return vfio_find_id(PTD_VENDOR_ID, PTD_DEVICE_ID, first) ? NULL : first;
}

static int demo_open(struct demo *demo)
{
	struct requirements reqs;
	int ret;

	if (!demo->bdf) {
		demo->bdf = demo_find();
		if (!demo->bdf)
			return complain(EX_MISSING, 0,
"The demo drives the emulated device pasid-testdev: `make demo` boots a\n"
"machine that has it.  On other devices: vfio-nest info BDF.");
	}
	if (vfio_sysfs_id(demo->bdf, "vendor") >= 0 &&
	    (vfio_sysfs_id(demo->bdf, "vendor") != PTD_VENDOR_ID ||
	     vfio_sysfs_id(demo->bdf, "device") != PTD_DEVICE_ID)) {
		vfio_fail(0, "%s is no pasid-testdev (%04x:%04x)", demo->bdf,
			  PTD_VENDOR_ID, PTD_DEVICE_ID);
		return complain(EX_MISSING, 0,
"The demo has no driver for other devices.  Try: vfio-nest info BDF.");
	}
	requirements_find(&reqs, "", demo->bdf);
	ret = requirements_missing(&reqs) ? -EOPNOTSUPP :
		open_device(&reqs, &demo->c, &demo->d, &demo->info, demo->bdf);
	if (requirements_missing(&reqs)) {
		printf("%s: what is missing for nested translation\n",
		       demo->bdf);
		show_requirements(&reqs, false);
		return EX_MISSING;
	}
	if (ret)
		return open_failed(ret);
	ret = ptd_init(&demo->ptd, &demo->d);
	if (ret)
		return complain(EX_FAILED, ret, NULL);
	demo->have_mon = !imon_open(&demo->mon);
	if (demo->have_mon)
		imon_clear(&demo->mon);
	demo->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (demo->kmsg >= 0)
		lseek(demo->kmsg, 0, SEEK_END);
	return 0;
}

static int demo_info(struct demo *demo, const struct s1_ops **ops,
		     bool *alloc)
{
	const struct vfio_nesting_format *f;
	struct vfio_device_feature_nesting n;
	int ret;

	step(demo, "What does the IOMMU offer for %s?", demo->bdf);
	f = &demo->info.cap.formats[0];
	*ops = s1_ops_find(f->format);
	if (!*ops) {
		vfio_fail(0, "format %u of stage 1 is not known to this tool",
			  f->format);
		return complain(EX_MISSING, 0, NULL);
	}
	ret = nest_device_info(&demo->d, &n, NULL);
	if (ret) {
		vfio_fail(0, "VFIO_DEVICE_FEATURE_NESTING of %s", demo->bdf);
		return complain(EX_FAILED, ret, NULL);
	}
	if (!n.pasid_bits) {
		vfio_fail(0, "%s cannot send requests with PASID", demo->bdf);
		return complain(EX_MISSING, 0, NULL);
	}
	demo->ats = n.flags & VFIO_DEVICE_NESTING_ATS;
	demo->pasid_bits = n.pasid_bits;
	demo->requests = n.max_requests;
	demo->faults = f->features & VFIO_NESTING_FEATURE_DMA_FAULT;
	*alloc = f->features & VFIO_NESTING_FEATURE_PASID_ALLOC;
	say("   ",
	    "Stage-1 tables in the format of %s; PASIDs of %u bits; at most %u bindings; device TLB %s.",
	    (*ops)->name, n.pasid_bits, demo->info.cap.max_bindings,
	    n.flags & VFIO_DEVICE_NESTING_ATS ? "on" : "off");
	return 0;
}

/* A page table and memory for one process of the guest */
static int demo_process(struct demo *demo, struct process *p,
			const struct s1_ops *ops, bool alloc)
{
	struct guest *g = &demo->g;
	int ret;

	if (alloc) {
		ret = nest_pasid_alloc(&demo->c, DEMO_MIN_PASID,
				       DEMO_MAX_PASID);
		if (ret < 0) {
			vfio_fail(ret, "VFIO_IOMMU_PASID_REQUEST");
			return complain(EX_FAILED, ret, NULL);
		}
		p->pasid = ret;
		p->allocated = true;
	}
	p->src = guest_alloc(g, DEMO_LEN, SZ_4K);
	p->dst = guest_alloc(g, DEMO_LEN, SZ_4K);
	ret = s1_init(&p->table, ops, g);
	p->table.demand = p->demand && demo->requests;
	if (!ret)
		ret = s1_map(&p->table, DEMO_SRC, p->src, DEMO_LEN, SZ_4K,
			     S1_READ | S1_USER);
	if (!ret)
		ret = s1_map(&p->table, DEMO_DST, p->dst, DEMO_LEN, SZ_4K,
			     S1_RW);
	if (ret)
		return complain(EX_FAILED, ret, NULL);
	memset(guest_va(g, p->src), p->fill, DEMO_LEN);

	step(demo, "Process %s of the guest: PASID 0x%x%s", p->name, p->pasid,
	     p->allocated ? ", allocated on the host" : ", our own choice");
	say("   ", "Its page table is at 0x%llx in the guest:",
	    p->table.root);
	printf("     0x%llx -> 0x%llx  %u bytes, read-only, all 0x%02x\n",
	       DEMO_SRC, p->src, DEMO_LEN, p->fill);
	printf("     0x%llx -> 0x%llx  %u bytes, writable, zero\n",
	       DEMO_DST, p->dst, DEMO_LEN);
	ret = nest_bind(&demo->c, NEST_ALL_GROUPS, p->pasid, &p->table);
	if (ret) {
		vfio_fail(ret, "VFIO_IOMMU_BIND of PASID 0x%x", p->pasid);
		return complain(EX_FAILED, ret,
				"The kernel's log may tell more: dmesg");
	}
	if (ops->whole)
		say("   ",
		    "It goes into the guest's table of context descriptors, which VFIO_IOMMU_BIND gave to the IOMMU: from now on that walks it for requests with PASID 0x%x.",
		    p->pasid);
	else
		say("   ",
		    "VFIO_IOMMU_BIND: from now on the IOMMU walks this table for requests with PASID 0x%x.",
		    p->pasid);
	hardware(demo);
	return 0;
}

static int demo_copy(struct demo *demo, struct process *p)
{
	u8 *dst = guest_va(&demo->g, p->dst);
	struct ptd_record r;
	unsigned int i;
	int ret;

	step(demo, "The device copies for process %s", p->name);
	say("   ", "%u bytes from 0x%llx to 0x%llx, with PASID 0x%x.",
	    DEMO_LEN, DEMO_SRC, DEMO_DST, p->pasid);
	ret = ptd_copy(&demo->ptd, p->pasid, DEMO_DST, DEMO_SRC, DEMO_LEN, &r);
	if (ret < 0)
		return complain(EX_FAILED, ret, NULL);
	if (ret != PTD_ST_OK) {
		vfio_fail(0, "the copy failed at 0x%llx: %s",
			  (u64)r.fault_addr, ptd_status_name(ret));
		kernel_log(demo);
		return complain(EX_FAILED, 0, NULL);
	}
	for (i = 0; i < DEMO_LEN; i++) {
		if (dst[i] == p->fill)
			continue;
		vfio_fail(0, "byte %u of the copy is 0x%02x, not 0x%02x", i,
			  dst[i], p->fill);
		return complain(EX_FAILED, 0, NULL);
	}
	say("   ",
	    "Device: \"%s\", %u bytes.  The guest finds %u times 0x%02x at 0x%llx: right.",
	    ptd_status_name(ret), r.done, DEMO_LEN, p->fill, p->dst);
	if (p->table.ops->marks) {
		i = s1_flags(&p->table, DEMO_DST);
		say("   ",
		    "In the guest's table the entry of 0x%llx is now marked%s%s by the IOMMU.",
		    DEMO_DST, i & S1_ACCESSED ? " accessed" : " not accessed",
		    i & S1_DIRTY ? " and dirty" : " and not dirty");
	}
	hardware(demo);
	return 0;
}

static int demo_stopped(struct demo *demo, struct process *p, u64 gone,
			u32 flags)
{
	struct ptd_desc d = {
		.op = PTD_OP_MEMMOVE,
		.flags = flags,
		.pasid = ptd_pasid(p->pasid),
		.src = DEMO_SRC,
		.dst = DEMO_DST,
		.len = DEMO_LEN,
	};
	struct ptd_record r;
	int ret;

	ret = ptd_run(&demo->ptd, 0, &d, &r);
	if (ret < 0)
		return complain(EX_FAILED, ret, NULL);
	if (ret != PTD_ST_WRITE_FAULT || r.fault_addr != gone) {
		vfio_fail(0, "expected a refused write at 0x%llx: \"%s\", 0x%llx",
			  gone, ptd_status_name(ret), (u64)r.fault_addr);
		return complain(EX_FAILED, 0, NULL);
	}
	say("   ", "Device: \"%s\" at 0x%llx, after %u bytes: stopped.",
	    ptd_status_name(ret), (u64)r.fault_addr, r.done);
	hardware(demo);
	if (flags & PTD_F_NO_ATS || !demo->ats)
		kernel_log(demo);
	return 0;
}

/* Take the second page away: the copy stops there */
static int demo_unmap(struct demo *demo, struct process *p)
{
	u64 gone = DEMO_DST + SZ_4K;
	struct ptd_record r;
	int ret;

	step(demo, "Process %s unmaps the page at 0x%llx", p->name, gone);
	ret = s1_unmap(&p->table, gone);
	if (ret) {
		vfio_fail(ret, "stage-1 unmap");
		return complain(EX_FAILED, ret, NULL);
	}
	ret = ptd_copy(&demo->ptd, p->pasid, DEMO_DST, DEMO_SRC, DEMO_LEN, &r);
	if (ret < 0)
		return complain(EX_FAILED, ret, NULL);
	if (ret == PTD_ST_OK)
		say("   ",
		    "A copy still gets through: the IOMMU holds the old translation in its cache, as it may until the guest invalidates it.");
	else
		say("   ",
		    "A copy is stopped even before the invalidation: the translation was in no cache.");
	hardware(demo);

	ret = nest_inval_range(&demo->c, NEST_ALL_GROUPS, p->pasid, &p->table,
			       gone, 1);
	if (ret) {
		vfio_fail(ret, "VFIO_IOMMU_CACHE_INVALIDATE");
		return complain(EX_FAILED, ret, NULL);
	}
	say("   ", "VFIO_IOMMU_CACHE_INVALIDATE of that page:");
	hardware(demo);

	step(demo, "The device tries the copy again");
	ret = demo_stopped(demo, p, gone, 0);
	if (ret || !demo->ats)
		return ret;
	say("   ",
	    "The device had asked for a translation (ATS) and got none: no error for the IOMMU.  Now without asking:");
	return demo_stopped(demo, p, gone, PTD_F_NO_ATS);
}

/* What the ring has next, as soon as it has something */
static int demo_fault(struct fault_ring *r, u32 type, struct vfio_dma_fault *f)
{
	int ret = fault_next(r, f, vfio_wait_ms);

	if (ret == 1 && f->type == type)
		return 0;
	vfio_fail(ret < 0 ? ret : 0, ret == 1 ?
		  "the ring has an entry of type %u, not %u" :
		  "there is nothing in the ring", f->type, type);
	return complain(EX_FAILED, ret < 0 ? ret : 0, NULL);
}

/* A page that is there when the device asks for it */
static int demo_demand(struct demo *demo, struct fault_ring *r,
		       struct process *p)
{
	u64 gone = DEMO_DST + SZ_4K;
	struct ptd_desc d = {
		.op = PTD_OP_MEMMOVE,
		/* An SMMU lets such an access wait; else the device asks */
		.flags = p->table.ops->whole ? PTD_F_NO_ATS : 0,
		.pasid = ptd_pasid(p->pasid),
		.src = DEMO_SRC,
		.dst = DEMO_DST,
		.len = DEMO_LEN,
	};
	u8 *dst = guest_va(&demo->g, p->dst);
	struct vfio_dma_fault f;
	struct ptd_record rec;
	int ret;

	step(demo, "The device asks process %s for a page", p->name);
	memset(dst, 0, DEMO_LEN);
	ret = s1_unmap(&p->table, gone);
	if (!ret)
		ret = nest_inval_range(&demo->c, NEST_ALL_GROUPS, p->pasid,
				       &p->table, gone, 1);
	if (ret) {
		vfio_fail(ret, "take a page away");
		return complain(EX_FAILED, ret, NULL);
	}
	ptd_submit(&demo->ptd, 0, &d);
	say("   ", "The page at 0x%llx is not mapped.  The device starts to copy.",
	    gone);
	ret = demo_fault(r, VFIO_DMA_FAULT_TYPE_PAGE_REQUEST, &f);
	if (ret)
		return ret;
	say("   ",
	    "In the ring: number %llu, page request, PASID 0x%x, %s at 0x%llx, group %u.  The device waits.",
	    (u64)f.seq, f.pasid,
	    f.perm & VFIO_DMA_FAULT_PERM_WRITE ? "write" : "read",
	    (u64)f.addr, f.group);
	ret = s1_map(&p->table, f.addr, p->dst + (f.addr - DEMO_DST), SZ_4K,
		     SZ_4K, S1_RW);
	if (!ret)
		ret = fault_answer(r, &f, VFIO_DMA_FAULT_RESPONSE_SUCCESS);
	if (!ret)
		ret = ptd_wait(&demo->ptd, 0, &rec);
	if (ret) {
		vfio_fail(ret, "answer the page request");
		return complain(EX_FAILED, ret, NULL);
	}
	if (rec.status != PTD_ST_OK || dst[DEMO_LEN - 1] != p->fill) {
		vfio_fail(0, "the copy did not complete: %s",
			  ptd_status_name(rec.status));
		return complain(EX_FAILED, 0, NULL);
	}
	say("   ",
	    "We map it and answer \"success\".  Device: \"%s\", %u bytes, all there.",
	    ptd_status_name(rec.status), rec.done);
	hardware(demo);
	return 0;
}

/* An access that nobody allowed: it is over, and the ring tells */
static int demo_lost_case(struct demo *demo, struct fault_ring *r,
			  struct process *p)
{
	struct ptd_desc d = {
		.op = PTD_OP_FILL,
		.flags = PTD_F_NO_ATS,
		.pasid = ptd_pasid(p->pasid),
		.dst = DEMO_SRC,
		.len = 8,
	};
	struct vfio_dma_fault f;
	struct ptd_record rec;
	int ret;

	step(demo, "The device writes where process %s may only read",
	     p->name);
	ret = ptd_run(&demo->ptd, 0, &d, &rec);
	if (ret < 0)
		return complain(EX_FAILED, ret, NULL);
	say("   ", "Device: \"%s\" at 0x%llx.", ptd_status_name(ret),
	    (u64)rec.fault_addr);
	ret = demo_fault(r, VFIO_DMA_FAULT_TYPE_UNRECOVERABLE, &f);
	if (ret)
		return ret;
	say("   ",
	    "In the ring: number %llu, PASID 0x%x, %s at 0x%llx: %s (0x%x of the hardware).",
	    (u64)f.seq, f.pasid,
	    f.perm & VFIO_DMA_FAULT_PERM_WRITE ? "write" : "read",
	    (u64)f.addr, fault_reason_name(f.reason), f.hw_reason);
	hardware(demo);
	return 0;
}

static int demo_faults(struct demo *demo, struct process *a, struct process *b)
{
	u32 kinds = VFIO_DMA_FAULT_UNRECOVERABLE;
	struct fault_ring r;
	int ret;

	if (!demo->faults) {
		step(demo, "Faults: skipped");
		say("   ",
		    "This IOMMU reports them to the host only.  The kernel's log has them.");
		return 0;
	}
	if (demo->requests)
		kinds |= VFIO_DMA_FAULT_PAGE_REQUEST;
	step(demo, "A ring for the faults");
	ret = fault_open(&r, &demo->d, kinds, 64);
	if (ret)
		return complain(EX_FAILED, ret, NULL);
	say("   ",
	    "VFIO_DEVICE_FEATURE_DMA_FAULT: %u entries, mapped; an eventfd wakes us%s.",
	    r.depth, kinds & VFIO_DMA_FAULT_PAGE_REQUEST ?
	    "; page requests are on" : "");
	if (demo->requests)
		ret = demo_demand(demo, &r, b);
	if (!ret)
		ret = demo_lost_case(demo, &r, a);
	fault_close(&r);
	return ret;
}

static int demo_end(struct demo *demo, struct process *p, unsigned int n)
{
	int ret;

	step(demo, "Unbind");
	while (n--) {
		ret = nest_unbind(&demo->c, NEST_ALL_GROUPS, p[n].pasid);
		if (ret) {
			vfio_fail(ret, "unbind of PASID 0x%x", p[n].pasid);
			return complain(EX_FAILED, ret, NULL);
		}
		if (p[n].allocated)
			nest_pasid_free(&demo->c, p[n].pasid, p[n].pasid);
		ret = ptd_copy(&demo->ptd, p[n].pasid, DEMO_DST, DEMO_SRC, 8,
			       NULL);
		if (ret < 0)
			return complain(EX_FAILED, ret, NULL);
		if (ret != PTD_ST_READ_FAULT) {
			vfio_fail(0, "PASID 0x%x still reaches memory after unbind: %s",
				  p[n].pasid, ptd_status_name(ret));
			return complain(EX_FAILED, 0, NULL);
		}
		say("   ", "PASID 0x%x: the device is refused.", p[n].pasid);
	}
	hardware(demo);
	return 0;
}

static int do_demo(const char *bdf)
{
	struct process p[] = {
		{ .name = "A", .pasid = 1, .fill = 0xaa },
		{ .name = "B", .pasid = 2, .fill = 0xbb, .demand = true },
	};
	struct demo demo = { .bdf = bdf };
	const struct s1_ops *ops = NULL;
	bool alloc = false;
	unsigned int i;
	int ret;

	ret = demo_open(&demo);
	if (!ret)
		ret = demo_info(&demo, &ops, &alloc);
	if (ret)
		return ret;

	step(&demo, "The guest's memory");
	ret = guest_init(&demo.g, &demo.c, GUEST_GPA, GUEST_MEM);
	if (ret)
		return complain(EX_FAILED, ret,
"Enough locked memory?  ulimit -l; the kernel's log may tell more: dmesg");
	demo.g.pasid_bits = demo.pasid_bits;
	say("   ",
	    "%llu MiB of this process, which plays the guest, mapped at 0x%llx in the guest by VFIO_IOMMU_MAP_DMA: that is stage 2.",
	    GUEST_MEM >> 20, GUEST_GPA);
	hardware(&demo);

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		ret = demo_process(&demo, &p[i], ops, alloc);
		if (ret)
			return ret;
	}
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		ret = demo_copy(&demo, &p[i]);
		if (ret)
			return ret;
	}
	say("   ", "Same addresses, another PASID: other memory.");
	ret = demo_unmap(&demo, &p[0]);
	if (!ret)
		ret = demo_faults(&demo, &p[0], &p[1]);
	if (!ret)
		ret = demo_end(&demo, p, ARRAY_SIZE(p));
	if (ret)
		return ret;
	printf("\nAll as it should be.  More about this device: vfio-nest info %s\n",
	       demo.bdf);
	return EX_OK;
}

static int do_faults(const char *bdf, bool json, unsigned long count)
{
	int ret;

	if (vfio_sysfs_id(bdf, "vendor") < 0) {
		vfio_fail(0, "there is no PCI function %s", bdf);
		return complain(EX_MISSING, 0, "lspci -D lists what there is.");
	}
	ret = faults_follow(bdf, json, count);
	switch (ret) {
	case 0:
		return EX_OK;
	case -ENOENT:
		return complain(EX_MISSING, ret,
"It takes a kernel with the series and CONFIG_FTRACE, and tracefs mounted on\n"
"/sys/kernel/tracing.");
	case -EACCES:
	case -EPERM:
		return complain(EX_FAILED, ret, "Become root.");
	default:
		return complain(EX_FAILED, ret, NULL);
	}
}

/* 0: it is none */
static unsigned long parse_count(const char *arg)
{
	unsigned long count;
	char *end;

	if (!isdigit((unsigned char)arg[0]))
		return 0;
	errno = 0;
	count = strtoul(arg, &end, 10);
	return *end || errno ? 0 : count;
}

static int wrong_usage(const char *what)
{
	fprintf(stderr, "vfio-nest: %s\nvfio-nest --help says what there is.\n",
		what);
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "json", no_argument, NULL, 'j' },
		{ "root", required_argument, NULL, 'r' },
		{ "count", required_argument, NULL, 'c' },
		{ }
	};
	const char *root = "", *cmd;
	unsigned long count = 0;
	char bdf[VFIO_BDF_LEN];
	bool json = false;
	int c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			fputs(usage, stdout);
			return EX_OK;
		case 'V':
			/* It goes with the kernel whose headers it has */
			printf("vfio-nest %d.%d.%d\n", LINUX_VERSION_MAJOR,
			       LINUX_VERSION_PATCHLEVEL,
			       LINUX_VERSION_SUBLEVEL);
			return EX_OK;
		case 'j':
			json = true;
			break;
		case 'r':
			root = optarg;
			break;
		case 'c':
			count = parse_count(optarg);
			if (!count)
				return wrong_usage("--count: how many?");
			break;
		default:
			/* getopt has said what is wrong */
			fputs("vfio-nest --help says what there is.\n", stderr);
			return EX_USAGE;
		}
	}
	if (optind == argc)
		return wrong_usage("which command?");
	if (argc - optind > 2)
		return wrong_usage("too many arguments");
	cmd = argv[optind++];
	if (optind < argc && vfio_parse_bdf(argv[optind], bdf))
		return wrong_usage(vfio_why());

	if (count && strcmp(cmd, "faults"))
		return wrong_usage("--count goes with faults");
	if (!strcmp(cmd, "info")) {
		return optind < argc ? do_info(bdf, root, json) :
				       do_info_all(root, json);
	}
	if (root[0])
		return wrong_usage("--root goes with info");
	if (!strcmp(cmd, "faults")) {
		if (optind == argc)
			return wrong_usage("faults: of what?");
		return do_faults(bdf, json, count);
	}
	if (json)
		return wrong_usage("--json goes with info and faults");
	if (!strcmp(cmd, "demo"))
		return do_demo(optind < argc ? bdf : NULL);
	fprintf(stderr, "vfio-nest: there is no command \"%s\"\n", cmd);
	fputs("vfio-nest --help says what there is.\n", stderr);
	return EX_USAGE;
}
