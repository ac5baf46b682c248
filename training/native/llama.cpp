// One thread's forward and backward pass of a Llama on AMX tiles (bf16 products, fp32 sums).
//
// Owns the arithmetic between fp32 master weights and fp32 gradients. Knows no optimizer, no files, no Python:
// `__init__.py` beside it compiles it and passes pointers. Examples are of any length and never padded;
// attention runs per example, products over all tokens of a chunk. Every matrix is row-major.
//
// A "tile" is 16 rows of 64 bytes (512 bf16). Right operands of a product are packed to tiles that hold two
// consecutive rows interleaved (VNNI); left operands are read in place or packed transposed.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

typedef uint16_t bf;
typedef long I;

static inline __m512 load(const bf* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16));
}
static inline void store(bf* p, __m512 v) { _mm256_storeu_si256((__m256i*)p, (__m256i)_mm512_cvtneps_pbh(v)); }
static inline bf half(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  return (bf)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
static inline __m512 exponential(__m512 x) {  // e**x: 2**n times a degree-5 polynomial, relative error 2e-6
  const __m512 t = _mm512_mul_ps(_mm512_max_ps(x, _mm512_set1_ps(-87.f)), _mm512_set1_ps(1.44269504f));
  const __m512 n = _mm512_roundscale_ps(t, 0);
  const __m512 f = _mm512_sub_ps(t, n);
  __m512 y = _mm512_set1_ps(1.3333558e-3f);
  for (float c : {9.6181291e-3f, 5.5504109e-2f, 2.4022651e-1f, 6.9314718e-1f, 1.f})
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(c));
  return _mm512_scalef_ps(y, n);
}

template <class T>
struct Buffer {  // zeroed, 64-byte aligned
  T* p = nullptr;
  size_t n = 0;
  void resize(size_t count) {
    if (count <= n) return;
    free(p);
    p = (T*)aligned_alloc(1 << 21, (count * sizeof(T) + (1 << 21) - 1) >> 21 << 21);
    if (!p) abort();
    memset(p, 0, count * sizeof(T));
    n = count;
  }
  ~Buffer() { free(p); }
  operator T*() const { return p; }
};

// ---------------------------------------------------------------- packing
static inline void transpose16(__m512i r[16]) {  // 16 x 16 of 32 bits
  __m512i t[16];
  for (int i = 0; i < 8; i++) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 4; i++) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}
static inline __m512i two_rows(const bf* a, const bf* b) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)a)),
                         _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)b)), 16));
}
// X (rows, cols) as right operand, summed over rows: tile (cols/16, rows/32)
static void pack_rows(const bf* x, I ld, I rows, I cols, bf* out) {
  for (I c = 0; c < cols; c += 16)
    for (I r = 0; r < rows; r += 32)
      for (I p = 0; p < 16; p++, out += 32)
        _mm512_storeu_si512(out, two_rows(x + (r + 2 * p) * ld + c, x + (r + 2 * p + 1) * ld + c));
}
// X^T as left operand, summed over rows of X: tile (cols/16, rows/32)
static void pack_left(const bf* x, I ld, I rows, I cols, bf* out) {
  __m512i t[16];
  for (I c = 0; c < cols; c += 16)
    for (I r = 0; r < rows; r += 32) {
      for (I p = 0; p < 16; p++) t[p] = two_rows(x + (r + 2 * p) * ld + c, x + (r + 2 * p + 1) * ld + c);
      transpose16(t);
      for (I p = 0; p < 16; p++, out += 32) _mm512_storeu_si512(out, t[p]);
    }
}
// X^T as right operand, summed over columns of X: tile (rows/16, cols/32)
static void pack_columns(const bf* x, I ld, I rows, I cols, bf* out) {
  __m512i t[16];
  for (I r = 0; r < rows; r += 16)
    for (I c = 0; c < cols; c += 32) {
      for (I p = 0; p < 16; p++) t[p] = _mm512_loadu_si512(x + (r + p) * ld + c);
      transpose16(t);
      for (I p = 0; p < 16; p++, out += 32) _mm512_storeu_si512(out, t[p]);
    }
}

