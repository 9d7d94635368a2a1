/* What C and Python offer each other; build.py reads this for cffi as well, so plain declarations only. */

/* Python's, in bridge.py. They return 1 + the status: 0 is what cffi returns when Python did not run. */
#ifndef INLOCO_CDEF
#include "inloco.h"
#define PYTHON extern
#endif
PYTHON int32_t capi_open(const char *path, const inloco_options *options, uint64_t *handle);
PYTHON int32_t capi_close(uint64_t handle);
PYTHON int32_t capi_describe(uint64_t handle, inloco_description *description);
PYTHON int32_t capi_describe_output(uint64_t handle, uint32_t index, inloco_image *size);
PYTHON int32_t capi_describe_control(uint64_t handle, uint32_t index, inloco_control *control);
PYTHON int32_t capi_set_control(uint64_t handle, const char *name, const char *value);
PYTHON int32_t capi_set_values(uint64_t handle, const char *name, const float *values, uint32_t count);
PYTHON int32_t capi_stats(uint64_t handle, inloco_stats *stats);
PYTHON int32_t capi_translate(uint64_t handle, const inloco_image *frame, const inloco_image *translated,
                              uint32_t deadline_ms);
PYTHON int32_t capi_translate_async(uint64_t handle, const inloco_image *frame, const inloco_image *translated,
                                    inloco_callback done, void *user_data);

/* C's. */
void capi_remember(const char *text);      /* the calling thread's last error */
const char *capi_root(void);               /* the folder that holds runtime/ */
void capi_attached(void);                  /* bridge.py is in place */
