/*
 * horizon/version.h - which release of the SDK this is, and which version of the node ABI it describes.
 *
 * The ABI has numbers of its own (horizon/node.h, "ABI history"): a node built with one release runs in every later one
 * of the same ABI major number. A test compares HZ_VERSION with the project's version.
 */
#ifndef HORIZON_VERSION_H
#define HORIZON_VERSION_H

#define HZ_VERSION       "0.1.0"
#define HZ_VERSION_MAJOR 0
#define HZ_VERSION_MINOR 1
#define HZ_VERSION_PATCH 0

#define HZ_ABI_MAJOR 1u
#define HZ_ABI_MINOR 1u

#endif
