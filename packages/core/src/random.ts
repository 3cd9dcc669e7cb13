/**
 * Seeded, splittable random numbers: the same seed gives the same numbers on every machine and version, for ever.
 * Generator: xoshiro128** 1.1 (Blackman and Vigna, 2018), seeded through SplitMix32; streams are split by label, so that
 * drawing more numbers in one place changes nothing in another. Not for cryptography.
 */
import { CodaError } from './errors.ts';

/** Plain data: it can be written into a checkpoint and given to `Random.fromState`. */
export type RandomState = readonly [key: number, a: number, b: number, c: number, d: number];

export class Random {
  readonly #key: number;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  private constructor(state: RandomState) {
    [this.#key, this.#a, this.#b, this.#c, this.#d] = state;
  }

  /** `seed`: an integer in [0, 2^32). */
  static seeded(seed: number): Random {
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffff_ffff) {
      throw new CodaError({
        kind: 'argument',
        where: 'Random.seeded: seed',
        problem: 'not a seed',
        expected: 'an integer from 0 to 4294967295',
        got: String(seed),
      });
    }
    return Random.#fromKey(seed >>> 0);
  }

  static fromState(state: RandomState): Random {
    return new Random(state);
  }

  static #fromKey(key: number): Random {
    const next = splitMix32(key);
    return new Random([key, next(), next(), next(), next()]);
  }

  get state(): RandomState {
    return [this.#key, this.#a, this.#b, this.#c, this.#d];
  }

  /** An independent stream named by `label`; depends on this stream's seed and the label, not on what was drawn. */
  split(label: string | number): Random {
    let key = splitMix32(this.#key ^ 0x9e37_79b9)();
    for (const char of `${typeof label}:${label}`) key = splitMix32(key ^ (char.codePointAt(0) as number))();
    return Random.#fromKey(key);
  }

  /** Uniform in [0, 2^32), an integer. */
  uint32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = rotateLeft(this.#d, 11);
    return result;
  }

  /** Uniform in [0, 1), with 32 random bits. */
  uniform(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  /** Uniform integer in [0, n), without modulo bias. */
  below(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 0x1_0000_0000) {
      throw new CodaError({
        kind: 'argument',
        where: 'Random.below: n',
        problem: 'no number is below n',
        expected: 'an integer from 1 to 4294967296',
        got: String(n),
      });
    }
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % n);
    for (;;) {
      const x = this.uint32();
      if (x < limit) return x % n;
    }
  }

  /** Standard normal (Box and Muller 1958; one of the pair is dropped so that the stream has no hidden state). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** A permutation of 0 … n−1 (Fisher and Yates). */
  permutation(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const x = order[i] as number;
      order[i] = order[j] as number;
      order[j] = x;
    }
    return order;
  }
}

function rotateLeft(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}

function splitMix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e37_79b9) | 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85eb_ca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2_ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
}
