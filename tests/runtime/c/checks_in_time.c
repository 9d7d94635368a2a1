/* The checks of threads, callbacks, deadlines, signals and memory. */
#define _POSIX_C_SOURCE 200809L
#include "checks.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

typedef struct {
    inloco_engine *engine;
    const work *work;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls;
    inloco_status last, inside_translate, inside_close, inside_stats;
} waiter;

static void on_done(inloco_status status, void *user_data)
{
    waiter *w = user_data;
    inloco_stats stats;
    stats.struct_size = sizeof stats;
    pthread_mutex_lock(&w->lock);
    w->last = status;
    w->inside_translate = inloco_translate(w->engine, &w->work->in, &w->work->out, 0);
    w->inside_close = inloco_close(w->engine);
    w->inside_stats = inloco_get_stats(w->engine, &stats);
    w->calls++;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

void asynchronous(const char *path)
{
    work w = open_work(path, 0);
    waiter done = {w.engine, &w, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, -1, 0, 0, -1};
    for (int i = 1; i <= 20; i++) {
        memset(w.out.data, 0, w.bytes);
        WANT(inloco_translate_async(w.engine, &w.in, &w.out, on_done, &done) == INLOCO_OK);
        pthread_mutex_lock(&done.lock);
        while (done.calls < i)
            pthread_cond_wait(&done.changed, &done.lock);
        pthread_mutex_unlock(&done.lock);
        WANT(done.last == INLOCO_OK && memcmp(w.in.data, w.out.data, w.bytes) == 0);
    }
    WANT(done.inside_translate == INLOCO_BUSY && done.inside_close == INLOCO_BUSY && done.inside_stats == INLOCO_OK);
    WANT(inloco_translate(w.engine, &w.in, &w.out, 0) == INLOCO_OK); /* both forms on one engine */

    /* A full queue refuses: hold the engine's thread in its callback meanwhile. */
    pthread_mutex_lock(&done.lock);
    int queued = 0;
    while (inloco_translate_async(w.engine, &w.in, &w.out, on_done, &done) == INLOCO_OK && queued < 100)
        queued++;
    WANT(queued >= 3 && queued < 100 && says("unfinished"));
    pthread_mutex_unlock(&done.lock);
    close_work(&w); /* finishes what is queued */
    WANT(done.calls == 20 + queued && done.last == INLOCO_OK);
}

/* `path` takes far longer than a millisecond. */
void deadline(const char *path)
{
    work w = open_work(path, 0);
    const size_t bytes = bytes_of(&w.out);
    unsigned char *untouched = malloc(bytes);
    WANT(inloco_translate(w.engine, &w.in, &w.out, 0) == INLOCO_OK);
    memset(w.out.data, 0xEE, bytes);
    memset(untouched, 0xEE, bytes);
    WANT(inloco_translate(w.engine, &w.in, &w.out, 1) == INLOCO_LATE && says("deadline"));
    WANT(memcmp(w.out.data, untouched, bytes) == 0);
    WANT(inloco_translate(w.engine, &w.in, &w.out, 1) == INLOCO_LATE); /* the engine is still busy, or again */
    WANT(inloco_translate(w.engine, &w.in, &w.out, 600000) == INLOCO_OK);
    WANT(memcmp(w.out.data, untouched, bytes) != 0);
    inloco_stats stats = stats_of(w.engine);
    WANT(stats.translated == 2 && stats.late == 2);
    WANT(inloco_translate(w.engine, &w.in, &w.out, 1) == INLOCO_LATE);
    free(untouched);
    close_work(&w); /* while a late frame is still computed, whose buffers are gone */
}

static volatile sig_atomic_t signals;
static void count_signal(int number) { signals += number == SIGINT; }

static void *interrupt(void *main_thread)
{
    while (signals < 20) { /* two that meet in a busy moment are one */
        struct timespec pause = {0, 5000000};
        nanosleep(&pause, NULL);
        pthread_kill(*(pthread_t *)main_thread, SIGINT);
    }
    return NULL;
}

/* The host's handler stays in place and runs; translating goes on. */
void sigint(const char *path)
{
    struct sigaction mine, found;
    pthread_t self = pthread_self(), other;
    memset(&mine, 0, sizeof mine);
    mine.sa_handler = count_signal;
    sigaction(SIGINT, &mine, NULL);
    work w = open_work(path, 0);
    sigaction(SIGINT, NULL, &found);
    WANT(found.sa_handler == count_signal);
    WANT(pthread_create(&other, NULL, interrupt, &self) == 0);
    for (int i = 0; signals < 20; i++)
        WANT(inloco_translate(w.engine, &w.in, &w.out, i % 2 ? 60000 : 0) == INLOCO_OK);
    pthread_join(other, NULL);
    close_work(&w);
}

static void *translate_often(void *path)
{
    work w = open_work(path, 0);
    for (int i = 0; i < 300; i++) {
        ((unsigned char *)w.in.data)[i] = (unsigned char)(i + 1);
        WANT(inloco_translate(w.engine, &w.in, &w.out, i % 10 == 0 ? 60000 : 0) == INLOCO_OK);
        WANT(memcmp(w.in.data, w.out.data, w.bytes) == 0);
        WANT(inloco_open("absent", NULL, &(inloco_engine *){NULL}) == INLOCO_MANIFEST && says("absent"));
    }
    WANT(stats_of(w.engine).translated == 300);
    close_work(&w);
    return NULL;
}

void threads(const char *path)
{
    pthread_t all[8];
    for (int i = 0; i < 8; i++)
        WANT(pthread_create(&all[i], NULL, translate_often, (void *)path) == 0);
    for (int i = 0; i < 8; i++)
        pthread_join(all[i], NULL);
}

static void *share(void *given)
{
    work *w = given;
    inloco_image out = w->out;
    out.data = malloc(w->bytes);
    for (int i = 0; i < 200; i++) {
        inloco_status status = inloco_translate(w->engine, &w->in, &out, i % 4 == 0 ? 60000 : 0);
        WANT(status == INLOCO_OK || status == INLOCO_CLOSED);
    }
    free(out.data);
    return NULL;
}

/* Many threads on one engine, which one of them closes in between. */
void shared(const char *path)
{
    pthread_t all[4];
    work w = open_work(path, 0);
    struct timespec pause = {0, 20000000};
    for (int i = 0; i < 4; i++)
        WANT(pthread_create(&all[i], NULL, share, &w) == 0);
    nanosleep(&pause, NULL);
    WANT(inloco_close(w.engine) == INLOCO_OK);
    for (int i = 0; i < 4; i++)
        pthread_join(all[i], NULL);
    WANT(inloco_close(w.engine) == INLOCO_CLOSED);
    free(w.in.data);
    free(w.out.data);
}

static long rss_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        sscanf(line, "VmRSS: %ld", &kib);
    if (status)
        fclose(status);
    return kib;
}

