/* inloco.h: translate images with an in loco engine, from C99 or C++11 (manual: docs/c.md).
 *
 *     inloco_engine *engine;
 *     if (inloco_open("cyclegan_int8.onnx", NULL, &engine) != INLOCO_OK)
 *         return fprintf(stderr, "%s\n", inloco_last_error()), 1;
 *     inloco_description about;
 *     about.struct_size = sizeof about;
 *     inloco_describe(engine, &about);
 *     inloco_image frame = about.frame, translated = about.translated;   // the sizes; the pixels are yours
 *     frame.data = camera_bgr;
 *     translated.data = result_bgr;
 *     inloco_set_control(engine, "domain", "FLAIR");
 *     inloco_translate(engine, &frame, &translated, 33);                 // within 33 ms, or INLOCO_LATE
 *     inloco_close(engine);
 *
 * Threads: any thread may call; calls on one engine wait for each other, different engines are independent.
 * Memory:  the caller owns every pixel buffer, the engine every text it hands out (until it is closed).
 * Errors:  every function returns INLOCO_OK or the reason; inloco_last_error() says this thread's latest in
 *          words. A closed or foreign engine is INLOCO_CLOSED, never a crash.
 * Structs: set struct_size = sizeof(the struct) before a call; zero the rest of inloco_options.
 */
#ifndef INLOCO_H
#define INLOCO_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#define INLOCO_API_VERSION 1
#define INLOCO_API __attribute__((visibility("default")))
typedef struct inloco_engine inloco_engine;

typedef int32_t inloco_status;
enum {
    INLOCO_OK = 0,
    INLOCO_ARGUMENT = 1,    /* NULL, an index or a struct_size that cannot be */
    INLOCO_CLOSED = 2,      /* not an open engine */
    INLOCO_MANIFEST = 3,    /* the engine file or its manifest is missing, damaged, changed or too new */
    INLOCO_ENGINE = 4,      /* the engine cannot be loaded or run on this machine */
    INLOCO_FRAME = 5,       /* an image has another size, depth or stride than the engine takes */
    INLOCO_CONTROL = 6,     /* the control is unknown or its value not allowed */
    INLOCO_LATE = 7,        /* the deadline passed; `translated` is untouched */
    INLOCO_BUSY = 8,        /* the queue is full, or the engine was called from its own callback */
    INLOCO_INTERRUPTED = 9, /* Ctrl-C, where the host program is Python */
    INLOCO_RUNTIME = 10,    /* Python or the runtime did not start (see INLOCO_PYTHON in docs/c.md) */
    INLOCO_INTERNAL = 11    /* a defect: please report the text */
};

typedef struct inloco_image {   /* interleaved rows, top first, exactly as a camera gives them: BGR or gray */
    void    *data;
    uint64_t row_stride;        /* bytes from row to row; 0 = no padding, which saves a copy of the frame */
    int32_t  height, width;     /* pixels */
    int32_t  channels;          /* 3 or 1 */
    int32_t  bits;              /* 8 or 16 (native byte order, aligned to 2 bytes) */
} inloco_image;

typedef struct inloco_options {
    uint32_t    struct_size;
    uint32_t    queue;          /* how many asynchronous translations may be unfinished; 0 = 4 */
    uint32_t    own_thread;     /* 1 = the engine lives in its own thread; GPU engines always do */
    uint32_t    reserved;
    const char *backend;        /* "openvino", "onnxruntime", ...; NULL = what the manifest says */
} inloco_options;

typedef struct inloco_description {
    uint32_t     struct_size;
    uint32_t     controls;      /* how many inloco_describe_control() tells of */
    uint32_t     outputs;       /* how many images a frame becomes: 1, but for paired generators */
    uint32_t     own_thread;
    inloco_image frame;         /* all 0 for generators of noise, which take NULL instead of a frame */
    inloco_image translated;    /* the first output */
    const char  *system, *task, *precision, *backend;
} inloco_description;

typedef struct inloco_control {
    uint32_t    struct_size;
    uint32_t    count;          /* how many floats it is */
    float       low, high;      /* of every one; -INFINITY, INFINITY = unbounded */
    const char *name;
    const char *kind;           /* "noise", "style", "label", "mask", "boxes", "image" or "scalar" */
    const char *classes;        /* of a label, as "FLAIR,T1"; "" = none */
    const char *allowed;        /* in words, what inloco_set_control() takes */
} inloco_control;

typedef struct inloco_stats {
    uint32_t struct_size;
    uint32_t waiting;           /* asynchronous translations not finished yet */
    uint64_t translated, late, failed;
    double   mean_ms, min_ms, p50_ms, p90_ms, p99_ms, max_ms;   /* of those translated: call to result */
} inloco_stats;

/* Runs in the engine's thread; may call anything but translate and close of this engine. */
typedef void (*inloco_callback)(inloco_status status, void *user_data);

INLOCO_API uint32_t inloco_api_version(void);
INLOCO_API const char *inloco_last_error(void); /* never NULL; valid until this thread's next failure */
INLOCO_API inloco_status inloco_open(const char *path, const inloco_options *options, inloco_engine **engine);
INLOCO_API inloco_status inloco_close(inloco_engine *engine); /* finishes what is queued; NULL is fine */

INLOCO_API inloco_status inloco_describe(inloco_engine *engine, inloco_description *about);
INLOCO_API inloco_status inloco_describe_output(inloco_engine *engine, uint32_t i, inloco_image *size);
INLOCO_API inloco_status inloco_describe_control(inloco_engine *engine, uint32_t i, inloco_control *about);
INLOCO_API inloco_status inloco_get_stats(inloco_engine *engine, inloco_stats *stats);

/* Both copy; what is already queued keeps the old value. */
INLOCO_API inloco_status inloco_set_control(inloco_engine *engine, const char *name, const char *text);
INLOCO_API inloco_status inloco_set_control_values(inloco_engine *engine, const char *name,
                                                   const float *values, uint32_t count);

/* `translated`: as many images as the engine has outputs. deadline_ms: 0 = none. */
INLOCO_API inloco_status inloco_translate(inloco_engine *engine, const inloco_image *frame,
                                          const inloco_image *translated, uint32_t deadline_ms);
/* Returns at once; the pixels stay in use until `done` runs, which it does once for every INLOCO_OK. */
INLOCO_API inloco_status inloco_translate_async(inloco_engine *engine, const inloco_image *frame,
                                                const inloco_image *translated,
                                                inloco_callback done, void *user_data);

#ifdef __cplusplus
}
#endif
#endif
