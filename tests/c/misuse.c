/*
 * What C may get wrong: each has a status, none crashes. Built with the address sanitizer; memory ends where no page is, as
 * code that is not built with it is seen out of bounds, too.
 *
 *     misuse INT8_FOLDER F32_FOLDER
 *
 * The folders have demo.backbone and fashion.patch. Prints "N passed, N failed".
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "graft.h"

static int passed, failed;

static void judge(int line, const char *what, int is_right, const char *found) {
    passed += is_right;
    failed += !is_right;
    if (!is_right) {
        printf("misuse.c:%d: failed: %s: %s\n", line, what, found);
    }
}

#define EXPECT(status, call) expect(__LINE__, #call, status, call)
#define HOLDS(condition) judge(__LINE__, #condition, condition, graft_last_error())

static void expect(int line, const char *call, graft_status expected, graft_status found) {
    judge(line, call, found == expected, found == GRAFT_STATUS_OK ? "no error" : graft_last_error());
}

/* Memory that starts at a multiple of `start` and ends right before a page that nobody may touch, as nearly as it then can. */
static uint8_t *guarded(size_t length, size_t start) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t pages = (length + page - 1) / page * page + page;
    uint8_t *memory = (uint8_t *)mmap(NULL, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t whole = (length + start - 1) / start * start;
    if (memory == MAP_FAILED || mprotect(memory + pages - page, page, PROT_NONE) != 0) {
        abort();
    }
    return memory + pages - page - whole;
}

struct file {
    char path[256];
    uint8_t *bytes;
    size_t length;
};

static struct file load(const char *folder, const char *name) {
    struct file file;
    FILE *stream;
    snprintf(file.path, sizeof file.path, "%s/%s", folder, name);
    stream = fopen(file.path, "rb");
    if (stream == NULL || fseek(stream, 0, SEEK_END) != 0) {
        printf("%s cannot be read\n", file.path);
        exit(1);
    }
    file.length = (size_t)ftell(stream);
    rewind(stream);
    file.bytes = guarded(file.length, GRAFT_ALIGN);
    if (fread(file.bytes, 1, file.length, stream) != file.length) {
        abort();
    }
    fclose(stream);
    return file;
}

/* A backbone with its patch, its own task, and a session. */
struct model {
    struct file backbone_file, patch_file;
    uint8_t *backbone_memory, *patch_memory, *own_memory, *session_memory;
    size_t patch_size, session_size;
    graft_backbone *backbone;
    graft_patch *patch, *own;
    graft_session *session;
};

static struct model open_model(const char *folder) {
    struct model model;
    model.backbone_file = load(folder, "demo.backbone");
    model.patch_file = load(folder, "fashion.patch");
    model.backbone_memory = guarded(graft_backbone_size(), GRAFT_ALIGN);
    EXPECT(GRAFT_STATUS_OK, graft_backbone_open(model.backbone_memory, graft_backbone_size(), model.backbone_file.bytes,
                                                model.backbone_file.length, GRAFT_VERIFY_FULL, &model.backbone));
    model.patch_size = graft_patch_size(model.patch_file.bytes, model.patch_file.length);
    model.patch_memory = guarded(model.patch_size, GRAFT_ALIGN);
    EXPECT(GRAFT_STATUS_OK,
           graft_patch_open(model.patch_memory, model.patch_size, model.backbone, model.patch_file.bytes,
                            model.patch_file.length, GRAFT_VERIFY_FULL, &model.patch));
    model.own_memory = guarded(graft_patch_size(NULL, 0), GRAFT_ALIGN);
    EXPECT(GRAFT_STATUS_OK, graft_patch_own(model.own_memory, graft_patch_size(NULL, 0), model.backbone, &model.own));
    model.session_size = graft_session_size(model.backbone);
    model.session_memory = guarded(model.session_size, GRAFT_ALIGN);
    EXPECT(GRAFT_STATUS_OK,
           graft_session_open(model.session_memory, model.session_size, model.backbone, &model.session));
    return model;
}

static void close_model(struct model *model) {
    EXPECT(GRAFT_STATUS_OK, graft_session_close(model->session));
    EXPECT(GRAFT_STATUS_OK, graft_patch_close(model->own));
    EXPECT(GRAFT_STATUS_OK, graft_patch_close(model->patch));
    EXPECT(GRAFT_STATUS_OK, graft_backbone_close(model->backbone));
}

