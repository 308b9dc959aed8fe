/* Lets a language model write: reads a GGUF file of the llama architecture and generates text on any Weft device.
 *
 *   generate --prompt "def fibonacci(n):"
 *
 * gguf.c reads the file, blocks.c knows its block types, weights.c uploads it, model.c turns the transformer into Weft
 * requests, tokenizer.c turns text into tokens and back, sample.c picks tokens, options.c reads the command line. This file
 * is the loop around them.
 *
 * All requests of a token are queued without waiting in between, and the program waits once a token: for the request
 * that brings the token's number. At temperature 0 it does not even wait for that before it queues the next token's
 * requests, because the number also stays on the device: the queue never runs empty. */
#define _POSIX_C_SOURCE 200809L
#include "die.h"
#include "model.h"
#include "options.h"
#include "sample.h"
#include "tokenizer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- Preparing ---- */

/* models/pycode.gguf, beside the folder in which this program lies. */
static const char *bundled_model(void) {
    static const char name[] = "/../models/pycode.gguf";
    static char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - sizeof name);
    if (size < 0) die(FAILED, "cannot find the bundled model: %s; use --model", strerror(errno));
    path[size] = 0;
    char *slash = strrchr(path, '/');
    memcpy(slash ? slash : path, name, sizeof name);
    return path;
}

static weft_context open_device(const struct options *options) {
    weft_context_desc desc = {.struct_size = sizeof desc, .threads = (uint32_t)options->threads};
    weft_context context;
    check(weft_abi_check(WEFT_ABI_VERSION));
    weft_status status = weft_context_create(options->device, &desc, &context);
    if (status == WEFT_ERROR_INVALID_ARGUMENT || status == WEFT_ERROR_UNAVAILABLE)
        die(MISUSED, "--device %s: %s", options->device, weft_last_error());
    check(status);
    return context;
}

static struct tokens tokens_of_numbers(const char *text) {
    struct tokens tokens = {0};
    for (const char *at = text + strspn(text, " ,"); *at; at += strspn(at, " ,")) {
        char *end;
        errno = 0;
        long number = strtol(at, &end, 10);
        if (end == at || errno || number < 0 || number > INT32_MAX || !strchr(" ,", *end))
            die(MISUSED, "--prompt-tokens has \"%s\"; expected whole numbers, 0 or more", at);
        tokens_push(&tokens, (int32_t)number);
        at = end;
    }
    return tokens;
}

/* The prompt's tokens, which must fit the model. */
static struct tokens prompt_of(const struct options *options, const struct tokenizer *tokenizer, const struct shape *shape) {
    struct tokens prompt = options->prompt ? tokenizer_encode(tokenizer, options->prompt)
                                           : tokens_of_numbers(options->prompt_tokens);
    if (prompt.count == 0) die(MISUSED, "the prompt has no tokens; expected at least one");
    for (int64_t i = 0; i < prompt.count; i++)
        if (prompt.at[i] >= shape->vocab)
            die(MISUSED, "the prompt has token %" PRId32 "; the model knows 0 to %" PRId64, prompt.at[i], shape->vocab - 1);
    if (prompt.count + options->count > shape->context)
        die(MISUSED, "the prompt has %" PRId64 " tokens and -n asks for %" PRId64 " more; the model's context holds %" PRId64,
            prompt.count, options->count, shape->context);
    return prompt;
}

/* ---- Generating ---- */

/* What is being generated and how far it is. */
struct run {
    const struct options *options;
    const struct tokenizer *tokenizer;
    struct model *model;
    struct candidates candidates;
    uint64_t random;
    int32_t best[2]; /* where the likeliest token of even and odd steps goes */
    weft_request pending[2];
    int64_t written;
};

static void flush_output(void) {
    if (fflush(stdout) != 0 || ferror(stdout)) die(FAILED, "cannot write the output: %s", strerror(errno));
}

static void emit(struct run *run, int32_t token) {
    if (run->options->show_tokens) printf(run->written ? " %" PRId32 : "%" PRId32, token);
    else tokenizer_print(run->tokenizer, token, stdout);
    run->written++;
    flush_output();
}

/* Waits for the request that brings the result of step `i`. An earlier request that failed had no handle: drain has its
 * status and its sentence. */
