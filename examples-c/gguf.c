#define _POSIX_C_SOURCE 200809L
#include "gguf.h"

#include "blocks.h"
#include "die.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the reading is. Everything that moves it goes through take(). */
struct reader {
    const struct gguf *file;
    size_t at;
};

/* The next `count` bytes, which must be in the file. */
static const uint8_t *take(struct reader *from, uint64_t count, const char *what) {
    size_t left = from->file->size - from->at;
    if (count > left)
        die(MISUSED, "%s is cut short or damaged: %s at byte %zu needs %" PRIu64 " bytes, %zu are left",
            from->file->path, what, from->at, count, left);
    const uint8_t *bytes = from->file->data + from->at;
    from->at += (size_t)count;
    return bytes;
}

/* Little-endian numbers; GGUF does not align its metadata. */
static uint64_t little(const uint8_t *bytes, int size) {
    uint64_t number = 0;
    for (int i = size; i-- > 0;) number = number << 8 | bytes[i];
    return number;
}

static uint32_t take_u32(struct reader *from, const char *what) {
    return (uint32_t)little(take(from, 4, what), 4);
}

static uint64_t take_u64(struct reader *from, const char *what) {
    return little(take(from, 8, what), 8);
}

static struct text take_text(struct reader *from, const char *what) {
    uint64_t size = take_u64(from, what);
    return (struct text){(const char *)take(from, size, what), (size_t)size};
}

struct text gguf_next_text(const uint8_t **at) {
    struct text text = {(const char *)*at + 8, (size_t)little(*at, 8)};
    *at += 8 + text.size;
    return text;
}

/* Bytes of a value of this type; 0 for strings and arrays, which vary. */
static uint32_t value_size(const struct gguf *file, uint32_t type, struct text key) {
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type >= sizeof sizes)
        die(MISUSED, "%s: metadata %.*s has type %" PRIu32 ", which GGUF does not define", file->path, SHOWN(key), type);
    return sizes[type];
}

/* Steps over `count` values of one type. */
static void skip_values(struct reader *from, const struct gguf_value *value, uint32_t type, uint64_t count) {
    uint32_t size = value_size(from->file, type, value->key);
    if (type == GGUF_ARRAY)
        die(MISUSED, "%s: metadata %.*s is an array of arrays, which this program does not read", from->file->path,
            SHOWN(value->key));
    if (type == GGUF_STRING)
        for (uint64_t i = 0; i < count; i++) take_text(from, "a metadata string");
    else if (count > from->file->size)
        take(from, count, "a metadata array"); /* fails: more items than bytes */
    else
        take(from, count * size, "a metadata value");
}

static void read_value(struct reader *from, struct gguf_value *value) {
    value->key = take_text(from, "a metadata key");
    value->type = take_u32(from, "a metadata type");
    value->count = 1;
    if (value->type == GGUF_ARRAY) {
        value->item = take_u32(from, "an array's type");
        value->count = take_u64(from, "an array's length");
    }
    value->at = from->file->data + from->at;
    skip_values(from, value, value->type == GGUF_ARRAY ? value->item : value->type, value->count);
}

/* Bytes of a row of `cols` elements; dies on types that this program cannot compute with. */
static uint64_t row_size(const struct gguf *file, const struct gguf_tensor *tensor) {
    const struct block_type *type = block_type_of(tensor->type);
    if (!type)
        die(MISUSED, "%s: tensor %.*s has element type %" PRIu32 "; this program reads F32 (0), F16 (1), Q4_0 (2), Q4_1 (3), "
            "Q8_0 (8), Q4_K (12), Q6_K (14) and BF16 (30)", file->path, SHOWN(tensor->name), tensor->type);
    if (tensor->cols % type->items != 0)
        die(MISUSED, "%s: tensor %.*s is %s with rows of %" PRIu64 " elements; expected a multiple of %" PRIu32, file->path,
            SHOWN(tensor->name), type->name, tensor->cols, type->items);
    return tensor->cols / type->items * type->bytes;
}

/* An axis: sizes and all their products must stay below 2^40, so that no later arithmetic overflows. */
static uint64_t take_axis(struct reader *from, const struct gguf_tensor *tensor, uint64_t others) {
    uint64_t size = take_u64(from, "a tensor's dimension");
    if (size == 0 || size > (UINT64_C(1) << 40) / others)
        die(MISUSED, "%s: tensor %.*s has a dimension of %" PRIu64 ", which cannot be right", from->file->path,
            SHOWN(tensor->name), size);
    return size;
}

