/* What libinloco promises, checked from C: each check ends the program with 1 where a promise is broken. */
#ifndef CHECKS_H
#define CHECKS_H
#include "inloco.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WANT(condition)                                                                                   \
    do {                                                                                                  \
        if (!(condition)) {                                                                               \
            fprintf(stderr, "%s:%d: not %s; last error: %s\n", __FILE__, __LINE__, #condition,            \
                    inloco_last_error());                                                                 \
            exit(1);                                                                                      \
        }                                                                                                 \
    } while (0)

/* An open engine, a frame for it and room for the result. */
typedef struct {
    inloco_engine *engine;
    inloco_description about;
    inloco_image in, out;
    size_t bytes; /* of the frame */
} work;

size_t bytes_of(const inloco_image *image);
work open_work(const char *path, uint32_t own_thread);
void close_work(work *done);
inloco_stats stats_of(inloco_engine *engine);
int says(const char *word); /* whether the last error does */

void asynchronous(const char *path);
void deadline(const char *path);
void sigint(const char *path);
void threads(const char *path);
void shared(const char *path);
void memory(const char *path);
void no_close(const char *path);
#endif
