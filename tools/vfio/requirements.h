/* SPDX-License-Identifier: GPL-2.0-only */
/* What a machine needs for nesting, found out without touching the device */
#ifndef TOOLS_VFIO_REQUIREMENTS_H
#define TOOLS_VFIO_REQUIREMENTS_H

#include "libvfio.h"

#define REQ_MAX		16

enum req_state {
	REQ_OK,
	REQ_NO,		/* no nesting without it */
	REQ_LIMIT,	/* nesting, but not all of it */
	REQ_UNKNOWN,
};

/**
 * struct requirement - One thing that nesting needs
 * @id: a word for scripts; stays the same
 * @state: whether it is there
 * @what: what was found
 * @next: what to do about it, lines that no newline ends, or empty
 */
struct requirement {
	const char *id;
	enum req_state state;
	char what[256];
	char next[384];
};

/**
 * struct requirements - All of them, for one device
 * @r: in the order in which people have to mend them, the kernel first
 * @nr: how many
 * @iommu: what the kernel calls the device's
 * @iommu_takes: what to look at if the kernel says that it cannot nest
 */
struct requirements {
	struct requirement r[REQ_MAX];
	unsigned int nr;
	char iommu[64];
	const char *iommu_takes;
};

const char *req_state_name(enum req_state state);

/* root: "" for this machine, else where a copy of its /sys, /proc, /boot is */
void requirements_find(struct requirements *reqs, const char *root,
		       const char *bdf);

/* The kernel was asked: put in what it said about the IOMMU */
void requirements_answer(struct requirements *reqs, bool nests);

struct req_device {
	char bdf[VFIO_BDF_LEN];
};

/*
 * All PCI functions but bridges, sorted.  Returns how many, or -errno; free()
 * *devs.
 */
int requirements_devices(const char *root, struct req_device **devs);

/* Is there one without which there is no nesting at all? */
bool requirements_missing(const struct requirements *reqs);

#endif