static void read_tensor(struct reader *from, struct gguf_tensor *tensor, uint64_t *offset) {
    tensor->name = take_text(from, "a tensor's name");
    uint32_t rank = take_u32(from, "a tensor's rank");
    if (rank < 1 || rank > 4)
        die(MISUSED, "%s: tensor %.*s has %" PRIu32 " dimensions; expected 1 to 4", from->file->path, SHOWN(tensor->name),
            rank);
    tensor->cols = take_axis(from, tensor, 1);
    tensor->rows = 1;
    for (uint32_t axis = 1; axis < rank; axis++) tensor->rows *= take_axis(from, tensor, tensor->cols * tensor->rows);
    tensor->type = take_u32(from, "a tensor's type");
    *offset = take_u64(from, "a tensor's offset");
    tensor->size = tensor->rows * row_size(from->file, tensor);
}

/* Where the tensors' bytes begin. */
static uint64_t data_start(const struct gguf *file, size_t end_of_header) {
    int64_t alignment = gguf_integer(file, "general.alignment", 32);
    if (alignment < 1 || (alignment & (alignment - 1)) != 0)
        die(MISUSED, "%s: general.alignment is %" PRId64 "; expected a power of two", file->path, alignment);
    uint64_t mask = (uint64_t)alignment - 1;
    return (end_of_header + mask) & ~mask;
}

/* Finds the bytes of tensor `index`, `offset` after the header. */
static void place_tensor(struct gguf *file, struct gguf_tensor *tensor, uint64_t start, uint64_t offset) {
    if (start > file->size || offset > file->size - start || tensor->size > file->size - start - offset)
        die(MISUSED, "%s is cut short or damaged: tensor %.*s has %" PRIu64 " bytes at offset %" PRIu64
            ", beyond the file's end", file->path, SHOWN(tensor->name), tensor->size, offset);
    tensor->at = file->data + start + offset;
}

/* A count from the file; each of the things counted takes at least `least` bytes. */
static uint64_t take_count(struct reader *from, uint64_t least, const char *what) {
    uint64_t count = take_u64(from, what);
    if (count > from->file->size / least)
        die(MISUSED, "%s is damaged: it claims %" PRIu64 " %s, more than its %zu bytes can hold", from->file->path, count,
            what, from->file->size);
    return count;
}

static void parse(struct gguf *file) {
    struct reader from = {file, 0};
    if (memcmp(take(&from, 4, "the magic number"), "GGUF", 4) != 0)
        die(MISUSED, "%s is no GGUF file: it does not begin with \"GGUF\"", file->path);
    file->version = take_u32(&from, "the version");
    if (file->version != 2 && file->version != 3)
        die(MISUSED, "%s is GGUF version %" PRIu32 "; expected 2 or 3", file->path, file->version);
    uint64_t tensors = take_count(&from, 32, "tensors");
    uint64_t values = take_count(&from, 13, "metadata entries");
    file->values = reserve(values, sizeof *file->values);
    file->tensors = reserve(tensors, sizeof *file->tensors);
    uint64_t *offsets = reserve(tensors, sizeof *offsets);
    for (; file->value_count < values; file->value_count++) read_value(&from, &file->values[file->value_count]);
    for (; file->tensor_count < tensors; file->tensor_count++)
        read_tensor(&from, &file->tensors[file->tensor_count], &offsets[file->tensor_count]);
    uint64_t start = data_start(file, from.at);
    for (uint64_t i = 0; i < tensors; i++) place_tensor(file, &file->tensors[i], start, offsets[i]);
    free(offsets);
}

void gguf_open(struct gguf *file, const char *path) {
    *file = (struct gguf){.path = path};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0) die(MISUSED, "cannot open the model %s: %s", path, strerror(errno));
    if (!S_ISREG(about.st_mode)) die(MISUSED, "%s is not a file", path);
    if (about.st_size < 24) die(MISUSED, "%s is no GGUF file: it has only %lld bytes", path, (long long)about.st_size);
    file->size = (size_t)about.st_size;
    void *data = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) die(MISUSED, "cannot map the model %s: %s", path, strerror(errno));
    close(fd);
    file->data = data;
    parse(file);
}

