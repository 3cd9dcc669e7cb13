/** Dynamic Alignment Units: convolutional and dense, exact and efficient ones, stacks of them, and CoDA networks. */
export { dauConv, type DauConvOptions, type DauNorm, type DauWeights } from './dau-conv.ts';
export { defaultDauEpsilon } from './unit-epsilon.ts';
export { cheaperForm, type UnitFormName } from './unit-form.ts';
export { edauBounds, edauConv, type EdauBound, type EdauConvOptions, type EdauWeights } from './edau-conv.ts';
export { dauDense, edauDense } from './dau-dense.ts';
export { dauAlignment, dauMap, dauMapTransposed, type DauMapOptions } from './dau-map.ts';
export { edauAlignment, edauMap, edauMapTransposed } from './edau-map.ts';
export { codaLinearMap, type CodaLinearMapOptions } from './coda-linear-map.ts';
export { codaLayers, type CodaLayerConfig, type CodaLayers, type CodaLayersConfig } from './coda-layers.ts';
export { codaNetwork, type CodaRuntime } from './coda-network.ts';
export { codaLayerSchema, codaNorms, codaNormSchema, type CodaNorm } from './coda-layer-schema.ts';
export { codaEpsilonSchema } from './unit-epsilon.ts';
export {
  checkCodaStack,
  codaConfigSchema,
  parseCodaConfig,
  type StackConfig,
  type CanonicalCodaConfig,
  type CodaConfig,
} from './coda-config.ts';
export { codaPreset, codaPresets, type CodaPresetName, type CodaPresetOptions } from './coda-presets.ts';
export { binaryCrossEntropy, defaultLogitBias, sumPoolLogits, sumPoolScores } from './readout.ts';
export { encodeRgb6 } from './rgb6.ts';
export { codaPytorchLayers, codaPytorchLayersJson, importCodaPytorch, type CodaPytorchLayer } from './import-coda-pytorch.ts';
export { exportCodaPytorch } from './export-coda-pytorch.ts';
