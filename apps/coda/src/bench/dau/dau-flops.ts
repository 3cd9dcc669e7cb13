/**
 * The floating-point operations that a piece of work needs, counted from the config: multiplies and adds of the matrix products of the low-rank
 * form, elementwise work not counted. One count for all contenders, so that shares of the machine's peak compare as times do.
 *
 * For each layer, with M positions in the batch, patches of d = k²·C, n units and rank r:
 *
 *     products   2·M·d·(r + n·r + n)          u = Bp, all A_jᵀp, all b_jᵀp
 *     alignment  2·M·n·r                      (A_jᵀp)·u
 *     norms      2·M·n·(r(r+1)/2 + r)         uᵀG_j u + 2 h_jᵀu, G_j symmetric
 *     gram       2·d·n·(r(r+1)/2 + r)         G_j, h_j: once a step in training, constants else
 *
 * A gradient costs each of its two factors as much as the product did; the first layer's input needs none in training. An explanation holds u and
 * norms: it goes back through A_jᵀp, b_jᵀp and their alignment to the activation alone.
 */
import type { CodaConfig } from '@coda-nets/dau';
import { parseCodaConfig } from '@coda-nets/dau';

interface LayerCost {
  readonly products: number;
  readonly alignment: number;
  readonly norms: number;
  readonly gram: number;
  /** What an explanation does to get from a layer's output to its input. */
  readonly held: number;
}

export function dauFlops(config: CodaConfig, work: { readonly kind: 'train' | 'forward' | 'explain'; readonly batch: number }): number {
  const layers = layerCosts(config, work.batch);
  const sum = (of: (cost: LayerCost) => number): number => layers.reduce((total, cost) => total + of(cost), 0);
  const forward = sum(({ products, alignment, norms }) => products + alignment + norms);
  if (work.kind === 'forward') return forward;
  if (work.kind === 'explain') return forward + sum(({ held }) => held);
  return 3 * (forward + sum(({ gram }) => gram)) - (layers[0]?.products ?? 0);
}

function layerCosts(config: CodaConfig, batch: number): readonly LayerCost[] {
  const { inputShape, encoding, layers } = parseCodaConfig(config, 'dauFlops: config');
  let [height, width] = inputShape;
  let channels = encoding === 'rgb6' ? 6 : 3;
  return layers.map(({ out: n, kernel, stride, padding, rank: r }) => {
    height = Math.floor((height + 2 * padding - kernel) / stride) + 1;
    width = Math.floor((width + 2 * padding - kernel) / stride) + 1;
    const M = batch * height * width;
    const d = kernel * kernel * channels;
    channels = n;
    const quadratic = (r * (r + 1)) / 2 + r;
    const alignment = 2 * M * n * r;
    return {
      products: 2 * M * d * (r + n * r + n),
      alignment,
      norms: 2 * M * n * quadratic,
      gram: 2 * d * n * quadratic,
      held: 2 * M * d * (n * r + n) + alignment,
    };
  });
}
