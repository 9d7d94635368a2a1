/* Starts the interpreter inside somebody's process, as a good guest: its signals, locale, environment and streams stay
 * as they are, and what fails becomes a sentence instead of an exit. */
#define _GNU_SOURCE
#include <Python.h>

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "start.h"

#ifndef INLOCO_BUILD_PYTHON
#error "build.py defines INLOCO_BUILD_PYTHON, the interpreter whose packages are used unless INLOCO_PYTHON names another"
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char failure[1024];
static int attached;

void capi_attached(void) { attached = 1; }

static void fail(const char *format, const char *first, const char *second)
{
    snprintf(failure, sizeof failure, format, first, second);
}

/* The folder with runtime/: INLOCO_ROOT, or the nearest one above this library. */
const char *capi_root(void)
{
    static char root[PATH_MAX];
    char probe[PATH_MAX + 32];
    const char *named = getenv("INLOCO_ROOT");
    Dl_info here;
    if (named && snprintf(root, sizeof root, "%s", named) > 0)
        return root;
    if (!dladdr((void *)&once, &here) || !here.dli_fname || !realpath(here.dli_fname, root))
        return "";
    for (char *end; (end = strrchr(root, '/')) != NULL && end != root;) {
        *end = '\0';
        snprintf(probe, sizeof probe, "%s/runtime/capi/bridge.py", root);
        if (access(probe, R_OK) == 0)
            return root;
    }
    return "";
}

static const char *python_path(void)
{
    const char *named = getenv("INLOCO_PYTHON");
    return named && *named ? named : INLOCO_BUILD_PYTHON;
}

/* A host that loads this library with RTLD_LOCAL hides libpython from numpy's extension modules: show it again. */
static void show_libpython(void)
{
    Dl_info python;
    if (dladdr((void *)&Py_IsInitialized, &python) && python.dli_fname)
        dlopen(python.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
}

/* Isolated: PYTHON* variables, the user's site and the working directory do not matter. The interpreter's own path
 * decides where packages come from, so that of a virtual environment brings its packages. */
static PyStatus configure(PyConfig *config)
{
    PyPreConfig early;
    PyPreConfig_InitIsolatedConfig(&early);
    early.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&early);
    PyConfig_InitIsolatedConfig(config);
    config->install_signal_handlers = 0;
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(config, &config->program_name, python_path());
    return status;
}

static int start_python(void)
{
    PyConfig config;
    if (access(python_path(), X_OK) != 0) {
        fail("there is no Python interpreter %s; name the one that has inloco's packages in INLOCO_PYTHON",
             python_path(), "");
        return 0;
    }
    PyStatus status = configure(&config);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) {
        fail("Python does not start with %s (%s); name an interpreter of version " INLOCO_PYTHON_VERSION
             " in INLOCO_PYTHON",
             python_path(), status.err_msg ? status.err_msg : "no reason given");
        return 0;
    }
    PyEval_SaveThread();
    return 1;
}

/* cffi's own complaint about this goes to stderr only, so ask first. */
static int find_cffi(void)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *module = PyImport_ImportModule("_cffi_backend");
    int found = module != NULL;
    if (!found) {
        PyErr_Clear();
        fail("%s lacks the package cffi: install it there, or name another interpreter in INLOCO_PYTHON",
             python_path(), "");
    }
    Py_XDECREF(module);
    PyGILState_Release(state);
    return found;
}

/* cffi takes the version tag of a type for a lock that must be free; in a Python host, looking up an attribute of
 * that type (as torch does) has set it. Forgetting the tag is harmless: Python gives a new one when it wants it. */
static void free_cffi_lock(void)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyType_Modified(&PyCapsule_Type);
    PyGILState_Release(state);
}

static void start(void)
{
    show_libpython();
    if (!Py_IsInitialized() && !start_python())
        return;
    if (!find_cffi())
        return;
    free_cffi_lock();
    if (capi_start_bridge() != 0 || !attached) {
        const char *reason = inloco_last_error();
        fail("the runtime does not load with %s (%s); name the interpreter that has its packages in INLOCO_PYTHON",
             python_path(), *reason ? reason : "see stderr");
    }
}

int capi_start(void)
{
    pthread_once(&once, start);
    if (*failure)
        capi_remember(failure);
    return !*failure;
}
