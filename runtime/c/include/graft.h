/**
 * @file
 * The Graft runtime: one frozen backbone, many small patches, swapped while the device runs.
 *
 * Every object is in memory of the caller, which starts at a multiple of GRAFT_ALIGN and has as many bytes as the object's
 * size function says. The library takes no other memory on microcontrollers. A handle is not used after its object was closed
 * or its memory given back; two threads share backbones and patches, not sessions. Every failure is a status, and
 * graft_last_error() says more.
 *
 * Define GRAFT_HOSTED for a library of a system with files and threads, GRAFT_TRUST for one that checks signatures, which
 * every hosted one does: the CMake package defines both for hosted ones. For a microcontroller's, GRAFT_TRUST is the program's
 * to define.
 *
 * Made of runtime/c/src by cbindgen: do not edit.
 */

#ifndef GRAFT_H
#define GRAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * The alignment of memory and images.
 */
#define GRAFT_ALIGN 64

/**
 * Every byte is hashed.
 */
#define GRAFT_VERIFY_FULL 0

/**
 * Header and records only, for images that were verified since they were written: bytes of the weights are not read.
 */
#define GRAFT_VERIFY_STRUCTURE 1

/**
 * `graft_backbone_size()` on every target is at most this, for memory that is laid out when a program is compiled.
 */
#define GRAFT_BACKBONE_MAX_SIZE 512

/**
 * `graft_patch_size` on every target is at most this, but for what is widened from half precision.
 */
#define GRAFT_PATCH_MAX_SIZE 1024

/**
 * `graft_session_size` on every target is at most this and the backbone's arena: `patchtool inspect` prints that of a Cortex-M.
 */
#define GRAFT_SESSION_MAX_SIZE 1024

/**
 * The result of a call.
 */
typedef enum graft_status {
    /**
     * It has done what it says.
     */
    GRAFT_STATUS_OK = 0,
    /**
     * A pointer is NULL.
     */
    GRAFT_STATUS_NULL_POINTER = 1,
    /**
     * Memory, an image, an object or an array of floats is at an address that is no multiple of its alignment.
     */
    GRAFT_STATUS_MISALIGNED = 2,
    /**
     * The memory for an object is too small.
     */
    GRAFT_STATUS_MEMORY_TOO_SMALL = 3,
    /**
     * The object was closed, or is of another kind.
     */
    GRAFT_STATUS_NOT_OPEN = 4,
    /**
     * Another call uses the session or the backbone at this moment.
     */
    GRAFT_STATUS_BUSY = 5,
    /**
     * An argument is none of the values that it may have.
     */
    GRAFT_STATUS_INVALID_ARGUMENT = 6,
    /**
     * The bytes are no valid backbone or patch, or the patch does not fit the backbone.
     */
    GRAFT_STATUS_INVALID_IMAGE = 7,
    /**
     * The patch was made for another backbone.
     */
    GRAFT_STATUS_OTHER_BACKBONE = 8,
    /**
     * The patch is not signed with a key that the backbone trusts.
     */
    GRAFT_STATUS_UNTRUSTED = 9,
    /**
     * The image has another number of values than the patch's input.
     */
    GRAFT_STATUS_INPUT_LENGTH = 10,
    /**
     * There is no room for all scores.
     */
    GRAFT_STATUS_SCORES_LENGTH = 11,
    /**
     * The class has no name.
     */
    GRAFT_STATUS_NO_LABEL = 12,
    /**
     * The library was built without kernels for the dtype of the backbone.
     */
    GRAFT_STATUS_UNSUPPORTED = 13,
    /**
     * A file cannot be opened or mapped.
     */
    GRAFT_STATUS_FILE = 14,
    /**
     * The system has no memory or threads left.
     */
    GRAFT_STATUS_SYSTEM = 15,
    /**
     * A bug of the library: the objects of the call must not be used again.
     */
    GRAFT_STATUS_INTERNAL = 16,
} graft_status;

/**
 * A frozen network, which patches, sessions and threads share.
 */
typedef struct graft_backbone graft_backbone;

/**
 * A task's replacements, checked and bound to a backbone. Threads may share it.
 */
typedef struct graft_patch graft_patch;

/**
 * The memory to run a backbone, with any of its patches at each call. One call at a time uses it: each thread has its own.
 */
