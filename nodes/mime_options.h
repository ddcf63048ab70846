/*
 * mime_options.h - the media types the editor offers for an answer. Only a choice for people: http_response sends every
 * well-formed type.
 */
#ifndef HZ_NODES_MIME_OPTIONS_H
#define HZ_NODES_MIME_OPTIONS_H

/* JSON array of {label, value}. */
extern const char mime_options[];

#endif
