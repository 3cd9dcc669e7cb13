/** Dynamic Alignment Units: the convolutional unit, stacks of it, and CoDA networks. */
export { dauConv, defaultDauEpsilon, type DauConvOptions, type DauNorm, type DauWeights } from './dau-conv.ts';
export { codaLayers, type CodaLayerConfig, type CodaLayers, type CodaLayersConfig } from './coda-layers.ts';
export { codaNetwork } from './coda-network.ts';
export {
  codaConfigSchema,
  codaLayerSchema,
  codaNormSchema,
  parseCodaConfig,
  type CanonicalCodaConfig,
  type CodaConfig,
} from './coda-config.ts';
export { codaPresets, type CodaPresetName } from './coda-presets.ts';
export { binaryCrossEntropy, defaultLogitBias, sumPoolLogits } from './readout.ts';
export { encodeRgb6 } from './rgb6.ts';
export {
  codaPytorchLayers,
  codaPytorchLayersJson,
  importCodaPytorch,
  type CodaPytorchLayer,
} from './import-coda-pytorch.ts';
export { exportCodaPytorch } from './export-coda-pytorch.ts';