static void null_pointers(struct model *model) {
    uint8_t *memory = guarded(model->session_size, GRAFT_ALIGN), pixel = 0;
    size_t size = model->session_size, length;
    const struct file *image = &model->backbone_file, *patch_image = &model->patch_file;
    graft_backbone *backbone = model->backbone;
    graft_patch *patch = model->patch;
    graft_session *session = model->session;
    graft_patch_info info;
    graft_public_key key;
    const char *label;
    float score = 0;
    const graft_status null = GRAFT_STATUS_NULL_POINTER;
    memset(&key, 0, sizeof key);

    EXPECT(null, graft_backbone_open(NULL, size, image->bytes, image->length, 0, &backbone));
    HOLDS(backbone == NULL);
    EXPECT(null, graft_backbone_open(memory, size, NULL, image->length, 0, &backbone));
    EXPECT(null, graft_backbone_open(memory, size, image->bytes, image->length, 0, NULL));
    EXPECT(null, graft_backbone_map(NULL, size, image->path, 0, &backbone));
    EXPECT(null, graft_backbone_map(memory, size, NULL, 0, &backbone));
    EXPECT(null, graft_backbone_map(memory, size, image->path, 0, NULL));
    EXPECT(null, graft_backbone_trust(NULL, &key, 1));
    EXPECT(null, graft_backbone_trust(model->backbone, NULL, 1));
    EXPECT(null, graft_backbone_close(NULL));

    EXPECT(null, graft_patch_open(NULL, size, model->backbone, patch_image->bytes, patch_image->length, 0, &patch));
    HOLDS(patch == NULL);
    EXPECT(null, graft_patch_open(memory, size, NULL, patch_image->bytes, patch_image->length, 0, &patch));
    EXPECT(null, graft_patch_open(memory, size, model->backbone, NULL, patch_image->length, 0, &patch));
    EXPECT(null, graft_patch_open(memory, size, model->backbone, patch_image->bytes, patch_image->length, 0, NULL));
    EXPECT(null, graft_patch_map(NULL, size, model->backbone, patch_image->path, 0, &patch));
    EXPECT(null, graft_patch_map(memory, size, NULL, patch_image->path, 0, &patch));
    EXPECT(null, graft_patch_map(memory, size, model->backbone, NULL, 0, &patch));
    EXPECT(null, graft_patch_map(memory, size, model->backbone, patch_image->path, 0, NULL));
    EXPECT(null, graft_patch_own(NULL, size, model->backbone, &patch));
    EXPECT(null, graft_patch_own(memory, size, NULL, &patch));
    EXPECT(null, graft_patch_own(memory, size, model->backbone, NULL));
    EXPECT(null, graft_patch_get_info(NULL, &info));
    EXPECT(null, graft_patch_get_info(model->patch, NULL));
    EXPECT(null, graft_patch_label(NULL, 0, &label, &length));
    EXPECT(null, graft_patch_label(model->patch, 0, NULL, &length));
    EXPECT(null, graft_patch_label(model->patch, 0, &label, NULL));
    EXPECT(null, graft_patch_close(NULL));

    EXPECT(null, graft_session_open_threads(NULL, size, model->backbone, 2, &session));
    HOLDS(session == NULL);
    EXPECT(null, graft_session_open_threads(memory, size, NULL, 2, &session));
    EXPECT(null, graft_session_open_threads(memory, size, model->backbone, 2, NULL));
    EXPECT(null, graft_session_open(NULL, size, model->backbone, &session));
    HOLDS(session == NULL);
    EXPECT(null, graft_session_open(memory, size, NULL, &session));
    EXPECT(null, graft_session_open(memory, size, model->backbone, NULL));
    EXPECT(null, graft_session_run(NULL, model->patch, &pixel, 1, &score, 1, NULL));
    EXPECT(null, graft_session_run(model->session, NULL, &pixel, 1, &score, 1, NULL));
    EXPECT(null, graft_session_run(model->session, model->patch, NULL, 1, &score, 1, NULL));
    EXPECT(null, graft_session_run(model->session, model->patch, &pixel, 1, NULL, 1, NULL));
    EXPECT(null, graft_session_run_values(NULL, model->patch, &score, 1, &score, 1, NULL));
    EXPECT(null, graft_session_run_values(model->session, NULL, &score, 1, &score, 1, NULL));
    EXPECT(null, graft_session_run_values(model->session, model->patch, NULL, 1, &score, 1, NULL));
    EXPECT(null, graft_session_run_values(model->session, model->patch, &score, 1, NULL, 1, NULL));
    EXPECT(null, graft_session_close(NULL));
}