void gguf_close(struct gguf *file) {
    munmap((void *)file->data, file->size);
    free(file->values);
    free(file->tensors);
    *file = (struct gguf){0};
}

const struct gguf_value *gguf_find(const struct gguf *file, const char *key) {
    for (uint64_t i = 0; i < file->value_count; i++)
        if (text_is(file->values[i].key, key)) return &file->values[i];
    return NULL;
}

static _Noreturn void wrong_type(const struct gguf *file, const char *key, const char *expected) {
    die(MISUSED, "%s: metadata %s is not %s", file->path, key, expected);
}

/* The bits of an integer value, sign-extended; false for other types. */
static bool integer_bits(const struct gguf_value *value, int64_t *number) {
    switch (value->type) {
    case GGUF_BOOL:
    case GGUF_U8: *number = (uint8_t)little(value->at, 1); return true;
    case GGUF_I8: *number = (int8_t)little(value->at, 1); return true;
    case GGUF_U16: *number = (uint16_t)little(value->at, 2); return true;
    case GGUF_I16: *number = (int16_t)little(value->at, 2); return true;
    case GGUF_U32: *number = (uint32_t)little(value->at, 4); return true;
    case GGUF_I32: *number = (int32_t)little(value->at, 4); return true;
    case GGUF_U64:
    case GGUF_I64: *number = (int64_t)little(value->at, 8); return true;
    default: return false;
    }
}

int64_t gguf_integer(const struct gguf *file, const char *key, int64_t missing) {
    const struct gguf_value *value = gguf_find(file, key);
    int64_t number;
    if (!value && missing < 0) die(MISUSED, "%s: metadata %s is missing", file->path, key);
    if (!value) return missing;
    if (!integer_bits(value, &number)) wrong_type(file, key, "a whole number");
    if (number < 0 || number > INT32_MAX)
        die(MISUSED, "%s: metadata %s is %" PRId64 "; expected 0 to %d", file->path, key, number, INT32_MAX);
    return number;
}

double gguf_number(const struct gguf *file, const char *key, double missing) {
    const struct gguf_value *value = gguf_find(file, key);
    if (!value) return missing;
    double number = 0;
    float single;
    if (value->type == GGUF_F32) {
        memcpy(&single, value->at, sizeof single);
        number = single;
    } else if (value->type == GGUF_F64) {
        memcpy(&number, value->at, sizeof number);
    } else {
        wrong_type(file, key, "a floating-point number");
    }
    if (!isfinite(number)) wrong_type(file, key, "a finite number");
    return number;
}

bool gguf_flag(const struct gguf *file, const char *key, bool missing) {
    const struct gguf_value *value = gguf_find(file, key);
    if (value && value->type != GGUF_BOOL) wrong_type(file, key, "true or false");
    return value ? value->at[0] != 0 : missing;
}

struct text gguf_text(const struct gguf *file, const char *key, const char *missing) {
    const struct gguf_value *value = gguf_find(file, key);
    if (!value) return (struct text){missing, strlen(missing)};
    if (value->type != GGUF_STRING) wrong_type(file, key, "a string");
    const uint8_t *at = value->at;
    return gguf_next_text(&at);
}

static struct gguf_tensor *tensor_of(const struct gguf *file, const char *name) {
    for (uint64_t i = 0; i < file->tensor_count; i++)
        if (text_is(file->tensors[i].name, name)) return &file->tensors[i];
    return NULL;
}

bool gguf_has(const struct gguf *file, const char *name) {
    return tensor_of(file, name) != NULL;
}

struct gguf_tensor *gguf_take(struct gguf *file, const char *name, int64_t rows, int64_t cols) {
    struct gguf_tensor *tensor = tensor_of(file, name);
    if (!tensor) die(MISUSED, "%s: tensor %s is missing", file->path, name);
    if (tensor->rows != (uint64_t)rows || tensor->cols != (uint64_t)cols)
        die(MISUSED, "%s: tensor %s is %" PRIu64 " x %" PRIu64 "; its metadata asks for %" PRId64 " x %" PRId64, file->path,
            name, tensor->rows, tensor->cols, rows, cols);
    tensor->used = true;
    return tensor;
}
