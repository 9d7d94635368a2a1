/* Translates raw frames, one at a time:
 *
 *     ffmpeg -i in.mp4 -s 256x256 -f rawvideo -pix_fmt bgr24 - | ./translate engine.onnx domain=FLAIR > out.raw
 *
 * Frames are read from standard input and written to standard output, packed as the engine takes and gives them.
 */
#include "inloco.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complain(void)
{
    fprintf(stderr, "error: %s\n", inloco_last_error());
    return 2;
}

static size_t bytes_of(const inloco_image *image)
{
    return (size_t)image->height * (size_t)image->width * (size_t)image->channels * (size_t)(image->bits / 8);
}

/* "domain=FLAIR" */
static inloco_status set_control(inloco_engine *engine, char *assignment)
{
    char *equals = strchr(assignment, '=');
    if (equals == NULL)
        return inloco_set_control(engine, assignment, "");
    *equals = '\0';
    return inloco_set_control(engine, assignment, equals + 1);
}

static int translate_all(inloco_engine *engine, inloco_image frame, inloco_image translated)
{
    const size_t in_bytes = bytes_of(&frame), out_bytes = bytes_of(&translated);
    size_t got;
    while ((got = fread(frame.data, 1, in_bytes, stdin)) == in_bytes) {
        if (inloco_translate(engine, &frame, &translated, 0) != INLOCO_OK)
            return complain();
        if (fwrite(translated.data, 1, out_bytes, stdout) != out_bytes) {
            perror("error: standard output");
            return 2;
        }
    }
    if (got != 0) {
        fprintf(stderr, "error: the last frame has %lu of %lu bytes\n", (unsigned long)got, (unsigned long)in_bytes);
        return 2;
    }
    return 0;
}

static int run(inloco_engine *engine)
{
    inloco_description about;
    inloco_stats stats;
    int code;

    about.struct_size = sizeof about;
    if (inloco_describe(engine, &about) != INLOCO_OK)
        return complain();
    if (about.outputs != 1 || about.frame.height == 0) {
        fprintf(stderr, "error: this program wants an engine that makes one image of one frame\n");
        return 2;
    }
    about.frame.data = malloc(bytes_of(&about.frame));
    about.translated.data = malloc(bytes_of(&about.translated));
    code = about.frame.data && about.translated.data ? translate_all(engine, about.frame, about.translated) : 2;
    free(about.frame.data);
    free(about.translated.data);

    stats.struct_size = sizeof stats;
    if (code == 0 && inloco_get_stats(engine, &stats) == INLOCO_OK)
        fprintf(stderr, "%lu frames, median %.2f ms, on %s\n", (unsigned long)stats.translated, stats.p50_ms,
                about.backend);
    return code;
}

int main(int argc, char **argv)
{
    inloco_engine *engine;
    int code = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: %s ENGINE [CONTROL=VALUE]... < frames.raw > translated.raw\n", argv[0]);
        return 2;
    }
    if (inloco_open(argv[1], NULL, &engine) != INLOCO_OK)
        return complain();
    for (int i = 2; i < argc && code == 0; i++)
        if (set_control(engine, argv[i]) != INLOCO_OK)
            code = complain();
    if (code == 0)
        code = run(engine);
    inloco_close(engine);
    return code;
}