static void memory_of_the_caller(struct model *model) {
    uint8_t *memory = guarded(model->session_size + GRAFT_ALIGN, GRAFT_ALIGN);
    size_t size = model->session_size + GRAFT_ALIGN - 8;
    const struct file *image = &model->backbone_file, *patch_image = &model->patch_file;
    graft_backbone *backbone;
    graft_patch *patch;
    graft_session *session;
    uint8_t *misaligned = guarded(image->length + GRAFT_ALIGN, GRAFT_ALIGN) + 8;
    float score[2];
    float *odd = (float *)(void *)((char *)score + 1);
    graft_status status;
    memcpy(misaligned, image->bytes, image->length);

    status = GRAFT_STATUS_MISALIGNED;
    EXPECT(status, graft_backbone_open(memory + 8, size, image->bytes, image->length, 0, &backbone));
    EXPECT(status, graft_backbone_open(memory, size, misaligned, image->length, 0, &backbone));
    EXPECT(status, graft_patch_open(memory + 8, size, model->backbone, patch_image->bytes, patch_image->length, 0, &patch));
    EXPECT(status, graft_patch_own(memory + 8, size, model->backbone, &patch));
    EXPECT(status, graft_session_open(memory + 8, size, model->backbone, &session));
    EXPECT(status, graft_session_run(model->session, model->patch, memory, 1, odd, 1, NULL));
    EXPECT(status, graft_session_run_values(model->session, model->patch, odd, 1, score, 1, NULL));
    EXPECT(status, graft_patch_close((graft_patch *)(void *)(model->patch_memory + 1)));

    status = GRAFT_STATUS_MEMORY_TOO_SMALL;
    EXPECT(status, graft_backbone_open(memory, 0, image->bytes, image->length, 0, &backbone));
    EXPECT(status, graft_backbone_open(memory, graft_backbone_size() - 1, image->bytes, image->length, 0, &backbone));
    EXPECT(status, graft_patch_open(memory, model->patch_size - 1, model->backbone, patch_image->bytes, patch_image->length,
                                    0, &patch));
    EXPECT(status, graft_patch_own(memory, graft_patch_size(NULL, 0) - 1, model->backbone, &patch));
    EXPECT(status, graft_session_open(memory, model->session_size - 1, model->backbone, &session));
    EXPECT(status, graft_session_open(memory, 0, model->backbone, &session));
    HOLDS(session == NULL && strstr(graft_last_error(), "0 bytes") != NULL);

    status = GRAFT_STATUS_INVALID_ARGUMENT;
    EXPECT(status, graft_backbone_open(memory, SIZE_MAX, image->bytes, image->length, 0, &backbone));
    EXPECT(status, graft_backbone_open(memory, size, image->bytes, SIZE_MAX, 0, &backbone));
    EXPECT(status, graft_backbone_open(memory, size, image->bytes, image->length, 7, &backbone));
    EXPECT(status, graft_session_run(model->session, model->patch, memory, 1, score, SIZE_MAX / 2, NULL));
    EXPECT(status, graft_session_run_values(model->session, model->patch, score, SIZE_MAX, score, 1, NULL));
    HOLDS(graft_patch_size(patch_image->bytes, SIZE_MAX) == 0);
}

