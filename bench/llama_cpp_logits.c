// Logits of token sequences as llama.cpp computes them, on its C interface.
// bench/reader_perplexity.py builds it against llama.cpp's headers and loads it beside a library
// that exports the interface.
#include <llama.h>
#include <stdlib.h>
#include <string.h>

static void quiet(enum ggml_log_level level, const char* text, void* data) {
    (void)level, (void)text, (void)data;
}

struct reader {
    struct llama_model* model;
    struct llama_context* context;
    int n_vocab;
};

// A model for sequences of up to n_tokens; null: it cannot be read.
struct reader* reader_open(const char* path, int n_tokens, int n_threads) {
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model_params of_model = llama_model_default_params();
    of_model.n_gpu_layers = 0;
    struct llama_model* model = llama_model_load_from_file(path, of_model);
    if (model == NULL) {
        return NULL;
    }
    struct llama_context_params of_context = llama_context_default_params();
    of_context.n_ctx = of_context.n_batch = of_context.n_ubatch = (uint32_t)n_tokens;
    of_context.n_threads = of_context.n_threads_batch = n_threads;
    of_context.type_k = of_context.type_v = GGML_TYPE_F32;
    of_context.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    struct llama_context* context = llama_init_from_model(model, of_context);
    if (context == NULL) {
        return NULL;
    }
    struct reader* made = malloc(sizeof(*made));
    *made = (struct reader){model, context, llama_vocab_n_tokens(llama_model_get_vocab(model))};
    return made;
}

int reader_vocab(const struct reader* reader) {
    return reader->n_vocab;
}

// Writes logits [n, n_vocab] of one sequence. 0, or what llama_decode() says.
int reader_logits(struct reader* reader, const int* ids, int n, float* logits) {
    llama_memory_clear(llama_get_memory(reader->context), true);
    struct llama_batch batch = llama_batch_init(n, 0, 1);
    batch.n_tokens = n;
    for (int i = 0; i < n; ++i) {
        batch.token[i] = ids[i];
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    const int code = llama_decode(reader->context, batch);
    for (int i = 0; code == 0 && i < n; ++i) {
        memcpy(logits + (size_t)i * (size_t)reader->n_vocab,
               llama_get_logits_ith(reader->context, i), sizeof(float) * (size_t)reader->n_vocab);
    }
    llama_batch_free(batch);
    return code;
}
