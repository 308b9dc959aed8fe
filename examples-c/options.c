#include "options.h"

#include "die.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TEXT, WHOLE, SEED, REAL, FLAG, HELP };

/* One line an option: reading, help and messages all come from here. */
static const struct option {
    const char *name, *letter, *value;
    enum kind kind;
    size_t field;
    int64_t least, most;
    const char *help;
} OPTIONS[] = {
#define FIELD(name) offsetof(struct options, name)
    {"--model", "-m", "FILE", TEXT, FIELD(model), 0, 0, "a GGUF file of the llama architecture (default: the bundled one)"},
    {"--prompt", "-p", "TEXT", TEXT, FIELD(prompt), 0, 0, "the text to go on from"},
    {"--prompt-tokens", "", "NUMBERS", TEXT, FIELD(prompt_tokens), 0, 0, "the same as tokens, such as \"1 2 3\""},
    {"--count", "-n", "N", WHOLE, FIELD(count), 0, INT32_MAX, "how many tokens to generate (default 128)"},
    {"--device", "-d", "NAME", TEXT, FIELD(device), 0, 0, "auto, cpu or cuda:N (default auto)"},
    {"--threads", "-t", "N", WHOLE, FIELD(threads), 0, 256, "threads of the CPU device; 0, the default: one a core"},
    {"--temperature", "", "T", REAL, FIELD(temperature), 0, 0, "0 always takes the likeliest token (default 0.8)"},
    {"--top-k", "", "K", WHOLE, FIELD(top_k), 1, INT32_MAX, "choose among the K likeliest tokens (default 40)"},
    {"--seed", "-s", "N", SEED, FIELD(seed), 0, 0, "where the random numbers begin (default 0)"},
    {"--tokens", "", NULL, FLAG, FIELD(show_tokens), 0, 0, "print the tokens' numbers on one line, not their text"},
    {"--echo", "", NULL, FLAG, FIELD(echo), 0, 0, "print the prompt before the text"},
    {"--help", "-h", NULL, HELP, 0, 0, 0, "print this"},
#undef FIELD
};

enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };

static void print_help(void) {
    puts("Usage: generate --prompt TEXT [options]\n\nLets a language model go on from a text.\n");
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &OPTIONS[i];
        char names[40];
        snprintf(names, sizeof names, "%s%s%s%s%s", option->letter, *option->letter ? ", " : "    ", option->name,
                 option->value ? " " : "", option->value ? option->value : "");
        printf("  %-27s %s\n", names, option->help);
    }
}

/* The option of this name, of `size` bytes; dies if there is none. */
static const struct option *find(const char *name, size_t size) {
    for (int i = 0; i < OPTION_COUNT; i++) {
        const char *names[] = {OPTIONS[i].name, OPTIONS[i].letter};
        for (int k = 0; k < 2; k++)
            if (size && strlen(names[k]) == size && memcmp(names[k], name, size) == 0) return &OPTIONS[i];
    }
    die(MISUSED, "unknown option \"%s\"; --help lists them", name);
}

static int64_t whole(const struct option *option, const char *value) {
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (end == value || *end || errno || number < option->least || number > option->most)
        die(MISUSED, "%s is \"%s\"; expected a whole number from %" PRId64 " to %" PRId64, option->name, value,
            option->least, option->most);
    return number;
}

static uint64_t seed(const struct option *option, const char *value) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (end == value || *end || errno || strchr(value, '-'))
        die(MISUSED, "%s is \"%s\"; expected a whole number from 0 to %" PRIu64, option->name, value, UINT64_MAX);
    return number;
}

static double real(const struct option *option, const char *value) {
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end || !isfinite(number) || number < 0)
        die(MISUSED, "%s is \"%s\"; expected a number, 0 or more", option->name, value);
    return number;
}

static void set(struct options *options, const struct option *option, const char *value) {
    void *field = (char *)options + option->field;
    switch (option->kind) {
    case TEXT: *(const char **)field = value; break;
    case WHOLE: *(int64_t *)field = whole(option, value); break;
    case SEED: *(uint64_t *)field = seed(option, value); break;
    case REAL: *(double *)field = real(option, value); break;
    case FLAG: *(bool *)field = true; break;
    case HELP: print_help(); exit(0);
    }
}

/* Takes the option at `*at`, and its value, which follows it or an equals sign. */
static void take(struct options *options, char **arguments, int count, int *at) {
    const char *argument = arguments[*at], *equals = strchr(argument, '=');
    bool joined = equals && strncmp(argument, "--", 2) == 0;
    const struct option *option = find(argument, joined ? (size_t)(equals - argument) : strlen(argument));
    if (!option->value && joined) die(MISUSED, "%s takes no value", option->name);
    if (option->value && !joined && ++*at >= count) die(MISUSED, "%s needs a value: %s", option->name, option->value);
    set(options, option, joined ? equals + 1 : arguments[*at]);
}

struct options options_read(int count, char **arguments) {
    struct options options = {.device = "auto", .count = 128, .top_k = 40, .temperature = 0.8};
    for (int i = 1; i < count; i++) take(&options, arguments, count, &i);
    if (!options.prompt && !options.prompt_tokens) die(MISUSED, "--prompt is missing; --help explains the options");
    if (options.prompt && options.prompt_tokens) die(MISUSED, "--prompt and --prompt-tokens exclude each other");
    if (options.prompt && !*options.prompt) die(MISUSED, "--prompt is empty; expected some text");
    return options;
}