static void images(struct model *model, struct model *other) {
    uint8_t *memory = guarded(model->session_size, GRAFT_ALIGN);
    size_t size = model->session_size, at, cut, opened = 0;
    const struct file *image = &model->patch_file;
    uint8_t *copy = guarded(image->length, GRAFT_ALIGN);
    graft_backbone *backbone;
    graft_patch *patch;
    graft_status status = GRAFT_STATUS_INVALID_IMAGE;

    EXPECT(status, graft_backbone_open(memory, size, image->bytes, image->length, 0, &backbone));
    EXPECT(status, graft_patch_open(memory, size, model->backbone, model->backbone_file.bytes, model->backbone_file.length, 0,
                                    &patch));
    HOLDS(graft_patch_size(model->backbone_file.bytes, model->backbone_file.length) == 0);
    EXPECT(GRAFT_STATUS_OTHER_BACKBONE, graft_patch_open(memory, size, other->backbone, image->bytes, image->length, 0, &patch));
    EXPECT(status, graft_patch_map(memory, size, model->backbone, model->backbone_file.path, 0, &patch));
    EXPECT(GRAFT_STATUS_FILE, graft_backbone_map(memory, size, "/nowhere/x.backbone", 0, &backbone));
    HOLDS(strstr(graft_last_error(), "/nowhere/x.backbone") != NULL);
    EXPECT(GRAFT_STATUS_FILE, graft_backbone_map(memory, size, "/", 0, &backbone));
    EXPECT(GRAFT_STATUS_INVALID_ARGUMENT, graft_backbone_map(memory, size, "\xff\xfe", 0, &backbone));

    /* Cut off anywhere, and with a byte changed anywhere. */
    for (cut = 0; cut < image->length; cut += cut < 4096 ? 1 : 997) {
        uint8_t *end = guarded(cut, GRAFT_ALIGN);
        memcpy(end, image->bytes, cut);
        opened += graft_patch_size(end, cut) != 0;
        opened += graft_patch_open(memory, size, model->backbone, end, cut, 0, &patch) == GRAFT_STATUS_OK;
        opened += graft_patch_open(memory, size, model->backbone, end, cut, 1, &patch) == GRAFT_STATUS_OK;
    }
    memcpy(copy, image->bytes, image->length);
    for (at = 0; at < image->length; at += at < 4096 ? 1 : 97) {
        copy[at] ^= 0x41;
        graft_patch_size(copy, image->length);
        opened += graft_patch_open(memory, size, model->backbone, copy, image->length, 0, &patch) == GRAFT_STATUS_OK;
        copy[at] ^= 0x41;
    }
    HOLDS(opened == 0);
    EXPECT(GRAFT_STATUS_OK, graft_patch_open(memory, size, model->backbone, copy, image->length, 0, &patch));
    EXPECT(GRAFT_STATUS_OK, graft_patch_close(patch));
}

static void runs(struct model *model, struct model *other) {
    graft_patch_info info;
    graft_session *threads;
    uint8_t *pixels, *own;
    float *scores, *by_threads, *values;
    size_t count = 0, length;
    const char *label;
    EXPECT(GRAFT_STATUS_OK, graft_patch_get_info(model->patch, &info));
    HOLDS(info.input_length == (size_t)info.height * info.width * info.channels && info.classes == 10 && !info.is_signed);
    pixels = guarded(info.input_length, 1);
    scores = (float *)(void *)guarded(info.classes * sizeof *scores, sizeof *scores);
    by_threads = (float *)(void *)guarded(info.classes * sizeof *scores, sizeof *scores);
    values = (float *)(void *)guarded(info.input_length * sizeof *values, sizeof *values);

    EXPECT(GRAFT_STATUS_OK,
           graft_session_run(model->session, model->patch, pixels, info.input_length, scores, info.classes, &count));
    HOLDS(count == info.classes && count == info.scores_length);
    EXPECT(GRAFT_STATUS_OK,
           graft_session_run_values(model->session, model->patch, values, info.input_length, scores, info.classes, NULL));
    /* The same by threads, of which there cannot be any number. */
    own = guarded(graft_session_size(NULL), GRAFT_ALIGN);
    EXPECT(GRAFT_STATUS_INVALID_ARGUMENT,
           graft_session_open_threads(own, graft_session_size(NULL), model->backbone, 0, &threads));
    EXPECT(GRAFT_STATUS_INVALID_ARGUMENT,
           graft_session_open_threads(own, graft_session_size(NULL), model->backbone, 257, &threads));
    EXPECT(GRAFT_STATUS_OK, graft_session_open_threads(own, graft_session_size(NULL), model->backbone, 2, &threads));
    EXPECT(GRAFT_STATUS_OK,
           graft_session_run_values(threads, model->patch, values, info.input_length, by_threads, info.classes, NULL));
    HOLDS(memcmp(scores, by_threads, info.classes * sizeof *scores) == 0);
    EXPECT(GRAFT_STATUS_OK, graft_session_close(threads));
    /* Scores may take the place of the image. */
    EXPECT(GRAFT_STATUS_OK,
           graft_session_run_values(model->session, model->patch, values, info.input_length, values, info.classes, NULL));
    HOLDS(memcmp(scores, values, info.classes * sizeof *scores) == 0);
    EXPECT(GRAFT_STATUS_INPUT_LENGTH, graft_session_run(model->session, model->patch, pixels + 1, info.input_length - 1, scores,
                                                        info.classes, NULL));
    EXPECT(GRAFT_STATUS_INPUT_LENGTH, graft_session_run_values(model->session, model->patch, values, 0, scores, info.classes, NULL));
    EXPECT(GRAFT_STATUS_SCORES_LENGTH, graft_session_run(model->session, model->patch, pixels, info.input_length, scores,
                                                         info.classes - 1, NULL));
    EXPECT(GRAFT_STATUS_OTHER_BACKBONE,
           graft_session_run(model->session, other->patch, pixels, info.input_length, scores, info.classes, NULL));
    EXPECT(GRAFT_STATUS_OK, graft_patch_label(model->patch, 9, &label, &length));
    HOLDS(label != NULL && length > 0);
    EXPECT(GRAFT_STATUS_NO_LABEL, graft_patch_label(model->patch, info.classes, &label, &length));
    HOLDS(label == NULL && length == 0);
    EXPECT(GRAFT_STATUS_NO_LABEL, graft_patch_label(model->patch, SIZE_MAX, &label, &length));
    EXPECT(GRAFT_STATUS_OK, graft_patch_label(model->own, 0, &label, &length));
}

