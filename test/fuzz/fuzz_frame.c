/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/fuzz_frame.c - any bytes as a machine's memory map and a sequence of calls of the frame manager
 *
 * test/host/frame_calls.c turns them into both, and holds each answer against one byte for each frame.
 */
#include <stdint.h>

#include "test/host/frame_calls.h"
#include "test/host/model_frame.h"
#include "test/host/port_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    host_log_quiet(true);
    rnd_feed(data, size);
    frame_calls_open(100);
    while (rnd_left())
        frame_calls_one();
    frame_calls_check();
    frame_calls_close();
    return 0;
}
