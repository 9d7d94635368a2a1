/* `checks NAME ENGINE` runs one check: 0 = the promise is kept. Here those of single calls. */
#include "checks.h"

size_t bytes_of(const inloco_image *image)
{
    return (size_t)image->height * (size_t)image->width * (size_t)image->channels * (size_t)(image->bits / 8);
}

work open_work(const char *path, uint32_t own_thread)
{
    work made;
    inloco_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.own_thread = own_thread;
    WANT(inloco_open(path, &options, &made.engine) == INLOCO_OK);
    made.about.struct_size = sizeof made.about;
    WANT(inloco_describe(made.engine, &made.about) == INLOCO_OK);
    made.in = made.about.frame;
    made.out = made.about.translated;
    made.bytes = bytes_of(&made.in);
    made.in.data = malloc(made.bytes);
    made.out.data = calloc(1, bytes_of(&made.out));
    for (size_t i = 0; i < made.bytes; i++)
        ((unsigned char *)made.in.data)[i] = (unsigned char)(i * 7 + 1);
    return made;
}

void close_work(work *done)
{
    WANT(inloco_close(done->engine) == INLOCO_OK);
    free(done->in.data);
    free(done->out.data);
}

inloco_stats stats_of(inloco_engine *engine)
{
    inloco_stats stats;
    stats.struct_size = sizeof stats;
    WANT(inloco_get_stats(engine, &stats) == INLOCO_OK);
    return stats;
}

int says(const char *word) { return strstr(inloco_last_error(), word) != NULL; }

static void identity(const char *path)
{
    for (uint32_t own_thread = 0; own_thread < 2; own_thread++) {
        work w = open_work(path, own_thread);
        WANT(w.about.own_thread == own_thread);
        for (uint32_t deadline_ms = 0; deadline_ms < 60000; deadline_ms += 30000) {
            memset(w.out.data, 0, w.bytes);
            WANT(inloco_translate(w.engine, &w.in, &w.out, deadline_ms) == INLOCO_OK);
            WANT(memcmp(w.in.data, w.out.data, w.bytes) == 0);
        }
        inloco_stats stats = stats_of(w.engine);
        WANT(stats.translated == 2 && stats.late == 0 && stats.failed == 0 && stats.waiting == 0);
        WANT(stats.min_ms > 0 && stats.min_ms <= stats.p50_ms && stats.p50_ms <= stats.max_ms);
        close_work(&w);
    }
}

static void strides(const char *path)
{
    work w = open_work(path, 0);
    const size_t row = w.bytes / (size_t)w.in.height, in_stride = row + 5, out_stride = row + 64;
    const size_t rows = (size_t)w.in.height;
    unsigned char *in = malloc(in_stride * rows), *out = malloc(out_stride * rows);
    memset(out, 0xEE, out_stride * rows);
    for (size_t y = 0; y < rows; y++)
        memcpy(in + y * in_stride, (unsigned char *)w.in.data + y * row, row);
    inloco_image padded_in = w.in, padded_out = w.out;
    padded_in.data = in, padded_in.row_stride = in_stride;
    padded_out.data = out, padded_out.row_stride = out_stride;
    for (uint32_t deadline_ms = 0; deadline_ms < 60000; deadline_ms += 30000)
        WANT(inloco_translate(w.engine, &padded_in, &padded_out, deadline_ms) == INLOCO_OK);
    for (size_t y = 0; y < rows; y++) {
        WANT(memcmp(out + y * out_stride, in + y * in_stride, row) == 0);
        for (size_t x = row; x < out_stride; x++)
            WANT(out[y * out_stride + x] == 0xEE); /* the padding is the caller's */
    }
    free(in);
    free(out);
    close_work(&w);
}