/* 100 000 calls, of which some fail or have a deadline, and 50 engines; at most 5 MB more. */
void memory(const char *path)
{
    work w = open_work(path, 0);
    inloco_image wrong = w.in;
    long before = 0;
    wrong.height += 1;
    for (int i = 0; i < 100000; i++) {
        if (i == 2000)
            before = rss_kib();
        if (i % 100 == 0)
            WANT(inloco_translate(w.engine, &w.in, &w.out, 60000) == INLOCO_OK);
        else if (i % 10 == 5)
            WANT(inloco_translate(w.engine, &wrong, &w.out, 0) == INLOCO_FRAME);
        else
            WANT(inloco_translate(w.engine, &w.in, &w.out, 0) == INLOCO_OK);
        if (i % 2000 == 1999) {
            work another = open_work(path, i % 4000 == 1999);
            close_work(&another);
        }
    }
    long after = rss_kib();
    printf("%ld KiB before, %ld KiB after\n", before, after);
    WANT(before > 0 && after - before <= 5 * 1024);
    close_work(&w);
}

/* Leaves without closing, while work is queued. */
void no_close(const char *path)
{
    work w = open_work(path, 1);
    static waiter done;
    done = (waiter){w.engine, &w, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, -1, 0, 0, -1};
    WANT(inloco_translate_async(w.engine, &w.in, &w.out, on_done, &done) == INLOCO_OK);
    exit(0);
}