typedef struct graft_session graft_session;

/**
 * How much of an image is checked when it is opened: `GRAFT_VERIFY_FULL` or `GRAFT_VERIFY_STRUCTURE`.
 */
typedef uint32_t graft_verify;

#if defined(GRAFT_TRUST)
/**
 * A key that signatures are checked with: the second line of a `.pub` file is base64 of "Ed", the id, the bytes.
 */
typedef struct graft_public_key {
    /**
     * Its name.
     */
    uint8_t id[8];
    /**
     * An ed25519 public key.
     */
    uint8_t bytes[32];
} graft_public_key;
#endif

/**
 * What is known of a patch.
 */
typedef struct graft_patch_info {
    /**
     * Rows of its input.
     */
    uint32_t height;
    /**
     * Columns of its input.
     */
    uint32_t width;
    /**
     * Channels of its input, 1 to 4.
     */
    uint32_t channels;
    /**
     * Subtracted from a pixel (0 to 255), per channel.
     */
    float mean[4];
    /**
     * Divides the difference, per channel.
     */
    float std[4];
    /**
     * Values of an image: height x width x channels.
     */
    size_t input_length;
    /**
     * Classes that a run scores, for each pixel that the backbone ends with, usually one.
     */
    size_t classes;
    /**
     * Room that a run needs for its scores: `classes` for each pixel that the backbone ends with. It has fewer where the input is
     * smaller than the backbone's.
     */
    size_t scores_length;
    /**
     * What scores are divided by before their softmax, for probabilities that come true: 1 where nobody has measured it.
     */
    float temperature;
    /**
     * Whether it is signed: it was checked only where the backbone trusts keys.
     */
    bool is_signed;
    /**
     * Grows with each signed patch of a task; 0 where it is not signed.
     */
    uint64_t counter;
} graft_patch_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * A sentence for a status. It is there for as long as the program runs.
 *
 * @param status A status, or any number: those that are none have a sentence, too.
 */
const char *graft_status_text(int32_t status);

/**
 * The last failure in words. On hosted systems it is the calling thread's, with figures, the file and what to do, and is
 * there until the thread's next call that fails; on microcontrollers it is the sentence of the last status of any task.
 */
const char *graft_last_error(void);

/**
 * Bytes of memory that a backbone takes; its image is not among them.
 */
size_t graft_backbone_size(void);

/**
 * Opens a backbone whose image is in memory, in flash for instance. The image is read in place: it is aligned to `GRAFT_ALIGN`
 * and stays as it is until the backbone and all its patches and sessions are closed.
 *
 * @param memory The backbone's own until it is closed, aligned to `GRAFT_ALIGN`.
 * @param memory_length Bytes of it, at least `graft_backbone_size()`.
 * @param image Bytes of a `.backbone` file.
 * @param image_length Their number.
 * @param verify `GRAFT_VERIFY_FULL` or `GRAFT_VERIFY_STRUCTURE`.
 * @param backbone Where the backbone is written; NULL after a failure.
 *
 * # Safety
 * What is not NULL has the lengths that are given.
 */
enum graft_status graft_backbone_open(void *memory,
                                      size_t memory_length,
                                      const uint8_t *image,
                                      size_t image_length,
                                      graft_verify verify,
                                      struct graft_backbone **backbone);

#if defined(GRAFT_HOSTED)
/**
 * Opens a backbone that is a file, which is mapped: all processes that map it share its pages. Nobody may shorten it or write
 * to it while it is mapped; to put a new one in its place by renaming is fine.
 *
 * @param memory As for `graft_backbone_open`.
 * @param memory_length As for `graft_backbone_open`.
 * @param path The `.backbone` file, in UTF-8.
 * @param verify `GRAFT_VERIFY_FULL` or `GRAFT_VERIFY_STRUCTURE`.
 * @param backbone Where the backbone is written; NULL after a failure.
 *
 * # Safety
 * What is not NULL has the lengths that are given; a path ends in a NUL. The file stays as it is.
 */
enum graft_status graft_backbone_map(void *memory,
                                     size_t memory_length,
                                     const char *path,
                                     graft_verify verify,
                                     struct graft_backbone **backbone);
#endif

