"""The C API: a thin C99 library over the same Python runtime.

    inloco.h    what a caller sees: types, functions, rules
    inloco.c    checks pointers and struct sizes, then asks Python
    start.c     starts the interpreter, once, without ever ending the process
    calls.h     the functions that C and Python offer each other
    build.py    compiles libinloco.so (`make capi`)
    bridge.py   C structs and pointers ↔ arrays, exceptions → status codes
    session.py  one open engine: controls, deadlines, statistics
"""