static void await(struct run *run, int64_t i) {
    weft_request *request = &run->pending[i & 1];
    check(weft_request_wait(request, 1, WEFT_WAIT_ALL, WEFT_FOREVER, NULL));
    check(weft_request_release(*request));
}

static void pick(struct run *run, int64_t i) {
    if (run->options->temperature == 0) model_pick_best(run->model, &run->best[i & 1], &run->pending[i & 1]);
    else model_pick_top(run->model, &run->candidates, &run->pending[i & 1]);
}

/* Step `i` at temperature 0: queues the next step, then waits for this one. */
static int32_t step_best(struct run *run, int64_t i) {
    if (i + 1 < run->options->count) {
        model_feed_best(run->model);
        pick(run, i + 1);
    }
    await(run, i);
    return run->best[i & 1];
}

/* Step `i` otherwise: the choice is made here, and goes back to the device. */
static int32_t step_sampled(struct run *run, int64_t i) {
    const struct candidates *from = &run->candidates;
    await(run, i);
    int32_t *token = &run->best[i & 1];
    *token = sample(from->logits, from->tokens, from->count, run->options->temperature, &run->random);
    if (i + 1 < run->options->count && *token != run->tokenizer->end) {
        model_feed(run->model, token, 1);
        pick(run, i + 1);
    }
    return *token;
}

/* Feeds the prompt and generates; answers when the first token was there. */
static double generate(struct run *run, const struct tokens *prompt) {
    double first = 0;
    model_feed(run->model, prompt->at, prompt->count);
    if (run->options->count > 0) pick(run, 0);
    for (int64_t i = 0; i < run->options->count; i++) {
        int32_t token = run->options->temperature == 0 ? step_best(run, i) : step_sampled(run, i);
        if (i == 0) first = seconds();
        if (token == run->tokenizer->end) break;
        emit(run, token);
    }
    return first;
}

static struct candidates candidates_for(const struct options *options, const struct shape *shape) {
    int64_t count = options->top_k < shape->vocab ? options->top_k : shape->vocab;
    float *logits = reserve((size_t)count, sizeof(float) + sizeof(int32_t));
    return (struct candidates){.count = count, .logits = logits, .tokens = (int32_t *)(logits + count)};
}

static void report(double load, double prefill, double decode, int64_t prompt, int64_t written) {
    fprintf(stderr, "load %.1f ms, prefill %" PRId64 " tokens at %.1f tok/s, first token after %.2f ms", 1e3 * load, prompt,
            (double)prompt / prefill, 1e3 * prefill);
    if (written > 1) fprintf(stderr, ", decode %.1f tok/s", (double)(written - 1) / decode);
    fputc('\n', stderr);
}

int main(int count, char **arguments) {
    struct options options = options_read(count, arguments);
    double begin = seconds();
    struct gguf file;
    gguf_open(&file, options.model ? options.model : bundled_model());
    struct shape shape = shape_read(&file);
    struct tokenizer tokenizer = tokenizer_open(&file, shape.vocab);
    struct tokens prompt = prompt_of(&options, &tokenizer, &shape);

    weft_context context = open_device(&options);
    weft_queue queue;
    check(weft_queue_create(context, NULL, &queue));
    struct model model = model_open(&file, context, queue, prompt.count + options.count);
    double loaded = seconds();

    struct run run = {.options = &options, .tokenizer = &tokenizer, .model = &model, .random = options.seed};
    run.candidates = candidates_for(&options, &shape);
    if (options.echo && options.prompt) fputs(options.prompt, stdout);
    double first = generate(&run, &prompt);
    double end = seconds();
    /* No request of this program's passes has a handle but the reads: this tells whether one failed. */
    check(weft_queue_drain(queue, WEFT_FOREVER));
    if (first == 0) first = seconds();
    if (options.show_tokens || run.written > 0) fputc('\n', stdout);
    flush_output();
    report(loaded - begin, first - loaded, end - first, prompt.count, run.written);

    model_close(&model);
    check(weft_queue_release(queue));
    check(weft_context_release(context));
    tokenizer_close(&tokenizer);
    gguf_close(&file);
    free(run.candidates.logits);
    free(prompt.at);
    return 0;
}
