/** Explanations of images by any method, in the form that contributions have: for each image its logits, and a map a tap. */
import { CodaError, ndArray, sizeOf, type Engine, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import { attributor, completenessResidual, explainer, type Attribution, type Explanation } from '@coda-nets/depth';
import type { NamedMethod } from './depth/named-method.ts';

export interface ExplainByMethodOptions {
  readonly engine: Engine;
  readonly network: Network;
  readonly weights: NamedArrays;
  readonly taps: readonly string[];
  readonly method: NamedMethod;
  /** [N, H, W, 3] */
  readonly images: NdArray<'float32'>;
  readonly targets: 'top' | readonly number[];
  /** Rows in one call of the engine. */
  readonly chunk?: number;
}

/** Residuals of post-hoc methods say how far their maps are from adding up to z − b₀, which none of them promises. */
export async function explainByMethod(options: ExplainByMethodOptions): Promise<readonly Explanation[]> {
  const { method, images, targets, network, ...rest } = options;
  const common = { ...rest, network, imageSize: images.shape.slice(1, 3) as unknown as readonly [number, number] };
  if (method.method.name === 'contributions') {
    const explain = await explainer(common);
    try {
      return await explain.explain(images, targets);
    } finally {
      await explain.dispose();
    }
  }
  const attribute = await attributor({ ...common, method: method.method });
  let found: Attribution;
  try {
    found = await attribute.attribute(images, targets);
  } finally {
    await attribute.dispose();
  }
  const { logits, probabilities, targets: classes, expected, taps } = found;
  return Array.from(classes, (target, n): Explanation => {
    const own = row(logits, n);
    const logit = own.data[target] as number;
    if (!Number.isFinite(logit)) throw notFinite(n);
    return {
      logits: own,
      probabilities: row(probabilities, n),
      target,
      logit,
      probability: row(probabilities, n).data[target] as number,
      taps: taps.map(({ name, exact, maps }) => {
        const map = row(maps, n);
        const wanted = expected[n] as number;
        const sum = map.data.reduce((total, x) => total + x, 0);
        return { name, exact, map, sum, expected: wanted, residual: completenessResidual(map, wanted, network.logitBias) };
      }),
    };
  });
}

/** Entry n of the first axis, copied. */
function row({ shape: [, ...shape], data }: NdArray<'float32'>, n: number): NdArray<'float32'> {
  const size = sizeOf(shape);
  return ndArray('float32', shape, data.slice(n * size, (n + 1) * size));
}

function notFinite(n: number): CodaError {
  return new CodaError({
    kind: 'numeric',
    where: `explain: image ${n}`,
    problem: 'the logit is not a finite number',
    hint: 'Check the image and the weights for NaN and infinity.',
  });
}