/* With a policy nothing runs that no key has signed, but for the backbone's own. */
static void trust(struct model *model) {
    uint8_t *memory[3];
    graft_public_key keys[3];
    graft_backbone *backbone;
    graft_session *session;
    graft_patch *patch;
    graft_patch_info info;
    size_t at;
    uint8_t *pixels;
    float scores[16];
    memset(keys, 7, sizeof keys);
    for (at = 0; at < 3; at++) {
        memory[at] = guarded(model->session_size, GRAFT_ALIGN);
    }
    EXPECT(GRAFT_STATUS_OK, graft_backbone_map(memory[0], model->session_size, model->backbone_file.path, 0, &backbone));
    EXPECT(GRAFT_STATUS_INVALID_ARGUMENT, graft_backbone_trust(backbone, keys, 0));
    EXPECT(GRAFT_STATUS_INVALID_ARGUMENT, graft_backbone_trust(backbone, keys, 3));
    EXPECT(GRAFT_STATUS_OK, graft_backbone_trust(backbone, keys, 2));
    EXPECT(GRAFT_STATUS_UNTRUSTED, graft_patch_open(memory[1], model->session_size, backbone, model->patch_file.bytes,
                                                    model->patch_file.length, GRAFT_VERIFY_STRUCTURE, &patch));
    EXPECT(GRAFT_STATUS_UNTRUSTED,
           graft_patch_map(memory[1], model->session_size, backbone, model->patch_file.path, 1, &patch));
    EXPECT(GRAFT_STATUS_OK, graft_session_open(memory[2], model->session_size, backbone, &session));
    EXPECT(GRAFT_STATUS_OK, graft_patch_get_info(model->patch, &info));
    pixels = guarded(info.input_length, 1);
    EXPECT(GRAFT_STATUS_UNTRUSTED, graft_session_run(session, model->patch, pixels, info.input_length, scores, 16, NULL));
    EXPECT(GRAFT_STATUS_OK, graft_patch_own(memory[1], model->session_size, backbone, &patch));
    /* What was made of a backbone goes on without its handle, also where it is a file. */
    EXPECT(GRAFT_STATUS_OK, graft_backbone_close(backbone));
    EXPECT(GRAFT_STATUS_OK, graft_session_run(session, patch, pixels, info.input_length, scores, 16, NULL));
    EXPECT(GRAFT_STATUS_OK, graft_session_close(session));
    EXPECT(GRAFT_STATUS_OK, graft_patch_close(patch));
}