// ---------------------------------------------------------------- products
// gcc's tile loads declare no memory operand: without this the compiler may move earlier stores behind them
static inline void settle() { asm volatile("" ::: "memory"); }
// tiles 0..3 = sums of a 32 x 32 block; a0, a1: left tiles with their step along the sum and row stride in bytes
static inline void multiply(const bf* a0, const bf* a1, I step, I stride, const bf* b0, const bf* b1, I steps) {
  settle();
  for (I k = 0; k < steps; k++) {
    _tile_loadd(4, a0 + k * step, stride);
    _tile_loadd(6, b0 + k * 512, 64);
    _tile_loadd(7, b1 + k * 512, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a1 + k * step, stride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}
static inline void zero_tiles() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}
static inline void store_tiles(float* c, I ld) {
  _tile_stored(0, c, ld * 4);
  _tile_stored(1, c + 16, ld * 4);
  _tile_stored(2, c + 16 * ld, ld * 4);
  _tile_stored(3, c + 16 * ld + 16, ld * 4);
}
static inline void load_tiles(const float* c, I ld) {
  settle();
  _tile_loadd(0, c, ld * 4);
  _tile_loadd(1, c + 16, ld * 4);
  _tile_loadd(2, c + 16 * ld, ld * 4);
  _tile_loadd(3, c + 16 * ld + 16, ld * 4);
}
// one row of blocks: C (32, n) = A (32, k) B, A in place, fp32 out
static void product_row(const bf* a, I lda, const bf* b, I n, I k, float* c, I ldc) {
  for (I j = 0; j < n; j += 32) {
    zero_tiles();
    multiply(a, a + 16 * lda, 32, lda * 2, b + j * k, b + (j + 16) * k, k / 32);
    store_tiles(c + j, ldc);
  }
}
// C (m, n) = A (m, k) B as bf16
static void product(const bf* a, I lda, I m, const bf* b, I n, I k, bf* c, I ldc) {
  alignas(64) float t[1024];
  for (I i = 0; i < m; i += 32)
    for (I j = 0; j < n; j += 32) {
      zero_tiles();
      multiply(a + i * lda, a + (i + 16) * lda, 32, lda * 2, b + j * k, b + (j + 16) * k, k / 32);
      store_tiles(t, 32);
      for (I r = 0; r < 32; r++) {
        bf* o = c + (i + r) * ldc + j;
        store(o, _mm512_load_ps(t + r * 32)), store(o + 16, _mm512_load_ps(t + r * 32 + 16));
      }
    }
}
// C (m, n) += A (m, k) B in fp32
static void product_add(const bf* a, I lda, I m, const bf* b, I n, I k, float* c, I ldc) {
  for (I i = 0; i < m; i += 32)
    for (I j = 0; j < n; j += 32) {
      load_tiles(c + i * ldc + j, ldc);
      multiply(a + i * lda, a + (i + 16) * lda, 32, lda * 2, b + j * k, b + (j + 16) * k, k / 32);
      store_tiles(c + i * ldc + j, ldc);
    }
}
// C (m, n) += A B, both packed, summed over `steps` tiles
static void product_packed(const bf* a, I m, const bf* b, I n, I steps, float* c, I ldc) {
  for (I i = 0; i < m; i += 32)
    for (I j = 0; j < n; j += 32) {
      load_tiles(c + i * ldc + j, ldc);
      multiply(a + i * steps * 32, a + (i + 16) * steps * 32, 512, 64, b + j * steps * 32, b + (j + 16) * steps * 32,
               steps);
      store_tiles(c + i * ldc + j, ldc);
    }
}

// ---------------------------------------------------------------- the model
struct Shape {
  I vocabulary, width, layers, heads, groups, hidden, length;
  float eps, theta;
};
struct Layer {  // what the backward pass needs of the forward pass
  Buffer<bf> hat1, h1, qkv, mixed, hat2, h2, gate_up, act;
  Buffer<float> r1, r2, lse;
};
struct Packed {
  Buffer<bf> forward, backward;
};

struct Model {
  Shape s;
  I dim, joined;  // channels of a head; of q, k and v together
  std::vector<Layer> layers;
  std::vector<Packed> weights;  // per layer: qkv, o, gate_up, down; then the embedding
  float **parameters = nullptr, **gradients = nullptr;
  Buffer<float> x, dx, dh, cosine, sine, row, sums;
  Buffer<bf> hat, h, dhalf, dact, dgate_up, dqkv, dmixed, dlogits, picked, left, right, w;
  Buffer<bf> q, k, v, go, kc, vr, vc, kr, qr, gor, p32, ds32, pl, dsl;
  Buffer<float> rf, dq, dk, dv, block, block2;
  std::vector<I> at;
  I n = 0, padded = 0;

  // order of parameters: embedding, final norm, then per layer q k v o gate up down norm1 norm2
  float* parameter(I layer, I which) { return parameters[2 + layer * 9 + which]; }
  float* gradient(I layer, I which) { return gradients[2 + layer * 9 + which]; }

  void pack_weight(Packed& out, std::vector<float*> parts, std::vector<I> rows, I cols) {
    I total = 0;
    for (I r : rows) total += r;
    w.resize(total * cols);
    bf* to = w;
    for (size_t i = 0; i < parts.size(); i++) {
      for (I e = 0; e < rows[i] * cols; e += 16) store(to + e, _mm512_loadu_ps(parts[i] + e));
      to += rows[i] * cols;
    }
    out.forward.resize(total * cols), out.backward.resize(total * cols);
    pack_columns(w, cols, total, cols, out.forward);
    pack_rows(w, cols, total, cols, out.backward);
  }
  void pack() {
    const I d = s.width, kv = s.groups * dim;
    for (I l = 0; l < s.layers; l++) {
      pack_weight(weights[4 * l], {parameter(l, 0), parameter(l, 1), parameter(l, 2)}, {s.heads * dim, kv, kv}, d);
      pack_weight(weights[4 * l + 1], {parameter(l, 3)}, {d}, s.heads * dim);
      pack_weight(weights[4 * l + 2], {parameter(l, 4), parameter(l, 5)}, {s.hidden, s.hidden}, d);
      pack_weight(weights[4 * l + 3], {parameter(l, 6)}, {d}, s.hidden);
    }
    pack_weight(weights[4 * s.layers], {parameters[0]}, {s.vocabulary}, d);
  }

  void reserve(I tokens) {
    const I d = s.width, t = tokens;
    for (Layer& l : layers) {
      for (Buffer<bf>* b : {&l.hat1, &l.h1, &l.hat2, &l.h2}) b->resize(t * d);
      l.qkv.resize(t * joined), l.mixed.resize(t * s.heads * dim);
      l.gate_up.resize(t * 2 * s.hidden), l.act.resize(t * s.hidden);
      l.r1.resize(t), l.r2.resize(t), l.lse.resize(t * s.heads);
    }
    x.resize(t * d), dx.resize(t * d), dh.resize(t * d), rf.resize(t);
    hat.resize(t * d), h.resize(t * d), dhalf.resize(t * d), picked.resize(t * d);
    dact.resize(t * s.hidden), dgate_up.resize(t * 2 * s.hidden), dqkv.resize(t * joined);
    dmixed.resize(t * s.heads * dim), dlogits.resize(t * s.vocabulary), row.resize(32 * s.vocabulary);
    const I widest = std::max({s.vocabulary, 2 * s.hidden, joined});
    left.resize(t * widest), right.resize(t * std::max(s.hidden, d));
    const I e = (s.length + 31) / 32 * 32;
    for (Buffer<bf>* b : {&q, &k, &v, &go, &kc, &vr, &vc, &kr, &qr, &gor}) b->resize(e * dim);
    for (Buffer<bf>* b : {&pl, &dsl}) b->resize(e * e);
    p32.resize(32 * e), ds32.resize(32 * e), block.resize(32 * e), block2.resize(32 * e);
    dq.resize(32 * dim), dk.resize(e * dim), dv.resize(e * dim);
  }

  void rope_tables() {
    cosine.resize(s.length * dim / 2), sine.resize(s.length * dim / 2);
    for (I i = 0; i < s.length; i++)
      for (I j = 0; j < dim / 2; j++) {
        const double angle = i * std::pow((double)s.theta, -2.0 * j / dim);
        cosine[i * dim / 2 + j] = std::cos(angle), sine[i * dim / 2 + j] = std::sin(angle);
      }
  }
  template <class T>
  static inline __m512 get(const T* p);
  // rotate `count` rows of a head; sign -1 is the inverse, which is also the gradient
  template <class T>
  void rotate(const T* in, I ldi, bf* out, I ldo, I count, float sign) {
    const I m = dim / 2;
    const __m512 turn = _mm512_set1_ps(sign);
    for (I i = 0; i < count; i++)
      for (I j = 0; j < m; j += 16) {
        const __m512 a = get(in + i * ldi + j), b = get(in + i * ldi + j + m);
        const __m512 c = _mm512_loadu_ps(cosine + i * m + j);
        const __m512 z = _mm512_mul_ps(turn, _mm512_loadu_ps(sine + i * m + j));
        store(out + i * ldo + j, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, z)));
        store(out + i * ldo + j + m, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, z)));
      }
  }

  // ---- RMS norm
  void norm(const float* in, const float* weight, bf* hat_, bf* out, float* r) {
    const I d = s.width;
    for (I i = 0; i < n; i++) {
      __m512 sum = _mm512_setzero_ps();
      for (I j = 0; j < d; j += 16) {
        const __m512 v_ = _mm512_loadu_ps(in + i * d + j);
        sum = _mm512_fmadd_ps(v_, v_, sum);
      }
      r[i] = 1.f / std::sqrt(_mm512_reduce_add_ps(sum) / d + s.eps);
      const __m512 scale = _mm512_set1_ps(r[i]);
      for (I j = 0; j < d; j += 16) {
        const __m512 v_ = _mm512_mul_ps(scale, _mm512_loadu_ps(in + i * d + j));
        store(hat_ + i * d + j, v_), store(out + i * d + j, _mm512_mul_ps(v_, _mm512_loadu_ps(weight + j)));
      }
    }
  }
  // dx += gradient through the norm of dh; also as bf16 into dhalf for the products that follow
  void norm_backward(const bf* hat_, const float* weight, const float* r, float* dweight, bool first) {
    const I d = s.width;
    for (I i = 0; i < n; i++) {
      __m512 sum = _mm512_setzero_ps();
      for (I j = 0; j < d; j += 16) {
        const __m512 g = _mm512_loadu_ps(dh + i * d + j), y = load(hat_ + i * d + j);
        const __m512 gy = _mm512_mul_ps(g, y);
        _mm512_storeu_ps(dweight + j, _mm512_add_ps(_mm512_loadu_ps(dweight + j), gy));
        sum = _mm512_fmadd_ps(gy, _mm512_loadu_ps(weight + j), sum);
      }
      const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / d), scale = _mm512_set1_ps(r[i]);
      for (I j = 0; j < d; j += 16) {
        const __m512 gw = _mm512_mul_ps(_mm512_loadu_ps(dh + i * d + j), _mm512_loadu_ps(weight + j));
        __m512 g = _mm512_mul_ps(scale, _mm512_fnmadd_ps(load(hat_ + i * d + j), mean, gw));
        if (!first) g = _mm512_add_ps(g, _mm512_loadu_ps(dx + i * d + j));
        _mm512_storeu_ps(dx + i * d + j, g), store(dhalf + i * d + j, g);
      }
    }
  }
  // weights' gradient (rows of dy) x (columns of in), summed over tokens; parts are the parameters stacked in dy
  void weight_gradient(const bf* dy, I rows, const bf* in, I cols, std::vector<std::pair<float*, I>> parts) {
    pack_left(dy, rows, padded, rows, left);
    pack_rows(in, cols, padded, cols, right);
    const bf* from = left;
    for (auto& [gradient_, count] : parts) {
      product_packed(from, count, right, cols, padded / 32, gradient_, cols);
      from += count * padded;
    }
  }

  // ---- attention of one example, tokens begin..begin+count
  void attend(Layer& l, I begin, I count) {
    const I e = (count + 31) / 32 * 32;
    const float scale = 1.f / std::sqrt((float)dim);
    for (I g = 0; g < s.groups; g++) {
      prepare_keys(l, begin, count, e, g);
      pack_rows(v, dim, e, dim, vr);
      for (I head = g * (s.heads / s.groups); head < (g + 1) * (s.heads / s.groups); head++) {
        prepare_queries(l, begin, count, e, head);
        for (I i = 0; i < e; i += 32) {
          const I seen = i + 32;
          product_row(q + i * dim, dim, kc, seen, dim, block, e);
          for (I r = 0; r < 32; r++) softmax_row(l, begin, head, i + r, count, seen, e, scale, r);
          product_row_values(l, begin, head, i, count, seen, e);
        }
      }
    }
  }
  void prepare_keys(Layer& l, I begin, I count, I e, I g) {
    const bf* base = l.qkv + begin * joined;
    rotate(base + (s.heads + g) * dim, joined, k, dim, count, 1.f);
    for (I i = 0; i < count; i++) memcpy(v + i * dim, base + i * joined + (s.heads + s.groups + g) * dim, dim * 2);
    memset(k + count * dim, 0, (e - count) * dim * 2), memset(v + count * dim, 0, (e - count) * dim * 2);
    pack_columns(k, dim, e, dim, kc);
  }
  void prepare_queries(Layer& l, I begin, I count, I e, I head) {
    rotate(l.qkv + begin * joined + head * dim, joined, q, dim, count, 1.f);
    memset(q + count * dim, 0, (e - count) * dim * 2);
  }
  static inline __mmask16 upto(I left_) { return left_ >= 16 ? 0xffff : left_ <= 0 ? 0 : (__mmask16)((1 << left_) - 1); }
  void softmax_row(Layer& l, I begin, I head, I i, I count, I seen, I e, float scale, I r) {
    bf* out = p32 + r * e;
    if (i >= count) {
      memset(out, 0, seen * 2);
      return;
    }
    float* in = block + r * e;
    __m512 top = _mm512_set1_ps(-1e30f), sum = _mm512_setzero_ps();
    for (I j = 0; j <= i; j += 16) top = _mm512_mask_max_ps(top, upto(i + 1 - j), top, _mm512_loadu_ps(in + j));
    const float highest = _mm512_reduce_max_ps(top) * scale;
    for (I j = 0; j < seen; j += 16) {
      const __m512 z = _mm512_fmsub_ps(_mm512_loadu_ps(in + j), _mm512_set1_ps(scale), _mm512_set1_ps(highest));
      const __m512 y = _mm512_maskz_mov_ps(upto(i + 1 - j), exponential(z));
      sum = _mm512_add_ps(sum, y);
      _mm512_storeu_ps(in + j, y);
    }
    const float total = _mm512_reduce_add_ps(sum);
    const __m512 inverse = _mm512_set1_ps(1.f / total);
    for (I j = 0; j < seen; j += 16) store(out + j, _mm512_mul_ps(_mm512_loadu_ps(in + j), inverse));
    l.lse[head * padded + begin + i] = highest + std::log(total);
  }
  void product_row_values(Layer& l, I begin, I head, I i, I count, I seen, I e) {
    alignas(64) float t[1024];
    for (I j = 0; j < dim; j += 32) {
      zero_tiles();
      multiply(p32, p32 + 16 * e, 32, e * 2, vr + j * e, vr + (j + 16) * e, seen / 32);
      store_tiles(t, 32);
      for (I r = 0; r < std::min<I>(32, count - i); r++) {
        bf* o = l.mixed + (begin + i + r) * s.heads * dim + head * dim + j;
        store(o, _mm512_load_ps(t + r * 32)), store(o + 16, _mm512_load_ps(t + r * 32 + 16));
      }
    }
  }
  // gradients of one example: dmixed -> dqkv. The probabilities are computed again from lse.
  void attend_backward(Layer& l, I begin, I count) {
    const I e = (count + 31) / 32 * 32, blocks = e / 32;
    const float scale = 1.f / std::sqrt((float)dim);
    for (I g = 0; g < s.groups; g++) {
      prepare_keys(l, begin, count, e, g);
      pack_columns(v, dim, e, dim, vc), pack_rows(k, dim, e, dim, kr);
      memset(dk, 0, e * dim * 4), memset(dv, 0, e * dim * 4);
      for (I head = g * (s.heads / s.groups); head < (g + 1) * (s.heads / s.groups); head++) {
        prepare_queries(l, begin, count, e, head);
        const bf* grad = dmixed + begin * s.heads * dim + head * dim;
        for (I i = 0; i < count; i++) memcpy(go + i * dim, grad + i * s.heads * dim, dim * 2);
        memset(go + count * dim, 0, (e - count) * dim * 2);
        pack_rows(q, dim, e, dim, qr), pack_rows(go, dim, e, dim, gor);
        for (I i = 0; i < e; i += 32) {
          const I seen = i + 32;
          product_row(q + i * dim, dim, kc, seen, dim, block, e);
          product_row(go + i * dim, dim, vc, seen, dim, block2, e);
          for (I r = 0; r < 32; r++) score_gradient_row(l, begin, head, i + r, count, seen, e, scale, r);
          query_gradient(begin, head, i, count, seen, e);
          keep_transposed(p32, i / 32, seen, e, blocks, pl), keep_transposed(ds32, i / 32, seen, e, blocks, dsl);
        }
        sum_over_queries(pl, gor, e, blocks, dv), sum_over_queries(dsl, qr, e, blocks, dk);
      }
      bf* out = dqkv + begin * joined;
      rotate(dk.p, dim, out + (s.heads + g) * dim, joined, count, -1.f);
      for (I i = 0; i < count; i++)
        for (I j = 0; j < dim; j += 16)
          store(out + i * joined + (s.heads + s.groups + g) * dim + j, _mm512_loadu_ps(dv + i * dim + j));
    }
  }
  void score_gradient_row(Layer& l, I begin, I head, I i, I count, I seen, I e, float scale, I r) {
    bf *p = p32 + r * e, *ds = ds32 + r * e;
    if (i >= count) {
      memset(p, 0, seen * 2), memset(ds, 0, seen * 2);
      return;
    }
    const bf* o = l.mixed + (begin + i) * s.heads * dim + head * dim;
    __m512 sum = _mm512_setzero_ps();
    for (I j = 0; j < dim; j += 16) sum = _mm512_fmadd_ps(load(o + j), load(go + i * dim + j), sum);
    const __m512 delta = _mm512_set1_ps(_mm512_reduce_add_ps(sum));
    const __m512 lse = _mm512_set1_ps(l.lse[head * padded + begin + i]), by = _mm512_set1_ps(scale);
    for (I j = 0; j < seen; j += 16) {
      const __m512 z = _mm512_fmsub_ps(_mm512_loadu_ps(block + r * e + j), by, lse);
      const __m512 y = _mm512_maskz_mov_ps(upto(i + 1 - j), exponential(z));
      const __m512 g = _mm512_mul_ps(_mm512_mul_ps(y, by), _mm512_sub_ps(_mm512_loadu_ps(block2 + r * e + j), delta));
      store(p + j, y), store(ds + j, g);
    }
  }
  void query_gradient(I begin, I head, I i, I count, I seen, I e) {
    for (I j = 0; j < dim; j += 32) {
      zero_tiles();
      multiply(ds32, ds32 + 16 * e, 32, e * 2, kr + j * e, kr + (j + 16) * e, seen / 32);
      store_tiles(dq + j, dim);
    }
    // rows of this block start at position i of the example
    const I m = dim / 2;
    for (I r = 0; r < std::min<I>(32, count - i); r++) {
      bf* out = dqkv + (begin + i + r) * joined + head * dim;
      for (I j = 0; j < m; j += 16) {
        const __m512 a = _mm512_loadu_ps(dq + r * dim + j), b = _mm512_loadu_ps(dq + r * dim + j + m);
        const __m512 c = _mm512_loadu_ps(cosine + (i + r) * m + j), z = _mm512_loadu_ps(sine + (i + r) * m + j);
        store(out + j, _mm512_fmadd_ps(a, c, _mm512_mul_ps(b, z)));
        store(out + j + m, _mm512_fmsub_ps(b, c, _mm512_mul_ps(a, z)));
      }
    }
  }
  // a block of 32 queries (32, seen), transposed to left tiles (keys/16, queries/32)
  void keep_transposed(const bf* in, I query_block, I seen, I e, I blocks, bf* out) {
    for (I c = 0; c < seen; c += 16) pack_left(in + c, e, 32, 16, out + (c / 16 * blocks + query_block) * 512);
  }
  // C (keys, dim) += left (keys, queries) x right (queries, dim); queries before the keys' block see none of them
  void sum_over_queries(const bf* a, const bf* b, I e, I blocks, float* c) {
    for (I i = 0; i < e; i += 32) {
      const I first = i / 32;
      for (I j = 0; j < dim; j += 32) {
        load_tiles(c + i * dim + j, dim);
        multiply(a + (i / 16 * blocks + first) * 512, a + ((i / 16 + 1) * blocks + first) * 512, 512, 64,
                 b + (j / 16 * blocks + first) * 512, b + ((j / 16 + 1) * blocks + first) * 512, blocks - first);
        store_tiles(c + i * dim + j, dim);
      }
    }
  }

  // ---- SwiGLU
  void activate(Layer& l) {
    const I f = s.hidden;
    const __m512 one = _mm512_set1_ps(1.f);
    for (I i = 0; i < n; i++)
      for (I j = 0; j < f; j += 16) {
        const __m512 g = load(l.gate_up + i * 2 * f + j), u = load(l.gate_up + i * 2 * f + f + j);
        const __m512 sig = _mm512_div_ps(one, _mm512_add_ps(one, exponential(_mm512_sub_ps(_mm512_setzero_ps(), g))));
        store(l.act + i * f + j, _mm512_mul_ps(_mm512_mul_ps(g, sig), u));
      }
  }
  void activate_backward(Layer& l) {
    const I f = s.hidden;
    const __m512 one = _mm512_set1_ps(1.f);
    for (I i = 0; i < n; i++)
      for (I j = 0; j < f; j += 16) {
        const __m512 g = load(l.gate_up + i * 2 * f + j), u = load(l.gate_up + i * 2 * f + f + j);
        const __m512 d = load(dact + i * f + j);
        const __m512 sig = _mm512_div_ps(one, _mm512_add_ps(one, exponential(_mm512_sub_ps(_mm512_setzero_ps(), g))));
        const __m512 silu = _mm512_mul_ps(g, sig);
        const __m512 slope = _mm512_fmadd_ps(silu, _mm512_sub_ps(one, sig), sig);
        store(dgate_up + i * 2 * f + j, _mm512_mul_ps(_mm512_mul_ps(d, u), slope));
        store(dgate_up + i * 2 * f + f + j, _mm512_mul_ps(d, silu));
      }
  }

  // ---- whole passes over a chunk
  void forward(const int32_t* ids, const int32_t* starts, I examples) {
    const I d = s.width, inner = s.heads * dim;
    for (I i = 0; i < n; i++) memcpy(x + i * d, parameters[0] + ids[i] * d, d * 4);
    for (I li = 0; li < s.layers; li++) {
      Layer& l = layers[li];
      norm(x, parameter(li, 7), l.hat1, l.h1, l.r1);
      product(l.h1, d, padded, weights[4 * li].forward, joined, d, l.qkv, joined);
      for (I e = 0; e < examples; e++) attend(l, starts[e] - starts[0], starts[e + 1] - starts[e]);
      product_add(l.mixed, inner, padded, weights[4 * li + 1].forward, d, inner, x, d);
      norm(x, parameter(li, 8), l.hat2, l.h2, l.r2);
      product(l.h2, d, padded, weights[4 * li + 2].forward, 2 * s.hidden, d, l.gate_up, 2 * s.hidden);
      activate(l);
      product_add(l.act, s.hidden, padded, weights[4 * li + 3].forward, d, s.hidden, x, d);
    }
    norm(x, parameters[1], hat, h, rf);
  }
  // weighted loss of the labelled positions; dlogits (labelled, vocabulary), fp32 per-token loss into nll
  double head(const int32_t* labels, const float* token_weights, float* nll) {
    const I d = s.width, vocabulary = s.vocabulary;
      Packed& e = weights[4 * s.layers];
    double loss = 0;
    at.clear();
    for (I i = 0; i < n; i++)
      if (token_weights[i] != 0) at.push_back(i);
    const I m = at.size(), mp = (m + 31) / 32 * 32;
    for (I i = 0; i < m; i++) memcpy(picked + i * d, h + at[i] * d, d * 2);
    memset(picked + m * d, 0, (mp - m) * d * 2);
    for (I i = 0; i < mp; i += 32) {
      product_row(picked + i * d, d, e.forward, vocabulary, d, row, vocabulary);
      for (I r = 0; r < 32; r++) {
        bf* out = dlogits + (i + r) * vocabulary;
        if (i + r >= m) {
          memset(out, 0, vocabulary * 2);
          continue;
        }
        const I token = at[i + r];
        const float value = logit_gradient(row + r * vocabulary, labels[token], token_weights[token], out);
        if (nll) nll[token] = value;
        loss += (double)value * token_weights[token];
      }
    }
    return loss;
  }
  float logit_gradient(float* logits, int32_t label, float weight, bf* out) {
    __m512 top = _mm512_set1_ps(-1e30f), sum = _mm512_setzero_ps();
    for (I j = 0; j < s.vocabulary; j += 16) top = _mm512_max_ps(top, _mm512_loadu_ps(logits + j));
    const float highest = _mm512_reduce_max_ps(top), chosen = logits[label];
    for (I j = 0; j < s.vocabulary; j += 16) {
      const __m512 y = exponential(_mm512_sub_ps(_mm512_loadu_ps(logits + j), _mm512_set1_ps(highest)));
      sum = _mm512_add_ps(sum, y);
      _mm512_storeu_ps(logits + j, y);
    }
    const float total = _mm512_reduce_add_ps(sum);
    const __m512 factor = _mm512_set1_ps(weight / total);
    for (I j = 0; j < s.vocabulary; j += 16) store(out + j, _mm512_mul_ps(_mm512_loadu_ps(logits + j), factor));
    out[label] = half(logits[label] * weight / total - weight);
    return highest + std::log(total) - chosen;
  }
  void backward(const int32_t* ids, const int32_t* starts, I examples) {
    const I d = s.width, inner = s.heads * dim, kv = s.groups * dim, f = s.hidden;
    head_backward();
    norm_backward(hat, parameters[1], rf, gradients[1], true);
    for (I li = s.layers - 1; li >= 0; li--) {
      Layer& l = layers[li];
      product(dhalf, d, padded, weights[4 * li + 3].backward, f, d, dact, f);
      weight_gradient(dhalf, d, l.act, f, {{gradient(li, 6), d}});
      activate_backward(l);
      memset(dh, 0, padded * d * 4);
      product_add(dgate_up, 2 * f, padded, weights[4 * li + 2].backward, d, 2 * f, dh, d);
      weight_gradient(dgate_up, 2 * f, l.h2, d, {{gradient(li, 4), f}, {gradient(li, 5), f}});
      norm_backward(l.hat2, parameter(li, 8), l.r2, gradient(li, 8), false);
      product(dhalf, d, padded, weights[4 * li + 1].backward, inner, d, dmixed, inner);
      weight_gradient(dhalf, d, l.mixed, inner, {{gradient(li, 3), d}});
      for (I e = 0; e < examples; e++) attend_backward(l, starts[e] - starts[0], starts[e + 1] - starts[e]);
      memset(dh, 0, padded * d * 4);
      product_add(dqkv, joined, padded, weights[4 * li].backward, d, joined, dh, d);
      weight_gradient(dqkv, joined, l.h1, d, {{gradient(li, 0), inner}, {gradient(li, 1), kv}, {gradient(li, 2), kv}});
      norm_backward(l.hat1, parameter(li, 7), l.r1, gradient(li, 7), false);
    }
    for (I i = 0; i < n; i++)
      for (I j = 0; j < d; j += 16) {
        float* g = gradients[0] + ids[i] * d + j;
        _mm512_storeu_ps(g, _mm512_add_ps(_mm512_loadu_ps(g), _mm512_loadu_ps(dx + i * d + j)));
      }
  }
  void head_backward() {
    const I d = s.width, m = at.size(), mp = (m + 31) / 32 * 32;
    memset(dx, 0, mp * d * 4);
    product_add(dlogits, s.vocabulary, mp, weights[4 * s.layers].backward, d, s.vocabulary, dx, d);
    memset(dh, 0, padded * d * 4);
    for (I i = 0; i < m; i++) memcpy(dh + at[i] * d, dx + i * d, d * 4);
    pack_left(dlogits, s.vocabulary, mp, s.vocabulary, left);
    pack_rows(picked, d, mp, d, right);
    product_packed(left, s.vocabulary, right, d, mp / 32, gradients[0], d);
  }
  // rows past n must be zero wherever products sum over tokens
  void clear_padding() {
    const I rest = padded - n, d = s.width, inner = s.heads * dim;
    for (Layer& l : layers) {
      for (Buffer<bf>* b : {&l.hat1, &l.h1, &l.hat2, &l.h2}) memset(*b + n * d, 0, rest * d * 2);
      memset(l.mixed + n * inner, 0, rest * inner * 2), memset(l.act + n * s.hidden, 0, rest * s.hidden * 2);
    }
    memset(dhalf + n * d, 0, rest * d * 2), memset(dqkv + n * joined, 0, rest * joined * 2);
    memset(dgate_up + n * 2 * s.hidden, 0, rest * 2 * s.hidden * 2), memset(x + n * d, 0, rest * d * 4);
  }
};
template <>
inline __m512 Model::get<bf>(const bf* p) {
  return load(p);
}
template <>
inline __m512 Model::get<float>(const float* p) {
  return _mm512_loadu_ps(p);
}