static void refusals(const char *path)
{
    inloco_engine *engine = (inloco_engine *)&engine;
    WANT(inloco_open(NULL, NULL, &engine) == INLOCO_ARGUMENT && engine == NULL);
    WANT(inloco_open(path, NULL, NULL) == INLOCO_ARGUMENT);
    WANT(inloco_open("absent.onnx", NULL, &engine) == INLOCO_MANIFEST && engine == NULL && says("absent.onnx"));
    WANT(inloco_open("\xff\xfe", NULL, &engine) == INLOCO_MANIFEST);

    inloco_options options;
    memset(&options, 0, sizeof options);
    WANT(inloco_open(path, &options, &engine) == INLOCO_ARGUMENT && says("struct_size"));
    options.struct_size = sizeof options;
    options.backend = "abacus";
    WANT(inloco_open(path, &options, &engine) == INLOCO_ENGINE && says("abacus"));
    options.own_thread = 1;
    WANT(inloco_open(path, &options, &engine) == INLOCO_ENGINE && says("abacus"));
    options.reserved = 1;
    WANT(inloco_open(path, &options, &engine) == INLOCO_ARGUMENT);

    WANT(inloco_translate(NULL, NULL, NULL, 0) == INLOCO_ARGUMENT);
    WANT(inloco_translate_async(NULL, NULL, NULL, NULL, NULL) == INLOCO_ARGUMENT);
    WANT(inloco_describe(NULL, NULL) == INLOCO_ARGUMENT);
    WANT(inloco_describe_output(NULL, 0, NULL) == INLOCO_ARGUMENT);
    WANT(inloco_describe_control(NULL, 0, NULL) == INLOCO_ARGUMENT);
    WANT(inloco_get_stats(NULL, NULL) == INLOCO_ARGUMENT);
    WANT(inloco_set_control(NULL, NULL, NULL) == INLOCO_ARGUMENT);
    WANT(inloco_set_control_values(NULL, NULL, NULL, 0) == INLOCO_ARGUMENT);
    WANT(inloco_close(NULL) == INLOCO_OK);

    work w = open_work(path, 0);
    inloco_image wrong = w.in, nowhere = w.out;
    inloco_description about;
    WANT(inloco_translate(w.engine, NULL, &w.out, 0) == INLOCO_FRAME && says("NULL"));
    WANT(inloco_translate(w.engine, &w.in, NULL, 0) == INLOCO_ARGUMENT);
    WANT(inloco_translate_async(w.engine, &w.in, &w.out, NULL, NULL) == INLOCO_ARGUMENT);
    nowhere.data = NULL;
    WANT(inloco_translate(w.engine, &w.in, &nowhere, 0) == INLOCO_FRAME && says("NULL"));
    wrong.width += 1;
    WANT(inloco_translate(w.engine, &wrong, &w.out, 0) == INLOCO_FRAME && says("resize"));
    wrong = w.in, wrong.bits = 16;
    WANT(inloco_translate(w.engine, &wrong, &w.out, 0) == INLOCO_FRAME);
    wrong = w.in, wrong.height = -1;
    WANT(inloco_translate(w.engine, &w.in, &wrong, 0) == INLOCO_FRAME);
    wrong = w.in, wrong.row_stride = 1;
    WANT(inloco_translate(w.engine, &wrong, &w.out, 0) == INLOCO_FRAME && says("row_stride"));
    wrong.row_stride = UINT64_MAX;
    WANT(inloco_translate(w.engine, &wrong, &w.out, 0) == INLOCO_FRAME && says("row_stride"));
    about.struct_size = 3;
    WANT(inloco_describe(w.engine, &about) == INLOCO_ARGUMENT);
    WANT(inloco_describe_output(w.engine, 1, &wrong) == INLOCO_ARGUMENT);

    /* Double close, use after close, a handle that never was. */
    inloco_engine *const closed = w.engine, *const never = (inloco_engine *)(uintptr_t)0xDEADBEEF;
    close_work(&w);
    WANT(inloco_close(closed) == INLOCO_CLOSED);
    WANT(inloco_close(never) == INLOCO_CLOSED);
    WANT(inloco_translate(closed, &wrong, &wrong, 0) == INLOCO_CLOSED && says("not an open engine"));
    WANT(inloco_set_control(closed, "a", "b") == INLOCO_CLOSED);
    about.struct_size = sizeof about;
    WANT(inloco_describe(closed, &about) == INLOCO_CLOSED);
    WANT(inloco_describe(never, &about) == INLOCO_CLOSED);
}

