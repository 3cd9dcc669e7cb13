/** Dynamic Alignment Units as layers of TensorFlow.js's `tf.layers`. Importing this registers them, so that saved models load again. */
export { dauConv2d, DauConv2d, type DauConv2dOptions } from './dau-conv2d.ts';
export { dauDense, DauDense, type DauDenseOptions } from './dau-dense.ts';
export { rgb6, Rgb6 } from './rgb6.ts';
export { sumPoolLogits, SumPoolLogits, type SumPoolLogitsOptions } from './sum-pool-logits.ts';
export type { LayerOptions, UnitOptions } from './layer-options.ts';
export type { Padding } from './padding.ts';
export {
  contributions,
  inputTimesGradient,
  type ContributionsOptions,
  type LayerContributions,
  type ModelContributions,
} from './contributions.ts';
export { exactTaps } from './exact-taps.ts';
