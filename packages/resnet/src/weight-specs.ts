/** The weights of convolutions, batch norms and linear layers: names, shapes, roles, first values. */
import { zerosArray, type NdArray, type WeightSpec } from '@coda-nets/core';

type WeightSpecs = Record<string, WeightSpec>;

/**
 * `<name>.weight` [k, k, in, out] (HWIO; torchvision's files have OIHW). No bias: a batch norm follows. In groups, `in` are one group's.
 * Normal with variance 2 / (k²·out) (He et al., arXiv 1502.01852 equation 14: "fan out"), as torchvision.
 */
export function convSpecs(name: string, kernel: number, inChannels: number, outChannels: number): WeightSpecs {
  const deviation = Math.sqrt(2 / (kernel * kernel * outChannels));
  const shape = [kernel, kernel, inChannels, outChannels];
  return {
    [`${name}.weight`]: {
      shape,
      role: 'parameter',
      decay: true,
      init: (random) => filled(shape, () => deviation * random.normal()),
    },
  };
}

/** `<name>.weight` (γ = 1), `.bias` (β = 0), `.running_mean` (0), `.running_var` (1), each [channels]. */
export function batchNormSpecs(name: string, channels: number): WeightSpecs {
  const spec = (role: WeightSpec['role'], value: number): WeightSpec => ({
    shape: [channels],
    role,
    decay: false,
    init: () => filled([channels], () => value),
  });
  return {
    [`${name}.weight`]: spec('parameter', 1),
    [`${name}.bias`]: spec('parameter', 0),
    [`${name}.running_mean`]: spec('statistic', 0),
    [`${name}.running_var`]: spec('statistic', 1),
  };
}

/** `<name>.bias` (0) [channels], of a convolution that a batch norm is folded into. */
export function biasSpecs(name: string, channels: number): WeightSpecs {
  return { [`${name}.bias`]: { shape: [channels], role: 'parameter', decay: false, init: () => filled([channels], () => 0) } };
}

/** `<name>.weight` [in, out] (torchvision's files have [out, in]), `.bias` [out]; uniform in ±1/√in, as PyTorch. */
export function linearSpecs(name: string, inChannels: number, outChannels: number): WeightSpecs {
  const bound = 1 / Math.sqrt(inChannels);
  const spec = (shape: readonly number[], decay: boolean): WeightSpec => ({
    shape,
    role: 'parameter',
    decay,
    init: (random) => filled(shape, () => bound * (2 * random.uniform() - 1)),
  });
  return {
    [`${name}.weight`]: spec([inChannels, outChannels], true),
    [`${name}.bias`]: spec([outChannels], false),
  };
}

function filled(shape: readonly number[], next: () => number): NdArray<'float32'> {
  const array = zerosArray('float32', shape);
  for (let i = 0; i < array.data.length; i++) array.data[i] = next();
  return array;
}