static void closed(struct model *model) {
    uint8_t pixel = 0, *memory = guarded(model->session_size, GRAFT_ALIGN);
    graft_patch_info info;
    graft_patch *patch;
    graft_session *session;
    const char *label;
    size_t length;
    float score;
    const graft_status status = GRAFT_STATUS_NOT_OPEN;
    graft_patch *no_patch = (graft_patch *)(void *)model->session;
    EXPECT(status, graft_patch_get_info(no_patch, &info));
    EXPECT(status, graft_patch_close(no_patch));
    EXPECT(status, graft_session_run(model->session, no_patch, &pixel, 1, &score, 1, NULL));
    close_model(model);
    EXPECT(status, graft_session_close(model->session));
    EXPECT(status, graft_patch_close(model->patch));
    EXPECT(status, graft_backbone_close(model->backbone));
    EXPECT(status, graft_session_run(model->session, model->patch, &pixel, 1, &score, 1, NULL));
    EXPECT(status, graft_patch_label(model->patch, 0, &label, &length));
    EXPECT(status, graft_patch_own(memory, model->session_size, model->backbone, &patch));
    EXPECT(status, graft_session_open(memory, model->session_size, model->backbone, &session));
    HOLDS(graft_session_size(model->backbone) == 0);
}

struct sharer {
    struct model *model;
    const graft_patch *patch;
    int done, wrong;
};

static int has_met;

static void *share(void *argument) {
    struct sharer *sharer = (struct sharer *)argument;
    static const uint8_t pixels[64 * 64 * 3];
    graft_patch_info info;
    float first[16], scores[16];
    size_t count;
    graft_patch_get_info(sharer->patch, &info);
    /* Until they have met. */
    while (sharer->done < 200 || (!__atomic_load_n(&has_met, __ATOMIC_RELAXED) && sharer->done < 1000000)) {
        graft_status status =
            graft_session_run(sharer->model->session, sharer->patch, pixels, info.input_length, scores, 16, &count);
        if (status == GRAFT_STATUS_BUSY) {
            __atomic_store_n(&has_met, 1, __ATOMIC_RELAXED);
            continue;
        }
        if (sharer->done == 0) {
            memcpy(first, scores, sizeof first);
        }
        sharer->wrong += status != GRAFT_STATUS_OK || memcmp(first, scores, count * sizeof *scores) != 0;
        sharer->done++;
    }
    return NULL;
}

/* A session has one user at a time: the other is told, and gets no scores of another's patch. */
static void threads(struct model *model) {
    struct sharer sharers[2] = {{model, model->patch, 0, 0}, {model, model->own, 0, 0}};
    pthread_t threads[2];
    size_t at;
    for (at = 0; at < 2; at++) {
        if (pthread_create(&threads[at], NULL, share, &sharers[at]) != 0) {
            abort();
        }
    }
    for (at = 0; at < 2; at++) {
        pthread_join(threads[at], NULL);
    }
    HOLDS(sharers[0].wrong == 0 && sharers[1].wrong == 0);
    HOLDS(has_met);
}

static void *close_session(void *session) {
    return graft_session_close((graft_session *)session) == GRAFT_STATUS_OK ? session : NULL;
}

/* Of two calls that close a session at once one does. */
static void closes_once(struct model *model) {
    uint8_t *memory = guarded(model->session_size, GRAFT_ALIGN);
    int round, right = 0;
    for (round = 0; round < 300; round++) {
        graft_session *session;
        pthread_t thread;
        void *there, *here;
        if (graft_session_open(memory, model->session_size, model->backbone, &session) != GRAFT_STATUS_OK ||
            pthread_create(&thread, NULL, close_session, session) != 0) {
            abort();
        }
        here = close_session(session);
        pthread_join(thread, &there);
        right += (here != NULL) + (there != NULL) == 1;
    }
    HOLDS(right == 300);
}

static void texts(void) {
    int status, same = 0;
    for (status = -2; status < 30; status++) {
        same += strcmp(graft_status_text(status), "no status of this library") == 0;
    }
    HOLDS(same == 32 - (GRAFT_STATUS_INTERNAL + 1));
}

int main(int argc, char **argv) {
    struct model model, other;
    if (argc != 3) {
        printf("usage: misuse INT8_FOLDER F32_FOLDER\n");
        return 1;
    }
    HOLDS(strcmp(graft_last_error(), "no error") == 0);
    model = open_model(argv[1]);
    other = open_model(argv[2]);
    null_pointers(&model);
    memory_of_the_caller(&model);
    images(&model, &other);
    images(&other, &model);
    runs(&model, &other);
    runs(&other, &model);
    trust(&model);
    threads(&model);
    closes_once(&model);
    texts();
    closed(&model);
    close_model(&other);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
