/*
 * Runs frames through a backbone, each with a patch of its own choice, and prints what is seen in them.
 *
 *     classify BACKBONE FRAMES
 *
 * A line of the file FRAMES is "PATCH FRAME": a .patch file, or - for what the backbone itself was trained for, and a file of
 * 8-bit pixels, NHWC. A line of the output is the frame, the label of the greatest score, and the bits of all scores, so that
 * machines can be compared.
 *
 * C99 and C++17; on systems with files (GRAFT_HOSTED), and on microcontrollers whose C library reaches those of a debugger.
 * All memory is that of this file: a product has its images in flash, and passes their addresses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graft.h"

#define ALIGNED __attribute__((aligned(GRAFT_ALIGN)))
#define MAX_PATCHES 4
#define MAX_PIXELS (64 * 64 * 3)
#define MAX_CLASSES 64
#define MAX_NAME 128

static uint8_t backbone_memory[GRAFT_BACKBONE_MAX_SIZE] ALIGNED;
static uint8_t session_memory[GRAFT_SESSION_MAX_SIZE + 128 * 1024] ALIGNED;
#ifndef GRAFT_HOSTED
static uint8_t backbone_image[512 * 1024] ALIGNED;
#endif

/* An open patch, and where it came from. */
struct task {
    char name[MAX_NAME];
    graft_patch *patch;
};
static struct task tasks[MAX_PATCHES];
static uint8_t patch_memory[MAX_PATCHES][GRAFT_PATCH_MAX_SIZE] ALIGNED;
#ifndef GRAFT_HOSTED
static uint8_t patch_images[MAX_PATCHES][64 * 1024] ALIGNED;
#endif

static uint8_t pixels[MAX_PIXELS];
static float scores[MAX_CLASSES];

static void fail(const char *what, const char *why) {
    fprintf(stderr, "classify: %s: %s\n", what, why);
    exit(1);
}

static void check(const char *what, graft_status status) {
    if (status != GRAFT_STATUS_OK) {
        fail(what, graft_last_error());
    }
}

/* Reads a file; returns its length. */
static size_t load(const char *path, uint8_t *to, size_t room) {
    FILE *file = fopen(path, "rb");
    size_t length;
    if (file == NULL) {
        fail(path, "cannot be opened");
        return 0;
    }
    length = fread(to, 1, room, file);
    if (fgetc(file) != EOF) {
        fail(path, "is larger than there is room for");
    }
    fclose(file);
    return length;
}

static graft_backbone *open_backbone(const char *path) {
    graft_backbone *backbone;
#ifdef GRAFT_HOSTED
    check(path, graft_backbone_map(backbone_memory, sizeof backbone_memory, path, GRAFT_VERIFY_FULL, &backbone));
#else
    size_t length = load(path, backbone_image, sizeof backbone_image);
    check(path, graft_backbone_open(backbone_memory, sizeof backbone_memory, backbone_image, length, GRAFT_VERIFY_FULL,
                                    &backbone));
#endif
    return backbone;
}

/* Opens a patch when it is first named. */
static graft_patch *find_patch(const graft_backbone *backbone, const char *path) {
    size_t at = 0;
    struct task *task;
    while (at < MAX_PATCHES && tasks[at].patch != NULL && strcmp(tasks[at].name, path) != 0) {
        at++;
    }
    if (at == MAX_PATCHES) {
        fail(path, "there is no room for another patch");
    }
    task = &tasks[at];
    if (task->patch != NULL) {
        return task->patch;
    }
    if (strcmp(path, "-") == 0) {
        check(path, graft_patch_own(patch_memory[at], sizeof patch_memory[at], backbone, &task->patch));
    } else {
#ifdef GRAFT_HOSTED
        check(path, graft_patch_map(patch_memory[at], sizeof patch_memory[at], backbone, path, GRAFT_VERIFY_FULL,
                                    &task->patch));
#else
        size_t length = load(path, patch_images[at], sizeof patch_images[at]);
        check(path, graft_patch_open(patch_memory[at], sizeof patch_memory[at], backbone, patch_images[at], length,
                                     GRAFT_VERIFY_FULL, &task->patch));
#endif
    }
    strcpy(task->name, path);
    return task->patch;
}

static void classify(graft_session *session, const graft_patch *patch, const char *frame) {
    size_t length = load(frame, pixels, sizeof pixels);
    size_t count = 0, best = 0, at;
    const char *label;
    size_t label_length;
    check(frame, graft_session_run(session, patch, pixels, length, scores, MAX_CLASSES, &count));
    for (at = 0; at < count; at++) {
        if (scores[at] > scores[best]) {
            best = at;
        }
    }
    check(frame, graft_patch_label(patch, best, &label, &label_length));
    printf("%s\t%.*s\t", frame, (int)label_length, label);
    for (at = 0; at < count; at++) {
        uint32_t bits;
        memcpy(&bits, &scores[at], sizeof bits);
        printf("%08lx", (unsigned long)bits);
    }
    printf("\n");
}

int main(int argc, char **argv) {
    char patch[MAX_NAME], frame[MAX_NAME];
    graft_backbone *backbone;
    graft_session *session;
    FILE *frames;
    size_t at;
    if (argc != 3) {
        fail("usage", "classify BACKBONE FRAMES");
    }
    backbone = open_backbone(argv[1]);
    check(argv[1], graft_session_open(session_memory, sizeof session_memory, backbone, &session));
    frames = fopen(argv[2], "r");
    if (frames == NULL) {
        fail(argv[2], "cannot be opened");
        return 1;
    }
    while (fscanf(frames, "%127s %127s", patch, frame) == 2) {
        classify(session, find_patch(backbone, patch), frame);
    }
    fclose(frames);
    check("session", graft_session_close(session));
    for (at = 0; at < MAX_PATCHES && tasks[at].patch != NULL; at++) {
        check(tasks[at].name, graft_patch_close(tasks[at].patch));
    }
    check(argv[1], graft_backbone_close(backbone));
    return 0;
}