#if defined(GRAFT_TRUST)
/**
 * Has every patch that is opened for a backbone from now on checked for the signature of a key, and sessions that are opened
 * from now on run no others. Call it right after the backbone was opened, before anything else uses it.
 *
 * @param backbone The backbone.
 * @param keys Keys that are trusted.
 * @param count Their number, 1 or 2: so that a key can be changed.
 *
 * # Safety
 * What is not NULL has the lengths that are given.
 */
enum graft_status graft_backbone_trust(struct graft_backbone *backbone,
                                       const struct graft_public_key *keys,
                                       size_t count);
#endif

/**
 * Closes a backbone. Its memory is the caller's again; patches and sessions of it go on.
 *
 * @param backbone The backbone.
 *
 * # Safety
 * Nothing else uses it.
 */
enum graft_status graft_backbone_close(struct graft_backbone *backbone);

/**
 * Bytes of memory that a patch takes: with its values in half precision widened, its image not among them. 0 where the image
 * is no patch.
 *
 * @param image Bytes of a `.patch` file; NULL for those of `graft_patch_own` and `graft_patch_map`.
 * @param image_length Their number.
 *
 * # Safety
 * What is not NULL has the lengths that are given.
 */
size_t graft_patch_size(const uint8_t *image,
                        size_t image_length);

/**
 * Opens a patch whose image is in memory, in flash for instance, for a backbone. The image is read in place: it is aligned to
 * `GRAFT_ALIGN` and stays as it is until the patch is closed.
 *
 * @param memory The patch's own until it is closed, aligned to `GRAFT_ALIGN`.
 * @param memory_length Bytes of it, at least `graft_patch_size(image, image_length)`.
 * @param backbone The backbone.
 * @param image Bytes of a `.patch` file.
 * @param image_length Their number.
 * @param verify `GRAFT_VERIFY_FULL` or `GRAFT_VERIFY_STRUCTURE`; every byte is verified where the backbone trusts keys.
 * @param patch Where the patch is written; NULL after a failure.
 *
 * # Safety
 * What is not NULL has the lengths that are given.
 */
enum graft_status graft_patch_open(void *memory,
                                   size_t memory_length,
                                   const struct graft_backbone *backbone,
                                   const uint8_t *image,
                                   size_t image_length,
                                   graft_verify verify,
                                   struct graft_patch **patch);

#if defined(GRAFT_HOSTED)
/**
 * Opens a patch that is a file, which is mapped as by `graft_backbone_map`; for a backbone that trusts keys it is read to
 * memory of the library, so that what was verified is what runs.
 *
 * @param memory As for `graft_patch_open`.
 * @param memory_length Bytes of it, at least `graft_patch_size(NULL, 0)`: the library has memory of its own for widening.
 * @param backbone The backbone.
 * @param path The `.patch` file, in UTF-8.
 * @param verify `GRAFT_VERIFY_FULL` or `GRAFT_VERIFY_STRUCTURE`.
 * @param patch Where the patch is written; NULL after a failure.
 *
 * # Safety
 * What is not NULL has the lengths that are given; a path ends in a NUL. The file stays as it is.
 */
enum graft_status graft_patch_map(void *memory,
                                  size_t memory_length,
                                  const struct graft_backbone *backbone,
                                  const char *path,
                                  graft_verify verify,
                                  struct graft_patch **patch);
#endif

/**
 * Opens the backbone's own epilogues and head, a patch like any other.
 *
 * @param memory As for `graft_patch_open`.
 * @param memory_length Bytes of it, at least `graft_patch_size(NULL, 0)`.
 * @param backbone The backbone.
 * @param patch Where the patch is written; NULL after a failure.
 *
 * # Safety
 * What is not NULL has the lengths that are given.
 */
enum graft_status graft_patch_own(void *memory,
                                  size_t memory_length,
                                  const struct graft_backbone *backbone,
                                  struct graft_patch **patch);

/**
 * What is known of a patch.
 *
 * @param patch The patch.
 * @param info Where it is written.
 *
 * # Safety
 * What is not NULL has room for it.
 */
enum graft_status graft_patch_get_info(const struct graft_patch *patch, struct graft_patch_info *info);

