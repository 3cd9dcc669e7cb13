/** Dynamic Alignment Units: the convolutional unit, stacks of it, and CoDA networks. */
export { dauConv, defaultDauEpsilon, type DauConvOptions, type DauNorm, type DauWeights } from './dau-conv.ts';
export { cheaperForm, type UnitFormName } from './unit-form.ts';
export { codaLayers, type CodaLayerConfig, type CodaLayers, type CodaLayersConfig } from './coda-layers.ts';
export { codaNetwork, type CodaRuntime } from './coda-network.ts';
export {
  codaLayerSchema,
  codaNormSchema,
  parseCodaConfig,
  type CanonicalCodaConfig,
  type CodaConfig,
} from './coda-config.ts';
export { codaPresets, type CodaPresetName } from './coda-presets.ts';
export { binaryCrossEntropy, defaultLogitBias, sumPoolLogits, sumPoolScores } from './readout.ts';
export { encodeRgb6 } from './rgb6.ts';
