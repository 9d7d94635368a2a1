/* Prints what the committed ABI list says: struct sizes and the offsets of their fields. */
#include "inloco.h"

#include <stddef.h>
#include <stdio.h>

#define SIZE(type) printf(#type " %lu\n", (unsigned long)sizeof(type))
#define FIELD(type, field) printf(#type "." #field " %lu\n", (unsigned long)offsetof(type, field))

int main(void)
{
    SIZE(inloco_status);
    SIZE(inloco_image);
    FIELD(inloco_image, data), FIELD(inloco_image, row_stride), FIELD(inloco_image, height);
    FIELD(inloco_image, width), FIELD(inloco_image, channels), FIELD(inloco_image, bits);
    SIZE(inloco_options);
    FIELD(inloco_options, queue), FIELD(inloco_options, own_thread), FIELD(inloco_options, backend);
    SIZE(inloco_description);
    FIELD(inloco_description, controls), FIELD(inloco_description, outputs), FIELD(inloco_description, own_thread);
    FIELD(inloco_description, frame), FIELD(inloco_description, translated), FIELD(inloco_description, system);
    FIELD(inloco_description, task), FIELD(inloco_description, precision), FIELD(inloco_description, backend);
    SIZE(inloco_control);
    FIELD(inloco_control, count), FIELD(inloco_control, low), FIELD(inloco_control, high);
    FIELD(inloco_control, name), FIELD(inloco_control, kind), FIELD(inloco_control, classes);
    FIELD(inloco_control, allowed);
    SIZE(inloco_stats);
    FIELD(inloco_stats, waiting), FIELD(inloco_stats, translated), FIELD(inloco_stats, late);
    FIELD(inloco_stats, failed), FIELD(inloco_stats, mean_ms), FIELD(inloco_stats, max_ms);
    return 0;
}
