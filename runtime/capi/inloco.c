/* The functions of inloco.h: pointers and struct sizes are checked here, everything else in Python. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <string.h>

#include "calls.h"
#include "start.h"

static _Thread_local char last_error[1024];

const char *inloco_last_error(void) { return last_error; }

uint32_t inloco_api_version(void) { return INLOCO_API_VERSION; }

/* Keep as much of `text` as fits, without cutting a UTF-8 character. */
void capi_remember(const char *text)
{
    size_t length = strlen(text);
    if (length >= sizeof last_error) {
        length = sizeof last_error - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
            length--;
    }
    memmove(last_error, text, length);
    last_error[length] = '\0';
}

static inloco_status refuse(const char *function, const char *reason)
{
    char text[256];
    snprintf(text, sizeof text, "%s: %s", function, reason);
    capi_remember(text);
    return INLOCO_ARGUMENT;
}

/* From Python's answer; 0 means that cffi could not even call it. */
static inloco_status status_of(int32_t answer)
{
    if (answer > 0)
        return answer - 1;
    capi_remember("the Python runtime stopped answering; restart the process");
    return INLOCO_RUNTIME;
}

static uint64_t handle_of(const inloco_engine *engine) { return (uint64_t)(uintptr_t)engine; }

static const char NO_ENGINE[] = "`engine` is NULL; open one with inloco_open()";

/* Callers compiled against an older inloco.h have smaller structs, against a newer one larger: both work, as long as
 * nothing is asked for that this library does not know. Version 1 of each struct is the smallest there is. */
static const char *take_options(inloco_options *own, const inloco_options *theirs)
{
    memset(own, 0, sizeof *own);
    own->struct_size = sizeof *own;
    if (!theirs)
        return NULL;
    if (theirs->struct_size < sizeof *own)
        return "`options->struct_size` is not sizeof(inloco_options)";
    if (theirs->struct_size > 4096)
        return "`options->struct_size` is not set; zero the struct, then set it";
    for (size_t i = sizeof *own; i < theirs->struct_size; i++)
        if (((const unsigned char *)theirs)[i])
            return "`options` asks for something newer than this library; update inloco";
    memcpy(own, theirs, sizeof *own);
    if (own->reserved)
        return "`options->reserved` is not 0; zero the struct before setting fields";
    return NULL;
}

inloco_status inloco_open(const char *path, const inloco_options *options, inloco_engine **engine)
{
    inloco_options own;
    uint64_t handle = 0;
    if (!engine)
        return refuse("inloco_open", "`engine` is NULL; pass the address of an inloco_engine *");
    *engine = NULL;
    if (!path)
        return refuse("inloco_open", "`path` is NULL; pass the path of an engine");
    const char *reason = take_options(&own, options);
    if (reason)
        return refuse("inloco_open", reason);
    if (!capi_start())
        return INLOCO_RUNTIME;
    inloco_status status = status_of(capi_open(path, &own, &handle));
    *engine = (inloco_engine *)(uintptr_t)handle;
    return status;
}

inloco_status inloco_close(inloco_engine *engine)
{
    if (!engine)
        return INLOCO_OK;
    return capi_start() ? status_of(capi_close(handle_of(engine))) : INLOCO_RUNTIME;
}

/* The three structs that the library fills: what the caller has room for beyond this version is zeroed. */
#define CHECK_OUT(function, name)                                                       \
    do {                                                                                \
        if (!engine)                                                                    \
            return refuse(function, NO_ENGINE);                                         \
        if (!name)                                                                      \
            return refuse(function, "`" #name "` is NULL");                             \
        if (name->struct_size < sizeof *name || name->struct_size > 4096)               \
            return refuse(function, "`" #name "->struct_size` is not set to its size"); \
        if (!capi_start())                                                              \
            return INLOCO_RUNTIME;                                                      \
    } while (0)

static inloco_status hand_out(inloco_status status, void *theirs, const void *ours, size_t size)
{
    if (status == INLOCO_OK) {
        uint32_t room;
        memcpy(&room, theirs, sizeof room); /* struct_size is the first field of each */
        memset(theirs, 0, room);
        memcpy(theirs, ours, size);
        memcpy(theirs, &room, sizeof room);
    }
    return status;
}

inloco_status inloco_describe(inloco_engine *engine, inloco_description *about)
{
    inloco_description own = {0};
    CHECK_OUT("inloco_describe", about);
    inloco_status status = status_of(capi_describe(handle_of(engine), &own));
    return hand_out(status, about, &own, sizeof own);
}

inloco_status inloco_describe_control(inloco_engine *engine, uint32_t index, inloco_control *about)
{
    inloco_control own = {0};
    CHECK_OUT("inloco_describe_control", about);
    inloco_status status = status_of(capi_describe_control(handle_of(engine), index, &own));
    return hand_out(status, about, &own, sizeof own);
}

inloco_status inloco_get_stats(inloco_engine *engine, inloco_stats *stats)
{
    inloco_stats own = {0};
    CHECK_OUT("inloco_get_stats", stats);
    inloco_status status = status_of(capi_stats(handle_of(engine), &own));
    return hand_out(status, stats, &own, sizeof own);
}

inloco_status inloco_describe_output(inloco_engine *engine, uint32_t index, inloco_image *size)
{
    if (!engine)
        return refuse("inloco_describe_output", NO_ENGINE);
    if (!size)
        return refuse("inloco_describe_output", "`size` is NULL");
    return capi_start() ? status_of(capi_describe_output(handle_of(engine), index, size)) : INLOCO_RUNTIME;
}

inloco_status inloco_set_control(inloco_engine *engine, const char *name, const char *text)
{
    if (!engine)
        return refuse("inloco_set_control", NO_ENGINE);
    if (!name || !text)
        return refuse("inloco_set_control", "`name` or `text` is NULL");
    return capi_start() ? status_of(capi_set_control(handle_of(engine), name, text)) : INLOCO_RUNTIME;
}

inloco_status inloco_set_control_values(inloco_engine *engine, const char *name, const float *values, uint32_t count)
{
    if (!engine)
        return refuse("inloco_set_control_values", NO_ENGINE);
    if (!name || !values)
        return refuse("inloco_set_control_values", "`name` or `values` is NULL");
    return capi_start() ? status_of(capi_set_values(handle_of(engine), name, values, count)) : INLOCO_RUNTIME;
}

inloco_status inloco_translate(inloco_engine *engine, const inloco_image *frame, const inloco_image *translated,
                               uint32_t deadline_ms)
{
    if (!engine)
        return refuse("inloco_translate", NO_ENGINE);
    if (!translated)
        return refuse("inloco_translate", "`translated` is NULL; pass an image with room for the result");
    if (!capi_start())
        return INLOCO_RUNTIME;
    return status_of(capi_translate(handle_of(engine), frame, translated, deadline_ms));
}

inloco_status inloco_translate_async(inloco_engine *engine, const inloco_image *frame, const inloco_image *translated,
                                     inloco_callback done, void *user_data)
{
    if (!engine)
        return refuse("inloco_translate_async", NO_ENGINE);
    if (!translated || !done)
        return refuse("inloco_translate_async", "`translated` or `done` is NULL");
    if (!capi_start())
        return INLOCO_RUNTIME;
    return status_of(capi_translate_async(handle_of(engine), frame, translated, done, user_data));
}
