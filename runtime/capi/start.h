/* Starting Python, once in a process. */
#ifndef INLOCO_START_H
#define INLOCO_START_H

/* 1 when Python and bridge.py are ready; else 0, and the reason is this thread's last error. */
int capi_start(void);

/* Runs embed.py through cffi; defined in what cffi generates. 0 when that worked. */
int capi_start_bridge(void);

#endif
