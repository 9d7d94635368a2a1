/* A host that loads the library as plug-in systems do, with its symbols hidden, unloads it and loads it again. */
#include "inloco.h"

#include <dlfcn.h>
#include <stdio.h>

typedef inloco_status (*open_function)(const char *, const inloco_options *, inloco_engine **);
typedef inloco_status (*close_function)(inloco_engine *);
typedef const char *(*error_function)(void);

int main(int argc, char **argv)
{
    for (int round = 0; argc == 3 && round < 2; round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        open_function open_engine;
        close_function close_engine;
        error_function last_error;
        inloco_engine *engine;
        if (!library)
            return fprintf(stderr, "%s\n", dlerror()), 1;
        *(void **)&open_engine = dlsym(library, "inloco_open");
        *(void **)&close_engine = dlsym(library, "inloco_close");
        *(void **)&last_error = dlsym(library, "inloco_last_error");
        if (open_engine(argv[2], 0, &engine) != INLOCO_OK || close_engine(engine) != INLOCO_OK)
            return fprintf(stderr, "%s\n", last_error()), 1;
        dlclose(library);
    }
    return 0;
}