static void configure_tiles() {
  struct {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
  } c;
  for (int i = 0; i < 8; i++) c.bytes[i] = 64, c.rows[i] = 16;
  _tile_loadconfig(&c);
}

extern "C" {
int native_supported() { return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18) == 0; }
void* native_create(const int64_t* sizes, float eps, float theta) {
  Model* m = new Model;
  m->s = {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], eps, theta};
  m->dim = m->s.width / m->s.heads, m->joined = (m->s.heads + 2 * m->s.groups) * m->dim;
  m->layers = std::vector<Layer>(m->s.layers), m->weights = std::vector<Packed>(4 * m->s.layers + 1);
  m->rope_tables();
  return m;
}
void native_destroy(void* model) { delete (Model*)model; }
void native_pack(void* model, float** parameters) {
  ((Model*)model)->parameters = parameters;
  ((Model*)model)->pack();
}
// Adds the gradients of sum(weights x loss) over one chunk and returns that sum. `gradients` may be null: loss only.
// Example e is tokens starts[e]..starts[e + 1] of ids, labels, weights. nll, if given, gets each token's loss.
double native_step(void* model, float** gradients, const int32_t* ids, const int32_t* labels, const float* weights,
                   const int32_t* starts, int64_t examples, float* nll) {
  Model* m = (Model*)model;
  const I first = starts[0];
  m->n = starts[examples] - first, m->padded = (m->n + 31) / 32 * 32, m->gradients = gradients;
  m->reserve(m->padded);
  configure_tiles();
  m->clear_padding();
  m->forward(ids + first, starts, examples);
  const double loss = m->head(labels + first, weights + first, nll ? nll + first : nullptr);
  if (gradients) m->backward(ids + first, starts, examples);
  _tile_release();
  return loss;
}
}