/* A caller compiled against a later header has more fields. */
static void newer_structs(const char *path)
{
    struct { inloco_options known; uint64_t later; } options;
    struct { inloco_stats known; uint64_t later; } stats;
    inloco_engine *engine;
    memset(&options, 0, sizeof options);
    options.known.struct_size = sizeof options;
    options.later = 1;
    WANT(inloco_open(path, &options.known, &engine) == INLOCO_ARGUMENT && says("newer"));
    options.later = 0;
    WANT(inloco_open(path, &options.known, &engine) == INLOCO_OK);
    memset(&stats, 0xFF, sizeof stats);
    stats.known.struct_size = sizeof stats;
    WANT(inloco_get_stats(engine, &stats.known) == INLOCO_OK);
    WANT(stats.later == 0 && stats.known.translated == 0 && stats.known.struct_size == sizeof stats);
    WANT(inloco_close(engine) == INLOCO_OK);
}

/* The engine has a label `domain` of FLAIR and T1 in 0..1, and a style `z` of 4 normal numbers. */
static void controls(const char *path)
{
    work w = open_work(path, 0);
    inloco_control about;
    const float half[2] = {0.5F, 0.5F}, two[2] = {2.0F, 0.0F};
    about.struct_size = sizeof about;
    WANT(w.about.controls == 2);
    WANT(inloco_describe_control(w.engine, 0, &about) == INLOCO_OK);
    WANT(strcmp(about.name, "domain") == 0 && strcmp(about.classes, "FLAIR,T1") == 0 && about.count == 2);
    WANT(about.low == 0.0F && about.high == 1.0F && strcmp(about.kind, "label") == 0 && strstr(about.allowed, "T1"));
    WANT(inloco_describe_control(w.engine, 1, &about) == INLOCO_OK && about.low < -1e30F && about.high > 1e30F);
    WANT(inloco_describe_control(w.engine, 2, &about) == INLOCO_ARGUMENT);
    WANT(inloco_set_control(w.engine, "domain", "T1") == INLOCO_OK);
    WANT(inloco_set_control(w.engine, "z", "seed:3") == INLOCO_OK);
    WANT(inloco_set_control(w.engine, "domain", "PET") == INLOCO_CONTROL && says("FLAIR or T1"));
    WANT(inloco_set_control(w.engine, "domain", "\xff") == INLOCO_CONTROL);
    WANT(inloco_set_control(w.engine, "colour", "1") == INLOCO_CONTROL && says("it takes domain (FLAIR or T1"));
    WANT(inloco_set_control_values(w.engine, "domain", half, 2) == INLOCO_OK);
    WANT(inloco_set_control_values(w.engine, "domain", half, 1) == INLOCO_CONTROL);
    WANT(inloco_set_control_values(w.engine, "domain", two, 2) == INLOCO_CONTROL && says("range"));
    WANT(inloco_set_control_values(w.engine, "domain", half, 0) == INLOCO_CONTROL);
    close_work(&w);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(const char *); } all[] = {
        {"identity", identity}, {"strides", strides}, {"refusals", refusals}, {"newer_structs", newer_structs},
        {"controls", controls}, {"asynchronous", asynchronous}, {"deadline", deadline}, {"sigint", sigint},
        {"threads", threads}, {"shared", shared}, {"memory", memory}, {"no_close", no_close},
    };
    for (size_t i = 0; argc == 3 && i < sizeof all / sizeof *all; i++)
        if (strcmp(argv[1], all[i].name) == 0) {
            all[i].run(argv[2]);
            return 0;
        }
    fprintf(stderr, "usage: checks NAME ENGINE\n");
    return 2;
}