/**
 * The name of a class: the patch's where it has a head of its own, else the backbone's. It is part of the image: UTF-8, no NUL at its end, there until
 * the patch is closed.
 *
 * @param patch The patch.
 * @param class_index The class, from 0.
 * @param label Where the name's first byte is written; NULL after a failure.
 * @param length Where its number of bytes is written; 0 after a failure.
 *
 * # Safety
 * What is not NULL has room for it.
 */
enum graft_status graft_patch_label(const struct graft_patch *patch,
                                    size_t class_index,
                                    const char **label,
                                    size_t *length);

/**
 * Closes a patch. Its memory is the caller's again.
 *
 * @param patch The patch.
 *
 * # Safety
 * Nothing else uses it.
 */
enum graft_status graft_patch_close(struct graft_patch *patch);

/**
 * Bytes of memory that a session of a backbone takes; 0 where the backbone is not open.
 *
 * @param backbone The backbone; NULL for the bytes of `graft_session_open_threads`.
 *
 * # Safety
 * A backbone that is not NULL was opened.
 */
size_t graft_session_size(const struct graft_backbone *backbone);

/**
 * Opens a session: nothing that runs in it takes any other memory.
 *
 * @param memory The session's own until it is closed, aligned to `GRAFT_ALIGN`.
 * @param memory_length Bytes of it, at least `graft_session_size(backbone)`.
 * @param backbone The backbone.
 * @param session Where the session is written; NULL after a failure.
 *
 * # Safety
 * What is not NULL has the lengths that are given.
 */
enum graft_status graft_session_open(void *memory,
                                     size_t memory_length,
                                     const struct graft_backbone *backbone,
                                     struct graft_session **session);

#if defined(GRAFT_HOSTED)
/**
 * Opens a session that shares each layer of an image among threads. Its arena is memory of the library.
 *
 * @param memory The session's own until it is closed, aligned to `GRAFT_ALIGN`.
 * @param memory_length Bytes of it, at least `graft_session_size(NULL)`.
 * @param backbone The backbone.
 * @param threads Their number, the caller's among them: 1 to 256.
 * @param session Where the session is written; NULL after a failure.
 *
 * # Safety
 * What is not NULL has the lengths that are given.
 */
enum graft_status graft_session_open_threads(void *memory,
                                             size_t memory_length,
                                             const struct graft_backbone *backbone,
                                             size_t threads,
                                             struct graft_session **session);
#endif

/**
 * Runs an image of 8-bit pixels, which the patch normalises, and writes the scores.
 *
 * @param session The session.
 * @param patch Any patch of the session's backbone: to take another than before costs nothing.
 * @param pixels Rows of pixels of channels, as the patch's input has them.
 * @param pixels_length Their number, the patch's `input_length`.
 * @param scores Where the scores are written: as many as the patch has classes, for each pixel that the backbone ends with,
 *     usually one. It may be memory of the image, which they then overwrite, not of an object.
 * @param scores_length Room for scores, at least the patch's `scores_length`.
 * @param scores_count Where the number of scores is written; NULL where it is known.
 *
 * # Safety
 * What is not NULL has the lengths that are given.
 */
enum graft_status graft_session_run(struct graft_session *session,
                                    const struct graft_patch *patch,
                                    const uint8_t *pixels,
                                    size_t pixels_length,
                                    float *scores,
                                    size_t scores_length,
                                    size_t *scores_count);

/**
 * Runs an image of values that are normalised already: as `graft_session_run`, but for the image.
 *
 * @param session The session.
 * @param patch Any patch of the session's backbone.
 * @param values Rows of pixels of channels, `(pixel - mean) / std`.
 * @param values_length Their number, the patch's `input_length`.
 * @param scores As for `graft_session_run`.
 * @param scores_length As for `graft_session_run`.
 * @param scores_count As for `graft_session_run`.
 *
 * # Safety
 * What is not NULL has the lengths that are given.
 */
enum graft_status graft_session_run_values(struct graft_session *session,
                                           const struct graft_patch *patch,
                                           const float *values,
                                           size_t values_length,
                                           float *scores,
                                           size_t scores_length,
                                           size_t *scores_count);

/**
 * Closes a session. Its memory is the caller's again.
 *
 * @param session The session.
 *
 * # Safety
 * Nothing else uses it.
 */
enum graft_status graft_session_close(struct graft_session *session);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GRAFT_H */
