/** Dynamic Alignment Units: the convolutional unit, stacks of it, and CoDA networks. */
export { dauConv, defaultDauEpsilon, type DauConvOptions, type DauNorm, type DauWeights } from './dau-conv.ts';
export { dauAlignment, dauMap, dauMapTransposed } from './dau-map.ts';
export { codaLayers, type CodaLayerConfig, type CodaLayers, type CodaLayersConfig } from './coda-layers.ts';
export { codaLinearMap, type CodaLinearMapOptions } from './coda-linear-map.ts';
export { codaNetwork } from './coda-network.ts';
export {
  codaLayerSchema,
  codaNormSchema,
  parseCodaConfig,
  type CanonicalCodaConfig,
  type CodaConfig,
} from './coda-config.ts';
export { codaPresets, type CodaPresetName } from './coda-presets.ts';
export { binaryCrossEntropy, defaultLogitBias, sumPoolLogits } from './readout.ts';
export { encodeRgb6 } from './rgb6.ts';
